//! Epochs: when the next key is to be made, when it may take over, and where it does.
//!
//! # Rules
//! 1. An epoch begins with its first block. When as much of it is left as [`Epochs::ceremony_ms`] says, by the times of its blocks, the
//!    validators make the next key; when it has lasted as long as it must, it is *due*. Both follow from the decided blocks alone.
//! 2. A validator that knows the next key and its test signature says so in the log once the epoch is due: an [`EpochVote`]. It may change its mind,
//!    since a key that is not taken into use is given up for another: its newest vote counts. But only [`MAX_VOTES`] of each are looked at, so
//!    that nobody has others verify signatures without end. What f + 1 say is proven, so who knows no key says the same.
//! 3. The block that brings a quorum's votes for one key and committee is the last of its epoch, and of its batch. The next block belongs to the
//!    next epoch. So key and committee switch at one height, for everybody, or not at all; and of the quorum at least f + 1 are honest.
//! 4. An epoch without successor goes on. If it has been due for [`CEREMONIES_APART`] times the part that is for making keys, another ceremony begins,
//!    which all can join: those, too, that missed how the one before began.
//!
//! The outgoing committee signs the [`Handover`] after that: nothing waits for its signature.

use std::collections::{BTreeMap, VecDeque};

use ordering_types::chain_spec::{Epochs, faulty, quorum};
use ordering_types::preimage::Domain;
use ordering_types::{
    Digest, Epoch, EpochVote, GroupKey, Handover, Height, NextEpoch, SystemMessage, ValidatorId,
};
use serde::{Deserialize, Serialize};

use crate::state::Replayed;

/// Epochs that a state remembers beside the present one: signatures of theirs may still be wanted.
pub const REMEMBERED_EPOCHS: usize = 8;
/// See rule 4.
pub const CEREMONIES_APART: u64 = 3;
/// Votes of one validator in one epoch; further ones are ignored.
const MAX_VOTES: u8 = 16;
/// First byte of a system message that is an [`EpochVote`]. Ordering reads no others.
pub const EPOCH_VOTE: u8 = 3;

/// What ordering tells of epochs, right after the block with which it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochEvent {
    /// It is time to make the next key: in a ceremony that begins after this block.
    MakeKey(CeremonyStart),
    /// The epoch may end.
    Due {
        /// The block's time.
        time_ms: u64,
    },
    /// More than f validators say that something may come next: see [`EpochBook::backed`].
    Backed,
    /// It has ended with this block.
    Ended(Handover),
}

/// Where a ceremony for the next key begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CeremonyStart {
    /// The block after which it does.
    pub after: Height,
    /// That block's time.
    pub time_ms: u64,
    /// How many there were before it in this epoch.
    pub nth: u16,
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

/// What a validator says may come next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Votes {
    /// So many votes were looked at.
    cast: u8,
    /// The newest that proves what it says.
    newest: Option<EpochVote>,
}

/// The present epoch and the last ones before it, as the log has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBook {
    present: EpochStart,
    /// Time of its first block; none before that.
    since_ms: Option<u64>,
    ceremony: Option<CeremonyStart>,
    /// The time of the block with which it became due.
    due: Option<u64>,
    votes: BTreeMap<ValidatorId, Votes>,
    before: VecDeque<EpochStart>,
}

/// The votes up to a block, and what a quorum of them agree on.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    votes: BTreeMap<ValidatorId, Votes>,
    /// A vote that more than f have cast came in.
    backed: bool,
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

impl Tally {
    fn count(&self, next: &NextEpoch) -> usize {
        self.votes.values().filter_map(|votes| votes.newest).filter(|vote| vote.next == *next).count()
    }
}

impl EpochBook {
    /// Before the first block of a network with this founding committee.
    pub const fn genesis(committee: Digest) -> Self {
        let (epoch, first_height, first_batch) = (Epoch::new(0), Height::new(1), 1);
        Self {
            present: EpochStart { epoch, key: None, committee, first_height, first_batch },
            since_ms: None,
            ceremony: None,
            due: None,
            votes: BTreeMap::new(),
            before: VecDeque::new(),
        }
    }

    /// That of a stored [snapshot](crate::api::Decided::snapshot); `None` for bytes that are none.
    pub fn of_snapshot(snapshot: &[u8]) -> Option<Self> {
        Replayed::decode(snapshot).ok().map(|replayed| replayed.epochs)
    }

    /// What this validator's newest vote in the log is for.
    pub fn vote_of(&self, validator: ValidatorId) -> Option<NextEpoch> {
        self.votes.get(&validator)?.newest.map(|vote| vote.next)
    }

    /// What more than f validators of a committee of so many vote for, if they do, with its test.
    pub fn backed(&self, members: usize) -> Option<EpochVote> {
        let newest = || self.votes.values().filter_map(|votes| votes.newest);
        newest().find(|vote| newest().filter(|other| other.next == vote.next).count() > faulty(members))
    }

    /// The epoch of the next block.
    pub const fn present(&self) -> &EpochStart {
        &self.present
    }

