//! Encodes batches that say something else than the blocks: when in turn it offers the committee a payload with some bytes changed, under
//! commitments that fit it.

use std::sync::Arc;

use batcher_format::Encoded;
use node_core::api::JobResult;

use super::Scene;
use crate::sim::plan::below;
use crate::sim::prover;

pub(super) fn work(scene: &mut Scene<'_>, result: JobResult) -> JobResult {
    match result {
        JobResult::Encoded { id, result: Ok(encoded) } => {
            let (mut payload, mut inline) = (encoded.payload.to_vec(), encoded.inline.to_vec());
            let bend_inline = !inline.is_empty() && below(scene.rng, 2) == 0;
            let bent = if bend_inline { &mut inline } else { &mut payload };
            let place = below(scene.rng, bent.len());
            if let Some(byte) = bent.get_mut(place) {
                *byte ^= 1 << below(scene.rng, 8);
            }
            scene.faults.count("lie: batch encoding");
            JobResult::Encoded {
                id,
                result: Ok(Arc::new(prover::commit(Encoded {
                    payload: payload.into(),
                    inline: inline.into(),
                }))),
            }
        }
        // It says that it checked what others made, and did not.
        JobResult::Checked { id, .. } => JobResult::Checked { id, result: Ok(()) },
        other @ JobResult::Encoded { .. } => other,
    }
}
