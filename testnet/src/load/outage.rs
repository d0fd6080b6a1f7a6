//! What the end of one node costs clients of the others. Pure.
//!
//! ```text
//!   ──── before ────▶│ dead ◀─ first hit: the longest pause that begins soon ─▶│──── while dead ────▶ end of the load
//! ```

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The first hit is the longest pause that begins within this time: with any number of leaders taking turns at the pace of a
/// loaded network, the dead one's turn has come by then.
const FIRST_HIT_WITHIN: Duration = Duration::from_secs(2);

/// One ordered transaction: when it was due, and how long after that it was told ordered.
pub type Sample = (Instant, Duration);

/// Latencies of some transactions, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// On average.
    pub mean: f64,
    /// Half are faster.
    pub p50: f64,
    /// All but one of a hundred are faster.
    pub p99: f64,
}

impl Spread {
    fn of(latencies: impl Iterator<Item = Duration>) -> Self {
        let mut all: Vec<Duration> = latencies.collect();
        all.sort_unstable();
        let at = |percent: usize| all.get(all.len() * percent / 100).copied().map(millis).unwrap_or_default();
        let sum: Duration = all.iter().sum();
        let count = all.len() as u64;
        Self { count, mean: rounded(sum.as_secs_f64() * 1e3 / count.max(1) as f64), p50: at(50), p99: at(99) }
    }
}

/// What it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// What was ordered before it died.
    pub before: Spread,
    /// The longest time without a block that begins soon after.
    pub first_hit_ms: f64,
    /// The longest time without a block until the end of the load.
    pub longest_pause_ms: f64,
    /// What was due after the first hit.
    pub dead: Spread,
    /// Mean latency then, less the mean before.
    pub extra_mean_ms: f64,
}

impl Outage {
    /// From what clients saw: `receipts` in order, the death, and the end of the load.
    pub fn of(
        samples: &[Sample],
        receipts: impl Iterator<Item = Instant>,
        died: Instant,
        ended: Instant,
    ) -> Self {
        // The end counts as a receipt, else a network that stops for good would have no pause.
        let mut moments: Vec<Instant> = receipts.filter(|at| *at < ended).collect();
        moments.push(ended);
        let pauses = moments.iter().zip(moments.iter().skip(1)).filter(|(_, until)| **until > died);
        let length = |(from, until): &(&Instant, &Instant)| until.duration_since(**from);
        let soon = pauses.clone().filter(|(from, _)| **from < died + FIRST_HIT_WITHIN);
        let first = soon.max_by_key(length);
        let longest = pauses.map(|pause| length(&pause)).max().unwrap_or_default();
        let over = first.map_or(ended, |(_, until)| *until);
        let before = samples.iter().filter(|(due, latency)| *due + *latency <= died);
        let after = samples.iter().filter(|(due, _)| *due >= over);
        let (before, dead) = (before.map(|(_, latency)| *latency), after.map(|(_, latency)| *latency));
        let (before, dead) = (Spread::of(before), Spread::of(dead));
        Self {
            before,
            first_hit_ms: first.map(|pause| millis(length(&pause))).unwrap_or_default(),
            longest_pause_ms: millis(longest),
            dead,
            extra_mean_ms: rounded(dead.mean - before.mean),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3)
}

fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A block every 10 ms; those between 1,000 and 1,500 ms and between 5,000 and 5,300 ms do not come.
    fn blocks(start: Instant) -> Vec<Instant> {
        let there = |ms: &u32| !(1_000..1_500).contains(ms) && !(5_000..5_300).contains(ms);
        (0..=1_000).map(|i| i * 10).filter(there).map(|ms| start + MS * ms).collect()
    }

    /// A transaction due every 10 ms, 5 ms before its block would come; it gets the next one.
    fn samples(start: Instant, blocks: &[Instant]) -> Vec<Sample> {
        let due = (0..1_000).map(|i| start + MS * (i * 10 + 5));
        let sample = |due: Instant| Some((due, blocks.iter().find(|at| **at >= due)?.duration_since(due)));
        due.filter_map(sample).collect()
    }

    #[test]
    fn a_death_is_one_hit_and_what_it_costs_later() {
        let start = Instant::now();
        let blocks = blocks(start);
        let outage = Outage::of(
            &samples(start, &blocks),
            blocks.iter().copied(),
            start + MS * 995,
            start + MS * 10_000,
        );
        assert_eq!(outage.before, Spread { count: 99, mean: 5.0, p50: 5.0, p99: 5.0 });
        assert!((outage.first_hit_ms - 510.0).abs() < 1e-6 && (outage.longest_pause_ms - 510.0).abs() < 1e-6);
        // Due from 1,505 ms on: 850, of which 31 waited up to 305 ms for the block at 5,300 ms.
        assert_eq!((outage.dead.count, outage.dead.p50), (850, 5.0));
        let extra = (0..31).map(|i| f64::from(i * 10)).sum::<f64>() / 850.0;
        assert!((outage.extra_mean_ms - extra).abs() < 0.01, "{outage:?} {extra}");
    }

    #[test]
    fn a_later_pause_is_the_longest_but_not_the_first_hit() {
        let start = Instant::now();
        let blocks = blocks(start);
        let outage = Outage::of(&[], blocks.iter().copied(), start + MS * 2_000, start + MS * 10_000);
        assert!((outage.first_hit_ms - 10.0).abs() < 1e-6, "{outage:?}");
        assert!((outage.longest_pause_ms - 310.0).abs() < 1e-6, "{outage:?}");
    }

    #[test]
    fn a_network_that_stops_for_good_pauses_until_the_end() {
        let start = Instant::now();
        let outage =
            Outage::of(&[], [start, start + MS * 10].into_iter(), start + MS * 20, start + MS * 5_000);
        assert!((outage.first_hit_ms - 4_990.0).abs() < 1e-6, "{outage:?}");
        assert_eq!(outage.dead.count, 0);
    }
}
