//! The core thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use ordering_types::{ChainSpec, ForcedMessage, Handover, Height, Time, ValidatorId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::answer::{self, MAX_WAITING_QUESTIONS, Question};
use super::clock::Clock;
use super::disk::{Disk, DiskQueue, Operation};
use super::handle::{Counters, Handle, Submission};
use super::jobs::{Jobs, MAX_WAITING_JOBS};
use super::{Core, Outbound};
use crate::core_api::{Input, Job, JobResult, L1Sight, Output, Peers, Status};
use crate::evidence::EvidenceFolder;
use crate::l1::{self, L1Feed};
use crate::network::{Inbox, PeerMessage};
use crate::store::{Reader, Store, StoreError};

/// Inputs of one kind taken in one go; bulk only a few, so that a vote never waits for many chunks to be hashed.
const MAX_URGENT: usize = 128;
/// Each costs up to a millisecond of curve arithmetic, and votes that come meanwhile wait as long.
const MAX_SIGNING: usize = 1;
const MAX_BULK: usize = 4;
const MAX_SUBMISSIONS: usize = 64;
const MAX_RESULTS: usize = 16;
const MAX_SIGHTS: usize = 4;
/// The snapshot for others is renewed this often.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Why the pump stopped by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpError {
    /// The core cannot go on safely.
    #[error("the node stopped to stay safe: {0}")]
    Fatal(String),
    /// The disk failed.
    #[error("the node stopped because its data folder failed: {0}")]
    Store(#[from] StoreError),
    /// The disk thread has stopped; its own error says why.
    #[error("the disk thread has stopped")]
    DiskStopped,
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the pump is made from.
pub(crate) struct PumpOptions<C, S> {
    /// The core.
    pub(crate) core: C,
    /// The clock whose time the core was made with.
    pub(crate) clock: Clock,
    /// To peers.
    pub(crate) outbound: S,
    /// From peers.
    pub(crate) inbox: Inbox,
    /// From L1, if there is anything to see.
    pub(crate) l1: L1Feed,
    /// The data folder.
    pub(crate) store: Store,
    /// The same, for reading.
    pub(crate) reader: Reader,
    /// Where proof of misdeeds is kept.
    pub(crate) evidence: EvidenceFolder,
    /// The network.
    pub(crate) spec: Arc<ChainSpec>,
}

/// The running pump.
pub(crate) struct Pump {
    /// Ends it.
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<Result<(), PumpError>>>,
    ended: watch::Receiver<bool>,
}

impl Pump {
    /// Completes when it has ended by itself.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move {
            // A lost sender means the same.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Stops it, syncs and closes the store; gives the first reason why it had stopped before, if it had. Blocks.
    pub(crate) fn stop(mut self) -> Result<(), PumpError> {
        drop(self.stop.take());
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // The disk thread knows better why.
            if outcome.is_ok() || matches!(outcome, Err(PumpError::DiskStopped)) {
                outcome = if ended.is_err() { ended } else { outcome };
            }
        }
        outcome
    }
}

/// Starts all threads.
pub(crate) fn start<C: Core, S: Outbound>(options: PumpOptions<C, S>) -> Result<(Pump, Handle), PumpError> {
    let PumpOptions { core, clock, outbound, inbox, l1, store, reader, evidence, spec } = options;
    let L1Feed { sights, questions: l1_questions, answers } = l1;
    let counters = Arc::new(Counters::default());
    let status = core.status();
    counters.height.store(status.height.get(), Ordering::Relaxed);
    counters.certified.store(reader.newest_certified()?.map_or(0, Height::get), Ordering::Relaxed);
    counters.sealed.store(status.last_sealed, Ordering::Relaxed);
    let (status, status_reader) = watch::channel(status);
    let (handle, submissions) = Handle::new(status_reader, Arc::clone(&counters));
    let queue = Arc::new(DiskQueue::default());
    let disk = Disk {
        queue: Arc::clone(&queue),
        store,
        reader: reader.clone(),
        evidence,
        outbound: outbound.clone(),
        events: handle.events.clone(),
        counters: Arc::clone(&counters),
        unsynced: None,
        headers: BTreeMap::new(),
        unconfirmed: BTreeMap::new(),
    };
    let (result_sender, results) = mpsc::channel(MAX_WAITING_JOBS);
    let (question_sender, question_receiver) = std::sync::mpsc::sync_channel(MAX_WAITING_QUESTIONS);
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    let engine = Engine {
        core,
        clock,
        outbound: outbound.clone(),
        disk: queue,
        jobs: Jobs::start(&result_sender, &spec)?,
        refused: Vec::new(),
        questions: question_sender,
        l1_questions,
        status,
        status_at: Instant::now(),
        counters,
    };
    let inputs = Inputs { inbox, sights, answers, submissions, results, stopped };
    let threads = vec![
        spawn("core", move || {
            let outcome = engine.run(inputs);
            end.send_replace(true);
            outcome
        })?,
        spawn("disk", move || Ok(disk.run()?))?,
        spawn("answers", move || {
            answer::run(&question_receiver, &reader, &outbound);
            Ok(())
        })?,
    ];
    Ok((Pump { stop: Some(stop), threads, ended }, handle))
}

