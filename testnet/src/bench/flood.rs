//! `bench --rollup-flood`: the same load of one rollup, alone and beside another one that offers ten times its quota.
//!
//! A machine's moods move a p99 by more than what is judged here. So the load runs alone and beside the flood by turns, and the medians of
//! the turns are compared. The quota is per block, so the flood's rate follows from the blocks a second just before it.

use std::fmt::Write as _;

use ordering_types::Chunk;
use serde::Serialize;

use super::clients::Offered;
use super::measure::Used;
use super::output::{Account, Node, latency, nodes, rounded};
use super::{BenchError, ledger_of};
use crate::cli::BenchArgs;
use crate::client::Outcome;
use crate::genesis::{BULK, FLOODED, FLOODED_QUOTA_BYTES};
use crate::load::{Ledger, Percentiles};
use crate::progress::Progress;
use crate::session::Session;
use crate::stages::Up;

/// Turns of each kind.
const ROUNDS: u64 = 3;
/// A turn takes no less; below, hardly a transaction in a hundred is slow.
const FEWEST_SECONDS: u64 = 4;
/// Times its quota that the flooding rollup offers.
const TIMES_QUOTA: f64 = 10.0;
/// The other rollup's p99 may grow by this factor.
const MAX_GROWTH: f64 = 1.2;

/// What one client measured in one turn.
#[derive(Clone, Debug, Serialize)]
struct Turn {
    offered_tps: f64,
    ordered_tps: f64,
    ordered_ms: Percentiles,
    certified_ms: Percentiles,
    blocks_per_s: f64,
    refused: u64,
    client_cpu_s: f64,
}

impl Turn {
    fn new(seconds: u64, outcome: &Outcome) -> Self {
        let seconds = seconds as f64;
        Self {
            offered_tps: rounded(outcome.counts.offered as f64 / seconds, 1),
            ordered_tps: rounded(outcome.counts.ordered as f64 / seconds.max(outcome.ordered_span_s), 1),
            ordered_ms: outcome.ordered_ms,
            certified_ms: outcome.certified_ms,
            blocks_per_s: rounded(outcome.blocks as f64 / seconds, 1),
            refused: outcome.counts.refused,
            client_cpu_s: rounded(outcome.client_cpu_s, 2),
        }
    }
}

/// The result. The names are the interface of `bench --rollup-flood --json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Flood {
    /// The normal load alone, turn by turn.
    alone: Vec<Turn>,
    /// The same beside the flood.
    beside: Vec<Turn>,
    /// The flood.
    flood: Vec<Turn>,
    quota_bytes_per_block: u32,
    /// Median of the turns beside the flood over that of those alone.
    p99_growth: f64,
    promised_p99_growth: f64,
    nodes: Vec<Node>,
    lost: u64,
    duplicated: u64,
    held: bool,
}

impl Flood {
    /// Measures all turns; the ledger is of everything.
    pub(super) async fn measure(
        args: &BenchArgs,
        session: &Session,
        up: &Up,
        progress: &Progress,
    ) -> Result<(Self, Ledger), BenchError> {
        let seconds = (args.seconds / ROUNDS).max(FEWEST_SECONDS);
        let offered = |name, rollup, rate, seconds| Offered {
            name,
            endpoints: &up.endpoints,
            rollup,
            rate,
            seconds,
            tx_bytes: args.tx_bytes,
            everywhere: false,
            dead: None,
        };
        let (mut alone, mut beside, mut flood) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lost, mut used) = (0, Used::default());
        for round in 1..=ROUNDS {
            let normal = offered("normal", BULK, args.rate, seconds);
            progress.say(&format!("turn {round} of {ROUNDS}: {} transactions a second, alone", args.rate));
            let (before, _) = normal.run(session, Some(progress)).await?;
            let rate = flood_rate(before.blocks as f64 / seconds as f64, args.tx_bytes);
            progress
                .say(&format!("the same beside a rollup that offers {rate} a second, ten times its quota"));
            // The flood is there before and after what is measured.
            let flooding = offered("flood", FLOODED, rate, seconds + 2);
            let (normal, flooding) =
                tokio::join!(normal.run(session, Some(progress)), flooding.run(session, None));
            let ((during, of_round), (flooded, _)) = (normal?, flooding?);
            lost += before.unanswered + during.unanswered;
            used = of_round;
            alone.push(Turn::new(seconds, &before));
            beside.push(Turn::new(seconds, &during));
            flood.push(Turn::new(seconds + 2, &flooded));
        }
        let growth = median_p99(&beside) / median_p99(&alone).max(0.01);
        let result = Self {
            alone,
            beside,
            flood,
            quota_bytes_per_block: FLOODED_QUOTA_BYTES,
            p99_growth: rounded(growth, 3),
            promised_p99_growth: MAX_GROWTH,
            nodes: nodes(&used),
            lost,
            duplicated: 0,
            held: false,
        };
        // The flood's client heard everything to the end, too, but the other one is the one that must not be wronged.
        Ok((result, ledger_of(&offered("normal", BULK, args.rate, seconds), session)?))
    }

    /// With what L1 says.
    pub(super) fn judged(self, account: Account) -> Self {
        let (lost, duplicated) = (self.lost + account.lost, account.duplicated);
        let held = self.p99_growth <= MAX_GROWTH && lost == 0 && duplicated == 0;
        Self { lost, duplicated, held, ..self }
    }

    /// Whether the other rollup hardly noticed.
    pub(super) const fn held(&self) -> bool {
        self.held
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let kinds = [("alone", &self.alone), ("beside the flood", &self.beside), ("flood", &self.flood)];
        for (name, turn) in kinds.into_iter().flat_map(|(name, turns)| turns.iter().map(move |t| (name, t))) {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {name:<18} offered {:.0}/s, ordered {:.0}/s, refused {}, {}, {:.1} blocks/s",
                turn.offered_tps,
                turn.ordered_tps,
                turn.refused,
                latency(turn.ordered_ms),
                turn.blocks_per_s
            );
        }
        let _ = writeln!(
            text,
            "  p99 beside / alone {:.3} (promised: at most {MAX_GROWTH})\n  lost / duplicated  {} / {}\n  verdict            {}",
            self.p99_growth,
            self.lost,
            self.duplicated,
            if self.held { "held" } else { "BROKEN" }
        );
        text
    }
}

fn median_p99(turns: &[Turn]) -> f64 {
    let mut all: Vec<f64> = turns.iter().map(|turn| turn.ordered_ms.p99).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Ten times what the quota allows at this speed, in transactions a second.
fn flood_rate(blocks_per_s: f64, tx_bytes: u32) -> u32 {
    let cost = Chunk::cost(tx_bytes as usize) as f64;
    // A float becomes the nearest integer of the range.
    (TIMES_QUOTA * f64::from(FLOODED_QUOTA_BYTES) * blocks_per_s / cost).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flood_is_ten_times_the_quota() {
        assert_eq!(flood_rate(20.0, 512), 1_576);
        assert_eq!(flood_rate(0.0, 512), 0);
    }
}
