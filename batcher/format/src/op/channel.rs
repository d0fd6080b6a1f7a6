//! Channels: batches as one stream, compressed (<https://specs.optimism.io/protocol/derivation.html#channel-format>).
//!
//! ```text
//!   u8 version (1) │ brotli(stream of batches)
//! ```

use ordering_types::Digest;

use super::batch::{BatchError, L2Block};
use super::blob as op_blob;
use super::frame;
use crate::blob::{Blob, MAX_BLOBS};

/// Most bytes of batches that readers take out of a channel since Fjord. What is beyond them is not derived.
pub const MAX_RLP_BYTES_PER_CHANNEL: usize = 100_000_000;
/// Most bytes of batches that we put into one: below half of what readers take. One of them doubles its buffer until all fits, and gives
/// up when the next doubling is above the bound; so it reads everything up to half of it.
pub const MAX_RLP_BYTES: usize = 40_000_000;
/// Most L1 blocks from a channel's first frame to its last one since Granite; before, and where a rollup says so, more.
pub const CHANNEL_TIMEOUT_BLOCKS: u64 = 50;
/// Most transactions that carry one channel: at one after the other, six blocks are left for each.
pub const MAX_TRANSACTIONS: usize = 8;
/// Most frames of one channel; each has a blob of its own.
pub const MAX_FRAMES: usize = MAX_TRANSACTIONS * MAX_BLOBS;
/// Most bytes of one channel.
pub const MAX_CHANNEL_BYTES: usize = MAX_FRAMES * frame::MAX_DATA_BYTES;

/// Version of a channel that is compressed with brotli (Fjord).
pub(super) const BROTLI: u8 = 1;
/// What the specification proposes, and what the OP batcher uses: a hundredth more bytes than the best one, at twice its speed.
const QUALITY: i32 = 10;
/// Logarithm of the window; readers have room for this one.
const WINDOW_BITS: i32 = 22;

/// What the frames of one channel have in common.
pub type ChannelId = [u8; 16];

/// Why blocks are no channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// A block that is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The block does not fit beside what is there; alone it may.
    #[error("a channel of {0} bytes of batches, at most {MAX_RLP_BYTES} allowed")]
    Full(usize),
    /// No blocks.
    #[error("a channel without blocks")]
    Empty,
    /// More than [`MAX_CHANNEL_BYTES`] after compression.
    #[error("a channel of {0} bytes, at most {MAX_CHANNEL_BYTES} allowed")]
    TooLong(usize),
}

/// A channel that takes blocks.
#[derive(Clone, Debug, Default)]
pub struct ChannelBuilder {
    stream: Vec<u8>,
    blocks: usize,
}

impl ChannelBuilder {
    /// Without blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next block; unchanged on an error.
    pub fn push(&mut self, block: &L2Block) -> Result<(), ChannelError> {
        let before = self.stream.len();
        block.put(&mut self.stream)?;
        let after = self.stream.len();
        if after > MAX_RLP_BYTES {
            self.stream.truncate(before);
            return Err(ChannelError::Full(after));
        }
        self.blocks += 1;
        Ok(())
    }

    /// Number of blocks.
    pub const fn blocks(&self) -> usize {
        self.blocks
    }

    /// Bytes before compression.
    pub const fn bytes(&self) -> usize {
        self.stream.len()
    }

    /// Compresses: half a second to five a megabyte, the less there is to find the longer. Not for an async thread.
    pub fn close(&self) -> Result<Channel, ChannelError> {
        if self.blocks == 0 {
            return Err(ChannelError::Empty);
        }
        let data = compress(&self.stream);
        if data.len() > MAX_CHANNEL_BYTES {
            return Err(ChannelError::TooLong(data.len()));
        }
        Ok(Channel { data })
    }
}

fn compress(stream: &[u8]) -> Vec<u8> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: QUALITY,
        lgwin: WINDOW_BITS,
        size_hint: stream.len(),
        ..Default::default()
    };
    let mut data = vec![BROTLI];
    let mut rest = stream;
    brotli::BrotliCompress(&mut rest, &mut data, &parameters).expect("memory is read and written");
    data
}

/// A channel, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    data: Vec<u8>,
}

impl Channel {
    /// The first 16 bytes of its SHA-256. The specification wants no two channels alike, and leaves open how; so the same blocks have the same
    /// frames, and posting them again adds nothing to a channel that is still open.
    pub fn id(&self) -> ChannelId {
        let digest = Digest::sha256(&[&self.data]).to_bytes();
        digest.first_chunk().copied().expect("32 bytes begin with 16")
    }

    /// Version and compressed stream.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The blobs of each transaction, in the order in which they must stand on L1; up to [`MAX_TRANSACTIONS`] of up to [`MAX_BLOBS`].
    pub fn transactions(&self) -> Vec<Vec<Blob>> {
        let blobs: Vec<Blob> = frame::cut(self.id(), &self.data)
            .map(|frame| op_blob::pack(&frame).expect("a frame is cut so that it fits"))
            .collect();
        blobs.chunks(MAX_BLOBS).map(<[Blob]>::to_vec).collect()
    }
}
