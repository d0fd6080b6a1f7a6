//! Fetching of chunks that something names and that are not held: ask one peer at a time, then another.
//!
//! A request may ask for ancestors, too. They come as messages of their own, in any order, so what a peer was asked for is
//! remembered by place in the lane as well as by digest, and an ancestor that overtook the chunk that names it is kept until that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ordering_types::{Chunk, Digest, LaneId, LaneSequence, LaneTip, Time, ValidatorId};

/// Most chunks that are wanted at once.
const MAX_WANTED: usize = 4_096;
/// Most requests that are sent at once; the others follow when answers come or time passes.
const MAX_REQUESTS_AT_ONCE: usize = 64;

/// Most lanes and peers of which ancestors are expected.
const MAX_EXPECTED: usize = 4_096;
/// Of one peer: most chunks that came before those that name them, and most bytes of them.
const MAX_EARLY: (usize, usize) = (64, 2 << 20);

#[derive(Clone, Debug)]
struct Want {
    lane: LaneId,
    sequence: LaneSequence,
    /// Who likely holds it.
    hints: Vec<ValidatorId>,
    ancestors: u8,
    /// Named by a cut, so that its lane's limits do not matter.
    named: bool,
    /// Reported by its lane's owner.
    reported: bool,
    due: Time,
    attempts: usize,
}

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) to: ValidatorId,
    pub(crate) digest: Digest,
    pub(crate) ancestors: u8,
}

/// Chunks wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetch {
    wants: BTreeMap<Digest, Want>,
    /// By peer and lane: the first and last place asked for.
    expected: BTreeMap<(ValidatorId, LaneId), (LaneSequence, LaneSequence)>,
    /// Ancestors that nothing names yet, by who sent them.
    early: BTreeMap<ValidatorId, BTreeMap<Digest, Chunk>>,
}

impl Fetch {
    /// Wants a chunk, first asked for at `due`.
    pub(crate) fn want(
        &mut self,
        tip: LaneTip,
        ancestors: u8,
        named: bool,
        due: Time,
        hints: Vec<ValidatorId>,
    ) {
        let LaneTip { lane, sequence, digest } = tip;
        if let Some(want) = self.wants.get_mut(&digest) {
            if named && !want.named {
                // A height waits for it now, and whoever named it has it, while its owner may have been asked in vain.
                (want.hints, want.attempts) = (hints, 0);
            }
            want.named |= named;
            want.reported |= !named;
            want.due = if want.attempts == 0 { want.due.min(due) } else { want.due };
            want.ancestors = want.ancestors.max(ancestors);
        } else if named || self.wants.len() < MAX_WANTED {
            // What cuts name is bounded by the cuts kept, so it is never turned away for what peers only report.
            let want = Want { lane, sequence, hints, ancestors, named, reported: !named, due, attempts: 0 };
            self.wants.insert(digest, want);
        }
    }

    /// Whether a chunk is wanted for a cut that names it.
    pub(crate) fn named(&self, digest: Digest) -> bool {
        self.wants.get(&digest).is_some_and(|want| want.named)
    }

    /// Whether a chunk is wanted because its lane's owner reported it.
    pub(crate) fn reported(&self, digest: Digest) -> bool {
        self.wants.get(&digest).is_some_and(|want| want.reported)
    }

    /// Whether this very chunk is wanted.
    pub(crate) fn wants(&self, digest: Digest) -> bool {
        self.wants.contains_key(&digest)
    }

    /// Whether `from` was asked for this chunk, or for its place in its lane.
    pub(crate) fn expects(&self, from: ValidatorId, chunk: &Chunk) -> bool {
        let place = self.expected.get(&(from, chunk.lane()));
        self.wants.contains_key(&chunk.digest())
            || place.is_some_and(|(first, last)| (*first..=*last).contains(&chunk.sequence()))
    }

    /// Keeps an ancestor that a peer was asked for, for when the chunk that names it comes.
    pub(crate) fn keep_early(&mut self, from: ValidatorId, chunk: Chunk) {
        let (most, most_bytes) = MAX_EARLY;
        let of_peer = self.early.entry(from).or_default();
        let bytes: usize = of_peer.values().map(|chunk| chunk.bytes().len()).sum();
        if of_peer.len() < most && bytes.saturating_add(chunk.bytes().len()) <= most_bytes {
            of_peer.insert(chunk.digest(), chunk);
        }
    }

    /// One that was kept, now that something names it.
    pub(crate) fn take_early(&mut self, digest: Digest) -> Option<(ValidatorId, Chunk)> {
        self.early.iter_mut().find_map(|(from, chunks)| Some((*from, chunks.remove(&digest)?)))
    }

