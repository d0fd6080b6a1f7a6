//! The validator key: one secp256k1 key is libp2p identity, vote key and registry address.
//!
//! Signatures are ECDSA over a 32-byte digest, low-s, with recovery id, so that L1 can check them with
//! `ecrecover`. libsecp256k1 does the work.
//!
//! # Simulated keys
//! With the cargo feature `simulation` there is a second kind of key, whose "signatures" are hashes that anybody can compute: a
//! simulator of whole networks would otherwise spend nearly all its time on curves. Such a key comes into being through
//! [`SecretKey::simulated`] alone. Only those that came into being in this very process are ever read from bytes, so that a real node that is
//! built together with a simulator (cargo unites features) can still not be given one.

use std::fmt;
use std::str::FromStr;

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// Why bytes are no key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 33 bytes of a compressed point.
    #[error("not a compressed secp256k1 public key")]
    PublicKey,
    /// Zero, or not below the group order.
    #[error("not a secp256k1 secret key")]
    SecretKey,
    /// Not hexadecimal of the right length.
    #[error("not hexadecimal of the right length")]
    Hex,
}

/// A validator's secret key. Prints as redacted; the shell alone stores it, encrypted.
#[derive(Clone)]
pub struct SecretKey(Secret);

#[derive(Clone)]
enum Secret {
    Curve(secp256k1::SecretKey),
    #[cfg(feature = "simulation")]
    Simulated([u8; 32]),
}

impl SecretKey {
    /// From 32 big-endian bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = secp256k1::SecretKey::from_byte_array(bytes).map_err(|_| KeyError::SecretKey)?;
        Ok(Self(Secret::Curve(key)))
    }

    /// A key for simulations: fast, and no secret at all. The only way to one; see the module's documentation.
    #[cfg(feature = "simulation")]
    pub const fn simulated(seed: [u8; 32]) -> Self {
        Self(Secret::Simulated(seed))
    }

    /// The 32 secret bytes, for encrypted storage only.
    pub fn secret_bytes(&self) -> [u8; 32] {
        match &self.0 {
            Secret::Curve(key) => key.secret_bytes(),
            #[cfg(feature = "simulation")]
            Secret::Simulated(seed) => *seed,
        }
    }

    /// Its public key.
    pub fn public_key(&self) -> PublicKey {
        match &self.0 {
            Secret::Curve(key) => PublicKey(Public::Curve(key.public_key(SECP256K1))),
            #[cfg(feature = "simulation")]
            Secret::Simulated(seed) => PublicKey(Public::Simulated(simulated::born(seed))),
        }
    }

    /// Signs a digest.
    pub fn sign(&self, digest: Digest) -> Signature {
        match &self.0 {
            Secret::Curve(key) => sign_on_curve(key, digest),
            #[cfg(feature = "simulation")]
            Secret::Simulated(seed) => simulated::sign(&simulated::public(seed), digest),
        }
    }
}

fn sign_on_curve(key: &secp256k1::SecretKey, digest: Digest) -> Signature {
    let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.to_bytes()), key);
    let (id, compact) = signature.serialize_compact();
    let mut bytes = [0; 65];
    let (rs, v) = bytes.split_at_mut(64);
    rs.copy_from_slice(&compact);
    if let [v] = v {
        *v = 27 + u8::from(i32::from(id) & 1 == 1);
    }
    Signature(bytes)
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        match &mut self.0 {
            Secret::Curve(key) => key.non_secure_erase(),
            #[cfg(feature = "simulation")]
            Secret::Simulated(_) => {}
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// A validator's public key, shown as 33 compressed bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Public);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Public {
    Curve(secp256k1::PublicKey),
    #[cfg(feature = "simulation")]
    Simulated([u8; 33]),
}

