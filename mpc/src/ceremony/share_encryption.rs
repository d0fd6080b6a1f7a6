//! A share encrypted to its recipient: ECIES on secp256k1.
//!
//! `S = e·EK_j = ek_j·E` (ephemeral of the dealer, static of the recipient for this ceremony),
//! `key = HKDF-SHA256(salt = context, ikm = S, info = domain ‖ dealer ‖ recipient ‖ E ‖ EK_j)`,
//! `ciphertext = ChaCha20-Poly1305(key, nonce = 0, aad = id ‖ dealer ‖ recipient, share)`.
//!
//! The key is used once: it depends on dealer, recipient and both public keys, hence the constant nonce. One ephemeral key
//! serves all recipients of a dealing; the dealing carries a proof that the dealer knows it. Opening is split at `S`, the
//! value that a recipient will publish with a proof when it complains, so that everyone can open that one share.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use k256::{ProjectivePoint, Scalar};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::context::Context;
use crate::member::MemberId;
use crate::wire::{POINT_LEN, SCALAR_LEN, compress, scalar, scalar_bytes};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/share";

/// Bytes of an encrypted share: the scalar and the tag.
pub(super) const ENCRYPTED_SHARE_LEN: usize = SCALAR_LEN + 16;

/// From whom to whom, under which keys.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    pub(super) context: &'a Context,
    pub(super) dealer: MemberId,
    pub(super) recipient: MemberId,
    pub(super) ephemeral: &'a ProjectivePoint,
    pub(super) encryption: &'a ProjectivePoint,
}

/// The Diffie-Hellman point of one route.
pub(super) struct SharedPoint(Zeroizing<[u8; POINT_LEN]>);

impl SharedPoint {
    /// One side's secret times the other side's public key. `None` only for the identity, which neither side can send.
    pub(super) fn new(secret: &Scalar, public: &ProjectivePoint) -> Option<Self> {
        Self::of(&(*public * secret))
    }

    /// The point itself, as a complaint shows it.
    pub(super) fn of(point: &ProjectivePoint) -> Option<Self> {
        compress(point).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

impl Route<'_> {
    pub(super) fn seal(&self, shared: &SharedPoint, share: &Scalar) -> [u8; ENCRYPTED_SHARE_LEN] {
        let plain = Zeroizing::new(scalar_bytes(share));
        let payload = Payload { msg: plain.as_slice(), aad: &self.associated_data() };
        let sealed =
            self.cipher(shared).encrypt(&Nonce::default(), payload).expect("32 bytes can be encrypted");
        sealed.try_into().expect("a scalar and a tag")
    }

    /// The share, or `None` if the ciphertext is not a canonical scalar for this route.
    pub(super) fn open(
        &self,
        shared: &SharedPoint,
        sealed: &[u8; ENCRYPTED_SHARE_LEN],
    ) -> Option<Zeroizing<Scalar>> {
        let payload = Payload { msg: sealed, aad: &self.associated_data() };
        let plain = Zeroizing::new(self.cipher(shared).decrypt(&Nonce::default(), payload).ok()?);
        let bytes = Zeroizing::new(<[u8; SCALAR_LEN]>::try_from(plain.as_slice()).ok()?);
        scalar(&bytes).ok().map(Zeroizing::new)
    }

    fn cipher(&self, shared: &SharedPoint) -> ChaCha20Poly1305 {
        let mut key = Zeroizing::new([0; 32]);
        let zero = [0; POINT_LEN];
        let info = [
            DOMAIN,
            &self.dealer.number().to_be_bytes(),
            &self.recipient.number().to_be_bytes(),
            &compress(self.ephemeral).unwrap_or(zero),
            &compress(self.encryption).unwrap_or(zero),
        ];
        Hkdf::<Sha256>::new(Some(&self.context.digest), shared.0.as_slice())
            .expand_multi_info(&info, key.as_mut())
            .expect("32 bytes are within the output limit of HKDF");
        ChaCha20Poly1305::new(Key::from_slice(key.as_slice()))
    }

    fn associated_data(&self) -> Vec<u8> {
        let mut data = self.context.id.to_bytes().to_vec();
        data.extend(self.dealer.number().to_be_bytes());
        data.extend(self.recipient.number().to_be_bytes());
        data
    }
}