    /// It is held now.
    pub(crate) fn arrived(&mut self, digest: Digest) {
        self.wants.remove(&digest);
    }

    /// A height is decided: what its cuts named matters no more, nor what is below the tips.
    pub(crate) fn decided(&mut self, tip: impl Fn(LaneId) -> LaneSequence) {
        self.wants.retain(|_, want| !want.named && want.sequence > tip(want.lane));
        self.expected.retain(|(_, lane), (_, last)| *last > tip(*lane));
        self.early.retain(|_, chunks| {
            chunks.retain(|_, chunk| chunk.sequence() > tip(chunk.lane()));
            !chunks.is_empty()
        });
    }

    /// What the owner of a lane reported of it is of a branch that was not decided.
    pub(crate) fn forget(&mut self, lane: LaneId) {
        self.wants.retain(|_, want| want.lane != lane || want.named);
    }

    /// Whose chunks a cut names, and have not come in time.
    pub(crate) fn late(&self, now: Time) -> BTreeSet<ValidatorId> {
        let late = |want: &&Want| want.named && want.attempts == 0 && want.due <= now;
        self.wants.values().filter(late).map(|want| want.lane.validator).collect()
    }

    /// Requests due now. `peers` is everyone else, in ascending order.
    pub(crate) fn due(&mut self, now: Time, retry: Duration, peers: &[ValidatorId]) -> Vec<Request> {
        let mut requests = Vec::new();
        for (digest, want) in self.wants.iter_mut().filter(|(_, want)| want.due <= now) {
            if requests.len() >= MAX_REQUESTS_AT_ONCE {
                break;
            }
            let everyone = want.hints.iter().chain(peers);
            let choices = want.hints.len() + peers.len();
            let Some(to) = everyone.cycle().nth(want.attempts % choices.max(1)).copied() else { continue };
            want.attempts += 1;
            want.due = now + retry;
            let first = want.sequence.get().saturating_sub(u64::from(want.ancestors));
            if self.expected.len() < MAX_EXPECTED || self.expected.contains_key(&(to, want.lane)) {
                self.expected.insert((to, want.lane), (LaneSequence::new(first), want.sequence));
            }
            requests.push(Request { to, digest: *digest, ancestors: want.ancestors });
        }
        requests
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wants.values().map(|want| want.due).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::Incarnation;

    use super::*;

    #[test]
    fn hints_are_asked_first_and_then_everyone_in_turn() {
        let [a, b, c] = [1, 2, 3].map(ValidatorId::new);
        let mut fetch = Fetch::default();
        let digest = Digest::sha256(&[b"x"]);
        let lane = LaneId { validator: a, incarnation: Incarnation::new(1) };
        let tip = LaneTip { lane, sequence: LaneSequence::new(1), digest };
        fetch.want(tip, 0, true, Time::from_millis(10), vec![c]);
        let retry = Duration::from_millis(5);
        assert_eq!(fetch.due(Time::from_millis(9), retry, &[a, b]), vec![]);
        let asked: Vec<_> = (0..4)
            .map(|i| fetch.due(Time::from_millis(10 + 5 * i), retry, &[a, b]).first().unwrap().to)
            .collect();
        assert_eq!(asked, vec![c, a, b, c]);
        fetch.arrived(digest);
        assert_eq!(fetch.next_deadline(), None);
    }

    /// An owner that answers nobody was asked when a cut named the chunk: the height waited through all peers' turns.
    #[test]
    fn once_a_cut_names_it_whoever_proposed_it_is_asked_next() {
        let [owner, proposer] = [1, 2].map(ValidatorId::new);
        let lane = LaneId { validator: owner, incarnation: Incarnation::new(1) };
        let tip = LaneTip { lane, sequence: LaneSequence::new(1), digest: Digest::sha256(&[b"x"]) };
        let mut fetch = Fetch::default();
        let (retry, at) = (Duration::from_millis(100), Time::from_millis);
        let asked = |fetch: &mut Fetch, millis| {
            fetch.due(at(millis), retry, &[owner, proposer]).first().map(|request| request.to)
        };
        fetch.want(tip, 0, false, at(10), vec![owner]);
        assert_eq!(asked(&mut fetch, 10), Some(owner));
        fetch.want(tip, 0, true, at(30), vec![proposer]);
        assert_eq!((asked(&mut fetch, 29), asked(&mut fetch, 30)), (None, Some(proposer)));
        fetch.want(tip, 0, true, at(40), vec![owner]);
        assert_eq!(asked(&mut fetch, 40), None, "it is on its way");
    }
}
