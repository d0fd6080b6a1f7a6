//! The job threads: compression and KZG arithmetic, of the oldest batch first.
//!
//! One thread works in the background, so that ordering keeps the cores. On a machine that has nothing to spare it would hardly get to
//! anything, and batches would end faster than they are signed; so a second thread, with a priority like all others, takes what has
//! waited for [`URGENT_AFTER`].

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ordering_types::ChainSpec;
use tokio::sync::mpsc;

use crate::core_api::{Job, JobResult};

/// Jobs that may wait; the core asks for few at a time.
pub(super) const MAX_WAITING_JOBS: usize = 256;
/// A job that waited so long is not background work any more.
const URGENT_AFTER: Duration = Duration::from_secs(1);

/// Jobs by the number of their batch, then in the order in which they came.
type Waiting = BTreeMap<(u64, u64), (Instant, Job)>;

#[derive(Default)]
struct State {
    waiting: Waiting,
    taken: u64,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The core's end; dropped, it ends the threads.
pub(super) struct Jobs(Arc<Shared>);

impl Jobs {
    /// Starts the threads. They are not waited for at the end: a proof may take a second, and nothing depends on it.
    pub(super) fn start(results: &mpsc::Sender<JobResult>, spec: &Arc<ChainSpec>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        for (name, patience) in [("jobs", Duration::ZERO), ("late jobs", URGENT_AFTER)] {
            let (shared, results, spec) = (Arc::clone(&shared), results.clone(), Arc::clone(spec));
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                // The trusted setup takes a second to load: before the first job, and off every other thread.
                let _ = batcher_format::kzg::Kzg::shared();
                if patience.is_zero() {
                    crate::priority::give_way();
                }
                shared.work(patience, &results, &spec);
            })?;
        }
        Ok(Self(shared))
    }

    /// Hands a job in.
    ///
    /// # Errors
    /// With its result, when too many wait.
    pub(super) fn begin(&self, job: Job) -> Result<(), JobResult> {
        let mut state = self.0.lock();
        if state.waiting.len() >= MAX_WAITING_JOBS {
            return Err(refused(&job));
        }
        state.taken += 1;
        let place = (number(&job), state.taken);
        state.waiting.insert(place, (Instant::now(), job));
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs that have waited for `patience`, until the core is gone.
    fn work(&self, patience: Duration, results: &mpsc::Sender<JobResult>, spec: &ChainSpec) {
        while let Some(job) = self.next(patience) {
            if results.blocking_send(job.run(spec)).is_err() {
                return;
            }
        }
    }

    /// The next job of the oldest batch; `None` at the end.
    fn next(&self, patience: Duration) -> Option<Job> {
        let mut state = self.lock();
        while !state.closed {
            match take(&mut state.waiting, Instant::now(), patience) {
                Ok(job) => return Some(job),
                Err(Some(wait)) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Err(None) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        None
    }
}

/// Takes the first job that has waited for `patience`; if none has, says how long until the next one will have.
fn take(waiting: &mut Waiting, now: Instant, patience: Duration) -> Result<Job, Option<Duration>> {
    let left = |since: &Instant| patience.saturating_sub(now.saturating_duration_since(*since));
    let ready = waiting.iter().find(|(_, (since, _))| left(since).is_zero()).map(|(place, _)| *place);
    match ready.and_then(|place| waiting.remove(&place)) {
        Some((_, job)) => Ok(job),
        None => Err(waiting.values().map(|(since, _)| left(since)).min()),
    }
}

const fn number(job: &Job) -> u64 {
    match job {
        Job::Encode { header, .. } | Job::Check { header, .. } => header.number,
    }
}

/// The result of a job that cannot be taken.
fn refused(job: &Job) -> JobResult {
    let why = "too many jobs wait at this node".to_owned();
    match job {
        Job::Encode { id, .. } => JobResult::Encoded { id: *id, result: Err(why) },
        Job::Check { id, .. } => JobResult::Checked { id: *id, result: Err(why) },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use batcher_format::BatchHeader;
    use ordering_types::{Digest, Epoch, Height};

    use super::*;

    fn job(number: u64) -> Job {
        let header = BatchHeader {
            number,
            parent: Digest::ZERO,
            epoch: Epoch::new(0),
            first_height: Height::new(1),
            last_height: Height::new(1),
            last_header: Digest::ZERO,
            last_time_ms: 0,
            forced_cursor: 0,
            l1_reference: 0,
        };
        Job::Encode { id: 0, header, blocks: Vec::new() }
    }

    /// On a machine without a core to spare, the background thread alone signed no batch for minutes.
    #[test]
    fn the_oldest_batch_comes_first_and_who_waited_long_does_not_wait_for_the_background() {
        let start = Instant::now();
        let mut waiting = Waiting::new();
        for (place, (number, after)) in [(7, 0), (5, 600), (6, 0)].into_iter().enumerate() {
            let since = start + Duration::from_millis(after);
            waiting.insert((number, place as u64), (since, job(number)));
        }
        let at = |millis| start + Duration::from_millis(millis);
        let mut next =
            |millis, patience| take(&mut waiting, at(millis), patience).map(|job| super::number(&job));
        assert_eq!(next(700, URGENT_AFTER), Err(Some(Duration::from_millis(300))));
        assert_eq!(next(1_000, URGENT_AFTER), Ok(6), "5 came later");
        assert_eq!(next(1_000, Duration::ZERO), Ok(5));
        assert_eq!(next(1_000, Duration::ZERO), Ok(7));
        assert_eq!(next(1_000, Duration::ZERO), Err(None));
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_told() {
        let jobs = Jobs(Arc::default());
        for number in 0..MAX_WAITING_JOBS as u64 {
            jobs.begin(job(number)).unwrap();
        }
        assert!(matches!(jobs.begin(job(1)), Err(JobResult::Encoded { result: Err(_), .. })));
    }
}
