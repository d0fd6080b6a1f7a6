//! zstd with a pinned dictionary: what many batches have in common need not be said in each.

use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::frame::FrameError;

/// Part of the format: another one is another version of it.
pub(crate) const DICTIONARY: &[u8] = include_bytes!("dictionary.zstd");
/// Columns are small and alike: the slow levels are worth it, and are still fast on them.
const LEVEL: i32 = 19;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// `None` if that is no shorter.
pub(super) fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = Compressor::with_prepared_dictionary(&ENCODER).ok()?;
    compressor.compress(raw).ok().filter(|packed| packed.len() < raw.len())
}

/// Exactly `length` bytes, which the caller has in its budget.
pub(super) fn decompress(stored: &[u8], length: usize) -> Result<Vec<u8>, FrameError> {
    let raw = Decompressor::with_prepared_dictionary(&DECODER)
        .and_then(|mut decompressor| decompressor.decompress(stored, length))
        .map_err(|_| FrameError::Corrupt)?;
    if raw.len() == length { Ok(raw) } else { Err(FrameError::Corrupt) }
}
