//! The composition: lanes, cuts, agreement, expansion and catching up, as one synchronous value.
//!
//! ```text
//!  submit ─▶ buffer ─▶ chunk ─▶ all peers        reports ─▶ progress ─▶ what a quorum holds
//!                        │                                                  │
//!                        ▼                                                  ▼
//!                      store ◀─ fetch ◀─ missing ◀─ candidate ◀─ proposal ◀─ build
//!                                                      │ judged
//!                                                      ▼
//!                                 votes ◀─▶ agreement ─▶ decided ─▶ apply ─▶ Output::Decided
//!                                                                    ▲
//!                                        peers ─▶ value sync ─▶ proven heights
//! ```
//!
//! # When a height starts
//! At once (but not faster than the block interval) when there is something to order: a lane that advanced at a quorum, a system
//! message, a batch whose time is up. Otherwise after the idle interval, or when a peer's signed message shows that it has begun. So a quiet
//! network makes a block a second and its timers never run in vain.
//!
//! # Restart
//! Before anything else a node asks its peers for its newest vote, and keeps silent until it knows that its log has it; see
//! [`crate::restart`]. Then the log is replayed by agreement; logged cuts are candidates again; stored chunks fill the lanes. Own lanes of earlier runs
//! go on being reported, so what they hold is still ordered.

mod apply;
mod height;
mod jump;
mod orderable;
mod pace;
mod recall;
mod receive;
mod spread;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ordering_types::chain_spec::{ChainSpecError, Committee};
use ordering_types::preimage::Domain;
use ordering_types::{
    ChainSpec, CommitCertificate, Digest, Height, LaneId, PublicKey, Round, SecretKey, Time, Transaction,
    TxId, ValidatorId,
};

use crate::agreement::{Agreement, LogError, Malachite, Setup, SignedProposal};
use crate::api::{Input, Output, Recovered};
use crate::checkpoint::StateSync;
use crate::cut::check::ParentSignatures;
use crate::epoch::EpochBook;
use crate::fetch::Fetch;
use crate::ids::IdHasher;
use crate::l1::L1Book;
use crate::lane::buffer::{Buffer, SubmitError};
use crate::lane::own::OwnLane;
use crate::lane::progress::Progress;
use crate::lane::punctual::Punctuality;
use crate::lane::store::LaneStore;
use crate::load::Rules;
use crate::log::LogEntry;
use crate::planted::PlantedBug;
use crate::reputation::Rotation;
use crate::restart::{Restart, Silence};
use crate::settings::Settings;
use crate::state::{ReplayState, SnapshotError};
use crate::sync::Sync;
use crate::system::SystemLog;
use crate::window::Window;
use height::Candidate;
use orderable::Orderable;
use pace::Pace;
use receive::EarlyKey;

/// Why ordering cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The genesis file is none.
    #[error("chain specification: {0}")]
    ChainSpec(#[from] ChainSpecError),
    /// The key is another one than that which the number is known to have.
    #[error("validator {0} has another key than this node's")]
    ForeignKey(ValidatorId),
    /// The stored tip does not fit together, or belongs to another network.
    #[error("recovered state: {0}")]
    Recovered(String),
    /// The write-ahead log cannot be trusted: voting on could contradict what was signed before.
    #[error("write-ahead log: {0}")]
    Log(String),
}

impl From<LogError> for StartError {
    fn from(error: LogError) -> Self {
        Self::Log(error.to_string())
    }
}

impl From<SnapshotError> for StartError {
    fn from(error: SnapshotError) -> Self {
        Self::Recovered(error.to_string())
    }
}

/// What a validator holds of a lane that is not decided yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Transactions that wait to be cut into chunks.
    pub waiting_transactions: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Undecided chunks of the own lane.
    pub chunks: usize,
    /// Their bytes.
    pub chunk_bytes: usize,
}

/// The ordering core of one validator.
pub struct Ordering {
    me: ValidatorId,
    key: SecretKey,
    spec: Digest,
    domain: Domain,
    rules: Rules,
    /// All other members.
    peers: Vec<ValidatorId>,
    settings: Settings,

