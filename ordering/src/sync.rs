//! Value sync: a node that is behind asks peers for decided heights.
//!
//! # What an answer proves
//! Heights come in runs: cut and header of each, and the certificate of the last. Each header names the one before as its parent, so
//! one certificate proves the run, wherever it stands. The certificates of the heights before the last are those that the cuts
//! after them carry: a quorum decided those cuts, so honest validators checked them. A run ends with its epoch, because only its last block tells
//! who is in the next committee. All of it is checked before anything is used. Chunks that
//! come along count if their digests are on the way from a tip of the cut; what is missing is then fetched like any others.
//!
//! # Whom to ask
//! Up to [`MAX_ASKED`] peers at once, each for another run, the lowest first; so one that answers slowly or not at all holds up nothing but
//! the run that it was asked for. Whoever failed last is asked last. A peer that answers wrongly, or not at all, loses its turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use ordering_types::preimage::Domain;
use ordering_types::{Chunk, CommitCertificate, Cut, Digest, Header, Height, Time, ValidatorId};

use crate::api::{Covered, MAX_SYNC_HEIGHTS};
use crate::epoch::EpochBook;
use crate::wire::{DecidedRun, FetchDecided, LeftOut, SyncItem};

/// Heights kept in memory for peers.
const KEPT_HEIGHTS: usize = 512;
/// Most bytes of them.
const KEPT_BYTES: usize = 32 << 20;
/// Runs asked for at the same time.
const MAX_ASKED: usize = 4;
/// Most bytes of proven heights that wait, before only what comes next is asked for.
const MAX_PROVEN_BYTES: usize = 16 << 20;
/// So far behind, a node does not hold the chunks and asks for them with the heights. Less far, their owners have sent them.
const CHUNKS_FROM: u64 = 32;
/// Who follows believes a single peer, which proves what it says, after so many times the usual grace.
const ALONE_PATIENCE: u32 = 20;
/// An answer with chunks is longer, and the way to a peer may be slow.
const CHUNKS_PATIENCE: u32 = 10;

/// Why an answer is worthless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("not asked for")]
    Unasked,
    #[error("more heights than were asked for, or none")]
    Count,
    #[error("a header does not continue the chain")]
    Chain,
    #[error("a certificate does not prove its header")]
    Certificate,
    #[error("a cut is not the header's")]
    Cut,
    /// Blocks before it name its committee.
    #[error("of an epoch whose committee is not known here")]
    Epoch,
}

/// One proven height, not yet expanded.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) from: ValidatorId,
    pub(crate) header: Header,
    pub(crate) certificate: CommitCertificate,
    pub(crate) cut: Cut,
    pub(crate) cut_bytes: Bytes,
    pub(crate) left_out: LeftOut,
    /// By digest. Only what a tip leads to is of this height.
    pub(crate) chunks: BTreeMap<Digest, Chunk>,
    weight: usize,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    /// One height behind is given this: its last votes may be on their way.
    pub(crate) grace: Duration,
    /// A peer's turn.
    pub(crate) turn: Duration,
}

/// Where this node stands, and where the others say they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lag<'a> {
    pub(crate) tip: Height,
    /// The peers that decided more, and how much.
    pub(crate) ahead: &'a [(ValidatorId, Height)],
    /// What the committee surely decided.
    pub(crate) heard: Height,
    /// This node is no member: nobody sends it chunks.
    pub(crate) follows: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: ValidatorId,
    request: FetchDecided,
    until: Time,
    /// It has answered, and worthlessly: the next peer's turn comes when this one's has ended.
    failed: bool,
}

/// A height as peers may ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) header: Header,
    pub(crate) certificate: CommitCertificate,
    pub(crate) cut: Bytes,
    pub(crate) covered: Vec<Covered>,
}

impl Kept {
    fn weight(&self) -> usize {
        1_024 + self.cut.len() + self.certificate.signatures.len() * 80 + self.covered.len() * 64
    }
}

