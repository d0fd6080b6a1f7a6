//! Which key and whose votes count when: one key and one committee for each epoch, each proven by the key before.

use std::collections::VecDeque;
use std::sync::Arc;

use ordering_types::chain_spec::Committee;
use ordering_types::handover::committee_hash;
use ordering_types::{Digest, Epoch, GroupKey, Succession};

use super::{Network, Verified, VerifyError};
use crate::wire::Founding;

/// Most epochs that a client keeps; the oldest goes first. With epochs of a day that is two months: who checks something older
/// begins with a key of that time.
pub const MAX_KEYS: usize = 64;

/// An epoch whose key or members are not here. No proof that anybody lies: whoever says it may know more, or speak of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownEpoch {
    /// The handovers in between are still to be learnt.
    #[error("the key of epoch {epoch} is not known yet: the newest is that of epoch {newest}")]
    Later {
        /// Whose key is asked for.
        epoch: Epoch,
        /// The newest with a known key.
        newest: Epoch,
    },
    /// From before the first key, or dropped since.
    #[error("the key of epoch {epoch} is not known: the oldest kept is that of epoch {oldest}")]
    Earlier {
        /// Whose key is asked for.
        epoch: Epoch,
        /// The oldest with a known key.
        oldest: Epoch,
    },
    /// The key alone is known: it was trusted, and nobody has told its members yet.
    #[error(
        "the members of epoch {0} are not known, only its key: begin with the committeeHash that L1 has, or with the members \
         (Keys::trusted, Keys::introduce)"
    )]
    Members(Epoch),
}

/// Why members are not taken for those of a trusted epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// No such epoch here.
    #[error(transparent)]
    Unknown(#[from] UnknownEpoch),
    /// Nothing to check them against.
    #[error("the committee of epoch {0} is not known by its hash: begin with the committeeHash that L1 has")]
    NoHash(Epoch),
    /// Others than those that L1 names.
    #[error("these members hash to {got}, those of epoch {epoch} to {expected}")]
    Others {
        /// Whose members.
        epoch: Epoch,
        /// Hash of the committee.
        expected: Digest,
        /// Hash of what was given.
        got: Digest,
    },
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    key: GroupKey,
    /// As L1 names the members; `None` if only the key is trusted.
    committee: Option<Digest>,
    members: Option<Arc<Committee>>,
}

/// The group's keys and members in a run of epochs, at most [`MAX_KEYS`]. Never empty. Cheap to clone.
///
/// Handovers lead from the founding to any epoch, unless the committee's members had to replace a key that no longer
/// signed (`recover` of the contract): then begin with the key that L1 has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    oldest: Epoch,
    run: VecDeque<Known>,
}

impl Keys {
    /// Begins with epoch 0: its key, and the founders.
    pub fn founded(network: &Network, founding: &Verified<Founding>) -> Self {
        let members = Arc::clone(&network.founders);
        let committee = Some(committee_hash(&members));
        let first = Known { key: founding.key, committee, members: Some(members) };
        Self { oldest: Epoch::new(0), run: VecDeque::from([first]) }
    }

    /// Begins with a key that the caller vouches for, such as one that L1 has (see
    /// [`Deriver::keys`](crate::derive::Deriver::keys)). `committee`: the members, as L1 names them by its `committeeHash`; without, what
    /// the group signs can be checked, and no block of that epoch.
    pub fn trusted(epoch: Epoch, key: GroupKey, committee: Option<Digest>) -> Self {
        Self { oldest: epoch, run: VecDeque::from([Known { key, committee, members: None }]) }
    }

    /// The newest epoch with a known key.
    pub fn newest(&self) -> Epoch {
        Epoch::new(self.oldest.get().saturating_add(self.run.len() as u64 - 1))
    }

    /// The key of an epoch.
    pub fn of(&self, epoch: Epoch) -> Result<Verified<GroupKey>, UnknownEpoch> {
        Ok(Verified(self.known(epoch)?.key))
    }

    /// The members of an epoch. Their ids are as some node told them; see [`Succession`].
    pub fn members(&self, epoch: Epoch) -> Result<&Committee, UnknownEpoch> {
        self.known(epoch)?.members.as_deref().ok_or(UnknownEpoch::Members(epoch))
    }

    /// The epochs from the oldest on whose members can be learnt by their hash.
    pub(crate) fn nameless(&self) -> Option<Epoch> {
        let nameless = |known: &Known| known.members.is_none() && known.committee.is_some();
        self.run.front().filter(|first| nameless(first)).map(|_| self.oldest)
    }

    /// Names the members of a trusted epoch, if they are those that L1 names by their hash.
    pub fn introduce(&mut self, epoch: Epoch, members: Committee) -> Result<(), MembersError> {
        let place = self.place(epoch)?;
        let known = self.run.get_mut(place).ok_or(UnknownEpoch::Members(epoch))?;
        let (expected, got) = (known.committee.ok_or(MembersError::NoHash(epoch))?, committee_hash(&members));
        if got != expected || members.is_empty() {
            return Err(MembersError::Others { epoch, expected, got });
        }
        known.members.get_or_insert_with(|| Arc::new(members));
        Ok(())
    }

    /// A trusted epoch may still be the founders'.
    pub(super) fn introduce_founders(&mut self, founders: &Arc<Committee>) {
        let hash = Some(committee_hash(founders));
        for known in self.run.iter_mut().filter(|known| known.committee == hash) {
            known.members.get_or_insert_with(|| Arc::clone(founders));
        }
    }

    /// Adds key and members of the epoch after the newest.
    pub fn extend(&mut self, succession: &Verified<Succession>) -> Result<(), VerifyError> {
        let (next, expected) = (succession.signed.handover.next, self.newest().next());
        if next.epoch != expected {
            return Err(VerifyError::NotNext { expected, got: next.epoch });
        }
        if self.run.len() == MAX_KEYS {
            self.run.pop_front();
            self.oldest = self.oldest.next();
        }
        let members = Some(Arc::new(succession.members.clone()));
        self.run.push_back(Known { key: next.key, committee: Some(next.committee), members });
        Ok(())
    }

    fn known(&self, epoch: Epoch) -> Result<&Known, UnknownEpoch> {
        let later = UnknownEpoch::Later { epoch, newest: self.newest() };
        self.run.get(self.place(epoch)?).ok_or(later)
    }

    fn place(&self, epoch: Epoch) -> Result<usize, UnknownEpoch> {
        let later = UnknownEpoch::Later { epoch, newest: self.newest() };
        let before = UnknownEpoch::Earlier { epoch, oldest: self.oldest };
        let place = epoch.get().checked_sub(self.oldest.get()).ok_or(before)?;
        usize::try_from(place).ok().filter(|place| *place < self.run.len()).ok_or(later)
    }
}
