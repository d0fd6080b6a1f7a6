//! The height being agreed on: proposals in and out, and the judgement of the cuts behind them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering_types::cut::MAX_CUT_LANES;
use ordering_types::{Cut, Digest, Height, LaneSequence, LaneTip, ParentCommit, Round, Time, ValidatorId};

use super::Ordering;
use crate::agreement::{Agreement, Broadcast, Effect, Event, SignedProposal, Taken};
use crate::api::{Class, Output, Recipient, Record};
use crate::cut::build::{Moment, build};
use crate::cut::check::{CutError, check_covered, check_parent_commit, check_shape};
use crate::expand::{Expansion, Past, expand};
use crate::lane::store::{Held, PathError};
use crate::log::LogEntry;
use crate::planted::PlantedBug;
use crate::wire::{FetchProposal, LeftOut, Message, ProposedCut};

/// Most cuts that are kept for one height.
const MAX_CANDIDATES: usize = 48;
/// Most cuts that are kept for one round: its proposer may be lying to some.
const MAX_CANDIDATES_PER_ROUND: usize = 2;
/// Rounds ahead of the present one whose proposals are looked at; agreement looks no further either.
const ROUNDS_AHEAD: u32 = 10;

/// A cut that stands behind some value of the open height.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The newest proposal of it; none for one read from the log.
    pub(super) proposal: Option<SignedProposal>,
    pub(super) cut_bytes: Bytes,
    cut: Cut,
    from: Option<ValidatorId>,
    /// The round that it was first seen in.
    round: Round,
    /// Whether it passed the checks that need no data.
    shaped: bool,
    pub(super) standing: Standing,
}

/// What is known of a candidate.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Its data is not all here, or its time has not come.
    Open { not_before: Option<Time> },
    /// It may be voted for.
    Valid(Arc<Expansion>),
    /// It never will.
    Invalid,
}

/// Outcome of looking for a cut's chunks.
pub(super) enum Data {
    Held(Vec<Vec<Arc<Held>>>),
    Missing,
    Broken,
}

impl Ordering {
    /// Carries out what agreement wants.
    pub(super) fn drain_agreement(&mut self, now: Time) {
        while let Some(effect) = self.agreement.next_effect() {
            match effect {
                Effect::Log { .. } if self.settings.lacks(PlantedBug::VoteNotLogged) => {}
                Effect::Log { height, entry } => {
                    let entry = LogEntry::Agreement(entry).encode();
                    self.outputs.push_back(Output::Persist(Record::Wal { height, entry }));
                }
                Effect::Broadcast(message) => self.broadcast(message),
                Effect::Build { height, round } => self.propose(now, height, round),
                Effect::Decided(certificate) => {
                    self.undecided_commit = Some(certificate);
                    self.apply_decision(now);
                }
                Effect::Evidence(evidence) => self.outputs.push_back(Output::Evidence(evidence)),
                Effect::Fatal(reason) => self.stop(reason),
            }
        }
    }

    fn broadcast(&mut self, message: Broadcast) {
        let message = match message {
            Broadcast::Vote(vote) => Message::Vote(vote),
            Broadcast::Bundle(bundle) => Message::Bundle(bundle),
            Broadcast::Proposal(proposal) => {
                let Some(candidate) = self.candidates.get_mut(&proposal.proposal.value) else { return };
                candidate.proposal = Some(proposal);
                self.proposals.insert(proposal.proposal.round, proposal);
                Message::Proposal(ProposedCut { proposal, cut: candidate.cut_bytes.clone() })
            }
        };
        self.outputs.push_back(Output::Send {
            to: Recipient::All,
            class: Class::Consensus,
            bytes: message.encode(),
            after_sync: !self.settings.lacks(PlantedBug::VoteBeforeSync),
        });
    }

    /// Chunks beyond the decided tips that a quorum holds or is about to, by lane in ascending order.
    fn ready_lanes(&self) -> Vec<Vec<Arc<Held>>> {
        let per_lane = usize::try_from(self.rules.limits.chunks_per_lane_per_cut).unwrap_or(usize::MAX);
        let lanes: Vec<LaneTip> = self.store.heads().filter(|tip| self.admits_lane(tip.lane)).collect();
        lanes
            .into_iter()
            .filter_map(|tip| {
                let mut chain = self.store.chain(tip.lane, self.ready_to(&tip)?);
                chain.truncate(per_lane);
                (!chain.is_empty()).then_some(chain)
            })
            .take(MAX_CUT_LANES)
            .collect()
    }

