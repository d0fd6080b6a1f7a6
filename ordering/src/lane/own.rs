//! The lane that this node cuts: its end, and what of it is not decided.
//!
//! # Overruled
//! Nobody but the owner knows what it cut, and chunks are not signed. So a lying leader can propose a chunk of its own making in another's
//! lane, and whoever votes cannot tell. When such a cut is decided, the owner's later chunks hang on a branch that can never be. The
//! owner then *cuts again*: the transactions of its overruled chunks that are not ordered return to the front of the buffer, and the
//! lane goes on from the decided tip. Each such cut costs the owner its undecided chunks once more, and whatever honest leaders
//! propose next is ordered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ordering_types::{Digest, LaneId, LaneSequence};

use super::store::Held;

/// The own lane.
#[derive(Debug)]
pub(crate) struct OwnLane {
    pub(crate) id: LaneId,
    /// The newest chunk, or the decided tip.
    end: (LaneSequence, Digest),
    /// Undecided chunks, oldest first: bounded by what the lane's backlog may hold.
    undecided: VecDeque<Arc<Held>>,
}

/// What a decided block does to the own lane.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Chunks that it covers.
    pub(crate) decided: Vec<Arc<Held>>,
    /// Chunks that can never be covered any more, oldest first.
    pub(crate) overruled: Vec<Arc<Held>>,
}

impl OwnLane {
    pub(crate) const fn new(id: LaneId, end: (LaneSequence, Digest)) -> Self {
        Self { id, end, undecided: VecDeque::new() }
    }

    /// Sequence and parent of the next chunk.
    pub(crate) const fn next(&self) -> (LaneSequence, Digest) {
        (self.end.0.next(), self.end.1)
    }

    /// A chunk that continues the lane was cut.
    pub(crate) fn push(&mut self, held: Arc<Held>) {
        self.end = (held.chunk.sequence(), held.chunk.digest());
        self.undecided.push_back(held);
    }

    /// A checkpoint tells where the lane stands, and not over what. On a chunk of ours, all up to it are decided. On another's, a forged one
    /// is among them, and nobody can tell which of ours are: all are cut again. What of it is ordered already is left out as a
    /// duplicate, if the window still knows it.
    pub(crate) fn go_on_at(&mut self, tip: (LaneSequence, Digest)) -> Settled {
        let own = self.undecided.iter().position(|held| held.chunk.digest() == tip.1);
        let decided = self.undecided.iter().take(own.map_or(0, |place| place + 1));
        let covered = decided.map(|held| held.chunk.digest()).collect();
        self.settle(&covered, tip)
    }

    /// A block covers these chunks of the lane, after which it stands at `tip`.
    pub(crate) fn settle(&mut self, covered: &BTreeSet<Digest>, tip: (LaneSequence, Digest)) -> Settled {
        let (decided, left): (Vec<_>, Vec<_>) =
            self.undecided.drain(..).partition(|held| covered.contains(&held.chunk.digest()));
        let stands_on = left.first().map_or(self.end.1, |first| first.chunk.parent());
        if stands_on == tip.1 {
            self.undecided = left.into();
            return Settled { decided, overruled: Vec::new() };
        }
        self.end = tip;
        Settled { decided, overruled: left }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use ordering_types::{Chunk, Incarnation, RollupId, Transaction, ValidatorId};

    use super::*;
    use crate::load::tests::generous_rules;

    fn lane() -> LaneId {
        LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(1) }
    }

    fn held((sequence, parent): (LaneSequence, Digest), data: &'static [u8]) -> Arc<Held> {
        let transaction = Transaction { rollup: RollupId::new(1), data: data.into() };
        let chunk = Chunk::new(lane(), sequence, parent, &[transaction]).unwrap();
        Arc::new(Held::new(chunk, &generous_rules()))
    }

    fn end(held: &Held) -> (LaneSequence, Digest) {
        (held.chunk.sequence(), held.chunk.digest())
    }

