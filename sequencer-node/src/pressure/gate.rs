//! Which transaction passes: a bucket of bytes for each rollup.
//!
//! A bucket fills at the rollup's part of the speed. Whoever finds something in it may overdraw it by one transaction, so that a large one passes
//! however slow the node is, and then waits until that is paid back. The part is the rollup's quota among those that have tried of late.

use std::collections::BTreeMap;
use std::time::Duration;

use ordering_types::chain_spec::{DataPolicy, Rollup};
use ordering_types::{ChainSpec, RollupId, Time};

use super::controller::{Controller, Level, Ramp};
use crate::config::AdmissionConfig;

/// The room that is left is handed out over so long.
pub(crate) const HORIZON: Duration = Duration::from_secs(600);
/// A bucket holds what so long brings.
const BURST: Duration = Duration::from_secs(1);
/// Who tried so long ago counts as active.
const ACTIVE: Duration = Duration::from_secs(10);
/// When to come back: soonest, latest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// And while nothing is admitted.
const RETRY_STOPPED: Duration = Duration::from_secs(30);

/// Whether a rollup's transactions themselves go to L1.
pub(crate) const fn goes_to_l1(rollup: &Rollup) -> bool {
    !matches!(rollup.data, DataPolicy::Committee)
}

#[derive(Debug)]
struct Bucket {
    quota: u64,
    to_l1: bool,
    /// Bytes; below zero after an overdraft.
    content: f64,
    filled: Time,
    /// None: not active.
    tried: Option<Time>,
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, Default)]
struct Speeds {
    /// Of all rollups whose data goes to L1, beside the other speed. None: no limit.
    posted: Option<f64>,
    /// Of all rollups.
    all: Option<f64>,
}

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct Gate {
    /// Of every rollup of the genesis file.
    buckets: BTreeMap<RollupId, Bucket>,
    /// Of all members together.
    full: Speeds,
    now: Speeds,
    /// Quotas of active rollups: whose data goes to L1, all.
    active: (u64, u64),
}

impl Gate {
    /// Nothing is limited yet.
    #[allow(clippy::cast_precision_loss, reason = "thresholds need no more than 52 bits")]
    pub(crate) fn new(spec: &ChainSpec, config: &AdmissionConfig) -> Self {
        let full = |room: u64| Some(room as f64 / HORIZON.as_secs_f64());
        let bucket = |rollup: &Rollup| Bucket {
            quota: u64::from(rollup.quota_bytes_per_block),
            to_l1: goes_to_l1(rollup),
            content: 0.0,
            filled: Time::default(),
            tried: None,
        };
        Self {
            buckets: spec.rollups.iter().map(|rollup| (rollup.id, bucket(rollup))).collect(),
            full: Speeds {
                posted: full(config.stop_unposted_bytes.saturating_sub(config.slow_unposted_bytes)),
                all: full(config.slow_free_disk_bytes.saturating_sub(config.stop_free_disk_bytes)),
            },
            now: Speeds::default(),
            active: (0, 0),
        }
    }

    /// From now on at these rates, with so many members that admit.
    #[allow(clippy::cast_precision_loss, reason = "members are few")]
    pub(crate) fn set(&mut self, now: Time, rates: &Controller, members: usize) {
        for bucket in self.buckets.values_mut() {
            bucket.tried.take_if(|tried| now.since(*tried) > ACTIVE);
            if rates.posted.level() == Level::Open {
                (bucket.content, bucket.filled) = (0.0, now);
            }
        }
        self.count();
        let speed = |full: Option<f64>, ramp: &Ramp| {
            let part = ramp.rate() / members.max(1) as f64;
            full.filter(|_| ramp.level() != Level::Open).map(|full| full * part)
        };
        self.now =
            Speeds { posted: speed(self.full.posted, &rates.posted), all: speed(self.full.all, &rates.kept) };
    }

    fn count(&mut self) {
        let active = self.buckets.values().filter(|bucket| bucket.tried.is_some());
        self.active = active.fold((0, 0), |(posted, all), bucket| {
            (posted + if bucket.to_l1 { bucket.quota } else { 0 }, all + bucket.quota)
        });
    }

    /// Lets so many bytes of a rollup pass, or says when to come back. Unknown rollups pass: others refuse them better.
    #[allow(clippy::cast_precision_loss, reason = "transactions are short")]
    pub(crate) fn pass(&mut self, now: Time, rollup: RollupId, bytes: u64) -> Result<(), Duration> {
        let Some(bucket) = self.buckets.get_mut(&rollup) else { return Ok(()) };
        if bucket.tried.replace(now).is_none() {
            self.count();
        }
        let Some(speed) = self.speed(rollup) else { return Ok(()) };
        let Some(bucket) = self.buckets.get_mut(&rollup) else { return Ok(()) };
        let filled = bucket.content + speed * now.since(bucket.filled).as_secs_f64();
        // At least one byte, or the slowest speed would never let anything pass.
        bucket.content = filled.min((speed * BURST.as_secs_f64()).max(1.0));
        bucket.filled = bucket.filled.max(now);
        if speed <= 0.0 {
            return Err(RETRY_STOPPED);
        }
        if bucket.content <= 0.0 {
            let wait = (-bucket.content / speed).min(RETRY.1.as_secs_f64());
            return Err(Duration::from_secs_f64(wait).max(RETRY.0));
        }
        bucket.content -= bytes as f64;
        Ok(())
    }

    /// What passed was not taken after all.
    #[allow(clippy::cast_precision_loss, reason = "transactions are short")]
    pub(crate) fn give_back(&mut self, rollup: RollupId, bytes: u64) {
        if let Some(bucket) = self.buckets.get_mut(&rollup) {
            bucket.content += bytes as f64;
        }
    }

    /// Of one active rollup; none: no limit.
    #[allow(clippy::cast_precision_loss, reason = "quotas have 32 bits")]
    fn speed(&self, rollup: RollupId) -> Option<f64> {
        let bucket = self.buckets.get(&rollup)?;
        let part = |active: u64| bucket.quota as f64 / active.max(1) as f64;
        let posted = self.now.posted.filter(|_| bucket.to_l1).map(|speed| speed * part(self.active.0));
        let all = self.now.all.map(|speed| speed * part(self.active.1));
        [posted, all].into_iter().flatten().reduce(f64::min)
    }
}
