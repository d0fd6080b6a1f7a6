//! Blocks, transactions and accounts: the read side of `eth_*`.

use std::sync::Arc;

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::types::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy::serde::JsonStorageKey;
use serde_json::{Value, json};

use super::error::RpcError;
use super::params::Params;
use super::view::{self, to_json};
use crate::chain::Chain;
use crate::chain::block::Block;
use crate::node::Node;
use crate::state::State;

/// Storage slots that one `eth_getProof` may ask for.
const MAX_PROOF_KEYS: usize = 1024;

/// The height that a tag names; `None` for `pending`.
fn height(chain: &Chain, tag: BlockNumberOrTag) -> Option<u64> {
    match tag {
        BlockNumberOrTag::Latest => Some(chain.head().number()),
        BlockNumberOrTag::Safe => Some(chain.safe()),
        BlockNumberOrTag::Finalized => Some(chain.finalized()),
        BlockNumberOrTag::Earliest => Some(0),
        BlockNumberOrTag::Number(number) => Some(number),
        BlockNumberOrTag::Pending => None,
    }
}

/// The height that a tag names, for ranges: `pending` counts as the latest.
pub(crate) fn range_height(chain: &Chain, tag: BlockNumberOrTag) -> u64 {
    height(chain, tag).unwrap_or_else(|| chain.head().number())
}

/// The block that `id` names; `None` if there is none.
///
/// # Errors
/// It existed and was pruned, or the pending block cannot be built.
pub(crate) fn find(node: &Node, id: BlockId) -> Result<Option<Arc<Block>>, RpcError> {
    let ledger = node.read();
    match id {
        BlockId::Hash(hash) => Ok(ledger.chain.block_by_hash(&hash.block_hash).cloned()),
        BlockId::Number(tag) => match height(&ledger.chain, tag) {
            None => {
                drop(ledger);
                Ok(Some(node.pending()?.block))
            }
            Some(number) if number < ledger.chain.oldest() => Err(RpcError::pruned()),
            Some(number) => Ok(ledger.chain.block(number).cloned()),
        },
    }
}

/// The block that `id` names and the state after it.
///
/// # Errors
/// There is no such block, or its state is no longer kept.
pub(crate) fn state_at(node: &Node, id: Option<BlockId>) -> Result<(Arc<Block>, State), RpcError> {
    let id = id.unwrap_or_default();
    if id.is_pending() {
        let candidate = node.pending()?;
        return Ok((candidate.block, candidate.state));
    }
    let block = find(node, id)?.ok_or_else(RpcError::header_not_found)?;
    let ledger = node.read();
    let state = ledger.chain.state(block.number()).cloned();
    let state = state.filter(|_| ledger.chain.block_by_hash(&block.hash).is_some());
    let missing = || {
        RpcError::server(format!(
            "missing trie node {} (path ) state is not available",
            block.header.state_root
        ))
    };
    Ok((block.clone(), state.ok_or_else(missing)?))
}

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "eth_blockNumber" => Ok(json!(U64::from(node.read().chain.head().number()))),
        "eth_getBlockByNumber" => by_number(node, params),
        "eth_getBlockByHash" => by_hash(node, params),
        "eth_getBlockReceipts" => block_receipts(node, params),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            tx_count(node, params)
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => Ok(json!("0x0")),
        "eth_getTransactionByHash" => transaction(node, params),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            transaction_at(node, params)
        }
        "eth_getTransactionReceipt" => receipt(node, params),
        "eth_getTransactionCount" => nonce(node, params),
        "eth_getBalance" => account(node, params, |state, address| json!(state.balance(address))),
        "eth_getCode" => account(node, params, |state, address| {
            json!(state.account(address).map(|account| account.code()).unwrap_or_default())
        }),
        "eth_getStorageAt" => storage(node, params),
        "eth_getProof" => proof(node, params),
        _ => return None,
    })
}

fn by_number(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let tag: BlockNumberOrTag = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    find(node, tag.into())?.map_or(Ok(Value::Null), |block| view::block(&block, full))
}

fn by_hash(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    find(node, hash.into())?.map_or(Ok(Value::Null), |block| view::block(&block, full))
}

fn block_receipts(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let Some(block) = find(node, params.required(0)?)? else { return Ok(Value::Null) };
    let receipts = block.txs.iter().enumerate().map(|(index, tx)| view::receipt(&block, index, tx));
    to_json(receipts.collect::<Vec<_>>())
}

fn tx_count(node: &Node, params: &Params) -> Result<Value, RpcError> {
    Ok(find(node, params.required(0)?)?.map_or(Value::Null, |block| json!(U64::from(block.txs.len()))))
}

fn transaction(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0)?;
    let ledger = node.read();
    if let Some((block, index)) = ledger.chain.transaction(&hash)
        && let Some(tx) = block.txs.get(index)
    {
        return to_json(view::mined(block, index, tx));
    }
    ledger.pool.lookup(&hash).map_or(Ok(Value::Null), |tx| to_json(view::pooled(tx)))
}

fn transaction_at(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let Some(block) = find(node, params.required(0)?)? else { return Ok(Value::Null) };
    let index = params.required::<U64>(1)?.saturating_to();
    block.txs.get(index).map_or(Ok(Value::Null), |tx| to_json(view::mined(&block, index, tx)))
}

fn receipt(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required(0)?;
    let ledger = node.read();
    let Some((block, index)) = ledger.chain.transaction(&hash) else { return Ok(Value::Null) };
    block.txs.get(index).map_or(Ok(Value::Null), |tx| to_json(view::receipt(block, index, tx)))
}

fn nonce(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0)?;
    let id: BlockId = params.optional(1)?.unwrap_or_default();
    if id.is_pending() {
        let ledger = node.read();
        return Ok(json!(U64::from(ledger.pool.next_nonce(address, ledger.chain.head_state()))));
    }
    Ok(json!(U64::from(state_at(node, Some(id))?.1.nonce(address))))
}

fn account(
    node: &Node,
    params: &Params,
    read: impl FnOnce(&State, Address) -> Value,
) -> Result<Value, RpcError> {
    let address: Address = params.required(0)?;
    let (_, state) = state_at(node, params.optional(1)?)?;
    Ok(read(&state, address))
}

fn storage(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0)?;
    let slot: U256 = params.required(1)?;
    let (_, state) = state_at(node, params.optional(2)?)?;
    Ok(json!(B256::from(state.slot(address, slot))))
}

fn proof(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let address: Address = params.required(0)?;
    let keys: Vec<JsonStorageKey> = params.required(1)?;
    if keys.len() > MAX_PROOF_KEYS {
        return Err(RpcError::limit(format!("too many keys: {} > {MAX_PROOF_KEYS}", keys.len())));
    }
    let (_, state) = state_at(node, params.optional(2)?)?;
    let account = state.account(address).cloned().unwrap_or_default();
    let storage_proof = keys.into_iter().map(|key| {
        let slot = key.as_b256();
        let proof: Vec<Bytes> = account.storage_proof(slot);
        EIP1186StorageProof { key, value: state.slot(address, slot.into()), proof }
    });
    to_json(EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: account.storage_root(),
        account_proof: state.account_proof(address),
        storage_proof: storage_proof.collect(),
    })
}