impl PublicKey {
    /// From a compressed point.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 33] = bytes.try_into().map_err(|_| KeyError::PublicKey)?;
        #[cfg(feature = "simulation")]
        if simulated::was_born(&bytes) {
            return Ok(Self(Public::Simulated(bytes)));
        }
        let key = secp256k1::PublicKey::from_byte_array_compressed(bytes).map_err(|_| KeyError::PublicKey)?;
        Ok(Self(Public::Curve(key)))
    }

    /// The compressed point.
    pub fn to_bytes(&self) -> [u8; 33] {
        match &self.0 {
            Public::Curve(key) => key.serialize(),
            #[cfg(feature = "simulation")]
            Public::Simulated(bytes) => *bytes,
        }
    }

    /// The Ethereum address of the key: last 20 bytes of Keccak-256 over the uncompressed point.
    pub fn address(&self) -> Address {
        let point = match &self.0 {
            Public::Curve(key) => key.serialize_uncompressed(),
            #[cfg(feature = "simulation")]
            Public::Simulated(bytes) => simulated::point(bytes),
        };
        let [_, point @ ..] = &point;
        let digest = Digest::keccak256(&[point]);
        Address(*digest.as_bytes().last_chunk::<20>().expect("a digest has 32 bytes"))
    }

    /// Whether L1 takes `signature` for this key's over `digest`: as [`verify`](Self::verify), and its last byte recovers this very key. Costs more.
    pub fn verify_as_l1(&self, digest: Digest, signature: &Signature) -> bool {
        match &self.0 {
            Public::Curve(_) => {
                let [.., v] = signature.0;
                matches!(v, 27 | 28)
                    && self.verify(digest, signature)
                    && signature.recover(digest).as_ref() == Some(self)
            }
            #[cfg(feature = "simulation")]
            Public::Simulated(_) => self.verify(digest, signature),
        }
    }

    /// Whether `signature` is this key's over `digest`. High-s signatures are refused, as on L1.
    pub fn verify(&self, digest: Digest, signature: &Signature) -> bool {
        match &self.0 {
            Public::Curve(key) => verify_on_curve(key, digest, signature),
            #[cfg(feature = "simulation")]
            Public::Simulated(public) => simulated::sign(public, digest) == *signature,
        }
    }
}

fn verify_on_curve(key: &secp256k1::PublicKey, digest: Digest, signature: &Signature) -> bool {
    let Some((compact, _)) = signature.0.split_first_chunk::<64>() else { return false };
    let Ok(signature) = secp256k1::ecdsa::Signature::from_compact(compact) else { return false };
    SECP256K1.verify_ecdsa(Message::from_digest(digest.to_bytes()), &signature, key).is_ok()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|_| KeyError::Hex)?;
        Self::from_bytes(&bytes)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            let bytes = Vec::<u8>::deserialize(deserializer)?;
            Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
        }
    }
}

/// A 20-byte Ethereum address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; 20]);

impl Address {
    /// Wraps raw bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| KeyError::Hex)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An ECDSA signature: r (32) ‖ s (32, low) ‖ v (27 or 28), as `ecrecover` takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature([u8; 65]);

impl Signature {
    /// Wraps raw bytes; whether they are a valid signature is seen at verification.
    pub const fn new(bytes: [u8; 65]) -> Self {
        Self(bytes)
    }

    /// r ‖ s ‖ v.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// The key that made this signature over `digest`, if any.
    pub fn recover(&self, digest: Digest) -> Option<PublicKey> {
        let (compact, v) = self.0.split_first_chunk::<64>()?;
        let id = RecoveryId::try_from(i32::from(v.first()?.checked_sub(27)?)).ok()?;
        let signature = RecoverableSignature::from_compact(compact, id).ok()?;
        let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.to_bytes()), &signature).ok()?;
        Some(PublicKey(Public::Curve(key)))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({}…)", hex::encode([a, b, c, d]))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&format!("0x{}", hex::encode(self.0)))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(serde::de::Error::custom)?
        } else {
            Vec::<u8>::deserialize(deserializer)?
        };
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::custom("a signature has 65 bytes"))?;
        Ok(Self(bytes))
    }
}

/// Hashes in place of curves.
#[cfg(feature = "simulation")]
mod simulated {
    use std::collections::BTreeSet;
    use std::sync::{PoisonError, RwLock};

    use super::Signature;
    use crate::Digest;

    /// No compressed point begins with this byte, so these bytes are never read as a real key.
    const PREFIX: u8 = 0xff;

    /// Those of this process.
    static BORN: RwLock<BTreeSet<[u8; 33]>> = RwLock::new(BTreeSet::new());

    /// The public key, which may be read from bytes from now on.
    pub(super) fn born(seed: &[u8; 32]) -> [u8; 33] {
        let public = public(seed);
        if !was_born(&public) {
            BORN.write().unwrap_or_else(PoisonError::into_inner).insert(public);
        }
        public
    }

