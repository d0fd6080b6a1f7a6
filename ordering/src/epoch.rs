//! Epochs: when the next key is to be made, when it may take over, and where it does.
//!
//! # Rules
//! 1. An epoch begins with its first block. When as much of it is left as [`Epochs::ceremony_ms`] says, by the times of its blocks, the
//!    validators make the next key; when it has lasted as long as it must, it is *due*. Both follow from the decided blocks alone. Whoever could be a
//!    member of the next says so before, with the encryption key for its share of that key: from the beginning of the epoch on; or, where a
//!    registry says who may be in the next committee, in the first quarter of that part. Then the members are [drawn](crate::committee), and make the key.
//! 2. A member that knows the next key and its test signature says so in the log once the epoch is due: an [`EpochVote`]. It may change its mind,
//!    since a key that is not taken into use is given up for another: its newest vote counts. But only [`MAX_VOTES`] of each are looked at, so
//!    that nobody has others verify signatures without end. What f + 1 say is proven, so who knows no key says the same.
//! 3. The block that brings a quorum's votes for one key and committee is the last of its epoch, and of its batch. The next block belongs to the
//!    next epoch. So key and committee switch at one height, for everybody, or not at all; and of the quorum at least f + 1 are honest.
//! 4. No more than [`MAX_UNCONFIRMED`] handovers wait for L1, where validators watch it: with so many, the epoch goes on. Shares that may still have
//!    to sign for L1 are remembered, so none is forgotten.
//! 5. An epoch without a successor goes on. If it has been due for [`CEREMONIES_APART`] times the part that is for making keys, another ceremony begins,
//!    which all can join: those, too, that missed how the one before began.
//!
//! The outgoing committee signs the [`Handover`] after that: nothing waits for its signature.

mod key_data;
mod ready;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ordering_types::chain_spec::{Committee, Epochs, KeyPolicy};
use ordering_types::preimage::Domain;
use ordering_types::{Epoch, EpochVote, Handover, Height, NextEpoch, SharedKey, SystemMessage, ValidatorId};
use serde::{Deserialize, Serialize};

use self::key_data::KeyData;
pub use self::key_data::{KEY_DATA, MAX_KEY_DATA};
pub use self::ready::{Announcement, MAX_ANNOUNCEMENT, READY};
use self::ready::{Ready, write_announcements};
use crate::committee::{Members, Urn, draw};
use crate::l1::L1Book;
use crate::load::Rules;
use crate::planted::PlantedBug;
use crate::state::{Replayed, count};

/// Epochs that a state remembers beside the present one: signatures of theirs may still be wanted.
pub const REMEMBERED_EPOCHS: usize = 8;
/// See rule 4.
pub const MAX_UNCONFIRMED: u64 = REMEMBERED_EPOCHS as u64;
/// See rule 1: one part of so many.
const GATHERING: u64 = 4;
/// See rule 5.
pub const CEREMONIES_APART: u64 = 3;
/// Votes of one validator in one epoch; further ones are ignored.
const MAX_VOTES: u8 = 16;
/// System messages of one validator that is no member, in one epoch: those of a few attempts of a ceremony.
const MAX_OUTSIDE_MESSAGES: u16 = 256;
/// First byte of a system message that is an [`EpochVote`].
pub const EPOCH_VOTE: u8 = 3;

/// What ordering tells of epochs, right after the block with which it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EpochEvent {
    /// Who would be a member of this epoch says now that it is ready.
    Gather(Epoch),
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
    Ended {
        /// To the next, as the outgoing committee signs it.
        handover: Handover,
        /// The next key, as it is shared.
        key: SharedKey,
    },
}

/// Where a ceremony for the next key begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CeremonyStart {
    /// The block after which it does.
    pub after: Height,
    /// That block's time.
    pub time_ms: u64,
    /// How many there were before it in this epoch.
    pub nth: u16,
    /// Who makes the key, and is the committee if the epoch ends with it.
    pub members: Members,
    /// What they announced before.
    pub announced: BTreeMap<ValidatorId, Announcement>,
    /// The public data of the present key, if that is shared anew; else they make another.
    pub old: Option<Vec<u8>>,
}

