//! How the network healed, from what clients, nodes and L1 saw. Pure.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A dead node of a committee that keeps its quorum costs less than this.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(1);
/// A node started again votes within this time.
pub(super) const MAX_REJOIN: Duration = Duration::from_secs(10);
/// L1 slots that may pass with a signed batch waiting.
const MAX_MISSED_SLOTS: u64 = 2;

/// One measured effect of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The step, as in the plan.
    pub step: String,
    /// What was measured.
    pub what: String,
    /// The measure; `None` if it never happened.
    pub measured: Option<f64>,
    /// Unit of `measured` and `limit`.
    pub unit: String,
    /// What the design promises, where it promises something.
    pub limit: Option<f64>,
    /// Whether the promise held.
    pub held: bool,
}

impl Outcome {
    /// A duration with a promise.
    pub fn within(step: &str, what: &str, measured: Option<Duration>, limit: Duration) -> Self {
        Self {
            step: step.to_owned(),
            what: what.to_owned(),
            measured: measured.map(millis),
            unit: "ms".to_owned(),
            limit: Some(millis(limit)),
            held: measured.is_some_and(|measured| measured < limit),
        }
    }

    /// A duration that only must come to an end.
    pub fn happened(step: &str, what: &str, measured: Option<Duration>) -> Self {
        Self {
            step: step.to_owned(),
            what: what.to_owned(),
            measured: measured.map(millis),
            unit: "ms".to_owned(),
            limit: None,
            held: measured.is_some(),
        }
    }

    /// Slots missed; promised only where a batcher was killed and another one was left.
    pub fn slots(step: &str, measured: Option<u64>, promised: bool) -> Self {
        Self {
            step: step.to_owned(),
            what: "L1 slots that passed with a signed batch waiting:".to_owned(),
            measured: measured.map(|slots| slots as f64),
            unit: "slots".to_owned(),
            limit: promised.then_some(MAX_MISSED_SLOTS as f64),
            held: !promised || measured.is_some_and(|slots| slots <= MAX_MISSED_SLOTS),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let measured =
            self.measured.map_or_else(|| "never".to_owned(), |value| format!("{value:.0} {}", self.unit));
        write!(f, "{}: {} {measured}", self.step, self.what)?;
        match self.limit {
            Some(limit) => write!(f, " (promised: {limit:.0} {})", self.unit),
            None => Ok(()),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

/// When clients were told of ordered transactions.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    receipts: Vec<Instant>,
}

impl Timeline {
    /// From receipts in order.
    pub const fn new(receipts: Vec<Instant>) -> Self {
        Self { receipts }
    }

    /// The longest time without a receipt that touches `[from, to]`. What was quiet before `from` counts only from
    /// the last receipt before it.
    pub fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let before = self.receipts.iter().rev().find(|at| **at <= from).copied().unwrap_or(from);
        let within = self.receipts.iter().copied().filter(|at| *at > from && *at < to);
        let (last, longest) = within
            .fold((before, Duration::ZERO), |(last, longest), at| (at, longest.max(at.duration_since(last))));
        longest.max(to.saturating_duration_since(last))
    }

    /// Time from `from` to the next receipt.
    pub fn resumed_after(&self, from: Instant) -> Option<Duration> {
        self.receipts.iter().find(|at| **at > from).map(|at| at.duration_since(from))
    }
}

/// Slots that passed with a signed batch waiting, the worst of the batches that waited in blocks `from` to `to`. A batch
/// signed during slot s can be in block s + 1 at the earliest: that misses nothing. `batches`: (L1 block when first
/// seen signed, L1 block that carries it). `None` if none was recorded.
pub(super) fn missed_slots(batches: &[(u64, u64)], from: u64, to: u64) -> Option<u64> {
    let waited = batches.iter().filter(|(sealed, recorded)| *recorded > from && *sealed < to);
    waited.map(|(sealed, recorded)| (*recorded).min(to).saturating_sub((*sealed).max(from) + 1)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(start: Instant, millis: &[u64]) -> Timeline {
        Timeline::new(millis.iter().map(|at| start + Duration::from_millis(*at)).collect())
    }

    #[test]
    fn the_longest_pause_counts_its_part_before_the_kill_and_an_end_without_receipts() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let timeline = timeline(start, &[0, 100, 900, 1_000, 1_100]);
        assert_eq!(timeline.longest_pause(at(150), at(1_150)), Duration::from_millis(800));
        assert_eq!(timeline.longest_pause(at(950), at(1_150)), Duration::from_millis(100));
        assert_eq!(timeline.longest_pause(at(950), at(3_000)), Duration::from_millis(1_900));
        assert_eq!(timeline.resumed_after(at(100)), Some(Duration::from_millis(800)));
        assert_eq!(timeline.resumed_after(at(1_100)), None);
        assert_eq!(Timeline::default().longest_pause(at(0), at(500)), Duration::from_millis(500));
    }

    #[test]
    fn slots_are_missed_only_while_a_signed_batch_waits() {
        // Signed in slot 10, in block 11: nothing missed. Signed in 12, in block 15: 13 and 14 missed.
        assert_eq!(missed_slots(&[(10, 11), (12, 15)], 9, 99), Some(2));
        // The kill was in slot 13: only 14 was missed because of it.
        assert_eq!(missed_slots(&[(10, 11), (12, 15)], 13, 99), Some(1));
        assert_eq!(missed_slots(&[(10, 11)], 11, 99), None);
        // What happens after the next step is that step's.
        assert_eq!(missed_slots(&[(10, 11), (20, 30)], 9, 15), Some(0));
        assert_eq!(missed_slots(&[(12, 30)], 9, 15), Some(2));
    }

    #[test]
    fn a_promise_that_never_came_true_is_broken() {
        assert!(!Outcome::within("kill", "pause", None, MAX_PAUSE).held);
        assert!(!Outcome::within("kill", "pause", Some(MAX_PAUSE), MAX_PAUSE).held);
        assert!(Outcome::within("kill", "pause", Some(Duration::from_millis(999)), MAX_PAUSE).held);
        assert!(!Outcome::slots("kill", Some(3), true).held && Outcome::slots("kill", Some(2), true).held);
        assert!(!Outcome::slots("kill", None, true).held && Outcome::slots("kill", Some(30), false).held);
        assert!(!Outcome::happened("restart", "resumed", None).held);
    }
}