    /// Up to where a lane that is held up to `tip` may be proposed.
    pub(super) fn ready_to(&self, tip: &LaneTip) -> Option<LaneSequence> {
        if self.punctual.is_punctual(tip.lane.validator, self.height()) {
            return Some(tip.sequence);
        }
        self.reported_to(tip)
    }

    /// Up to where a quorum holds it, as far as is known here.
    pub(super) fn reported_to(&self, tip: &LaneTip) -> Option<LaneSequence> {
        self.progress.quorum_sequence(tip.lane, &self.store, self.me, self.committee())
    }

    fn propose(&mut self, now: Time, height: Height, round: Round) {
        if !self.is_open_height(height) {
            return;
        }
        let system = self.ready_messages();
        let lanes = self.ready_lanes();
        let commit = self.commit.as_ref().map(ParentCommit::from);
        let moment = Moment { now_ms: now.as_millis(), blobs_full_at: self.blobs_full_at };
        let cut = build(moment, &self.rules, &self.state, &self.window, &lanes, system, commit);
        let cut_bytes = Bytes::from(cut.encode());
        let Data::Held(lanes) = self.data(now, &cut, None) else {
            return self.stop("built a cut over chunks that are not held".to_owned());
        };
        let checked = check_covered(&cut, &lanes, &self.rules, &self.state, &self.window);
        if let Err(error) = checked {
            return self.stop(format!("built a cut that is invalid: {error}"));
        }
        let expansion = Arc::new(self.expand(cut.clone(), cut_bytes.clone(), &lanes));
        let value = expansion.hash;
        self.log_cut(height, value, &cut_bytes);
        let standing = Standing::Valid(expansion);
        let candidate =
            Candidate { proposal: None, cut_bytes, cut, from: None, round, shaped: true, standing };
        self.candidates.insert(value, candidate);
        // The caller's loop carries out what follows.
        let _ = self.tell(now, Event::Propose { height, round, value });
    }

    fn log_cut(&mut self, height: Height, value: Digest, cut: &Bytes) {
        let entry = LogEntry::Cut { value, cut: cut.clone() }.encode();
        self.outputs.push_back(Output::Persist(Record::Wal { height, entry }));
    }

    fn expand(&self, cut: Cut, cut_bytes: Bytes, lanes: &[Vec<Arc<Held>>]) -> Expansion {
        let forgetful = self.settings.lacks(PlantedBug::DuplicatesOrdered).then(|| self.window.forgetful());
        let past = Past::Window(forgetful.as_ref().unwrap_or(&self.window));
        expand(self.spec, &self.rules, &self.state, past, (cut, cut_bytes), lanes)
    }

    /// Expands a block that a quorum decided.
    pub(super) fn expand_proven(
        &self,
        (cut, cut_bytes): (Cut, Bytes),
        told: &LeftOut,
        lanes: &[Vec<Arc<Held>>],
    ) -> Expansion {
        if !self.is_told(cut.height) {
            return self.expand(cut, cut_bytes, lanes);
        }
        let past = Past::Told(told, &self.window);
        expand(self.spec, &self.rules, &self.state, past, (cut, cut_bytes), lanes)
    }

    /// The cuts that were voted for before a restart; they were valid, and are again as soon as their data is there.
    pub(super) fn recover_cuts(&mut self, now: Time) {
        let height = self.height();
        self.logged_cuts.retain(|logged, _| *logged >= height);
        let cuts = self.logged_cuts.remove(&height).unwrap_or_default();
        for (value, cut_bytes) in cuts.into_iter().take(MAX_CANDIDATES) {
            let Ok(cut) = Cut::decode(&cut_bytes) else { continue };
            let (round, standing) = (Round::new(0), Standing::Open { not_before: None });
            let candidate =
                Candidate { proposal: None, cut_bytes, cut, from: None, round, shaped: false, standing };
            self.candidates.insert(value, candidate);
            self.judge(now, value);
        }
    }