/// One epoch's beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Its number.
    pub epoch: Epoch,
    /// Its key; none for the first, whose key is founded while it runs.
    pub key: Option<SharedKey>,
    /// Its committee.
    pub members: Members,
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
    /// Those who say to be ready for the next; none before it is time to.
    ready: Option<Ready>,
    ceremony: Option<CeremonyStart>,
    /// The time of the block with which it became due.
    due: Option<u64>,
    votes: BTreeMap<ValidatorId, Votes>,
    /// System messages of those who are no members.
    outside: BTreeMap<ValidatorId, u16>,
    key_data: KeyData,
    before: VecDeque<EpochStart>,
}

/// The votes up to a block, and what a quorum of them agree on.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    votes: BTreeMap<ValidatorId, Votes>,
    /// A vote that more than f have cast came in.
    backed: bool,
    pub(crate) agreed: Option<EpochVote>,
}

/// How a block ends, for the epochs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedBlock<'a> {
    pub(crate) height: Height,
    pub(crate) time_ms: u64,
    /// Number of the batch that the next block belongs to.
    pub(crate) next_batch: u64,
    pub(crate) messages: &'a [SystemMessage],
}

/// Right after a block: how long the epoch has lasted, what is seen on L1, and the rules.
#[derive(Clone, Copy)]
struct Moment<'a> {
    height: Height,
    time_ms: u64,
    lasts_ms: u64,
    l1: &'a L1Book,
    rules: &'a Rules,
}

impl Tally {
    /// Members whose newest vote says the same.
    fn count(&self, vote: &EpochVote) -> usize {
        self.votes
            .values()
            .filter_map(|votes| votes.newest)
            .filter(|other| says_the_same(other, vote))
            .count()
    }
}

impl EpochBook {
    /// Before the first block of a network with this founding committee.
    pub fn genesis(members: Members) -> Self {
        let (epoch, first_height, first_batch) = (Epoch::new(0), Height::new(1), 1);
        Self {
            present: EpochStart { epoch, key: None, members, first_height, first_batch },
            since_ms: None,
            ready: None,
            ceremony: None,
            due: None,
            votes: BTreeMap::new(),
            outside: BTreeMap::new(),
            key_data: KeyData::default(),
            before: VecDeque::new(),
        }
    }

    /// That of a stored [snapshot](crate::api::Decided::snapshot); `None` for bytes that are none.
    pub fn of_snapshot(snapshot: &[u8]) -> Option<Self> {
        Replayed::decode(snapshot).ok().map(|replayed| replayed.epochs)
    }

    /// This validator's newest vote in the log.
    pub fn vote_of(&self, validator: ValidatorId) -> Option<EpochVote> {
        self.votes.get(&validator)?.newest
    }

    /// What more than f members vote for, if they do, with its test.
    pub fn backed(&self) -> Option<EpochVote> {
        let newest = || self.votes.values().filter_map(|votes| votes.newest);
        let enough = self.committee().faulty();
        newest().find(|vote| newest().filter(|other| says_the_same(other, vote)).count() > enough)
    }

    /// The epoch of the next block.
    pub const fn present(&self) -> &EpochStart {
        &self.present
    }

    /// The committee of the next block.
    pub const fn committee(&self) -> &Arc<Committee> {
        self.present.members.committee()
    }

    /// The committee of an epoch that is remembered.
    pub fn committee_of(&self, epoch: Epoch) -> Option<&Arc<Committee>> {
        let start = self.starts().rev().find(|start| start.epoch == epoch)?;
        Some(start.members.committee())
    }

    /// All epochs that are remembered, the present one last.
    pub fn starts(&self) -> impl DoubleEndedIterator<Item = &EpochStart> {
        self.before.iter().chain(std::iter::once(&self.present))
    }

