//! Work too heavy for the core's thread: compression, KZG commitments and proofs, and their verification.

use std::sync::Arc;

use batcher_format::Policies;
use ordering_types::ChainSpec;

use crate::api::{Job, JobResult};

impl Job {
    /// Does the work; about 120 ms a blob to encode, a few to check. Any thread may, and the result may come late.
    pub fn run(self, spec: &ChainSpec) -> JobResult {
        let policies = Policies::of(spec);
        match self {
            Self::Encode { id, header, blocks } => {
                let result = batcher_format::make(&header, &blocks, &policies);
                JobResult::Encoded { id, result: result.map(Arc::new).map_err(|e| e.to_string()) }
            }
            Self::Check { id, header, blocks, encoded } => {
                let result = batcher_format::check(&encoded, &header, &blocks, &policies);
                JobResult::Checked { id, result: result.map_err(|e| e.to_string()) }
            }
        }
    }
}
