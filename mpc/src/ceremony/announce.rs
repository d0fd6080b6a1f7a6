//! Step 1: each member announces the key to which shares for it are encrypted in this ceremony.
//!
//! Body: `encryption key (33) ‖ proof of possession (65)`.

use k256::elliptic_curve::Field;
use k256::{ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use super::context::Context;
use super::fault::FaultKind;
use super::proof::{PROOF_LEN, Proof, Purpose, Statement};
use super::seed::CeremonySeed;
use crate::member::MemberId;
use crate::wire::{POINT_LEN, Reader, compress};

pub(super) const ANNOUNCE_LEN: usize = POINT_LEN + PROOF_LEN;

const LABEL: &[u8] = b"encryption key";

/// A member's decryption key for one ceremony.
pub(super) struct DecryptionKey(pub(super) Zeroizing<Scalar>);

impl DecryptionKey {
    pub(super) fn derive(context: &Context, seed: &CeremonySeed) -> Self {
        Self(Zeroizing::new(Scalar::random(&mut seed.stream(context, LABEL))))
    }

    pub(super) fn public(&self) -> ProjectivePoint {
        ProjectivePoint::GENERATOR * *self.0
    }

    /// The body of this member's announcement.
    pub(super) fn announcement(&self, context: &Context, me: MemberId, seed: &CeremonySeed) -> Vec<u8> {
        let proof = Proof::new(&self.0, &statement(context, me), seed);
        let mut body = compress(&self.public()).expect("a random key is not the identity").to_vec();
        body.extend(proof.to_bytes());
        body
    }
}

/// Checks an announcement; gives the encryption key.
pub(super) fn verify(context: &Context, sender: MemberId, body: &[u8]) -> Result<ProjectivePoint, FaultKind> {
    let mut reader = Reader::new(body);
    let key = reader.point()?;
    let proof = Proof::read(&mut reader)?;
    reader.finish()?;
    if !proof.verifies(&key, &statement(context, sender)) {
        return Err(FaultKind::BadProof(Purpose::EncryptionKey));
    }
    Ok(key)
}

fn statement(context: &Context, prover: MemberId) -> Statement<'_> {
    Statement { context, purpose: Purpose::EncryptionKey, prover, content: [0; 32] }
}