    /// Where the newest ceremony for the next key begins; none before it is time.
    pub const fn ceremony(&self) -> Option<&CeremonyStart> {
        self.ceremony.as_ref()
    }

    /// Whether those who would be members of the next epoch say so now, and this one has not yet.
    pub fn gathers(&self, validator: ValidatorId) -> bool {
        let is_time = self.ceremony.is_none() || self.due.is_some();
        is_time && self.ready.as_ref().is_some_and(|ready| !ready.has(validator))
    }

    /// The time of the block since which the present epoch may end; none while it must go on.
    pub const fn due(&self) -> Option<u64> {
        self.due
    }

    /// Whether this member is to tell the public data of the present key, and has not yet.
    pub fn lacks_key_data_of(&self, member: ValidatorId) -> bool {
        self.committee().key(member).is_some() && !self.key_data.has_told(member)
    }

    /// How many things more one that is no member may say in this epoch.
    pub(crate) fn hears(&self, outsider: ValidatorId) -> u16 {
        let said = self.outside.get(&outsider).copied().unwrap_or_default();
        MAX_OUTSIDE_MESSAGES.saturating_sub(said)
    }

    /// The key follows a ceremony of those members.
    fn may_follow(&self, next: &NextEpoch) -> bool {
        let members = self.ceremony.as_ref().map(|ceremony| &ceremony.members);
        next.epoch == self.present.epoch.next() && members.is_some_and(|m| m.hash() == next.committee)
    }

    /// Rules 2 and 3.
    pub(crate) fn tally(&self, messages: &[SystemMessage], domain: &Domain) -> Tally {
        let members = self.committee();
        let mut tally = Tally { votes: self.votes.clone(), backed: false, agreed: None };
        for SystemMessage { sender, payload, .. } in messages {
            let vote = payload.strip_prefix(&[EPOCH_VOTE]).and_then(EpochVote::decode);
            let Some(vote) = vote.filter(|vote| self.may_follow(&vote.next)) else {
                continue;
            };
            let of_one = match members.key(*sender) {
                Some(_) => tally.votes.entry(*sender).or_default(),
                None => continue,
            };
            if of_one.cast >= MAX_VOTES {
                continue;
            }
            of_one.cast += 1;
            if vote.verify(domain).is_ok() {
                of_one.newest = Some(vote);
            }
            let after = tally.count(&vote);
            tally.backed |= after > members.faulty();
            if after >= members.quorum() {
                tally.agreed = Some(vote);
            }
        }
        tally
    }

    /// Counts a block in, with the votes in it.
    pub(crate) fn close_block(
        &mut self,
        block: ClosedBlock<'_>,
        tally: Tally,
        (l1, rules): (&L1Book, &Rules),
    ) -> Vec<EpochEvent> {
        let ClosedBlock { height, time_ms, next_batch, messages } = block;
        let Tally { votes, backed, agreed } = tally;
        if let (Some(vote), Some(CeremonyStart { members, .. })) = (agreed, &self.ceremony) {
            let handover = Handover { next: vote.next, first_batch: next_batch, first_height: height.next() };
            let key = vote.shared_key();
            self.begin(&handover, key, members.clone());
            return vec![EpochEvent::Ended { handover, key }];
        }
        self.votes = votes;
        messages.iter().for_each(|message| self.note(message, l1, rules));
        let lasts_ms = time_ms.saturating_sub(*self.since_ms.get_or_insert(time_ms));
        let mut events: Vec<EpochEvent> = backed.then_some(EpochEvent::Backed).into_iter().collect();
        let at = Moment { height, time_ms, lasts_ms, l1, rules };
        events.extend(self.gather(at));
        events.extend(self.begin_ceremony(at));
        events.extend(self.become_due(at));
        events
    }

    /// Rule 1: those who could be members may say so now.
    fn gather(&mut self, Moment { lasts_ms, l1, rules, .. }: Moment<'_>) -> Option<EpochEvent> {
        let is_time = !l1.is_listed() || lasts_ms >= preparing_ms(&rules.epochs);
        (is_time && self.ready.is_none()).then(|| self.gather_anew())
    }

