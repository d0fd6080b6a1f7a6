//! Controller and gate, shared by all doors. The only clock here; a lock of some nanoseconds, and none while everything is open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ordering_types::{ChainSpec, Chunk, RollupId, Time, Transaction, TxId};
use serde::Serialize;

use super::controller::{Controller, Level};
use super::gate::{Gate, goes_to_l1};
use super::readings::{Cause, Readings};
use crate::admission::AdmissionError;
use crate::config::AdmissionConfig;

/// What passed the gate, until the core has said whether it takes it: a rollup and bytes each, in order. Empty while everything is open.
pub(crate) type Passed = Vec<(RollupId, u64)>;

/// What `seq_status` and metrics say of admission.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PressureStatus {
    /// The worst of any rollup.
    pub(crate) state: Level,
    /// Of rollups whose data goes to L1: 1 is unlimited, 0 nothing.
    pub(crate) rate: f64,
    /// Of rollups whose data stays with the committee.
    pub(crate) committee_rate: f64,
    /// Why it is not 1, in words.
    pub(crate) why: Option<String>,
    /// Sealed batches that L1 lacks, as far as this node knows; none if it cannot know.
    pub(crate) unposted_batches: Option<u64>,
    /// Their bytes.
    pub(crate) unposted_bytes: Option<u64>,
    /// Seconds since the last block of the oldest of them.
    pub(crate) oldest_unposted_s: Option<u64>,
    /// Bytes that the disk has left for this node.
    pub(crate) free_disk_bytes: Option<u64>,
    /// Batches without the committee's signature.
    pub(crate) unsigned_batches: u64,
    /// Bytes of their transactions.
    pub(crate) unsigned_bytes: u64,
    /// Transactions refused for this since the start.
    pub(crate) refused: u64,
}

struct Inner {
    controller: Controller,
    gate: Gate,
    readings: Readings,
    /// For refusals: those of rollups whose data goes to L1, of the others.
    why: (Arc<str>, Arc<str>),
}

/// See the [module's documentation](self).
pub(crate) struct Valve {
    config: AdmissionConfig,
    spec: Arc<ChainSpec>,
    started: Instant,
    slowed: AtomicBool,
    refused: AtomicU64,
    inner: Mutex<Inner>,
}

impl Valve {
    /// Open.
    pub(crate) fn new(spec: &Arc<ChainSpec>, config: AdmissionConfig) -> Self {
        let (controller, readings) = (Controller::default(), Readings::default());
        let inner =
            Inner { controller, gate: Gate::new(spec, &config), readings, why: ("".into(), "".into()) };
        Self {
            config,
            spec: Arc::clone(spec),
            started: Instant::now(),
            slowed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::default() + self.started.elapsed()
    }

    /// One look, with so many members that admit. Says so when the state changes.
    pub(super) fn look(&self, readings: Readings, members: usize) {
        let now = self.now();
        let mut inner = self.lock();
        let before = inner.controller.posted.level();
        inner.controller.look(now, &readings.rates(&self.config));
        let controller = inner.controller;
        inner.gate.set(now, &controller, members);
        inner.readings = readings;
        inner.why = (words(controller.posted.cause()), words(controller.kept.cause()));
        let level = controller.posted.level();
        self.slowed.store(level != Level::Open, Ordering::Relaxed);
        drop(inner);
        if level != before {
            report((before, level), controller.posted.cause(), controller.posted.rate(), &readings);
        }
    }

    /// Lets transactions pass, in order. `answers` has an `Ok` for each of them, between the refusals of others; that of one that does not pass becomes a
    /// refusal, too.
    pub(crate) fn admit(
        &self,
        transactions: Vec<Transaction>,
        answers: &mut [Result<TxId, AdmissionError>],
    ) -> (Vec<Transaction>, Passed) {
        if !self.slowed.load(Ordering::Relaxed) {
            return (transactions, Passed::new());
        }
        let now = self.now();
        let mut inner = self.lock();
        let (mut passed, mut left) = (Passed::new(), Vec::with_capacity(transactions.len()));
        let open = answers.iter_mut().filter(|answer| answer.is_ok());
        for (transaction, answer) in transactions.into_iter().zip(open) {
            let (rollup, bytes) = (transaction.rollup, Chunk::cost(transaction.data.len()) as u64);
            match inner.gate.pass(now, rollup, bytes) {
                Ok(()) => {
                    passed.push((rollup, bytes));
                    left.push(transaction);
                }
                Err(retry_after) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    *answer = Err(self.refusal(&inner, rollup, retry_after));
                }
            }
        }
        (left, passed)
    }