    /// A proposal of the open height.
    pub(super) fn take_proposal(&mut self, now: Time, from: ValidatorId, proposed: ProposedCut) {
        let ProposedCut { proposal: signed, cut: cut_bytes } = proposed;
        let p = signed.proposal;
        let last = self.agreement.round().get().saturating_add(ROUNDS_AHEAD);
        let certified = self.is_certified(p.value);
        if (self.agreement.decided() && !certified) || p.round.get() > last {
            return;
        }
        if self.tell(now, Event::Proposal(signed)) == Taken::Fault {
            return self.fault(from);
        }
        self.drain_agreement(now);
        if !self.is_open_height(p.height) {
            return; // It completed a decision.
        }
        let same = self
            .candidates
            .get_mut(&p.value)
            .filter(|c| c.cut_bytes == cut_bytes || matches!(c.standing, Standing::Valid(_)));
        if let Some(candidate) = same {
            candidate.proposal = Some(signed);
        } else {
            // Bytes that do not stand behind the value they came with are replaced by the next that claim to.
            let Ok(cut) = Cut::decode(&cut_bytes) else {
                self.fault(from);
                return self.tell_judgement(now, signed, false);
            };
            if !certified && !self.make_room(p.round, p.value) {
                return;
            }
            let (from, standing) = (Some(from), Standing::Open { not_before: None });
            let proposal = Some(signed);
            let candidate =
                Candidate { proposal, cut_bytes, cut, from, round: p.round, shaped: false, standing };
            self.candidates.insert(p.value, candidate);
        }
        self.proposals.insert(p.round, signed);
        self.judge(now, p.value);
        self.tell_standing(now, signed);
        self.apply_decision(now);
    }

    /// Whether this value is decided, and only its cut is missing.
    fn is_certified(&self, value: Digest) -> bool {
        self.undecided_commit.as_ref().is_some_and(|certificate| certificate.header == value)
    }

    /// Whether one more cut may be kept. What a quorum prevoted always may, and is the last to go.
    fn make_room(&mut self, round: Round, value: Digest) -> bool {
        let quorum = |value: &Digest| self.agreement.has_prevote_quorum(*value);
        let others = self.candidates.iter().filter(|(v, c)| c.round == round && **v != value).count();
        if others >= MAX_CANDIDATES_PER_ROUND && !quorum(&value) {
            return false;
        }
        if self.candidates.len() >= MAX_CANDIDATES && !self.candidates.contains_key(&value) {
            let last = self.candidates.iter().map(|(v, c)| (quorum(v), c.round, *v)).min();
            if let Some((.., last)) = last {
                self.candidates.remove(&last);
            }
        }
        true
    }

    /// Judges every candidate that is still open, and the next proven height.
    pub(super) fn judge_all(&mut self, now: Time) {
        let open: Vec<Digest> = self
            .candidates
            .iter()
            .filter(|(_, c)| matches!(c.standing, Standing::Open { .. }))
            .map(|(value, _)| *value)
            .collect();
        for value in open {
            self.judge(now, value);
            let proposal = self.candidates.get(&value).and_then(|c| c.proposal);
            if let Some(signed) = proposal {
                self.tell_standing(now, signed);
            }
        }
        self.apply_decision(now);
        self.apply_proven(now);
    }

    fn tell_standing(&mut self, now: Time, signed: SignedProposal) {
        match self.candidates.get(&signed.proposal.value).map(|c| &c.standing) {
            Some(Standing::Valid(_)) => self.tell_judgement(now, signed, true),
            Some(Standing::Invalid) => self.tell_judgement(now, signed, false),
            Some(Standing::Open { .. }) if self.settings.lacks(PlantedBug::MissingDataVoted) => {
                self.tell_judgement(now, signed, true);
            }
            Some(Standing::Open { .. }) | None => {}
        }
    }

    fn tell_judgement(&mut self, now: Time, signed: SignedProposal, valid: bool) {
        let event = Event::Judged { proposal: signed.proposal, valid };
        let _ = self.tell(now, event);
        self.drain_agreement(now);
    }

    /// Brings a candidate's standing up to date.
    fn judge(&mut self, now: Time, value: Digest) {
        let Some(candidate) = self.candidates.get(&value) else { return };
        if !matches!(candidate.standing, Standing::Open { .. }) {
            return;
        }
        let (cut, from) = (candidate.cut.clone(), candidate.from);
        let (bytes, logged) = (candidate.cut_bytes.clone(), candidate.from.is_none());
        let shaped = candidate.shaped || self.check_without_data(&cut).is_ok();
        let standing = if shaped {
            self.standing(now, value, cut, bytes.clone(), (from, logged))
        } else {
            Standing::Invalid
        };
        if let (Standing::Valid(_), false) = (&standing, logged) {
            self.log_cut(self.height(), value, &bytes);
        }
        if let (Standing::Invalid, Some(from)) = (&standing, from) {
            self.fault(from);
        }
        if let Some(candidate) = self.candidates.get_mut(&value) {
            candidate.standing = standing;
            candidate.shaped = shaped;
        }
    }

    fn check_without_data(&mut self, cut: &Cut) -> Result<(), CutError> {
        let known = |message: &_| self.system.knows(message);
        check_shape(cut, &self.rules, &self.state, known)?;
        check_parent_commit(cut, &self.state, &self.domain, &mut self.parent_signatures)
    }

