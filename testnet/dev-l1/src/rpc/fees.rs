//! What gas costs: `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_blobBaseFee`, `eth_feeHistory`.

use alloy::consensus::{Header, Transaction as _};
use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{U64, U256};
use alloy::rpc::types::FeeHistory;
use serde_json::{Value, json};

use super::blocks::range_height;
use super::error::RpcError;
use super::params::Params;
use super::view::to_json;
use crate::chain::Chain;
use crate::chain::block::Block;
use crate::chain::fees::{BLOB_PARAMS, blob_base_fee};
use crate::node::Node;

/// Blocks in one fee history (geth: 1024).
const MAX_HISTORY_BLOCKS: u64 = 1024;
/// Percentiles in one fee history (geth: 100).
const MAX_PERCENTILES: usize = 100;
/// Blocks that the suggested tip looks back on (geth: 20).
const TIP_BLOCKS: u64 = 20;
/// Which percentile of their tips is suggested (geth: 60).
const TIP_PERCENTILE: usize = 60;
/// Suggested when there was no transaction, in wei.
const DEFAULT_TIP: u128 = 1_000_000_000;
/// Never suggested more than this, in wei (geth: 500 gwei).
const MAX_TIP: u128 = 500_000_000_000;

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    let ledger = node.read();
    let chain = &ledger.chain;
    Some(match method {
        "eth_gasPrice" => {
            let base_fee = next_header(chain).base_fee_per_gas.unwrap_or_default();
            Ok(json!(U256::from(suggested_tip(chain) + u128::from(base_fee))))
        }
        "eth_maxPriorityFeePerGas" => Ok(json!(U256::from(suggested_tip(chain)))),
        "eth_blobBaseFee" => Ok(json!(U256::from(blob_base_fee(&next_header(chain))))),
        "eth_feeHistory" => history(chain, params),
        _ => return None,
    })
}

fn next_header(chain: &Chain) -> Header {
    chain.open_header(&chain.plan(chain.head().header.timestamp + 1))
}

fn suggested_tip(chain: &Chain) -> u128 {
    let head = chain.head().number();
    let mut tips: Vec<u128> = (head.saturating_sub(TIP_BLOCKS - 1)..=head)
        .filter_map(|number| chain.block(number))
        .flat_map(|block| tips(block).into_iter().map(|(tip, _)| tip))
        .collect();
    tips.sort_unstable();
    tips.get(tips.len().saturating_sub(1) * TIP_PERCENTILE / 100)
        .map_or(DEFAULT_TIP, |tip| (*tip).clamp(1, MAX_TIP))
}

/// Tip in wei and gas of each transaction.
fn tips(block: &Block) -> Vec<(u128, u64)> {
    let tip =
        |tx: &crate::chain::block::BlockTx| tx.tx.effective_tip_per_gas(block.base_fee()).unwrap_or_default();
    block.txs.iter().map(|tx| (tip(tx), tx.gas_used)).collect()
}

fn history(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let count = params.required::<U64>(0)?.saturating_to::<u64>().min(MAX_HISTORY_BLOCKS);
    let newest = range_height(chain, params.required::<BlockNumberOrTag>(1)?);
    let percentiles: Vec<f64> = params.optional(2)?.unwrap_or_default();
    check_percentiles(&percentiles)?;
    if newest > chain.head().number() {
        return Err(RpcError::server(format!(
            "request beyond head block: requested {newest}, head {}",
            chain.head().number()
        )));
    }
    if count == 0 {
        return to_json(FeeHistory::default());
    }
    let oldest = (newest + 1).saturating_sub(count).max(chain.oldest());
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for block in (oldest..=newest).filter_map(|number| chain.block(number)) {
        push_fees(&mut history, &block.header);
        history.gas_used_ratio.push(ratio(block.header.gas_used, block.header.gas_limit));
        let blob_gas = block.header.blob_gas_used.unwrap_or_default();
        history.blob_gas_used_ratio.push(ratio(blob_gas, BLOB_PARAMS.max_blob_gas_per_block()));
        rewards.push(reward(block, &percentiles));
    }
    match chain.block(newest + 1) {
        Some(block) => push_fees(&mut history, &block.header),
        None => push_fees(&mut history, &next_header(chain)),
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    to_json(history)
}

fn push_fees(history: &mut FeeHistory, header: &Header) {
    history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
    history.base_fee_per_blob_gas.push(blob_base_fee(header));
}

fn ratio(used: u64, limit: u64) -> f64 {
    used as f64 / limit as f64
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::server(format!(
            "invalid reward percentile: over the query limit {MAX_PERCENTILES}"
        )));
    }
    let valid = percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if !valid || !percentiles.is_sorted() {
        return Err(RpcError::server("invalid reward percentile"));
    }
    Ok(())
}

/// The tips at which these shares of the block's gas were reached.
fn reward(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut tips = tips(block);
    tips.sort_unstable();
    let total: u64 = tips.iter().map(|(_, gas)| gas).sum();
    let mut cumulative = 0;
    let mut steps = tips.iter().map(|(tip, gas)| {
        cumulative += gas;
        (*tip, cumulative)
    });
    let mut current = steps.next().unwrap_or_default();
    let at = |percentile: &f64| {
        let threshold = total as f64 * percentile / 100.0;
        while (current.1 as f64) < threshold {
            let Some(next) = steps.next() else { break };
            current = next;
        }
        current.0
    };
    percentiles.iter().map(at).collect()
}
