//! Whether a path loses so much, and is so long, that parity pays. Pure.

use std::time::Duration;

use quinn::PathStats;
use tokio::time::Instant;

/// How often the counters are looked at.
const EVERY: Duration = Duration::from_millis(250);
/// A retransmission within a rack takes less than it costs to avoid it.
const LONG: Duration = Duration::from_millis(5);
/// Parity is sent when more than one of so many packets is lost.
const ONE_OF: u64 = 1_000;
/// An eighth of what was seen is forgotten at each look: half of it in a second and a half.
const FORGET: u64 = 8;
/// Packets are counted in units of this, so that forgetting an eighth of a few is not forgetting none.
const UNIT: u64 = 1_024;

/// What is known of a path.
#[derive(Debug)]
pub(super) struct Path {
    looked: Instant,
    /// Counters at the last look.
    sent: u64,
    lost: u64,
    /// Of late.
    sent_of_late: u64,
    lost_of_late: u64,
    loses: bool,
}

impl Path {
    /// Nothing yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self { looked: now, sent: 0, lost: 0, sent_of_late: 0, lost_of_late: 0, loses: false }
    }

    /// Whether it loses packets and is long; looks at the counters now and then.
    pub(super) fn loses(&mut self, now: Instant, stats: impl FnOnce() -> PathStats) -> bool {
        if now.duration_since(self.looked) >= EVERY {
            self.looked = now;
            let PathStats { rtt, sent_packets, lost_packets, .. } = stats();
            let late =
                |so_far: u64, new: u64, old: u64| so_far - so_far / FORGET + new.saturating_sub(old) * UNIT;
            self.sent_of_late = late(self.sent_of_late, sent_packets, self.sent);
            self.lost_of_late = late(self.lost_of_late, lost_packets, self.lost);
            (self.sent, self.lost) = (sent_packets, lost_packets);
            self.loses = rtt >= LONG && self.lost_of_late.saturating_mul(ONE_OF) > self.sent_of_late;
        }
        self.loses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(rtt_ms: u64, sent_packets: u64, lost_packets: u64) -> PathStats {
        let mut stats = PathStats::default();
        (stats.rtt, stats.sent_packets, stats.lost_packets) =
            (Duration::from_millis(rtt_ms), sent_packets, lost_packets);
        stats
    }

    #[test]
    fn a_path_that_is_long_and_loses_is_known_and_forgiven() {
        let start = Instant::now();
        let mut path = Path::new(start);
        assert!(!path.loses(start + EVERY / 2, || stats(100, 1_000, 500)), "looked too early");
        assert!(path.loses(start + EVERY, || stats(100, 1_000, 10)));
        assert!(path.loses(start + EVERY, || panic!("looked twice")));
        // Twenty seconds without a loss.
        let mut loses = true;
        for look in 2..82 {
            loses = path.loses(start + EVERY * look, || stats(100, 1_000 * u64::from(look), 10));
        }
        assert!(!loses);
    }

    #[test]
    fn a_short_path_or_one_that_loses_hardly_anything_needs_no_parity() {
        let start = Instant::now();
        assert!(!Path::new(start).loses(start + EVERY, || stats(1, 1_000, 100)));
        assert!(!Path::new(start).loses(start + EVERY, || stats(100, 10_000, 9)));
        assert!(Path::new(start).loses(start + EVERY, || stats(100, 10_000, 11)));
    }
}
