//! State sync: a node that is very far behind goes on from a *checkpoint*, a decided height with the state after it, and leaves out
//! the blocks before.
//!
//! # Rules
//! 1. A node asks for a checkpoint when the committee is more than two duplicate windows ahead: so far at least, peers keep their blocks.
//! 2. It asks for the newest height that is a whole window below what f + 1 peers say to have decided. After it, the node still
//!    replays a window of blocks: what the window then holds is what it must hold, without anybody's word for it. And f + 1 peers must say that
//!    the committee signed all batches up to there: a node without their blocks cannot help to sign them any more.
//! 3. A checkpoint counts if its header commits to the state, a quorum of the committee that the state names signed the header, and it is no
//!    more than [`MAX_AGE_BATCHES`] batches older than what was asked for. Whether that committee is the network's only the host can tell, by the keys
//!    that the committees handed on ([`Checkpoint::context`](crate::api::Checkpoint::context)). So a peer can withhold a
//!    checkpoint, but not make one up, nor hand out an ancient one.
//! 4. One peer is asked at a time. Whoever answers wrongly, or not in time, loses its turn; whoever failed last is asked last.
//!    When everybody has failed twice, value sync goes on as far as it can, and peers are asked again after [`PAUSE`].
//! 5. In the blocks of the first window after a checkpoint, which transactions are duplicates of earlier blocks' is not known here. A peer says
//!    so, and the header's hash tells whether it lied; another is asked then. A node does not vote before it knows by itself.
//!
//! 6. A node whose host still needs old blocks' system messages replays as long as it gets them: its part of a key ceremony may be in there.
//!
//! # Restart
//! A checkpoint is one record. Before it is on disk nothing has changed; after, the node starts from it like from its newest
//! block. How much of the window is missing, it sees from the blocks that it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use ordering_types::chain_spec::Limits;
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, Height, LaneId, LaneSequence, Time, ValidatorId};

use crate::api::Checkpoint;
use crate::state::{MAX_SNAPSHOT_BYTES, ReplayState, Replayed};
use crate::wire::FetchCheckpoint;

/// Most bytes of the host's part.
pub const MAX_CONTEXT_BYTES: usize = 4 << 20;
/// Most bytes of a checkpoint: the state, the host's part, header and certificate.
pub(crate) const MAX_CHECKPOINT_BYTES: usize = MAX_SNAPSHOT_BYTES + MAX_CONTEXT_BYTES + (64 << 10);
/// A checkpoint stands at the end of a signed batch, and so many may wait for their signature.
const MAX_AGE_BATCHES: u64 = 34;
/// After everybody failed.
const PAUSE: Duration = Duration::from_secs(30);
/// Times that each peer may fail before the pause.
const TRIES: usize = 2;

/// Why a checkpoint is worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("not asked for")]
    Unasked,
    #[error("of another network")]
    Network,
    #[error("older than what was asked for, or newer")]
    Age,
    #[error("the certificate does not prove the header")]
    Certificate,
    #[error("the state is not the one that the header commits to")]
    State,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: ValidatorId,
    request: FetchCheckpoint,
    until: Time,
    failed: bool,
}

/// The asking side.
#[derive(Debug, Default)]
pub(crate) struct StateSync {
    asked: Option<Asked>,
    failures: BTreeMap<ValidatorId, u32>,
    attempts: usize,
    paused_until: Time,
}

/// What a checkpoint is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trusted<'a> {
    pub(crate) chain_spec: Digest,
    pub(crate) domain: &'a Domain,
    pub(crate) limits: &'a Limits,
}

/// How far each lane is decided in a stored [snapshot](crate::api::Decided::snapshot); `None` for bytes that are none.
pub fn decided_lanes(snapshot: &[u8]) -> Option<Vec<(LaneId, LaneSequence)>> {
    let replayed = Replayed::decode(snapshot).ok()?;
    Some(replayed.tips.into_iter().map(|(lane, (sequence, _))| (lane, sequence)).collect())
}

/// Whether a node at `tip` is so far behind that it should not replay everything.
pub(crate) fn is_far_behind(tip: Height, heard: Height, limits: &Limits) -> bool {
    heard.get().saturating_sub(tip.get()) > 2 * u64::from(limits.duplicate_window_blocks)
}