    state: ReplayState,
    window: Window,
    /// Who leads the open height.
    rotation: Rotation,
    /// Proof of the newest applied block; none before the first.
    commit: Option<CommitCertificate>,
    parent_signatures: ParentSignatures,

    own: OwnLane,
    buffer: Buffer,
    store: LaneStore,
    progress: Progress,
    punctual: Punctuality,
    fetch: Fetch,
    /// Chunks that a cut names and that can never be stored.
    unusable: BTreeSet<Digest>,
    system: SystemLog,
    sync: Sync,
    state_sync: StateSync,
    /// A checkpoint that the host judges.
    judged: Option<jump::Judged>,
    /// Up to this height it takes a peer to say which transactions are duplicates: the blocks before a checkpoint are not held.
    told_to: Height,

    agreement: Malachite,
    restart: Restart,
    candidates: BTreeMap<Digest, Candidate>,
    proposals: BTreeMap<Round, SignedProposal>,
    /// Cuts read from the log, by the height they are for.
    logged_cuts: BTreeMap<Height, Vec<(Digest, bytes::Bytes)>>,
    undecided_commit: Option<CommitCertificate>,
    early: BTreeMap<EarlyKey, crate::wire::Message>,

    /// Up to where all batches are signed, as the host says.
    sealed: Height,
    /// See [`Input::BlobsFullAt`].
    blobs_full_at: Option<u64>,
    pace: Pace,
    orderable: Orderable,
    faults: BTreeMap<ValidatorId, u64>,
    refused_system: u64,
    outputs: VecDeque<Output>,
    stopped: bool,
}

impl Ordering {
    /// Starts from what the disk holds.
    ///
    /// # Errors
    /// When the key is of no member, or what was recovered does not belong together: the host must not vote then.
    pub fn new(
        spec: Arc<ChainSpec>,
        settings: Settings,
        (me, key): (ValidatorId, SecretKey),
        recovered: Recovered,
        now: Time,
    ) -> Result<Self, StartError> {
        spec.validate()?;
        let (spec_hash, domain, mut rules) = (spec.hash(), spec.domain(), Rules::new(&spec));
        rules.lacking = PlantedBug::OF_REPLAY.into_iter().find(|bug| settings.lacks(*bug));
        let state = recover_state(&recovered, spec_hash, &domain, &spec)?;
        // One that is not known yet has joined since.
        if state.key_of(me).is_some_and(|known| *known != key.public_key()) {
            return Err(StartError::ForeignKey(me));
        }
        let committee = Arc::clone(state.committee());
        let (agreement_log, cuts) = split_log(&recovered)?;
        let agreement_log =
            if settings.lacks(PlantedBug::VotesForgotten) { AgreementLog::new() } else { agreement_log };
        let setup = Setup {
            domain,
            epoch: state.epoch(),
            committee: Arc::clone(&committee),
            me,
            key: key.clone(),
            settings,
            decided: state.height,
        };
        let mut agreement = Malachite::new(setup, &agreement_log)?;
        let lost = recovered.replaced && recovered.tip.is_none() && recovered.wal.is_empty();
        let mut restart = Restart::new(now, &committee, lost);
        if settings.lacks(PlantedBug::VotesForgotten) {
            restart.never_ask();
        }
        let commit = recovered.tip.map(|tip| tip.certificate);
        commit.iter().for_each(|certificate| agreement.witness_certificate(certificate));
        let lane = LaneId { validator: me, incarnation: settings.incarnation };
        let hasher = IdHasher::new(&key);
        let told_to = jump::told_to(state.height, &recovered.recent, &rules.limits);
        restart.replay_to(told_to);
        let window = Window::new(hasher, rules.limits.duplicate_window_blocks, recovered.recent);
        let mut ordering = Self {
            me,
            key,
            spec: spec_hash,
            domain,
            buffer: Buffer::new(committee.len(), hasher),
            peers: committee.ids().filter(|id| *id != me).collect(),
            rules,
            settings,
            own: OwnLane::new(lane, state.tip(lane)),
            store: LaneStore::default(),
            progress: Progress::default(),
            punctual: Punctuality::default(),
            fetch: Fetch::default(),
            unusable: BTreeSet::new(),
            system: SystemLog::new(me, domain),
            sync: Sync::new(settings.lacks(PlantedBug::SyncUnchecked)),
            state_sync: StateSync::default(),
            judged: None,
            told_to,
            agreement,
            restart,
            candidates: BTreeMap::new(),
            proposals: BTreeMap::new(),
            logged_cuts: cuts,
            undecided_commit: None,
            early: BTreeMap::new(),
            sealed: Height::ZERO,
            blobs_full_at: None,
            pace: Pace::new(now),
            orderable: Orderable::Unknown,
            faults: BTreeMap::new(),
            refused_system: 0,
            outputs: VecDeque::new(),
            stopped: false,
            rotation: state.rotation(),
            parent_signatures: commit.as_ref().map(ParentSignatures::of).unwrap_or_default(),
            commit,
            state,
            window,
        };
        if settings.replay_first {
            ordering.state_sync.put_off(now);
        }
        ordering.recover_chunks(recovered.chunks);
        ordering.advance(now);
        Ok(ordering)
    }

