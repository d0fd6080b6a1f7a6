//! What fuzz targets call: decoders that nobody else may reach. Each panics if a rule is broken that holds for any bytes.

use crate::ceremony::fuzzing::payload_is_canonical;
use crate::signing::BurnRecord;
use crate::signing::fuzzing::message_is_canonical;
use crate::{GroupPublic, KeyShare};

/// A message between signers, of this epoch: what parses has no other encoding.
pub fn signing_message(bytes: &[u8], epoch: u64) {
    message_is_canonical(bytes, epoch);
}

/// A ceremony's message in the log.
pub fn ceremony_payload(bytes: &[u8]) {
    payload_is_canonical(bytes);
}

/// What is stored: keys and the trace of shares.
pub fn stored(bytes: &[u8]) {
    if let Ok(public) = GroupPublic::from_bytes(bytes) {
        assert_eq!(public.to_bytes(), bytes);
    }
    if let Ok(share) = KeyShare::from_bytes(bytes) {
        assert_eq!(share.to_bytes().as_slice(), bytes);
    }
    if let Ok(record) = BurnRecord::from_bytes(bytes) {
        assert_eq!(record.to_bytes(), bytes);
    }
}
