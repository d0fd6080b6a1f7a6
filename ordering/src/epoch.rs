//! Epochs: when the next key is to be made, when it may take over, and where it does.
//!
//! # Rules
//! 1. An epoch begins with its first block. When as much of it is left as [`Epochs::ceremony_ms`] says, by the times of its blocks, the
//!    validators make the next key; when it has lasted as long as it must, it is *due*. Both follow from the decided blocks alone.
//! 2. A validator that knows the next key and its test signature says so in the log once the epoch is due: an [`EpochVote`]. The first
//!    of each validator counts, and if it proves nothing that validator has no other in this epoch: so each costs at most one verification.
//! 3. The block that brings a quorum's votes for one key and committee is the last of its epoch, and of its batch. The next block belongs to the
//!    next epoch. So key and committee switch at one height, for everybody, or not at all; and of the quorum at least f + 1 are honest.
//! 4. An epoch without successor goes on.
//!
//! The outgoing committee signs the [`Handover`] after that: nothing waits for its signature.

use std::collections::{BTreeMap, VecDeque};

use ordering_types::chain_spec::Epochs;
use ordering_types::preimage::Domain;
use ordering_types::{
    Digest, Epoch, EpochVote, GroupKey, Handover, Height, NextEpoch, SystemMessage, ValidatorId,
};
use serde::{Deserialize, Serialize};

use crate::state::Replayed;

/// Epochs that a state remembers beside the present one: signatures of theirs may still be wanted.
pub const REMEMBERED_EPOCHS: usize = 8;
/// First byte of a system message that is an [`EpochVote`]. Ordering reads no others.
pub const EPOCH_VOTE: u8 = 3;

/// What ordering tells of epochs, right after the block with which it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochEvent {
    /// It is time to make the next key: in a ceremony that begins after this block.
    MakeKey {
        /// The block's time.
        time_ms: u64,
    },
    /// The epoch may end.
    Due,
    /// It has ended with this block.
    Ended(Handover),
}

/// One epoch's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Its number.
    pub epoch: Epoch,
    /// Its key; none for the first, whose key is founded while it runs.
    pub key: Option<GroupKey>,
    /// Its committee, as L1 names it.
    pub committee: Digest,
    /// Its first height.
    pub first_height: Height,
    /// Number of its first batch.
    pub first_batch: u64,
}

/// The present epoch and the last ones before it, as the log has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBook {
    present: EpochStart,
    /// Time of its first block; none before that.
    since_ms: Option<u64>,
    /// The block after which the ceremony for the next key begins, and its time.
    ceremony: Option<(Height, u64)>,
    /// It may end.
    due: bool,
    /// What each validator says may come next; none for one whose vote proves nothing.
    votes: BTreeMap<ValidatorId, Option<NextEpoch>>,
    before: VecDeque<EpochStart>,
}

/// The votes up to a block, and what a quorum of them agree on.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    votes: BTreeMap<ValidatorId, Option<NextEpoch>>,
    pub(crate) agreed: Option<NextEpoch>,
}

/// How a block ends, for the epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedBlock {
    pub(crate) height: Height,
    pub(crate) time_ms: u64,
    /// Number of the batch that the next block belongs to.
    pub(crate) next_batch: u64,
}

impl EpochBook {
    /// Before the first block of a network with this founding committee.
    pub const fn genesis(committee: Digest) -> Self {
        let (epoch, first_height, first_batch) = (Epoch::new(0), Height::new(1), 1);
        Self {
            present: EpochStart { epoch, key: None, committee, first_height, first_batch },
            since_ms: None,
            ceremony: None,
            due: false,
            votes: BTreeMap::new(),
            before: VecDeque::new(),
        }
    }

    /// That of a stored [snapshot](crate::api::Decided::snapshot); `None` for bytes that are none.
    pub fn of_snapshot(snapshot: &[u8]) -> Option<Self> {
        Replayed::decode(snapshot).ok().map(|replayed| replayed.epochs)
    }

    /// Whether this validator's vote for the next epoch is in the log.
    pub fn has_voted(&self, validator: ValidatorId) -> bool {
        self.votes.contains_key(&validator)
    }

    /// The epoch of the next block.
    pub const fn present(&self) -> &EpochStart {
        &self.present
    }

