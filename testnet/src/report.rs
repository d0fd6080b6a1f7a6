//! The summary of a run: a table for people, one JSON object for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::chaos::Outcome;
use crate::load::{Counts, Percentiles};

/// The table has so many epochs, the newest; JSON has all.
const EPOCHS_SHOWN: usize = 8;

/// One promise and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was promised.
    pub promise: String,
    /// Whether it held.
    pub held: bool,
    /// What was found.
    pub found: String,
}

impl Check {
    /// A promise that held, or not.
    pub fn new(promise: &str, held: bool, found: impl Into<String>) -> Self {
        Self { promise: promise.to_owned(), held, found: found.into() }
    }
}

/// What L1 has of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct L1Summary {
    /// Batches recorded.
    pub batches: u64,
    /// Blobs paid for.
    pub blobs: u64,
    /// Bytes of the batches' payloads, compressed, per transaction.
    pub bytes_per_tx: f64,
    /// Of what a batch's blobs could carry, so much is payload; median of the batches.
    pub blob_fill: f64,
    /// Share of the batchers' gas that was spent on transactions without effect.
    pub wasted_gas: f64,
    /// Blob bytes paid for, per transaction: a blob is paid for whole. The same number is the blob gas.
    pub blob_bytes_per_tx: f64,
    /// Execution gas of all posts, per transaction.
    pub gas_per_tx: f64,
    /// Execution gas of a post, mean.
    pub gas_per_batch: f64,
    /// Transactions that L1 carries or commits to.
    pub transactions: u64,
}

/// The result of `--for`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Whether every promise held.
    pub ok: bool,
    /// The promises that did not.
    pub broken: Vec<String>,
    /// Every promise.
    pub checks: Vec<Check>,
    /// Validators at the end.
    pub nodes: u16,
    /// Members of each epoch's committee, as the nodes told.
    pub committees: BTreeMap<u64, Vec<u16>>,
    /// Time of load, seconds.
    pub seconds: f64,
    /// What clients saw.
    pub counts: Counts,
    /// Told ordered per second.
    pub ordered_tps: f64,
    /// From schedule to ordered.
    pub ordered_ms: Percentiles,
    /// From schedule to soft confirmation.
    pub certified_ms: Percentiles,
    /// Newest height.
    pub height: u64,
    /// L1.
    pub l1: L1Summary,
    /// What was broken on purpose, and how it healed.
    pub chaos: Vec<Outcome>,
}

impl Summary {
    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<30} {value}");
        };
        row("validators", self.nodes.to_string());
        row("load", format!("{:.0} s, {} transactions offered", self.seconds, self.counts.offered));
        row("told ordered", format!("{} ({:.1}/s)", self.counts.ordered, self.ordered_tps));
        row("softly confirmed", self.counts.certified.to_string());
        row("refused / sent again", format!("{} / {}", self.counts.refused, self.counts.resent));
        row("latency to ordered", latency(self.ordered_ms));
        row("latency to confirmation", latency(self.certified_ms));
        if self.committees.len() > 1 {
            row("committees", shown(&self.committees));
        }
        row("height", self.height.to_string());
        row("batches on L1", format!("{} ({} blobs)", self.l1.batches, self.l1.blobs));
        row("gas per post", format!("{:.0}", self.l1.gas_per_batch));
        row("gas per transaction", format!("{:.1}", self.l1.gas_per_tx));
        row("payload bytes per transaction", format!("{:.1}", self.l1.bytes_per_tx));
        row("blobs filled to", format!("{:.1} % (median of batches)", self.l1.blob_fill * 100.0));
        row("gas without effect", format!("{:.2} %", self.l1.wasted_gas * 100.0));
        row(
            "blob bytes per transaction",
            format!("{:.0} (blobs are paid for whole)", self.l1.blob_bytes_per_tx),
        );
        row("transactions on L1", self.l1.transactions.to_string());
        for outcome in &self.chaos {
            let mark = if outcome.held { "held  " } else { "BROKEN" };
            let _ = writeln!(text, "  {mark} {outcome}");
        }
        for check in &self.checks {
            let mark = if check.held { "held  " } else { "BROKEN" };
            let _ = writeln!(text, "  {mark} {}: {}", check.promise, check.found);
        }
        text
    }
}

/// The newest epochs and their members.
fn shown(committees: &BTreeMap<u64, Vec<u16>>) -> String {
    let one = |(epoch, members): (&u64, &Vec<u16>)| {
        let members: Vec<String> = members.iter().map(ToString::to_string).collect();
        format!("{epoch}: {}", members.join(","))
    };
    let mut newest: Vec<String> = committees.iter().rev().take(EPOCHS_SHOWN).map(one).collect();
    newest.reverse();
    if committees.len() > EPOCHS_SHOWN {
        newest.insert(0, "…".to_owned());
    }
    newest.join("  ")
}

fn latency(ms: Percentiles) -> String {
    format!("p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms", ms.p50, ms.p90, ms.p99)
}
