//! The job thread: compression and KZG arithmetic, one job at a time.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use ordering_types::ChainSpec;
use tokio::sync::mpsc;

use crate::core_api::{Job, JobResult};

/// Jobs that may wait; the core asks for few at a time.
pub(super) const MAX_WAITING_JOBS: usize = 256;

/// Runs jobs until the core is gone.
pub(super) fn run(jobs: &Receiver<Job>, results: &mpsc::Sender<JobResult>, spec: &Arc<ChainSpec>) {
    crate::priority::give_way();
    // The trusted setup takes seconds to load: before the first job, and off every other thread.
    let _ = batcher_format::kzg::Kzg::shared();
    while let Ok(job) = jobs.recv() {
        if results.blocking_send(job.run(spec)).is_err() {
            return;
        }
    }
}

/// The result of a job that cannot be taken.
pub(super) fn refused(job: &Job) -> JobResult {
    let why = "too many jobs wait at this node".to_owned();
    match job {
        Job::Encode { id, .. } => JobResult::Encoded { id: *id, result: Err(why) },
        Job::Check { id, .. } => JobResult::Checked { id: *id, result: Err(why) },
    }
}