/// Both sides of value sync.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    /// See [`PlantedBug::SyncUnchecked`](crate::planted::PlantedBug::SyncUnchecked).
    trusting: bool,
    asked: Vec<Asked>,
    proven: BTreeMap<Height, Proven>,
    proven_bytes: usize,
    /// How often each peer failed in a row.
    failures: BTreeMap<ValidatorId, u32>,
    /// Counts requests: among equals, whose turn was longest ago is next.
    requests: u64,
    turns: BTreeMap<ValidatorId, u64>,
    behind_since: Option<Time>,
    /// Since when only peers that may lie are known to be further.
    alone_since: Option<Time>,
    kept: VecDeque<Kept>,
    kept_bytes: usize,
}

impl Sync {
    pub(crate) fn new(trusting: bool) -> Self {
        Self { trusting, ..Self::default() }
    }

    /// A proven height, waiting for its data or for those before it.
    pub(crate) fn proven(&self, height: Height) -> Option<&Proven> {
        self.proven.get(&height)
    }

    /// The chunks that came with a proven height, to be used once.
    pub(crate) fn take_chunks(&mut self, height: Height) -> BTreeMap<Digest, Chunk> {
        self.proven.get_mut(&height).map(|proven| std::mem::take(&mut proven.chunks)).unwrap_or_default()
    }

    /// What a peer said of this height turned out to be wrong, although a quorum decided it: another must say it.
    pub(crate) fn refuse(&mut self, height: Height) -> Option<ValidatorId> {
        let proven = self.proven.remove(&height)?;
        self.proven_bytes -= proven.weight;
        *self.failures.entry(proven.from).or_default() += 1;
        Some(proven.from)
    }

    /// A height was applied, by whatever way.
    pub(crate) fn applied(&mut self, kept: Kept) {
        self.forget_to(kept.header.height);
        self.kept_bytes += kept.weight();
        self.kept.push_back(kept);
        while self.kept.len() > KEPT_HEIGHTS || self.kept_bytes > KEPT_BYTES {
            let Some(old) = self.kept.pop_front() else { break };
            self.kept_bytes -= old.weight();
        }
    }

    /// This node went on from a checkpoint.
    pub(crate) fn jumped(&mut self, height: Height) {
        self.forget_to(height);
        self.kept.clear();
        self.kept_bytes = 0;
    }

    fn forget_to(&mut self, height: Height) {
        while let Some(first) = self.proven.first_entry().filter(|first| *first.key() <= height) {
            self.proven_bytes -= first.remove().weight;
        }
        self.asked.retain(|asked| asked.request.last > height);
        (self.behind_since, self.alone_since) = (None, None);
    }

