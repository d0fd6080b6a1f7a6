//! Polled filters: clients without WebSocket follow the chain with them.
//!
//! A filter is a cursor into the chain's events. After a reorg a log filter reports the logs of the
//! dropped blocks again, marked as removed, before those of the new ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy::primitives::U64;
use alloy::rpc::types::{Filter, Log};
use serde_json::{Value, json};

use super::error::RpcError;
use super::logs::{MAX_LOGS, check_filter, find, matching};
use super::params::Params;
use super::view::to_json;
use crate::chain::{Chain, Event};
use crate::node::{Node, lock};

/// Filters installed at once; the idlest gives way.
const MAX_FILTERS: usize = 1024;
/// A filter that is not polled for this long is gone (geth: 5 minutes).
const IDLE_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
enum Kind {
    Blocks,
    Pending,
    Logs(Box<Filter>),
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    cursor: u64,
    polled: Instant,
}

/// All installed filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    installed: BTreeMap<u64, Installed>,
    count: u64,
}

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "eth_newBlockFilter" => Ok(install(node, Kind::Blocks)),
        "eth_newPendingTransactionFilter" => Ok(install(node, Kind::Pending)),
        "eth_newFilter" => params.required::<Filter>(0).and_then(|filter| {
            check_filter(&filter)?;
            Ok(install(node, Kind::Logs(Box::new(filter))))
        }),
        "eth_uninstallFilter" => params
            .required::<U64>(0)
            .map(|id| json!(lock(&node.filters).installed.remove(&id.saturating_to()).is_some())),
        "eth_getFilterChanges" => changes(node, params),
        "eth_getFilterLogs" => all_logs(node, params),
        _ => return None,
    })
}

fn install(node: &Node, kind: Kind) -> Value {
    let cursor = node.read().chain.event_cursor();
    let mut filters = lock(&node.filters);
    filters.installed.retain(|_, filter| filter.polled.elapsed() < IDLE_LIMIT);
    if filters.installed.len() >= MAX_FILTERS {
        let idlest = filters.installed.iter().min_by_key(|(_, filter)| filter.polled).map(|(id, _)| *id);
        filters.installed.remove(&idlest.unwrap_or_default());
    }
    filters.count += 1;
    let id = filters.count;
    filters.installed.insert(id, Installed { kind, cursor, polled: Instant::now() });
    json!(U64::from(id))
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

fn changes(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let id: u64 = params.required::<U64>(0)?.saturating_to();
    let ledger = node.read();
    let mut filters = lock(&node.filters);
    let filter = filters.installed.get_mut(&id).ok_or_else(not_found)?;
    filter.polled = Instant::now();
    let news = report(&ledger.chain, &filter.kind, filter.cursor);
    filter.cursor = ledger.chain.event_cursor();
    match news {
        Some(news) => news,
        None => {
            filters.installed.remove(&id);
            Err(not_found())
        }
    }
}

/// What happened since `cursor`; `None` if that is no longer known.
fn report(chain: &Chain, kind: &Kind, cursor: u64) -> Option<Result<Value, RpcError>> {
    let events = chain.events_since(cursor)?;
    Some(match kind {
        Kind::Blocks => to_json(
            events
                .filter_map(|event| match event {
                    Event::Added(block) => Some(block.hash),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Pending => to_json(
            events
                .filter_map(|event| match event {
                    Event::Pending(hash) => Some(*hash),
                    _ => None,
                })
                .collect::<Vec<_>>(),
        ),
        Kind::Logs(filter) => log_changes(events, filter).and_then(to_json),
    })
}

fn log_changes<'a>(events: impl Iterator<Item = &'a Event>, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    for event in events {
        match event {
            Event::Added(block) if filter.matches_block_range(block.number()) => {
                found.extend(matching(block, filter));
            }
            Event::Removed(block) if filter.matches_block_range(block.number()) => {
                found.extend(matching(block, filter).map(|log| Log { removed: true, ..log }));
            }
            _ => {}
        }
        if found.len() > MAX_LOGS {
            return Err(RpcError::limit(format!("more than {MAX_LOGS} logs since the last poll")));
        }
    }
    Ok(found)
}

fn all_logs(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let id: u64 = params.required::<U64>(0)?.saturating_to();
    let kind = lock(&node.filters).installed.get(&id).map(|filter| filter.kind.clone());
    match kind {
        Some(Kind::Logs(filter)) => to_json(find(&node.read().chain, &filter)?),
        _ => Err(not_found()),
    }
}
