//! The JSON-RPC of the rollup's execution node. It is the operator's own: what it says of blocks is believed, but for their transactions.

use alloy::primitives::U64;
use rollup::l1::{EndpointError, Rpc, RpcError};
use serde_json::json;

use super::block::{BlockError, BlockId, Built, RpcBlock};

/// Why a block is not there.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    /// The node does not answer, or refuses.
    #[error("{}", words(.0))]
    Rpc(#[from] RpcError),
    /// It has no such block (yet).
    #[error("the execution node has no block {0}")]
    Missing(String),
    /// It is none that can be posted.
    #[error("block {number} of the execution node: {error}")]
    Block {
        /// Its number.
        number: u64,
        /// Why.
        error: BlockError,
    },
}

/// The client says L1 of whatever it asks.
fn words(error: &RpcError) -> String {
    match error {
        RpcError::Refused(refusal) => {
            format!("the execution node refuses ({}): {}", refusal.code, refusal.message)
        }
        RpcError::Unreachable { endpoint, error } => format!("the execution node at {endpoint}: {error}"),
        RpcError::Malformed { endpoint, method, why } => {
            format!("the execution node at {endpoint} answers {method} with something else: {why}")
        }
    }
}

/// How far the rollup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The newest block that derivation has read from L1.
    pub safe: BlockId,
    /// Its time, seconds.
    pub safe_timestamp: u64,
    /// Number of the newest block.
    pub latest: u64,
}

/// One execution node at one or more addresses.
#[derive(Debug)]
pub struct Execution {
    rpc: Rpc,
}

impl Execution {
    /// At these URLs, in order of preference.
    pub fn new(endpoints: &[String]) -> Result<Self, EndpointError> {
        Ok(Self { rpc: Rpc::new(endpoints)? })
    }

    /// The rollup's chain id.
    pub async fn chain_id(&self) -> Result<u64, ExecutionError> {
        Ok(self.rpc.call::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// How far it is.
    pub async fn heads(&self) -> Result<Heads, ExecutionError> {
        let safe = self.get("safe", false).await?;
        let latest = self.get("latest", false).await?.id().number;
        Ok(Heads { safe: safe.id(), safe_timestamp: safe.timestamp(), latest })
    }

    /// The name of the block of this number.
    pub async fn id(&self, number: u64) -> Result<BlockId, ExecutionError> {
        Ok(self.get(&format!("{number:#x}"), false).await?.id())
    }

    /// The block of this number.
    pub async fn block(&self, number: u64) -> Result<Built, ExecutionError> {
        let block = self.get(&format!("{number:#x}"), true).await?;
        block.read().map_err(|error| ExecutionError::Block { number, error })
    }

    async fn get(&self, which: &str, whole: bool) -> Result<RpcBlock, ExecutionError> {
        let block: Option<RpcBlock> = self.rpc.call("eth_getBlockByNumber", json!([which, whole])).await?;
        block.ok_or_else(|| ExecutionError::Missing(which.to_owned()))
    }
}
