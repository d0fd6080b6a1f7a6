//! Blocks, transactions, receipts and logs as JSON-RPC shows them.

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Sealed, Transaction as _};
use alloy::primitives::U256;
use alloy::rpc::types::{
    Block as RpcBlock, BlockTransactions, Header as RpcHeader, Log, ReceiptEnvelope, Transaction,
    TransactionReceipt, Withdrawals,
};
use serde_json::Value;

use super::error::RpcError;
use crate::chain::block::{Block, BlockTx};
use crate::chain::fees::blob_base_fee;
use crate::transaction::{Envelope, SignedTx};

/// Turns an answer into JSON.
pub(crate) fn to_json<T: serde::Serialize>(value: T) -> Result<Value, RpcError> {
    serde_json::to_value(value).map_err(|error| RpcError::server(error.to_string()))
}

/// `eth_getBlockBy*`: with whole transactions or their hashes.
pub(crate) fn block(block: &Block, full: bool) -> Result<Value, RpcError> {
    let transactions = match full {
        true => BlockTransactions::Full(
            block.txs.iter().enumerate().map(|(index, tx)| mined(block, index, tx)).collect(),
        ),
        false => BlockTransactions::Hashes(block.txs.iter().map(|tx| tx.hash).collect()),
    };
    let sealed = Sealed::new_unchecked(block.header.clone(), block.hash);
    let header = RpcHeader::from_consensus(sealed, None, Some(U256::from(block.size)));
    to_json(RpcBlock::new(header, transactions).with_withdrawals(Some(Withdrawals::default())))
}

/// A transaction in a block.
pub(crate) fn mined(block: &Block, index: usize, tx: &BlockTx) -> Transaction<Envelope> {
    Transaction {
        inner: (*tx.tx).clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(tx.tx.effective_gas_price(Some(block.base_fee()))),
        block_timestamp: Some(block.header.timestamp),
    }
}

/// A transaction in the pool. Its price is the highest that it may pay, as geth has it until the base fee is known.
pub(crate) fn pooled(tx: &SignedTx) -> Transaction<Envelope> {
    Transaction {
        inner: Recovered::new_unchecked(tx.tx.inner().clone(), tx.sender),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(tx.tx.max_fee_per_gas()),
        block_timestamp: None,
    }
}

/// `eth_getTransactionReceipt`.
pub(crate) fn receipt(block: &Block, index: usize, tx: &BlockTx) -> TransactionReceipt<ReceiptEnvelope<Log>> {
    let mut log_index = first_log_index(block, index);
    let inner = tx.receipt.clone().map_logs(|log| {
        let log = placed(block, index, tx, log_index, log);
        log_index += 1;
        log
    });
    let blob_gas_used = tx.tx.blob_gas_used();
    TransactionReceipt {
        inner,
        transaction_hash: tx.hash,
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        gas_used: tx.gas_used,
        effective_gas_price: tx.tx.effective_gas_price(Some(block.base_fee())),
        blob_gas_used,
        blob_gas_price: blob_gas_used.map(|_| blob_base_fee(&block.header)),
        from: tx.tx.signer(),
        to: tx.tx.to(),
        contract_address: tx.contract,
    }
}

/// All logs of a block, in order.
pub(crate) fn logs(block: &Block) -> impl Iterator<Item = Log> {
    let mut log_index = 0;
    block
        .txs
        .iter()
        .enumerate()
        .flat_map(|(index, tx)| tx.receipt.logs().iter().map(move |log| (index, tx, log)))
        .map(move |(index, tx, log)| {
            log_index += 1;
            placed(block, index, tx, log_index - 1, log.clone())
        })
}

fn first_log_index(block: &Block, index: usize) -> u64 {
    block.txs.iter().take(index).map(|tx| tx.receipt.logs().len() as u64).sum()
}

fn placed(block: &Block, index: usize, tx: &BlockTx, log_index: u64, log: alloy::primitives::Log) -> Log {
    Log {
        inner: log,
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(tx.hash),
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}
