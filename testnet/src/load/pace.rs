//! Open-loop pacing: the i-th transaction is due at start + i / rate, whatever happened to the ones before.

use std::time::{Duration, Instant};

/// The schedule of one stream of transactions.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    rate: f64,
    next: u64,
}

impl Pace {
    /// From `start` on, `rate` per second; none for a rate of zero or less.
    pub const fn new(start: Instant, rate: f64) -> Self {
        Self { start, rate, next: 0 }
    }

    /// The schedule of the next one if it is due by `now`.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.upcoming()?;
        if due > now {
            return None;
        }
        self.next += 1;
        Some(due)
    }

    fn upcoming(&self) -> Option<Instant> {
        if self.rate <= 0.0 {
            return None;
        }
        self.start.checked_add(Duration::try_from_secs_f64(self.next as f64 / self.rate).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_due_during_a_stall_is_skipped() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 100.0);
        assert_eq!(pace.due(start), Some(start));
        assert_eq!(pace.due(start + Duration::from_millis(9)), None);
        let late = start + Duration::from_secs(1);
        let due: Vec<Instant> = std::iter::from_fn(|| pace.due(late)).collect();
        assert_eq!(due.len(), 100);
        assert_eq!(due.last(), Some(&late));
        assert_eq!(Pace::new(start, 0.0).due(late), None);
    }
}
