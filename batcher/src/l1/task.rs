//! Calls to the inbox, and what carries them.

use std::fmt;
use std::sync::Arc;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEip4844WithSidecar};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip4844::{Blob, Bytes48};
use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use batcher_format::batch::versioned_hash;
use batcher_format::kzg::{Kzg, KzgError};
use batcher_format::{SealedBatch, blob};
use ordering_types::{Digest, Epoch, SignedHandover};
use rollup::inbox::ISequencerInbox::initialiseCall;
use rollup::inbox::{post_call, post_calldata_call, post_series_call, rotate_call, word};
use rollup::wire::Founding;

use super::GAS_PER_BLOB;
use crate::carrier::Load;
use crate::txm::{Goal, Kind, Send};

/// A call to the inbox, ready to be signed at any price. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Task(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    goal: Goal,
    input: Bytes,
    /// Id of the last batch, for what follows on it.
    last_id: Digest,
    blobs: Option<Blobs>,
}

#[derive(Debug)]
struct Blobs {
    hashes: Vec<B256>,
    sidecar: BlobTransactionSidecarEip7594,
}

/// Why a batch or a handover cannot become a transaction.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The handover's signature is no point and scalar.
    #[error("the group signature of the handover to epoch {0} is malformed")]
    Handover(Epoch),
    /// The signature is no point and scalar.
    #[error("the group signature of batch {0} is malformed")]
    Signature(u64),
    /// Cell proofs cannot be made.
    #[error("batch {number}: {error}")]
    Kzg {
        /// Its number.
        number: u64,
        /// Why.
        error: KzgError,
    },
    /// The same, of frames.
    #[error("frames: {0}")]
    Frames(KzgError),
}

impl Task {
    /// The call that installs the first group key.
    pub fn initialise(founding: &Founding) -> Self {
        let (x, y) = founding.key.coordinates();
        let call = initialiseCall {
            keyX: U256::from_be_bytes(x),
            keyY: U256::from_be_bytes(y),
            signatures: founding.signatures.values().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect(),
        };
        Self::plain(Goal::FirstKey, call.abi_encode())
    }

    /// The call that hands over to the next epoch's key.
    ///
    /// # Errors
    /// [`TaskError::Handover`].
    pub fn rotate(signed: &SignedHandover) -> Result<Self, TaskError> {
        let epoch = signed.handover.next.epoch;
        let call = rotate_call(signed).ok_or(TaskError::Handover(epoch))?;
        Ok(Self::plain(Goal::Epoch(epoch), call.abi_encode()))
    }

    fn plain(goal: Goal, input: Vec<u8>) -> Self {
        Self(Arc::new(Inner { goal, input: input.into(), last_id: Digest::ZERO, blobs: None }))
    }

