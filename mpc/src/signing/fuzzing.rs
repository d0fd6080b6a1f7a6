//! See [`crate::fuzzing`].

use super::message::Message;

pub(crate) fn message_is_canonical(bytes: &[u8], epoch: u64) {
    let Ok(Some(message)) = Message::parse(bytes, epoch) else { return };
    assert_eq!(message.to_bytes(epoch), bytes, "two encodings of {message:?}");
    if let Message::Package(package) = &message {
        // Points are decoded only when the package is used.
        let _ = package.commitments();
    }
}
