//! The chunks held in memory: all undecided ones, and those of the newest decided blocks for peers that fetch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ordering_types::{Chunk, Digest, LaneId, LaneSequence, LaneTip, TxId, ValidatorId};

use crate::load::{Load, Rules};
use crate::state::LANES_PER_VALIDATOR;

/// Most undecided chunks of one lane, counted from its decided tip.
pub(crate) const MAX_UNDECIDED_CHUNKS: u64 = 512;
/// Most bytes of undecided chunks of one lane.
pub(crate) const MAX_UNDECIDED_BYTES: usize = 32 << 20;
/// Branches of a lane that are stored without a cut naming them.
const MAX_BRANCHES: usize = 2;
/// Blocks whose chunks stay in memory after they were decided.
const RETAINED_BLOCKS: usize = 256;
/// Most bytes of chunks that stay in memory after they were decided.
const RETAINED_BYTES: usize = 64 << 20;

/// A chunk and what is computed from it once.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) chunk: Chunk,
    pub(crate) ids: Vec<TxId>,
    pub(crate) load: Load,
}

impl Held {
    pub(crate) fn new(chunk: Chunk, rules: &Rules) -> Self {
        let ids = chunk.transactions().iter().map(ordering_types::Transaction::id).collect();
        let load = Load::of(&chunk, rules);
        Self { chunk, ids, load }
    }
}

/// Why a chunk is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("held already")]
    Known,
    #[error("its place in the lane is decided")]
    Decided,
    #[error("too far beyond the decided tip")]
    TooFar,
    #[error("two branches of this place are held")]
    Branches,
    #[error("the lane holds its fill of undecided bytes")]
    Full,
    #[error("newer lanes of its validator fill its places")]
    Closed,
    #[error("no block could ever hold it")]
    TooHeavy,
    #[error("it does not follow the decided tip")]
    DeadBranch,
}

impl Refused {
    /// Whether only a broken or lying owner causes this.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Self::TooHeavy | Self::Branches | Self::DeadBranch)
    }
}

#[derive(Debug, Default)]
struct Lane {
    decided: (LaneSequence, Digest),
    /// The contiguous chain that is held beyond the decided tip.
    chain: VecDeque<Digest>,
    /// All undecided chunks held, by place.
    places: BTreeMap<LaneSequence, Vec<Digest>>,
    bytes: usize,
}

impl Lane {
    fn head(&self) -> (LaneSequence, Digest) {
        match self.chain.back() {
            None => self.decided,
            Some(digest) => {
                let sequence = self.decided.0.get().saturating_add(self.chain.len() as u64);
                (LaneSequence::new(sequence), *digest)
            }
        }
    }

    /// The digest of our chain at a place beyond the decided tip.
    fn at(&self, sequence: LaneSequence) -> Option<Digest> {
        let offset = sequence.get().checked_sub(self.decided.0.get())?.checked_sub(1)?;
        self.chain.get(usize::try_from(offset).ok()?).copied()
    }
}

/// All chunks held in memory.
#[derive(Debug, Default)]
pub(crate) struct LaneStore {
    chunks: BTreeMap<Digest, Arc<Held>>,
    lanes: BTreeMap<LaneId, Lane>,
    retained: VecDeque<(usize, Vec<Digest>)>,
    retained_bytes: usize,
}

