//! KZG commitments and proofs over blobs, with Ethereum's trusted setup (EIP-4844, EIP-7594).
//!
//! Loading the setup takes 0.1 to 5 seconds, depending on the precomputation, and happens once a process: a host
//! calls [`Kzg::load`] at start, off its event loop. Committing costs about 60 ms a blob, cell proofs 200 to 300 ms,
//! verification a few milliseconds.

use std::sync::OnceLock;

use bytes::Bytes;
use c_kzg::{Bytes48, KzgSettings};

use crate::batch::{EncodedBatch, POINT_BYTES};
use crate::blob::{self, Blob, BlobError, MAX_BLOBS};
use crate::payload::Encoded;

/// Precomputation for processes that only verify: small tables, fast to load.
pub const PRECOMPUTE_VERIFY: u64 = 0;
/// Precomputation for processes that make cell proofs.
pub const PRECOMPUTE_PROVE: u64 = 8;

static SETTINGS: OnceLock<Kzg> = OnceLock::new();

/// The trusted setup, loaded.
#[derive(Clone, Copy)]
pub struct Kzg(&'static KzgSettings);

/// Why a carrier's points prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KzgError {
    /// The payload does not pack.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Not one commitment and one proof a blob.
    #[error("{blobs} blobs, {commitments} commitments, {proofs} proofs")]
    Count {
        /// Blobs of the payload.
        blobs: usize,
        /// Commitments beside it.
        commitments: usize,
        /// Proofs beside it.
        proofs: usize,
    },
    /// A commitment or proof that is no point.
    #[error("a commitment or proof is no point of G1")]
    Point,
    /// Points, but not of these blobs.
    #[error("commitments and proofs are not those of the blobs")]
    Invalid,
    /// The library refuses the blob.
    #[error("KZG: {0}")]
    Library(String),
}

impl std::fmt::Debug for Kzg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kzg")
    }
}

impl Kzg {
    /// Loads the setup. The first call of a process decides the precomputation (at most 15).
    pub fn load(precompute: u64) -> Self {
        *SETTINGS.get_or_init(|| Self(c_kzg::ethereum_kzg_settings(precompute.min(15))))
    }

    /// The setup as loaded before; loads it for verification otherwise.
    pub fn shared() -> Self {
        Self::load(PRECOMPUTE_VERIFY)
    }

    /// The library's own settings, for other libraries that take them.
    pub const fn settings(self) -> &'static KzgSettings {
        self.0
    }

    /// Packs a payload, commits to its blobs and proves them.
    pub fn commit_and_prove(self, Encoded { payload, inline }: Encoded) -> Result<EncodedBatch, KzgError> {
        let (mut commitments, mut proofs) = (Vec::new(), Vec::new());
        for blob in blob::pack(&payload)? {
            let commitment = self.0.blob_to_kzg_commitment(blob.as_kzg()).map_err(library)?.to_bytes();
            let proof =
                self.0.compute_blob_kzg_proof(blob.as_kzg(), &commitment).map_err(library)?.to_bytes();
            commitments.push(Bytes::copy_from_slice(&commitment.into_inner()));
            proofs.push(Bytes::copy_from_slice(&proof.into_inner()));
        }
        Ok(EncodedBatch { payload, inline, commitments, proofs })
    }

    /// The commitment to one blob.
    pub fn commit(self, blob: &Blob) -> Result<[u8; POINT_BYTES], KzgError> {
        Ok(self.0.blob_to_kzg_commitment(blob.as_kzg()).map_err(library)?.to_bytes().into_inner())
    }

    /// Checks that the points beside the payload are those of its blobs (`verify_blob_kzg_proof_batch`).
    pub fn verify(self, encoded: &EncodedBatch) -> Result<(), KzgError> {
        let (commitments, proofs) = (encoded.commitments.len(), encoded.proofs.len());
        let blobs = blob::blobs_for(encoded.payload.len());
        if blobs != commitments || blobs != proofs || blobs > MAX_BLOBS {
            return Err(KzgError::Count { blobs, commitments, proofs });
        }
        let packed = blob::pack(&encoded.payload)?;
        let mut blobs = Vec::with_capacity(packed.len());
        blobs.extend(packed.iter().map(|blob| blob.as_kzg().clone()));
        let valid = self.0.verify_blob_kzg_proof_batch(
            &blobs,
            &points(&encoded.commitments)?,
            &points(&encoded.proofs)?,
        );
        match valid {
            Ok(true) => Ok(()),
            Ok(false) => Err(KzgError::Invalid),
            Err(_) => Err(KzgError::Point),
        }
    }

    /// The 128 cell proofs of one blob, as a version-1 sidecar carries them (EIP-7594).
    pub fn cell_proofs(self, blob: &Blob) -> Result<Vec<[u8; POINT_BYTES]>, KzgError> {
        let (_, proofs) = self.0.compute_cells_and_kzg_proofs(blob.as_kzg()).map_err(library)?;
        Ok(proofs.iter().map(|proof| proof.to_bytes().into_inner()).collect())
    }
}

fn points(bytes: &[Bytes]) -> Result<Vec<Bytes48>, KzgError> {
    bytes.iter().map(|point| Bytes48::from_bytes(point).map_err(|_| KzgError::Point)).collect()
}

fn library(error: c_kzg::Error) -> KzgError {
    KzgError::Library(format!("{error:?}"))
}
