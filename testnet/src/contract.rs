//! The L1 side as the testnet sees it: deploys the contracts, and reads batches and balances as anyone can.

use std::collections::BTreeMap;

use alloy::eips::BlockNumberOrTag;
use alloy::network::{Ethereum, EthereumWallet, TransactionBuilder};
use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::signers::local::coins_bip39::English;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use alloy::sol_types::{SolCall, SolEvent, SolValue};
use alloy::transports::TransportError;
use ordering_types::Digest;
use rollup::inbox::ISequencerInbox::{BatchPosted, Rotated, initialisedCall, nextNumberCall, queueCall};
use rollup::registry::IValidatorRegistry::{Founder, Status, Validator, validatorCall};
use serde::{Deserialize, Serialize};

use crate::genesis::FORCED_FEE_WEI;
use crate::layout::MAX_NODES;

const INBOX: &str = include_str!("../../batcher/contracts/artifacts/SequencerInbox.json");
const REGISTRY: &str = include_str!("../../batcher/contracts/artifacts/ValidatorRegistry.json");
/// Most L1 blocks asked for at once.
const LOG_RANGE: u64 = 1_000;

/// Why L1 did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum L1Error {
    /// The endpoint failed.
    #[error("L1: {0}")]
    Transport(#[from] TransportError),
    /// A transaction was not included in time.
    #[error("L1 transaction: {0}")]
    Pending(#[from] alloy::providers::PendingTransactionError),
    /// A contract answered with something else than its interface says.
    #[error("L1 contract: {0}")]
    Contract(#[from] alloy::sol_types::Error),
    /// The contract refuses the call, or its own deployment.
    #[error("L1 reverted transaction {0}")]
    Reverted(alloy::primitives::TxHash),
    /// The mnemonic is none.
    #[error("the mnemonic gives no account {index}: {reason}")]
    Mnemonic {
        /// Index of the account.
        index: u32,
        /// Why.
        reason: String,
    },
    /// The checked-in artifact is not what the build expects.
    #[error("the checked-in contract artifact is unreadable: rebuild it as batcher/contracts says")]
    Artifact,
    /// An event or receipt that this inbox does not emit.
    #[error("L1 sent an event that is none of the inbox: {0}")]
    Event(String),
}

/// A batch as L1 recorded it, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its number, from 1.
    pub number: u64,
    /// Its id.
    pub id: String,
    /// Id of the batch before; zero for the first.
    pub parent: String,
    /// First height.
    pub first_height: u64,
    /// Last height.
    pub last_height: u64,
    /// Time of its last block, milliseconds since 1970.
    pub last_time_ms: u64,
    /// L1 block that carries it.
    pub l1_block: u64,
    /// Who paid.
    pub poster: Address,
    /// Blobs.
    pub blobs: u64,
    /// Execution gas of the transaction; zero if that posted other batches before this one.
    pub gas: u64,
}

/// Account `index` of the development mnemonic (m/44'/60'/0'/0/index).
pub fn account(mnemonic: &str, index: u32) -> Result<PrivateKeySigner, L1Error> {
    let wrong = |error: &dyn std::fmt::Display| L1Error::Mnemonic { index, reason: error.to_string() };
    let builder = MnemonicBuilder::<English>::default().phrase(mnemonic);
    builder.index(index).map_err(|error| wrong(&error))?.build().map_err(|error| wrong(&error))
}

/// What the log of L1 says of one handover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Hash of the epoch's committee.
    pub committee: Digest,
    /// The epoch's key, by its x coordinate.
    pub key_x: [u8; 32],
}

/// A read connection to L1.
#[derive(Clone)]
pub struct L1 {
    provider: DynProvider<Ethereum>,
}

impl L1 {
    /// From the endpoint's URL; nothing is asked yet.
    pub fn new(url: &str) -> Self {
        let url = url.parse().expect("our own URL is one");
        Self { provider: ProviderBuilder::new().connect_http(url).erased() }
    }

    /// Its chain id.
    pub async fn chain_id(&self) -> Result<u64, L1Error> {
        Ok(self.provider.get_chain_id().await?)
    }

    /// Its newest block.
    pub async fn block_number(&self) -> Result<u64, L1Error> {
        Ok(self.provider.get_block_number().await?)
    }

    /// What an account has, in wei.
    pub async fn balance(&self, account: Address) -> Result<U256, L1Error> {
        Ok(self.provider.get_balance(account).await?)
    }

