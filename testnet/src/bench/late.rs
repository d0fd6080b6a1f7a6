//! `bench --late-node`: one node is away while the others order, comes back with an empty disk, and has to catch up with a network that
//! goes on ordering.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::BenchError;
use super::clients::Offered;
use super::measure::Used;
use super::output::{latency, rounded};
use crate::cli::BenchArgs;
use crate::client::Outcome;
use crate::genesis::{self, ALPHA, BULK};
use crate::load::Percentiles;
use crate::network::Condition;
use crate::node_api::NodeApi;
use crate::procfs::Usage;
use crate::progress::Progress;
use crate::role::Role;
use crate::session::Session;
use crate::stages::Up;

/// While the node is away, the load comes in pieces of so many seconds; the last one is what the network does without it.
const PIECE_SECONDS: u64 = 30;
/// How often the node is asked where it is.
const POLL: Duration = Duration::from_millis(100);

/// The result. The names are the interface of `bench --late-node --json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Late {
    /// Which node.
    node: u16,
    offered_tps: u32,
    /// How far the others were ahead when it came back.
    blocks_ahead: u64,
    /// Blocks that it left out, going on from a checkpoint.
    blocks_skipped: u64,
    /// Blocks that it replayed before it voted.
    blocks_replayed: u64,
    /// From its start until it was asked for votes again; none if it did not come so far.
    seconds_to_vote: Option<f64>,
    /// And until it went on from a checkpoint, if it did.
    seconds_to_checkpoint: Option<f64>,
    replayed_blocks_per_s: f64,
    /// Blocks a second of the others meanwhile.
    network_blocks_per_s: f64,
    rss_peak_mb: f64,
    cpu_s: f64,
    /// What clients of the others saw before it came back, and while it caught up.
    ordered_ms_before: Percentiles,
    ordered_ms_during: Percentiles,
    /// Transactions of the last piece and of the catching up that were never told ordered.
    lost: u64,
}

/// What was seen of the node while it caught up.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    checkpoint: Option<(u64, Duration)>,
    voting: Option<(u64, Duration)>,
    usage: Usage,
}

impl Late {
    /// Runs it all.
    pub(super) async fn measure(
        args: &BenchArgs,
        blocks: u64,
        session: &Session,
        up: &Up,
        progress: &Progress,
    ) -> Result<Self, BenchError> {
        let node = args.nodes;
        let role = Role::Node(node);
        session.network.lock().await.kill(role).await?;
        genesis::empty_disk(&session.folder, node).await?;
        let others = up.endpoints.get(..usize::from(node) - 1).unwrap_or_default();
        let apis: Vec<NodeApi> = (1..node).map(|number| NodeApi::new(session.ports, number)).collect();
        progress
            .say(&format!("node {node} is away and its disk is emptied; the others order {blocks} blocks"));
        let offered = |name, seconds| Offered {
            name,
            endpoints: others,
            rollup: if args.real { ALPHA } else { BULK },
            rate: args.rate,
            seconds,
            tx_bytes: args.tx_bytes,
            everywhere: false,
            dead: None,
        };
        let before = loop {
            let (outcome, _) = offered("before", PIECE_SECONDS).run(session, Some(progress)).await?;
            let height = height(&apis).await;
            progress.say(&format!("height {height}, p50 {} ms", outcome.ordered_ms.p50));
            if height >= blocks {
                break outcome;
            }
        };
        let ahead = height(&apis).await;
        progress.say(&format!("node {node} starts with an empty disk, {ahead} blocks behind"));
        let during = offered("during", args.seconds);
        session.network.lock().await.restart(role).await?;
        let began = Instant::now();
        let (ran, seen) =
            tokio::join!(during.run(session, Some(progress)), watch(session, node, began, args.seconds));
        let (during, used) = ran?;
        Ok(Self::new((args, ahead), (&before, &during), &used, seen))
    }

