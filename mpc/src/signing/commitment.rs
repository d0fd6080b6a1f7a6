//! Nonce commitments on the wire: `hiding (33) ‖ binding (33)`.

use frost_secp256k1::round1::{NonceCommitment, SigningCommitments};

use super::item::BootId;
use crate::wire::{POINT_LEN, Reader, WireError, decompress};

pub(super) const COMMITMENT_LEN: usize = 2 * POINT_LEN;

/// The bytes of a pair of nonce commitments, not yet known to be points.
pub(super) type CommitmentBytes = [u8; COMMITMENT_LEN];

/// One pair that a member offers to one coordinator. Its index is used for no other pair in the same boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) index: u64,
    pub(super) commitment: CommitmentBytes,
}

impl Offer {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.index.to_be_bytes());
        out.extend(self.commitment);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { index: reader.u64()?, commitment: reader.array()? })
    }
}

/// Offers of one boot of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Supply {
    pub(super) boot: BootId,
    pub(super) offers: Vec<Offer>,
}

pub(super) fn parse(bytes: &CommitmentBytes) -> Result<SigningCommitments, WireError> {
    let mut reader = Reader::new(bytes);
    let hiding = nonce_commitment(&reader.array()?)?;
    let binding = nonce_commitment(&reader.array()?)?;
    Ok(SigningCommitments::new(hiding, binding))
}

fn nonce_commitment(bytes: &[u8; POINT_LEN]) -> Result<NonceCommitment, WireError> {
    decompress(bytes)?;
    NonceCommitment::deserialize(bytes).map_err(|_| WireError::Point)
}

pub(super) fn bytes(commitments: &SigningCommitments) -> CommitmentBytes {
    let halves = [commitments.hiding(), commitments.binding()]
        .map(|half| half.serialize().expect("the commitment to a random nonce is not the identity"));
    halves.concat().try_into().expect("two compressed points")
}
