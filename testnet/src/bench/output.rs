//! The bench's JSON object and its text.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use ordering_types::chain_spec::DataPolicy;
use ordering_types::{RollupId, TxId, merkle};
use serde::Serialize;

use super::dead::Dead;
use super::distance::Distance;
use super::growth::Growth;
use super::measure::{ProcessUse, Used};
use crate::cli::BenchArgs;
use crate::client::Outcome;
use crate::judge::{Difference, FromL1, compare};
use crate::load::{Ledger, Percentiles};
use crate::report::L1Summary;

/// An idle network uses less than this of a core per node.
const MAX_IDLE_SHARE: f64 = 0.05;

/// What was measured on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// Median of append 4 KiB and fdatasync, before the network ran.
    pub(super) fsync_p50_us: u64,
    /// Under the data folder.
    pub(super) filesystem: String,
    /// Validators.
    #[serde(skip)]
    pub(super) nodes: u16,
    /// Cores of the machine.
    pub(super) cores: usize,
}

/// What one process used.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Node {
    cpu_s: f64,
    cpu_share: f64,
    rss_peak_mb: f64,
}

impl Node {
    fn new(used: &ProcessUse, wall: Duration) -> Self {
        Self {
            cpu_s: rounded(used.cpu.as_secs_f64(), 2),
            cpu_share: rounded(used.cpu.as_secs_f64() / wall.as_secs_f64().max(0.001), 4),
            rss_peak_mb: rounded(used.rss_peak as f64 / f64::from(1 << 20), 1),
        }
    }
}

/// The nodes alone.
pub(super) fn nodes(used: &Used) -> Vec<Node> {
    used.nodes().map(|node| Node::new(node, used.wall)).collect()
}

/// Every process, by name.
fn processes(used: &Used) -> BTreeMap<String, Node> {
    used.processes.iter().map(|(role, process)| (role.to_string(), Node::new(process, used.wall))).collect()
}

pub(super) fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

pub(super) fn json(output: &impl Serialize) -> String {
    serde_json::to_string(output).unwrap_or_default()
}

/// An idle network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Idle {
    seconds: f64,
    nodes: Vec<Node>,
    max_cpu_share: f64,
    promised_cpu_share: f64,
    wire_bytes: u64,
    load_average: f64,
    #[serde(flatten)]
    machine: Machine,
}

impl Idle {
    pub(super) fn new(machine: &Machine, used: &Used) -> Self {
        let nodes = nodes(used);
        Self {
            seconds: rounded(used.wall.as_secs_f64(), 2),
            max_cpu_share: nodes.iter().map(|node| node.cpu_share).fold(0.0, f64::max),
            nodes,
            promised_cpu_share: MAX_IDLE_SHARE,
            wire_bytes: used.wire_bytes,
            load_average: used.load_average,
            machine: machine.clone(),
        }
    }

    /// Whether every node is there and idles cheaply.
    pub(super) fn held(&self) -> bool {
        self.nodes.len() == usize::from(self.machine.nodes) && self.max_cpu_share < MAX_IDLE_SHARE
    }

    pub(super) fn text(&self) -> String {
        let shares: Vec<String> =
            self.nodes.iter().map(|node| format!("{:.2} %", node.cpu_share * 100.0)).collect();
        format!(
            "  idle for                   {:.0} s\n  CPU of each node           {}\n  promised                   below {:.0} % of a core\n",
            self.seconds,
            shares.join(", "),
            MAX_IDLE_SHARE * 100.0
        )
    }
}

/// What became of what was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Told ordered, and neither on L1 nor committed to there in its place.
    pub(super) lost: u64,
    /// Told or derived more than once.
    pub(super) duplicated: u64,
}

/// Compares what the client was told with what L1 has.
pub(super) fn account(ledger: &Ledger, from_l1: &FromL1) -> Account {
    let last = ledger.headers.last_key_value().map_or(0, |(height, _)| *height);
    let mut account = Account::default();
    for (rollup, placed) in &ledger.ordered {
        account.duplicated += repeated(placed.iter().map(|(_, id)| *id));
        match (from_l1.ordered.get(rollup), from_l1.commitments.get(rollup)) {
            (None, Some(committed)) => account.lost += uncommitted(placed, committed),
            _ => account.lost += different(*rollup, ledger, from_l1, last),
        }
    }
    for placed in from_l1.ordered.values() {
        account.duplicated += repeated(placed.iter().map(|(_, id)| *id));
    }
    account
}

fn repeated(ids: impl Iterator<Item = TxId>) -> u64 {
    let mut counts: HashMap<TxId, u64> = HashMap::new();
    ids.for_each(|id| *counts.entry(id).or_default() += 1);
    counts.values().map(|count| count - 1).sum()
}

