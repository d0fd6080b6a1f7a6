//! From a parent and the pool's best transactions to a complete block.

use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy::consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction, TxType,
};
use alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy::eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy::eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy::eips::eip7685::Requests;
use alloy::eips::{eip2935::HISTORY_STORAGE_ADDRESS, eip4844::DATA_GAS_PER_BLOB};
use alloy::primitives::{Address, B64, B256, Bloom, Bytes, U256, address, keccak256};
use alloy::rlp::{Encodable, length_of_length};
use revm::context::BlockEnv;
use revm::context::result::ExecutionResult;

use super::block::{Block, BlockBlobs, BlockTx, beacon_root};
use super::execute::{Checks, ExecutionError, block_env, execute, system_call};
use super::fees::{self, BLOB_PARAMS};
use crate::pool::Selection;
use crate::state::State;
use crate::transaction::{Envelope, SignedTx};

/// Who receives the tips.
pub(crate) const FEE_RECIPIENT: Address = address!("0x00000000000000000000000000000000000fee00");

/// Bytes of transactions in one block: EIP-7934's 10 MiB less its 2 MiB margin.
const MAX_BLOCK_BYTES: usize = 8 * 1024 * 1024;

/// A transaction that needs less gas than this does not exist.
const MIN_TX_GAS: u64 = 21_000;

/// What distinguishes the next block besides its transactions.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Unix seconds; greater than the parent's.
    pub(crate) timestamp: u64,
    /// How many reorgs this chain has seen: a replacement block never equals the replaced one.
    pub(crate) fork: u64,
    /// Overrides EIP-1559 for this block, in wei.
    pub(crate) base_fee: Option<u64>,
    /// Overrides EIP-4844 for this block.
    pub(crate) excess_blob_gas: Option<u64>,
    /// Balances set before the first transaction, in wei.
    pub(crate) balances: Vec<(Address, U256)>,
}

/// A finished block, not yet part of any chain.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) block: std::sync::Arc<Block>,
    pub(crate) state: State,
    pub(crate) blobs: Vec<BlockBlobs>,
    /// Transactions that turned out to be invalid here, with the reason.
    pub(crate) invalid: Vec<(B256, String)>,
}

/// The header of the next block with everything that is known before execution.
pub(crate) fn open_header(parent: &Header, parent_hash: B256, gas_limit: u64, plan: &Plan) -> Header {
    let entropy = [parent_hash.as_slice(), &plan.timestamp.to_be_bytes(), &plan.fork.to_be_bytes()].concat();
    Header {
        parent_hash,
        number: parent.number + 1,
        timestamp: plan.timestamp,
        gas_limit,
        beneficiary: FEE_RECIPIENT,
        mix_hash: keccak256(entropy),
        extra_data: Bytes::from_static(b"dev-l1"),
        base_fee_per_gas: Some(plan.base_fee.unwrap_or_else(|| fees::next_base_fee(parent))),
        excess_blob_gas: Some(plan.excess_blob_gas.unwrap_or_else(|| fees::next_excess_blob_gas(parent))),
        blob_gas_used: Some(0),
        parent_beacon_block_root: Some(beacon_root(parent_hash)),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        nonce: B64::ZERO,
        ..Header::default()
    }
}

/// A block under construction.
struct Builder {
    header: Header,
    env: BlockEnv,
    chain_id: u64,
    state: State,
    txs: Vec<BlockTx>,
    blobs: Vec<BlockBlobs>,
    invalid: Vec<(B256, String)>,
    bytes: usize,
}

/// Executes `selection` on top of `state` and seals the result.
///
/// # Errors
/// A system contract failed, which means that the genesis state is broken.
pub(crate) fn build(
    header: Header,
    chain_id: u64,
    state: State,
    plan: &Plan,
    mut selection: Selection<'_>,
) -> Result<Candidate, ExecutionError> {
    let env = block_env(&header);
    let mut builder =
        Builder { header, env, chain_id, state, txs: vec![], blobs: vec![], invalid: vec![], bytes: 0 };
    for (address, balance) in &plan.balances {
        builder.state.set_balance(*address, *balance);
    }
    builder.open()?;
    while builder.header.gas_limit - builder.header.gas_used >= MIN_TX_GAS {
        let Some(tx) = selection.peek() else { break };
        if builder.fits(tx) && builder.include(tx) {
            selection.accept();
        } else {
            selection.skip_sender();
        }
    }
    builder.seal()
}

