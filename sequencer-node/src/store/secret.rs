//! Encryption of secrets in `wal.redb`: ChaCha20-Poly1305 under a key derived (HKDF-SHA-256) from the node key.
//!
//! Whoever holds the folder without the key file and its password learns nothing; the record's name is authenticated,
//! so one secret cannot be put in another's place.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hkdf::Hkdf;
use ordering_types::SecretKey;
use rand_core::{OsRng, RngCore};
use sha2::Sha256;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 12;
const CONTEXT: &[u8] = b"mpc-sequencer/store-secrets/1";

/// Seals and opens secrets of one node.
pub(super) struct SecretBox(ChaCha20Poly1305);

impl SecretBox {
    pub(super) fn new(key: &SecretKey) -> Self {
        let input = Zeroizing::new(key.secret_bytes());
        let mut derived = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, input.as_ref())
            .expand(CONTEXT, derived.as_mut())
            .expect("32 bytes are a valid length for HKDF-SHA-256");
        Self(ChaCha20Poly1305::new(derived.as_ref().into()))
    }

    /// `nonce ‖ ciphertext`, with a random nonce: a handful of secrets are written over a node's life.
    pub(super) fn seal(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let sealed = self
            .0
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: secret, aad: name.as_bytes() })
            .expect("secrets are far below the cipher's limit of 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// `None` if it was sealed under another key or name, or was changed.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: ciphertext, aad: name.as_bytes() };
        self.0.decrypt(Nonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_name_open_a_secret() {
        let ours = SecretBox::new(&SecretKey::from_bytes([1; 32]).unwrap());
        let other = SecretBox::new(&SecretKey::from_bytes([2; 32]).unwrap());
        let sealed = ours.seal("share", b"secret");
        assert_eq!(ours.open("share", &sealed).unwrap().as_slice(), b"secret");
        assert!(ours.open("seed", &sealed).is_none());
        assert!(other.open("share", &sealed).is_none());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            *changed.get_mut(place).unwrap() ^= 1;
            assert!(ours.open("share", &changed).is_none());
            assert!(ours.open("share", sealed.get(..place).unwrap()).is_none());
        }
    }
}