fn spawn(
    name: &str,
    run: impl FnOnce() -> Result<(), PumpError> + Send + 'static,
) -> std::io::Result<JoinHandle<Result<(), PumpError>>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

struct Inputs {
    inbox: Inbox,
    sights: mpsc::Receiver<L1Sight>,
    answers: mpsc::Receiver<ForcedMessage>,
    submissions: mpsc::Receiver<Submission>,
    results: mpsc::Receiver<JobResult>,
    stopped: oneshot::Receiver<()>,
}

/// One go's inputs.
#[derive(Default)]
struct Batch {
    urgent: Vec<PeerMessage>,
    results: Vec<JobResult>,
    submissions: Vec<Submission>,
    bulk: Vec<PeerMessage>,
    signing: Vec<PeerMessage>,
    sights: Vec<L1Sight>,
    /// Of the questions about the queue.
    answers: Vec<ForcedMessage>,
}

impl Inputs {
    /// Waits for the first input or the deadline, then takes a bounded number of each kind. False: stop.
    async fn next(&mut self, deadline: Instant, batch: &mut Batch) -> bool {
        tokio::select! {
            biased;
            _ = &mut self.stopped => return false,
            _ = self.inbox.urgent.recv_many(&mut batch.urgent, MAX_URGENT), if !self.inbox.urgent.is_closed() => {}
            _ = self.results.recv_many(&mut batch.results, MAX_RESULTS), if !self.results.is_closed() => {}
            _ = self.submissions.recv_many(&mut batch.submissions, MAX_SUBMISSIONS),
                if !self.submissions.is_closed() => {}
            _ = self.inbox.bulk.recv_many(&mut batch.bulk, MAX_BULK), if !self.inbox.bulk.is_closed() => {}
            _ = self.inbox.signing.recv_many(&mut batch.signing, MAX_SIGNING),
                if !self.inbox.signing.is_closed() => {}
            _ = self.sights.recv_many(&mut batch.sights, MAX_SIGHTS), if !self.sights.is_closed() => {}
            _ = self.answers.recv_many(&mut batch.answers, 1), if !self.answers.is_closed() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
        take(&mut self.inbox.urgent, &mut batch.urgent, MAX_URGENT);
        take(&mut self.results, &mut batch.results, MAX_RESULTS);
        take(&mut self.submissions, &mut batch.submissions, MAX_SUBMISSIONS);
        take(&mut self.inbox.bulk, &mut batch.bulk, MAX_BULK);
        take(&mut self.inbox.signing, &mut batch.signing, MAX_SIGNING);
        true
    }
}

fn take<T>(from: &mut mpsc::Receiver<T>, to: &mut Vec<T>, limit: usize) {
    while to.len() < limit {
        let Ok(next) = from.try_recv() else { return };
        to.push(next);
    }
}

struct Engine<C, S> {
    core: C,
    clock: Clock,
    outbound: S,
    disk: Arc<DiskQueue>,
    jobs: Jobs,
    /// Results of jobs that there was no room for.
    refused: Vec<JobResult>,
    questions: SyncSender<(ValidatorId, Question)>,
    l1_questions: watch::Sender<l1::Question>,
    status: watch::Sender<Status>,
    status_at: Instant,
    counters: Arc<Counters>,
}

impl<C: Core, S: Outbound> Engine<C, S> {
    fn run(mut self, mut inputs: Inputs) -> Result<(), PumpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let outcome = runtime.block_on(self.pump(&mut inputs));
        self.disk.close();
        outcome
    }

    async fn pump(&mut self, inputs: &mut Inputs) -> Result<(), PumpError> {
        self.drain()?;
        let mut batch = Batch::default();
        loop {
            let now = self.clock.now();
            let due = self.core.next_deadline().filter(|at| *at <= now);
            let deadline =
                if due.is_some() || !self.refused.is_empty() { Instant::now() } else { self.wake_at(now) };
            if !inputs.next(deadline, &mut batch).await {
                return Ok(());
            }
            self.step(&mut batch)?;
            self.publish_status();
        }
    }