impl Builder {
    fn call(&mut self, target: Address, data: Bytes) -> Result<Bytes, ExecutionError> {
        system_call(&mut self.state, &self.env, self.chain_id, target, data)
    }

    fn open(&mut self) -> Result<(), ExecutionError> {
        let parent = self.header.parent_hash;
        self.state.push_block_hash(self.header.number - 1, parent);
        let root = self.header.parent_beacon_block_root.unwrap_or_default();
        self.call(BEACON_ROOTS_ADDRESS, root.into())?;
        self.call(HISTORY_STORAGE_ADDRESS, parent.into())?;
        Ok(())
    }

    /// Whether the block has room for `tx`.
    fn fits(&self, tx: &SignedTx) -> bool {
        let blobs = self.header.blob_gas_used.unwrap_or_default() / DATA_GAS_PER_BLOB;
        tx.tx.gas_limit() <= self.header.gas_limit - self.header.gas_used
            && blobs + tx.blob_count() as u64 <= BLOB_PARAMS.max_blob_count
            && self.bytes + tx.size <= MAX_BLOCK_BYTES
    }

    /// Executes `tx`; false if it is not valid here.
    fn include(&mut self, tx: &SignedTx) -> bool {
        let result = match execute(&mut self.state, &self.env, self.chain_id, Checks::Full, tx.tx_env()) {
            Ok(result) => result,
            Err(error) => {
                self.invalid.push((tx.hash, error.to_string()));
                return false;
            }
        };
        let gas_used = result.tx_gas_used();
        self.header.gas_used += gas_used;
        let blob_gas = tx.blob_count() as u64 * DATA_GAS_PER_BLOB;
        self.header.blob_gas_used = self.header.blob_gas_used.map(|used| used + blob_gas);
        self.bytes += tx.size;
        if let Some(sidecar) = &tx.sidecar {
            self.blobs.push(BlockBlobs { tx_hash: tx.hash, sidecar: sidecar.clone() });
        }
        let created = tx.tx.kind().is_create().then(|| tx.sender.create(tx.tx.nonce()));
        self.txs.push(BlockTx {
            hash: tx.hash,
            tx: tx.tx.clone(),
            receipt: receipt(tx.tx.tx_type(), result, self.header.gas_used),
            gas_used,
            contract: created,
            size: tx.size,
        });
        true
    }

    /// Runs the closing system calls and computes every root.
    fn seal(mut self) -> Result<Candidate, ExecutionError> {
        let mut requests = Requests::default();
        let withdrawals = self.call(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())?;
        let consolidations = self.call(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())?;
        for (kind, data) in
            [(WITHDRAWAL_REQUEST_TYPE, withdrawals), (CONSOLIDATION_REQUEST_TYPE, consolidations)]
        {
            if !data.is_empty() {
                requests.push_request_with_type(kind, data);
            }
        }
        let envelopes: Vec<_> = self.txs.iter().map(|tx| tx.tx.inner()).collect();
        let receipts: Vec<_> = self.txs.iter().map(|tx| &tx.receipt).collect();
        let mut header = self.header;
        header.requests_hash = Some(requests.requests_hash());
        header.transactions_root = calculate_transaction_root(&envelopes);
        header.receipts_root = calculate_receipt_root(&receipts);
        header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        header.state_root = self.state.root();
        let size = block_length(&header, &envelopes);
        let block = Block { hash: header.hash_slow(), header, txs: self.txs, size };
        Ok(Candidate { block: block.into(), state: self.state, blobs: self.blobs, invalid: self.invalid })
    }
}

/// Bytes of the whole block in RLP: header, transactions, no uncles, no withdrawals.
pub(super) fn block_length(header: &Header, txs: &[&Envelope]) -> usize {
    let list = |payload: usize| length_of_length(payload) + payload;
    let txs = txs.iter().map(|tx| tx.length()).sum();
    list(header.length() + list(txs) + list(0) + list(0))
}

fn receipt(tx_type: TxType, result: ExecutionResult, cumulative_gas_used: u64) -> ReceiptEnvelope {
    let status = Eip658Value::Eip658(result.is_success());
    let logs = if result.is_success() { result.into_logs() } else { Vec::new() };
    let receipt = ReceiptWithBloom::from(Receipt { status, cumulative_gas_used, logs });
    match tx_type {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}
