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
/// Branches of a lane that are stored for its owner; what cuts name comes on top.
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

/// Who wants a chunk stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// A cut names it: it passes the limits that keep out what an owner merely sends.
    pub(crate) named: bool,
    /// Its owner stands behind it: it sent or reported it. Nothing else is reported to peers or proposed; see the module
    /// [`lane`](crate::lane).
    pub(crate) vouched: bool,
}

impl Claim {
    /// A chunk that this node cut, or had on its disk: a logged cut may name it.
    pub(crate) const OWN: Self = Self { named: true, vouched: true };
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
    /// Whether only a broken or lying owner causes this. Branches are none: an honest owner that a lying leader overruled begins one.
    pub(crate) const fn is_fault(self) -> bool {
        matches!(self, Self::TooHeavy)
    }
}

#[derive(Clone, Copy, Debug)]
struct Branch {
    digest: Digest,
    /// See [`Claim::vouched`].
    vouched: bool,
}

#[derive(Debug, Default)]
struct Lane {
    decided: (LaneSequence, Digest),
    /// The contiguous chain beyond the decided tip that is held and vouched for.
    chain: VecDeque<Digest>,
    /// All undecided chunks held, by place.
    places: BTreeMap<LaneSequence, Vec<Branch>>,
    /// Of those vouched for.
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

    fn branch(&mut self, sequence: LaneSequence, digest: Digest) -> Option<&mut Branch> {
        self.places.get_mut(&sequence)?.iter_mut().find(|branch| branch.digest == digest)
    }
}

/// All chunks held in memory.
#[derive(Debug, Default)]
pub(crate) struct LaneStore {
    chunks: BTreeMap<Digest, Arc<Held>>,
    lanes: BTreeMap<LaneId, Lane>,
    /// Sum of [`Lane::bytes`], which every input asks for.
    undecided_bytes: usize,
    /// Chunks that nobody vouched for when they came. They serve the cuts that name them and go when the height is decided.
    strays: Vec<Digest>,
    retained: VecDeque<(usize, Vec<Digest>)>,
    retained_bytes: usize,
}

