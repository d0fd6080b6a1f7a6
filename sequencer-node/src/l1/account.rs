//! An account that sends transactions to the registry: one at a time, waited for.
//!
//! A command that is run again finds out what became of its transaction: first whatever the account has in the pool is waited for, then the
//! contract is asked, and only then something is sent.

use std::time::{Duration, Instant};

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::utils::format_ether;
use alloy::primitives::{Address, B256, Signature, U64, U256, hex};
use alloy::rpc::types::{FeeHistory, TransactionReceipt};
use alloy::sol_types::{SolCall, SolInterface};
use ordering_types::{Digest, SecretKey};
use rollup::l1::{RpcError, RpcRefusal};
use rollup::registry::IValidatorRegistry::IValidatorRegistryErrors;
use serde_json::json;

use super::contract::Contract;
use super::reader::{ReadError, words};

/// Longest wait for a transaction: a quarter of an hour is 75 blocks of Ethereum.
const MINED_WITHIN: Duration = Duration::from_secs(900);
/// How often its receipt is asked for.
const POLL: Duration = Duration::from_secs(1);
/// How often the wait is told.
const TELL: Duration = Duration::from_secs(15);
/// Smallest priority fee that is offered, wei.
const LEAST_TIP: u128 = 1_000_000_000;
/// Gas above the estimate, in percent.
const GAS_MARGIN_PERCENT: u64 = 25;

/// Why nothing came of a transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// L1 cannot be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The contract would refuse; nothing was sent.
    #[error("{0}; `sequencer-node status` says where the validator stands")]
    Refused(Refusal),
    /// Too little money; nothing was sent.
    #[error(
        "account {account} has {} ETH and needs {} ETH for this (stake and fees): send the rest there, then run this again",
        format_ether(*has),
        format_ether(*needs)
    )]
    Poor {
        /// The account.
        account: Address,
        /// What it has, wei.
        has: U256,
        /// What it takes, wei.
        needs: U256,
    },
    /// The endpoint does not take the transaction.
    #[error("the L1 endpoint does not take the transaction: {0}; run this again, or set another l1.endpoint")]
    NotTaken(String),
    /// It is not in a block yet.
    #[error(
        "transaction {hash} is in no block after {} s: L1 may be busy. Run this again: what happened meanwhile is found out first",
        MINED_WITHIN.as_secs()
    )]
    Late {
        /// The transaction.
        hash: B256,
    },
    /// Another transaction of the account waits.
    #[error(
        "another transaction of account {account} has waited on L1 for {} s: wait for it or replace it, then run this again",
        MINED_WITHIN.as_secs()
    )]
    Busy {
        /// The account.
        account: Address,
    },
    /// It was mined without effect.
    #[error("transaction {0} was mined without effect: another one was first. Run this again")]
    Reverted(B256),
}

/// What the contract says when it refuses.
pub(crate) struct Refusal {
    /// Its own error, if it is one that the interface names.
    pub(crate) error: Option<Box<IValidatorRegistryErrors>>,
    words: String,
}

impl Refusal {
    fn of(refusal: RpcRefusal) -> Self {
        let data = refusal.data.as_deref().and_then(|data| hex::decode(data).ok()).unwrap_or_default();
        let error = IValidatorRegistryErrors::abi_decode(&data).ok().map(Box::new);
        Self { error, words: words(&RpcError::from(refusal)) }
    }
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refusal({self})")
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.error.as_ref().and_then(|e| IValidatorRegistryErrors::name_by_selector(e.selector()));
        match name {
            Some(name) => write!(f, "the registry on L1 refuses: {name}"),
            None => write!(f, "the registry on L1 refuses: {}", self.words),
        }
    }
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mined {
    /// The transaction.
    pub(crate) hash: B256,
    /// Its block's number.
    pub(crate) block: u64,
}

/// Says how far something is.
pub(crate) type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// An account and the contract that it calls.
pub(crate) struct Account<'a> {
    contract: &'a Contract,
    key: &'a SecretKey,
    say: Say<'a>,
}

impl<'a> Account<'a> {
    /// Nothing is asked yet.
    pub(crate) const fn new(contract: &'a Contract, key: &'a SecretKey, say: Say<'a>) -> Self {
        Self { contract, key, say }
    }

    /// The account.
    pub(crate) fn address(&self) -> Address {
        Address::from(*self.key.public_key().address().as_bytes())
    }