    fn standing(
        &mut self,
        now: Time,
        value: Digest,
        cut: Cut,
        cut_bytes: Bytes,
        (from, logged): (Option<ValidatorId>, bool),
    ) -> Standing {
        let waived = self.settings.lacks(PlantedBug::FutureAccepted)
            || logged
            || self.is_certified(value)
            || self.agreement.has_prevote_quorum(value);
        let drift = Duration::from_millis(u64::from(self.rules.limits.max_clock_drift_ms));
        if cut.time_ms > (now + drift).as_millis() && !waived {
            let wait = cut.time_ms.saturating_sub(u64::from(self.rules.limits.max_clock_drift_ms));
            return Standing::Open { not_before: Some(Time::from_millis(wait)) };
        }
        let lanes = match self.data(now, &cut, from) {
            Data::Held(lanes) => lanes,
            Data::Missing => return Standing::Open { not_before: None },
            Data::Broken => return Standing::Invalid,
        };
        if check_covered(&cut, &lanes, &self.rules, &self.state, &self.window).is_err() {
            return Standing::Invalid;
        }
        let expansion = self.expand(cut, cut_bytes, &lanes);
        let accepted = expansion.hash == value || self.settings.lacks(PlantedBug::WrongHeaderAccepted);
        if accepted { Standing::Valid(Arc::new(expansion)) } else { Standing::Invalid }
    }

    /// The chunks of every tip of a cut; what is missing is fetched.
    pub(super) fn data(&mut self, now: Time, cut: &Cut, from: Option<ValidatorId>) -> Data {
        let mut lanes = Vec::with_capacity(cut.tips.len());
        let mut missing = Vec::new();
        for tip in &cut.tips {
            match self.store.path(self.state.tip(tip.lane), tip) {
                Ok(path) => lanes.push(path),
                Err(PathError::Broken) => return Data::Broken,
                Err(PathError::Missing { digest, .. }) if self.unusable.contains(&digest) => {
                    return Data::Broken;
                }
                Err(PathError::Missing { sequence, digest }) => missing.push((*tip, sequence, digest)),
            }
        }
        if missing.is_empty() {
            return Data::Held(lanes);
        }
        for (tip, sequence, digest) in missing {
            self.want_named(now, &tip, (sequence, digest), from);
        }
        Data::Missing
    }

    /// When a candidate's time comes.
    pub(super) fn candidate_deadline(&self) -> Option<Time> {
        let time = |c: &Candidate| match c.standing {
            Standing::Open { not_before } => not_before,
            Standing::Valid(_) | Standing::Invalid => None,
        };
        self.candidates.values().filter_map(time).min()
    }

    /// Whether some candidate waits for its time.
    pub(super) fn judge_late(&mut self, now: Time) {
        let quorum = |(value, c): (&Digest, &Candidate)| matches!(c.standing, Standing::Open { not_before: Some(at) } if at <= now || self.agreement.has_prevote_quorum(*value));
        if self.candidates.iter().any(quorum) {
            self.judge_all(now);
        }
    }

    /// Asks for the proposal of the present round, if it should have come by now: of its proposer, then of others.
    pub(super) fn ask_for_proposal(&mut self, now: Time) {
        let Some(due) = self.proposal_deadline() else { return };
        if due > now {
            return;
        }
        let (height, round) = (self.height(), self.agreement.round());
        let proposer = self.leader(round);
        let others = self.peers.iter().filter(|id| **id != proposer);
        let order: Vec<ValidatorId> = std::iter::once(&proposer).chain(others).copied().collect();
        let attempt = self.pace.proposal_attempts;
        self.pace.proposal_attempts = attempt.wrapping_add(1);
        self.pace.proposal_ask = now + self.settings.retry_delay;
        if let Some(to) = order.get(attempt % order.len()) {
            let value = self.undecided_commit.as_ref().map(|certificate| certificate.header);
            let message = Message::FetchProposal(FetchProposal { height, round, value });
            self.send(Recipient::One(*to), Class::Consensus, &message);
        }
    }

    /// When to ask for the present round's proposal.
    pub(super) fn proposal_deadline(&self) -> Option<Time> {
        if !self.is_running() || (self.agreement.decided() && self.undecided_commit.is_none()) {
            return None;
        }
        let round = self.agreement.round();
        let mine = self.leader(round) == self.me;
        let there = self.proposals.contains_key(&round) && self.undecided_commit.is_none();
        (!mine && !there).then_some(self.pace.proposal_ask)
    }
}
