//! The result of `bench --attack`.

use std::fmt::Write as _;

use serde::Serialize;

use super::probe::Watched;
use super::program::Deeds;
use super::{Aftermath, Attack};
use crate::bench::output::{Account, latency, rounded};
use crate::cli::BenchArgs;
use crate::client::Outcome;
use crate::load::Percentiles;

/// Median latency of honest traffic and the node's memory may grow by this factor.
const MAX_GROWTH: f64 = 2.0;
/// Medians below this are as good as none: a scheduler's tick doubles them.
const FLOOR_MS: f64 = 1.0;

fn megabytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / f64::from(1 << 20), 1)
}

/// What one phase gave.
#[derive(Clone, Debug, Serialize)]
struct Phase {
    offered_tps: f64,
    ordered_tps: f64,
    ordered_ms: Percentiles,
    refused: u64,
    rpc_p50_ms: f64,
    metrics_p50_ms: f64,
    unanswered: u64,
    /// Of the attacked node.
    rss_peak_mb: f64,
    open_files: usize,
    node_cpu_s: f64,
}

impl Phase {
    fn new(seconds: u64, outcome: &Outcome, seen: &Watched) -> Self {
        let seconds = seconds as f64;
        Self {
            offered_tps: rounded(outcome.counts.offered as f64 / seconds, 1),
            ordered_tps: rounded(outcome.counts.ordered as f64 / seconds.max(outcome.ordered_span_s), 1),
            ordered_ms: outcome.ordered_ms,
            refused: outcome.counts.refused,
            rpc_p50_ms: rounded(seen.rpc_p50_ms, 3),
            metrics_p50_ms: rounded(seen.metrics_p50_ms, 3),
            unanswered: seen.unanswered,
            rss_peak_mb: megabytes(seen.rss_peak),
            open_files: seen.files,
            node_cpu_s: rounded(seen.cpu.as_secs_f64(), 2),
        }
    }
}

/// The names are the interface of `bench --attack --json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    attack: &'static str,
    rate: u32,
    seconds: u64,
    calm: Phase,
    attacked: Phase,
    attacker: Deeds,
    /// Attacked / calm.
    p50_growth: f64,
    rpc_p50_growth: f64,
    metrics_p50_growth: f64,
    memory_growth: f64,
    promised_growth: f64,
    /// Seconds after the attack until memory and open files were as before; none if they never were.
    released_after_s: Option<f64>,
    rss_after_mb: f64,
    open_files_after: usize,
    lost: u64,
    duplicated: u64,
}

impl Report {
    pub(super) fn new(
        attack: Attack,
        args: &BenchArgs,
        [(calm, calm_seen), (attacked, attacked_seen)]: [(Outcome, Watched); 2],
        attacker: Deeds,
        aftermath: &Aftermath,
    ) -> Self {
        let last = aftermath.last;
        let growth = |calm: f64, attacked: f64| rounded(attacked.max(FLOOR_MS) / calm.max(FLOOR_MS), 3);
        Self {
            attack: match attack {
                Attack::Initials => "initials",
                Attack::Frames => "frames",
                Attack::SlowLoris => "slow-loris",
                Attack::All => "all",
            },
            rate: args.rate,
            seconds: args.seconds,
            p50_growth: growth(calm.ordered_ms.p50, attacked.ordered_ms.p50),
            rpc_p50_growth: growth(calm_seen.rpc_p50_ms, attacked_seen.rpc_p50_ms),
            metrics_p50_growth: growth(calm_seen.metrics_p50_ms, attacked_seen.metrics_p50_ms),
            memory_growth: rounded(attacked_seen.rss_peak as f64 / calm_seen.rss_peak.max(1) as f64, 3),
            calm: Phase::new(args.seconds, &calm, &calm_seen),
            attacked: Phase::new(args.seconds, &attacked, &attacked_seen),
            attacker,
            promised_growth: MAX_GROWTH,
            released_after_s: aftermath.released.map(|after| rounded(after.as_secs_f64(), 1)),
            rss_after_mb: last.map_or(0.0, |look| megabytes(look.rss)),
            open_files_after: last.map_or(0, |look| look.files),
            lost: calm.unanswered + attacked.unanswered,
            duplicated: 0,
        }
    }

    /// With what L1 says.
    pub(crate) fn judged(self, account: Account) -> Self {
        Self { lost: self.lost + account.lost, duplicated: account.duplicated, ..self }
    }

    /// Whether honest traffic hardly noticed, and nothing is left of the attack.
    pub(crate) fn held(&self) -> bool {
        let growths = [self.p50_growth, self.rpc_p50_growth, self.metrics_p50_growth, self.memory_growth];
        growths.iter().all(|growth| *growth <= MAX_GROWTH)
            && self.released_after_s.is_some()
            && self.attacked.unanswered <= self.calm.unanswered
            && self.lost == 0
            && self.duplicated == 0
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, phase) in [("in peace", &self.calm), ("under attack", &self.attacked)] {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {name:<13} ordered {:.0}/s of {:.0}/s, {}; RPC p50 {:.1} ms, metrics p50 {:.1} ms, unanswered {}; \
                 memory {:.0} MB, {} files, CPU {:.1} s",
                phase.ordered_tps,
                phase.offered_tps,
                latency(phase.ordered_ms),
                phase.rpc_p50_ms,
                phase.metrics_p50_ms,
                phase.unanswered,
                phase.rss_peak_mb,
                phase.open_files,
                phase.node_cpu_s,
            );
        }
        let a = &self.attacker;
        let _ = writeln!(
            text,
            "  attacker      {} initials ({} answered), {} handshakes ({} refused), {} malformed, {} slow clients, CPU {:.1} s\n  \
             growth        p50 {:.2}, RPC {:.2}, metrics {:.2}, memory {:.2} (promised: at most {MAX_GROWTH})\n  \
             released      {}: {:.0} MB, {} files\n  lost / duplicated  {} / {}",
            a.initials,
            a.initials_answered,
            a.handshakes_completed,
            a.handshakes_refused,
            a.malformed,
            a.slow_clients,
            a.cpu_s,
            self.p50_growth,
            self.rpc_p50_growth,
            self.metrics_p50_growth,
            self.memory_growth,
            self.released_after_s.map_or("never".to_owned(), |after| format!("after {after} s")),
            self.rss_after_mb,
            self.open_files_after,
            self.lost,
            self.duplicated,
        );
        text
    }
}