    /// All epochs that are remembered, the present one last.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = &EpochStart> {
        self.before.iter().chain(std::iter::once(&self.present))
    }

    /// Where the newest ceremony for the next key begins; none before it is time.
    pub const fn ceremony(&self) -> Option<CeremonyStart> {
        self.ceremony
    }

    /// The time of the block since which the present epoch may end; none while it must go on.
    pub const fn due(&self) -> Option<u64> {
        self.due
    }

    /// The committee is still the same in all epochs.
    fn may_follow(&self, next: &NextEpoch) -> bool {
        next.epoch == self.present.epoch.next() && next.committee == self.present.committee
    }

    /// Rules 2 and 3.
    pub(crate) fn tally(&self, messages: &[SystemMessage], members: usize, domain: &Domain) -> Tally {
        let mut tally = Tally { votes: self.votes.clone(), backed: false, agreed: None };
        for SystemMessage { sender, payload, .. } in messages {
            let vote = payload.strip_prefix(&[EPOCH_VOTE]).and_then(EpochVote::decode);
            let Some(vote) = vote.filter(|vote| self.may_follow(&vote.next)) else {
                continue;
            };
            let of_one = tally.votes.entry(*sender).or_default();
            if of_one.cast >= MAX_VOTES {
                continue;
            }
            of_one.cast += 1;
            if vote.verify(domain).is_ok() {
                of_one.newest = Some(vote);
            }
            let after = tally.count(&vote.next);
            tally.backed |= after > faulty(members);
            if after >= quorum(members) {
                tally.agreed = Some(vote.next);
            }
        }
        tally
    }

    /// Counts a block in, with the votes in it.
    pub(crate) fn close_block(
        &mut self,
        block: ClosedBlock,
        tally: Tally,
        lengths: &Epochs,
    ) -> Vec<EpochEvent> {
        let ClosedBlock { height, time_ms, next_batch } = block;
        let Tally { votes, backed, agreed } = tally;
        if let Some(next) = agreed {
            let handover = Handover { next, first_batch: next_batch, first_height: height.next() };
            self.begin(&handover);
            return vec![EpochEvent::Ended(handover)];
        }
        self.votes = votes;
        let lasts = time_ms.saturating_sub(*self.since_ms.get_or_insert(time_ms));
        let blocks = height.next().get().saturating_sub(self.present.first_height.get());
        let mut events: Vec<EpochEvent> = backed.then_some(EpochEvent::Backed).into_iter().collect();
        let is_time = lasts >= lengths.interval_ms.saturating_sub(lengths.ceremony_ms);
        let nth = match self.ceremony {
            None => is_time.then_some(0),
            Some(last) => self.is_stuck(last, time_ms, lengths).then_some(last.nth.saturating_add(1)),
        };
        if let Some(nth) = nth {
            let start = CeremonyStart { after: height, time_ms, nth };
            self.ceremony = Some(start);
            events.push(EpochEvent::MakeKey(start));
        }
        if self.due.is_none() && lasts >= lengths.interval_ms && blocks >= lengths.blocks {
            self.due = Some(time_ms);
            events.push(EpochEvent::Due { time_ms });
        }
        events
    }

    /// Rule 4.
    fn is_stuck(&self, last: CeremonyStart, time_ms: u64, lengths: &Epochs) -> bool {
        let patience = lengths.ceremony_ms.max(1_000).saturating_mul(CEREMONIES_APART);
        self.due.is_some_and(|due| time_ms >= due.max(last.time_ms).saturating_add(patience))
    }

    fn begin(&mut self, handover: &Handover) {
        self.before.push_back(std::mem::replace(&mut self.present, handover.into()));
        while self.before.len() > REMEMBERED_EPOCHS {
            self.before.pop_front();
        }
        (self.since_ms, self.ceremony, self.due) = (None, None, None);
        self.votes.clear();
    }

    /// For the state root: every field, in order, with counts before lists.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { present, since_ms, ceremony, due, votes, before } = self;
        present.write(out);
        let (after, at_ms, nth) = ceremony.map_or((0, 0, 0), |c| (c.after.get(), c.time_ms, c.nth));
        for number in [since_ms.unwrap_or_default(), after, at_ms, u64::from(nth), due.unwrap_or_default()] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend([since_ms.is_some(), ceremony.is_some(), due.is_some()].map(u8::from));
        out.extend_from_slice(&count(votes.len()));
        for (id, Votes { cast, newest }) in votes {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend([*cast, u8::from(newest.is_some())]);
            out.extend(newest.iter().flat_map(EpochVote::encode));
        }
        out.extend_from_slice(&count(before.len()));
        before.iter().for_each(|start| start.write(out));
    }
}

impl From<&Handover> for EpochStart {
    fn from(handover: &Handover) -> Self {
        let Handover { next, first_batch, first_height } = *handover;
        let NextEpoch { epoch, key, committee } = next;
        Self { epoch, key: Some(key), committee, first_height, first_batch }
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
