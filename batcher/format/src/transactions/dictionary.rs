//! zstd with a pinned dictionary: what many batches have in common need not be said in each.
//!
//! It has function selectors that many contracts share, idioms of compilers and what else generated transactions have in common, and
//! zstd's statistics of the columns; no address or key of anybody. It was made by
//! `cargo bench -p batcher --bench codec -- --dictionary FILE`, from other seeds than those that are measured.

use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use crate::frame::FrameError;

/// Part of the format: another one is another version of it.
pub(super) const DICTIONARY: &[u8] = include_bytes!("dictionary.zstd");
/// SHA-256 of it.
#[cfg(test)]
pub(super) const HASH: &str = "d057e4a2f75ca49baab76569c12e82626c917804ed9f9b04d5ec7725f0002ec7";
/// Columns are small and alike: the slow levels are worth it, and are still fast on them.
const LEVEL: i32 = 19;

/// How a stream is stored: without the dictionary, and with it.
const ALONE: u64 = 2;
const WITH_DICTIONARY: u64 = 3;

static ENCODER: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// Compressed bytes.
pub(super) struct Packed {
    /// With the dictionary or without.
    pub(super) how: u64,
    pub(super) bytes: Vec<u8>,
}

/// The shorter of both ways; `None` if that is no shorter than `raw`.
pub(super) fn compress(raw: &[u8]) -> Option<Packed> {
    let pack = |how: u64, compressor: std::io::Result<Compressor<'_>>| {
        let mut compressor = compressor.ok()?;
        // Which it is, `how` says.
        compressor.include_dictid(false).ok()?;
        let bytes = compressor.compress(raw).ok()?;
        (bytes.len() < raw.len()).then_some(Packed { how, bytes })
    };
    let with = pack(WITH_DICTIONARY, Compressor::with_prepared_dictionary(&ENCODER));
    let alone = pack(ALONE, Compressor::new(LEVEL));
    with.into_iter().chain(alone).min_by_key(|packed| packed.bytes.len())
}

/// Exactly `length` bytes, which the caller has in its budget.
pub(super) fn decompress(how: u64, stored: &[u8], length: usize) -> Result<Vec<u8>, FrameError> {
    let decompressor = match how {
        ALONE => Decompressor::new(),
        WITH_DICTIONARY => Decompressor::with_prepared_dictionary(&DECODER),
        _ => return Err(FrameError::Corrupt),
    };
    let raw = decompressor.and_then(|mut decompressor| decompressor.decompress(stored, length));
    raw.ok().filter(|raw| raw.len() == length).ok_or(FrameError::Corrupt)
}