fn uncommitted(placed: &[(u64, TxId)], committed: &[(u64, u32, ordering_types::Digest)]) -> u64 {
    let block = |block: &[(u64, TxId)]| {
        let height = block.first().map_or(0, |(height, _)| *height);
        let ids: Vec<TxId> = block.iter().map(|(_, id)| *id).collect();
        let root = merkle::root(&ids);
        let found = committed.iter().any(|entry| entry.0 == height && entry.2 == root);
        if found { 0 } else { ids.len() as u64 }
    };
    placed.chunk_by(|(a, _), (b, _)| a == b).map(block).sum()
}

fn different(rollup: RollupId, ledger: &Ledger, from_l1: &FromL1, last: u64) -> u64 {
    let only = |all: &std::collections::BTreeMap<RollupId, Vec<(u64, TxId)>>| {
        all.iter().filter(|(id, _)| **id == rollup).map(|(id, placed)| (*id, placed.clone())).collect()
    };
    let differences = compare(&only(&ledger.ordered), &only(&from_l1.ordered), 1..=last);
    let count = |difference: &Difference| match difference {
        Difference::Missing { count, .. } => *count as u64,
        Difference::Order { .. } => 1,
        Difference::Untold { .. } | Difference::Twice { .. } => 0,
    };
    differences.iter().map(count).sum()
}

/// Everything that the object is made of.
pub(super) struct Parts<'a> {
    pub(super) machine: &'a Machine,
    pub(super) args: &'a BenchArgs,
    pub(super) outcome: Outcome,
    pub(super) used: &'a Used,
    pub(super) l1: L1Summary,
    pub(super) account: Account,
    pub(super) policy: Option<DataPolicy>,
    pub(super) distance: Option<Distance>,
    pub(super) trouble: Option<String>,
}

/// A network under load. The names are the interface of `bench --json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Load {
    offered_tps: f64,
    ordered_tps: f64,
    certified_tps: f64,
    ordered_ms: Percentiles,
    certified_ms: Percentiles,
    nodes: Vec<Node>,
    /// CPU time of all nodes by ordered transactions.
    cpu_us_per_tx: f64,
    /// Of each node.
    node_cpu_us_per_tx: Vec<f64>,
    client_cpu_s: f64,
    processes: BTreeMap<String, Node>,
    blocks_per_s: f64,
    wire_bytes: u64,
    l1: L1Summary,
    lost: u64,
    duplicated: u64,
    policy: Option<DataPolicy>,
    tx_bytes: Option<u32>,
    real: bool,
    everywhere: bool,
    seconds: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_node: Option<Dead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_growth: Option<Growth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<Distance>,
    load_average: f64,
    #[serde(flatten)]
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Load {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts { machine, args, outcome, used, l1, account, policy, distance, trouble } = parts;
        let cpu = Duration::from_secs_f64(outcome.client_cpu_s.max(0.0));
        let client = ProcessUse { cpu, rss_peak: outcome.client_rss_peak, ..ProcessUse::default() };
        let mut processes = processes(used);
        processes.insert("client".to_owned(), Node::new(&client, used.wall));
        let counts = outcome.counts;
        // The load lasts `seconds`; a network that needs longer than that to order it is slower than what is offered.
        let span = (args.seconds as f64).max(outcome.ordered_span_s);
        Self {
            offered_tps: rounded(counts.offered as f64 / args.seconds as f64, 1),
            ordered_tps: rounded(counts.ordered as f64 / span, 1),
            certified_tps: rounded(counts.certified as f64 / span, 1),
            ordered_ms: outcome.ordered_ms,
            certified_ms: outcome.certified_ms,
            nodes: nodes(used),
            cpu_us_per_tx: cpu_us_per_tx(used.nodes().map(|node| node.cpu).sum(), counts.ordered),
            node_cpu_us_per_tx: used.nodes().map(|node| cpu_us_per_tx(node.cpu, counts.ordered)).collect(),
            client_cpu_s: rounded(outcome.client_cpu_s, 2),
            processes,
            blocks_per_s: rounded(outcome.blocks as f64 / args.seconds as f64, 1),
            wire_bytes: used.wire_bytes,
            l1,
            lost: account.lost + outcome.unanswered,
            duplicated: account.duplicated,
            policy,
            tx_bytes: (!args.real).then_some(args.tx_bytes),
            real: args.real,
            everywhere: args.duplicates,
            seconds: args.seconds,
            refused: counts.refused,
            dead_node: outcome.outage.zip(args.dead_node).map(|(outage, dead)| Dead::new(dead, outage)),
            memory_growth: Growth::of(used),
            relay: distance,
            load_average: used.load_average,
            machine: machine.clone(),
            trouble,
        }
    }

    /// Whether nothing was lost or duplicated, a dead node cost no more than promised, and memory did not grow. Speed is for the reader to judge.
    pub(super) fn held(&self) -> bool {
        let cheap = self.dead_node.as_ref().is_none_or(Dead::held);
        let steady = self.memory_growth.as_ref().is_none_or(Growth::held);
        self.lost == 0 && self.duplicated == 0 && self.trouble.is_none() && cheap && steady
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<26} {value}");
        };
        row("offered", format!("{:.1}/s for {} s", self.offered_tps, self.seconds));
        row("ordered", format!("{:.1}/s, {}", self.ordered_tps, latency(self.ordered_ms)));
        row("softly confirmed", format!("{:.1}/s, {}", self.certified_tps, latency(self.certified_ms)));
        for (name, used) in &self.processes {
            row(name, format!("{:.1} CPU s, {:.0} MB at most", used.cpu_s, used.rss_peak_mb));
        }
        let each: Vec<String> = self.node_cpu_us_per_tx.iter().map(|us| format!("{us:.1}")).collect();
        row("CPU per tx", format!("{:.1} us in all nodes: {}", self.cpu_us_per_tx, each.join(", ")));
        if let Some(dead) = &self.dead_node {
            dead.rows().into_iter().for_each(|(name, value)| row(name, value));
        }
        if let Some(growth) = &self.memory_growth {
            row("memory of the nodes", growth.text());
        }
        if let Some(relay) = &self.relay {
            row("distance", relay.text());
        }
        row("loopback traffic", format!("{:.1} MB", self.wire_bytes as f64 / 1e6));
        row("batches on L1", format!("{} ({} blobs)", self.l1.batches, self.l1.blobs));
        row("payload bytes per tx", format!("{:.1}", self.l1.bytes_per_tx));
        row("gas per tx", format!("{:.1}", self.l1.gas_per_tx));
        row("lost / duplicated", format!("{} / {}", self.lost, self.duplicated));
        row("data policy", self.policy.map_or("-", policy_name).to_owned());
        row("fsync p50", format!("{} us on {}", self.machine.fsync_p50_us, self.machine.filesystem));
        row("load average", format!("{:.2}", self.load_average));
        if let Some(trouble) = &self.trouble {
            row("TROUBLE", trouble.clone());
        }
        text
    }
}