    pub(super) fn was_born(bytes: &[u8; 33]) -> bool {
        let [first, ..] = bytes;
        *first == PREFIX && BORN.read().unwrap_or_else(PoisonError::into_inner).contains(bytes)
    }

    pub(super) fn public(seed: &[u8; 32]) -> [u8; 33] {
        let mut bytes = [PREFIX; 33];
        let (_, hash) = bytes.split_at_mut(1);
        hash.copy_from_slice(Digest::sha256(&[b"simulated key", seed]).as_bytes());
        bytes
    }

    pub(super) fn sign(public: &[u8; 33], digest: Digest) -> Signature {
        let mut bytes = [0; 65];
        let (hash, _) = bytes.split_at_mut(32);
        hash.copy_from_slice(Digest::sha256(&[b"simulated signature", public, digest.as_bytes()]).as_bytes());
        Signature(bytes)
    }

    /// Stands for the uncompressed point.
    pub(super) fn point(public: &[u8; 33]) -> [u8; 65] {
        let mut bytes = [PREFIX; 65];
        let (head, _) = bytes.split_at_mut(33);
        head.copy_from_slice(public);
        bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::codec;

    fn key() -> SecretKey {
        SecretKey::from_bytes([7; 32]).unwrap()
    }

    #[test]
    fn a_signature_verifies_recovers_and_survives_the_codec() {
        let digest = Digest::sha256(&[b"message"]);
        let signature = key().sign(digest);
        assert!(key().public_key().verify(digest, &signature));
        assert_eq!(signature.recover(digest), Some(key().public_key()));
        assert!(!key().public_key().verify(Digest::sha256(&[b"other"]), &signature));
        assert_eq!(codec::decode::<Signature>(&codec::encode(&signature), 100), Ok(signature));
        let public = key().public_key();
        assert_eq!(codec::decode::<PublicKey>(&codec::encode(&public), 100), Ok(public));
    }

    #[test]
    fn the_address_is_ethereums() {
        // The first development account of the "test … junk" mnemonic.
        let bytes = hex::decode("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
        let key = SecretKey::from_bytes(bytes.try_into().unwrap()).unwrap();
        assert_eq!(key.public_key().address().to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    }

    #[test]
    fn garbage_is_refused_and_secrets_are_redacted() {
        assert!(SecretKey::from_bytes([0; 32]).is_err());
        assert!(PublicKey::from_bytes(&[2; 33]).is_ok() || PublicKey::from_bytes(&[2; 32]).is_err());
        assert_eq!(Signature::new([0; 65]).recover(Digest::ZERO), None);
        assert_eq!(Signature::new([255; 65]).recover(Digest::ZERO), None);
        assert!(!key().public_key().verify(Digest::ZERO, &Signature::new([255; 65])));
        assert_eq!(format!("{:?}", key()), "SecretKey(redacted)");
    }

    #[cfg(feature = "simulation")]
    #[test]
    fn a_simulated_key_signs_and_is_only_read_where_it_came_into_being() {
        let key = SecretKey::simulated([7; 32]);
        let (public, digest) = (key.public_key(), Digest::sha256(&[b"message"]));
        assert!(public.verify(digest, &key.sign(digest)));
        assert!(!public.verify(Digest::ZERO, &key.sign(digest)));
        assert!(!SecretKey::simulated([8; 32]).public_key().verify(digest, &key.sign(digest)));
        assert_eq!(key.sign(digest).recover(digest), None);
        assert_ne!(SecretKey::from_bytes(key.secret_bytes()).unwrap().public_key(), public);
        assert_eq!(PublicKey::from_bytes(&public.to_bytes()), Ok(public));
        let mut unborn = public.to_bytes();
        unborn[32] ^= 1;
        assert_eq!(PublicKey::from_bytes(&unborn), Err(KeyError::PublicKey));
        assert_eq!(hex::encode(unborn).parse::<PublicKey>(), Err(KeyError::PublicKey));
        assert!(codec::decode::<PublicKey>(&codec::encode(&unborn.to_vec()), 100).is_err());
        assert_eq!(format!("{key:?}"), "SecretKey(redacted)");
    }
}
