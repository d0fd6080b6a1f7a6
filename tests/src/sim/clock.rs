//! A node's clock: skewed, and set to other times while it runs.

use std::time::Duration;

use ordering_types::Time;

/// The clock of one node, as the shell makes it. Within one life it never goes back: while the wall clock behind it is behind what it has shown,
/// it goes on at half speed, until the wall clock has caught up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset_ms: i64,
    /// What it showed last, and when that was.
    last: Option<(Time, Time)>,
}

impl Clock {
    /// Sets the wall clock wrong by `offset_ms`.
    pub fn set(&mut self, offset_ms: i64) {
        self.offset_ms = offset_ms;
    }

    /// By how much the wall clock is wrong.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }

    /// A new process reads the wall clock afresh.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// What it shows at the true time `now`.
    pub fn read(&mut self, now: Time) -> Time {
        let wall = shift(now, self.offset_ms);
        let shown = self.last.map_or(wall, |(shown, at)| wall.max(shown + now.since(at) / 2));
        self.last = Some((shown, now));
        shown
    }

    /// The true time at which it shows `at`, if it is not set again.
    pub fn when(&self, at: Time) -> Time {
        let wall = shift(at, -self.offset_ms);
        self.last.map_or(wall, |(shown, then)| wall.min(then + at.since(shown) * 2))
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_never_goes_back_and_never_stands_still() {
        let (mut clock, start) = (Clock::default(), Time::from_millis(1_000_000));
        assert_eq!(clock.read(start), start);
        clock.set(60_000);
        assert_eq!(clock.read(start + SECOND), start + SECOND * 61);
        clock.set(0);
        assert_eq!(clock.read(start + SECOND * 3), start + SECOND * 62);
        let at = start + SECOND * 65;
        assert_eq!(clock.read(clock.when(at)), at);
        // It is right again after twice the time that it was ahead.
        let right = start + SECOND * 200;
        assert_eq!(clock.read(right), right);
        assert_eq!(clock.when(right + SECOND), right + SECOND);
    }
}
