//! Feeds the core: messages, timers, a height's log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use arc_malachitebft_core_consensus as mc;
use arc_malachitebft_core_types as mt;
use bytes::Bytes;
use mc::{Error, Input, LocallyProposedValue, Params, State, process};
use mt::{ThresholdParams, TimeoutKind, ValuePayload};
use ordering_types::chain_spec::Committee;
use ordering_types::codec::DecodeError;
use ordering_types::preimage::Domain;
use ordering_types::{
    CommitCertificate, Digest, Epoch, Height, PublicKey, Round, SecretKey, SignedVote, Time, ValidatorId,
    Vote, VoteKind,
};

use super::context::{Context, CoreAddress, CoreCommittee, CoreHeight};
use super::convert::{Convert, LogEntry, round_out};
use super::host::{Host, Replay};
use super::verify::Verifier;
use crate::agreement::guard::{Conflict, Step, VoteGuard};
use crate::agreement::{Agreement, Broadcast, Effect, Event, HeightRules, Taken};
use crate::planted::PlantedBug;
use crate::reputation::Rotation;
use crate::settings::Settings;

/// A log that cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// An entry that is none.
    #[error("a log entry does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The log shows that this key signed two different things.
    #[error("the log contradicts itself: {0}")]
    Conflict(#[from] Conflict),
}

/// What a core is made from.
pub(crate) struct Setup {
    pub(crate) domain: Domain,
    pub(crate) epoch: Epoch,
    pub(crate) committee: Arc<Committee>,
    pub(crate) me: ValidatorId,
    pub(crate) key: SecretKey,
    pub(crate) settings: Settings,
    /// The newest decided height.
    pub(crate) decided: Height,
}

/// The Tendermint core and its host.
pub(crate) struct Malachite {
    state: State<Context>,
    host: Host,
    me: ValidatorId,
    committee: CoreCommittee,
    logs: BTreeMap<Height, Vec<LogEntry>>,
}

