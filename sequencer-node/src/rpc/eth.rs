//! What a wallet asks at `/rollup/<chain id>`. The node orders transactions and does not execute them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Extensions, RpcModule, core::RegisterMethodError};
use ordering_types::chain_spec::{Rollup, RollupKind};
use ordering_types::{Digest, Transaction};

use super::error;
use super::server::Target;
use crate::front::Front;

/// What the `eth_*` methods know.
pub(super) struct Eth {
    pub(super) front: Arc<Front>,
    /// Execution endpoints by chain id.
    pub(super) execution: BTreeMap<u64, String>,
}

/// What clients are told that they talk to.
pub(super) fn client_version() -> String {
    format!("sequencer-node/v{}", env!("CARGO_PKG_VERSION"))
}

/// Methods that need the rollup's state, which only its execution node has.
const EXECUTION_METHODS: [&str; 14] = [
    "eth_call",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getStorageAt",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
];

/// All methods.
pub(super) fn module(eth: Eth) -> Result<RpcModule<Eth>, RegisterMethodError> {
    let mut module = RpcModule::new(eth);
    module.register_method("web3_clientVersion", |_, _, _| client_version())?;
    module.register_method("net_version", |_, eth, at| net_version(eth, at))?;
    module.register_method("eth_chainId", |_, eth, at| {
        eth.rollup(at).map(|rollup| format!("{:#x}", rollup.chain_id))
    })?;
    module.register_method("eth_blockNumber", |_, eth, at| {
        eth.rollup(at).map(|_| format!("{:#x}", eth.front.handle.height().get()))
    })?;
    module.register_async_method("eth_sendRawTransaction", |params, eth, at| async move {
        send_raw(&params, &eth, &at).await
    })?;
    for method in EXECUTION_METHODS {
        module.register_method(method, move |_, eth, at| -> Result<(), ErrorObjectOwned> {
            let chain = eth.rollup(at)?.chain_id;
            let what = format!("{method}: the sequencer orders transactions and does not execute them");
            Err(match eth.execution.get(&chain) {
                Some(url) => error::no_method(&what, &format!("ask the rollup's execution node at {url}")),
                None => error::no_method(&what, "ask the rollup's execution node"),
            })
        })?;
    }
    Ok(module)
}

impl Eth {
    fn rollup(&self, at: &Extensions) -> Result<&Rollup, ErrorObjectOwned> {
        let target = at.get::<Target>().copied().unwrap_or(Target::Root);
        let found = match target {
            Target::Root => None,
            Target::Rollup(chain) => {
                self.front.spec.rollups.iter().find(|r| r.chain_id == chain && r.kind == RollupKind::Evm)
            }
        };
        found.ok_or_else(|| {
            let chains: Vec<String> =
                self.front.spec.rollups.iter().map(|r| r.chain_id.to_string()).collect();
            let what_to_do = format!("use /rollup/<chain id> with one of: {}", chains.join(", "));
            error::no_method("eth_* methods belong to one EVM rollup", &what_to_do)
        })
    }
}

/// The chain id in decimal; at `/`, where wallets only look whether anyone is there, the L1's.
fn net_version(eth: &Eth, at: &Extensions) -> String {
    let rollup = eth.rollup(at).map(|rollup| rollup.chain_id);
    rollup.unwrap_or(eth.front.spec.l1_chain_id).to_string()
}

async fn send_raw(params: &Params<'_>, eth: &Eth, at: &Extensions) -> Result<String, ErrorObjectOwned> {
    let rollup = eth.rollup(at)?.id;
    let hint = "send one 0x-prefixed EIP-2718 envelope";
    let text: String = params.one().map_err(|e| error::invalid(e.message(), hint))?;
    let data = hex::decode(text.strip_prefix("0x").unwrap_or(&text))
        .map_err(|e| error::invalid(&format!("the transaction is not hexadecimal: {e}"), hint))?;
    let data = Bytes::from(data);
    let hash = Digest::keccak256(&[&data]);
    let answers = eth.front.submit(vec![Transaction { rollup, data }]).await;
    match answers.into_iter().next() {
        Some(Ok(_)) => Ok(format!("0x{hash}")),
        Some(Err(refusal)) => Err(error::refused(&refusal)),
        None => Err(error::refused(&crate::admission::AdmissionError::NotReady)),
    }
}
