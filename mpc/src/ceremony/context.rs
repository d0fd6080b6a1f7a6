//! What every proof and encryption of a ceremony is bound to.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::fault::SetupError;
use super::id::{CeremonyId, CeremonyKind};
use super::setup::Setup;
use crate::keys::GroupPublic;
use crate::member::{MemberId, Threshold};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/ceremony";

/// The agreed parameters of one ceremony and their digest.
///
/// `digest = SHA-256(domain ‖ id ‖ t ‖ n ‖ members ascending ‖ old public data, if any)`: two nodes that disagree on any of it share
/// no valid message, and a seed used by mistake with other members or another threshold yields unrelated secrets.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) id: CeremonyId,
    pub(crate) members: BTreeSet<MemberId>,
    pub(crate) threshold: Threshold,
    /// The key that is shared anew, if one is.
    pub(crate) old: Option<GroupPublic>,
    pub(crate) digest: [u8; 32],
}

impl Context {
    pub(crate) fn new(setup: &Setup) -> Result<Self, SetupError> {
        let Setup { id, members, threshold, old, .. } = setup;
        if (id.kind == CeremonyKind::Reshare) != old.is_some() {
            return Err(SetupError::OldKey(id.kind));
        }
        let threshold = Threshold::new(*threshold, members.len())?;
        let mut hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(id.to_bytes())
            .chain_update(threshold.get().to_be_bytes())
            .chain_update(crate::wire::count_of(members.len()));
        for member in members {
            hash.update(member.number().to_be_bytes());
        }
        if let Some(old) = old {
            hash.update(old.to_bytes());
        }
        let digest = hash.finalize().into();
        Ok(Self { id: *id, members: members.clone(), threshold, old: old.clone(), digest })
    }

    /// So many members are honest whatever happens, or all that sign together if that is more: a ceremony goes on without the others.
    pub(crate) fn quorum(&self) -> usize {
        let faulty = self.members.len().saturating_sub(1) / 3;
        (self.members.len() - faulty).max(self.threshold.count())
    }

    /// Who may deal, if `recipients` get the shares.
    pub(crate) fn dealers(&self, recipients: impl Iterator<Item = MemberId>) -> BTreeSet<MemberId> {
        match &self.old {
            Some(old) => old.members().collect(),
            None => recipients.collect(),
        }
    }

    /// So many dealings make the key. For a fresh one at least one of them is an honest member's; an old one has so many shares.
    pub(crate) fn dealings_needed(&self) -> usize {
        self.old.as_ref().map_or(self.threshold, GroupPublic::threshold).count()
    }
}
