//! Entries of the write-ahead log: agreement's own, and the cuts that its values stand for. A cut is logged before agreement is told
//! of it, so after a restart every value that was voted for can be expanded, decided and proposed again.

use bytes::{BufMut, Bytes, BytesMut};
use ordering_types::Digest;

const AGREEMENT: u8 = 0;
const CUT: u8 = 1;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogEntry {
    /// Agreement's, opaque.
    Agreement(Bytes),
    /// A valid cut and its header hash.
    Cut { value: Digest, cut: Bytes },
}

impl LogEntry {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        match self {
            Self::Agreement(entry) => {
                bytes.put_u8(AGREEMENT);
                bytes.put_slice(entry);
            }
            Self::Cut { value, cut } => {
                bytes.put_u8(CUT);
                bytes.put_slice(value.as_ref());
                bytes.put_slice(cut);
            }
        }
        bytes.freeze()
    }

    /// `None` for bytes that are no entry.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        match *bytes.first()? {
            AGREEMENT => Some(Self::Agreement(bytes.slice(1..))),
            CUT => {
                let value: [u8; 32] = bytes.get(1..33)?.try_into().ok()?;
                Some(Self::Cut { value: Digest::new(value), cut: bytes.slice(33..) })
            }
            _ => None,
        }
    }
}
