//! One compressed run of columns:
//!
//! ```text
//!   u8 compression (0 none, 1 zstd) │ u32 raw length │ u32 stored length │ stored bytes        (big-endian)
//! ```
//!
//! The raw length is checked against what the reader is willing to hold *before* anything is decompressed, and the
//! buffer never grows beyond it.

use std::borrow::Cow;

use crate::columns::{ColumnError, Columns};

/// Bytes of a frame before its content.
pub(crate) const FRAME_PREFIX_BYTES: usize = 9;
/// zstd level. A batch has at most some hundred kilobytes: tens of milliseconds.
const LEVEL: i32 = 9;

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// Why a frame's content cannot be had. Its neighbours still can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither stored nor zstd.
    #[error("unknown compression {0}")]
    Compression(u8),
    /// Claims more than a batch may hold decompressed.
    #[error("claims {claimed} bytes decompressed, {left} allowed")]
    TooLarge {
        /// What it claims.
        claimed: usize,
        /// What is left of the batch's budget.
        left: usize,
    },
    /// zstd refuses it, or its length is not what the frame claims.
    #[error("does not decompress to what it claims")]
    Corrupt,
}

/// A frame as it stands in a payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    compression: u8,
    raw_length: usize,
    stored: &'a [u8],
}

/// Appends `raw`, compressed if that is shorter.
pub(crate) fn put_frame(out: &mut Vec<u8>, raw: &[u8]) {
    let packed = zstd::bulk::compress(raw, LEVEL).ok().filter(|packed| packed.len() < raw.len());
    let (compression, stored) = packed.as_deref().map_or((STORED, raw), |packed| (ZSTD, packed));
    put(out, compression, raw.len(), stored);
}

fn put(out: &mut Vec<u8>, compression: u8, raw_length: usize, stored: &[u8]) {
    out.push(compression);
    out.extend_from_slice(&length(raw_length).to_be_bytes());
    out.extend_from_slice(&length(stored.len()).to_be_bytes());
    out.extend_from_slice(stored);
}

/// Appends `raw` as it is.
pub(crate) fn put_stored_frame(out: &mut Vec<u8>, raw: &[u8]) {
    put(out, STORED, raw.len(), raw);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("the encoder bounds raw bytes far below 2^32")
}

impl<'a> Frame<'a> {
    /// Finds the frame's ends; its content is not looked at.
    pub(crate) fn read(columns: &mut Columns<'a>) -> Result<Self, ColumnError> {
        let compression = columns.byte()?;
        let raw_length = columns.u32()? as usize;
        let stored_length = columns.u32()? as usize;
        Ok(Self { compression, raw_length, stored: columns.take(stored_length)? })
    }

    /// The content. Takes its length from `budget`.
    pub(crate) fn open(&self, budget: &mut usize) -> Result<Cow<'a, [u8]>, FrameError> {
        let too_large = FrameError::TooLarge { claimed: self.raw_length, left: *budget };
        let left = budget.checked_sub(self.raw_length).ok_or(too_large)?;
        let raw = match self.compression {
            STORED => Cow::Borrowed(self.stored),
            ZSTD => zstd::bulk::decompress(self.stored, self.raw_length)
                .map(Cow::Owned)
                .map_err(|_| FrameError::Corrupt)?,
            other => return Err(FrameError::Compression(other)),
        };
        if raw.len() != self.raw_length {
            return Err(FrameError::Corrupt);
        }
        *budget = left;
        Ok(raw)
    }
}