    fn new(
        (args, ahead): (&BenchArgs, u64),
        (before, during): (&Outcome, &Outcome),
        used: &Used,
        seen: Seen,
    ) -> Self {
        let skipped = seen.checkpoint.map_or(0, |(height, _)| height);
        let replayed = seen.voting.map_or(0, |(height, _)| height.saturating_sub(skipped));
        let seconds = |at: Option<(u64, Duration)>| at.map(|(_, at)| rounded(at.as_secs_f64(), 2));
        let replaying = seen.voting.map_or(0.0, |(_, at)| {
            at.saturating_sub(seen.checkpoint.map_or(Duration::ZERO, |(_, at)| at)).as_secs_f64()
        });
        Self {
            node: args.nodes,
            offered_tps: args.rate,
            blocks_ahead: ahead,
            blocks_skipped: skipped,
            blocks_replayed: replayed,
            seconds_to_vote: seconds(seen.voting),
            seconds_to_checkpoint: seconds(seen.checkpoint),
            replayed_blocks_per_s: rounded(replayed as f64 / replaying.max(0.01), 1),
            network_blocks_per_s: rounded(during.blocks as f64 / used.wall.as_secs_f64().max(0.01), 1),
            rss_peak_mb: rounded(seen.usage.rss_peak as f64 / f64::from(1 << 20), 1),
            cpu_s: rounded(seen.usage.cpu.as_secs_f64(), 2),
            ordered_ms_before: before.ordered_ms,
            ordered_ms_during: during.ordered_ms,
            lost: before.unanswered + during.unanswered,
        }
    }

    /// Whether it caught up, and nobody else lost anything.
    pub(super) const fn held(&self) -> bool {
        self.seconds_to_vote.is_some() && self.lost == 0
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let time =
            |seconds: Option<f64>| seconds.map_or("never".to_owned(), |seconds| format!("{seconds} s"));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  node {}             {} blocks behind with an empty disk, others at {} tx/s and {} blocks/s\n  \
             checkpoint after   {}, {} blocks left out\n  \
             votes after        {}, {} blocks replayed ({} blocks/s)\n  \
             its peak memory    {} MB, CPU {} s\n  \
             others, before     {}\n  \
             others, during     {}\n  \
             lost               {}",
            self.node,
            self.blocks_ahead,
            self.offered_tps,
            self.network_blocks_per_s,
            time(self.seconds_to_checkpoint),
            self.blocks_skipped,
            time(self.seconds_to_vote),
            self.blocks_replayed,
            self.replayed_blocks_per_s,
            self.rss_peak_mb,
            self.cpu_s,
            latency(self.ordered_ms_before),
            latency(self.ordered_ms_during),
            self.lost
        );
        text
    }
}

async fn height(apis: &[NodeApi]) -> u64 {
    let statuses = futures::future::join_all(apis.iter().map(NodeApi::status)).await;
    statuses.iter().map(|status| status.height).max().unwrap_or_default()
}

/// Asks the node where it is until it votes, or has had its time.
async fn watch(session: &Session, node: u16, began: Instant, seconds: u64) -> Seen {
    let api = NodeApi::new(session.ports, node);
    let mut seen = Seen::default();
    while seen.voting.is_none() && began.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(POLL).await;
        let usage = match session.network.lock().await.conditions().get(&Role::Node(node)) {
            Some(Condition::Running(id)) => id.usage(),
            _ => return seen,
        };
        seen.usage = usage.unwrap_or(seen.usage);
        let Some(health) = api.health().await else { continue };
        let number = |name: &str| health.get(name).and_then(Value::as_u64);
        let height = number("height").unwrap_or_default();
        if let (None, Some(checkpoint)) = (seen.checkpoint, number("checkpoint")) {
            seen.checkpoint = Some((checkpoint, began.elapsed()));
        }
        if height > 0 && health.get("voting").and_then(Value::as_bool) == Some(true) {
            seen.voting = Some((height, began.elapsed()));
        }
    }
    seen
}
