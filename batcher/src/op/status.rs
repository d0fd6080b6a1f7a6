//! What an operator of `batcher op` sees: one value, shown as JSON, as metrics and as readiness.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloy::primitives::{Address, U256};
use ordering_types::Time;
use prometheus::{Error, Gauge, IntCounter, IntGauge, Registry};
use serde::Serialize;

use super::execution::Heads;
use super::feeder::Posted;
use crate::http::{STALE_AFTER, Shown};
use crate::metrics::{self, counter, gauge, signed};
use crate::spending::{Spending, ether};
use crate::txm::{Call, Receipt};

/// The status as JSON. Totals are of this process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// The paying account.
    pub account: Address,
    /// Its money, in ether; `None` before L1 answered.
    pub balance_eth: Option<f64>,
    /// Days that the money lasts at the pace of the last day.
    pub days_of_funds: Option<f64>,
    /// Whether the account cannot pay for what is to be posted.
    pub out_of_money: bool,
    /// The newest block that derivation has read from L1; `None` before the execution node answered.
    pub safe_block: Option<u64>,
    /// The newest block of the execution node.
    pub newest_block: Option<u64>,
    /// The newest block that was posted.
    pub posted_block: Option<u64>,
    /// Channels posted.
    pub channels: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their transactions.
    pub transactions: u64,
    /// Ordered transactions that the execution node left out of them.
    pub left_out: u64,
    /// Blobs of mined transactions.
    pub blobs: u64,
    /// Gas that these used.
    pub gas: u64,
    /// Transactions that a reorganisation of L1 undid.
    pub reorganised: u64,
    /// Times that fees were doubled.
    pub fee_bumps: u64,
    /// L1 endpoints that can be asked.
    pub l1_endpoints: usize,
    /// What is wrong now: the loop's trouble, or else why somebody does not answer.
    pub trouble: Option<String>,
}

/// Who must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The L1.
    L1,
    /// The rollup's execution node.
    Execution,
    /// The network's nodes.
    Nodes,
}

impl Side {
    const ALL: [Self; 3] = [Self::L1, Self::Execution, Self::Nodes];
}

impl fmt::Display for Side {
    /// What is wrong without it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L1 => "no usable L1 endpoint",
            Self::Execution => "no usable execution node",
            Self::Nodes => "no usable node of the network",
        })
    }
}

/// How a side is.
#[derive(Clone, Debug, Default)]
struct Answers {
    last: Option<Instant>,
    /// Why there was none when it was asked last.
    error: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    /// Without totals, which the counters have.
    status: Status,
    sides: BTreeMap<Side, Answers>,
    spending: Spending,
}

#[derive(Debug)]
struct Counters {
    channels: IntCounter,
    bytes: IntCounter,
    transactions: IntCounter,
    left_out: IntCounter,
    blobs: IntCounter,
    gas: IntCounter,
    reorganised: IntCounter,
}

impl Counters {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let counter = |name, help| counter(registry, name, help);
        Ok(Self {
            channels: counter("channels_total", "Channels posted")?,
            bytes: counter("bytes_total", "Bytes of posted channels")?,
            transactions: counter("transactions_total", "Transactions in posted channels")?,
            left_out: counter(
                "left_out_total",
                "Ordered transactions that the execution node left out of what was posted",
            )?,
            blobs: counter("blobs_total", "Blobs of mined transactions")?,
            gas: counter("gas_total", "Gas used by mined transactions")?,
            reorganised: counter("reorganised_total", "Transactions that a reorganisation undid")?,
        })
    }
}

#[derive(Debug)]
struct Gauges {
    balance: Gauge,
    days_of_funds: Gauge,
    out_of_money: IntGauge,
    safe_block: IntGauge,
    newest_block: IntGauge,
    posted_block: IntGauge,
    fee_bumps: IntGauge,
    l1_endpoints: IntGauge,
    ready: IntGauge,
}