    /// Whom to ask for what now, if anybody; ask again until there is nothing.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        lag: Lag<'_>,
        delays: Delays,
    ) -> Option<(ValidatorId, FetchDecided)> {
        if lag.ahead.is_empty() {
            (self.behind_since, self.alone_since) = (None, None);
            return None;
        }
        self.end_turns(now);
        // Who follows has time, and leaves no place to a single peer that says to be further than all others. But it may be the only one that is left
        // of those whom it knows. Its own reports wake it often enough.
        if lag.follows && lag.heard <= lag.tip {
            let since = *self.alone_since.get_or_insert(now);
            if now < since + delays.grace * ALONE_PATIENCE {
                self.behind_since = None;
                return None;
            }
        }
        let since = *self.behind_since.get_or_insert(now);
        let far = lag.heard > lag.tip.next();
        if !far && now < since + delays.grace {
            return None;
        }
        let (first, last) = self.next_run(lag)?;
        let peer = self.choose(first, lag.ahead)?;
        let most = lag.ahead.iter().find(|(id, _)| *id == peer).map_or(first, |(_, decided)| *decided);
        let far = is_far(lag.tip, lag.heard);
        let chunks = lag.follows || far;
        let request = FetchDecided { first, last: last.min(most.max(first)), chunks };
        let turn = if far { delays.turn * CHUNKS_PATIENCE } else { delays.turn };
        self.requests += 1;
        self.turns.insert(peer, self.requests);
        self.asked.push(Asked { peer, request, until: now + turn, failed: false });
        Some((peer, request))
    }

    /// Nothing is asked for now: a checkpoint comes first.
    pub(crate) fn rest(&mut self, now: Time) {
        self.end_turns(now);
        self.behind_since = None;
    }

    fn end_turns(&mut self, now: Time) {
        let failures = &mut self.failures;
        self.asked.retain(|asked| {
            let ended = asked.until <= now;
            if ended && !asked.failed {
                *failures.entry(asked.peer).or_default() += 1;
            }
            !ended
        });
    }

    /// The lowest heights that are neither proven nor asked for. What is not next in line is only asked for while there is room.
    fn next_run(&self, lag: Lag<'_>) -> Option<(Height, Height)> {
        if self.asked.len() >= MAX_ASKED {
            return None;
        }
        let tip = lag.tip.get();
        let mut first = tip + 1;
        loop {
            if let Some(asked) = self.asked.iter().find(|a| covers(&a.request, first)) {
                first = asked.request.last.get() + 1;
            } else if self.proven.contains_key(&Height::new(first)) {
                first += 1;
            } else {
                break;
            }
        }
        let next_in_line = first == tip + 1;
        let room = first - tip <= MAX_ASKED as u64 * MAX_SYNC_HEIGHTS && self.proven_bytes < MAX_PROVEN_BYTES;
        if !next_in_line && (!room || first > lag.heard.get()) {
            return None;
        }
        let mut last = first + MAX_SYNC_HEIGHTS - 1;
        let proven = self.proven.range(Height::new(first)..).next().map(|(height, _)| height.get());
        let asked = self.asked.iter().map(|a| a.request.first.get()).filter(|other| *other > first).min();
        for taken in [proven, asked].into_iter().flatten() {
            last = last.min(taken - 1);
        }
        Some((Height::new(first), Height::new(last)))
    }

    /// Who has it, failed least, and was asked longest ago.
    fn choose(&self, first: Height, ahead: &[(ValidatorId, Height)]) -> Option<ValidatorId> {
        let busy = |id: &ValidatorId| self.asked.iter().filter(|asked| asked.peer == *id).count();
        let rank = |id: &ValidatorId| {
            let failed = self.failures.get(id).copied().unwrap_or_default();
            (failed, busy(id), self.turns.get(id).copied().unwrap_or_default(), *id)
        };
        let having = ahead.iter().filter(|(_, decided)| *decided >= first).map(|(id, _)| *id);
        having.min_by_key(rank)
    }

    /// When [`ask`](Self::ask) may have an answer, if we are behind.
    pub(crate) fn next_deadline(&self, grace: Duration) -> Option<Time> {
        let patient = self.behind_since? + grace;
        let turn = self.asked.iter().map(|asked| asked.until).min();
        // What is proven and not applied waits for chunks, which have deadlines of their own.
        turn.or_else(|| self.proven.is_empty().then_some(patient))
    }

    /// Checks an answer against our newest header hash. One that brings nothing new does not free the asker: whoever could make us ask
    /// again at once could make us ask for ever.
    pub(crate) fn answer(
        &mut self,
        (now, turn): (Time, Duration),
        from: ValidatorId,
        run: DecidedRun,
        tip: (Height, Digest),
        (domain, epochs): (&Domain, &EpochBook),
    ) -> Result<(), AnswerError> {
        let first = run.items.first().map(|item| item.header.height);
        let ours = |asked: &&mut Asked| {
            asked.peer == from
                && !asked.failed
                && first.is_none_or(|first| covers(&asked.request, first.get()))
        };
        let Some(asked) = self.asked.iter_mut().find(ours) else { return Err(AnswerError::Unasked) };
        let request = asked.request;
        asked.failed = true;
        asked.until = asked.until.min(now + turn);
        match self.prove(from, run, &request, tip, (domain, epochs)) {
            Ok(()) => {
                self.asked.retain(|asked| asked.peer != from || asked.request != request);
                self.failures.remove(&from);
                Ok(())
            }
            // What comes after our own epoch cannot be proven yet, and is no less good for that: who answers must not look worse than who is silent.
            Err(AnswerError::Epoch) if first > Some(tip.0.next()) => Err(AnswerError::Epoch),
            Err(error) => {
                *self.failures.entry(from).or_default() += 1;
                Err(error)
            }
        }
    }

    fn prove(
        &mut self,
        from: ValidatorId,
        run: DecidedRun,
        request: &FetchDecided,
        (tip, tip_hash): (Height, Digest),
        (domain, epochs): (&Domain, &EpochBook),
    ) -> Result<(), AnswerError> {
        let count = request.last.get() - request.first.get() + 1;
        if run.items.is_empty() || run.items.len() as u64 > count {
            return Err(AnswerError::Count);
        }
        let mut proven = check_run(from, run, (!self.trusting).then_some((domain, epochs)))?;
        proven.retain(|height| height.header.height > tip);
        let Some(first) = proven.first() else { return Err(AnswerError::Count) };
        if first.header.height == tip.next() && first.header.parent != tip_hash {
            return Err(AnswerError::Chain);
        }
        for height in proven {
            self.proven_bytes += height.weight;
            if let Some(old) = self.proven.insert(height.header.height, height) {
                self.proven_bytes -= old.weight;
            }
        }
        Ok(())
    }

    /// Answers a peer from memory, or `None` if the first height is not there any more.
    pub(crate) fn serve(&self, request: &FetchDecided) -> Option<impl Iterator<Item = &Kept>> {
        let oldest = self.kept.front()?.header.height;
        let skip = usize::try_from(request.first.get().checked_sub(oldest.get())?).ok()?;
        let last = request.last.get().min(request.first.get().saturating_add(MAX_SYNC_HEIGHTS - 1));
        let count = usize::try_from(last.checked_sub(request.first.get())?).ok()? + 1;
        Some(self.kept.iter().skip(skip).take(count))
    }
}

