//! The transaction manager's outputs in JSON-RPC, and L1's answers as its inputs.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEip4844WithSidecar};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip4844::{Blob, Bytes48, DATA_GAS_PER_BLOB};
use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
use alloy::primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy::rpc::types::{FeeHistory, TransactionReceipt};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall, SolInterface};
use batcher_format::SealedBatch;
use batcher_format::batch::versioned_hash;
use batcher_format::blob;
use batcher_format::kzg::{Kzg, KzgError};
use ordering_types::{Epoch, GroupKey, SignedHandover};
use rollup::inbox::ISequencerInbox::{
    ISequencerInboxErrors, epochCall, groupKeyCall, initialiseCall, lastBatchCall, nextNumberCall,
};
use rollup::inbox::{group_key, post_call, post_series_call, rotate_call, word};
use rollup::l1::{EndpointError, Rpc, RpcError, RpcRefusal};
use rollup::wire::Founding;
use serde_json::{Value, json};

use crate::txm::{Check, Facts, Fees, Look, SendFailure, Trouble};

/// Smallest priority fee that is offered, wei: what pools ask for blob transactions.
const LEAST_TIP: u128 = 1_000_000_000;
/// Smallest fee per blob gas that is offered, wei: survives some doublings of the base fee from its floor.
const LEAST_BLOB_FEE: u128 = 16;
/// Gas above the estimate, in percent: the slots that `post` touches may be colder by then.
const GAS_MARGIN_PERCENT: u64 = 25;
/// Less gas than any call takes: an account that cannot pay this cannot pay at all.
const LEAST_GAS: u64 = 40_000;
/// Gas of a call whose cost the endpoint does not estimate: above that of `initialise` with a hundred founders.
const UNESTIMATED_GAS: u64 = 1_000_000;

/// A call to the inbox, ready to be signed at any price.
#[derive(Clone, Debug)]
pub enum Task {
    /// The first group key.
    Initialise(Bytes),
    /// The key of the next epoch.
    Rotate(RotateTask),
    /// Batches, one after the other.
    Post(Arc<PostTask>),
    /// Frames of an OP Stack rollup, for an inbox that is no contract of ours (see [`crate::op`]).
    Frames(Arc<FramesTask>),
}

/// A handover.
#[derive(Clone, Debug)]
pub struct RotateTask {
    /// The epoch that it begins.
    pub epoch: Epoch,
    input: Bytes,
}

/// Batches with what their blob transaction needs.
#[derive(Debug)]
pub struct PostTask {
    numbers: RangeInclusive<u64>,
    input: Bytes,
    hashes: Vec<B256>,
    sidecar: BlobTransactionSidecarEip7594,
}

impl PostTask {
    /// Their numbers.
    pub const fn numbers(&self) -> &RangeInclusive<u64> {
        &self.numbers
    }
}

/// Blobs without a call.
#[derive(Debug)]
pub struct FramesTask {
    input: Bytes,
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
        Self::Initialise(call.abi_encode().into())
    }

    /// The call that hands over to the next epoch's key.
    pub fn rotate(signed: &SignedHandover) -> Result<Self, TaskError> {
        let epoch = signed.handover.next.epoch;
        let call = rotate_call(signed).ok_or(TaskError::Handover(epoch))?;
        Ok(Self::Rotate(RotateTask { epoch, input: call.abi_encode().into() }))
    }

    /// The transaction of these batches, which follow one another; `None` without any. Makes cell proofs, about 0.3 s a blob: not for an async
    /// thread.
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
        let numbers = first.header.number..=last.header.number;
        let input = post_input(batches).ok_or(TaskError::Signature(first.header.number))?;
        let sidecar = BlobTransactionSidecarEip7594::new(blobs, commitments, proofs);
        Ok(Some(Self::Post(Arc::new(PostTask { numbers, input, hashes, sidecar }))))
    }

    /// The transaction of these blobs, which nobody but us posts. Makes cell proofs, about 0.4 s a blob: not for an async thread.
    pub fn frames(carried: &[batcher_format::blob::Blob], kzg: Kzg) -> Result<Self, TaskError> {
        let (mut blobs, mut commitments, mut proofs, mut hashes) = (vec![], vec![], vec![], vec![]);
        for blob in carried {
            let commitment = kzg.commit(blob).map_err(TaskError::Frames)?;
            proofs.extend(kzg.cell_proofs(blob).map_err(TaskError::Frames)?.into_iter().map(Bytes48::new));
            hashes.push(word(versioned_hash(&commitment)));
            commitments.push(Bytes48::new(commitment));
            blobs.push(Blob::from_slice(blob.as_bytes()));
        }
        let sidecar = BlobTransactionSidecarEip7594::new(blobs, commitments, proofs);
        Ok(Self::Frames(Arc::new(FramesTask { input: Bytes::new(), hashes, sidecar })))
    }

    /// Number of blobs.
    pub fn blobs(&self) -> usize {
        self.carried().map_or(0, |(hashes, _)| hashes.len())
    }

    fn carried(&self) -> Option<(&Vec<B256>, &BlobTransactionSidecarEip7594)> {
        match self {
            Self::Initialise(_) | Self::Rotate(_) => None,
            Self::Post(post) => Some((&post.hashes, &post.sidecar)),
            Self::Frames(frames) => Some((&frames.hashes, &frames.sidecar)),
        }
    }

    fn input(&self) -> &Bytes {
        match self {
            Self::Initialise(input) => input,
            Self::Rotate(rotate) => &rotate.input,
            Self::Post(post) => &post.input,
            Self::Frames(frames) => &frames.input,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initialise(_) => f.write_str("the first group key"),
            Self::Rotate(rotate) => write!(f, "the handover to epoch {}", rotate.epoch),
            Self::Post(post) if post.numbers.start() == post.numbers.end() => {
                write!(f, "batch {}", post.numbers.start())
            }
            Self::Post(post) => write!(f, "batches {} to {}", post.numbers.start(), post.numbers.end()),
            Self::Frames(frames) => write!(f, "frames in {} blobs", frames.hashes.len()),
        }
    }
}

