//! What an operator sees: one value, shown as JSON, as metrics and as readiness.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alloy::primitives::{Address, B256};
use prometheus::{Gauge, IntCounter, IntGauge, Registry};
use serde::Serialize;

use crate::http::{STALE_AFTER, Shown};
use crate::metrics::{self, counter, gauge, signed};
use crate::txm::{Call, Goal, Kind};

/// The status as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// The paying account.
    pub account: Address,
    /// Its money, in ether; `None` before L1 answered.
    pub balance_eth: Option<f64>,
    /// The account that pays for calldata, if there is one.
    pub calldata_account: Option<Address>,
    /// Its money, in ether.
    pub calldata_balance_eth: Option<f64>,
    /// Days that the money lasts at the pace of the last day; the shorter of both accounts'.
    pub days_of_funds: Option<f64>,
    /// Whether an account cannot pay for what is to be posted.
    pub out_of_money: bool,
    /// Transactions that wait for a block.
    pub in_flight: usize,
    /// What it is doing, in a few words.
    pub activity: String,
    /// The number that L1's next batch must have; 0 before `initialise`.
    pub next_number: u64,
    /// Epoch of L1's key.
    pub epoch: u64,
    /// Batches posted by this process.
    pub posted: u64,
    /// Those of them that calldata carried.
    pub in_calldata: u64,
    /// Transactions that a reorganisation of L1 undid, and that were sent again.
    pub reorganised: u64,
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
    days_of_funds: Gauge,
    out_of_money: IntGauge,
    in_flight: IntGauge,
    in_calldata: IntCounter,
    reorganised: IntCounter,
    endpoints: IntGauge,
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
        let registry = metrics::registry("batcher")?;
        Ok(Self {
            next_number: gauge(&registry, "next_number", "Number that L1's next batch must have")?,
            balance: gauge(&registry, "balance_eth", "Money of the paying account, in ether")?,
            days_of_funds: gauge(
                &registry,
                "days_of_funds",
                "Days that the money lasts at the pace of the last day; -1 if nothing was spent",
            )?,
            out_of_money: gauge(&registry, "out_of_money", "Whether an account cannot pay")?,
            in_flight: gauge(&registry, "in_flight", "Transactions that wait for a block")?,
            in_calldata: counter(&registry, "in_calldata_total", "Batches posted to effect in calldata")?,
            reorganised: counter(&registry, "reorganised_total", "Transactions that a reorganisation undid")?,
            endpoints: gauge(&registry, "l1_endpoints", "L1 endpoints that can be asked")?,
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
        self.next_number.set(signed(guard.0.next_number));
        self.epoch.set(signed(guard.0.epoch));
        self.balance.set(guard.0.balance_eth.unwrap_or_default());
        self.days_of_funds.set(guard.0.days_of_funds.unwrap_or(-1.0));
        self.out_of_money.set(i64::from(guard.0.out_of_money));
        self.in_flight.set(signed(guard.0.in_flight));
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

    /// The transaction of this call took effect.
    pub fn mined(&self, call: &Call, hash: B256, gas: u64) {
        let posted = call.goal.batches();
        let in_calldata = if call.kind == Kind::Plain { posted } else { 0 };
        let rotations = u64::from(matches!(call.goal, Goal::Epoch(_)));
        self.gas.inc_by(gas);
        self.blobs.inc_by(call.blobs());
        self.posted.inc_by(posted);
        self.in_calldata.inc_by(in_calldata);
        self.rotations.inc_by(rotations);
        self.update(|status| {
            status.posted += posted;
            status.in_calldata += in_calldata;
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

    /// L1 has a transaction no more.
    pub fn reorganised(&self) {
        self.reorganised.inc();
        self.update(|status| status.reorganised += 1);
    }

    /// So many L1 endpoints can be asked.
    pub fn endpoints(&self, good: usize) {
        self.endpoints.set(signed(good));
    }

    /// Another batcher was first.
    pub fn lost_race(&self) {
        self.lost_races.inc();
        self.update(|status| status.lost_races += 1);
    }

    /// Fees were doubled this often.
    pub fn bumps(&self, bumps: u64) {
        self.bumps.set(signed(bumps));
    }
}

impl Shown for Board {
    type Status = Status;

    fn status(&self) -> Status {
        self.lock().0.clone()
    }

    fn not_ready(&self) -> Option<String> {
        let (status, seen) = self.lock().clone();
        let stale = |heard: Option<Instant>| heard.is_none_or(|at| at.elapsed() > STALE_AFTER);
        let why = if status.out_of_money {
            Some("nothing can be posted")
        } else if stale(seen.l1) {
            Some("no usable L1 endpoint")
        } else if stale(seen.nodes) {
            Some("no node answers")
        } else {
            None
        };
        why.map(|why| status.trouble.map_or_else(|| why.to_owned(), |trouble| format!("{why}: {trouble}")))
    }

    fn metrics(&self) -> String {
        self.ready.set(i64::from(self.not_ready().is_none()));
        metrics::text(&self.registry)
    }
}
