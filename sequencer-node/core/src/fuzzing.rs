//! What fuzz targets call: decoders that nobody else may reach. Each panics if a rule is broken that holds for any bytes.

use crate::key_material;
use crate::wire::{LogPayload, PeerMessage};

/// A message between node cores: what decodes has no other encoding.
pub fn peer_message(bytes: &[u8]) {
    match PeerMessage::decode(bytes) {
        Ok(PeerMessage::Signing { bytes, .. }) => mpc::fuzzing::signing_message(&bytes, 0),
        Ok(message) => assert_eq!(message.encode(), bytes, "two encodings of {message:?}"),
        Err(_) => {}
    }
}

/// What a node says through the ordered log: what decodes has no other encoding.
pub fn log_payload(bytes: &[u8]) {
    let Some(payload) = LogPayload::decode(bytes) else { return };
    assert_eq!(payload.encode(), bytes, "two encodings of {payload:?}");
    if let LogPayload::Ceremony(inner) = payload {
        mpc::fuzzing::ceremony_payload(inner);
    }
}

/// A stored key share with its group's public data.
pub fn stored_key(bytes: &[u8]) {
    if let Ok((sharing, material)) = key_material::decode(bytes) {
        assert_eq!(key_material::encode(sharing, &material).as_slice(), bytes);
    }
}
