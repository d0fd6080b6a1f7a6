//! A batch with what carries it, and what the committee signs of both.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::preimage::{Domain, GroupKind};
use ordering_types::{Digest, GroupSignature};
use serde::{Deserialize, Serialize};

use crate::header::BatchHeader;

/// Length of a KZG commitment or proof: a compressed point of BLS12-381's G1.
pub const POINT_BYTES: usize = 48;
/// First byte of a versioned hash of a KZG commitment (EIP-4844).
const VERSIONED_HASH_VERSION_KZG: u8 = 1;
/// Most bytes of an encoded [`SealedBatch`] on the wire or on disk: a full payload, points, header and signature.
pub const MAX_SEALED_BATCH_BYTES: usize = crate::blob::MAX_PAYLOAD_BYTES + 4_096;

/// A batch cut into blobs, with the KZG commitments and proofs of its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBatch {
    /// What the blobs carry together (see [`crate::payload`]; packing into field elements is canonical and derived).
    pub payload: Bytes,
    /// One 48-byte commitment a blob.
    pub commitments: Vec<Bytes>,
    /// One 48-byte blob proof (EIP-4844) a blob.
    pub proofs: Vec<Bytes>,
}

impl EncodedBatch {
    /// EIP-4844 versioned hashes of its blobs: `0x01 ‖ sha256(commitment)[1..]`.
    pub fn blob_hashes(&self) -> Vec<Digest> {
        self.commitments.iter().map(|commitment| versioned_hash(commitment)).collect()
    }

    /// What the committee signs of the carrier, beside the id. No calldata form yet.
    pub fn carrier_hash(&self) -> Digest {
        carrier_hash(&self.blob_hashes(), Digest::ZERO)
    }
}

/// The EIP-4844 versioned hash of a commitment.
pub fn versioned_hash(commitment: &[u8]) -> Digest {
    let mut bytes = Digest::sha256(&[commitment]).to_bytes();
    let [version, ..] = &mut bytes;
    *version = VERSIONED_HASH_VERSION_KZG;
    Digest::new(bytes)
}

/// `keccak256(keccak256(blob hashes) ‖ calldata hash)`; the calldata hash is zero when there is no calldata form.
pub fn carrier_hash(blob_hashes: &[Digest], calldata_hash: Digest) -> Digest {
    let parts: Vec<&[u8]> = blob_hashes.iter().map(AsRef::as_ref).collect();
    Digest::keccak256(&[Digest::keccak256(&parts).as_ref(), calldata_hash.as_ref()])
}

/// The 32 bytes that the committee signs to seal a batch: id and carrier, bound to chain, contract, epoch and number.
pub fn signing_digest(domain: &Domain, header: &BatchHeader, carrier: Digest) -> Digest {
    let content = Digest::keccak256(&[header.id().as_ref(), carrier.as_ref()]);
    domain.group(GroupKind::Batch, header.epoch, header.number, content)
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

impl SealedBatch {
    /// What [`Self::signature`] is over.
    pub fn digest(&self, domain: &Domain) -> Digest {
        signing_digest(domain, &self.header, self.encoded.carrier_hash())
    }
}