/// The newest height that is of use as a checkpoint to who heard of these.
pub(crate) fn newest(heard: Height, sealed: Height, limits: &Limits) -> Height {
    Height::new(heard.get().saturating_sub(limits.duplicate_window_blocks.into())).min(sealed)
}

impl StateSync {
    /// Whether a checkpoint is being asked for: value sync waits then.
    pub(crate) fn is_active(&self, now: Time) -> bool {
        self.asked.is_some() || now >= self.paused_until
    }

    /// Whom to ask for a checkpoint no newer than this, with the handovers after this epoch, now that the node is far behind. `ahead` are the peers that are.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        (at_most, known): (Height, Epoch),
        ahead: &[(ValidatorId, Height)],
        turn: Duration,
    ) -> Option<(ValidatorId, FetchCheckpoint)> {
        if now < self.paused_until {
            return None;
        }
        if let Some(asked) = self.asked.filter(|asked| asked.until <= now) {
            self.asked = None;
            if !asked.failed {
                *self.failures.entry(asked.peer).or_default() += 1;
            }
        }
        if self.asked.is_some() {
            return None;
        }
        if self.attempts >= TRIES * ahead.len() {
            self.put_off(now);
            return None;
        }
        let rank = |id: &ValidatorId| (self.failures.get(id).copied().unwrap_or_default(), *id);
        let having = ahead.iter().filter(|(_, decided)| *decided >= at_most).map(|(id, _)| *id);
        let peer = having.min_by_key(rank)?;
        let request = FetchCheckpoint { at_most, known };
        self.attempts += 1;
        self.asked = Some(Asked { peer, request, until: now + turn, failed: false });
        Some((peer, request))
    }

    /// When to ask the next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.asked.map(|asked| asked.until)
    }

    /// No checkpoint is of use now: value sync goes on for a while.
    pub(crate) fn put_off(&mut self, now: Time) {
        self.stop();
        self.paused_until = now + PAUSE;
    }

    /// The node has come as far as the checkpoint by itself. If the committee is far ahead of that too, a newer one is asked for.
    pub(crate) fn overtaken(&mut self) {
        self.asked = None;
    }

    /// The node is not far behind any more.
    pub(crate) fn stop(&mut self) {
        *self = Self { paused_until: self.paused_until, ..Self::default() };
    }

    /// Checks an answer; gives the state to go on from.
    pub(crate) fn answer(
        &mut self,
        from: ValidatorId,
        checkpoint: &Checkpoint,
        trusted: Trusted<'_>,
    ) -> Result<ReplayState, CheckpointError> {
        let asked = self.asked.as_mut().filter(|asked| asked.peer == from && !asked.failed);
        let asked = asked.ok_or(CheckpointError::Unasked)?;
        let checked = check(checkpoint, asked.request, trusted);
        if checked.is_err() {
            self.refused(from);
        }
        checked
    }

    /// The peer's answer is worthless.
    pub(crate) fn refused(&mut self, from: ValidatorId) {
        *self.failures.entry(from).or_default() += 1;
        if let Some(asked) = self.asked.as_mut().filter(|asked| asked.peer == from) {
            asked.failed = true;
        }
    }
}

fn check(
    checkpoint: &Checkpoint,
    request: FetchCheckpoint,
    Trusted { chain_spec, domain, limits }: Trusted<'_>,
) -> Result<ReplayState, CheckpointError> {
    let Checkpoint { header, certificate, snapshot, .. } = checkpoint;
    if header.chain_spec != chain_spec {
        return Err(CheckpointError::Network);
    }
    let age = request.at_most.get().checked_sub(header.height.get()).ok_or(CheckpointError::Age)?;
    if age > MAX_AGE_BATCHES * u64::from(limits.blocks_per_batch) {
        return Err(CheckpointError::Age);
    }
    let is_its = certificate.header == header.hash()
        && certificate.height == header.height
        && certificate.epoch == header.epoch;
    if !is_its {
        return Err(CheckpointError::Certificate);
    }
    let state = ReplayState::restore(header, snapshot).map_err(|_| CheckpointError::State)?;
    certificate.verify(domain, state.deciders()).map_err(|_| CheckpointError::Certificate)?;
    Ok(state)
}

#[cfg(test)]
mod tests;
