//! What a node asks before it votes again: does anybody hold a vote of mine that my log does not have?
//!
//! # Rule
//! A starting node asks every peer for the newest vote of it that the peer knows, and neither votes nor proposes until q − 1 peers
//! answered (q = n − f; the node's own log counts as one). An answer carries the vote itself, signed, so no peer can invent one. A vote
//! above the decided height that the log does not have shows that the log is not the newest: a restored copy of the data folder, or
//! a second process with the same key. The node then stays silent up to and including that vote's height; the others decide
//! it, and it catches up like any node that is behind. Answers that come later count the same. A node whose disk was lost also stays
//! silent at the height that is open at the others: what it voted there may be under way.
//!
//! # Why it does not deadlock
//! Answering needs nothing, so nodes that start together answer each other; n − f running nodes are enough, as they are for everything.
//! An honest node's log has every vote that ever left it, because votes wait for the disk: no vote silences it. What others have decided it
//! gets from them. So a node that starts for the first time is needed, and helps, at the height that is open. One that lost its disk counts as
//! faulty until that height is decided.
//!
//! # What peers remember
//! The newest vote of each validator that they verified: in memory since the start; over a restart, what their own log and
//! their newest certificate hold. Every vote that anything else followed from is in there, since the log is
//! synced before whatever follows leaves.
//!
//! # Residue
//! A vote is not found if every node that knows it is among the f that do not answer, lies by leaving it out, or was itself restored
//! from an older copy; and then only if it is above what f + 1 of those that answered have decided. A node restored from a copy counts as faulty, like one that lies: with at most f such, agreement
//! holds without this rule, which keeps one careless restore from being held against its validator as evidence.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ordering_types::chain_spec::Committee;
use ordering_types::{Epoch, Height, Time, ValidatorId};

use crate::quorum::reached_by_more_than;

/// Why a node does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It has started, and too few peers have said which votes of it they know.
    Asking {
        /// Peers that answered.
        answered: usize,
        /// Peers that must.
        needed: usize,
    },
    /// A peer knows a vote of this validator that the log here does not have: up to this height anything could contradict it.
    Until(Height),
    /// The committee has decided heights that the log here does not have: this validator may have voted on them.
    Behind(Height),
    /// It is no member of the committee of this epoch: it follows, and may be one later.
    Outside(Epoch),
    /// It went on from a checkpoint, and does not know all of the duplicate window before it has replayed up to this height.
    Replaying(Height),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking { answered, needed } => {
                write!(
                    f,
                    "{answered} of {needed} peers have said which newest vote of this validator they know"
                )
            }
            Self::Until(height) => write!(
                f,
                "a peer knows a vote of this validator at height {height} that is not in its log: the data folder is an old \
                 copy, or the key runs twice; silent until that height is decided"
            ),
            Self::Behind(height) => write!(
                f,
                "this validator may have voted up to height {height}, beyond what its disk holds; silent until that height is \
                 decided here, too"
            ),
            Self::Outside(epoch) => write!(f, "this validator is not in the committee of epoch {epoch}"),
            Self::Replaying(height) => {
                write!(
                    f,
                    "this node went on from a checkpoint and replays the duplicate window, up to height {height}"
                )
            }
        }
    }
}

/// The question, and what is known so far.
#[derive(Clone, Debug)]
pub(crate) struct Restart {
    /// Names the question, so that no answer to an earlier start is taken for one to this.
    stamp: Time,
    needed: usize,
    faulty: usize,
    /// What an earlier life wrote is lost.
    lost: bool,
    /// What each peer that answered has decided.
    answered: BTreeMap<ValidatorId, Height>,
    ask_due: Time,
    silent_to: Height,
    replay_to: Height,
}

impl Restart {
    /// Takes the rule out; see [`PlantedBug::VotesForgotten`](crate::planted::PlantedBug::VotesForgotten).
    pub(crate) fn never_ask(&mut self) {
        (self.needed, self.ask_due) = (0, Time::from_micros(u64::MAX));
    }

    /// `lost` if there may have been an earlier life of which nothing is on the disk.
    pub(crate) fn new(now: Time, committee: &Committee, lost: bool) -> Self {
        Self {
            stamp: now,
            needed: committee.quorum().saturating_sub(1),
            faulty: committee.faulty(),
            lost,
            answered: BTreeMap::new(),
            ask_due: now,
            silent_to: Height::ZERO,
            replay_to: Height::ZERO,
        }
    }

    /// Others are the committee now. Whoever still asks, asks them.
    pub(crate) fn change_committee(&mut self, committee: &Committee) {
        if self.is_asking() {
            (self.needed, self.faulty) = (committee.quorum().saturating_sub(1), committee.faulty());
            self.answered.retain(|id, _| committee.key(*id).is_some());
        }
    }

    /// Whoever cannot tell duplicates up to a height must not vote on it.
    pub(crate) fn replay_to(&mut self, height: Height) {
        self.replay_to = self.replay_to.max(height);
    }

    pub(crate) const fn stamp(&self) -> Time {
        self.stamp
    }

    fn is_asking(&self) -> bool {
        self.answered.len() < self.needed
    }

    /// Whether the node may vote at a height.
    pub(crate) fn allows(&self, height: Height) -> bool {
        !self.is_asking() && height > self.silent_to.max(self.replay_to).max(self.unknown_to())
    }

