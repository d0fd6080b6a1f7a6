//! Proof of possession: a Schnorr proof of knowledge of the secret behind a point, bound to its scope, prover and content.
//!
//! `R = kG`, `c = SHA-256(domain ‖ purpose ‖ scope ‖ member ‖ X ‖ content ‖ R) mod q`, `z = k + c·x`; valid if
//! `zG = R + cX`. The nonce `k` is derived from the seed *and everything that is hashed*, as in RFC 6979: a member that
//! replays never answers two challenges with one nonce.
//!
//! Why each point needs one: without it for a dealer's constant, the last dealer could cancel the others' keys (rogue key);
//! without it for an encryption or ephemeral key, a dealer could copy another's key and learn from a complaint about its
//! own dealing what the other dealt.

use std::fmt;

use k256::elliptic_curve::Field;
use k256::elliptic_curve::ops::Reduce;
use k256::{ProjectivePoint, Scalar, U256};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::seed::CeremonySeed;
use crate::member::MemberId;
use crate::wire::{POINT_LEN, Reader, SCALAR_LEN, WireError, compress, scalar_bytes};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/possession";
const NONCE_LABEL: &[u8] = b"proof nonce";

/// Bytes of an encoded [`Proof`].
pub(super) const PROOF_LEN: usize = POINT_LEN + SCALAR_LEN;

/// Which secret a proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A member's encryption key.
    EncryptionKey,
    /// The constant term of a dealer's polynomial.
    Constant,
    /// The ephemeral key under which a dealer encrypts its shares.
    EphemeralKey,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::EncryptionKey => 1,
            Self::Constant => 2,
            Self::EphemeralKey => 3,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncryptionKey => "encryption key",
            Self::Constant => "constant term",
            Self::EphemeralKey => "ephemeral key",
        })
    }
}

/// What a proof is bound to.
#[derive(Clone, Copy)]
pub(super) struct Statement<'a> {
    /// Digest of what it is for: a ceremony, or all those for one key.
    pub(super) scope: &'a [u8; 32],
    pub(super) purpose: Purpose,
    pub(super) prover: MemberId,
    /// Digest of whatever else the proof vouches for.
    pub(super) content: [u8; 32],
}

impl Statement<'_> {
    fn hash(&self, public: &ProjectivePoint) -> Sha256 {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update([self.purpose.byte()])
            .chain_update(self.scope)
            .chain_update(self.prover.number().to_be_bytes())
            .chain_update(point_or_zero(public))
            .chain_update(self.content)
    }

    fn challenge(&self, public: &ProjectivePoint, commitment: &ProjectivePoint) -> Scalar {
        let digest = self.hash(public).chain_update(point_or_zero(commitment)).finalize();
        <Scalar as Reduce<U256>>::reduce_bytes(&digest)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proof {
    commitment: ProjectivePoint,
    response: Scalar,
}

impl Proof {
    pub(super) fn new(secret: &Scalar, statement: &Statement<'_>, seed: &CeremonySeed) -> Self {
        let public = ProjectivePoint::GENERATOR * secret;
        let hedge: [u8; 32] = statement.hash(&public).finalize().into();
        let mut stream = seed.stream(statement.scope, &[NONCE_LABEL, &hedge].concat());
        let nonce = Zeroizing::new(Scalar::random(&mut stream));
        let commitment = ProjectivePoint::GENERATOR * *nonce;
        let response = *nonce + statement.challenge(&public, &commitment) * secret;
        Self { commitment, response }
    }

    pub(super) fn verifies(&self, public: &ProjectivePoint, statement: &Statement<'_>) -> bool {
        let challenge = statement.challenge(public, &self.commitment);
        ProjectivePoint::GENERATOR * self.response == self.commitment + *public * challenge
    }

    pub(super) fn to_bytes(&self) -> [u8; PROOF_LEN] {
        let mut out = [0; PROOF_LEN];
        let (point, scalar) = out.split_at_mut(POINT_LEN);
        point.copy_from_slice(&point_or_zero(&self.commitment));
        scalar.copy_from_slice(&scalar_bytes(&self.response));
        out
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { commitment: reader.point()?, response: reader.scalar()? })
    }
}

/// The identity never comes from the wire; should we ever make one, its proof simply does not parse.
fn point_or_zero(point: &ProjectivePoint) -> [u8; POINT_LEN] {
    compress(point).unwrap_or([0; POINT_LEN])
}
