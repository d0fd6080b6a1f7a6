//! Step 2: a dealing as everyone sees it in the log, and its public checks.
//!
//! Body: `t (2) ‖ n (2) ‖ t × commitment (33) ‖ ephemeral key (33) ‖ n × encrypted share (48), members ascending ‖
//! proof for the constant (65) ‖ proof for the ephemeral key (65)`. Both proofs vouch for all that stands before them, so a
//! dealing cannot be taken apart and put together anew.

use std::collections::BTreeMap;

use k256::ProjectivePoint;
use sha2::{Digest, Sha256};

use super::context::Context;
use super::fault::FaultKind;
use super::polynomial::Commitment;
use super::proof::{PROOF_LEN, Proof, Purpose, Statement};
use super::share_encryption::ENCRYPTED_SHARE_LEN;
use crate::member::{MAX_MEMBERS, MemberId};
use crate::wire::{POINT_LEN, Reader, WireError, compress};

pub(super) const MAX_DEALING_LEN: usize = dealing_len(MAX_MEMBERS as usize, MAX_MEMBERS as usize);

const fn dealing_len(t: usize, n: usize) -> usize {
    4 + (t + 1) * POINT_LEN + n * ENCRYPTED_SHARE_LEN + 2 * PROOF_LEN
}

/// A dealing whose form and proofs are checked. Whether the shares inside are right, only their recipients know.
pub(super) struct Dealing {
    pub(super) commitment: Commitment,
    pub(super) ephemeral: ProjectivePoint,
    pub(super) shares: BTreeMap<MemberId, [u8; ENCRYPTED_SHARE_LEN]>,
}

impl Dealing {
    /// Counts and length first, then points, then proofs: a wrong count costs no curve operation.
    pub(super) fn verify(
        context: &Context,
        recipients: &[MemberId],
        dealer: MemberId,
        body: &[u8],
    ) -> Result<Self, FaultKind> {
        let mut reader = Reader::new(body);
        let t = read_counts(context, recipients.len(), &mut reader)?;
        let signed_len = body.len().checked_sub(2 * PROOF_LEN).ok_or(WireError::Short)?;
        let content = Reader::new(body).bytes(signed_len)?;

        let points = (0..t).map(|_| reader.point()).collect::<Result<Vec<_>, _>>()?;
        let ephemeral = reader.point()?;
        let mut shares = BTreeMap::new();
        for member in recipients {
            shares.insert(*member, reader.array()?);
        }
        let constant_proof = Proof::read(&mut reader)?;
        let ephemeral_proof = Proof::read(&mut reader)?;
        reader.finish()?;

        let commitment = Commitment::from_points(points);
        let claims = [
            (Purpose::Constant, commitment.constant(), constant_proof),
            (Purpose::EphemeralKey, ephemeral, ephemeral_proof),
        ];
        for (purpose, public, proof) in claims {
            if !proof.verifies(&public, &statement(context, purpose, dealer, content)) {
                return Err(FaultKind::BadProof(purpose));
            }
        }
        if let Some(old) = &context.old
            && compress(&commitment.constant()) != old.verifying_share(dealer)
        {
            return Err(FaultKind::WrongConstant);
        }
        Ok(Self { commitment, ephemeral, shares })
    }
}

fn read_counts(context: &Context, recipients: usize, reader: &mut Reader<'_>) -> Result<usize, FaultKind> {
    let (t, n) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
    if t != context.threshold.count() {
        return Err(FaultKind::CommitmentCount { got: t, want: context.threshold.count() });
    }
    if n != recipients {
        return Err(FaultKind::ShareCount { got: n, want: recipients });
    }
    match (reader.remaining() + 4).cmp(&dealing_len(t, n)) {
        std::cmp::Ordering::Less => Err(WireError::Short.into()),
        std::cmp::Ordering::Greater => Err(WireError::Trailing.into()),
        std::cmp::Ordering::Equal => Ok(t),
    }
}

pub(super) fn statement<'a>(
    context: &'a Context,
    purpose: Purpose,
    prover: MemberId,
    content: &[u8],
) -> Statement<'a> {
    Statement { scope: &context.digest, purpose, prover, content: Sha256::digest(content).into() }
}