    /// Takes a transaction of a client into this validator's lane.
    ///
    /// # Errors
    /// Says why it is not taken; nothing is kept of it then.
    pub fn submit(&mut self, now: Time, transaction: Transaction) -> Result<TxId, SubmitError> {
        if !self.is_member() {
            return Err(SubmitError::NotInCommittee(self.state.epoch()));
        }
        if self.rules.knows(transaction.rollup) && !transaction.data.is_empty() {
            let id = transaction.id();
            if self.window.contains(transaction.rollup, id) {
                return Err(SubmitError::Ordered(id));
            }
        }
        let id = self.buffer.push(now, transaction, &self.rules, &self.settings)?;
        self.cut_chunks(now);
        Ok(id)
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Time, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::Message { from, bytes } => self.receive(now, from, &bytes),
            Input::System(payload) => self.say(payload),
            Input::CheckpointJudged(genuine) => self.take_judgement(now, genuine),
            Input::Sealed(height) => self.sealed = height,
            Input::BlobsFullAt(bytes) => self.blobs_full_at = bytes,
            Input::Wake => {}
        }
        self.advance(now);
    }

    /// The next output, in order.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// This validator.
    pub const fn me(&self) -> ValidatorId {
        self.me
    }

    /// The committee of the present epoch.
    pub const fn committee(&self) -> &Arc<Committee> {
        self.state.committee()
    }

    /// Whether this validator is one of it.
    pub fn is_member(&self) -> bool {
        self.committee().key(self.me).is_some()
    }

    /// What the committee has agreed to see on L1, up to the newest applied block.
    pub const fn l1(&self) -> &L1Book {
        &self.state.replayed.l1
    }

    /// Key of anybody who may have something to say: a member of a remembered epoch, or an active validator of the registry.
    pub fn key_of(&self, id: ValidatorId) -> Option<&PublicKey> {
        self.state.key_of(id)
    }

    /// The epochs, up to the newest applied block.
    pub const fn epochs(&self) -> &EpochBook {
        &self.state.replayed.epochs
    }

    /// The height that is being agreed on: the one after the newest applied.
    pub const fn height(&self) -> Height {
        self.state.height.next()
    }

    /// The round of that height, 0 before it starts.
    pub fn round(&self) -> Round {
        if self.is_running() { self.agreement.round() } else { Round::new(0) }
    }

    /// Who proposes in that round.
    pub fn proposer(&self) -> ValidatorId {
        self.leader(self.round())
    }

    /// The newest decided block that is applied here; zero before the first.
    pub const fn applied_height(&self) -> Height {
        self.state.height
    }

    /// Hash of that block's header; zero before the first.
    pub const fn applied_header(&self) -> Digest {
        self.state.header
    }

    /// The greatest height that the committee surely decided: f + 1 peers say so, or it is applied here.
    pub fn heard_height(&self) -> Height {
        self.progress.heard_height(self.committee()).max(self.state.height)
    }

    /// Why this node neither votes nor proposes at the open height, if it must not.
    pub fn silence(&self) -> Option<Silence> {
        let outside = (!self.is_member()).then(|| Silence::Outside(self.state.epoch()));
        outside.or_else(|| self.restart.silence(self.height()))
    }

    /// Whether this node is behind the committee.
    pub fn is_syncing(&self) -> bool {
        self.heard_height() > self.state.height
    }

    /// What waits in this validator's lane.
    pub fn backlog(&self) -> Backlog {
        let (waiting_transactions, waiting_bytes) = self.buffer.waiting();
        let (chunks, chunk_bytes) = self.store.backlog(self.own.id);
        Backlog { waiting_transactions, waiting_bytes, chunks, chunk_bytes }
    }

    /// Messages of each peer that were malformed, wrongly signed or otherwise impossible, since the start.
    pub const fn faults(&self) -> &BTreeMap<ValidatorId, u64> {
        &self.faults
    }

    /// Own system messages that were refused: over their limit, or too many waiting.
    pub const fn refused_system_messages(&self) -> u64 {
        self.refused_system
    }

    /// Who leads a round of the open height.
    fn leader(&self, round: Round) -> ValidatorId {
        self.rotation.leader(self.height(), round)
    }

    fn fault(&mut self, from: ValidatorId) {
        *self.faults.entry(from).or_default() += 1;
    }

    fn stop(&mut self, reason: String) {
        self.stopped = true;
        self.outputs.push_back(Output::Fatal(reason));
    }

    /// Whether agreement works on the height after the newest applied.
    fn is_running(&self) -> bool {
        self.agreement.height() == self.height() && self.may_vote(self.height())
    }

    fn may_vote(&self, height: Height) -> bool {
        self.is_member() && self.restart.allows(height)
    }

    /// The block that was just applied was the last of its epoch.
    fn enter_epoch(&mut self) {
        let committee = Arc::clone(self.committee());
        self.peers = committee.ids().filter(|id| *id != self.me).collect();
        self.buffer.shared_by(committee.len());
        self.restart.change_committee(&committee);
        let (state, rules) = (&self.state, &self.rules);
        self.progress.keep(|id| state.has_lane(id, rules));
        self.early.retain(|(from, ..), _| committee.key(*from).is_some());
    }
}

