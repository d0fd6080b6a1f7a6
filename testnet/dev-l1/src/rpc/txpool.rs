//! The pool from outside: sending, `txpool_status` and `txpool_content`.

use std::collections::BTreeMap;

use alloy::consensus::Transaction as _;
use alloy::primitives::{Address, Bytes, U64};
use serde_json::{Value, json};

use super::error::RpcError;
use super::params::Params;
use super::view::{pooled, to_json};
use crate::node::Node;

/// Transactions that `txpool_content` lists.
const MAX_LISTED: usize = 1000;

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "eth_sendRawTransaction" => params.required::<Bytes>(0).and_then(|raw| Ok(json!(node.submit(&raw)?))),
        "txpool_status" => Ok(status(node)),
        "txpool_content" => content(node),
        _ => return None,
    })
}

fn status(node: &Node) -> Value {
    let ledger = node.read();
    let (pending, queued): (Vec<bool>, Vec<bool>) =
        ledger.pool.iter(ledger.chain.head_state()).map(|(pending, _)| pending).partition(|pending| *pending);
    json!({ "pending": U64::from(pending.len()), "queued": U64::from(queued.len()) })
}

fn content(node: &Node) -> Result<Value, RpcError> {
    let ledger = node.read();
    let mut lists: [BTreeMap<String, BTreeMap<String, Value>>; 2] = Default::default();
    for (pending, tx) in ledger.pool.iter(ledger.chain.head_state()).take(MAX_LISTED) {
        let [waiting, ready] = &mut lists;
        let list = if pending { ready } else { waiting };
        let account = list.entry(Address::to_checksum(&tx.sender, None)).or_default();
        account.insert(tx.tx.nonce().to_string(), to_json(pooled(tx))?);
    }
    let [queued, pending] = lists;
    Ok(json!({ "pending": pending, "queued": queued }))
}
