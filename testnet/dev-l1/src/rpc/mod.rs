//! JSON-RPC 2.0 over HTTP, with geth's methods, codes and limits.

mod blocks;
mod call;
mod config;
mod dev;
mod error;
mod faults;
mod fees;
pub(crate) mod filters;
mod logs;
mod params;
mod txpool;
mod view;

use alloy::primitives::{Bytes, U64, keccak256};
use serde_json::{Value, json};

use crate::fault::Endpoint;
use crate::node::Node;
use error::RpcError;
use params::Params;

/// Bytes of one HTTP request (geth: 5 MiB). Six blobs with their proofs are 1.7 MB as hex.
pub(crate) const MAX_REQUEST_BYTES: usize = 5 * 1024 * 1024;
/// Calls in one batch (geth: 1000).
const MAX_BATCH_CALLS: usize = 1000;
/// Bytes of a batch's answers (geth: 25 MB); calls beyond are not run.
const MAX_RESPONSE_BYTES: usize = 25_000_000;

/// Answers one HTTP body; `None` if it held only notifications.
pub(crate) fn answer(endpoint: &Endpoint, body: &[u8]) -> Option<Vec<u8>> {
    answer_with(body, &|method, params| dispatch(endpoint, method, params))
}

/// Answers every call of one HTTP body with an error of this code, one that people know if it is a usual one.
pub(crate) fn refuse(body: &[u8], code: i64) -> Option<Vec<u8>> {
    answer_with(body, &|_, _| {
        let message = match code {
            -32005 => "limit exceeded",
            -32603 => "Internal error",
            _ => "server error",
        };
        Err(RpcError { code, ..RpcError::server(message) })
    })
}

/// Whether the body is a single call of a `dev_*` method.
pub(crate) fn is_control(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Method<'a> {
        #[serde(borrow)]
        method: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Method<'_>>(body).is_ok_and(|call| call.method.starts_with("dev_"))
}

/// What answers one call.
type Answer<'a> = &'a dyn Fn(&str, &Params) -> Result<Value, RpcError>;

fn answer_with(body: &[u8], answer: Answer<'_>) -> Option<Vec<u8>> {
    let reply = match serde_json::from_slice(body) {
        Err(error) => Some(failure(&Value::Null, &RpcError::parse(format!("parse error: {error}")))),
        Ok(Value::Array(calls)) => return batch(calls, answer),
        Ok(single) => one(single, answer),
    };
    reply.map(|reply| reply.to_string().into_bytes())
}

fn batch(calls: Vec<Value>, answer: Answer<'_>) -> Option<Vec<u8>> {
    let refused = match calls.len() {
        0 => Some(RpcError::invalid_request("empty batch")),
        count if count > MAX_BATCH_CALLS => Some(RpcError::invalid_request("batch too large")),
        _ => None,
    };
    if let Some(error) = refused {
        return Some(failure(&Value::Null, &error).to_string().into_bytes());
    }
    let mut out = vec![b'['];
    for call in calls {
        let reply = if out.len() > MAX_RESPONSE_BYTES {
            let id = call.get("id").cloned().unwrap_or_default();
            Some(failure(&id, &RpcError { code: -32003, ..RpcError::limit("response too large") }))
        } else {
            one(call, answer)
        };
        if let Some(reply) = reply {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(reply.to_string().as_bytes());
        }
    }
    out.push(b']');
    (out.len() > 2).then_some(out)
}

/// Answers one call; `None` for a notification.
fn one(call: Value, answer: Answer<'_>) -> Option<Value> {
    let Value::Object(mut call) = call else {
        return Some(failure(&Value::Null, &RpcError::invalid_request("invalid request")));
    };
    let id = call.remove("id");
    let Some(Value::String(method)) = call.remove("method") else {
        return Some(failure(&id.unwrap_or_default(), &RpcError::invalid_request("invalid request")));
    };
    let result = Params::parse(call.remove("params")).and_then(|params| answer(&method, &params));
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(&id, &error),
    })
}

fn failure(id: &Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() })
}

fn dispatch(endpoint: &Endpoint, method: &str, params: &Params) -> Result<Value, RpcError> {
    if let Some(result) = faults::dispatch(endpoint, method, params) {
        return result;
    }
    // A lying node still passes transactions on, and what a test does to the chain is no lie.
    let true_to_the_chain = method.starts_with("dev_") || method == "eth_sendRawTransaction";
    let view = if true_to_the_chain { endpoint.node.clone() } else { endpoint.view()? };
    let node = &*view;
    let modules = [
        blocks::dispatch,
        call::dispatch,
        fees::dispatch,
        filters::dispatch,
        txpool::dispatch,
        dev::dispatch,
        identity,
    ];
    for module in modules {
        if let Some(result) = module(node, method, params) {
            return result;
        }
    }
    Err(RpcError::unknown_method(method))
}

/// Who is answering.
fn identity(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    let chain_id = || node.read().chain.params.chain_id;
    Some(match method {
        "eth_chainId" => Ok(json!(U64::from(chain_id()))),
        "net_version" => Ok(json!(chain_id().to_string())),
        "net_listening" => Ok(json!(true)),
        "net_peerCount" => Ok(json!("0x0")),
        "web3_clientVersion" => Ok(json!(concat!("dev-l1/v", env!("CARGO_PKG_VERSION")))),
        "web3_sha3" => params.required::<Bytes>(0).map(|data| json!(keccak256(data))),
        "eth_config" => Ok(config::answer(&node.read().chain)),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" => Ok(json!([])),
        "eth_getLogs" => logs::get_logs(node, params),
        _ => return None,
    })
}