/// Whether a node at `tip` is so far behind that it does not hold what comes next.
pub(crate) fn is_far(tip: Height, heard: Height) -> bool {
    heard.get() > tip.get().saturating_add(CHUNKS_FROM)
}

const fn covers(request: &FetchDecided, height: u64) -> bool {
    request.first.get() <= height && height <= request.last.get()
}

/// Checks a run from its end: the certificate proves the last header, each header the one before. Without a committee to check by, any
/// certificate will do.
fn check_run(
    from: ValidatorId,
    run: DecidedRun,
    epochs: Option<(&Domain, &EpochBook)>,
) -> Result<Vec<Proven>, AnswerError> {
    let mut certificate = run.certificate.ok_or(AnswerError::Certificate)?;
    if let Some((domain, epochs)) = epochs {
        let committee = epochs.committee_of(certificate.epoch).ok_or(AnswerError::Epoch)?;
        certificate.verify(domain, committee).map_err(|_| AnswerError::Certificate)?;
    }
    let mut proven: Vec<Proven> = Vec::with_capacity(run.items.len());
    for item in run.items.into_iter().rev() {
        let weight = item.weight();
        let SyncItem { cut: cut_bytes, header, left_out, chunks } = item;
        let hash = header.hash();
        if let Some(after) = proven.last() {
            if after.header.height != header.height.next() || after.header.parent != hash {
                return Err(AnswerError::Chain);
            }
            let commit = after.cut.parent_commit.as_ref().ok_or(AnswerError::Certificate)?;
            certificate = commit.certificate(header.epoch, header.height, hash);
        }
        let is_its = certificate.header == hash
            && certificate.height == header.height
            && certificate.epoch == header.epoch;
        if !is_its {
            return Err(AnswerError::Certificate);
        }
        if Digest::sha256(&[&cut_bytes]) != header.cut {
            return Err(AnswerError::Cut);
        }
        let cut = Cut::decode(&cut_bytes).map_err(|_| AnswerError::Cut)?;
        let chunks = chunks.into_iter().filter_map(|bytes| Chunk::decode(bytes).ok());
        let chunks = chunks.map(|chunk| (chunk.digest(), chunk)).collect();
        let certificate = certificate.clone();
        proven.push(Proven { from, header, certificate, cut, cut_bytes, left_out, chunks, weight });
    }
    proven.reverse();
    Ok(proven)
}

#[cfg(test)]
pub(crate) mod tests;