    /// Waits until nothing of the account is in the pool.
    pub(crate) async fn settle(&self) -> Result<(), SendError> {
        let start = Instant::now();
        let mut told = None;
        loop {
            let (mined, pending) = (self.nonce("latest").await?, self.nonce("pending").await?);
            if pending <= mined {
                return Ok(());
            }
            if start.elapsed() >= MINED_WITHIN {
                return Err(SendError::Busy { account: self.address() });
            }
            self.tell(&mut told, start, || "an earlier transaction of this account waits on L1".to_owned());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Tries the call, sends it and waits until it is in a block.
    pub(crate) async fn send(&self, call: &impl SolCall, value: U256) -> Result<Mined, SendError> {
        self.contract.check_chain().await?;
        let (tip, cap) = self.fees().await.map_err(ReadError::from)?;
        let balance: U256 = self.ask("eth_getBalance", json!([self.address(), "latest"])).await?;
        let poor = |needs| SendError::Poor { account: self.address(), has: balance, needs };
        if balance <= value {
            return Err(poor(value));
        }
        let input = call.abi_encode();
        let gas = self.estimate(&input, value).await?;
        let gas = gas.saturating_add(gas / 100 * GAS_MARGIN_PERCENT);
        let needs = value.saturating_add(U256::from(cap).saturating_mul(U256::from(gas)));
        if balance < needs {
            return Err(poor(needs));
        }
        let tx = TxEip1559 {
            chain_id: self.contract.chain_id(),
            nonce: self.nonce("latest").await?,
            gas_limit: gas,
            max_fee_per_gas: cap,
            max_priority_fee_per_gas: tip,
            to: self.contract.address.into(),
            value,
            access_list: Default::default(),
            input: input.into(),
        };
        let (hash, raw) = self.sign(tx);
        match self.ask::<B256>("eth_sendRawTransaction", json!([raw])).await {
            Ok(_) => {}
            Err(ReadError::Rpc(RpcError::Refused(refusal))) if refusal.message.contains("already known") => {}
            Err(ReadError::Rpc(refused @ RpcError::Refused(_))) => {
                return Err(SendError::NotTaken(words(&refused)));
            }
            // It may have arrived all the same.
            Err(error) => (self.say)(&format!("{error}; looking whether the transaction has arrived")),
        }
        (self.say)(&format!("sent transaction {hash}"));
        self.wait(hash).await
    }

    async fn estimate(&self, input: &[u8], value: U256) -> Result<u64, SendError> {
        let call = json!({
            "from": self.address(),
            "to": self.contract.address,
            "input": hex::encode_prefixed(input),
            "value": value,
        });
        match self.ask::<U64>("eth_estimateGas", json!([call, "latest"])).await {
            Ok(gas) => Ok(gas.to()),
            Err(ReadError::Rpc(RpcError::Refused(refusal))) => Err(SendError::Refused(Refusal::of(refusal))),
            Err(error) => Err(error.into()),
        }
    }

    /// What others tip, and that with twice the next block's base fee.
    async fn fees(&self) -> Result<(u128, u128), RpcError> {
        let history: FeeHistory =
            self.contract.reader.rpc.call("eth_feeHistory", json!(["0x1", "latest", []])).await?;
        let tip: U256 = self.contract.reader.rpc.call("eth_maxPriorityFeePerGas", json!([])).await?;
        let tip = tip.saturating_to::<u128>().max(LEAST_TIP);
        let base = history.base_fee_per_gas.last().copied().unwrap_or_default();
        Ok((tip, tip.saturating_add(base.saturating_mul(2))))
    }

    fn sign(&self, tx: TxEip1559) -> (B256, String) {
        let digest = Digest::new(tx.signature_hash().0);
        let signature = Signature::from_raw_array(self.key.sign(digest).as_bytes());
        let signed = tx.into_signed(signature.expect("our own signatures end with 27 or 28"));
        (*signed.hash(), hex::encode_prefixed(signed.encoded_2718()))
    }

    async fn wait(&self, hash: B256) -> Result<Mined, SendError> {
        let start = Instant::now();
        let mut told = None;
        while start.elapsed() < MINED_WITHIN {
            // An endpoint that fails for a while does not end the wait.
            let receipt = self.ask::<Option<TransactionReceipt>>("eth_getTransactionReceipt", json!([hash]));
            if let Ok(Some(receipt)) = receipt.await {
                let block = receipt.block_number.unwrap_or_default();
                return if receipt.status() {
                    Ok(Mined { hash, block })
                } else {
                    Err(SendError::Reverted(hash))
                };
            }
            self.tell(&mut told, start, || "waiting until L1 has it in a block".to_owned());
            tokio::time::sleep(POLL).await;
        }
        Err(SendError::Late { hash })
    }

    /// Says what is waited for, at first and then from time to time.
    fn tell(&self, told: &mut Option<Instant>, start: Instant, what: impl Fn() -> String) {
        if told.is_none_or(|last| last.elapsed() >= TELL) {
            *told = Some(Instant::now());
            (self.say)(&format!("{} ({} s)", what(), start.elapsed().as_secs()));
        }
    }

    async fn nonce(&self, tag: &str) -> Result<u64, ReadError> {
        let nonce: U64 = self.ask("eth_getTransactionCount", json!([self.address(), tag])).await?;
        Ok(nonce.to())
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        parameters: serde_json::Value,
    ) -> Result<T, ReadError> {
        Ok(self.contract.reader.rpc.call(method, parameters).await?)
    }
}
