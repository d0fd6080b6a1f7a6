//! A batch prover that costs nothing. Encoding and decoding are the real ones; the commitment is a hash, because real
//! KZG commitments would take longer than all the rest of a simulated network.

use std::sync::Arc;

use batcher_format::{Context, Encoded, EncodedBatch, Policies, payload};
use bytes::Bytes;
use node_core::api::{Job, JobResult};
use ordering_types::{ChainSpec, Digest};

/// Does the work of [`Job::run`] but for the curve maths.
pub fn run(job: Job, spec: &ChainSpec) -> JobResult {
    let policies = Policies::of(spec);
    match job {
        Job::Encode { id, header, blocks } => {
            let result = payload::encode(&header, &blocks, &policies)
                .map(|encoded| Arc::new(commit(encoded)))
                .map_err(|e| e.to_string());
            JobResult::Encoded { id, result }
        }
        Job::Check { id, header, blocks, encoded } => {
            let result = check(&header, &blocks, &encoded, &policies);
            JobResult::Checked { id, result }
        }
    }
}

/// The carrier of a batch, with hashes in place of commitments and proofs.
pub(super) fn commit(Encoded { payload, inline }: Encoded) -> EncodedBatch {
    let digest = Digest::sha256(&[&payload]);
    let commitment = Bytes::from([digest.as_ref(), &[0; 16]].concat());
    EncodedBatch { payload, inline, commitments: vec![commitment.clone()], proofs: vec![commitment] }
}

fn check(
    header: &batcher_format::BatchHeader,
    blocks: &[Arc<ordering_types::Block>],
    encoded: &EncodedBatch,
    policies: &Policies,
) -> Result<(), String> {
    let first = blocks.first().ok_or("a batch without blocks")?;
    let context =
        Context { parent_header: first.header.parent, chain_spec: first.header.chain_spec, policies };
    let decoded =
        payload::decode((&encoded.payload, &encoded.inline), header, &context).map_err(|e| e.to_string())?;
    let same = decoded.blocks.len() == blocks.len()
        && decoded.blocks.iter().zip(blocks).all(|(a, b)| a.header.as_ref() == Some(&b.header));
    if !same {
        return Err("decodes to other blocks".to_owned());
    }
    let EncodedBatch { payload, inline, .. } = encoded.clone();
    if commit(Encoded { payload, inline }) != *encoded {
        return Err("commitment of other bytes".to_owned());
    }
    Ok(())
}
