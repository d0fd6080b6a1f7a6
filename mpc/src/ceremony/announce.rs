//! Step 1: each member announces the key to which shares for it are encrypted.
//!
//! Body: `encryption key (33) ‖ proof of possession (65)`.
//!
//! One key serves all ceremonies for one epoch's key, so it can be announced before it is known who takes part in them; what is encrypted to
//! it is bound to its one ceremony (`share_encryption`).

use k256::elliptic_curve::Field;
use k256::{ProjectivePoint, Scalar};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::fault::FaultKind;
use super::id::CeremonyId;
use super::proof::{PROOF_LEN, Proof, Purpose, Statement};
use super::seed::CeremonySeed;
use crate::member::MemberId;
use crate::wire::{POINT_LEN, Reader, compress};

/// Bytes of an announcement.
pub const ANNOUNCEMENT_LEN: usize = POINT_LEN + PROOF_LEN;

const DOMAIN: &[u8] = b"mpc-sequencer/v1/encryption-key";
const LABEL: &[u8] = b"encryption key";

/// This member's announcement for all ceremonies for this one's epoch, whatever their kind and attempt: for [`Setup::announced`](super::Setup).
/// The seed must be durable before it leaves the node.
#[must_use]
pub fn announcement(ceremony: CeremonyId, me: MemberId, seed: &CeremonySeed) -> Vec<u8> {
    DecryptionKey::derive(ceremony, seed).announcement(ceremony, me, seed)
}

/// A member's decryption key for one epoch's ceremonies.
pub(super) struct DecryptionKey(pub(super) Zeroizing<Scalar>);

impl DecryptionKey {
    pub(super) fn derive(ceremony: CeremonyId, seed: &CeremonySeed) -> Self {
        Self(Zeroizing::new(Scalar::random(&mut seed.stream(&scope(ceremony), LABEL))))
    }

    pub(super) fn public(&self) -> ProjectivePoint {
        ProjectivePoint::GENERATOR * *self.0
    }

    /// The body of this member's announcement.
    pub(super) fn announcement(&self, ceremony: CeremonyId, me: MemberId, seed: &CeremonySeed) -> Vec<u8> {
        let proof = Proof::new(&self.0, &statement(&scope(ceremony), me), seed);
        let mut body = compress(&self.public()).expect("a random key is not the identity").to_vec();
        body.extend(proof.to_bytes());
        body
    }
}

/// Checks an announcement; gives the encryption key.
pub(super) fn verify(
    ceremony: CeremonyId,
    sender: MemberId,
    body: &[u8],
) -> Result<ProjectivePoint, FaultKind> {
    let mut reader = Reader::new(body);
    let key = reader.point()?;
    let proof = Proof::read(&mut reader)?;
    reader.finish()?;
    if !proof.verifies(&key, &statement(&scope(ceremony), sender)) {
        return Err(FaultKind::BadProof(Purpose::EncryptionKey));
    }
    Ok(key)
}

fn scope(ceremony: CeremonyId) -> [u8; 32] {
    let CeremonyId { l1_chain_id, contract, epoch, kind: _, attempt: _ } = ceremony;
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(l1_chain_id.to_be_bytes())
        .chain_update(contract)
        .chain_update(epoch.to_be_bytes())
        .finalize()
        .into()
}

fn statement(scope: &[u8; 32], prover: MemberId) -> Statement<'_> {
    Statement { scope, purpose: Purpose::EncryptionKey, prover, content: [0; 32] }
}