impl LaneStore {
    /// Stores a chunk. `decided` is the lane's decided tip.
    pub(crate) fn insert(
        &mut self,
        chunk: Chunk,
        claim: Claim,
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
        self.open(lane, decided, claim.named)?;
        let held = Held::new(chunk, rules);
        if !held.load.fits(rules) {
            return Err(Refused::TooHeavy);
        }
        let vouched = claim.vouched || self.is_vouched_parent(&held.chunk);
        if !claim.named {
            if sequence == decided.0.next() && held.chunk.parent() != decided.1 {
                self.drop_heirs(&held.chunk);
                return Err(Refused::DeadBranch);
            }
            self.check_limits(&held.chunk, vouched)?;
        }
        let held = Arc::new(held);
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err(Refused::Closed) };
        entry.places.entry(sequence).or_default().push(Branch { digest, vouched: false });
        self.chunks.insert(digest, Arc::clone(&held));
        if vouched {
            self.vouch(digest);
        } else {
            self.strays.push(digest);
        }
        Ok(held)
    }

    /// Limits on what no cut names. What cuts named takes no room away from what the owner sends.
    fn check_limits(&self, chunk: &Chunk, vouched: bool) -> Result<(), Refused> {
        let Some(entry) = self.lanes.get(&chunk.lane()) else { return Err(Refused::Closed) };
        let branches = entry.places.get(&chunk.sequence()).into_iter().flatten();
        if branches.filter(|branch| branch.vouched || !vouched).count() >= MAX_BRANCHES {
            return Err(Refused::Branches);
        }
        if entry.bytes.saturating_add(chunk.bytes().len()) > MAX_UNDECIDED_BYTES {
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Its owner stands behind a held chunk, and so behind all before it. Whether that is news.
    pub(crate) fn vouch(&mut self, digest: Digest) -> bool {
        let mut news = None;
        let mut next = digest;
        while let Some(held) = self.chunks.get(&next) {
            let lane = held.chunk.lane();
            let Some(entry) = self.lanes.get_mut(&lane) else { break };
            match entry.branch(held.chunk.sequence(), next) {
                Some(branch) if !branch.vouched => branch.vouched = true,
                _ => break,
            }
            entry.bytes += held.chunk.bytes().len();
            self.undecided_bytes += held.chunk.bytes().len();
            next = held.chunk.parent();
            news = Some(lane);
        }
        if let Some(lane) = news {
            self.extend(lane);
        }
        news.is_some()
    }

    fn is_vouched_parent(&self, chunk: &Chunk) -> bool {
        let names =
            |b: &Branch| self.chunks.get(&b.digest).is_some_and(|h| h.chunk.parent() == chunk.digest());
        self.after(chunk).any(|branch| branch.vouched && names(branch))
    }

    /// What is held at the place after a chunk's.
    fn after(&self, chunk: &Chunk) -> impl Iterator<Item = &Branch> {
        let places = self.lanes.get(&chunk.lane()).map(|entry| &entry.places);
        places.and_then(|places| places.get(&chunk.sequence().next())).into_iter().flatten()
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

    /// Of owners whose lanes are closed nothing is ordered any more.
    pub(crate) fn close(&mut self, is_open: impl Fn(ValidatorId) -> bool) {
        let closed: Vec<LaneId> =
            self.lanes.keys().filter(|lane| !is_open(lane.validator)).copied().collect();
        closed.into_iter().for_each(|lane| self.forget(lane));
    }

    fn forget(&mut self, lane: LaneId) {
        let Some(entry) = self.lanes.remove(&lane) else { return };
        self.undecided_bytes -= entry.bytes;
        for branch in entry.places.into_values().flatten() {
            self.chunks.remove(&branch.digest);
        }
    }

    /// Lengthens the chain of a lane by what is held and vouched for.
    fn extend(&mut self, lane: LaneId) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        loop {
            let (sequence, digest) = entry.head();
            let follows = |b: &&Branch| {
                b.vouched && self.chunks.get(&b.digest).is_some_and(|h| h.chunk.parent() == digest)
            };
            let next = entry.places.get(&sequence.next()).and_then(|branches| branches.iter().find(follows));
            match next {
                Some(next) => entry.chain.push_back(next.digest),
                None => return,
            }
        }
    }

    /// Bytes of undecided chunks of all lanes.
    pub(crate) fn undecided_bytes(&self) -> usize {
        debug_assert_eq!(self.undecided_bytes, self.lanes.values().map(|lane| lane.bytes).sum::<usize>());
        self.undecided_bytes
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
        let names =
            |b: &Branch| self.chunks.get(&b.digest).is_some_and(|h| h.chunk.parent() == chunk.digest());
        self.after(chunk).any(names)
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

    /// What to fetch to lengthen the chain towards `tip`: below the tip, if that is held, the newest chunk that is not; else the newest
    /// below all that is held, or the tip.
    pub(crate) fn gap(&self, tip: &LaneTip) -> LaneTip {
        if let Some(missing) = self.missing_below(tip) {
            return missing;
        }
        let above = self.lanes.get(&tip.lane).and_then(|entry| {
            let head = entry.head().0;
            let vouched = |branches: &[Branch]| branches.iter().find(|b| b.vouched).map(|b| b.digest);
            let mut above = entry.places.range(head.next().next()..);
            let (sequence, digest) = above.find_map(|(place, b)| Some((place, vouched(b)?)))?;
            let held = self.chunks.get(&digest)?;
            let sequence = LaneSequence::new(sequence.get() - 1);
            Some(LaneTip { lane: tip.lane, sequence, digest: held.chunk.parent() })
        });
        match above {
            Some(parent) if !self.chunks.contains_key(&parent.digest) => parent,
            _ => *tip,
        }
    }

    /// The newest chunk on the way from a held tip to the decided one that is not held. Other branches, dead ones perhaps, are no matter.
    fn missing_below(&self, tip: &LaneTip) -> Option<LaneTip> {
        let first = self.lanes.get(&tip.lane)?.decided.0.next();
        let mut at = *tip;
        while let Some(held) = self.chunks.get(&at.digest).filter(|_| at.sequence > first) {
            let sequence = LaneSequence::new(at.sequence.get() - 1);
            at = LaneTip { sequence, digest: held.chunk.parent(), ..at };
        }
        (!self.chunks.contains_key(&at.digest) && at.sequence < tip.sequence).then_some(at)
    }

    /// Drops what cannot follow the decided tips, nor what stands on it: after a restart the disk may hold branches that were overruled.
    pub(crate) fn drop_dead(&mut self) {
        for lane in self.lanes.keys().copied().collect::<Vec<_>>() {
            let Some((sequence, digest)) = self.lanes.get(&lane).map(|entry| entry.decided) else { continue };
            let is_dead = |_: &Branch, c: &Chunk| c.sequence() == sequence.next() && c.parent() != digest;
            for dead in self.cut_off(lane, is_dead) {
                self.chunks.remove(&dead);
            }
        }
    }

    /// Undecided chunks and bytes of a lane.
    pub(crate) fn backlog(&self, lane: LaneId) -> (usize, usize) {
        self.lanes.get(&lane).map_or((0, 0), |entry| (entry.chain.len(), entry.bytes))
    }

    /// A block decided lanes, each up to a tip, covering `covered`, which stays a while. Other branches go, and with them what nobody
    /// vouched for. Answers the lanes of which another branch was decided than the one held.
    pub(crate) fn decide(
        &mut self,
        tips: impl IntoIterator<Item = LaneTip>,
        covered: impl IntoIterator<Item = Digest>,
    ) -> Vec<LaneId> {
        let order: Vec<Digest> = covered.into_iter().collect();
        let covered: BTreeSet<Digest> = order.iter().copied().collect();
        let mut dropped: Vec<Digest> = Vec::new();
        let mut overruled = Vec::new();
        for tip in tips {
            if self.decide_lane(&tip, &covered, &mut dropped) {
                overruled.push(tip.lane);
            }
        }
        for digest in std::mem::take(&mut self.strays) {
            dropped.extend(self.drop_stray(digest));
        }
        for digest in dropped.iter().filter(|digest| !covered.contains(digest)) {
            self.chunks.remove(digest);
        }
        self.retain(order);
        let owners: BTreeSet<ValidatorId> = self.lanes.keys().map(|lane| lane.validator).collect();
        for owner in owners {
            let lanes = self.lanes_of(owner);
            let surplus = lanes.len().saturating_sub(LANES_PER_VALIDATOR);
            for lane in lanes.into_iter().take(surplus) {
                self.forget(lane);
            }
        }
        overruled
    }

    /// Whether another branch was decided than the one held. Of that one nothing stays then, nor what may hang on it.
    fn decide_lane(&mut self, tip: &LaneTip, covered: &BTreeSet<Digest>, dropped: &mut Vec<Digest>) -> bool {
        let entry = self.lanes.entry(tip.lane).or_default();
        let last = entry.head().0.min(tip.sequence);
        let keep = entry.places.split_off(&tip.sequence.next());
        let below = std::mem::replace(&mut entry.places, keep).into_values().flatten();
        dropped.extend(below.map(|branch| branch.digest));
        let on_chain = entry.at(tip.sequence) == Some(tip.digest);
        let overruled = !on_chain && entry.at(last).is_some_and(|held| !covered.contains(&held));
        let advanced = tip.sequence.get().saturating_sub(entry.decided.0.get());
        entry.decided = (tip.sequence, tip.digest);
        if on_chain {
            entry.chain.drain(..usize::try_from(advanced).unwrap_or(0).min(entry.chain.len()));
        } else {
            entry.chain.clear();
        }
        self.extend(tip.lane);
        self.prune(tip, overruled, dropped);
        overruled
    }

    /// Drops what cannot follow the decided tip any more: the children of others, and theirs. Of an overruled branch also what
    /// is held beyond a gap, because nobody can tell on which branch it hangs.
    fn prune(&mut self, tip: &LaneTip, overruled: bool, dropped: &mut Vec<Digest>) {
        let lane = self.lanes.get(&tip.lane).filter(|_| overruled);
        let chain: BTreeSet<Digest> = lane.into_iter().flat_map(|entry| &entry.chain).copied().collect();
        let is_root = |branch: &Branch, chunk: &Chunk| {
            if overruled && branch.vouched {
                return !chain.contains(&branch.digest);
            }
            chunk.sequence() == tip.sequence.next() && chunk.parent() != tip.digest
        };
        dropped.extend(self.cut_off(tip.lane, is_root));
    }

    /// A chunk turned out to be of a branch that was not decided. What was held beyond it, while nobody could tell, is of that branch, too.
    fn drop_heirs(&mut self, chunk: &Chunk) {
        let parent = chunk.digest();
        for digest in self.cut_off(chunk.lane(), |_, heir| heir.parent() == parent) {
            self.chunks.remove(&digest);
        }
    }

    /// Takes branches of a lane out of their places: those that are a root, and all that stands on one. Answers which.
    fn cut_off(&mut self, lane: LaneId, is_root: impl Fn(&Branch, &Chunk) -> bool) -> BTreeSet<Digest> {
        let mut dead = BTreeSet::new();
        let Some(entry) = self.lanes.get_mut(&lane) else { return dead };
        let chunks = &self.chunks;
        for branches in entry.places.values_mut() {
            branches.retain(|branch| {
                let chunk = chunks.get(&branch.digest).map(|held| &held.chunk);
                let stays = |chunk: &Chunk| !is_root(branch, chunk) && !dead.contains(&chunk.parent());
                let stays = chunk.is_some_and(stays);
                if !stays {
                    dead.insert(branch.digest);
                }
                stays
            });
        }
        entry.places.retain(|_, branches| !branches.is_empty());
        let vouched = entry.places.values().flatten().filter(|branch| branch.vouched);
        let length = |branch: &Branch| chunks.get(&branch.digest).map_or(0, |h| h.chunk.bytes().len());
        self.undecided_bytes -= entry.bytes;
        entry.bytes = vouched.map(length).sum();
        self.undecided_bytes += entry.bytes;
        dead
    }

    /// Takes an undecided chunk out of its place, unless it was vouched for since it came.
    fn drop_stray(&mut self, digest: Digest) -> Option<Digest> {
        let chunk = &self.chunks.get(&digest)?.chunk;
        let (entry, sequence) = (self.lanes.get_mut(&chunk.lane())?, chunk.sequence());
        let branches = entry.places.get_mut(&sequence)?;
        let place = branches.iter().position(|b| b.digest == digest && !b.vouched)?;
        branches.remove(place);
        if branches.is_empty() {
            entry.places.remove(&sequence);
        }
        Some(digest)
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
