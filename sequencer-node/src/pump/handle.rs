//! How the rest of the node talks to the pump.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ordering_types::{Height, Transaction, TxId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};

use super::events::{Event, MAX_LAG};
use crate::admission::AdmissionError;
use crate::core_api::Status;

/// Batches of submissions that may wait for the core.
const MAX_WAITING_BATCHES: usize = 4_096;
/// Bytes of submissions that may wait for the core.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// What a transaction costs of that beside its bytes.
const TRANSACTION_COST: usize = 256;

/// One answer for each transaction, in order.
pub(crate) type Answers = Vec<Result<TxId, AdmissionError>>;

/// Transactions on their way to the core.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) transactions: Vec<Transaction>,
    pub(super) reply: oneshot::Sender<Answers>,
    pub(super) _budget: OwnedSemaphorePermit,
}

/// Numbers that many threads read and write.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Newest ordered height.
    pub(super) height: AtomicU64,
    /// Newest softly confirmed height.
    pub(super) certified: AtomicU64,
    /// Number of the newest sealed batch seen.
    pub(super) sealed: AtomicU64,
    /// Transactions ordered since the start.
    pub(super) transactions: AtomicU64,
    /// Group syncs since the start.
    pub(super) syncs: AtomicU64,
    /// Microseconds spent in them.
    pub(super) sync_micros: AtomicU64,
    /// Faults of peers since the start.
    pub(super) faults: AtomicU64,
    /// Those of them that anybody can be shown.
    pub(super) evidence: AtomicU64,
    /// Whether this validator is in the present committee.
    pub(super) member: AtomicBool,
}

impl Counters {
    /// Name, help and value of each.
    pub(crate) fn list(&self) -> [(&'static str, &'static str, u64); 8] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("sequencer_height", "Newest ordered height", get(&self.height)),
            ("sequencer_certified_height", "Newest softly confirmed height", get(&self.certified)),
            ("sequencer_sealed_batch", "Number of the newest sealed batch", get(&self.sealed)),
            (
                "sequencer_ordered_transactions",
                "Transactions ordered since the start",
                get(&self.transactions),
            ),
            ("sequencer_disk_syncs", "Group syncs since the start", get(&self.syncs)),
            ("sequencer_disk_sync_micros", "Microseconds spent in group syncs", get(&self.sync_micros)),
            ("sequencer_peer_faults", "Messages that no honest peer sends", get(&self.faults)),
            ("sequencer_evidence", "Proven misdeeds of validators since the start", get(&self.evidence)),
        ]
    }
}

/// Talks to the pump from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    submissions: mpsc::Sender<Submission>,
    budget: Arc<Semaphore>,
    pub(super) events: broadcast::Sender<Event>,
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
}

impl Handle {
    pub(super) fn new(
        status: watch::Receiver<Status>,
        counters: Arc<Counters>,
    ) -> (Self, mpsc::Receiver<Submission>) {
        let (submissions, receiver) = mpsc::channel(MAX_WAITING_BATCHES);
        let (events, _) = broadcast::channel(MAX_LAG);
        let budget = Arc::new(Semaphore::new(MAX_WAITING_BYTES));
        (Self { submissions, budget, events, status, counters }, receiver)
    }

    /// Hands transactions that passed [`crate::admission::check`] to the core, and gives its answers.
    pub(crate) async fn submit(&self, transactions: Vec<Transaction>) -> Answers {
        let count = transactions.len();
        let refuse = |error: AdmissionError| vec![Err(error); count];
        let cost = transactions.iter().map(|t| t.data.len() + TRANSACTION_COST).sum::<usize>();
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let Ok(budget) = Arc::clone(&self.budget).try_acquire_many_owned(cost) else {
            return refuse(AdmissionError::Full("too many bytes wait at this node".to_owned()));
        };
        let (reply, answer) = oneshot::channel();
        match self.submissions.try_send(Submission { transactions, reply, _budget: budget }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return refuse(AdmissionError::Full("too many submissions wait at this node".to_owned()));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return refuse(AdmissionError::NotReady),
        }
        answer.await.unwrap_or_else(|_| refuse(AdmissionError::NotReady))
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The core's newest snapshot, at most a second old.
    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Newest ordered height.
    pub(crate) fn height(&self) -> Height {
        Height::new(self.counters.height.load(Ordering::Acquire))
    }

    /// Newest softly confirmed height.
    pub(crate) fn certified(&self) -> Height {
        Height::new(self.counters.certified.load(Ordering::Relaxed))
    }

    /// Whether this validator is in the present committee.
    pub(crate) fn is_member(&self) -> bool {
        self.counters.member.load(Ordering::Relaxed)
    }

    /// Numbers for metrics.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}