    /// Whether the inbox knows the group key.
    pub async fn initialised(&self, inbox: Address) -> Result<bool, L1Error> {
        let call = TransactionRequest::default().with_to(inbox).with_input(initialisedCall {}.abi_encode());
        Ok(initialisedCall::abi_decode_returns(&self.provider.call(call).await?)?)
    }

    /// Entries that were ever put into the inbox's forced-inclusion queue.
    pub async fn forced(&self, inbox: Address) -> Result<u64, L1Error> {
        let call = TransactionRequest::default().with_to(inbox).with_input(queueCall {}.abi_encode());
        Ok(queueCall::abi_decode_returns(&self.provider.call(call).await?)?.count)
    }

    /// Something that only a development chain does.
    pub async fn dev(&self, method: &'static str, params: serde_json::Value) -> Result<(), L1Error> {
        let _: serde_json::Value = self.provider.raw_request(method.into(), params).await?;
        Ok(())
    }

    /// The number of the batch that the inbox takes next.
    pub async fn next_batch(&self, inbox: Address) -> Result<u64, L1Error> {
        let call = TransactionRequest::default().with_to(inbox).with_input(nextNumberCall {}.abi_encode());
        Ok(nextNumberCall::abi_decode_returns(&self.provider.call(call).await?)?)
    }

    /// Gas that these accounts spent on transactions to the inbox that had no effect, and on all.
    pub async fn wasted_gas(&self, inbox: Address, payers: &[Address]) -> Result<(u64, u64), L1Error> {
        let (mut wasted, mut all) = (0, 0);
        for number in 0..=self.block_number().await? {
            let receipts = self.provider.get_block_receipts(number.into()).await?.unwrap_or_default();
            for receipt in receipts.iter().filter(|one| one.to == Some(inbox) && payers.contains(&one.from)) {
                all += receipt.gas_used;
                wasted += if receipt.status() { 0 } else { receipt.gas_used };
            }
        }
        Ok((wasted, all))
    }

    /// Every batch that L1 has now, in order.
    pub async fn all_batches(&self, inbox: Address) -> Result<Vec<Batch>, L1Error> {
        let (mut all, mut from) = (Vec::new(), 0);
        while from <= self.block_number().await? {
            let (batches, to) = self.batches(inbox, from).await?;
            all.extend(batches);
            from = to + 1;
        }
        Ok(all)
    }

    /// Its newest final block.
    pub async fn finalized(&self) -> Result<u64, L1Error> {
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Finalized).await?;
        Ok(block.map_or(0, |block| block.header.number))
    }

    /// Everybody who ever joined, by their ids.
    pub async fn validators(&self, registry: Address) -> Result<Vec<Validator>, L1Error> {
        let mut all = Vec::new();
        for id in 1..=MAX_NODES {
            let call = validatorCall { id }.abi_encode();
            let call = TransactionRequest::default().with_to(registry).with_input(call);
            let validator = validatorCall::abi_decode_returns(&self.provider.call(call).await?)?;
            if matches!(validator.status, Status::None) {
                break;
            }
            all.push(validator);
        }
        Ok(all)
    }

    /// Every epoch's handover, as L1 has it.
    pub async fn handovers(&self, inbox: Address) -> Result<BTreeMap<u64, HandedOver>, L1Error> {
        let newest = self.block_number().await?;
        let mut all = BTreeMap::new();
        for from in (0..=newest).step_by(LOG_RANGE as usize) {
            let range = Filter::new().address(inbox).event_signature(Rotated::SIGNATURE_HASH);
            let range = range.from_block(from).to_block(newest.min(from + LOG_RANGE - 1));
            for log in self.provider.get_logs(&range).await? {
                let event =
                    Rotated::decode_log(&log.inner).map_err(|error| L1Error::Event(error.to_string()))?;
                let committee = Digest::new(event.committeeHash.0);
                all.insert(event.epoch, HandedOver { committee, key_x: event.x.to_be_bytes() });
            }
        }
        Ok(all)
    }

    /// Batches recorded from L1 block `from` on, and the L1 block up to which was looked.
    pub async fn batches(&self, inbox: Address, from: u64) -> Result<(Vec<Batch>, u64), L1Error> {
        let newest = self.block_number().await?;
        let to = newest.min(from.saturating_add(LOG_RANGE));
        if to < from {
            return Ok((Vec::new(), from.saturating_sub(1)));
        }
        let range = Filter::new().address(inbox).event_signature(BatchPosted::SIGNATURE_HASH);
        let range = range.from_block(BlockNumberOrTag::Number(from)).to_block(BlockNumberOrTag::Number(to));
        let mut batches: Vec<Batch> = Vec::new();
        let mut paid = None;
        for log in self.provider.get_logs(&range).await? {
            let mut batch = self.batch(&log).await?;
            // One transaction may post several: it is paid once.
            if paid == log.transaction_hash {
                batch.gas = 0;
            }
            paid = log.transaction_hash;
            batches.push(batch);
        }
        Ok((batches, to))
    }

    async fn batch(&self, log: &Log) -> Result<Batch, L1Error> {
        let wrong = |what: &str| L1Error::Event(what.to_owned());
        let event = BatchPosted::decode_log(&log.inner).map_err(|error| wrong(&error.to_string()))?;
        let hash = log.transaction_hash.ok_or_else(|| wrong("no transaction"))?;
        let receipt = self.provider.get_transaction_receipt(hash).await?;
        let receipt = receipt.ok_or_else(|| wrong("its receipt is missing"))?;
        Ok(Batch {
            number: event.number,
            id: event.id.to_string(),
            parent: event.header.parentId.to_string(),
            first_height: event.header.firstHeight,
            last_height: event.header.lastHeight,
            last_time_ms: event.header.lastTime,
            l1_block: log.block_number.ok_or_else(|| wrong("no block"))?,
            poster: receipt.from,
            blobs: event.blobHashes.len() as u64,
            gas: receipt.gas_used,
        })
    }
}

