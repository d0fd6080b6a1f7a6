//! Rates over time: what the readings ask for, made steady.
//!
//! ```text
//!            asked < 1                      asked = 0
//!    open ─────────────▶ slowed ─────────────────────────▶ stopped
//!      ◀─────────────────  ▲  ◀────────────────────────────
//!   asked 1 for HOLD,         asked > 0 for HOLD
//!   and risen to the top
//! ```
//!
//! Downwards at once, upwards by no more than all in [`RECOVERY`]. As an improvement takes [`HOLD`], no state comes back sooner than that: an
//! operator's log and a client's retries do not flap.

use std::time::Duration;

use ordering_types::Time;

use super::readings::{Asked, Cause, Rates};

/// Something must be good for so long before it counts as over.
pub(crate) const HOLD: Duration = Duration::from_secs(10);
/// From nothing to everything takes at least so long.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);
/// Highest rate while something still counts as slow: 1 means that nothing is counted.
pub(crate) const HIGHEST_SLOWED: f64 = 0.99;

/// Whether anything is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Everything is admitted. The rate is 1.
    #[default]
    Open,
    /// The rate is between 0 and 1.
    Slowed,
    /// Nothing is admitted. The rate is 0.
    Stopped,
}

/// One rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ramp {
    rate: f64,
    level: Level,
    cause: Option<Cause>,
    looked: Time,
    /// Since when what is asked for would do for a better level.
    better: Option<Time>,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { rate: 1.0, level: Level::Open, cause: None, looked: Time::default(), better: None }
    }
}

impl Ramp {
    /// From 0 to 1.
    pub(crate) const fn rate(&self) -> f64 {
        self.rate
    }

    /// The state.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// What last pressed; none while open.
    pub(crate) const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// One look.
    fn step(&mut self, now: Time, asked: Asked) {
        let passed = now.since(self.looked).as_secs_f64();
        self.looked = self.looked.max(now);
        self.cause = asked.cause.or(self.cause);
        let risen = self.rate + passed / RECOVERY.as_secs_f64();
        match self.level {
            Level::Open => self.sink(asked.rate),
            Level::Slowed => {
                self.sink(asked.rate.min(risen).min(HIGHEST_SLOWED));
                if self.has_been(asked.rate >= 1.0, now) && self.rate >= HIGHEST_SLOWED {
                    *self = Self { looked: self.looked, ..Self::default() };
                }
            }
            Level::Stopped => {
                if self.has_been(asked.rate > 0.0, now) {
                    (self.level, self.better) = (Level::Slowed, None);
                    self.sink(asked.rate.min(passed / RECOVERY.as_secs_f64()).min(HIGHEST_SLOWED));
                }
            }
        }
    }

    /// To this rate, and to the worse level that it may mean.
    fn sink(&mut self, rate: f64) {
        self.rate = rate;
        let level = match rate {
            r if r <= 0.0 => Level::Stopped,
            r if r < 1.0 => Level::Slowed,
            _ => Level::Open,
        };
        if level > self.level {
            (self.level, self.better) = (level, None);
        }
    }

    fn has_been(&mut self, good: bool, now: Time) -> bool {
        self.better = good.then(|| self.better.unwrap_or(now));
        self.better.is_some_and(|since| now.since(since) >= HOLD)
    }
}

/// Both rates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Controller {
    /// Of rollups whose data goes to L1. Never above the other.
    pub(crate) posted: Ramp,
    /// Of rollups whose data stays with the committee.
    pub(crate) kept: Ramp,
}

impl Controller {
    /// One look.
    pub(crate) fn look(&mut self, now: Time, asked: &Rates) {
        self.posted.step(now, asked.posted);
        self.kept.step(now, asked.kept);
    }
}