impl LaneStore {
    /// Stores a chunk. `decided` is the lane's decided tip. What a cut names is `wanted` and passes the limits that
    /// keep out what an owner merely sends.
    pub(crate) fn insert(
        &mut self,
        chunk: Chunk,
        wanted: bool,
        decided: (LaneSequence, Digest),
        rules: &Rules,
    ) -> Result<Arc<Held>, Refused> {
        let (lane, sequence, digest) = (chunk.lane(), chunk.sequence(), chunk.digest());
        if self.chunks.contains_key(&digest) {
            return Err(Refused::Known);
        }
        if sequence <= decided.0 {
            return Err(Refused::Decided);
        }
        if sequence.get() - decided.0.get() > MAX_UNDECIDED_CHUNKS {
            return Err(Refused::TooFar);
        }
        self.open(lane, decided, wanted)?;
        let held = Held::new(chunk, rules);
        if !held.load.fits(rules) {
            return Err(Refused::TooHeavy);
        }
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err(Refused::Closed) };
        let length = held.chunk.bytes().len();
        if !wanted {
            if sequence == decided.0.next() && held.chunk.parent() != decided.1 {
                return Err(Refused::DeadBranch);
            }
            if entry.places.get(&sequence).is_some_and(|branches| branches.len() >= MAX_BRANCHES) {
                return Err(Refused::Branches);
            }
            if entry.bytes.saturating_add(length) > MAX_UNDECIDED_BYTES {
                return Err(Refused::Full);
            }
        }
        let held = Arc::new(held);
        entry.bytes += length;
        entry.places.entry(sequence).or_default().push(digest);
        self.chunks.insert(digest, Arc::clone(&held));
        self.extend(lane);
        Ok(held)
    }

    /// Makes a place for a lane. What owners merely send competes for few places, of which the newest lanes win; a lane that a
    /// cut names never pushes out another, which that cut may name as well. [`Self::decide`] restores the limit.
    fn open(&mut self, lane: LaneId, decided: (LaneSequence, Digest), wanted: bool) -> Result<(), Refused> {
        if self.lanes.contains_key(&lane) {
            return Ok(());
        }
        if !wanted {
            let siblings = self.lanes_of(lane.validator);
            if siblings.len() >= LANES_PER_VALIDATOR {
                match siblings.first() {
                    Some(oldest) if *oldest < lane => self.forget(*oldest),
                    _ => return Err(Refused::Closed),
                }
            }
        }
        self.lanes.insert(lane, Lane { decided, ..Lane::default() });
        Ok(())
    }

    fn lanes_of(&self, validator: ValidatorId) -> Vec<LaneId> {
        self.lanes.keys().filter(|lane| lane.validator == validator).copied().collect()
    }

    fn forget(&mut self, lane: LaneId) {
        for digest in self.lanes.remove(&lane).into_iter().flat_map(|l| l.places.into_values()).flatten() {
            self.chunks.remove(&digest);
        }
    }

    /// Lengthens the chain of a lane by what is held.
    fn extend(&mut self, lane: LaneId) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        loop {
            let (sequence, digest) = entry.head();
            let follows = |d: &&Digest| self.chunks.get(*d).is_some_and(|h| h.chunk.parent() == digest);
            let next = entry.places.get(&sequence.next()).and_then(|branches| branches.iter().find(follows));
            match next {
                Some(next) => entry.chain.push_back(*next),
                None => return,
            }
        }
    }

    /// Bytes of undecided chunks of all lanes.
    pub(crate) fn undecided_bytes(&self) -> usize {
        self.lanes.values().map(|lane| lane.bytes).sum()
    }

    pub(crate) fn get(&self, digest: Digest) -> Option<&Arc<Held>> {
        self.chunks.get(&digest)
    }

    /// The end of the chain held of a lane, if it is beyond the decided tip.
    pub(crate) fn head(&self, lane: LaneId) -> Option<LaneTip> {
        let entry = self.lanes.get(&lane)?;
        let (sequence, digest) = entry.head();
        (!entry.chain.is_empty()).then_some(LaneTip { lane, sequence, digest })
    }

    /// Every lane's [`head`](Self::head), ascending.
    pub(crate) fn heads(&self) -> impl Iterator<Item = LaneTip> + '_ {
        self.lanes.keys().filter_map(|lane| self.head(*lane))
    }

    /// Up to where the chain of a lane is held.
    pub(crate) fn held_sequence(&self, lane: LaneId) -> LaneSequence {
        self.lanes.get(&lane).map_or(LaneSequence::default(), |entry| entry.head().0)
    }

    /// Up to which place a peer that holds the chain ending in (`sequence`, `digest`) surely holds ours.
    pub(crate) fn agreed_with(&self, lane: LaneId, sequence: LaneSequence, digest: Digest) -> LaneSequence {
        let Some(entry) = self.lanes.get(&lane) else { return LaneSequence::default() };
        let (head, _) = entry.head();
        // Beyond our head its branch cannot be told; a wrong guess costs a fetch.
        if sequence > head || entry.at(sequence) == Some(digest) {
            return sequence.min(head);
        }
        LaneSequence::default()
    }

    /// Whether a held chunk names this one as the one before it.
    pub(crate) fn is_parent(&self, chunk: &Chunk) -> bool {
        let names = |d: &Digest| self.chunks.get(d).is_some_and(|h| h.chunk.parent() == chunk.digest());
        let places = self.lanes.get(&chunk.lane()).map(|entry| &entry.places);
        places.and_then(|p| p.get(&chunk.sequence().next())).is_some_and(|after| after.iter().any(names))
    }

    /// The held chain beyond the decided tip, up to `sequence`, oldest first.
    pub(crate) fn chain(&self, lane: LaneId, sequence: LaneSequence) -> Vec<Arc<Held>> {
        let Some(entry) = self.lanes.get(&lane) else { return Vec::new() };
        let count = sequence.get().saturating_sub(entry.decided.0.get());
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        entry.chain.iter().take(count).filter_map(|d| self.chunks.get(d).cloned()).collect()
    }

    /// The chunks from after `from` to `tip`, oldest first.
    ///
    /// # Errors
    /// [`PathError::Missing`] names the newest chunk that is not held; [`PathError::Broken`] says that the
    /// tip does not continue the lane from there.
    pub(crate) fn path(
        &self,
        from: (LaneSequence, Digest),
        tip: &LaneTip,
    ) -> Result<Vec<Arc<Held>>, PathError> {
        let mut path = VecDeque::new();
        let (mut sequence, mut digest) = (tip.sequence, tip.digest);
        while sequence > from.0 {
            let held = self.chunks.get(&digest).ok_or(PathError::Missing { sequence, digest })?;
            if held.chunk.lane() != tip.lane || held.chunk.sequence() != sequence {
                return Err(PathError::Broken);
            }
            digest = held.chunk.parent();
            sequence = LaneSequence::new(sequence.get() - 1);
            path.push_front(Arc::clone(held));
        }
        if digest == from.1 { Ok(path.into()) } else { Err(PathError::Broken) }
    }

    /// What to fetch to lengthen the chain towards `tip`: the newest chunk below all that is held, or the tip.
    pub(crate) fn gap(&self, tip: &LaneTip) -> LaneTip {
        let above = self.lanes.get(&tip.lane).and_then(|entry| {
            let head = entry.head().0;
            let (sequence, branches) = entry.places.range(head.next().next()..).next()?;
            let held = self.chunks.get(branches.first()?)?;
            let sequence = LaneSequence::new(sequence.get() - 1);
            Some(LaneTip { lane: tip.lane, sequence, digest: held.chunk.parent() })
        });
        match above {
            Some(parent) if !self.chunks.contains_key(&parent.digest) => parent,
            _ => *tip,
        }
    }

    /// Undecided chunks and bytes of a lane.
    pub(crate) fn backlog(&self, lane: LaneId) -> (usize, usize) {
        self.lanes.get(&lane).map_or((0, 0), |entry| (entry.chain.len(), entry.bytes))
    }

    /// A block decided `lanes`, each up to a tip, covering `covered`. Other branches go; what was covered stays a while.
    pub(crate) fn decide(
        &mut self,
        tips: impl IntoIterator<Item = LaneTip>,
        covered: impl IntoIterator<Item = Digest>,
    ) {
        let covered: Vec<Digest> = covered.into_iter().collect();
        let mut dropped: Vec<Digest> = Vec::new();
        for tip in tips {
            let entry = self.lanes.entry(tip.lane).or_default();
            let keep = entry.places.split_off(&tip.sequence.next());
            dropped.extend(std::mem::replace(&mut entry.places, keep).into_values().flatten());
            let on_chain = entry.at(tip.sequence) == Some(tip.digest);
            let advanced = tip.sequence.get().saturating_sub(entry.decided.0.get());
            entry.decided = (tip.sequence, tip.digest);
            if on_chain {
                entry.chain.drain(..usize::try_from(advanced).unwrap_or(0).min(entry.chain.len()));
            } else {
                entry.chain.clear();
            }
            entry.bytes = entry
                .places
                .values()
                .flatten()
                .filter_map(|d| self.chunks.get(d))
                .map(|held| held.chunk.bytes().len())
                .sum();
            self.extend(tip.lane);
        }
        dropped.retain(|digest| !covered.contains(digest));
        for digest in dropped {
            self.chunks.remove(&digest);
        }
        self.retain(covered);
        let owners: BTreeSet<ValidatorId> = self.lanes.keys().map(|lane| lane.validator).collect();
        for owner in owners {
            let lanes = self.lanes_of(owner);
            let surplus = lanes.len().saturating_sub(LANES_PER_VALIDATOR);
            for lane in lanes.into_iter().take(surplus) {
                self.forget(lane);
            }
        }
    }

    fn retain(&mut self, covered: Vec<Digest>) {
        let bytes = covered.iter().filter_map(|d| self.chunks.get(d)).map(|h| h.chunk.bytes().len()).sum();
        self.retained_bytes += bytes;
        self.retained.push_back((bytes, covered));
        while self.retained.len() > RETAINED_BLOCKS || self.retained_bytes > RETAINED_BYTES {
            let Some((bytes, digests)) = self.retained.pop_front() else { return };
            self.retained_bytes -= bytes;
            for digest in digests {
                self.chunks.remove(&digest);
            }
        }
    }
}

/// Why a tip's chunks cannot be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// This chunk is not held.
    Missing { sequence: LaneSequence, digest: Digest },
    /// The chunks do not lead to where the lane stands.
    Broken,
}

#[cfg(test)]
mod tests;
