//! Messages from peers. Whatever is malformed or impossible counts as a fault of its sender and changes nothing else.

use std::collections::BTreeSet;

use bytes::Bytes;
use ordering_types::{Height, Round, Time, ValidatorId, VoteKind};

use super::Ordering;
use super::orderable::Orderable;
use crate::agreement::{Agreement, Event, SignedProposal, Taken};
use crate::api::{Class, Output, Recipient, Served, StoreRequest};
use crate::sync::Kept;
use crate::wire::{DecidedRun, FetchCheckpoint, FetchDecided, FetchProposal, Message, ProposedCut};

/// Place of a message about the height after the next: sender first, so that none crowds out another.
pub(super) type EarlyKey = (ValidatorId, Height, Round, EarlyKind);

/// Most early messages of one sender.
const MAX_EARLY_PER_SENDER: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EarlyKind {
    Proposal,
    Prevote,
    Precommit,
}

impl Ordering {
    pub(super) fn receive(&mut self, now: Time, from: ValidatorId, bytes: &Bytes) {
        if from == self.me || self.state.key_of(from).is_none() {
            return;
        }
        match Message::decode(bytes) {
            Ok(message) => self.take(now, from, message),
            Err(_) => self.fault(from),
        }
    }

    fn take(&mut self, now: Time, from: ValidatorId, message: Message) {
        match message {
            Message::Chunk(chunk) => self.take_chunk(now, from, chunk),
            Message::FetchedChunk(chunk) => self.take_fetched(now, from, chunk),
            Message::Report(report) => self.take_report(now, from, &report),
            Message::FetchChunk(request) => self.serve_chunk(from, request),
            Message::Vote(vote) => {
                if vote.vote.validator != from {
                    return self.fault(from);
                }
                let kind = match vote.vote.kind {
                    VoteKind::Prevote => EarlyKind::Prevote,
                    VoteKind::Precommit => EarlyKind::Precommit,
                };
                let place = (from, vote.vote.height, vote.vote.round, kind);
                self.take_consensus(now, place, Message::Vote(vote));
            }
            Message::Proposal(proposed) => {
                // Any peer may hand on a proposal: its proposer's signature is what counts.
                let p = &proposed.proposal.proposal;
                let place = (from, p.height, p.round, EarlyKind::Proposal);
                self.take_consensus(now, place, Message::Proposal(proposed));
            }
            Message::Bundle(bundle) => {
                if self.is_open_height(bundle.height) && self.decides(from) {
                    self.tell_agreement(now, from, Event::Bundle(bundle));
                }
            }
            Message::FetchProposal(request) => {
                if self.decides(from) {
                    self.serve_proposal(now, from, request);
                }
            }
            Message::System(message) => {
                let decided = self.state.replayed.system.get(&from).copied().unwrap_or_default();
                self.orderable = Orderable::Unknown;
                // One that has just left may not know it yet.
                let Some(key) = self.state.key_of_speaker(from) else { return };
                if !self.system.receive(from, message, decided, key) {
                    self.fault(from);
                }
            }
            Message::FetchDecided(request) => self.serve_decided(from, request),
            Message::FetchVote(request) => self.serve_vote(from, request),
            Message::FetchedVote(answer) => self.take_recalled(from, &answer),
            Message::FetchCheckpoint(FetchCheckpoint { at_most, known }) => {
                if at_most <= self.state.height {
                    let request = StoreRequest::Checkpoint { at_most, known };
                    self.outputs.push_back(Output::Serve { to: from, request });
                }
            }
            Message::Checkpoint(checkpoint) => self.take_checkpoint(from, *checkpoint),
            Message::Decided(run) => {
                let tip = (self.state.height, self.state.header);
                let now_turn = (now, self.sync_delays().turn);
                match self.sync.answer(now_turn, from, run, tip, (&self.domain, &self.state.replayed.epochs))
                {
                    Ok(()) => self.apply_proven(now),
                    // A late answer to a question that another has answered is no fault, nor one that comes before those that explain it.
                    Err(crate::sync::AnswerError::Unasked | crate::sync::AnswerError::Epoch) => {}
                    Err(_) => self.fault(from),
                }
            }
        }
    }

    /// Whether a validator decides this height or the next.
    fn decides(&self, id: ValidatorId) -> bool {
        let drawn =
            || self.epochs().ceremony().is_some_and(|start| start.members.committee().key(id).is_some());
        self.committee().key(id).is_some() || drawn()
    }

    /// A vote or a proposal: of the running height, of one to come, or of the past.
    fn take_consensus(&mut self, now: Time, place: EarlyKey, message: Message) {
        let (from, height, ..) = place;
        if !self.decides(from) {
            return;
        }
        if height <= self.state.height {
            return self.tell_decided(now, from);
        }
        if height > self.height() || !self.is_running() {
            self.keep_early(place, message);
            return self.take_early(now);
        }
        self.feed_agreement(now, from, message);
    }

    fn feed_agreement(&mut self, now: Time, from: ValidatorId, message: Message) {
        match message {
            Message::Vote(vote) => self.tell_agreement(now, from, Event::Vote(vote)),
            Message::Proposal(proposed) => self.take_proposal(now, from, proposed),
            _ => {}
        }
    }