impl Malachite {
    /// A core that has entered no height. `log` holds the entries above the decided height, in the order written.
    pub(crate) fn new(setup: Setup, log: &[(Height, Bytes)]) -> Result<Self, LogError> {
        let mut guard = VoteGuard::default();
        guard.decided(setup.decided);
        let mut verifier = Verifier::new(setup.domain, setup.epoch, Arc::clone(&setup.committee));
        let mut logs: BTreeMap<Height, Vec<LogEntry>> = BTreeMap::new();
        for (height, bytes) in log.iter().filter(|(height, _)| *height > setup.decided) {
            let entry = LogEntry::decode(bytes)?;
            remember_own(&mut guard, &setup, &entry)?;
            remember_peers(&mut verifier, &entry, &setup.committee);
            logs.entry(*height).or_default().push(entry);
        }
        // Each height brings its own.
        let rotation = Rotation::of_all(&setup.committee.ids().collect::<Vec<_>>());
        let committee = CoreCommittee::new(&setup.committee, rotation);
        let mut threshold_params = ThresholdParams::default();
        if setup.settings.lacks(PlantedBug::QuorumTooSmall) {
            threshold_params.quorum = mt::ThresholdParam::new(1, 3);
        }
        let params = Params {
            address: CoreAddress(setup.me),
            threshold_params,
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let first = CoreHeight(setup.decided.next().get());
        Ok(Self {
            state: State::new(Context, first, committee.clone(), params, 0, 0),
            host: Host {
                convert: Convert { epoch: setup.epoch },
                domain: setup.domain,
                key: setup.key,
                verifier,
                guard,
                timeouts: setup.settings.timeouts.into(),
                settings: setup.settings,
                acceptable: None,
                timers: BTreeMap::new(),
                effects: VecDeque::new(),
                replay: None,
                now: Time::default(),
                height: Height::ZERO,
                decided: false,
                fatal: None,
            },
            me: setup.me,
            committee,
            logs,
        })
    }

    /// The log's entry for a peer's vote.
    #[cfg(test)]
    pub(crate) fn logged_vote(vote: &SignedVote) -> Bytes {
        LogEntry::Vote(*vote).encode()
    }

    fn feed(&mut self, input: Input<Context>) {
        if self.host.fatal.is_some() {
            return;
        }
        let host = &mut self.host;
        let result: Result<(), Error<Context>> = process!(
            input: input, state: &mut self.state, metrics: &(),
            with: effect => Ok::<_, Infallible>(host.answer(effect))
        );
        self.host.leave_lost_rounds();
        if let (Err(error), None) = (&result, &self.host.fatal) {
            self.host.fatal = Some(format!("the consensus core failed: {error}"));
        }
        if let Some(reason) = &self.host.fatal {
            self.host.effects.push_back(Effect::Fatal(reason.clone()));
        }
    }

    fn replay(&mut self, entries: &[LogEntry]) {
        let inputs: Vec<_> = entries.iter().filter_map(Convert::entry_in).collect();
        self.state.index_wal_entries(&inputs);
        for input in inputs {
            if let Input::TimeoutElapsed(timeout) = &input {
                self.host.forget_timer(timeout);
            }
            self.feed(input);
        }
        self.state.reset_entries_index();
        let replay = self.host.replay.take().unwrap_or_default();
        let round = self.round();
        self.send_again(replay.broadcasts, round);
        self.build_again(&replay.builds, entries, round);
    }

    /// A crash may have come between the sync and the send, so own messages of the last round go out again.
    fn send_again(&mut self, broadcasts: Vec<Broadcast>, round: Round) {
        let mut sent: Vec<Broadcast> = Vec::new();
        for message in broadcasts {
            let of_round = match &message {
                Broadcast::Vote(vote) => vote.vote.round == round,
                Broadcast::Proposal(proposal) => proposal.proposal.round == round,
                Broadcast::Bundle(_) => true,
            };
            if of_round && !sent.contains(&message) {
                sent.push(message);
            }
        }
        self.host.effects.extend(sent.into_iter().map(Effect::Broadcast));
    }

    fn build_again(&mut self, builds: &[(Height, Round)], entries: &[LogEntry], round: Round) {
        let height = self.host.height;
        if self.host.decided || !builds.contains(&(height, round)) || !self.state.driver.step_is_propose() {
            return;
        }
        let mine = |p: &crate::agreement::Proposal| p.proposer == self.me && p.round == round;
        let proposed = |e: &&LogEntry| matches!(e, LogEntry::Proposal(p) if mine(&p.proposal));
        if entries.iter().any(|e| proposed(&e)) {
            return;
        }
        let built = entries.iter().find_map(|e| match e {
            LogEntry::Judged { proposal, .. } if mine(proposal) => Some(proposal.value),
            _ => None,
        });
        match built {
            Some(value) => self.propose(height, round, value),
            None => self.host.effects.push_back(Effect::Build { height, round }),
        }
    }

    fn propose(&mut self, height: Height, round: Round, value: Digest) {
        if height != self.host.height {
            return;
        }
        let height = CoreHeight(height.get());
        let value = Convert::value_in(value);
        self.feed(Input::Propose(LocallyProposedValue::new(height, mt::Round::new(round.get()), value)));
    }

    fn fire_timers(&mut self) {
        let now = self.host.now;
        let due: Vec<_> =
            self.host.timers.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| *key).collect();
        for key in due {
            // An earlier one of these may have cancelled it.
            let Some((_, timeout)) = self.host.timers.remove(&key) else { continue };
            let matters = match timeout.kind {
                TimeoutKind::Propose => self.state.driver.step_is_propose(),
                TimeoutKind::Prevote => self.state.driver.step_is_prevote(),
                TimeoutKind::Precommit | TimeoutKind::Rebroadcast => true,
                TimeoutKind::FinalizeHeight(_) => false,
            };
            if matters && !self.host.decided {
                self.feed(Input::TimeoutElapsed(timeout));
            }
        }
    }

    /// Whether the core would look at messages of this height.
    fn wants(&self, height: Height) -> bool {
        height == self.host.height && !self.host.decided
    }
}

/// Peers may ask for their own votes before the log is replayed. It has only votes of the next height, so of this committee.
fn remember_peers(verifier: &mut Verifier, entry: &LogEntry, committee: &Committee) {
    let mut witness = |vote: &SignedVote| {
        committee.key(vote.vote.validator).inspect(|key| _ = verifier.witness(vote, key));
    };
    match entry {
        LogEntry::Vote(vote) => witness(vote),
        LogEntry::Bundle(bundle) => bundle.votes.iter().for_each(witness),
        LogEntry::Proposal(_) | LogEntry::Judged { .. } | LogEntry::Timeout { .. } => {}
    }
}

const fn step_of(kind: VoteKind) -> Step {
    match kind {
        VoteKind::Prevote => Step::Prevote,
        VoteKind::Precommit => Step::Precommit,
    }
}

fn remember_own(guard: &mut VoteGuard, setup: &Setup, entry: &LogEntry) -> Result<(), Conflict> {
    match entry {
        LogEntry::Vote(vote) if vote.vote.validator == setup.me => {
            let step = step_of(vote.vote.kind);
            guard.admit(vote.vote.height, vote.vote.round, step, vote.vote.digest(&setup.domain))
        }
        LogEntry::Proposal(p) if p.proposal.proposer == setup.me => {
            let digest = p.proposal.digest(&setup.domain);
            guard.admit(p.proposal.height, p.proposal.round, Step::Propose, digest)
        }
        _ => Ok(()),
    }
}

