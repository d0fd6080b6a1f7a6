//! What a ceremony leaves behind: the group's public data and one member's share of the key.

use std::collections::BTreeMap;
use std::fmt;

use frost_secp256k1::Signature;
use frost_secp256k1::VerifyingKey;
use frost_secp256k1::keys::{KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use k256::{ProjectivePoint, Scalar};
use zeroize::{Zeroize, Zeroizing};

use crate::member::{MAX_MEMBERS, MemberId, Threshold, ThresholdError};
use crate::wire::{POINT_LEN, Reader, WireError, compress, count_of, decompress, scalar, scalar_bytes};

/// A group signature: `R` (33-byte compressed SEC1) ‖ `z` (32 bytes, big-endian), RFC 9591 section 6.5.
pub type SignatureBytes = [u8; 65];

/// Bytes of an encoded [`KeyShare`].
pub const KEY_SHARE_LEN: usize = 34;

/// The public half of a group key: what everyone may know and needs to verify shares and signatures.
#[derive(Clone, PartialEq)]
pub struct GroupPublic {
    threshold: Threshold,
    package: PublicKeyPackage,
    shares: BTreeMap<MemberId, [u8; POINT_LEN]>,
    key: [u8; POINT_LEN],
}

impl GroupPublic {
    /// From the group key and every member's verifying share, all of them compressed points.
    pub(crate) fn new(
        threshold: u16,
        key: [u8; POINT_LEN],
        shares: BTreeMap<MemberId, [u8; POINT_LEN]>,
    ) -> Result<Self, KeyError> {
        let threshold = Threshold::new(threshold, shares.len())?;
        let mut verifying = BTreeMap::new();
        for (member, bytes) in &shares {
            decompress(bytes)?;
            let share = VerifyingShare::deserialize(bytes).map_err(|_| WireError::Point)?;
            verifying.insert(member.identifier(), share);
        }
        decompress(&key)?;
        let verifying_key = VerifyingKey::deserialize(&key).map_err(|_| WireError::Point)?;
        let package = PublicKeyPackage::new(verifying, verifying_key, Some(threshold.get()));
        Ok(Self { threshold, package, shares, key })
    }

    /// The group key, 33-byte compressed SEC1.
    #[must_use]
    pub fn key(&self) -> [u8; POINT_LEN] {
        self.key
    }

    /// How many members sign together.
    #[must_use]
    pub fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The members, ascending.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberId> + '_ {
        self.shares.keys().copied()
    }

    /// A member's verifying share (its signing share times the generator), compressed.
    #[must_use]
    pub fn verifying_share(&self, member: MemberId) -> Option<[u8; POINT_LEN]> {
        self.shares.get(&member).copied()
    }

    /// Checks a group signature over a 32-byte digest (the digest is the *message* of RFC 9591; it is hashed again).
    pub fn verify(&self, digest: &[u8; 32], signature: &SignatureBytes) -> Result<(), VerifyError> {
        self.verify_message(digest, signature)
    }

    pub(crate) fn verify_message(
        &self,
        message: &[u8],
        signature: &SignatureBytes,
    ) -> Result<(), VerifyError> {
        let mut reader = Reader::new(signature);
        let parsed = reader.point().and_then(|_| reader.scalar());
        parsed.map_err(|_| VerifyError::Malformed)?;
        let signature = Signature::deserialize(signature).map_err(|_| VerifyError::Malformed)?;
        self.package.verifying_key().verify(message, &signature).map_err(|_| VerifyError::Invalid)
    }

    pub(crate) fn package(&self) -> &PublicKeyPackage {
        &self.package
    }

    /// `key (33) ‖ t (2) ‖ n (2) ‖ n × (member (2) ‖ verifying share (33))`, members ascending.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.key.to_vec();
        out.extend(self.threshold.get().to_be_bytes());
        out.extend(count_of(self.shares.len()));
        for (member, share) in &self.shares {
            out.extend(member.number().to_be_bytes());
            out.extend(share);
        }
        out
    }

    /// Reads what [`Self::to_bytes`] wrote. Checks the form of everything; not that the shares interpolate to the key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(bytes);
        let key = reader.array()?;
        let threshold = reader.u16()?;
        let count = reader.count(usize::from(MAX_MEMBERS))?;
        let mut shares = BTreeMap::new();
        for _ in 0..count {
            let member = reader.member()?;
            if shares.last_key_value().is_some_and(|(last, _)| *last >= member) {
                return Err(WireError::Member.into());
            }
            shares.insert(member, reader.array()?);
        }
        reader.finish()?;
        Self::new(threshold, key, shares)
    }
}

