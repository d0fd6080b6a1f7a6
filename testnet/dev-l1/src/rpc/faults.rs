//! `dev_outage`, `dev_lie` and `dev_faults`: what a test does to one endpoint, or to all.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::RpcError;
use super::params::Params;
use crate::fault::{Endpoint, Lie, OutageMode};
use crate::shadow::{HeadLie, MAX_BLOCKS};

/// The longest outage and the longest lie, in seconds.
const MAX_SECONDS: f64 = 3600.0;
/// Blocks that a head is off by unless the call says how many.
const DEFAULT_BLOCKS: u64 = 3;
/// What `Retry-After` says unless the call does, and at most, in seconds.
const DEFAULT_RETRY_AFTER: u64 = 1;
const MAX_RETRY_AFTER: u64 = 3600;
/// "Internal error", JSON-RPC 2.0.
const DEFAULT_CODE: i64 = -32603;
/// The codes that JSON-RPC 2.0 keeps for itself and for servers.
const ERROR_CODES: std::ops::RangeInclusive<i64> = -32768..=-32000;

/// Parameters of `dev_outage`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outage {
    Seconds(f64),
    Full(FullOutage),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullOutage {
    seconds: f64,
    #[serde(default)]
    mode: OutageMode,
    #[serde(default)]
    all: bool,
}

/// Parameters of `dev_lie`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    seconds: f64,
    kind: Option<Kind>,
    blocks: Option<u64>,
    retry_after: Option<u64>,
    code: Option<i64>,
    #[serde(default)]
    all: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    StaleHead,
    StuckHead,
    FutureHead,
    ForkedHead,
    RateLimit,
    Hang,
    Garbage,
    Error,
}

/// Methods of this module.
pub(super) fn dispatch(
    endpoint: &Endpoint,
    method: &str,
    params: &Params,
) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "dev_outage" => outage(endpoint, params),
        "dev_lie" => lie(endpoint, params),
        "dev_faults" => Ok(json!(endpoint.all.iter().map(|faults| faults.to_json()).collect::<Vec<_>>())),
        _ => return None,
    })
}

fn length(seconds: f64) -> Result<Duration, RpcError> {
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(RpcError::invalid_params(format!("seconds must be between 0 and {MAX_SECONDS}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn outage(endpoint: &Endpoint, params: &Params) -> Result<Value, RpcError> {
    let FullOutage { seconds, mode, all } = match params.required(0)? {
        Outage::Seconds(seconds) => FullOutage { seconds, mode: OutageMode::Refuse, all: false },
        Outage::Full(outage) => outage,
    };
    let length = length(seconds)?;
    for faults in endpoint.meant(all) {
        faults.set_outage(length, mode);
    }
    Ok(Value::Bool(true))
}

fn lie(endpoint: &Endpoint, params: &Params) -> Result<Value, RpcError> {
    let told: Told = params.required(0)?;
    let length = length(told.seconds)?;
    if length.is_zero() {
        endpoint.meant(told.all).for_each(|faults| faults.end_lie());
        return Ok(Value::Bool(true));
    }
    let lie = checked(&told)?;
    for faults in endpoint.meant(told.all) {
        faults.set_lie(lie, length, &endpoint.node)?;
    }
    Ok(Value::Bool(true))
}

/// The lie that was asked for. What its kind has no use for is refused: it would be a misunderstanding.
fn checked(told: &Told) -> Result<Lie, RpcError> {
    let invalid = |what: String| Err(RpcError::invalid_params(what));
    let Some(kind) = told.kind else { return invalid("kind is missing".into()) };
    let counted = matches!(kind, Kind::StaleHead | Kind::FutureHead | Kind::ForkedHead);
    for (name, given, used) in [
        ("blocks", told.blocks.is_some(), counted),
        ("retryAfter", told.retry_after.is_some(), matches!(kind, Kind::RateLimit)),
        ("code", told.code.is_some(), matches!(kind, Kind::Error)),
    ] {
        if given && !used {
            return invalid(format!("this kind has no {name}"));
        }
    }
    let blocks = told.blocks.unwrap_or(DEFAULT_BLOCKS);
    if !(1..=MAX_BLOCKS).contains(&blocks) {
        return invalid(format!("blocks must be between 1 and {MAX_BLOCKS}"));
    }
    let retry_after = told.retry_after.unwrap_or(DEFAULT_RETRY_AFTER);
    if retry_after > MAX_RETRY_AFTER {
        return invalid(format!("retryAfter must be at most {MAX_RETRY_AFTER}"));
    }
    let code = told.code.unwrap_or(DEFAULT_CODE);
    if !ERROR_CODES.contains(&code) {
        return invalid(format!("code must be between {} and {}", ERROR_CODES.start(), ERROR_CODES.end()));
    }
    Ok(match kind {
        Kind::StaleHead => Lie::Head(HeadLie::Stale(blocks)),
        Kind::StuckHead => Lie::Head(HeadLie::Stuck),
        Kind::FutureHead => Lie::Head(HeadLie::Future(blocks)),
        Kind::ForkedHead => Lie::Head(HeadLie::Forked(blocks)),
        Kind::RateLimit => Lie::RateLimit(retry_after),
        Kind::Hang => Lie::Hang,
        Kind::Garbage => Lie::Garbage,
        Kind::Error => Lie::Error(code),
    })
}
