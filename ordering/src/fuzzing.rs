//! What fuzz targets call: decoders that nobody else may reach. Each panics if a rule is broken that holds for any bytes.

use bytes::Bytes;

use crate::agreement;
use crate::log::LogEntry;
use crate::state::Replayed;
use crate::wire::Message;

/// A message of a peer: what decodes has no other encoding.
pub fn message(bytes: &Bytes) {
    if let Ok(message) = Message::decode(bytes) {
        assert_eq!(message.encode(), bytes, "two encodings of {message:?}");
    }
}

/// An entry of the write-ahead log: what decodes has no other encoding.
pub fn log_entry(bytes: &Bytes) {
    if let Some(entry) = LogEntry::decode(bytes) {
        assert_eq!(entry.encode(), bytes, "two encodings of {entry:?}");
        if let LogEntry::Agreement(entry) = entry {
            if let Ok(inner) = agreement::LogEntry::decode(&entry) {
                assert_eq!(inner.encode(), entry, "two encodings of {inner:?}");
            }
        }
    }
}

/// The state that a restart begins from. Its maps accept their entries in any order, so only values come back; the state root, over
/// values, says whether it is the right one.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(state) = Replayed::decode(bytes) {
        assert_eq!(Replayed::decode(&state.encode()), Ok(state));
    }
}