impl fmt::Debug for GroupPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupPublic({} of {}, ", self.threshold.get(), self.shares.len())?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// One member's secret share of a group key. Wiped when dropped, never printed.
pub struct KeyShare {
    member: MemberId,
    secret: Zeroizing<Scalar>,
}

impl KeyShare {
    pub(crate) fn new(member: MemberId, secret: Zeroizing<Scalar>) -> Self {
        Self { member, secret }
    }

    /// Whose share it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    pub(crate) fn secret(&self) -> &Scalar {
        &self.secret
    }

    /// Whether it is a share of this key.
    pub(crate) fn is_of(&self, public: &GroupPublic) -> bool {
        let expected = public.verifying_share(self.member);
        expected.is_some() && compress(&(ProjectivePoint::GENERATOR * *self.secret)) == expected
    }

    /// `member (2) ‖ scalar (32)`, for encrypted storage only.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_SHARE_LEN]> {
        let mut out = Zeroizing::new([0; KEY_SHARE_LEN]);
        let (number, secret) = out.split_at_mut(2);
        number.copy_from_slice(&self.member.number().to_be_bytes());
        secret.copy_from_slice(Zeroizing::new(scalar_bytes(&self.secret)).as_slice());
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(bytes);
        let member = reader.member()?;
        let secret = Zeroizing::new(reader.array()?);
        reader.finish()?;
        Ok(Self { member, secret: Zeroizing::new(scalar(&secret)?) })
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({}, <redacted>)", self.member)
    }
}

/// A member's share together with the public data that it belongs to.
#[derive(Debug)]
pub struct KeyMaterial {
    share: KeyShare,
    public: GroupPublic,
}

impl KeyMaterial {
    /// Puts a share and public data together, checking that the share is the one the public data commits to.
    pub fn new(share: KeyShare, public: GroupPublic) -> Result<Self, KeyError> {
        let expected = public.verifying_share(share.member).ok_or(KeyError::NotAMember(share.member))?;
        if compress(&(ProjectivePoint::GENERATOR * *share.secret)) != Some(expected) {
            return Err(KeyError::Mismatch(share.member));
        }
        Ok(Self { share, public })
    }

    /// The secret share.
    #[must_use]
    pub fn share(&self) -> &KeyShare {
        &self.share
    }

    /// The public data.
    #[must_use]
    pub fn public(&self) -> &GroupPublic {
        &self.public
    }

    /// Whose share it is.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.share.member
    }

    /// The same in the form that frost signs with (it wipes itself when dropped).
    pub(crate) fn key_package(&self) -> KeyPackage {
        let mut bytes = scalar_bytes(&self.share.secret);
        let signing = Zeroizing::new(SigningShare::deserialize(&bytes).expect("our own scalar is canonical"));
        bytes.zeroize();
        let identifier = self.share.member.identifier();
        let verifying = self.public.package.verifying_shares().get(&identifier).expect("checked in `new`");
        let key = *self.public.package.verifying_key();
        KeyPackage::new(identifier, *signing, *verifying, key, self.public.threshold.get())
    }
}

/// Why bytes are not a key, or a share does not fit its group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes do not parse.
    #[error("malformed key material: {0}")]
    Malformed(#[from] WireError),
    /// Threshold or size cannot be.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// The share's owner is not in the group.
    #[error("member {0} is not in the group")]
    NotAMember(MemberId),
    /// The share is not the one the public data commits to.
    #[error("the share of member {0} does not match the group's verifying share")]
    Mismatch(MemberId),
}

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not the canonical encoding of a point and a scalar.
    #[error("not a signature")]
    Malformed,
    /// Well-formed, but not made by this key over this digest.
    #[error("signature does not verify")]
    Invalid,
}
