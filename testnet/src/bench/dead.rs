//! What a dead node cost, in the bench's JSON and text.

use serde::Serialize;

use crate::cli::DeadNode;
use crate::load::{Outage, Spread};

/// A dead leader's first turn costs less than this.
const MAX_FIRST_HIT_MS: f64 = 1_000.0;
/// After that, transactions take at most so much longer on average.
const MAX_EXTRA_MEAN_MS: f64 = 50.0;

/// A node that died under load.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dead {
    node: u16,
    after_s: f64,
    #[serde(flatten)]
    outage: Outage,
    promised_first_hit_ms: f64,
    promised_extra_mean_ms: f64,
}

impl Dead {
    pub(super) const fn new(dead: DeadNode, outage: Outage) -> Self {
        Self {
            node: dead.node,
            after_s: dead.after.as_secs_f64(),
            outage,
            promised_first_hit_ms: MAX_FIRST_HIT_MS,
            promised_extra_mean_ms: MAX_EXTRA_MEAN_MS,
        }
    }

    /// Whether it cost no more than promised, and was seen to.
    pub(super) fn held(&self) -> bool {
        let Outage { before, first_hit_ms, dead, extra_mean_ms, .. } = self.outage;
        let seen = before.count > 0 && dead.count > 0;
        seen && first_hit_ms < MAX_FIRST_HIT_MS && extra_mean_ms <= MAX_EXTRA_MEAN_MS
    }

    /// For people.
    pub(super) fn rows(&self) -> [(&'static str, String); 4] {
        let Outage { before, first_hit_ms, longest_pause_ms, dead, extra_mean_ms } = self.outage;
        let spread = |Spread { count, mean, p50, p99 }| {
            format!("mean {mean:.1} ms, p50 {p50:.1} ms, p99 {p99:.1} ms ({count} transactions)")
        };
        [
            ("before the death", spread(before)),
            (
                "first hit",
                format!(
                    "{first_hit_ms:.0} ms without a block (promised: below {MAX_FIRST_HIT_MS} ms); longest pause {longest_pause_ms:.0} ms"
                ),
            ),
            ("while dead, after it", spread(dead)),
            (
                "extra while dead",
                format!("{extra_mean_ms:.1} ms on average (promised: at most {MAX_EXTRA_MEAN_MS} ms)"),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_must_be_seen_and_cheap() {
        let spread = Spread { count: 10, mean: 20.0, p50: 20.0, p99: 30.0 };
        let cheap = Outage {
            before: spread,
            first_hit_ms: 900.0,
            longest_pause_ms: 1_200.0,
            dead: spread,
            extra_mean_ms: 50.0,
        };
        let held = |outage| Dead::new(DeadNode { node: 2, after: std::time::Duration::ZERO }, outage).held();
        assert!(held(cheap));
        assert!(!held(Outage { first_hit_ms: 1_000.0, ..cheap }));
        assert!(!held(Outage { extra_mean_ms: 50.1, ..cheap }));
        assert!(!held(Outage { dead: Spread::default(), ..cheap }));
    }
}