    fn gather_anew(&mut self) -> EpochEvent {
        self.ready = Some(Ready::default());
        EpochEvent::Gather(self.present.epoch.next())
    }

    /// Rules 1 and 5.
    fn begin_ceremony(&mut self, at: Moment<'_>) -> Option<EpochEvent> {
        let Moment { height: after, time_ms, lasts_ms, l1, rules } = at;
        let lengths = &rules.epochs;
        let gathering = if l1.is_listed() { lengths.ceremony_ms / GATHERING } else { 0 };
        let nth = match &self.ceremony {
            None => (lasts_ms >= preparing_ms(lengths) + gathering).then_some(0),
            Some(last) => self.is_stuck(last, time_ms, lengths).then_some(last.nth.saturating_add(1)),
        }?;
        let old = match rules.epochs.key {
            KeyPolicy::Fresh => None,
            // Without it nobody could tell a good dealing from a bad one.
            KeyPolicy::Keep => Some(self.key_data.agreed()?.clone()),
        };
        let members = self.draw(l1, rules);
        for votes in self.votes.values_mut() {
            votes.newest.take_if(|vote| vote.next.committee != members.hash());
        }
        let announced = self.ready.as_ref().map(|ready| ready.announcements(members.committee()));
        let announced = announced.unwrap_or_default();
        let start = CeremonyStart { after, time_ms, nth, members, announced, old };
        self.ceremony = Some(start.clone());
        Some(EpochEvent::MakeKey(start))
    }

    /// So many handovers up to the present epoch are not final on L1.
    fn unconfirmed(&self, l1: &L1Book) -> u64 {
        self.present.epoch.get().saturating_sub(l1.confirmed().get())
    }

    /// Rules 1 and 4.
    fn become_due(&mut self, Moment { height, time_ms, lasts_ms, l1, rules }: Moment<'_>) -> Vec<EpochEvent> {
        let Epochs { interval_ms, blocks, .. } = rules.epochs;
        let has_blocks = height.next().get().saturating_sub(self.present.first_height.get());
        let is_held = rules.has_registry && self.unconfirmed(l1) >= MAX_UNCONFIRMED;
        if self.due.is_some() || lasts_ms < interval_ms || has_blocks < blocks || is_held {
            return Vec::new();
        }
        self.due = Some(time_ms);
        let mut events = vec![EpochEvent::Due { time_ms }];
        if l1.is_listed() {
            // Should it be stuck, those are drawn who are there then.
            events.push(self.gather_anew());
        }
        events
    }

    /// Counts what those who are no members say, and notes who is ready, and what is told of the present key.
    fn note(&mut self, message: &SystemMessage, l1: &L1Book, rules: &Rules) {
        let SystemMessage { sender, payload, .. } = message;
        if self.committee().key(*sender).is_none() {
            *self.outside.entry(*sender).or_default() += 1;
        }
        if rules.epochs.key == KeyPolicy::Keep
            && self.committee().key(*sender).is_some()
            && let Some(data) = KeyData::read(payload, self.present.epoch)
        {
            let faulty = self.committee().faulty();
            self.key_data.note(*sender, data, faulty);
        }
        let announcement = Ready::read(payload, self.present.epoch.next());
        let may_be_drawn = self.may_be_drawn(*sender, l1);
        if let (Some(ready), Some(announcement), true) = (&mut self.ready, announcement, may_be_drawn) {
            ready.note(*sender, announcement);
        }
    }

    /// Whether a validator can be a member of the next epoch: one on the agreed list; without a list, a member of the present.
    pub fn may_be_drawn(&self, validator: ValidatorId, l1: &L1Book) -> bool {
        match l1.is_listed() {
            true => l1.candidate(validator).is_some(),
            false => self.committee().key(validator).is_some(),
        }
    }