    fn refusal(&self, inner: &Inner, rollup: RollupId, retry_after: Duration) -> AdmissionError {
        let posted = self.spec.rollup(rollup).is_some_and(goes_to_l1);
        let why = Arc::clone(if posted { &inner.why.0 } else { &inner.why.1 });
        AdmissionError::Slowed { why, retry_after }
    }

    /// Of what passed, the core did not take what `verdicts` refuse: it costs nothing.
    pub(crate) fn give_back(&self, passed: &Passed, verdicts: &[Result<TxId, AdmissionError>]) {
        if passed.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for ((rollup, bytes), _) in passed.iter().zip(verdicts).filter(|(_, verdict)| verdict.is_err()) {
            inner.gate.give_back(*rollup, *bytes);
        }
    }

    /// Whether no rollup of the network is admitted anything now; and why.
    pub(crate) fn stopped(&self) -> Option<Cause> {
        let controller = self.lock().controller;
        let rate = |to_l1| if to_l1 { controller.posted } else { controller.kept };
        let mut ramps = self.spec.rollups.iter().map(|rollup| rate(goes_to_l1(rollup)));
        let stopped = ramps.clone().all(|ramp| ramp.level() == Level::Stopped);
        ramps.next().filter(|_| stopped).and_then(|ramp| ramp.cause())
    }

    /// For operators.
    pub(crate) fn status(&self) -> PressureStatus {
        let inner = self.lock();
        let Inner { controller, readings, .. } = &*inner;
        let of = |value: fn(&super::readings::Unposted) -> u64| readings.unposted.as_ref().map(value);
        PressureStatus {
            state: controller.posted.level(),
            rate: controller.posted.rate(),
            committee_rate: controller.kept.rate(),
            why: controller.posted.cause().map(|cause| cause.to_string()),
            unposted_batches: of(|unposted| unposted.batches),
            unposted_bytes: of(|unposted| unposted.bytes),
            oldest_unposted_s: of(|unposted| unposted.oldest.as_secs()),
            free_disk_bytes: readings.free_disk,
            unsigned_batches: readings.unsigned_batches,
            unsigned_bytes: readings.unsigned_bytes,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

fn words(cause: Option<Cause>) -> Arc<str> {
    cause.map_or_else(|| "".into(), |cause| cause.to_string().into())
}

/// Getting worse asks for a look; getting better does not.
fn report((before, level): (Level, Level), cause: Option<Cause>, rate: f64, readings: &Readings) {
    let Readings { unposted, free_disk, unsigned_batches, .. } = readings;
    let (batches, bytes) = (unposted.map(|u| u.batches), unposted.map(|u| u.bytes));
    let why = cause.map(|cause| cause.to_string()).unwrap_or_default();
    let what_to_do = cause.map(Cause::what_to_do).unwrap_or_default();
    match level {
        Level::Open => tracing::info!("admission is open again"),
        Level::Slowed if before == Level::Stopped => tracing::info!(why, "admission begins again, slowly"),
        Level::Slowed => tracing::warn!(
            why,
            rate,
            unposted_batches = batches,
            unposted_bytes = bytes,
            free_disk,
            unsigned_batches,
            "admission is slow: new transactions are refused in part; {what_to_do}"
        ),
        Level::Stopped => tracing::error!(
            why,
            unposted_batches = batches,
            unposted_bytes = bytes,
            free_disk,
            unsigned_batches,
            "admission has stopped: no new transactions are taken; {what_to_do}"
        ),
    }
}
