//! The loop: what of the rollup does L1 lack, is it what was ordered, and onto L1 with it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use batcher_format::op::ChannelError;
use ordering_types::{Height, RollupId, Time};
use rollup::client::Nodes;
use serde::Serialize;

use super::block::Built;
use super::carry::{Carry, CarryError};
use super::channels::{Channels, TakeError};
use super::execution::{Execution, ExecutionError, Heads};
use super::followed::{FollowError, Followed, height_before};
use super::order::Verdict;
use super::status::{Board, Side};

/// Most blocks that are taken between two looks at the heads.
const MAX_BLOCKS_A_TURN: u64 = 256;

/// What is fed, and how patiently.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rollup's number in the network.
    pub rollup: RollupId,
    /// Its chain id.
    pub chain_id: u64,
    /// Client ports of nodes.
    pub endpoints: Vec<String>,
    /// Where the order is read from; found by time if `None`.
    pub order_from: Option<Height>,
    /// A channel is closed at latest so long after its first block.
    pub longest: Duration,
    /// What is posted and not read by derivation for so long is posted again.
    pub patience: Duration,
    /// How often the execution node is asked for news.
    pub poll: Duration,
}

/// What is on L1 now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// Numbers of the first and the last block.
    pub blocks: (u64, u64),
    /// Their transactions.
    pub transactions: u64,
    /// Ordered transactions that the execution node left out of them.
    pub left_out: u64,
    /// Bytes of the channel.
    pub bytes: usize,
    /// Blobs that carry it.
    pub blobs: usize,
    /// Gas of their transactions.
    pub gas: u64,
}