/// The calldata: one batch has the cheaper call.
fn post_input(batches: &[Arc<SealedBatch>]) -> Option<Bytes> {
    let input = match batches {
        [one] => post_call(one)?.abi_encode(),
        _ => post_series_call(batches.iter().map(|batch| batch.as_ref()))?.abi_encode(),
    };
    Some(input.into())
}

/// The L1, as one account sees one inbox.
#[derive(Debug)]
pub struct L1 {
    rpc: Rpc,
    inbox: Address,
    chain_id: u64,
    signer: PrivateKeySigner,
}

/// Where the chain of batches stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxView {
    /// The number that the next batch must have; 0 before `initialise`.
    pub next_number: u64,
    /// Id of the newest batch; zero before the first.
    pub last_id: B256,
    /// Epoch of the key.
    pub epoch: Epoch,
    /// The key; `None` before `initialise`.
    pub key: Option<GroupKey>,
}

impl L1 {
    /// Endpoints of the chain `chain_id`, the contract on it, and who pays.
    pub fn new(
        endpoints: &[String],
        chain_id: u64,
        inbox: [u8; 20],
        signer: PrivateKeySigner,
    ) -> Result<Self, EndpointError> {
        Ok(Self { rpc: Rpc::new(endpoints)?, inbox: inbox.into(), chain_id, signer })
    }

    /// The paying account.
    pub const fn account(&self) -> Address {
        self.signer.address()
    }

    /// Chain id by the endpoint's word.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        Ok(self.rpc.call::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// The inbox by the newest block.
    pub async fn view(&self) -> Result<InboxView, RpcError> {
        // The key first: a rotation mined in between makes an old handover look wanted, which is soon found out, and never
        // an old batch look like one of a wrong epoch.
        let present = self.call(&groupKeyCall {}.abi_encode(), "latest").await?;
        let present = groupKeyCall::abi_decode_returns(&present).map_err(|_| self.no_inbox())?;
        let key = group_key(present.x, present.yOdd);
        let last = self.call(&lastBatchCall {}.abi_encode(), "latest").await?;
        let last = lastBatchCall::abi_decode_returns(&last).map_err(|_| self.no_inbox())?;
        let next_number = if key.is_some() { last.number.saturating_add(1) } else { 0 };
        let (last_id, epoch) = (last.id, Epoch::new(present.keyEpoch));
        Ok(InboxView { next_number, last_id, epoch, key })
    }

    /// Whether L1 has it already.
    async fn is_done(&self, task: &Task, tag: &str) -> Result<bool, RpcError> {
        Ok(match task {
            Task::Initialise(_) => self.next_number(tag).await? > 0,
            Task::Rotate(rotate) => self.epoch(tag).await? >= rotate.epoch,
            Task::Post(post) => self.next_number(tag).await? > *post.numbers.end(),
            // Nobody else has the key that readers want.
            Task::Frames(_) => false,
        })
    }

    async fn next_number(&self, tag: &str) -> Result<u64, RpcError> {
        let answer = self.call(&nextNumberCall {}.abi_encode(), tag).await?;
        nextNumberCall::abi_decode_returns(&answer).map_err(|_| self.no_inbox())
    }

