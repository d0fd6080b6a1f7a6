//! `dev_*`: what a test does to an L1 that a real one does by itself.

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, U64, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::blocks::range_height;
use super::error::RpcError;
use super::params::Params;
use crate::chain::spike::{MAX_SPIKE_BLOCKS, SPIKE_FACTORS, SpikeOrder};
use crate::node::{Keep, Node};

/// Blocks that one `dev_mine` makes.
const MAX_MINE: u64 = 1024;

/// Parameters of `dev_reorg`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reorg {
    depth: u64,
    #[serde(default = "yes")]
    keep_transactions: bool,
    #[serde(default = "yes")]
    keep_blobs: bool,
    #[serde(default)]
    past_finalized: bool,
}

const fn yes() -> bool {
    true
}

/// Parameters of `dev_feeSpike`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FeeSpike {
    #[serde(default)]
    factor: f64,
    blocks: u64,
    #[serde(default = "yes")]
    gas: bool,
    #[serde(default = "yes")]
    blob: bool,
}

/// Parameters of `dev_expireBlobs`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExpireBlobs {
    before: Option<Height>,
    older_than_seconds: Option<u64>,
}

/// A block's number as JSON has it, or as JSON-RPC has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Height {
    Number(u64),
    Tag(BlockNumberOrTag),
}

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "dev_mine" => mine(node, params),
        "dev_reorg" => reorg(node, params),
        "dev_feeSpike" => fee_spike(node, params),
        "dev_expireBlobs" => expire_blobs(node, params),
        "dev_dropMempool" => Ok(json!(node.change(|ledger| ledger.pool.clear()))),
        "dev_setAutomine" => params.required(0).map(|on| {
            node.set_automine(on);
            json!(on)
        }),
        "dev_setNextBaseFee" => params.required::<U64>(0).map(|fee| {
            node.change(|ledger| ledger.chain.set_next_base_fee(fee.saturating_to()));
            Value::Bool(true)
        }),
        "dev_setBlobBaseFee" => params.required::<U256>(0).map(|fee| {
            node.change(|ledger| ledger.chain.set_next_blob_base_fee(fee.saturating_to()));
            Value::Bool(true)
        }),
        "dev_setBalance" => set_balance(node, params),
        _ => return None,
    })
}

fn mine(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let count = params.optional::<U64>(0)?.map_or(1, |count| count.saturating_to::<u64>());
    if count > MAX_MINE {
        return Err(RpcError::limit(format!("at most {MAX_MINE} blocks at a time")));
    }
    for _ in 0..count {
        node.mine()?;
    }
    Ok(json!(U64::from(node.read().chain.head().number())))
}

fn reorg(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let Reorg { depth, keep_transactions: transactions, keep_blobs: blobs, past_finalized } =
        params.required(0)?;
    let orphaned = node
        .reorg(depth, Keep { transactions, blobs }, past_finalized)
        .map_err(|error| RpcError::server(error.to_string()))?;
    Ok(json!({ "head": node.read().chain.head().hash, "orphaned": orphaned }))
}

fn fee_spike(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let FeeSpike { factor, blocks, gas, blob } = params.required(0)?;
    if blocks == 0 {
        node.change(|ledger| ledger.chain.end_spike());
        return Ok(Value::Bool(true));
    }
    if blocks > MAX_SPIKE_BLOCKS {
        return Err(RpcError::limit(format!("at most {MAX_SPIKE_BLOCKS} blocks")));
    }
    if !SPIKE_FACTORS.contains(&factor) {
        let (low, high) = SPIKE_FACTORS.into_inner();
        return Err(RpcError::invalid_params(format!("factor must be between {low} and {high}")));
    }
    if !gas && !blob {
        return Err(RpcError::invalid_params("neither gas nor blob: nothing would change"));
    }
    node.change(|ledger| ledger.chain.start_spike(SpikeOrder { factor, blocks, gas, blob }));
    Ok(Value::Bool(true))
}

fn expire_blobs(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let asked: ExpireBlobs = params.optional(0)?.unwrap_or_default();
    let expired = node.change(|ledger| {
        let chain = &mut ledger.chain;
        let head = chain.head().header.timestamp;
        let before = asked.before.map(|height| match height {
            Height::Number(number) => number,
            Height::Tag(tag) => range_height(chain, tag),
        });
        chain.expire_blobs(|block| {
            let young = |age| head - block.header.timestamp <= age;
            before.is_none_or(|before| block.number() < before)
                && !asked.older_than_seconds.is_some_and(young)
        })
    });
    Ok(json!(expired))
}

/// The change takes effect in a block of its own, mined at once, so that every header's state root
/// stays true.
fn set_balance(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, balance): (Address, U256) = (params.required(0)?, params.required(1)?);
    node.mine_with(vec![(address, balance)])?;
    Ok(Value::Bool(true))
}