    /// These batches, which follow one another, in blobs; `None` without any. Makes cell proofs, about 0.3 s a blob: not for an async
    /// thread.
    ///
    /// # Errors
    /// A signature or a blob is malformed.
    pub fn post(batches: &[Arc<SealedBatch>], kzg: Kzg) -> Result<Option<Self>, TaskError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(None) };
        let (mut blobs, mut commitments, mut proofs, mut hashes) = (vec![], vec![], vec![], vec![]);
        for batch in batches {
            let number = batch.header.number;
            let kzg_error = |error| TaskError::Kzg { number, error };
            for blob in &blob::pack(&batch.encoded.payload).map_err(|error| kzg_error(error.into()))? {
                proofs.extend(kzg.cell_proofs(blob).map_err(kzg_error)?.into_iter().map(Bytes48::new));
                blobs.push(Blob::from_slice(blob.as_bytes()));
            }
            for commitment in &batch.encoded.commitments {
                let point: [u8; 48] =
                    commitment.as_ref().try_into().map_err(|_| kzg_error(KzgError::Point))?;
                commitments.push(Bytes48::new(point));
            }
            hashes.extend(batch.encoded.blob_hashes().into_iter().map(word));
        }
        let input = post_input(batches).ok_or(TaskError::Signature(first.header.number))?;
        let sidecar = BlobTransactionSidecarEip7594::new(blobs, commitments, proofs);
        let blobs = Some(Blobs { hashes, sidecar });
        let (goal, last_id) = (goal(first, last), last.header.id());
        Ok(Some(Self(Arc::new(Inner { goal, input, last_id, blobs }))))
    }

    /// These blobs without a call, for an inbox that is no contract of ours. Makes cell proofs, about 0.4 s a blob: not for an async thread.
    ///
    /// # Errors
    /// [`TaskError::Frames`].
    pub fn frames(carried: &[blob::Blob], kzg: Kzg) -> Result<Self, TaskError> {
        let (mut blobs, mut commitments, mut proofs, mut hashes) = (vec![], vec![], vec![], vec![]);
        for blob in carried {
            let commitment = kzg.commit(blob).map_err(TaskError::Frames)?;
            proofs.extend(kzg.cell_proofs(blob).map_err(TaskError::Frames)?.into_iter().map(Bytes48::new));
            hashes.push(word(versioned_hash(&commitment)));
            commitments.push(Bytes48::new(commitment));
            blobs.push(Blob::from_slice(blob.as_bytes()));
        }
        let sidecar = BlobTransactionSidecarEip7594::new(blobs, commitments, proofs);
        let (input, blobs) = (Bytes::new(), Some(Blobs { hashes, sidecar }));
        Ok(Self(Arc::new(Inner { goal: Goal::Frames, input, last_id: Digest::ZERO, blobs })))
    }

    /// This batch in calldata; `None` if it is too long for that.
    ///
    /// # Errors
    /// [`TaskError::Signature`].
    pub fn post_in_calldata(batch: &SealedBatch) -> Result<Option<Self>, TaskError> {
        if batch.encoded.calldata_hash() == Digest::ZERO {
            return Ok(None);
        }
        let call = post_calldata_call(batch).ok_or(TaskError::Signature(batch.header.number))?;
        let (goal, input) = (goal(batch, batch), call.abi_encode().into());
        Ok(Some(Self(Arc::new(Inner { goal, input, last_id: batch.header.id(), blobs: None }))))
    }

    /// What it is for.
    pub fn goal(&self) -> Goal {
        self.0.goal
    }

    /// Which of geth's pools takes it.
    pub fn kind(&self) -> Kind {
        if self.0.blobs.is_some() { Kind::Blob } else { Kind::Plain }
    }

    /// Number of blobs.
    pub fn blobs(&self) -> usize {
        self.blob_hashes().len()
    }

    /// Their gas.
    pub fn blob_gas(&self) -> u64 {
        GAS_PER_BLOB * self.blobs() as u64
    }

    /// Number of its first batch.
    pub fn first_number(&self) -> Option<u64> {
        self.numbers().map(|(first, _)| first)
    }

    /// Number of its last batch.
    pub fn last_number(&self) -> Option<u64> {
        self.numbers().map(|(_, last)| last)
    }

    fn numbers(&self) -> Option<(u64, u64)> {
        match self.0.goal {
            Goal::Batches { first, last, .. } => Some((first, last)),
            Goal::FirstKey | Goal::Epoch(_) | Goal::Frames => None,
        }
    }

    /// What it takes to carry `bytes` of payload like this.
    pub fn load(&self, bytes: usize) -> Load {
        match self.kind() {
            Kind::Blob => {
                // A call without inline data has some hundred bytes, which are counted as such: too much is no harm.
                Load::in_blobs(self.goal().batches(), self.blob_gas(), bytes, self.input().len())
            }
            Kind::Plain => Load::in_calldata(self.input(), bytes),
        }
    }

    /// A gas limit that is surely enough for a call that cannot be simulated.
    pub fn ample_gas(&self) -> u64 {
        self.load(self.input().len()).ample_gas()
    }

    /// Id of its last batch.
    pub fn last_id(&self) -> Digest {
        self.0.last_id
    }

    pub(super) fn input(&self) -> &Bytes {
        &self.0.input
    }

    pub(super) fn blob_hashes(&self) -> &[B256] {
        self.0.blobs.as_ref().map_or(&[], |blobs| &blobs.hashes)
    }

    /// Hash and network form of the signed transaction.
    pub(super) fn sign(
        &self,
        signer: &PrivateKeySigner,
        chain_id: u64,
        to: Address,
        send: &Send,
    ) -> Result<(B256, Vec<u8>), String> {
        let sign = |hash: B256| signer.sign_hash_sync(&hash).map_err(|error| error.to_string());
        let (nonce, gas_limit, input, value) = (send.nonce, send.call.gas, self.input().clone(), U256::ZERO);
        let (max_fee_per_gas, max_priority_fee_per_gas) = (send.fees.cap, send.fees.tip);
        let access_list = Default::default();
        let Some(blobs) = &self.0.blobs else {
            let to = to.into();
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            let signature = sign(tx.signature_hash())?;
            let signed = tx.into_signed(signature);
            return Ok((*signed.hash(), signed.encoded_2718()));
        };
        let tx = TxEip4844 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to,
            value,
            access_list,
            blob_versioned_hashes: blobs.hashes.clone(),
            max_fee_per_blob_gas: send.fees.blob,
            input,
        };
        let signature = sign(tx.signature_hash())?;
        let hash = *tx.clone().into_signed(signature).hash();
        let with_blobs = TxEip4844WithSidecar::from_tx_and_sidecar(tx, blobs.sidecar.clone());
        Ok((hash, with_blobs.into_signed(signature).encoded_2718()))
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.goal.fmt(f)
    }
}

fn goal(first: &SealedBatch, last: &SealedBatch) -> Goal {
    Goal::Batches { epoch: first.header.epoch, first: first.header.number, last: last.header.number }
}

/// The calldata: one batch has the cheaper call.
fn post_input(batches: &[Arc<SealedBatch>]) -> Option<Bytes> {
    let input = match batches {
        [one] => post_call(one)?.abi_encode(),
        _ => post_series_call(batches.iter().map(|batch| batch.as_ref()))?.abi_encode(),
    };
    Some(input.into())
}
