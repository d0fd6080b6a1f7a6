//! Secret randomness drawn from one 32-byte secret: HKDF-SHA256 (RFC 5869) to a key, ChaCha20 (RFC 8439) to a stream.
//!
//! Every use names its own stream, so that no value depends on the order in which others were drawn. The key is wiped when
//! the stream is dropped.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(crate) struct SecretStream(ChaCha20);

impl SecretStream {
    /// The stream of `secret` for the use named by the concatenation of `info`.
    pub(crate) fn derive(secret: &[u8; 32], info: &[&[u8]]) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, secret)
            .expand_multi_info(info, key.as_mut())
            .expect("32 bytes are within the output limit of HKDF");
        Self(ChaCha20::new(key.as_slice().into(), &[0; 12].into()))
    }
}

impl RngCore for SecretStream {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.fill(0);
        self.0.apply_keystream(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for SecretStream {}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(secret: u8, info: &[&[u8]]) -> u64 {
        SecretStream::derive(&[secret; 32], info).next_u64()
    }

    #[test]
    fn streams_depend_on_secret_and_use_only() {
        assert_eq!(first(1, &[b"a"]), first(1, &[b"a"]));
        assert_ne!(first(1, &[b"a"]), first(2, &[b"a"]));
        assert_ne!(first(1, &[b"a"]), first(1, &[b"b"]));
    }

    #[test]
    fn a_stream_goes_on() {
        let mut stream = SecretStream::derive(&[7; 32], &[b"x"]);
        assert_ne!(stream.next_u64(), stream.next_u64());
    }
}