    /// Why it may not.
    pub(crate) fn silence(&self, height: Height) -> Option<Silence> {
        if self.is_asking() {
            return Some(Silence::Asking { answered: self.answered.len(), needed: self.needed });
        }
        if height <= self.silent_to {
            return Some(Silence::Until(self.silent_to));
        }
        if height <= self.replay_to {
            return Some(Silence::Replaying(self.replay_to));
        }
        (height <= self.unknown_to()).then(|| Silence::Behind(self.unknown_to()))
    }

    /// Up to where an earlier life may have voted without a trace on this disk, as far as one honest peer knows.
    fn unknown_to(&self) -> Height {
        let decided = reached_by_more_than(self.answered.values().copied(), self.faulty).unwrap_or_default();
        if self.lost && decided > Height::ZERO { decided.next() } else { decided }
    }

    /// Those of `peers` to ask now.
    pub(crate) fn due(&mut self, now: Time, retry: Duration, peers: &[ValidatorId]) -> Vec<ValidatorId> {
        if !self.is_asking() || self.ask_due > now {
            return Vec::new();
        }
        self.ask_due = now + retry;
        peers.iter().filter(|peer| !self.answered.contains_key(peer)).copied().collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.is_asking().then_some(self.ask_due)
    }

    /// A member answered; `unknown` is the height of our vote that it knows, if our log does not have it.
    pub(crate) fn answer(&mut self, from: ValidatorId, unknown: Option<Height>, decided: Height) {
        let known = self.answered.entry(from).or_default();
        *known = decided.max(*known);
        self.silent_to = self.silent_to.max(unknown.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ordering_types::SecretKey;

    use super::*;

    const NOW: Time = Time::from_millis(1_000);
    const RETRY: Duration = Duration::from_millis(100);

    fn committee(n: u8) -> Committee {
        let key = |n| SecretKey::from_bytes([n; 32]).map(|key| key.public_key());
        let members: Result<BTreeMap<_, _>, _> =
            (1..=n).map(|n| key(n).map(|key| (ValidatorId::new(n.into()), key))).collect();
        Committee::new(members.expect("small numbers are keys"))
    }

    fn ids<const N: usize>(ids: [u16; N]) -> Vec<ValidatorId> {
        ids.map(ValidatorId::new).to_vec()
    }

    /// q is n − f, which is not 2f + 1 for five or six validators.
    #[test]
    fn it_waits_for_a_quorum_less_itself() {
        for (n, needed) in [(4, 2), (5, 3), (6, 4), (7, 4), (8, 5), (10, 6)] {
            let mut restart = Restart::new(NOW, &committee(n), false);
            let peers = (2..).map(ValidatorId::new).take(needed);
            for peer in peers {
                assert!(!restart.allows(Height::new(1)), "{n} validators");
                // The same peer again adds nothing.
                restart.answer(peer, None, Height::ZERO);
                restart.answer(peer, None, Height::ZERO);
            }
            assert!(restart.allows(Height::new(1)), "{n} validators");
            assert_eq!(restart.silence(Height::new(1)), None);
        }
    }

    #[test]
    fn it_asks_at_once_and_again_those_that_did_not_answer() {
        let mut restart = Restart::new(NOW, &committee(4), false);
        let peers = ids([2, 3, 4]);
        assert_eq!(restart.next_deadline(), Some(NOW));
        assert_eq!(restart.due(NOW, RETRY, &peers), peers);
        assert_eq!(restart.due(NOW, RETRY, &peers), ids([]));
        restart.answer(ValidatorId::new(3), None, Height::ZERO);
        assert_eq!(restart.due(NOW + RETRY, RETRY, &peers), ids([2, 4]));
        restart.answer(ValidatorId::new(4), None, Height::ZERO);
        assert_eq!(restart.next_deadline(), None);
    }

    #[test]
    fn an_unknown_vote_silences_up_to_its_height_also_when_told_late() {
        let mut restart = Restart::new(NOW, &committee(4), false);
        restart.answer(ValidatorId::new(2), Some(Height::new(7)), Height::ZERO);
        assert_eq!(restart.silence(Height::new(1)), Some(Silence::Asking { answered: 1, needed: 2 }));
        restart.answer(ValidatorId::new(3), None, Height::ZERO);
        assert!(!restart.allows(Height::new(7)) && restart.allows(Height::new(8)));
        restart.answer(ValidatorId::new(4), Some(Height::new(9)), Height::ZERO);
        assert_eq!(restart.silence(Height::new(8)), Some(Silence::Until(Height::new(9))));
        assert!(restart.allows(Height::new(10)));
    }

    /// Where everybody has forgotten the votes, what was decided without us says how far they may reach.
    ///
    /// Found by the simulator: a node that started for the first time after the others had decided two heights kept silent on the third, as
    /// if its disk had been lost; with a liar silent besides, it stayed open for ever.
    #[test]
    fn what_an_honest_peer_decided_is_not_voted_on_again_nor_after_a_loss_what_is_open() {
        for (lost, silent_to) in [(false, 40), (true, 41)] {
            let mut restart = Restart::new(NOW, &committee(4), lost);
            restart.answer(ValidatorId::new(2), None, Height::new(40));
            restart.answer(ValidatorId::new(3), None, Height::new(u64::MAX));
            let silent_to = Height::new(silent_to);
            assert!(!restart.allows(silent_to) && restart.allows(silent_to.next()), "f may say anything");
            assert_eq!(restart.silence(silent_to), Some(Silence::Behind(silent_to)));
        }
        let mut first = Restart::new(NOW, &committee(4), true);
        (2..=4).for_each(|peer| first.answer(ValidatorId::new(peer), None, Height::ZERO));
        assert!(first.allows(Height::new(1)), "a new network begins");
    }
}