impl Gauges {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let whole = |name, help| gauge(registry, name, help);
        Ok(Self {
            balance: gauge(registry, "balance_eth", "Money of the paying account, in ether")?,
            days_of_funds: gauge(
                registry,
                "days_of_funds",
                "Days that the money lasts at the pace of the last day; -1 if nothing was spent",
            )?,
            out_of_money: whole("out_of_money", "Whether the account cannot pay")?,
            safe_block: whole("safe_block", "The newest block that derivation has read from L1")?,
            newest_block: whole("newest_block", "The newest block of the execution node")?,
            posted_block: whole("posted_block", "The newest block that was posted; 0 before the first")?,
            fee_bumps: whole("fee_bumps", "Times that fees were doubled since start")?,
            l1_endpoints: whole("l1_endpoints", "L1 endpoints that can be asked")?,
            ready: whole("ready", "Whether L1, the execution node and a node answered lately")?,
        })
    }

    fn set(&self, status: &Status, ready: bool) {
        let block = |number: Option<u64>| signed(number.unwrap_or_default());
        self.balance.set(status.balance_eth.unwrap_or_default());
        self.days_of_funds.set(status.days_of_funds.unwrap_or(-1.0));
        self.out_of_money.set(i64::from(status.out_of_money));
        self.safe_block.set(block(status.safe_block));
        self.newest_block.set(block(status.newest_block));
        self.posted_block.set(block(status.posted_block));
        self.fee_bumps.set(signed(status.fee_bumps));
        self.l1_endpoints.set(signed(status.l1_endpoints));
        self.ready.set(i64::from(ready));
    }
}

/// Status and metrics, shared by the loop, what watches the sides, and the HTTP server.
#[derive(Debug)]
pub struct Board {
    registry: Registry,
    counters: Counters,
    gauges: Gauges,
    began: Instant,
    state: Mutex<State>,
}

impl Board {
    /// All zero.
    ///
    /// # Errors
    /// A metric's name is no name.
    pub fn new(account: Address) -> Result<Self, Error> {
        let registry = metrics::registry("batcher_op")?;
        let (counters, gauges) = (Counters::new(&registry)?, Gauges::new(&registry)?);
        let status = Status { account, ..Status::default() };
        let state = Mutex::new(State { status, ..State::default() });
        Ok(Self { registry, counters, gauges, began: Instant::now(), state })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the beginning: the pace of spending needs no other clock.
    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// A side has answered.
    pub fn heard(&self, side: Side) {
        self.lock().sides.insert(side, Answers { last: Some(Instant::now()), error: None });
    }

    /// A side was asked and has not answered, for this reason.
    pub fn silent(&self, side: Side, why: String) {
        self.lock().sides.entry(side).or_default().error = Some(why);
    }

    /// The account has so much, wei.
    pub fn money(&self, balance: U256) {
        let now = self.now();
        let mut state = self.lock();
        state.status.balance_eth = Some(ether(balance));
        state.status.days_of_funds = state.spending.days_left(now, balance);
    }

    /// So many L1 endpoints can be asked.
    pub fn endpoints(&self, good: usize) {
        self.lock().status.l1_endpoints = good;
    }

    /// How far the execution node is.
    pub fn heads(&self, heads: Heads) {
        let status = &mut self.lock().status;
        (status.safe_block, status.newest_block) = (Some(heads.safe.number), Some(heads.latest));
    }

    /// The transaction of this call is in a block, and paid for.
    pub fn mined(&self, call: &Call, receipt: &Receipt) {
        self.counters.blobs.inc_by(call.blobs());
        self.counters.gas.inc_by(receipt.gas);
        let now = self.now();
        self.lock().spending.note(now, receipt.cost);
    }

    /// L1 has a transaction no more.
    pub fn reorganised(&self) {
        self.counters.reorganised.inc();
    }

    /// Fees were doubled this often.
    pub fn bumps(&self, bumps: u64) {
        self.lock().status.fee_bumps = bumps;
    }

    /// A channel is on L1.
    pub fn posted(&self, posted: &Posted) {
        self.counters.channels.inc();
        self.counters.bytes.inc_by(posted.bytes as u64);
        self.counters.transactions.inc_by(posted.transactions);
        self.counters.left_out.inc_by(posted.left_out);
        self.lock().status.posted_block = Some(posted.blocks.1);
    }

    /// What keeps the loop from going on, or nothing; and whether that is money.
    pub fn trouble(&self, trouble: Option<String>, out_of_money: bool) {
        let status = &mut self.lock().status;
        (status.trouble, status.out_of_money) = (trouble, out_of_money);
    }

    fn not_ready_at(&self, now: Instant) -> Option<String> {
        let state = self.lock();
        let trouble = state.status.trouble.clone();
        let (why, trouble) = if state.status.out_of_money {
            ("nothing can be posted".to_owned(), trouble)
        } else {
            let side = Side::ALL.into_iter().find(|side| state.is_stale(*side, now))?;
            let error = state.sides.get(&side).and_then(|answers| answers.error.clone());
            (side.to_string(), error.or(trouble))
        };
        Some(trouble.map_or_else(|| why.clone(), |trouble| format!("{why}: {trouble}")))
    }
}

impl State {
    fn is_stale(&self, side: Side, now: Instant) -> bool {
        let last = self.sides.get(&side).and_then(|answers| answers.last);
        last.is_none_or(|last| now.saturating_duration_since(last) > STALE_AFTER)
    }
}

impl Shown for Board {
    type Status = Status;

