//! State sync at work: going on from a checkpoint.

use std::sync::Arc;

use ordering_types::chain_spec::Limits;
use ordering_types::{Epoch, Height, LaneTip, RollupId, Time, TxId, ValidatorId};

use super::Ordering;
use super::orderable::Orderable;
use crate::agreement::Agreement;
use crate::api::{Checkpoint, Class, Output, Recipient, Record};
use crate::checkpoint::{CheckpointError, Trusted, is_far_behind, newest};
use crate::cut::check::ParentSignatures;
use crate::state::ReplayState;
use crate::window::Window;
use crate::wire::Message;

/// A checkpoint that passed all checks of this crate.
#[derive(Debug)]
pub(super) struct Judged {
    from: ValidatorId,
    checkpoint: Arc<Checkpoint>,
    state: ReplayState,
}

/// Up to where a node at `tip`, which holds the ids of these blocks, must be told what is a duplicate.
pub(super) fn told_to(tip: Height, recent: &[(Height, Vec<(RollupId, TxId)>)], limits: &Limits) -> Height {
    let window = u64::from(limits.duplicate_window_blocks);
    let needed = tip.get().saturating_sub(window) + 1;
    let first = recent.first().map_or(tip.get() + 1, |(height, _)| height.get());
    if first <= needed { Height::ZERO } else { Height::new((first - 1).saturating_add(window)) }
}

impl Ordering {
    /// Whether duplicates in this block are known from peers only.
    pub(super) fn is_told(&self, height: Height) -> bool {
        height <= self.told_to
    }

    /// Asks for a checkpoint if the node is too far behind to replay everything. True: it waits for one.
    pub(super) fn wants_checkpoint(
        &mut self,
        now: Time,
        heard: Height,
        ahead: &[(ValidatorId, Height)],
    ) -> bool {
        if !is_far_behind(self.state.height, heard, &self.rules.limits) {
            self.state_sync.stop();
            return false;
        }
        // Reports are on their way from everybody who was heard.
        let Some(sealed) = self.progress.sealed_height(self.committee()) else { return true };
        let at_most = newest(heard, sealed, &self.rules.limits);
        if at_most <= self.state.height {
            self.state_sync.stop();
            return false;
        }
        let turn = self.sync_delays().turn * 3;
        if let Some((to, request)) = self.state_sync.ask(now, (at_most, self.known_key()), ahead, turn) {
            self.send(Recipient::One(to), Class::Sync, &Message::FetchCheckpoint(request));
        }
        self.state_sync.is_active(now)
    }

    /// The newest epoch whose key is known here. That of the first epoch is in the log, and a checkpoint brings it.
    fn known_key(&self) -> Epoch {
        self.state.epoch()
    }

    /// An answer. What this crate can check is checked here; the host checks the rest.
    pub(super) fn take_checkpoint(&mut self, from: ValidatorId, checkpoint: Checkpoint) {
        let trusted = Trusted { chain_spec: self.spec, domain: &self.domain, limits: &self.rules.limits };
        match self.state_sync.answer(from, &checkpoint, trusted) {
            Ok(state) if state.height > self.state.height => {
                let checkpoint = Arc::new(checkpoint);
                self.outputs.push_back(Output::JudgeCheckpoint(Arc::clone(&checkpoint)));
                self.judged = Some(Judged { from, checkpoint, state });
            }
            Ok(_) => self.state_sync.overtaken(),
            // Not asked for any more: that is no fault.
            Err(CheckpointError::Unasked) => {}
            Err(_) => self.fault(from),
        }
    }

    pub(super) fn take_judgement(&mut self, now: Time, genuine: bool) {
        let Some(judged) = self.judged.take() else { return };
        if !genuine {
            self.state_sync.refused(judged.from);
            self.fault(judged.from);
        } else if judged.state.height > self.state.height {
            self.jump(now, judged);
        } else {
            self.state_sync.overtaken();
        }
    }

    /// Forgets the past and goes on after the checkpoint. Own chunks that are not decided stay.
    fn jump(&mut self, now: Time, Judged { checkpoint, state, .. }: Judged) {
        self.outputs.push_back(Output::Persist(Record::Checkpoint(Arc::clone(&checkpoint))));
        self.outputs.push_back(Output::Jumped(Arc::clone(&checkpoint)));
        let certificate = &checkpoint.certificate;
        let limits = &self.rules.limits;
        self.window = Window::new(self.window.hasher(), limits.duplicate_window_blocks, Vec::new());
        self.told_to = told_to(state.height, &[], limits);
        self.restart.replay_to(self.told_to);
        self.rotation = state.rotation();
        self.parent_signatures = ParentSignatures::of(certificate);
        self.agreement.witness_certificate(certificate);
        self.commit = Some(certificate.clone());
        // What is decided of the own lane must not go on counting as waiting.
        let settled = self.own.go_on_at(state.tip(self.own.id));
        self.settle_own(now, &settled);
        let tips = &state.replayed.tips;
        let tips: Vec<LaneTip> = tips
            .iter()
            .map(|(lane, (sequence, digest))| LaneTip { lane: *lane, sequence: *sequence, digest: *digest })
            .collect();
        self.store.decide(tips, []);
        for message in self.system.decided(
            &[],
            &state.replayed.system,
            |id| state.key_of_speaker(id).is_some(),
            &self.key,
        ) {
            self.spread_system(message);
        }
        self.state = state;
        self.enter_epoch();
        self.sync.jumped(self.state.height);
        self.state_sync.stop();
        self.candidates.clear();
        self.proposals.clear();
        self.undecided_commit = None;
        self.unusable.clear();
        self.fetch.decided(|lane| self.state.tip(lane).0);
        let height = self.state.height;
        self.early.retain(|(_, of, ..), _| *of > height);
        self.pace.last_block = now;
        self.orderable = Orderable::Unknown;
        self.report_soon(now);
    }
}
