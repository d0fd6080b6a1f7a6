//! What an operator sees: one value, shown as JSON, as metrics and as readiness.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use prometheus::core::{Atomic, GenericCounter, GenericGauge};
use prometheus::{Gauge, IntCounter, IntGauge, Registry, TextEncoder};
use serde::Serialize;

use crate::l1::Task;

/// A batcher that has not heard from L1 or any node for this long is not ready.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// The status as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// The paying account.
    pub account: Address,
    /// Its money, in ether; `None` before L1 answered.
    pub balance_eth: Option<f64>,
    /// What it is doing, in a few words.
    pub activity: String,
    /// The number that L1's next batch must have; 0 before `initialise`.
    pub next_number: u64,
    /// Epoch of L1's key.
    pub epoch: u64,
    /// Batches posted by this process.
    pub posted: u64,
    /// Handovers to a next epoch's key posted by this process.
    pub rotations: u64,
    /// Newest transaction of this process that took effect.
    pub last_transaction: Option<B256>,
    /// Gas that it used.
    pub last_gas: u64,
    /// Transactions that were mined without effect.
    pub reverted: u64,
    /// Calls that another batcher made first.
    pub lost_races: u64,
    /// The newest trouble, until it is over.
    pub trouble: Option<String>,
}

/// Status and metrics, shared by the poster and the HTTP server.
#[derive(Debug)]
pub struct Board {
    registry: Registry,
    status: Mutex<(Status, Seen)>,
    next_number: IntGauge,
    balance: Gauge,
    epoch: IntGauge,
    posted: IntCounter,
    rotations: IntCounter,
    blobs: IntCounter,
    gas: IntCounter,
    reverted: IntCounter,
    lost_races: IntCounter,
    bumps: IntGauge,
    ready: IntGauge,
}

/// When each side was heard last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    l1: Option<Instant>,
    nodes: Option<Instant>,
}

/// Which side was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The L1.
    L1,
    /// The nodes.
    Nodes,
}

impl Board {
    /// All zero.
    pub fn new(account: Address) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("batcher".to_owned()), None)?;
        Ok(Self {
            next_number: gauge(&registry, "next_number", "Number that L1's next batch must have")?,
            balance: gauge(&registry, "balance_eth", "Money of the paying account, in ether")?,
            epoch: gauge(&registry, "epoch", "Epoch of L1's key")?,
            posted: counter(&registry, "posted_total", "Batches posted to effect")?,
            rotations: counter(&registry, "rotations_total", "Handovers posted to effect")?,
            blobs: counter(&registry, "blobs_total", "Blobs posted to effect")?,
            gas: counter(&registry, "gas_total", "Gas used by mined transactions")?,
            reverted: counter(&registry, "reverted_total", "Transactions mined without effect")?,
            lost_races: counter(&registry, "lost_races_total", "Calls that another batcher made first")?,
            bumps: gauge(&registry, "fee_bumps", "Times that fees were doubled since start")?,
            ready: gauge(&registry, "ready", "Whether L1 and a node answered lately")?,
            status: Mutex::new((Status { account, ..Status::default() }, Seen::default())),
            registry,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Status, Seen)> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut guard = self.lock();
        change(&mut guard.0);
        self.next_number.set(i64::try_from(guard.0.next_number).unwrap_or(i64::MAX));
        self.epoch.set(i64::try_from(guard.0.epoch).unwrap_or(i64::MAX));
        self.balance.set(guard.0.balance_eth.unwrap_or_default());
    }

    /// A side has answered.
    pub fn heard(&self, side: Side) {
        let now = Some(Instant::now());
        let seen = &mut self.lock().1;
        match side {
            Side::L1 => seen.l1 = now,
            Side::Nodes => seen.nodes = now,
        }
    }

    /// The transaction of this task took effect.
    pub fn mined(&self, task: &Task, hash: B256, gas: u64) {
        let posted = match task {
            Task::Post(post) => post.numbers().clone().count() as u64,
            Task::Initialise(_) | Task::Rotate(_) | Task::Frames(_) => 0,
        };
        let rotations = u64::from(matches!(task, Task::Rotate(_)));
        self.gas.inc_by(gas);
        self.blobs.inc_by(task.blobs() as u64);
        self.posted.inc_by(posted);
        self.rotations.inc_by(rotations);
        self.update(|status| {
            status.posted += posted;
            status.rotations += rotations;
            status.last_transaction = Some(hash);
            status.last_gas = gas;
        });
    }

    /// A transaction was mined without effect.
    pub fn reverted(&self, gas: u64) {
        self.gas.inc_by(gas);
        self.reverted.inc();
        self.update(|status| status.reverted += 1);
    }

    /// Another batcher was first.
    pub fn lost_race(&self) {
        self.lost_races.inc();
        self.update(|status| status.lost_races += 1);
    }

    /// Fees were doubled this often.
    pub fn bumps(&self, bumps: u64) {
        self.bumps.set(i64::try_from(bumps).unwrap_or(i64::MAX));
    }

    /// The status now.
    pub fn status(&self) -> Status {
        self.lock().0.clone()
    }

    /// Why the batcher cannot work now, if so.
    pub fn not_ready(&self) -> Option<String> {
        let (status, seen) = self.lock().clone();
        let stale = |heard: Option<Instant>| heard.is_none_or(|at| at.elapsed() > STALE_AFTER);
        let why = if stale(seen.l1) {
            Some("no usable L1 endpoint")
        } else if stale(seen.nodes) {
            Some("no node answers")
        } else {
            None
        };
        why.map(|why| status.trouble.map_or_else(|| why.to_owned(), |trouble| format!("{why}: {trouble}")))
    }

    /// Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.ready.set(i64::from(self.not_ready().is_none()));
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

fn gauge<P: Atomic + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<GenericGauge<P>, prometheus::Error> {
    let gauge = GenericGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn counter<P: Atomic + 'static>(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<GenericCounter<P>, prometheus::Error> {
    let counter = GenericCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
