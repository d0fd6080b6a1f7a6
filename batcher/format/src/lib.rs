//! Batch ids, codecs and blobs.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::{Digest, Epoch, GroupSignature, Height};
use serde::{Deserialize, Serialize};

/// What a batch says: everything its id covers (the contract recomputes the id from these fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHeader {
    /// Its number, from 1.
    pub number: u64,
    /// Id of the batch before; zero for batch 1.
    pub parent: Digest,
    /// Epoch of all its blocks.
    pub epoch: Epoch,
    /// First block.
    pub first_height: Height,
    /// Last block.
    pub last_height: Height,
    /// Header hash of the last block.
    pub last_header: Digest,
    /// Time of the last block, milliseconds since the Unix epoch.
    pub last_time_ms: u64,
    /// Entries of the forced-inclusion queue that blocks up to the last one have consumed.
    pub forced_cursor: u64,
    /// L1 block number that the last block looks at.
    pub l1_reference: u64,
}

/// A batch cut into blobs, with the KZG commitments and proofs of its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBatch {
    /// Whole 131,072-byte blobs' used payload bytes (canonical packing into field elements is derived).
    pub payload: Bytes,
    /// One 48-byte commitment a blob.
    pub commitments: Vec<Bytes>,
    /// One 48-byte blob proof (EIP-4844) a blob.
    pub proofs: Vec<Bytes>,
}

/// A batch that the committee signed: whoever holds it can post it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBatch {
    /// What it says.
    pub header: BatchHeader,
    /// Its carrier.
    pub encoded: Arc<EncodedBatch>,
    /// Over the batch preimage.
    pub signature: GroupSignature,
}