    fn is_signed(&mut self, message: &Message) -> bool {
        match message {
            Message::Vote(vote) => {
                let key = self.state.key_of(vote.vote.validator);
                key.is_some_and(|key| self.agreement.witness(vote, key))
            }
            Message::Proposal(ProposedCut { proposal: signed, .. }) => {
                let p = &signed.proposal;
                // Who leads a later height, and in which epoch it is, is known once this one is applied, and checked then.
                (p.height != self.height() || p.proposer == self.leader(p.round))
                    && self.state.key_of(p.proposer).is_some_and(|key| signed.verify(&self.domain, key))
            }
            _ => false,
        }
    }

    fn keep_early(&mut self, place: EarlyKey, message: Message) {
        let (from, height, ..) = place;
        // Whoever speaks of a height says to have decided the one before.
        if !self.is_signed(&message) {
            return self.fault(from);
        }
        let is_member = self.committee().key(from).is_some();
        if is_member {
            self.progress.saw_decided(from, height.previous().unwrap_or_default());
        } else if matches!(message, Message::Proposal(_)) {
            // It leads the first height of its epoch at the soonest; that proposal is asked for when its time has come.
            return;
        }
        let first = (from, Height::ZERO, Round::new(0), EarlyKind::Proposal);
        let kept = self.early.range(first..).take_while(|((id, ..), _)| *id == from).count();
        if height <= self.height().next() && kept < MAX_EARLY_PER_SENDER {
            self.early.insert(place, message);
        }
    }

    /// Starts the next height if peers have: its proposal came, or votes of f + 1. One validator alone cannot
    /// make the others run without a pause.
    pub(super) fn take_early(&mut self, now: Time) {
        if self.is_running() || self.silence().is_some() {
            return;
        }
        let height = self.height();
        let of_height = || self.early.iter().filter(|((_, h, ..), _)| *h == height);
        // Only one validator leads the first round; in some later one, anyone does.
        let first_leader = self.leader(Round::new(0));
        let opens = |message: &Message| match message {
            Message::Proposal(ProposedCut { proposal: SignedProposal { proposal: p, .. }, .. }) => {
                p.round.get() == 0 && p.proposer == first_leader
            }
            _ => false,
        };
        let proposed = of_height().any(|(_, message)| opens(message));
        let is_member = |id: &ValidatorId| self.committee().key(*id).is_some();
        let senders: BTreeSet<ValidatorId> =
            of_height().map(|((from, ..), _)| *from).filter(is_member).collect();
        if proposed || senders.len() > self.committee().faulty() {
            self.start_height(now);
        }
    }

    /// Feeds what was kept for the height that has just started.
    pub(super) fn feed_early(&mut self, now: Time) {
        let height = self.agreement.height();
        for (place, message) in std::mem::take(&mut self.early) {
            if place.1 > height {
                self.early.insert(place, message);
            } else if place.1 == height && self.is_running() {
                self.feed_agreement(now, place.0, message);
            }
        }
    }

    pub(super) fn tell_agreement(&mut self, now: Time, from: ValidatorId, event: Event) {
        if self.tell(now, event) == Taken::Fault {
            self.fault(from);
        }
        self.drain_agreement(now);
    }

    fn serve_proposal(&mut self, now: Time, to: ValidatorId, request: FetchProposal) {
        if request.height <= self.state.height {
            return self.tell_decided(now, to);
        }
        if !self.is_open_height(request.height) {
            return;
        }
        let wanted = request.value.and_then(|value| self.candidates.get(&value)).map(|c| c.proposal);
        let Some(proposal) = wanted.flatten().or_else(|| self.proposals.get(&request.round).copied()) else {
            return;
        };
        if let Some(candidate) = self.candidates.get(&proposal.proposal.value) {
            let message = Message::Proposal(ProposedCut { proposal, cut: candidate.cut_bytes.clone() });
            self.outputs.push_back(Output::Send {
                to: Recipient::One(to),
                class: Class::Consensus,
                bytes: message.encode(),
                after_sync: true,
            });
        }
    }

    fn serve_decided(&mut self, to: ValidatorId, request: FetchDecided) {
        let most = crate::api::MAX_SYNC_HEIGHTS;
        if request.first.get() == 0
            || request.last < request.first
            || request.last.get() - request.first.get() >= most
        {
            return self.fault(to);
        }
        if request.first > self.state.height {
            return;
        }
        match self.held_heights(&request) {
            Some(run) => self.send(Recipient::One(to), Class::Sync, &Message::Decided(run)),
            None => {
                let FetchDecided { first, last, chunks } = request;
                let request = StoreRequest::Decided { first, last: last.min(self.state.height), chunks };
                self.outputs.push_back(Output::Serve { to, request });
            }
        }
    }

    /// The answer, if memory has it. Chunks are many bytes, which another thread shall read and encode.
    fn held_heights(&self, request: &FetchDecided) -> Option<DecidedRun> {
        if request.chunks {
            return None;
        }
        let served = self.sync.serve(request)?.cloned().map(|kept| {
            let Kept { header, certificate, cut, covered } = kept;
            Served { header, certificate, cut, covered, chunks: Vec::new() }
        });
        Some(crate::wire::within_answer(served))
    }
}
