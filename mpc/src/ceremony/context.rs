//! What every proof and encryption of a ceremony is bound to.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::id::CeremonyId;
use crate::member::{MemberId, Threshold, ThresholdError};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/ceremony";

/// The agreed parameters of one ceremony and their digest.
///
/// `digest = SHA-256(domain ‖ id ‖ t ‖ n ‖ members ascending)`: two nodes that disagree on any of it share no valid
/// message, and a seed used by mistake with other members or another threshold yields unrelated secrets.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) id: CeremonyId,
    pub(crate) members: BTreeSet<MemberId>,
    pub(crate) threshold: Threshold,
    pub(crate) digest: [u8; 32],
}

impl Context {
    pub(crate) fn new(
        id: CeremonyId,
        members: BTreeSet<MemberId>,
        threshold: u16,
    ) -> Result<Self, ThresholdError> {
        let threshold = Threshold::new(threshold, members.len())?;
        let mut hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(id.to_bytes())
            .chain_update(threshold.get().to_be_bytes())
            .chain_update(crate::wire::count_of(members.len()));
        for member in &members {
            hash.update(member.number().to_be_bytes());
        }
        Ok(Self { id, members, threshold, digest: hash.finalize().into() })
    }
}