fn cpu_us_per_tx(cpu: Duration, ordered: u64) -> f64 {
    rounded(cpu.as_secs_f64() * 1e6 / ordered.max(1) as f64, 2)
}

const fn policy_name(policy: DataPolicy) -> &'static str {
    match policy {
        DataPolicy::Blob => "blob",
        DataPolicy::Calldata => "calldata",
        DataPolicy::Committee => "committee",
    }
}

pub(super) fn latency(ms: Percentiles) -> String {
    format!("p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms", ms.p50, ms.p90, ms.p99)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use std::collections::BTreeMap;

    use ordering_types::Digest;

    use super::*;

    fn ids(bytes: &[u8]) -> Vec<TxId> {
        bytes.iter().map(|byte| Digest::new([*byte; 32])).collect()
    }

    fn ledger(rollup: RollupId, placed: &[(u64, u8)]) -> Ledger {
        let ordered = placed.iter().map(|(height, byte)| (*height, Digest::new([*byte; 32]))).collect();
        Ledger { headers: BTreeMap::from([(9, Digest::ZERO)]), ordered: BTreeMap::from([(rollup, ordered)]) }
    }

    #[test]
    fn what_a_transaction_costs() {
        assert!((cpu_us_per_tx(Duration::from_secs(3), 40_000) - 75.0).abs() < 1e-9);
        assert!((cpu_us_per_tx(Duration::ZERO, 0)).abs() < 1e-9);
    }

    #[test]
    fn a_commitment_to_other_transactions_loses_the_block() {
        let rollup = RollupId::new(3);
        let told = ledger(rollup, &[(1, 1), (1, 2), (4, 3)]);
        let mut from_l1 = FromL1::default();
        let good = (1, 2, merkle::root(&ids(&[1, 2])));
        from_l1.commitments.insert(rollup, vec![good, (4, 1, merkle::root(&ids(&[3])))]);
        assert_eq!(account(&told, &from_l1), Account::default());
        from_l1.commitments.insert(rollup, vec![good, (4, 1, merkle::root(&ids(&[9])))]);
        assert_eq!(account(&told, &from_l1), Account { lost: 1, duplicated: 0 });
        from_l1.commitments.insert(rollup, vec![]);
        assert_eq!(account(&told, &from_l1), Account { lost: 3, duplicated: 0 });
    }

    #[test]
    fn missing_and_repeated_transactions_are_counted() {
        let rollup = RollupId::new(1);
        let told = ledger(rollup, &[(1, 1), (2, 2)]);
        let mut from_l1 = FromL1::default();
        assert_eq!(account(&told, &from_l1), Account { lost: 2, duplicated: 0 });
        from_l1.ordered.insert(rollup, vec![(1, ids(&[1])[0]), (2, ids(&[1])[0])]);
        assert_eq!(account(&told, &from_l1), Account { lost: 1, duplicated: 1 });
        let twice = ledger(rollup, &[(1, 1), (2, 1)]);
        from_l1.ordered.insert(rollup, vec![(1, ids(&[1])[0])]);
        assert_eq!(account(&twice, &from_l1).duplicated, 1);
    }
}
