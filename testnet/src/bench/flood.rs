//! `bench --rollup-flood`: the same load of one rollup, first alone, then beside another one that offers ten times its quota.
//!
//! The quota is per block, so the flood's rate follows from the blocks a second that the first half was ordered in.

use std::fmt::Write as _;

use ordering_types::Chunk;
use serde::Serialize;

use super::clients::Offered;
use super::output::{Account, Node, latency, nodes, rounded};
use super::{BenchError, ledger_of};
use crate::cli::BenchArgs;
use crate::client::Outcome;
use crate::genesis::{BULK, FLOODED, FLOODED_QUOTA_BYTES};
use crate::load::{Ledger, Percentiles};
use crate::progress::Progress;
use crate::session::Session;
use crate::stages::Up;

/// Times its quota that the flooding rollup offers.
const TIMES_QUOTA: f64 = 10.0;
/// The other rollup's p99 may grow by this factor.
const MAX_GROWTH: f64 = 1.2;

/// What one half of the measurement gave.
#[derive(Clone, Debug, Serialize)]
struct Half {
    offered_tps: f64,
    ordered_tps: f64,
    ordered_ms: Percentiles,
    certified_ms: Percentiles,
    blocks_per_s: f64,
    refused: u64,
    client_cpu_s: f64,
}

impl Half {
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
    /// The normal load alone.
    alone: Half,
    /// The same beside the flood.
    beside: Half,
    /// The flood.
    flood: Half,
    quota_bytes_per_block: u32,
    p99_growth: f64,
    promised_p99_growth: f64,
    nodes: Vec<Node>,
    lost: u64,
    duplicated: u64,
    held: bool,
}

impl Flood {
    /// Measures both halves; the ledger is of everything.
    pub(super) async fn measure(
        args: &BenchArgs,
        session: &Session,
        up: &Up,
        progress: &Progress,
    ) -> Result<(Self, Ledger), BenchError> {
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
        let normal = |name| offered(name, BULK, args.rate, args.seconds);
        progress.say(&format!("offering {} transactions a second alone for {} s", args.rate, args.seconds));
        let (alone, _) = normal("alone").run(session, progress).await?;
        let rate = flood_rate(alone.blocks as f64 / args.seconds as f64, args.tx_bytes);
        progress.say(&format!("the same beside a rollup that offers {rate} a second, ten times its quota"));
        // The flood is there before and after what is measured.
        let beside = normal("beside");
        let flood = offered("flood", FLOODED, rate, args.seconds + 2);
        let (beside_outcome, flood_outcome) =
            tokio::join!(beside.run(session, progress), flood.run(session, progress));
        let ((beside_outcome, used), (flood_outcome, _)) = (beside_outcome?, flood_outcome?);
        let growth = beside_outcome.ordered_ms.p99 / alone.ordered_ms.p99.max(0.01);
        let result = Self {
            alone: Half::new(args.seconds, &alone),
            beside: Half::new(args.seconds, &beside_outcome),
            flood: Half::new(args.seconds + 2, &flood_outcome),
            quota_bytes_per_block: FLOODED_QUOTA_BYTES,
            p99_growth: rounded(growth, 3),
            promised_p99_growth: MAX_GROWTH,
            nodes: nodes(&used),
            lost: alone.unanswered + beside_outcome.unanswered,
            duplicated: 0,
            held: false,
        };
        // The flood's client heard everything to the end, too, but the other one is the one that must not be wronged.
        Ok((result, ledger_of(&beside, session)?))
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
        for (name, half) in
            [("alone", &self.alone), ("beside the flood", &self.beside), ("flood", &self.flood)]
        {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {name:<18} offered {:.0}/s, ordered {:.0}/s, refused {}, {}, {:.1} blocks/s",
                half.offered_tps,
                half.ordered_tps,
                half.refused,
                latency(half.ordered_ms),
                half.blocks_per_s
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
        assert_eq!(flood_rate(20.0, 512), 6_302);
        assert_eq!(flood_rate(0.0, 512), 0);
    }
}