    fn draw(&self, l1: &L1Book, rules: &Rules) -> Members {
        let everybody = || l1.candidates().iter().map(|candidate| candidate.id).collect();
        let ready = match &self.ready {
            _ if rules.lacking == Some(PlantedBug::UnreadyDrawn) => everybody(),
            Some(ready) => ready.ids(),
            None => BTreeSet::new(),
        };
        let urn = Urn {
            candidates: l1.is_listed().then(|| l1.candidates()),
            ready: &ready,
            present: &self.present.members,
            most: rules.epochs.max_committee.into(),
            seed: l1.reference().hash,
        };
        draw(self.present.epoch.next(), urn)
    }

    /// Rule 5.
    fn is_stuck(&self, last: &CeremonyStart, time_ms: u64, lengths: &Epochs) -> bool {
        let patience = lengths.ceremony_ms.max(1_000).saturating_mul(CEREMONIES_APART);
        self.due.is_some_and(|due| time_ms >= due.max(last.time_ms).saturating_add(patience))
    }

    fn begin(&mut self, handover: &Handover, key: SharedKey, members: Members) {
        let present = EpochStart::of(handover, key, members);
        self.before.push_back(std::mem::replace(&mut self.present, present));
        while self.before.len() > REMEMBERED_EPOCHS {
            self.before.pop_front();
        }
        (self.since_ms, self.ready, self.ceremony, self.due) = (None, None, None, None);
        self.votes.clear();
        self.outside.clear();
        self.key_data = KeyData::default();
    }

    /// For the state root: every field, in order, with counts before lists.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { present, since_ms, ready, ceremony, due, votes, outside, key_data, before } = self;
        present.write(out);
        let is_there = [since_ms.is_some(), ready.is_some(), ceremony.is_some(), due.is_some()];
        out.extend(is_there.map(u8::from));
        for time_ms in since_ms.iter().chain(due) {
            out.extend_from_slice(&time_ms.to_be_bytes());
        }
        if let Some(CeremonyStart { after, time_ms, nth, members, announced, old }) = ceremony {
            for number in [after.get(), *time_ms, u64::from(*nth)] {
                out.extend_from_slice(&number.to_be_bytes());
            }
            members.write(out);
            write_announcements(announced, out);
            let old = old.as_deref().unwrap_or_default();
            out.extend_from_slice(&count(old.len()));
            out.extend_from_slice(old);
        }
        key_data.write(out);
        ready.iter().for_each(|ready| ready.write(out));
        out.extend_from_slice(&count(outside.len()));
        for (id, said) in outside {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend_from_slice(&said.to_be_bytes());
        }
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

/// Whether two votes are for one key, shared by one ceremony, among one committee. Their tests may differ.
fn says_the_same(one: &EpochVote, other: &EpochVote) -> bool {
    one.next == other.next && one.sharing == other.sharing
}

/// For so long nothing has to be done for the next epoch.
const fn preparing_ms(lengths: &Epochs) -> u64 {
    lengths.interval_ms.saturating_sub(lengths.ceremony_ms)
}

impl EpochStart {
    /// That to which a handover leads, with the members that it names.
    pub const fn of(handover: &Handover, key: SharedKey, members: Members) -> Self {
        let Handover { next: NextEpoch { epoch, .. }, first_batch, first_height } = *handover;
        Self { epoch, key: Some(key), members, first_height, first_batch }
    }

    /// That it begins, as the outgoing committee says; none for the first.
    pub fn handover(&self) -> Option<Handover> {
        let next = NextEpoch { epoch: self.epoch, key: self.key?.key, committee: self.members.hash() };
        Some(Handover { next, first_batch: self.first_batch, first_height: self.first_height })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { epoch, key, members, first_height, first_batch } = self;
        out.extend_from_slice(&epoch.get().to_be_bytes());
        out.extend_from_slice(key.map_or([0; 33], |key| *key.key.as_bytes()).as_slice());
        out.extend_from_slice(&key.map_or(0, |key| key.sharing).to_be_bytes());
        members.write(out);
        out.extend_from_slice(&first_height.get().to_be_bytes());
        out.extend_from_slice(&first_batch.to_be_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests;
