//! Which key signs what: one for each epoch, each proven by the one before.

use std::collections::VecDeque;

use ordering_types::{Epoch, GroupKey, SignedHandover};

use super::{Verified, VerifyError};
use crate::wire::Founding;

/// Most keys that a client keeps; the oldest goes first. With epochs of a day that is two months: who checks something older
/// begins with a key of that time.
pub const MAX_KEYS: usize = 64;

/// An epoch whose key is not here. No proof that anybody lies: whoever says it may know more, or speak of the past.
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
}

/// The group's keys in a run of epochs, at most [`MAX_KEYS`]. Never empty.
///
/// Handovers lead from the founding to any epoch, unless the committee's members had to replace a key that no longer
/// signed (`recover` of the contract): then begin with the key that L1 has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    oldest: Epoch,
    keys: VecDeque<GroupKey>,
}

impl Keys {
    /// Begins with epoch 0.
    pub fn founded(founding: &Verified<Founding>) -> Self {
        Self::trusted(Epoch::new(0), founding.key)
    }

    /// Begins with a key that the caller vouches for, such as one that L1 has (see
    /// [`Deriver::key`](crate::derive::Deriver::key)).
    pub fn trusted(epoch: Epoch, key: GroupKey) -> Self {
        Self { oldest: epoch, keys: VecDeque::from([key]) }
    }

    /// The newest epoch with a known key.
    pub fn newest(&self) -> Epoch {
        Epoch::new(self.oldest.get().saturating_add(self.keys.len() as u64 - 1))
    }

    /// The key of an epoch.
    pub fn of(&self, epoch: Epoch) -> Result<Verified<GroupKey>, UnknownEpoch> {
        let Some(place) = epoch.get().checked_sub(self.oldest.get()) else {
            return Err(UnknownEpoch::Earlier { epoch, oldest: self.oldest });
        };
        let key = usize::try_from(place).ok().and_then(|place| self.keys.get(place));
        key.map(|key| Verified(*key)).ok_or(UnknownEpoch::Later { epoch, newest: self.newest() })
    }

    /// Adds the key of the epoch after the newest.
    pub fn extend(&mut self, handover: &Verified<SignedHandover>) -> Result<(), VerifyError> {
        let (next, expected) = (handover.handover.next, self.newest().next());
        if next.epoch != expected {
            return Err(VerifyError::NotNext { expected, got: next.epoch });
        }
        if self.keys.len() == MAX_KEYS {
            self.keys.pop_front();
            self.oldest = self.oldest.next();
        }
        self.keys.push_back(next.key);
        Ok(())
    }
}
