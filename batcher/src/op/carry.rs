//! Blobs onto L1, by the transaction manager. The only file here that knows it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::{B256, U256};
use batcher_format::blob::Blob;
use batcher_format::kzg::Kzg;
use ordering_types::Time;
use rollup::l1::RpcError;

use super::status::{Board, Side};
use crate::l1::{L1, Simulation, Task, TaskError};
use crate::txm::{Account, Call, Event, Kind, Limits, Pause, Place, Send, Snapshot, Trouble, Txm};

/// What carries blobs.
pub trait Carry {
    /// Puts these blobs, in this order, into one transaction to the rollup's inbox; ready when it is in a block.
    fn carry(
        &mut self,
        blobs: Vec<Blob>,
    ) -> impl Future<Output = Result<Landed, CarryError>> + std::marker::Send;
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
    /// The transaction manager sends nothing for a while.
    #[error("{0}")]
    Paused(#[from] Pause),
}

/// Transactions whose bytes are kept, to be sent again if L1 drops their blocks.
const KEPT: u64 = 4;

/// The transaction manager with its account.
#[derive(Debug)]
pub struct Carrier {
    l1: Arc<L1>,
    chain_id: u64,
    chain_checked: bool,
    txm: Txm,
    kzg: Kzg,
    poll: Duration,
    /// By the ids that the transaction manager knows them by.
    tasks: BTreeMap<u64, Task>,
    next_id: u64,
    clock: Time,
    board: Arc<Board>,
    /// As it was logged last.
    trouble: Option<String>,
}

impl Carrier {
    /// Sends to the inbox of `l1`, which must be of this chain. `poll`: the time between two looks at L1.
    pub fn new(
        l1: Arc<L1>,
        chain_id: u64,
        limits: Limits,
        kzg: Kzg,
        poll: Duration,
        board: Arc<Board>,
    ) -> Self {
        Self {
            l1,
            chain_id,
            chain_checked: false,
            txm: Txm::new(limits),
            kzg,
            poll,
            tasks: BTreeMap::new(),
            next_id: 0,
            clock: Time::default(),
            board,
            trouble: None,
        }
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

    /// One look at L1, and what follows from it; the transaction of call `id` if it is in a block.
    async fn turn(&mut self, id: u64) -> Result<Option<Landed>, CarryError> {
        let head = self.l1.survey().await?;
        let seen = self.l1.read_accounts(head, Place::default(), &self.txm.watched()).await?;
        self.board.heard(Side::L1);
        let now = self.now();
        let mut landed = None;
        for event in self.txm.observe(now, seen.clone()) {
            landed = self.book(event, id).or(landed);
        }
        self.board.money(balance(&seen));
        if landed.is_some() {
            return Ok(landed);
        }
        while let Some(send) = self.again() {
            self.send(send).await;
        }
        if !self.txm.calls().any(|known| known == id) {
            self.begin(id, &seen).await?;
        }
        Ok(None)
    }

    /// Counts what L1 did; the transaction of call `id` if that is what it did.
    fn book(&self, event: Event, id: u64) -> Option<Landed> {
        match event {
            // Derivation reads a transaction that was mined, whatever the inbox said to it.
            Event::Mined { call, hash, receipt } => {
                self.board.mined(&call, &receipt);
                return (call.id == id).then_some(Landed { hash, gas: receipt.gas });
            }
            Event::Lost { call } => {
                tracing::warn!(id = call.id, "L1 has no receipt of a transaction with frames");
            }
            Event::Reorganised { call } => {
                tracing::warn!(id = call.id, "L1 was reorganised and has a transaction with frames no more");
                self.board.reorganised();
            }
        }
        None
    }

    fn again(&mut self) -> Option<Send> {
        let now = self.now();
        self.txm.next_send(now).filter(|send| self.tasks.contains_key(&send.call.id))
    }

    async fn begin(&mut self, id: u64, seen: &Snapshot) -> Result<(), CarryError> {
        let Some(task) = self.tasks.get(&id) else { return Ok(()) };
        let (account, fees) = (Account::Blobs, seen.market.generous(Kind::Blob));
        let gas = match self.l1.simulate(task, account, fees, balance(seen)).await {
            Ok(Simulation::Succeeds(gas)) => gas,
            Ok(Simulation::Rejected(why)) | Err(Trouble(why)) => return Err(CarryError::Rejected(why)),
            Ok(Simulation::Past) => return Err(CarryError::GivenUp),
        };
        let (goal, kind, blob_gas) = (task.goal(), task.kind(), task.blob_gas());
        let now = self.now();
        let call = Call { id, goal, account, kind, gas, blob_gas };
        if let Some(send) = self.txm.begin(now, call) {
            self.send(send).await;
        }
        Ok(())
    }

    async fn send(&mut self, send: Send) {
        let Some(task) = self.tasks.get(&send.call.id) else { return };
        tracing::info!(nonce = send.nonce, fees = ?send.fees, gas = send.call.gas, blobs = task.blobs(), "sending frames");
        let answer = self.l1.send(task, &send).await;
        let now = self.now();
        self.txm.sent(now, send, answer);
    }

    /// Shows trouble, and logs what is new once, however long it lasts.
    fn report(&mut self, trouble: Option<&CarryError>) {
        let text = trouble.map(ToString::to_string);
        let empty = match trouble {
            Some(CarryError::Paused(Pause::OutOfMoney(account))) => Some(*account),
            _ => None,
        };
        self.board.bumps(self.txm.bumps());
        self.board.endpoints(self.l1.good_endpoints());
        self.board.trouble(text.clone(), empty.is_some());
        if let Some(text) = text.as_ref().filter(|_| text != self.trouble) {
            match empty.and_then(|account| self.l1.address(account)) {
                Some(address) => tracing::error!(%address, "{text}"),
                None => tracing::warn!(trouble = text, "cannot post now; will keep trying"),
            }
        }
        self.trouble = text;
    }
}

fn balance(seen: &Snapshot) -> U256 {
    seen.accounts.get(&Account::Blobs).map(|standing| standing.balance).unwrap_or_default()
}

impl Carry for Carrier {
    async fn carry(&mut self, blobs: Vec<Blob>) -> Result<Landed, CarryError> {
        self.check_chain().await?;
        let kzg = self.kzg;
        let task = tokio::task::spawn_blocking(move || Task::frames(&blobs, kzg)).await??;
        let id = self.next_id;
        self.next_id += 1;
        self.tasks.insert(id, task);
        self.tasks.retain(|kept, _| kept + KEPT > id);
        loop {
            let trouble = match self.turn(id).await {
                Ok(Some(landed)) => {
                    self.report(None);
                    return Ok(landed);
                }
                Ok(None) => self.txm.pause().cloned().map(CarryError::Paused),
                // What an endpoint does not answer now it may answer in a moment; what it refuses, too.
                Err(error) => Some(error),
            };
            self.report(trouble.as_ref());
            tokio::time::sleep(self.poll).await;
        }
    }
}