    /// The core's deadline, or when the snapshot is due.
    fn wake_at(&self, now: Time) -> Instant {
        let status_at = Instant::now() + STATUS_INTERVAL;
        match self.core.next_deadline() {
            Some(at) => status_at.min(Instant::now() + at.since(now)),
            None => status_at,
        }
    }

    fn step(&mut self, batch: &mut Batch) -> Result<(), PumpError> {
        for message in batch.urgent.drain(..) {
            self.hear(message)?;
        }
        for result in batch.results.drain(..).chain(std::mem::take(&mut self.refused)).collect::<Vec<_>>() {
            self.handle(Input::JobDone(result))?;
        }
        for submission in batch.submissions.drain(..) {
            let now = self.clock.now();
            let core = &mut self.core;
            let answers = submission.transactions.into_iter().map(|t| core.submit(now, t)).collect();
            // The client may be gone.
            let _ = submission.reply.send(answers);
            self.drain()?;
        }
        for message in batch.bulk.drain(..).chain(batch.signing.drain(..)) {
            self.hear(message)?;
        }
        for sight in batch.sights.drain(..) {
            self.handle(Input::L1(sight))?;
        }
        for answer in batch.answers.drain(..) {
            self.handle(Input::Queue(answer))?;
        }
        let now = self.clock.now();
        if self.core.next_deadline().is_some_and(|at| at <= now) {
            self.handle(Input::Wake)?;
        }
        Ok(())
    }

    fn change_peers(&mut self, peers: &Peers) {
        self.outbound.change(peers);
        self.counters.member.store(peers.member, Ordering::Relaxed);
    }

    fn hear(&mut self, message: PeerMessage) -> Result<(), PumpError> {
        if message.is_late() {
            return Ok(());
        }
        let PeerMessage { from, class, bytes, .. } = message;
        self.handle(Input::Message { from, class, bytes })
    }

    fn handle(&mut self, input: Input) -> Result<(), PumpError> {
        let now = self.clock.now();
        self.core.handle(now, input);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), PumpError> {
        while let Some(output) = self.core.next_output() {
            match output {
                Output::Persist(record) => self.to_disk(Operation::Persist(record))?,
                Output::Send { to, class, bytes, after_sync: false } => self.outbound.send(to, class, &bytes),
                Output::Send { to, class, bytes, after_sync: true } => {
                    self.to_disk(Operation::Send { to, class, bytes })?;
                }
                Output::Serve { to, request } => self.ask(to, Question::Ordering(request)),
                Output::ServeSealed { to, number } => self.ask(to, Question::Sealed(number)),
                Output::Job(job) => self.start_job(job),
                Output::ReadQueue { from, to } => _ = self.l1_questions.send_replace(Some((from, to))),
                event @ (Output::Ordered(_) | Output::Certified { .. } | Output::Sealed(_)) => {
                    self.to_disk(Operation::Tell(event))?;
                }
                Output::Founded(founding) => tracing::info!(key = %founding.key, "the committee has its key"),
                Output::Switched { handover: Handover { next, first_batch, first_height }, members } => {
                    let (epoch, key) = (next.epoch, next.key);
                    let members = members.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
                    tracing::info!(%epoch, %key, first_batch, %first_height, members, "another epoch begins");
                }
                Output::Peers(peers) => self.change_peers(&peers),
                Output::Handover(succession) => {
                    let epoch = succession.signed.handover.next.epoch;
                    tracing::info!(%epoch, "the outgoing committee signed the handover");
                }
                Output::Evidence(evidence) => {
                    self.counters.evidence.fetch_add(1, Ordering::Relaxed);
                    self.to_disk(Operation::Keep(evidence))?;
                }
                Output::PeerFault { peer, what } => {
                    self.counters.faults.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%peer, %what, "a peer sent something that no honest one sends");
                }
                Output::Fatal(why) => return Err(PumpError::Fatal(why)),
            }
        }
        Ok(())
    }

    fn to_disk(&self, operation: Operation) -> Result<(), PumpError> {
        if self.disk.push(operation) { Ok(()) } else { Err(PumpError::DiskStopped) }
    }

    /// Not answering is allowed: with too many questions waiting, the peer asks again or asks another.
    fn ask(&self, from: ValidatorId, question: Question) {
        if self.questions.try_send((from, question)).is_err() {
            tracing::debug!(%from, "too many questions wait; this one is not answered");
        }
    }

    fn start_job(&mut self, job: Job) {
        if let Err(refused) = self.jobs.begin(job) {
            self.refused.push(refused);
        }
    }

    fn publish_status(&mut self) {
        if self.status_at.elapsed() >= STATUS_INTERVAL {
            self.status_at = Instant::now();
            self.status.send_replace(self.core.status());
        }
    }
}
