//! A batch with what carries it, and what the committee signs of both.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::preimage::{Domain, GroupKind};
use ordering_types::{Digest, GroupSignature};
use serde::{Deserialize, Serialize};

use crate::header::BatchHeader;

/// Length of a KZG commitment or proof: a compressed point of BLS12-381's G1.
pub const POINT_BYTES: usize = 48;
/// Most bytes of payload and inline data together, if a batch is to have a calldata form: pools take transactions of 128 KiB, and the call has some words
/// beside it.
pub const MAX_CALLDATA_BYTES: usize = 120_000;
/// Most bytes of inline data, which goes into the transaction whatever carries the rest.
pub const MAX_INLINE_BYTES: usize = 104_000;
/// First byte of a versioned hash of a KZG commitment (EIP-4844).
const VERSIONED_HASH_VERSION_KZG: u8 = 1;
/// Most bytes of an encoded [`SealedBatch`] on the wire or on disk: a full payload, inline data, points, header and signature.
pub const MAX_SEALED_BATCH_BYTES: usize = crate::blob::MAX_PAYLOAD_BYTES + MAX_INLINE_BYTES + 4_096;

/// A batch cut into blobs, with the KZG commitments and proofs of its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBatch {
    /// What the blobs carry together (see [`crate::payload`]; packing into field elements is canonical and derived).
    pub payload: Bytes,
    /// What L1 logs whatever carries the payload: the data of rollups with policy `calldata`. Empty if there is none.
    pub inline: Bytes,
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

    /// Keccak-256 of its calldata form, which is the payload itself; zero if that is longer than one transaction may be, with the inline data.
    pub fn calldata_hash(&self) -> Digest {
        if self.payload.len().saturating_add(self.inline.len()) > MAX_CALLDATA_BYTES {
            return Digest::ZERO;
        }
        Digest::keccak256(&[&self.payload])
    }

    /// Keccak-256 of its inline data; zero if it has none.
    pub fn inline_hash(&self) -> Digest {
        inline_hash(&self.inline)
    }

    /// What the committee signs beside the id.
    pub fn carrier(&self) -> Carrier {
        Carrier {
            blob_hashes: self.blob_hashes(),
            calldata_hash: self.calldata_hash(),
            inline_hash: self.inline_hash(),
        }
    }
}

/// Keccak-256 of inline data; zero of none, as the contract has it.
pub fn inline_hash(inline: &[u8]) -> Digest {
    if inline.is_empty() { Digest::ZERO } else { Digest::keccak256(&[inline]) }
}

/// Where the bytes of a batch are: in blobs or in calldata, as whoever posts it likes, and on L1 itself in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Versioned hashes of its blobs, in order.
    pub blob_hashes: Vec<Digest>,
    /// Keccak-256 of its calldata form, zero if it has none.
    pub calldata_hash: Digest,
    /// Keccak-256 of its inline data, zero if it has none.
    pub inline_hash: Digest,
}

impl Carrier {
    /// `keccak256(keccak256(blob hashes) ‖ calldata hash ‖ inline hash)`.
    pub fn hash(&self) -> Digest {
        let blobs: Vec<&[u8]> = self.blob_hashes.iter().map(AsRef::as_ref).collect();
        let blobs = Digest::keccak256(&blobs);
        Digest::keccak256(&[blobs.as_ref(), self.calldata_hash.as_ref(), self.inline_hash.as_ref()])
    }
}

/// The EIP-4844 versioned hash of a commitment.
pub fn versioned_hash(commitment: &[u8]) -> Digest {
    let mut bytes = Digest::sha256(&[commitment]).to_bytes();
    let [version, ..] = &mut bytes;
    *version = VERSIONED_HASH_VERSION_KZG;
    Digest::new(bytes)
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
        signing_digest(domain, &self.header, self.encoded.carrier().hash())
    }
}
