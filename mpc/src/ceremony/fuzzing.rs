//! See [`crate::fuzzing`].

use super::payload::{Envelope, wrap};

pub(crate) fn payload_is_canonical(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert_eq!(wrap(envelope.step, envelope.id, envelope.body), bytes);
    }
}
