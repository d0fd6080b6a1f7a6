//! Encodes batches that say something else than the blocks: when in turn it offers the committee a payload with some bytes changed, under
//! commitments that fit it.

use std::sync::Arc;

use node_core::api::JobResult;

use super::Scene;
use crate::sim::plan::below;
use crate::sim::prover;

pub(super) fn work(scene: &mut Scene<'_>, result: JobResult) -> JobResult {
    match result {
        JobResult::Encoded { id, result: Ok(encoded) } => {
            let mut payload = encoded.payload.to_vec();
            let place = below(scene.rng, payload.len());
            if let Some(byte) = payload.get_mut(place) {
                *byte ^= 1 << below(scene.rng, 8);
            }
            scene.faults.count("lie: batch encoding");
            JobResult::Encoded { id, result: Ok(Arc::new(prover::commit(payload.into()))) }
        }
        // It says that it checked what others made, and did not.
        JobResult::Checked { id, .. } => JobResult::Checked { id, result: Ok(()) },
        other @ JobResult::Encoded { .. } => other,
    }
}