    async fn epoch(&self, tag: &str) -> Result<Epoch, RpcError> {
        let answer = self.call(&epochCall {}.abi_encode(), tag).await?;
        epochCall::abi_decode_returns(&answer).map(Epoch::new).map_err(|_| self.no_inbox())
    }

    fn no_inbox(&self) -> RpcError {
        let message = format!("there is no SequencerInbox at {} on this chain", self.inbox);
        RpcRefusal { code: 0, message, data: None }.into()
    }

    async fn call(&self, input: &[u8], tag: &str) -> Result<Bytes, RpcError> {
        self.rpc
            .call("eth_call", json!([{ "to": self.inbox, "input": hex::encode_prefixed(input) }, tag]))
            .await
    }

    async fn nonce(&self, tag: &str) -> Result<u64, RpcError> {
        let nonce: U64 = self.rpc.call("eth_getTransactionCount", json!([self.account(), tag])).await?;
        Ok(nonce.to())
    }

    /// The account's money, wei.
    pub async fn balance(&self) -> Result<U256, RpcError> {
        self.rpc.call("eth_getBalance", json!([self.account(), "latest"])).await
    }

    /// Answers [`Output::Look`](crate::txm::Output::Look).
    pub async fn look(&self, task: &Task) -> Result<Look, Trouble> {
        let trouble = |error: RpcError| Trouble(error.to_string());
        if self.is_done(task, "latest").await.map_err(trouble)? {
            return Ok(Look::Obsolete);
        }
        let market = self.market(task.blobs() > 0).await.map_err(trouble)?;
        let balance = self.balance().await.map_err(trouble)?;
        let blob_gas = DATA_GAS_PER_BLOB * task.blobs() as u64;
        let least =
            U256::from(market.cap) * U256::from(LEAST_GAS) + U256::from(market.blob) * U256::from(blob_gas);
        let gas = match self.estimate(task, market).await {
            Ok(gas) => gas,
            // Nothing can be simulated without money; the machine finds out that there is none.
            Err(RpcError::Refused(refusal)) if balance < least || lacks_money(&refusal) => UNESTIMATED_GAS,
            Err(RpcError::Refused(refusal)) => match judge_revert(task, &refusal) {
                Some(look) => return Ok(look),
                None => return Err(Trouble(refusal.to_string())),
            },
            Err(error) => return Err(trouble(error)),
        };
        Ok(Look::Wanted(Facts {
            nonce: self.nonce("latest").await.map_err(trouble)?,
            pending_nonce: self.nonce("pending").await.map_err(trouble)?,
            market,
            balance,
            gas: gas + gas * GAS_MARGIN_PERCENT / 100,
            blob_gas,
        }))
    }

    /// Twice the next block's base fees, and what others tip.
    async fn market(&self, blobs: bool) -> Result<Fees, RpcError> {
        let history: FeeHistory = self.rpc.call("eth_feeHistory", json!(["0x1", "latest", []])).await?;
        let suggested: U256 = self.rpc.call("eth_maxPriorityFeePerGas", json!([])).await?;
        let tip = suggested.saturating_to::<u128>().max(LEAST_TIP);
        let base = history.base_fee_per_gas.last().copied().unwrap_or_default();
        let blob_base = history.base_fee_per_blob_gas.last().copied().unwrap_or_default();
        let blob = if blobs { blob_base.saturating_mul(2).max(LEAST_BLOB_FEE) } else { 0 };
        Ok(Fees { tip, cap: tip.saturating_add(base.saturating_mul(2)), blob })
    }

    async fn estimate(&self, task: &Task, market: Fees) -> Result<u64, RpcError> {
        let mut call = json!({
            "from": self.account(),
            "to": self.inbox,
            "input": task.input(),
            "maxFeePerGas": U256::from(market.cap),
            "maxPriorityFeePerGas": U256::from(market.tip),
        });
        if let (Some((hashes, _)), Value::Object(fields)) = (task.carried(), &mut call) {
            fields.insert("blobVersionedHashes".to_owned(), json!(hashes));
            fields.insert("maxFeePerBlobGas".to_owned(), json!(U256::from(market.blob)));
        }
        Ok(self.rpc.call::<U64>("eth_estimateGas", json!([call, "latest"])).await?.to())
    }

