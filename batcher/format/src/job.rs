//! The two jobs of a node: make an encoding, and check a peer's.

use std::sync::Arc;

use ordering_types::Block;

use crate::batch::EncodedBatch;
use crate::header::{BatchHeader, HeaderMismatch};
use crate::kzg::{Kzg, KzgError};
use crate::payload::{self, Context, EncodeError, PayloadError};
use crate::policies::Policies;

/// Why there is no encoding of these blocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The header is not theirs.
    #[error(transparent)]
    Header(#[from] HeaderMismatch),
    /// They do not encode.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Their bytes do not become blobs.
    #[error(transparent)]
    Kzg(#[from] KzgError),
}

/// Why a peer's encoding is not to be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The header is not that of our blocks.
    #[error(transparent)]
    Header(#[from] HeaderMismatch),
    /// It does not decode.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// It decodes, but some rollup's part of it does not.
    #[error("the section of rollup {0} does not decode: {1}")]
    Section(ordering_types::RollupId, payload::SectionError),
    /// It decodes to other blocks than ours.
    #[error("the block at place {0} differs from our own")]
    Block(usize),
    /// Its points are not those of its blobs.
    #[error(transparent)]
    Kzg(#[from] KzgError),
}

/// Compresses blocks, cuts them into blobs, commits and proves: about 120 ms a blob.
pub fn make(
    header: &BatchHeader,
    blocks: &[Arc<Block>],
    policies: &Policies,
) -> Result<EncodedBatch, MakeError> {
    header.check_blocks(blocks)?;
    Ok(Kzg::shared().commit_and_prove(payload::encode(header, blocks, policies)?)?)
}

/// Decodes an encoding, compares it with our own blocks and verifies its proofs. Never commits again itself.
pub fn check(
    encoded: &EncodedBatch,
    header: &BatchHeader,
    blocks: &[Arc<Block>],
    policies: &Policies,
) -> Result<(), CheckError> {
    header.check_blocks(blocks)?;
    let range =
        HeaderMismatch::Range { first: header.first_height, last: header.last_height, got: blocks.len() };
    let first = &blocks.first().ok_or(range)?.header;
    let context = Context { parent_header: first.parent, chain_spec: first.chain_spec, policies };
    let decoded = payload::decode((&encoded.payload, &encoded.inline), header, &context)?;
    if let Some((rollup, error)) = decoded.broken.into_iter().next() {
        return Err(CheckError::Section(rollup, error));
    }
    // Equal headers mean equal transactions: decode built each `tx_root` from the transactions it found.
    for (place, (theirs, ours)) in decoded.blocks.iter().zip(blocks).enumerate() {
        if theirs.header.as_ref() != Some(&ours.header) {
            return Err(CheckError::Block(place));
        }
    }
    Ok(Kzg::shared().verify(encoded)?)
}
