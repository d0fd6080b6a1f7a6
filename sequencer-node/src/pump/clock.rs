//! The only place that reads the clock for the core.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ordering_types::Time;

/// The system's clock, made never to go back and never to stand still: while the system's is behind what was given before (somebody set it
/// back), this goes on at half speed until that has caught up. If it stood still, the node's timers would as well.
#[derive(Debug, Default)]
pub(crate) struct Clock(Option<(Time, Instant)>);

impl Clock {
    /// Now.
    pub(crate) fn now(&mut self) -> Time {
        // A clock before 1970 counts as none.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.step(Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX)), Instant::now())
    }

    fn step(&mut self, system: Time, at: Instant) -> Time {
        let now = self.0.map_or(system, |(given, then)| system.max(given + at.duration_since(then) / 2));
        self.0 = Some((now, at));
        now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Found by stepping clocks in the simulator: a node whose clock was set back by a minute stood still with all its timers for
    /// that minute.
    #[test]
    fn a_clock_that_is_set_back_goes_on_slowly_until_it_is_right() {
        let (mut clock, start, begun) = (Clock::default(), Time::from_millis(100_000), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(clock.step(start + second * 60, begun), start + second * 60);
        let mut last = start + second * 60;
        for elapsed in 1..=200 {
            let shown = clock.step(start + second * elapsed, begun + second * elapsed);
            assert!(shown > last, "it stands still");
            last = shown;
        }
        assert_eq!(last, start + second * 200, "right again");
    }
}
