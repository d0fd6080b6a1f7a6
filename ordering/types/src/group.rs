//! The committee's one key and the FROST(secp256k1, SHA-256) signatures it makes (RFC 9591).

use std::fmt;

use frost_secp256k1::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Digest;

/// Why bytes are no group key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Not a compressed point.
    #[error("not a compressed group key")]
    Key,
    /// Not R ‖ z of the right length and range.
    #[error("not a FROST signature")]
    Signature,
    /// A signature, but not over this digest by this key.
    #[error("the group signature does not verify")]
    Invalid,
}

/// A committee's group key: 33 bytes, compressed SEC1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey([u8; 33]);

impl GroupKey {
    /// Checks that the bytes are a point.
    pub fn from_bytes(bytes: [u8; 33]) -> Result<Self, GroupError> {
        VerifyingKey::deserialize(&bytes).map_err(|_| GroupError::Key)?;
        Ok(Self(bytes))
    }

    /// The compressed point.
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    /// Affine coordinates, as the contract stores them.
    pub fn coordinates(&self) -> ([u8; 32], [u8; 32]) {
        coordinates(&self.0).expect("the constructor checked the point")
    }

    /// Checks one signature over one digest.
    pub fn verify(&self, digest: Digest, signature: &GroupSignature) -> Result<(), GroupError> {
        let key = VerifyingKey::deserialize(&self.0).map_err(|_| GroupError::Key)?;
        let signature = Signature::deserialize(&signature.0).map_err(|_| GroupError::Signature)?;
        key.verify(digest.as_ref(), &signature).map_err(|_| GroupError::Invalid)
    }
}

fn coordinates(compressed: &[u8; 33]) -> Option<([u8; 32], [u8; 32])> {
    let point = secp256k1::PublicKey::from_byte_array_compressed(*compressed).ok()?;
    let uncompressed = point.serialize_uncompressed();
    let (_, xy) = uncompressed.split_first()?;
    let (x, y) = xy.split_first_chunk::<32>()?;
    Some((*x, y.try_into().ok()?))
}

/// A group signature: R (33 bytes, compressed) ‖ z (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSignature([u8; 65]);

impl GroupSignature {
    /// Wraps raw bytes; whether they are a valid signature is seen at verification.
    pub const fn new(bytes: [u8; 65]) -> Self {
        Self(bytes)
    }

    /// R ‖ z.
    pub const fn as_bytes(&self) -> &[u8; 65] {
        &self.0
    }

    /// `(R.x, R.y, z)` as the contract takes them, or `None` if R is no point.
    pub fn words(&self) -> Option<([u8; 32], [u8; 32], [u8; 32])> {
        let (r, z) = self.0.split_first_chunk::<33>()?;
        let (x, y) = coordinates(r)?;
        Some((x, y, z.try_into().ok()?))
    }
}

macro_rules! hex_bytes {
    ($name:ident, $length:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                let bytes = if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)?
                } else {
                    Vec::<u8>::deserialize(deserializer)?
                };
                let bytes: [u8; $length] = bytes.try_into().map_err(|_| D::Error::custom("wrong length"))?;
                Ok(Self(bytes))
            }
        }
    };
}

hex_bytes!(GroupKey, 33);
hex_bytes!(GroupSignature, 65);
