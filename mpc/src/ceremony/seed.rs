//! The one secret from which a member's whole part in a ceremony follows.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret_stream::SecretStream;

/// 32 secret bytes, from the operating system's generator, for the ceremonies of one epoch's key.
///
/// **Rules for the shell.** The seed must be durable before the first message of the ceremony leaves the node; a restarted
/// node makes the same [`Ceremony`](super::Ceremony) from it, replays the log, and arrives at the same state having emitted
/// the same bytes. It is as secret as the key share (it yields it, given the log), so it is stored encrypted and erased with
/// it. Use a new one for each epoch. A ceremony's id, members and threshold are part of the derivation of all that it deals, so that the secrets of
/// two attempts are unrelated; the encryption key is the epoch's.
pub struct CeremonySeed(Zeroizing<[u8; 32]>);

impl CeremonySeed {
    /// Takes over the secret bytes; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// `scope`: the digest of what the secrets are for.
    pub(super) fn stream(&self, scope: &[u8; 32], label: &[u8]) -> SecretStream {
        SecretStream::derive(&self.0, &[scope, label])
    }
}

impl fmt::Debug for CeremonySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CeremonySeed(<redacted>)")
    }
}
