//! The loop: what does L1 lack, is it our turn, and the transaction manager does the rest.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::{B256, U256};
use batcher_format::SealedBatch;
use batcher_format::blob::MAX_BLOBS;
use batcher_format::kzg::Kzg;
use ordering_types::{Digest, Epoch, Time};
use rollup::client::Nodes;
use rollup::inbox::word;
use rollup::verify::Verified;
use tokio::task::JoinError;

use crate::l1::{InboxView, L1, Task, TaskError};
use crate::status::{Board, Side};
use crate::turn::Rotation;
use crate::txm::{Input, Limits, Outcome, Output, Txm};

/// Polls of a slot: how often L1 and the nodes are asked for news.
const POLLS_PER_SLOT: u32 = 8;
const SHORTEST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// What came of a moment's work, when it is not a transaction.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    L1(#[from] rollup::l1::RpcError),
    #[error("the L1 endpoint is of chain {got}, the chain specification says {expected}: point it elsewhere")]
    WrongChain { expected: u64, got: u64 },
    #[error("nodes: {0}")]
    Nodes(#[from] rollup::client::RequestError),
    #[error(
        "batch {number} of the nodes continues {nodes}, L1 has {l1}: the L1 was reorganised, or it is another network's"
    )]
    Parent { number: u64, nodes: Digest, l1: B256 },
    #[error(
        "batch {number} of the nodes is of epoch {nodes}, L1 has the key of epoch {l1}, and no handover leads from there to batch {number}"
    )]
    Epoch { number: u64, nodes: Epoch, l1: Epoch },
    #[error("{0}")]
    Task(#[from] TaskError),
    #[error("worker thread: {0}")]
    Worker(#[from] JoinError),
}

/// Where L1 is: what it takes next is either the handover to the epoch after this one or the batch of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    epoch: Epoch,
    /// 0 before `initialise`.
    number: u64,
}

/// What L1 lacks next, and since when it could have had it.
struct Candidate {
    place: Place,
    since: Time,
    /// After another batcher's transaction was seen in the pool: it gets as long as a batcher whose turn it is.
    not_before: Time,
    content: Content,
}

/// A candidate becomes a task when its time is near: cell proofs cost a third of a second a blob.
enum Content {
    /// At least one, in order.
    Batches(Vec<Verified<Arc<SealedBatch>>>),
    Ready(Task),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batches(all) => match all.as_slice() {
                [one] => write!(f, "batch {}", one.header.number),
                all => write!(f, "{} batches", all.len()),
            },
            Self::Ready(task) => task.fmt(f),
        }
    }
}

impl Candidate {
    const fn new(place: Place, since: Time, content: Content) -> Self {
        Self { place, since, not_before: since, content }
    }
}

/// One batcher.
pub struct Poster {
    l1: L1,
    nodes: Nodes,
    rotation: Rotation,
    board: Arc<Board>,
    kzg: Kzg,
    poll: Duration,
    txm: Txm,
    chain_checked: bool,
    candidate: Option<Candidate>,
    /// What the transaction manager works on.
    task: Option<Task>,
    clock: Time,
}

impl Poster {
    /// Idle. `slot` is the time between L1 blocks.
    pub fn new(
        l1: L1,
        nodes: Nodes,
        rotation: Rotation,
        limits: Limits,
        slot: Duration,
        board: Arc<Board>,
        kzg: Kzg,
    ) -> Self {
        Self {
            l1,
            nodes,
            rotation,
            board,
            kzg,
            poll: (slot / POLLS_PER_SLOT).clamp(SHORTEST_POLL, LONGEST_POLL),
            txm: Txm::new(limits),
            chain_checked: false,
            candidate: None,
            task: None,
            clock: Time::default(),
        }
    }