    /// All epochs that are remembered, the present one last.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = &EpochStart> {
        self.before.iter().chain(std::iter::once(&self.present))
    }

    /// The block after which the ceremony for the next key begins, and its time; none before it is time.
    pub const fn ceremony(&self) -> Option<(Height, u64)> {
        self.ceremony
    }

    /// Whether the present epoch may end.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// Rules 2 and 3.
    pub(crate) fn tally(&self, messages: &[SystemMessage], quorum: usize, domain: &Domain) -> Tally {
        let mut votes = self.votes.clone();
        for SystemMessage { sender, payload, .. } in messages {
            let vote = payload.strip_prefix(&[EPOCH_VOTE]).and_then(EpochVote::decode);
            let Some(vote) = vote.filter(|vote| vote.next.epoch == self.present.epoch.next()) else {
                continue;
            };
            votes.entry(*sender).or_insert_with(|| vote.verify(domain).ok().map(|()| vote.next));
        }
        let count = |next: &NextEpoch| votes.values().flatten().filter(|other| *other == next).count();
        let agreed = votes.values().flatten().find(|next| count(next) >= quorum).copied();
        Tally { votes, agreed }
    }

    /// Counts a block in, with the votes in it.
    pub(crate) fn close_block(
        &mut self,
        block: ClosedBlock,
        tally: Tally,
        lengths: &Epochs,
    ) -> Vec<EpochEvent> {
        let ClosedBlock { height, time_ms, next_batch } = block;
        let Tally { votes, agreed } = tally;
        if let Some(next) = agreed {
            let handover = Handover { next, first_batch: next_batch, first_height: height.next() };
            self.begin(&handover);
            return vec![EpochEvent::Ended(handover)];
        }
        self.votes = votes;
        let lasts = time_ms.saturating_sub(*self.since_ms.get_or_insert(time_ms));
        let blocks = height.next().get().saturating_sub(self.present.first_height.get());
        let mut events = Vec::new();
        if self.ceremony.is_none() && lasts >= lengths.interval_ms.saturating_sub(lengths.ceremony_ms) {
            self.ceremony = Some((height, time_ms));
            events.push(EpochEvent::MakeKey { time_ms });
        }
        if !self.due && lasts >= lengths.interval_ms && blocks >= lengths.blocks {
            self.due = true;
            events.push(EpochEvent::Due);
        }
        events
    }

    fn begin(&mut self, handover: &Handover) {
        let Handover { next, first_batch, first_height } = *handover;
        let NextEpoch { epoch, key, committee } = next;
        let start = EpochStart { epoch, key: Some(key), committee, first_height, first_batch };
        self.before.push_back(std::mem::replace(&mut self.present, start));
        while self.before.len() > REMEMBERED_EPOCHS {
            self.before.pop_front();
        }
        (self.since_ms, self.ceremony, self.due) = (None, None, false);
        self.votes.clear();
    }

    /// For the state root: every field, in order, with counts before lists.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { present, since_ms, ceremony, due, votes, before } = self;
        present.write(out);
        let (after, at_ms) = ceremony.unwrap_or_default();
        for number in [since_ms.unwrap_or_default(), after.get(), at_ms] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&[u8::from(since_ms.is_some()), u8::from(ceremony.is_some()), u8::from(*due)]);
        out.extend_from_slice(&count(votes.len()));
        for (id, vote) in votes {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.push(u8::from(vote.is_some()));
            if let Some(NextEpoch { epoch, key, committee }) = vote {
                out.extend_from_slice(&epoch.get().to_be_bytes());
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(committee.as_ref());
            }
        }
        out.extend_from_slice(&count(before.len()));
        before.iter().for_each(|start| start.write(out));
    }
}

impl EpochStart {
    /// That it begins, as the outgoing committee says; none for the first.
    pub fn handover(&self) -> Option<Handover> {
        let Self { epoch, key, committee, first_height, first_batch } = *self;
        let next = NextEpoch { epoch, key: key?, committee };
        Some(Handover { next, first_batch, first_height })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { epoch, key, committee, first_height, first_batch } = self;
        out.extend_from_slice(&epoch.get().to_be_bytes());
        out.extend_from_slice(key.map_or([0; 33], |key| *key.as_bytes()).as_slice());
        out.extend_from_slice(committee.as_ref());
        out.extend_from_slice(&first_height.get().to_be_bytes());
        out.extend_from_slice(&first_batch.to_be_bytes());
    }
}

fn count(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
