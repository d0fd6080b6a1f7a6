//! The only place that reads the clock for the core.

use std::time::{SystemTime, UNIX_EPOCH};

use ordering_types::Time;

/// The system's clock, made never to go back.
#[derive(Debug, Default)]
pub(crate) struct Clock(Time);

impl Clock {
    /// Now, or the latest time given before if that is later.
    pub(crate) fn now(&mut self) -> Time {
        // A clock before 1970 stands still.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Time::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        self.0 = self.0.max(now);
        self.0
    }
}