/// Seconds without batch or rotation after which n − f validators may install a new key, longer than any fault that is tried out here;
/// seconds after which a forced entry is overdue, and after which it can escape: the least; wei that one costs.
const TERMS: (u64, u64, u64, u64) = (3_600, 60, 120, FORCED_FEE_WEI);

/// Wei that each validator has at stake: little, the accounts have ten thousand ether.
pub const STAKE_WEI: u64 = 1_000_000_000_000_000_000;
/// Seconds from a validator's relief to its withdrawal: the contract's least, so that somebody may wait for it.
const UNBONDING_S: u64 = 60;

/// Deploys the inbox for these founding validators, in order of their ids; returns its address.
pub async fn deploy(
    url: &str,
    deployer: PrivateKeySigner,
    validators: Vec<Address>,
) -> Result<Address, L1Error> {
    create(url, deployer, INBOX, (validators, TERMS).abi_encode_params(), U256::ZERO).await
}

/// Deploys the registry beside the inbox, open to whoever has the stake; returns its address. The founders are in order of their ids;
/// the deployer pays their stakes.
pub async fn deploy_registry(
    url: &str,
    deployer: PrivateKeySigner,
    inbox: Address,
    founders: Vec<Founder>,
) -> Result<Address, L1Error> {
    let (permissioned, stake) = (false, U256::from(STAKE_WEI));
    let value = stake * U256::from(founders.len());
    let arguments = (inbox, founders, permissioned, stake, UNBONDING_S).abi_encode_params();
    create(url, deployer, REGISTRY, arguments, value).await
}

async fn create(
    url: &str,
    deployer: PrivateKeySigner,
    artifact: &str,
    arguments: Vec<u8>,
    value: U256,
) -> Result<Address, L1Error> {
    let artifact: serde_json::Value = serde_json::from_str(artifact).map_err(|_| L1Error::Artifact)?;
    let code = bytecode(&artifact).ok_or(L1Error::Artifact)?;
    let input = [code.as_ref(), &arguments].concat();
    let url = url.parse().expect("our own URL is one");
    let provider = ProviderBuilder::new().wallet(EthereumWallet::from(deployer)).connect_http(url);
    let request = TransactionRequest::default().with_deploy_code(input).with_value(value);
    let receipt = provider.send_transaction(request).await?.get_receipt().await?;
    let address = receipt.contract_address.filter(|_| receipt.status());
    address.ok_or(L1Error::Reverted(receipt.transaction_hash))
}

fn bytecode(artifact: &serde_json::Value) -> Option<Bytes> {
    let code = artifact.get("bytecode")?;
    let text = code.get("object").unwrap_or(code).as_str()?;
    text.parse().ok().filter(|code: &Bytes| !code.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_checked_in_artifacts_have_code() {
        for artifact in [INBOX, REGISTRY] {
            let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
            assert!(bytecode(&artifact).is_some());
        }
        assert!(bytecode(&serde_json::json!({"bytecode": "0x"})).is_none());
    }

    #[test]
    fn accounts_are_those_of_every_development_chain() {
        let account = account(dev_l1::DEFAULT_MNEMONIC, 0).unwrap();
        assert_eq!(account.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert!(matches!(super::account("not a phrase", 0), Err(L1Error::Mnemonic { .. })));
    }
}