    fn digests(held: &[Arc<Held>]) -> BTreeSet<Digest> {
        held.iter().map(|held| held.chunk.digest()).collect()
    }

    /// A lane of three chunks, and a forged chunk behind its `honest` first ones.
    fn scene(honest: usize) -> (OwnLane, Vec<Arc<Held>>, Arc<Held>) {
        let mut own = OwnLane::new(lane(), (LaneSequence::default(), Digest::ZERO));
        let mut chunks = Vec::new();
        let mut forged = held(own.next(), b"forged");
        for (place, data) in [b"a", b"b", b"c"].into_iter().enumerate() {
            let next = held(own.next(), data);
            own.push(Arc::clone(&next));
            chunks.push(next);
            if place + 1 == honest {
                forged = held(own.next(), b"forged");
            }
        }
        (own, chunks, forged)
    }

    #[test]
    fn what_is_covered_is_decided_and_the_rest_waits() {
        let (mut own, chunks, _) = scene(0);
        let settled = own.settle(&digests(&chunks[..2]), end(&chunks[1]));
        assert_eq!(digests(&settled.decided), digests(&chunks[..2]));
        assert!(settled.overruled.is_empty());
        // Nor does a block that covers nothing of it change anything.
        let settled = own.settle(&BTreeSet::new(), end(&chunks[1]));
        assert!(settled.decided.is_empty() && settled.overruled.is_empty());
        assert_eq!(own.next(), (LaneSequence::new(4), chunks[2].chunk.digest()));
        let settled = own.settle(&digests(&chunks[2..]), end(&chunks[2]));
        assert_eq!(settled.decided.len(), 1);
        assert_eq!(own.next().1, chunks[2].chunk.digest());
    }

    #[test]
    fn a_checkpoint_on_an_own_chunk_settles_all_up_to_it() {
        let (mut own, chunks, _) = scene(0);
        let settled = own.go_on_at(end(&chunks[1]));
        assert_eq!((settled.decided.len(), settled.overruled.len()), (2, 0));
        assert_eq!(own.next(), (LaneSequence::new(4), chunks[2].chunk.digest()));
        let (mut own, chunks, _) = scene(0);
        let settled = own.go_on_at((LaneSequence::default(), Digest::ZERO));
        assert_eq!((settled.decided.len(), settled.overruled.len()), (0, 0), "where it stood before");
        assert_eq!(own.next().1, chunks[2].chunk.digest());
    }

    /// The displaced chunk was taken for decided, and its transactions were never ordered.
    #[test]
    fn a_checkpoint_on_a_forged_chunk_takes_back_whatever_may_not_be_decided() {
        for honest in 0..=2 {
            let (mut own, chunks, forged) = scene(honest);
            let settled = own.go_on_at(end(&forged));
            assert!(settled.decided.is_empty());
            assert_eq!(digests(&settled.overruled), digests(&chunks));
            assert_eq!(own.next(), (forged.chunk.sequence().next(), forged.chunk.digest()));
        }
    }

    /// Wherever the forged chunk stands: first, between own ones, or behind the newest.
    #[test]
    fn an_overruled_lane_goes_on_from_the_decided_tip() {
        for honest in 0..=3 {
            let (mut own, chunks, forged) = scene(honest);
            let covered: Vec<_> = chunks[..honest].iter().chain([&forged]).cloned().collect();
            let settled = own.settle(&digests(&covered), end(&forged));
            assert_eq!(digests(&settled.decided), digests(&chunks[..honest]));
            assert_eq!(digests(&settled.overruled), digests(&chunks[honest..]));
            assert_eq!(own.next(), (forged.chunk.sequence().next(), forged.chunk.digest()));
            let again = held(own.next(), b"again");
            own.push(Arc::clone(&again));
            assert_eq!(own.settle(&digests(&[Arc::clone(&again)]), end(&again)).decided.len(), 1);
        }
    }
}
