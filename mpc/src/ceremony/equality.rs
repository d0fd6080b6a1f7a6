//! Proof that two points have one secret: `X = x·G` and `S = x·E` (Chaum and Pedersen 1992).
//!
//! `A = k·G`, `B = k·E`, `c = SHA-256(domain ‖ context ‖ prover ‖ dealer ‖ X ‖ E ‖ S ‖ A ‖ B) mod q`, `z = k + c·x`. The proof is
//! `c ‖ z`; valid if `c` is the hash with `A = zG − cX` and `B = zE − cS`. The nonce is derived as in [`proof`](super::proof).

use k256::elliptic_curve::Field;
use k256::elliptic_curve::ops::{LinearCombinationExt, Reduce};
use k256::{ProjectivePoint, Scalar, U256};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::context::Context;
use super::seed::CeremonySeed;
use crate::member::MemberId;
use crate::wire::{POINT_LEN, Reader, SCALAR_LEN, WireError, compress, scalar_bytes};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/equality";
const NONCE_LABEL: &[u8] = b"equality nonce";

/// Bytes of an encoded [`EqualityProof`].
pub(super) const EQUALITY_LEN: usize = 2 * SCALAR_LEN;

/// What is claimed, and by whom of whom.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) context: &'a Context,
    pub(super) prover: MemberId,
    pub(super) dealer: MemberId,
    /// `X`, the prover's encryption key.
    pub(super) encryption: &'a ProjectivePoint,
    /// `E`, the dealer's ephemeral key.
    pub(super) ephemeral: &'a ProjectivePoint,
    /// `S`, the point that both share.
    pub(super) shared: &'a ProjectivePoint,
}

impl Claim<'_> {
    fn hash(&self) -> Sha256 {
        let bytes = |point: &ProjectivePoint| compress(point).unwrap_or([0; POINT_LEN]);
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.context.digest)
            .chain_update(self.prover.number().to_be_bytes())
            .chain_update(self.dealer.number().to_be_bytes())
            .chain_update(bytes(self.encryption))
            .chain_update(bytes(self.ephemeral))
            .chain_update(bytes(self.shared))
    }

    fn challenge(&self, a: &ProjectivePoint, b: &ProjectivePoint) -> Scalar {
        let bytes = |point: &ProjectivePoint| compress(point).unwrap_or([0; POINT_LEN]);
        let digest = self.hash().chain_update(bytes(a)).chain_update(bytes(b)).finalize();
        <Scalar as Reduce<U256>>::reduce_bytes(&digest)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct EqualityProof {
    challenge: Scalar,
    response: Scalar,
}

impl EqualityProof {
    pub(super) fn new(secret: &Scalar, claim: &Claim<'_>, seed: &CeremonySeed) -> Self {
        let hedge: [u8; 32] = claim.hash().finalize().into();
        let mut stream = seed.stream(&claim.context.digest, &[NONCE_LABEL, &hedge].concat());
        let nonce = Zeroizing::new(Scalar::random(&mut stream));
        let challenge = claim.challenge(&(ProjectivePoint::GENERATOR * *nonce), &(*claim.ephemeral * *nonce));
        Self { challenge, response: *nonce + challenge * secret }
    }

    pub(super) fn verifies(&self, claim: &Claim<'_>) -> bool {
        let Self { challenge, response } = *self;
        let open = |base: ProjectivePoint, image: &ProjectivePoint| {
            ProjectivePoint::lincomb_ext(&[(base, response), (*image, -challenge)])
        };
        let (a, b) =
            (open(ProjectivePoint::GENERATOR, claim.encryption), open(*claim.ephemeral, claim.shared));
        claim.challenge(&a, &b) == challenge
    }

    pub(super) fn to_bytes(self) -> [u8; EQUALITY_LEN] {
        let mut out = [0; EQUALITY_LEN];
        let (challenge, response) = out.split_at_mut(SCALAR_LEN);
        challenge.copy_from_slice(&scalar_bytes(&self.challenge));
        response.copy_from_slice(&scalar_bytes(&self.response));
        out
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { challenge: reader.scalar()?, response: reader.scalar()? })
    }
}
