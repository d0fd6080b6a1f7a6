//! Somebody who does not ask the nodes: puts signed transfers into the inbox's forced-inclusion queue while the load runs.

use std::time::Duration;

use alloy::network::{Ethereum, EthereumWallet, TransactionBuilder};
use alloy::primitives::{Address, U256};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use ordering_types::RollupId;
use rollup::inbox::ISequencerInbox::enqueueCall;
use tokio::task::JoinHandle;

use crate::contract::L1Error;
use crate::genesis::{FORCED_FEE_WEI, FORCER, MNEMONIC};
use crate::load::Transfers;

/// Pause between two entries.
const PAUSE: Duration = Duration::from_secs(4);
/// Longest wait for one to be mined.
const MINED_WITHIN: Duration = Duration::from_secs(30);
/// What is sent with an entry, in least fees: the surplus comes back.
const FEES_SENT: u64 = 4;

/// The task; it ends when this is dropped.
pub(crate) struct Forcer(JoinHandle<()>);

impl Drop for Forcer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Forcer {
    /// Begins to put transfers of a rollup with this chain id into the queue.
    pub(crate) fn start(
        l1_url: &str,
        inbox: Address,
        rollup: RollupId,
        chain_id: u64,
    ) -> Result<Self, L1Error> {
        let signer = crate::contract::account(MNEMONIC, FORCER)?;
        let transfers = Transfers::new(chain_id, std::slice::from_ref(&signer));
        let l1 = wallet(l1_url, signer);
        Ok(Self(tokio::spawn(async move {
            let mut number = 0;
            while let Some(data) = transfers.nth(number) {
                let call = enqueueCall { rollup: rollup.get(), data: data.into() };
                match tokio::time::timeout(MINED_WITHIN, enqueue(&l1, inbox, call)).await {
                    Ok(Ok(())) => number += 1,
                    Ok(Err(error)) => tracing::warn!(%error, "cannot force a transaction; trying again"),
                    Err(_) => tracing::warn!("a forced transaction is not mined; trying again"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        })))
    }
}

fn wallet(url: &str, signer: PrivateKeySigner) -> DynProvider<Ethereum> {
    let url = url.parse().expect("our own URL is one");
    ProviderBuilder::new().wallet(EthereumWallet::from(signer)).connect_http(url).erased()
}

async fn enqueue(l1: &DynProvider<Ethereum>, inbox: Address, call: enqueueCall) -> Result<(), L1Error> {
    let request = TransactionRequest::default().with_to(inbox).with_input(call.abi_encode());
    let request = request.with_value(U256::from(FEES_SENT * FORCED_FEE_WEI));
    let receipt = l1.send_transaction(request).await?.get_receipt().await?;
    if receipt.status() { Ok(()) } else { Err(L1Error::Reverted(receipt.transaction_hash)) }
}