    fn status(&self) -> Status {
        let state = self.lock();
        let silence = || state.sides.values().find_map(|answers| answers.error.clone());
        Status {
            channels: self.counters.channels.get(),
            bytes: self.counters.bytes.get(),
            transactions: self.counters.transactions.get(),
            left_out: self.counters.left_out.get(),
            blobs: self.counters.blobs.get(),
            gas: self.counters.gas.get(),
            reorganised: self.counters.reorganised.get(),
            trouble: state.status.trouble.clone().or_else(silence),
            ..state.status.clone()
        }
    }

    fn not_ready(&self) -> Option<String> {
        self.not_ready_at(Instant::now())
    }

    fn metrics(&self) -> String {
        self.gauges.set(&self.status(), self.not_ready().is_none());
        metrics::text(&self.registry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn board() -> Board {
        Board::new(Address::ZERO).unwrap()
    }

    /// What is wrong so long from now.
    fn wrong_after(board: &Board, seconds: u64) -> Option<String> {
        board.not_ready_at(Instant::now() + Duration::from_secs(seconds))
    }

    #[test]
    fn it_is_ready_while_every_side_has_answered_lately() {
        let board = board();
        for side in Side::ALL {
            assert_eq!(wrong_after(&board, 0), Some(side.to_string()), "it was never heard");
            board.heard(side);
        }
        assert_eq!(wrong_after(&board, 0), None);
        assert_eq!(wrong_after(&board, 29), None);
        assert_eq!(wrong_after(&board, 31), Some(Side::L1.to_string()));
    }

    #[test]
    fn who_is_silent_for_a_moment_is_named_and_for_long_makes_it_not_ready() {
        let board = board();
        Side::ALL.into_iter().for_each(|side| board.heard(side));
        board.silent(Side::L1, "refused".to_owned());
        assert_eq!(wrong_after(&board, 0), None);
        assert_eq!(board.status().trouble.as_deref(), Some("refused"));
        assert_eq!(wrong_after(&board, 31).as_deref(), Some("no usable L1 endpoint: refused"));
        board.trouble(Some("cannot go on".to_owned()), false);
        assert_eq!(board.status().trouble.as_deref(), Some("cannot go on"), "the loop's comes first");
        assert_eq!(wrong_after(&board, 31).as_deref(), Some("no usable L1 endpoint: refused"));
        board.heard(Side::L1);
        board.trouble(None, false);
        assert_eq!(board.status().trouble, None);
    }

    #[test]
    fn without_money_it_is_not_ready_whoever_answers() {
        let board = board();
        Side::ALL.into_iter().for_each(|side| board.heard(side));
        board.trouble(Some("out of money".to_owned()), true);
        assert_eq!(wrong_after(&board, 0).as_deref(), Some("nothing can be posted: out of money"));
        let text = board.metrics();
        assert!(
            text.contains("batcher_op_out_of_money 1\n") && text.contains("batcher_op_ready 0\n"),
            "{text}"
        );
        board.trouble(None, false);
        let text = board.metrics();
        assert!(
            text.contains("batcher_op_out_of_money 0\n") && text.contains("batcher_op_ready 1\n"),
            "{text}"
        );
    }

    #[test]
    fn channels_add_up() {
        let board = board();
        let posted =
            Posted { blocks: (1, 3), transactions: 9, left_out: 1, bytes: 700, blobs: 1, gas: 21_000 };
        board.posted(&posted);
        board.posted(&Posted { blocks: (4, 4), ..posted });
        let status = board.status();
        assert_eq!((status.channels, status.bytes, status.transactions), (2, 1_400, 18));
        assert_eq!((status.left_out, status.posted_block), (2, Some(4)));
        let text = board.metrics();
        for line in
            ["batcher_op_bytes_total 1400\n", "batcher_op_posted_block 4\n", "batcher_op_days_of_funds -1\n"]
        {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