fn recover_state(
    recovered: &Recovered,
    spec: Digest,
    domain: &Domain,
    genesis: &ChainSpec,
) -> Result<ReplayState, StartError> {
    let Some(tip) = &recovered.tip else { return Ok(ReplayState::genesis(&genesis.committee())) };
    let broken = |why: &str| Err(StartError::Recovered(why.to_owned()));
    if tip.header.chain_spec != spec {
        return broken("the stored blocks are of another chain specification");
    }
    let hash = tip.header.hash();
    if tip.certificate.header != hash || tip.certificate.height != tip.header.height {
        return broken("the stored certificate is not of the newest block");
    }
    let state = ReplayState::restore(&tip.header, &tip.snapshot)?;
    if let Err(error) = tip.certificate.verify(domain, state.deciders()) {
        return broken(&format!("the stored certificate: {error}"));
    }
    Ok(state)
}

type AgreementLog = Vec<(Height, bytes::Bytes)>;
type LoggedCuts = BTreeMap<Height, Vec<(Digest, bytes::Bytes)>>;

/// Separates agreement's entries from the cuts that were voted on.
fn split_log(recovered: &Recovered) -> Result<(AgreementLog, LoggedCuts), StartError> {
    let (mut agreement, mut cuts) = (Vec::new(), LoggedCuts::new());
    for (height, bytes) in &recovered.wal {
        match LogEntry::decode(bytes) {
            Some(LogEntry::Agreement(entry)) => agreement.push((*height, entry)),
            Some(LogEntry::Cut { value, cut }) => cuts.entry(*height).or_default().push((value, cut)),
            None => return Err(StartError::Log("an entry of no known kind".to_owned())),
        }
    }
    Ok((agreement, cuts))
}

#[cfg(test)]
mod tests;