    /// Answers [`Output::Send`](crate::txm::Output::Send). `ours_pending`: whether the pool may hold this very call of
    /// ours already, so that the pool's state says nothing about others.
    pub async fn send(
        &self,
        task: &Task,
        nonce: u64,
        fees: Fees,
        gas: u64,
        ours_pending: bool,
    ) -> Result<B256, SendFailure> {
        let (hash, raw) = self.sign(task, nonce, fees, gas).map_err(SendFailure::Refused)?;
        // Another batcher's transaction in the pool is as good as mined, and ours would burn gas. Asked last, when only
        // the sending itself is left to race with; an endpoint without a pending state only costs such a race.
        if !ours_pending && self.is_done(task, "pending").await.unwrap_or(false) {
            return Err(SendFailure::LostRace);
        }
        match self.rpc.call::<B256>("eth_sendRawTransaction", json!([hex::encode_prefixed(&raw)])).await {
            Ok(_) => Ok(hash),
            Err(RpcError::Refused(refusal)) => judge_send(&refusal, hash),
            Err(_) => Err(SendFailure::Unanswered(hash)),
        }
    }

    /// Hash and network form of the signed transaction.
    fn sign(&self, task: &Task, nonce: u64, fees: Fees, gas: u64) -> Result<(B256, Vec<u8>), String> {
        let sign = |hash: B256| self.signer.sign_hash_sync(&hash).map_err(|error| error.to_string());
        let input = task.input().clone();
        match task.carried() {
            None => {
                let tx = TxEip1559 {
                    chain_id: self.chain_id,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: fees.cap,
                    max_priority_fee_per_gas: fees.tip,
                    to: self.inbox.into(),
                    value: U256::ZERO,
                    access_list: Default::default(),
                    input,
                };
                let signature = sign(tx.signature_hash())?;
                let signed = tx.into_signed(signature);
                Ok((*signed.hash(), signed.encoded_2718()))
            }
            Some((hashes, sidecar)) => {
                let tx = TxEip4844 {
                    chain_id: self.chain_id,
                    nonce,
                    gas_limit: gas,
                    max_fee_per_gas: fees.cap,
                    max_priority_fee_per_gas: fees.tip,
                    to: self.inbox,
                    value: U256::ZERO,
                    access_list: Default::default(),
                    blob_versioned_hashes: hashes.clone(),
                    max_fee_per_blob_gas: fees.blob,
                    input,
                };
                let signature = sign(tx.signature_hash())?;
                let hash = *tx.clone().into_signed(signature).hash();
                let with_blobs = TxEip4844WithSidecar::from_tx_and_sidecar(tx, sidecar.clone());
                Ok((hash, with_blobs.into_signed(signature).encoded_2718()))
            }
        }
    }

    /// Answers [`Output::Check`](crate::txm::Output::Check).
    pub async fn check(&self, task: &Task, hashes: &[B256]) -> Result<Check, Trouble> {
        let trouble = |error: RpcError| Trouble(error.to_string());
        // The nonce first: a transaction mined in between is then found by its receipt, never taken for lost.
        let nonce = self.nonce("latest").await.map_err(trouble)?;
        let obsolete = self.is_done(task, "latest").await.map_err(trouble)?;
        for hash in hashes.iter().rev() {
            let receipt: Option<TransactionReceipt> =
                self.rpc.call("eth_getTransactionReceipt", json!([hash])).await.map_err(trouble)?;
            if let Some(receipt) = receipt {
                return Ok(Check::Mined { hash: *hash, success: receipt.status(), gas: receipt.gas_used });
            }
        }
        Ok(Check::Waiting { nonce, obsolete })
    }
}

fn lacks_money(refusal: &RpcRefusal) -> bool {
    let message = refusal.message.to_lowercase();
    message.contains("insufficient funds") || message.contains("exceeds allowance")
}

/// What a reverting simulation means; `None` if the endpoint refused for a reason of its own.
fn judge_revert(task: &Task, refusal: &RpcRefusal) -> Option<Look> {
    let data = refusal.data.as_deref().and_then(|data| hex::decode(data).ok()).unwrap_or_default();
    match (ISequencerInboxErrors::abi_decode(&data), task) {
        (Ok(ISequencerInboxErrors::AlreadyInitialised(_)), Task::Initialise(_)) => Some(Look::Obsolete),
        (Ok(ISequencerInboxErrors::WrongNumber(error)), Task::Post(_)) if error.got < error.expected => {
            Some(Look::Obsolete)
        }
        (Ok(ISequencerInboxErrors::WrongEpoch(error)), Task::Rotate(_)) if error.got < error.expected => {
            Some(Look::Obsolete)
        }
        (Ok(error), _) => {
            let name = ISequencerInboxErrors::name_by_selector(error.selector()).unwrap_or("an error");
            Some(Look::Rejected(format!("{name} ({})", hex::encode_prefixed(&data))))
        }
        (Err(_), _) if !data.is_empty() => Some(Look::Rejected(refusal.to_string())),
        (Err(_), _) => None,
    }
}

