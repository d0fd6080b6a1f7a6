//! `dev_*`: what a test does to an L1 that a real one does by itself.

use std::time::Duration;

use alloy::primitives::{Address, U64, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::RpcError;
use super::params::Params;
use crate::node::{Node, OutageMode};

/// Blocks that one `dev_mine` makes.
const MAX_MINE: u64 = 1024;
/// The longest outage, in seconds.
const MAX_OUTAGE: f64 = 3600.0;

/// Parameters of `dev_reorg`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reorg {
    depth: u64,
    #[serde(default = "yes")]
    keep_transactions: bool,
    #[serde(default)]
    past_finalized: bool,
}

const fn yes() -> bool {
    true
}

/// Parameters of `dev_outage`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outage {
    Seconds(f64),
    Full {
        seconds: f64,
        #[serde(default = "refuse")]
        mode: OutageMode,
    },
}

const fn refuse() -> OutageMode {
    OutageMode::Refuse
}

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "dev_mine" => mine(node, params),
        "dev_reorg" => reorg(node, params),
        "dev_outage" => outage(node, params),
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
    let Reorg { depth, keep_transactions, past_finalized } = params.required(0)?;
    let orphaned = node
        .reorg(depth, keep_transactions, past_finalized)
        .map_err(|error| RpcError::server(error.to_string()))?;
    Ok(json!({ "head": node.read().chain.head().hash, "orphaned": orphaned }))
}

fn outage(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (seconds, mode) = match params.required(0)? {
        Outage::Seconds(seconds) => (seconds, OutageMode::Refuse),
        Outage::Full { seconds, mode } => (seconds, mode),
    };
    if !(0.0..=MAX_OUTAGE).contains(&seconds) {
        return Err(RpcError::invalid_params(format!("seconds must be between 0 and {MAX_OUTAGE}")));
    }
    node.set_outage(Duration::from_secs_f64(seconds), mode);
    Ok(Value::Bool(true))
}

/// The change takes effect in a block of its own, mined at once, so that every header's state root
/// stays true.
fn set_balance(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let (address, balance): (Address, U256) = (params.required(0)?, params.required(1)?);
    node.mine_with(vec![(address, balance)])?;
    Ok(Value::Bool(true))
}