impl Agreement for Malachite {
    fn start_height(&mut self, now: Time, height: Height, rules: HeightRules) {
        let HeightRules { epoch, committee, rotation } = rules;
        assert!(height > self.host.height, "heights only go up");
        let leftover = self.state.driver.take_vote_evidence();
        self.host.evidence(leftover.iter().flat_map(|(_, pairs)| pairs));
        self.host.now = now;
        self.host.height = height;
        self.host.decided = false;
        self.host.timers.clear();
        self.host.convert.epoch = epoch;
        self.committee.enter(&committee, rotation);
        self.host.verifier.enter(epoch, committee);
        if let Some(below) = height.previous() {
            self.host.guard.decided(below);
        }
        self.logs.retain(|logged, _| *logged >= height);
        let entries = self.logs.remove(&height);
        if let Some(entries) = &entries {
            let known: BTreeSet<Bytes> = entries.iter().map(LogEntry::encode).collect();
            self.host.replay = Some(Replay { known, ..Replay::default() });
        }
        self.feed(Convert::start_in(height, self.committee.clone()));
        if let Some(entries) = entries {
            self.replay(&entries);
        }
    }

    fn handle(&mut self, now: Time, event: Event) -> Taken {
        self.host.now = now;
        match event {
            Event::Vote(vote) if self.wants(vote.vote.height) => {
                if !self.host.verifier.vote(&vote) {
                    return Taken::Fault;
                }
                self.feed(Input::Vote(Convert::vote_in(&vote)));
            }
            Event::Proposal(signed) if self.wants(signed.proposal.height) => {
                let p = &signed.proposal;
                if p.proposer != self.committee.rotation.leader(p.height, p.round)
                    || p.valid_round.is_some_and(|valid| valid >= p.round)
                    || !self.host.verifier.proposal(&signed)
                {
                    return Taken::Fault;
                }
                self.feed(Input::Proposal(Convert::proposal_in(&signed)));
            }
            Event::Bundle(bundle) if self.wants(bundle.height) => {
                if bundle.votes.len() > self.committee.members.len() {
                    return Taken::Fault;
                }
                let Some(input) = Convert::bundle_in(&bundle) else { return Taken::Fault };
                self.feed(input);
            }
            Event::Judged { proposal, valid } if self.wants(proposal.height) => {
                self.host.acceptable = valid.then_some((proposal.height, proposal.round, proposal.value));
                self.feed(Convert::judged_in(&proposal, valid));
            }
            Event::Propose { height, round, value } if self.wants(height) => {
                self.propose(height, round, value);
            }
            Event::Wake => self.fire_timers(),
            Event::Vote(_)
            | Event::Proposal(_)
            | Event::Bundle(_)
            | Event::Judged { .. }
            | Event::Propose { .. } => {}
        }
        Taken::Fine
    }

    fn next_effect(&mut self) -> Option<Effect> {
        self.host.effects.pop_front()
    }

    fn next_deadline(&self) -> Option<Time> {
        if self.host.decided {
            return None;
        }
        self.host.timers.values().map(|(at, _)| *at).min()
    }

    fn height(&self) -> Height {
        self.host.height
    }

    fn round(&self) -> Round {
        round_out(self.state.round())
    }

    fn decided(&self) -> bool {
        self.host.decided
    }

    fn has_prevote_quorum(&self, value: Digest) -> bool {
        self.host.verifier.has_prevote_quorum(value)
    }

    fn witness(&mut self, vote: &SignedVote, key: &PublicKey) -> bool {
        self.host.verifier.witness(vote, key)
    }

    fn witness_certificate(&mut self, certificate: &CommitCertificate) {
        let CommitCertificate { epoch, height, round, header, signatures } = certificate;
        for (validator, signature) in signatures {
            let vote = Vote {
                kind: VoteKind::Precommit,
                epoch: *epoch,
                height: *height,
                round: *round,
                value: Some(*header),
                validator: *validator,
            };
            self.host.verifier.remember(&SignedVote { vote, signature: *signature });
        }
    }

    fn newest_vote(&self, validator: ValidatorId) -> Option<SignedVote> {
        self.host.verifier.newest(validator)
    }

    fn has_signed(&self, vote: &Vote) -> bool {
        let digest = vote.digest(&self.host.domain);
        self.host.guard.knows(vote.height, vote.round, step_of(vote.kind), digest)
    }

    fn has_log(&self, height: Height) -> bool {
        self.logs.contains_key(&height)
    }
}
