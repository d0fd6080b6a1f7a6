//! Frames: pieces of a channel (<https://specs.optimism.io/protocol/derivation.html#frame-format>). Each blob has one, behind the version
//! of derivation.
//!
//! ```text
//!   u8 version (0) │ 16 channel id │ u16 number │ u32 length │ length data │ u8 last (0 or 1)
//! ```

use super::blob::MAX_DATA_BYTES as BLOB_DATA_BYTES;
use super::channel::ChannelId;

/// Version of what a transaction of the batcher carries.
const DERIVATION_VERSION: u8 = 0;
/// Bytes beside the data: version, channel id, number, length, last.
const OVERHEAD_BYTES: usize = 1 + 16 + 2 + 4 + 1;
/// Most data of one frame: with the rest of it, what one blob holds. Readers take up to a million bytes.
pub const MAX_DATA_BYTES: usize = BLOB_DATA_BYTES - OVERHEAD_BYTES;

/// The frames of a channel in order, each with the version before it.
pub(super) fn cut(id: ChannelId, data: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let last = data.len().div_ceil(MAX_DATA_BYTES).saturating_sub(1);
    data.chunks(MAX_DATA_BYTES).enumerate().map(move |(number, part)| {
        let mut frame = Vec::with_capacity(OVERHEAD_BYTES + part.len());
        frame.push(DERIVATION_VERSION);
        frame.extend_from_slice(&id);
        frame.extend_from_slice(&(number as u16).to_be_bytes());
        frame.extend_from_slice(&(part.len() as u32).to_be_bytes());
        frame.extend_from_slice(part);
        frame.push(u8::from(number == last));
        frame
    })
}
