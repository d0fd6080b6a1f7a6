//! Blobs onto L1, by the transaction manager. The only file here that knows it.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::B256;
use batcher_format::blob::Blob;
use batcher_format::kzg::Kzg;
use ordering_types::Time;
use rollup::l1::RpcError;

use crate::l1::{L1, Task, TaskError};
use crate::txm::{Input, Limits, Outcome, Output, Txm};

/// What carries blobs.
pub trait Carry {
    /// Puts these blobs, in this order, into one transaction to the rollup's inbox; ready when it is in a block.
    fn carry(&mut self, blobs: Vec<Blob>) -> impl Future<Output = Result<Landed, CarryError>> + Send;
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// Which.
    pub hash: B256,
    /// Gas that it used.
    pub gas: u64,
}

/// Why blobs are on no L1.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Cell proofs cannot be made.
    #[error("{0}")]
    Task(#[from] TaskError),
    /// L1 does not answer.
    #[error("{0}")]
    L1(#[from] RpcError),
    /// It is another one.
    #[error("the L1 endpoint is of chain {got}, the chain specification says {expected}: point it elsewhere")]
    WrongChain {
        /// What the chain specification says.
        expected: u64,
        /// What the endpoint says.
        got: u64,
    },
    /// The inbox is a contract that refuses the transaction.
    #[error("L1 refuses a transaction to the inbox: {0}")]
    Rejected(String),
    /// The work was not done.
    #[error("worker thread: {0}")]
    Worker(#[from] tokio::task::JoinError),
    /// The transaction manager gave the call up.
    #[error("the transaction was given up")]
    GivenUp,
}

/// The transaction manager with its account.
#[derive(Debug)]
pub struct Carrier {
    l1: L1,
    chain_id: u64,
    chain_checked: bool,
    txm: Txm,
    kzg: Kzg,
    poll: Duration,
    clock: Time,
    /// As it was logged last.
    trouble: Option<String>,
}

impl Carrier {
    /// Sends to the inbox of `l1`, which must be of this chain. `poll`: the longest time between two looks at L1.
    pub fn new(l1: L1, chain_id: u64, limits: Limits, kzg: Kzg, poll: Duration) -> Self {
        let (txm, clock) = (Txm::new(limits), Time::default());
        Self { l1, chain_id, chain_checked: false, txm, kzg, poll, clock, trouble: None }
    }

    async fn check_chain(&mut self) -> Result<(), CarryError> {
        if self.chain_checked {
            return Ok(());
        }
        let (expected, got) = (self.chain_id, self.l1.chain_id().await?);
        if got != expected {
            return Err(CarryError::WrongChain { expected, got });
        }
        self.chain_checked = true;
        Ok(())
    }

    fn now(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.clock = self.clock.max(Time::from_micros(micros));
        self.clock
    }

    /// Does what the transaction manager says until it waits; its word at the end.
    async fn drive(&mut self, task: &Task, input: Input) -> Option<Outcome> {
        let mut input = input;
        loop {
            let now = self.now();
            input = match self.txm.handle(now, input)? {
                Output::Look => Input::Looked(self.l1.look(task).await),
                Output::Send { nonce, fees, gas } => {
                    tracing::info!(nonce, ?fees, gas, blobs = task.blobs(), "sending {task}");
                    Input::Sent(self.l1.send(task, nonce, fees, gas, self.txm.has_sent()).await)
                }
                Output::Check(hashes) => Input::Checked(self.l1.check(task, &hashes).await),
                Output::Finished(outcome) => return Some(outcome),
            };
        }
    }

    /// Logs new trouble once, however long it lasts.
    fn report(&mut self) {
        let trouble = self.txm.pause().map(ToString::to_string);
        if trouble != self.trouble {
            if let Some(trouble) = &trouble {
                tracing::warn!(trouble, "cannot post now; will keep trying");
            }
            self.trouble = trouble;
        }
    }
}

impl Carry for Carrier {
    async fn carry(&mut self, blobs: Vec<Blob>) -> Result<Landed, CarryError> {
        self.check_chain().await?;
        let kzg = self.kzg;
        let task = tokio::task::spawn_blocking(move || Task::frames(&blobs, kzg)).await??;
        let mut input = Input::Begin;
        loop {
            match self.drive(&task, input).await {
                // Derivation reads a transaction that was mined, whatever the inbox said to it.
                Some(Outcome::Mined { hash, gas } | Outcome::Reverted { hash, gas }) => {
                    return Ok(Landed { hash, gas });
                }
                Some(Outcome::Rejected(why)) => return Err(CarryError::Rejected(why)),
                Some(Outcome::Obsolete) => return Err(CarryError::GivenUp),
                None => {}
            }
            self.report();
            let now = self.now();
            let wait =
                self.txm.next_deadline().map_or(self.poll, |deadline| deadline.since(now).min(self.poll));
            tokio::time::sleep(wait).await;
            input = Input::Wake;
        }
    }
}
