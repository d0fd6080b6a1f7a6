//! What honest validators sign, judged from the bytes that leave them.
//!
//! - One vote a height, round and step; one proposal a height and round: over all lives of a node.
//! - A vote is on disk before it leaves, and so is every chunk of what it is for.
//! - A precommit follows a quorum of prevotes; after a precommit, a prevote for another value follows a quorum of prevotes
//!   for that one in the same round or a later one (the rules that make Tendermint safe).
//! - A signature share is on disk before it leaves.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ordering_types::{Cut, Digest, LaneTip, SignedVote, ValidatorId, VoteKind};

use super::Violation;
use super::epochs::Committees;
use crate::sim::disk::Disk;
use crate::sim::wire::{self, PROPOSAL, ProposedCut};

type Place = (ValidatorId, u64, u32);

/// What was signed so far.
#[derive(Default)]
pub(super) struct Votes {
    sent: BTreeMap<(Place, VoteKind), Option<Digest>>,
    proposed: BTreeMap<Place, Digest>,
    /// Precommits for a value, by validator and height.
    locks: BTreeMap<(ValidatorId, u64), BTreeMap<u32, Digest>>,
    /// Who prevoted a value in a round, honest or not.
    prevotes: BTreeMap<(u64, u32, Digest), BTreeSet<ValidatorId>>,
    /// What values stand for.
    cuts: BTreeMap<Digest, Vec<LaneTip>>,
}

impl Votes {
    /// Notes a message of anybody.
    pub(super) fn saw(&mut self, bytes: &[u8]) {
        if let Some(vote) = wire::read_vote(bytes) {
            self.count(&vote);
        } else if let Some(proposed) = wire::read::<ProposedCut>(PROPOSAL, bytes)
            && let Ok(cut) = Cut::decode(&proposed.cut)
        {
            self.cuts.entry(proposed.proposal.value).or_insert(cut.tips);
        }
    }

    /// Notes what a node logged: votes count from then on for it, though they may never have left, and it may vote for its own cut
    /// before it has sent it.
    ///
    /// ```text
    ///   u8 0 │ u32 0 (vote) │ signed vote          u8 1 │ 32 value │ cut
    /// ```
    pub(super) fn logged(&mut self, entry: &[u8]) {
        if let Some((value, cut)) = entry.strip_prefix(&[1]).and_then(|rest| rest.split_first_chunk::<32>())
            && let Ok(cut) = Cut::decode(cut)
        {
            self.cuts.entry(Digest::new(*value)).or_insert(cut.tips);
        }
        if let Some(vote) = entry.strip_prefix(&[0, 0, 0, 0, 0])
            && let Some(vote) = wire::read_vote(&[&[wire::VOTE], vote].concat())
        {
            self.count(&vote);
        }
    }

    fn count(&mut self, signed: &SignedVote) {
        let v = &signed.vote;
        if let (VoteKind::Prevote, Some(value)) = (v.kind, v.value) {
            self.prevotes.entry((v.height.get(), v.round.get(), value)).or_default().insert(v.validator);
        }
    }

    /// Judges a message that leaves an honest validator, whose disk holds `disk` at this moment.
    pub(super) fn left(
        &mut self,
        who: ValidatorId,
        bytes: &Bytes,
        disk: &Disk,
        committees: &Committees,
    ) -> Vec<Violation> {
        self.saw(bytes);
        if let Some(vote) = wire::read_vote(bytes).filter(|v| v.vote.validator == who) {
            return self.vote(&vote, disk, committees);
        }
        match wire::read::<ProposedCut>(PROPOSAL, bytes) {
            Some(proposed) if proposed.proposal.proposer == who => self.proposal(&proposed),
            _ => Vec::new(),
        }
    }

    fn proposal(&mut self, proposed: &ProposedCut) -> Vec<Violation> {
        let p = &proposed.proposal;
        let first = *self.proposed.entry((p.proposer, p.height.get(), p.round.get())).or_insert(p.value);
        if first == p.value {
            return Vec::new();
        }
        let seen = format!("{} proposes twice at {}/{}", p.proposer, p.height, p.round);
        vec![Violation { promise: "no double vote", seen }]
    }

    fn vote(&mut self, signed: &SignedVote, disk: &Disk, committees: &Committees) -> Vec<Violation> {
        let v = &signed.vote;
        let (height, round) = (v.height.get(), v.round.get());
        let name = format!("{}'s {:?} at {height}/{round}", v.validator, v.kind);
        let mut broken = Vec::new();
        let mut report = |promise, seen| broken.push(Violation { promise, seen });
        match self.sent.insert(((v.validator, height, round), v.kind), v.value) {
            Some(first) if first != v.value => {
                report("no double vote", format!("{name} is for {:?} after {first:?}", v.value));
            }
            Some(_) => return Vec::new(),
            None => {}
        }
        if !disk.has_logged(height, signed.signature.as_bytes()) {
            report("on disk before voted", format!("{name} left before it was logged and synced"));
        }
        let Some(value) = v.value else { return broken };
        match self.cuts.get(&value) {
            None => report("validity", format!("{name} is for a value that nobody proposed")),
            Some(tips) => {
                if let Some(tip) = tips.iter().find(|tip| !disk.has_lane(tip)) {
                    let seen = format!("{name} covers {} that is not on its disk", tip.lane);
                    report("on disk before voted", seen);
                }
            }
        }
        match v.kind {
            VoteKind::Precommit => {
                if !self.has_polka((v.epoch.get(), height), value, round..round + 1, committees) {
                    report("locking", format!("{name} follows no quorum of prevotes"));
                }
                self.locks.entry((v.validator, height)).or_default().insert(round, value);
            }
            VoteKind::Prevote => {
                let locks = self.locks.get(&(v.validator, height));
                let lock = locks.and_then(|l| l.range(..round).next_back()).map(|(r, value)| (*r, *value));
                if let Some((locked, first)) = lock
                    && first != value
                    && !self.has_polka((v.epoch.get(), height), value, locked..round, committees)
                {
                    let seen = format!("{name} is for {value:?}, locked on {first:?} since round {locked}");
                    report("locking", seen);
                }
            }
        }
        broken
    }

    /// Whether a quorum prevoted the value in some of these rounds.
    fn has_polka(
        &self,
        (epoch, height): (u64, u64),
        value: Digest,
        mut rounds: std::ops::Range<u32>,
        committees: &Committees,
    ) -> bool {
        rounds.any(|round| {
            self.prevotes.get(&(height, round, value)).is_some_and(|who| committees.is_quorum(epoch, who))
        })
    }
}
