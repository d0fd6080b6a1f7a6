//! A node's clock: skewed, and set to other times while it runs.

use std::time::Duration;

use ordering_types::Time;

/// The clock of one node. Within one life it never goes back: while the wall clock behind it does, it stands still, which is
/// what [`Time`] asks of a host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset_ms: i64,
    last: Time,
}

impl Clock {
    /// Sets the clock wrong by `offset_ms`.
    pub fn set(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// A new process reads the wall clock afresh.
    pub fn restart(&mut self) {
        self.last = Time::default();
    }

    /// What it shows at the true time `now`.
    pub fn read(&mut self, now: Time) -> Time {
        self.last = self.last.max(shift(now, self.offset_ms));
        self.last
    }

    /// The true time at which it shows `at`, if it is not set again.
    pub fn when(&self, at: Time) -> Time {
        shift(at, -self.offset_ms)
    }
}

fn shift(time: Time, by_ms: i64) -> Time {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms >= 0 {
        time + by
    } else {
        Time::from_micros(time.as_micros().saturating_sub(by.as_micros() as u64))
    }
}