/// geth's words, and those of its imitators.
fn judge_send(refusal: &RpcRefusal, hash: B256) -> Result<B256, SendFailure> {
    let message = refusal.message.to_lowercase();
    let says = |text: &str| message.contains(text);
    if says("already known") || says("already imported") {
        return Ok(hash);
    }
    Err(if says("replacement") && says("underpriced") || says("tries to replace pending") {
        SendFailure::Underpriced
    } else if says("nonce too low") {
        SendFailure::NonceTooLow
    } else if says("nonce too high") || says("gapped") {
        SendFailure::NonceTooHigh
    } else if says("insufficient funds") {
        SendFailure::InsufficientFunds
    } else if says("already reserved") {
        SendFailure::Reserved
    } else if says("underpriced")
        || says("less than block base fee")
        || says("below minimum")
        || says("blob fee cap")
    {
        SendFailure::BelowMarket
    } else {
        SendFailure::Refused(refusal.message.clone())
    })
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolError;
    use rollup::inbox::ISequencerInbox::{AlreadyInitialised, WrongEpoch, WrongNumber, WrongParent};

    use super::*;

    fn refusal(message: &str, data: Option<String>) -> RpcRefusal {
        RpcRefusal { code: -32_000, message: message.to_owned(), data }
    }

    #[test]
    fn geths_words_are_understood() {
        let hash = B256::repeat_byte(1);
        for (text, wanted) in [
            ("already known", Ok(hash)),
            ("nonce too low: next nonce 4, tx nonce 3", Err(SendFailure::NonceTooLow)),
            ("nonce too high: tx nonce 9, gapped nonce 7", Err(SendFailure::NonceTooHigh)),
            ("replacement transaction underpriced: new tx gas fee cap 1 < 2", Err(SendFailure::Underpriced)),
            ("future transaction tries to replace pending", Err(SendFailure::Underpriced)),
            ("transaction underpriced", Err(SendFailure::BelowMarket)),
            ("max fee per gas less than block base fee", Err(SendFailure::BelowMarket)),
            ("transaction gas price below minimum: blob fee cap 0", Err(SendFailure::BelowMarket)),
            ("insufficient funds for gas * price + value", Err(SendFailure::InsufficientFunds)),
            ("address already reserved", Err(SendFailure::Reserved)),
            ("txpool is full", Err(SendFailure::Refused("txpool is full".to_owned()))),
        ] {
            assert_eq!(judge_send(&refusal(text, None), hash), wanted, "{text}");
        }
    }

    fn judge(task: &Task, data: Vec<u8>) -> Option<Look> {
        judge_revert(task, &refusal("execution reverted", Some(hex::encode_prefixed(data))))
    }

    fn tasks() -> [Task; 3] {
        let input = Bytes::new();
        let sidecar = BlobTransactionSidecarEip7594::new(vec![], vec![], vec![]);
        let post = PostTask { numbers: 7..=7, input: input.clone(), hashes: vec![], sidecar };
        let rotate = RotateTask { epoch: Epoch::new(7), input: input.clone() };
        [Task::Initialise(input), Task::Rotate(rotate), Task::Post(Arc::new(post))]
    }

    #[test]
    fn a_lost_race_is_told_from_a_bad_call() {
        let [initialise, rotate, post] = tasks();
        let number = |expected, got| WrongNumber { expected, got }.abi_encode();
        let epoch = |expected, got| WrongEpoch { expected, got }.abi_encode();
        assert_eq!(judge(&initialise, AlreadyInitialised {}.abi_encode()), Some(Look::Obsolete));
        assert_eq!(judge(&post, number(8, 7)), Some(Look::Obsolete));
        assert_eq!(judge(&rotate, epoch(8, 7)), Some(Look::Obsolete));
        for (task, bad) in [
            (&post, number(7, 8)),
            // The members replaced the key, and what the old one signed is worthless.
            (&post, epoch(8, 7)),
            (&post, WrongParent { expected: B256::ZERO, got: B256::ZERO }.abi_encode()),
            (&post, vec![1, 2, 3, 4]),
            (&rotate, epoch(7, 8)),
            // A batch of the old epoch stands where the new one was to begin.
            (&rotate, number(8, 7)),
        ] {
            assert!(matches!(judge(task, bad), Some(Look::Rejected(_))));
        }
        assert_eq!(judge_revert(&post, &refusal("header not found", None)), None);
    }
}