/// What came of a turn, when it is not a channel.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The execution node.
    #[error("{0}")]
    Execution(#[from] ExecutionError),
    /// Of another chain.
    #[error(
        "the execution node is of chain {got}, the chain specification says {expected}: point it elsewhere"
    )]
    WrongChain {
        /// What the chain specification says.
        expected: u64,
        /// What the node says.
        got: u64,
    },
    /// The network.
    #[error("{0}")]
    Follow(#[from] FollowError),
    /// A transaction that nobody ordered, or not there. It is not posted, nor is anything after it.
    #[error(
        "transaction {index} of block {block} is not what the network ordered next: \
         the execution node takes transactions from elsewhere, or in another order"
    )]
    Foreign {
        /// Number of the block.
        block: u64,
        /// Its place among the block's own.
        index: usize,
    },
    /// A block that fits into no channel.
    #[error("block {block} cannot be posted: {error}")]
    Channel {
        /// Its number, or that of the last block of its channel.
        block: u64,
        /// Why.
        error: ChannelError,
    },
    /// L1.
    #[error("{0}")]
    Carry(#[from] CarryError),
    /// The work was not done.
    #[error("worker thread: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// Since the last block that derivation had when this began.
struct Run {
    channels: Channels,
    followed: Followed,
    /// The newest block that is on L1, and since when.
    posted: Option<(u64, Time)>,
}

/// How far the blocks were taken.
enum Taken {
    /// All that there are, or that are known to be as ordered.
    All,
    /// The open channel has no room for the next one.
    Full,
    /// The execution node has another chain now.
    Reorganised,
}

/// One rollup's way to L1.
pub struct Feeder<C> {
    plan: Plan,
    execution: Arc<Execution>,
    nodes: Nodes,
    carry: C,
    board: Arc<Board>,
    run: Option<Run>,
    chain_checked: bool,
    clock: Time,
    /// As it was logged last.
    trouble: Option<String>,
}

impl<C: Carry> Feeder<C> {
    /// Nothing taken yet.
    pub fn new(plan: Plan, execution: Arc<Execution>, nodes: Nodes, carry: C, board: Arc<Board>) -> Self {
        let (clock, run) = (Time::default(), None);
        Self { plan, execution, nodes, carry, board, run, chain_checked: false, clock, trouble: None }
    }

    /// Feeds for ever. `tell` hears of each channel.
    pub async fn run(mut self, mut tell: impl FnMut(Posted)) {
        loop {
            let turn = self.turn(&mut tell).await;
            self.report(turn.err());
            self.rest().await;
        }
    }

    /// Until the next turn: reads the order.
    pub async fn rest(&mut self) {
        let pause = tokio::time::sleep(self.plan.poll);
        match &mut self.run {
            Some(run) => tokio::select! {
                () = pause => {}
                () = run.followed.read() => {}
            },
            None => pause.await,
        }
    }

    /// Shows trouble, and logs what is new once, however long it lasts.
    fn report(&mut self, trouble: Option<Trouble>) {
        let trouble = trouble.map(|trouble| trouble.to_string());
        self.board.trouble(trouble.clone(), false);
        if trouble != self.trouble {
            match &trouble {
                Some(trouble) => tracing::warn!(trouble, "cannot go on now; will keep trying"),
                None => tracing::info!("the trouble is over"),
            }
            self.trouble = trouble;
        }
    }

    fn now(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        self.clock = self.clock.max(Time::from_micros(micros));
        self.clock
    }

    /// Does what can be done now.
    pub async fn turn(&mut self, tell: &mut impl FnMut(Posted)) -> Result<(), Trouble> {
        self.check_chain().await?;
        let heads = self.execution.heads().await?;
        self.board.heard(Side::Execution);
        self.board.heads(heads);
        if let Some(why) = self.is_stale(heads).await? {
            tracing::info!(safe = heads.safe.number, "beginning again after the safe block: {why}");
            self.run = None;
        }
        if self.run.is_none() {
            self.run = Some(self.begin(heads).await?);
        }
        let taken = self.take_blocks(heads.latest).await;
        let full = matches!(taken, Ok(Taken::Full));
        if matches!(taken, Ok(Taken::Reorganised)) {
            tracing::info!("the execution node has another chain now");
            self.run = None;
        }
        // What is as it should be is posted, whatever came after it.
        self.post(full, tell).await?;
        taken.map(|_| ())
    }

    async fn check_chain(&mut self) -> Result<(), Trouble> {
        if self.chain_checked {
            return Ok(());
        }
        let (expected, got) = (self.plan.chain_id, self.execution.chain_id().await?);
        if got != expected {
            return Err(Trouble::WrongChain { expected, got });
        }
        self.chain_checked = true;
        Ok(())
    }

    async fn begin(&self, heads: Heads) -> Result<Run, Trouble> {
        let from = match self.plan.order_from {
            Some(from) => from,
            None => height_before(&self.nodes, heads.safe_timestamp).await?,
        };
        tracing::info!(after = heads.safe.number, height = from.get(), "following blocks and their order");
        let followed = Followed::new(&self.nodes, &self.plan.endpoints, self.plan.rollup, from)?;
        Ok(Run { channels: Channels::new(heads.safe, self.plan.longest), followed, posted: None })
    }

    /// Why what was taken is not to be gone on with, if so.
    async fn is_stale(&mut self, heads: Heads) -> Result<Option<&'static str>, Trouble> {
        let now = self.now();
        let Some(run) = &mut self.run else { return Ok(None) };
        let tip = run.channels.tip();
        if heads.safe.number > tip.number {
            return Ok(Some("derivation has more than was taken: somebody else posts, too"));
        }
        match run.posted {
            Some((number, _)) if heads.safe.number >= number => run.posted = None,
            Some((_, at)) if now.since(at) >= self.plan.patience => {
                return Ok(Some("derivation has not read what was posted"));
            }
            _ => {}
        }
        if heads.latest < tip.number || self.execution.id(tip.number).await?.hash != tip.hash {
            return Ok(Some("the execution node has other blocks now"));
        }
        Ok(None)
    }

    async fn take_blocks(&mut self, latest: u64) -> Result<Taken, Trouble> {
        let now = self.now();
        let Some(run) = &mut self.run else { return Ok(Taken::All) };
        for number in blocks_of_a_turn(run.channels.tip().number, latest) {
            if run.channels.is_due(now) {
                return Ok(Taken::All);
            }
            let built: Built = self.execution.block(number).await?;
            // Before the order is gone on with: a block that is not taken now is asked about again.
            match run.channels.accepts(&built) {
                Ok(()) => {}
                Err(TakeError::Parent { .. }) => return Ok(Taken::Reorganised),
                Err(TakeError::Channel(_)) => return Ok(Taken::Full),
            }
            let left_out = match run.followed.check(built.block.timestamp, &built.ids) {
                Verdict::Ordered { left_out } => left_out,
                Verdict::Wait => return Ok(Taken::All),
                Verdict::Foreign { index } => return Err(Trouble::Foreign { block: number, index }),
            };
            if let Err(TakeError::Channel(error)) = run.channels.take(now, &built, left_out) {
                // The order has gone on without it.
                self.run = None;
                return Err(Trouble::Channel { block: number, error });
            }
        }
        Ok(Taken::All)
    }

    /// Closes the channel if it is time, and brings it to L1. Whatever goes wrong, the safe block says where to begin again.
    async fn post(&mut self, full: bool, tell: &mut impl FnMut(Posted)) -> Result<(), Trouble> {
        let now = self.now();
        let Some(run) = &mut self.run else { return Ok(()) };
        if !full && !run.channels.is_due(now) {
            return Ok(());
        }
        let Some((builder, summary)) = run.channels.close() else { return Ok(()) };
        let last = *summary.blocks.end();
        let outcome = async {
            let compressed = tokio::task::spawn_blocking(move || builder.close()).await?;
            let channel = compressed.map_err(|error| Trouble::Channel { block: last, error })?;
            let transactions = channel.transactions();
            let (mut blobs, mut gas) = (0, 0_u64);
            for carried in transactions {
                blobs += carried.len();
                gas = gas.saturating_add(self.carry.carry(carried).await?.gas);
            }
            Ok::<_, Trouble>((channel.data().len(), blobs, gas))
        };
        let (bytes, blobs, gas) = match outcome.await {
            Ok(posted) => posted,
            Err(trouble) => {
                self.run = None;
                return Err(trouble);
            }
        };
        let now = self.now();
        if let Some(run) = &mut self.run {
            run.posted = Some((last, now));
        }
        let blocks = (*summary.blocks.start(), last);
        let (transactions, left_out) = (summary.transactions, summary.left_out);
        let posted = Posted { blocks, transactions, left_out, bytes, blobs, gas };
        self.board.posted(&posted);
        tell(posted);
        Ok(())
    }
}

fn blocks_of_a_turn(tip: u64, latest: u64) -> RangeInclusive<u64> {
    let first = tip.saturating_add(1);
    first..=latest.min(tip.saturating_add(MAX_BLOCKS_A_TURN))
}