    /// Works until dropped. May be dropped at any await: nothing is kept that L1 does not have.
    pub async fn run(mut self) {
        loop {
            let pause = self.turn().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// The host's clock, never going back.
    fn now(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.clock = self.clock.max(Time::from_micros(micros));
        self.clock
    }

    /// Does what can be done now; returns how long to sleep.
    async fn turn(&mut self) -> Duration {
        if self.task.is_none() {
            match self.choose().await {
                Ok(Some(task)) => {
                    self.board.update(|status| status.trouble = None);
                    self.task = Some(task);
                    self.drive(Input::Begin).await;
                }
                Ok(None) => self.board.update(|status| status.trouble = None),
                Err(trouble) => self.report(&trouble.to_string()),
            }
        } else {
            self.drive(Input::Wake).await;
        }
        let now = self.now();
        match self.txm.next_deadline() {
            _ if self.task.is_none() => self.poll,
            Some(deadline) => deadline.since(now).min(self.poll),
            None => Duration::ZERO,
        }
    }

    /// Logs new trouble once, however long it lasts.
    fn report(&self, trouble: &str) {
        if self.board.status().trouble.as_deref() != Some(trouble) {
            tracing::warn!(trouble, "cannot post now; will keep trying");
            self.board.update(|status| {
                status.trouble = Some(trouble.to_owned());
                status.activity = "waiting for trouble to pass".to_owned();
            });
        }
    }

    /// The next call, if there is one and its time has come.
    async fn choose(&mut self) -> Result<Option<Task>, Trouble> {
        self.check_chain().await?;
        let view = self.l1.view().await?;
        let balance = self.l1.balance().await?;
        self.board.heard(Side::L1);
        self.board.update(|status| {
            status.next_number = view.next_number;
            status.epoch = view.epoch.get();
            status.balance_eth = Some(ether(balance));
        });
        let place = Place { epoch: view.epoch, number: view.next_number };
        if self.candidate.as_ref().is_none_or(|candidate| candidate.place != place) {
            self.candidate = None;
            let content = self.find(view).await?;
            self.candidate = content.map(|content| Candidate::new(place, self.now(), content));
        }
        let now = self.now();
        let Some(candidate) = &mut self.candidate else {
            self.board.update(|status| status.activity = "nothing to post".to_owned());
            return Ok(None);
        };
        let (waited, delay) = (now.since(candidate.since), self.rotation.delay(candidate.place.number));
        if waited + self.rotation.preparation() >= delay
            && let Content::Batches(batches) = &candidate.content
        {
            let (batches, kzg) = (batches.iter().map(|one| Arc::clone(one)).collect::<Vec<_>>(), self.kzg);
            let made = tokio::task::spawn_blocking(move || Task::post(&batches, kzg)).await??;
            if let Some(task) = made {
                candidate.content = Content::Ready(task);
            }
            return Ok(None);
        }
        if waited < delay || now < candidate.not_before {
            let activity = format!("another batcher's turn: {}", candidate.content);
            self.board.update(|status| status.activity = activity);
            return Ok(None);
        }
        match &candidate.content {
            Content::Ready(task) => {
                self.board.update(|status| status.activity = format!("posting {task}"));
                Ok(Some(task.clone()))
            }
            Content::Batches(_) => Ok(None),
        }
    }

    async fn check_chain(&mut self) -> Result<(), Trouble> {
        if self.chain_checked {
            return Ok(());
        }
        let (expected, got) = (self.nodes.network().spec().l1_chain_id, self.l1.chain_id().await?);
        if got != expected {
            return Err(Trouble::WrongChain { expected, got });
        }
        self.chain_checked = true;
        Ok(())
    }

    /// Asks the nodes for what L1 lacks.
    async fn find(&self, view: InboxView) -> Result<Option<Content>, Trouble> {
        let Some(key) = view.key else {
            let founding = self.nodes.founding().await?;
            self.board.heard(Side::Nodes);
            return Ok(founding.map(|founding| Content::Ready(Task::initialise(&founding))));
        };
        // L1 decides whose signatures count: what came before need not be learnt, and the members may have replaced a key.
        self.nodes.trust(view.epoch, key, None);
        let batch = self.nodes.sealed(view.next_number).await?;
        self.board.heard(Side::Nodes);
        match batch {
            Some(batch) if batch.header.epoch == view.epoch => {
                let (number, nodes) = (view.next_number, batch.header.parent);
                if word(nodes) != view.last_id {
                    return Err(Trouble::Parent { number, nodes, l1: view.last_id });
                }
                Ok(Some(Content::Batches(self.find_more(batch).await)))
            }
            batch => self.find_handover(view, batch.map(|batch| batch.header.epoch)).await,
        }
    }

    /// This batch and those that the nodes have after it, of its epoch, as many as one transaction carries: L1 is behind. Whoever holds the
    /// others back, or lies about them, does not hold this one back.
    async fn find_more(&self, first: Verified<Arc<SealedBatch>>) -> Vec<Verified<Arc<SealedBatch>>> {
        let until = tokio::time::Instant::now() + self.rotation.preparation();
        let (mut number, epoch) = (first.header.number, first.header.epoch);
        let mut blobs = first.encoded.commitments.len();
        let mut found = vec![first];
        while blobs < MAX_BLOBS {
            number += 1;
            let asked = tokio::time::timeout_at(until, self.nodes.sealed(number)).await;
            let Ok(Ok(Some(next))) = asked else { break };
            blobs += next.encoded.commitments.len();
            if next.header.epoch != epoch || blobs > MAX_BLOBS {
                break;
            }
            found.push(next);
        }
        found
    }

    /// The handover that L1 takes before its next batch, which is of the epoch `of` as far as the nodes have it.
    async fn find_handover(&self, view: InboxView, of: Option<Epoch>) -> Result<Option<Content>, Trouble> {
        let succession = self.nodes.handover(view.epoch.next()).await?;
        self.board.heard(Side::Nodes);
        let number = view.next_number;
        match (succession.filter(|next| next.signed.handover.first_batch == number), of) {
            (Some(next), _) => Ok(Some(Content::Ready(Task::rotate(&next.signed)?))),
            (None, Some(nodes)) => Err(Trouble::Epoch { number, nodes, l1: view.epoch }),
            (None, None) => Ok(None),
        }
    }

    /// Feeds the transaction manager and does what it says until it waits or is done.
    async fn drive(&mut self, input: Input) {
        let Some(task) = self.task.clone() else { return };
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let now = self.now();
            let Some(output) = self.txm.handle(now, next) else { break };
            input = match output {
                Output::Look => Some(Input::Looked(self.l1.look(&task).await)),
                Output::Send { nonce, fees, gas } => {
                    tracing::info!(nonce, ?fees, gas, blobs = task.blobs(), "sending {task}");
                    Some(Input::Sent(self.l1.send(&task, nonce, fees, gas, self.txm.has_sent()).await))
                }
                Output::Check(hashes) => Some(Input::Checked(self.l1.check(&task, &hashes).await)),
                Output::Finished(outcome) => {
                    self.finished(&task, outcome);
                    None
                }
            };
        }
        self.board.bumps(self.txm.bumps());
        match self.txm.pause() {
            Some(pause) => self.report(&pause.to_string()),
            None => self.board.heard(Side::L1),
        }
    }

    fn finished(&mut self, task: &Task, outcome: Outcome) {
        self.task = None;
        let not_before = self.now() + self.rotation.takeover();
        match outcome {
            Outcome::Mined { hash, gas } => {
                tracing::info!(%hash, gas, blobs = task.blobs(), "{task} took effect");
                self.board.mined(task, hash, gas);
                self.candidate = None;
            }
            Outcome::Reverted { hash, gas } => {
                tracing::warn!(%hash, gas, "{task} was mined without effect: another batcher was first");
                self.board.reverted(gas);
                self.candidate = None;
            }
            Outcome::Obsolete => {
                tracing::debug!("{task}: another batcher was first");
                self.board.lost_race();
                if let Some(candidate) = &mut self.candidate {
                    candidate.not_before = not_before;
                }
            }
            Outcome::Rejected(why) => {
                tracing::error!(
                    why,
                    what = %task,
                    "the contract refuses what the committee signed: check that inbox and chain specification belong together"
                );
                self.report(&format!("the contract refuses {task}: {why}"));
                self.candidate = None;
            }
        }
        self.board.update(|status| status.activity = "looking for what is next".to_owned());
        if let Ok(line) = serde_json::to_string(&self.board.status()) {
            println!("{line}");
        }
    }
}

fn ether(wei: U256) -> f64 {
    wei.to_string().parse::<f64>().unwrap_or(f64::MAX) / 1e18
}
