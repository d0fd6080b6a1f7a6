//! `eth_getLogs`.

use alloy::primitives::B256;
use alloy::rpc::types::{Filter, FilterBlockOption, Log};
use serde_json::Value;

use super::blocks::range_height;
use super::error::RpcError;
use super::params::Params;
use super::view::{self, to_json};
use crate::chain::Chain;
use crate::chain::block::Block;
use crate::node::Node;

/// Blocks that one query may span.
const MAX_RANGE: u64 = 100_000;
/// Logs in one answer.
pub(crate) const MAX_LOGS: usize = 10_000;
/// Addresses, and topics in one position, that a filter may name (geth: 1000).
const MAX_ALTERNATIVES: usize = 1000;

/// `eth_getLogs`.
pub(crate) fn get_logs(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let filter: Filter = params.required(0)?;
    check_filter(&filter)?;
    to_json(find(&node.read().chain, &filter)?)
}

/// # Errors
/// The filter names too much.
pub(crate) fn check_filter(filter: &Filter) -> Result<(), RpcError> {
    let longest = filter.topics.iter().map(|topic| topic.len()).chain([filter.address.len()]).max();
    if longest > Some(MAX_ALTERNATIVES) {
        return Err(RpcError::invalid_params("exceed max addresses or topics per search position"));
    }
    Ok(())
}

/// Every log that `filter` selects, in order.
pub(crate) fn find(chain: &Chain, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let block = chain.block_by_hash(&hash).ok_or_else(|| RpcError::server("unknown block"))?;
            (block.number(), block.number())
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let head = chain.head().number();
            let from = from_block.map_or(head, |tag| range_height(chain, tag));
            let to = to_block.map_or(head, |tag| range_height(chain, tag));
            if from > to {
                return Err(RpcError::invalid_params("invalid block range params"));
            }
            (from, to.min(head))
        }
    };
    if from < chain.oldest() {
        return Err(RpcError::pruned());
    }
    if to.saturating_sub(from) >= MAX_RANGE {
        return Err(RpcError::limit(format!("block range is larger than {MAX_RANGE}")));
    }
    let mut found = Vec::new();
    for block in (from..=to).filter_map(|number| chain.block(number)) {
        found.extend(matching(block, filter));
        if found.len() > MAX_LOGS {
            return Err(RpcError::limit(format!("query returned more than {MAX_LOGS} results")));
        }
    }
    Ok(found)
}

/// The logs of one block that match the filter's addresses and topics.
pub(crate) fn matching<'a>(block: &'a Block, filter: &'a Filter) -> impl Iterator<Item = Log> + 'a {
    let possible = filter.matches_bloom(block.header.logs_bloom);
    possible
        .then(|| view::logs(block))
        .into_iter()
        .flatten()
        .filter(|log| filter.matches_address(log.address()) && filter.matches_topics(log.topics() as &[B256]))
}
