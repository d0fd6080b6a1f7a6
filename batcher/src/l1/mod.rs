//! The L1, as our accounts see one inbox: the transaction manager's wishes in JSON-RPC, and L1's answers as its inputs.

mod endpoints;
mod heads;
mod task;
mod words;

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy::rpc::types::{FeeHistory, TransactionReceipt};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use batcher_format::blob::MAX_BLOBS;
use ordering_types::{Epoch, GroupKey};
use rollup::inbox::ISequencerInbox::{epochCall, groupKeyCall, lastBatchCall, nextNumberCall};
use rollup::inbox::group_key;
use rollup::l1::{EndpointError, RpcError, RpcRefusal};
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::endpoints::{AWAY, Endpoints, HANGS_AFTER, LONGEST_AWAY, MAX_ENDPOINTS, SEND_HANGS_AFTER};
pub use self::heads::{Head, MAX_LAG, Verdict};
pub use self::task::{Task, TaskError};
use self::words::{judge_revert, judge_send, lacks_money};
use crate::txm::{
    Account, Fees, Goal, Market, Place, Receipt, Send, SendFailure, Snapshot, Standing, Trouble,
};

/// Blob gas of a blob (EIP-4844).
pub const GAS_PER_BLOB: u64 = alloy::eips::eip4844::DATA_GAS_PER_BLOB;
/// Gas above the estimate, in percent: the slots that `post` touches may be colder by then.
const GAS_MARGIN_PERCENT: u64 = 25;
/// Less gas than any call takes: an account that cannot pay this cannot pay at all.
const LEAST_GAS: u64 = 40_000;
/// Gas of a call whose cost the endpoint does not estimate: above that of `initialise` with a hundred founders.
const UNESTIMATED_GAS: u64 = 1_000_000;
/// "the method does not exist" (JSON-RPC 2.0).
const UNKNOWN_METHOD: i64 = -32_601;

/// The L1, as the accounts of one batcher see one inbox.
#[derive(Debug)]
pub struct L1 {
    endpoints: Endpoints,
    inbox: Address,
    chain_id: u64,
    signers: BTreeMap<Account, PrivateKeySigner>,
}

/// One account for both kinds of transaction, which pools keep apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} pays for blobs already, and L1's pool reserves an account for one kind: use another key")]
pub struct SameAccount(Address);

/// Where the chain of batches stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxView {
    /// The number that the next batch must have; 0 before `initialise`.
    pub next_number: u64,
    /// Id of the newest batch; zero before the first.
    pub last_id: B256,
    /// Epoch of the key.
    pub epoch: Epoch,
    /// The key; `None` before `initialise`.
    pub key: Option<GroupKey>,
}

/// What a call would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Simulation {
    /// Succeed, with this gas limit.
    Succeeds(u64),
    /// Nothing: somebody has done it already.
    Past,
    /// The contract refuses it for another reason.
    Rejected(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ForkConfig {
    blob_schedule: BlobSchedule,
}

#[derive(Deserialize)]
struct BlobSchedule {
    max: u64,
}

#[derive(Deserialize)]
struct ChainConfig {
    current: ForkConfig,
}

impl L1 {
    /// Endpoints of the chain `chain_id`, the contract on it, and who pays for blobs and everything else.
    ///
    /// # Errors
    /// An endpoint is no URL.
    pub fn new(
        endpoints: &[String],
        chain_id: u64,
        inbox: [u8; 20],
        signer: PrivateKeySigner,
    ) -> Result<Self, EndpointError> {
        let signers = BTreeMap::from([(Account::Blobs, signer)]);
        Ok(Self { endpoints: Endpoints::new(endpoints, chain_id)?, inbox: inbox.into(), chain_id, signers })
    }

    /// With an account of its own for what has no blobs.
    ///
    /// # Errors
    /// It is the same account.
    pub fn with_calldata_account(mut self, signer: PrivateKeySigner) -> Result<Self, SameAccount> {
        if self.account() == signer.address() {
            return Err(SameAccount(signer.address()));
        }
        self.signers.insert(Account::Calldata, signer);
        Ok(self)
    }

    /// The paying account: that of the blobs.
    pub fn account(&self) -> Address {
        self.address(Account::Blobs).unwrap_or_default()
    }

    /// The address of one of the accounts, if it is there.
    pub fn address(&self, account: Account) -> Option<Address> {
        self.signers.get(&account).map(PrivateKeySigner::address)
    }

    /// Who sends what has no blobs.
    pub fn plain_account(&self) -> Account {
        self.signers.keys().next_back().copied().unwrap_or(Account::Blobs)
    }

    /// How many endpoints can be asked.
    pub fn good_endpoints(&self) -> usize {
        self.endpoints.good()
    }

    /// Chain id by the endpoint's word.
    ///
    /// # Errors
    /// No endpoint answers.
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        Ok(self.endpoints.call::<U64>("eth_chainId", json!([])).await?.to())
    }

    /// Most blobs of a transaction: the protocol's bound on those, or on those of a block by the chain's schedule (EIP-7910) if that is lower.
    ///
    /// # Errors
    /// No endpoint answers. One that does not know the method leaves us with the protocol's bound.
    pub async fn blob_limit(&self) -> Result<usize, RpcError> {
        match self.endpoints.call::<ChainConfig>("eth_config", json!([])).await {
            Ok(config) => {
                let a_block = usize::try_from(config.current.blob_schedule.max).unwrap_or(MAX_BLOBS);
                Ok(a_block.clamp(1, MAX_BLOBS))
            }
            Err(RpcError::Refused(refusal)) => {
                if refusal.code != UNKNOWN_METHOD {
                    tracing::debug!(%refusal, "no blob schedule");
                }
                Ok(MAX_BLOBS)
            }
            Err(error) => Err(error),
        }
    }

    /// The newest block of an endpoint that the others do not contradict, which is asked from now on.
    ///
    /// # Errors
    /// No endpoint answers.
    pub async fn survey(&self) -> Result<Head, RpcError> {
        self.endpoints.survey().await
    }

    /// Everything as of this block.
    ///
    /// # Errors
    /// No endpoint answers, or none knows the block.
    pub async fn read(&self, head: Head, hashes: &[B256]) -> Result<(InboxView, Snapshot), RpcError> {
        let at = json!({ "blockHash": head.hash });
        let view = self.view(&at).await?;
        let place = Place { epoch: view.epoch, number: view.next_number };
        Ok((view, self.read_accounts(head, place, hashes).await?))
    }

    /// Accounts, prices and receipts as of this block; the contract stands at `place`.
    ///
    /// # Errors
    /// No endpoint answers, or none knows the block.
    pub async fn read_accounts(
        &self,
        head: Head,
        place: Place,
        hashes: &[B256],
    ) -> Result<Snapshot, RpcError> {
        let at = json!({ "blockHash": head.hash });
        let mut accounts = BTreeMap::new();
        for (account, signer) in &self.signers {
            let nonce = self.nonce(signer.address(), &at).await?;
            let pending = self.nonce(signer.address(), &json!("pending")).await?.max(nonce);
            let balance = self.balance(signer.address(), &at).await?;
            accounts.insert(*account, Standing { nonce, pending, balance });
        }
        let market = self.market().await?;
        let mut receipts = BTreeMap::new();
        for hash in hashes {
            if let Some(receipt) = self.receipt(*hash).await? {
                receipts.insert(*hash, receipt);
            }
        }
        Ok(Snapshot { place, accounts, market, receipts })
    }

    /// What the paying account has as of this block, wei.
    ///
    /// # Errors
    /// No endpoint answers, or none knows the block.
    pub async fn money(&self, head: Head) -> Result<U256, RpcError> {
        self.balance(self.account(), &json!({ "blockHash": head.hash })).await
    }

    async fn view(&self, at: &Value) -> Result<InboxView, RpcError> {
        let present = self.call(&groupKeyCall {}.abi_encode(), at).await?;
        let present = groupKeyCall::abi_decode_returns(&present).map_err(|_| self.no_inbox())?;
        let key = group_key(present.x, present.yOdd);
        let last = self.call(&lastBatchCall {}.abi_encode(), at).await?;
        let last = lastBatchCall::abi_decode_returns(&last).map_err(|_| self.no_inbox())?;
        let next_number = if key.is_some() { last.number.saturating_add(1) } else { 0 };
        let (last_id, epoch) = (last.id, Epoch::new(present.keyEpoch));
        Ok(InboxView { next_number, last_id, epoch, key })
    }

    fn no_inbox(&self) -> RpcError {
        let message = format!("there is no SequencerInbox at {} on this chain", self.inbox);
        RpcRefusal { code: 0, message, data: None }.into()
    }

    async fn call(&self, input: &[u8], at: &Value) -> Result<Bytes, RpcError> {
        let call = json!({ "to": self.inbox, "input": hex::encode_prefixed(input) });
        self.endpoints.call("eth_call", json!([call, at])).await
    }

    async fn nonce(&self, account: Address, at: &Value) -> Result<u64, RpcError> {
        let nonce: U64 = self.endpoints.call("eth_getTransactionCount", json!([account, at])).await?;
        Ok(nonce.to())
    }

    async fn balance(&self, account: Address, at: &Value) -> Result<U256, RpcError> {
        self.endpoints.call("eth_getBalance", json!([account, at])).await
    }

    /// The base fees of the next block, or of the newest if that is dearer (simulations are on top of it), and what others tip.
    async fn market(&self) -> Result<Market, RpcError> {
        let history: FeeHistory = self.endpoints.call("eth_feeHistory", json!(["0x1", "latest", []])).await?;
        let suggested: U256 = self.endpoints.call("eth_maxPriorityFeePerGas", json!([])).await?;
        Ok(Market {
            tip: suggested.saturating_to(),
            base: history.base_fee_per_gas.into_iter().max().unwrap_or_default(),
            blob_base: history.base_fee_per_blob_gas.into_iter().max().unwrap_or_default(),
        })
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, RpcError> {
        let receipt: Option<TransactionReceipt> =
            self.endpoints.call("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt.map(|receipt| {
            let blob_gas = U256::from(receipt.blob_gas_used.unwrap_or_default());
            let cost = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price)
                + blob_gas * U256::from(receipt.blob_gas_price.unwrap_or_default());
            Receipt { success: receipt.status(), gas: receipt.gas_used, cost }
        }))
    }

    /// What the call would do on top of the newest block, sent by this account with so much money.
    ///
    /// # Errors
    /// L1 does not answer, or refuses for a reason of its own.
    pub async fn simulate(
        &self,
        task: &Task,
        account: Account,
        fees: Fees,
        balance: U256,
    ) -> Result<Simulation, Trouble> {
        match self.estimate(task, account, fees).await {
            Ok(gas) => {
                Ok(Simulation::Succeeds(gas.saturating_add(gas.saturating_mul(GAS_MARGIN_PERCENT) / 100)))
            }
            // Nothing can be simulated without money; the transaction manager finds out that there is none.
            Err(RpcError::Refused(refusal))
                if balance < fees.cost(LEAST_GAS, task.blob_gas()) || lacks_money(&refusal) =>
            {
                Ok(Simulation::Succeeds(UNESTIMATED_GAS))
            }
            Err(RpcError::Refused(refusal)) => {
                judge_revert(task.goal(), &refusal).ok_or_else(|| Trouble(refusal.to_string()))
            }
            Err(error) => Err(Trouble(error.to_string())),
        }
    }

    async fn estimate(&self, task: &Task, account: Account, fees: Fees) -> Result<u64, RpcError> {
        let mut call = json!({
            "from": self.address(account),
            "to": self.inbox,
            "input": task.input(),
            "maxFeePerGas": U256::from(fees.cap),
            "maxPriorityFeePerGas": U256::from(fees.tip),
        });
        if let Value::Object(fields) = &mut call
            && task.blobs() > 0
        {
            fields.insert("blobVersionedHashes".to_owned(), json!(task.blob_hashes()));
            fields.insert("maxFeePerBlobGas".to_owned(), json!(U256::from(fees.blob)));
        }
        Ok(self.endpoints.call::<U64>("eth_estimateGas", json!([call, "latest"])).await?.to())
    }

    /// Signs and sends.
    ///
    /// # Errors
    /// What the pool says, unless it has the very transaction already.
    pub async fn send(&self, task: &Task, send: &Send) -> Result<B256, SendFailure> {
        let refused = |why: &str| SendFailure::Refused(why.to_owned());
        let signer =
            self.signers.get(&send.call.account).ok_or_else(|| refused("there is no such account"))?;
        let (hash, raw) = task.sign(signer, self.chain_id, self.inbox, send).map_err(|why| refused(&why))?;
        // Another batcher's transaction in the pool is as good as mined, and ours would burn gas. Asked last, when only
        // the sending itself is left to race with; an endpoint without a pending state only costs such a race.
        if send.alone && self.is_past(task.goal(), "pending").await.unwrap_or(false) {
            return Err(SendFailure::LostRace);
        }
        let raw = json!([hex::encode_prefixed(&raw)]);
        match self.endpoints.call::<B256>("eth_sendRawTransaction", raw).await {
            Ok(_) => Ok(hash),
            Err(RpcError::Refused(refusal)) => judge_send(&refusal, hash),
            Err(_) => Err(SendFailure::Unanswered(hash)),
        }
    }

    /// Whether nobody needs the call any more, by the block with this tag.
    ///
    /// # Errors
    /// No endpoint answers.
    pub async fn is_past(&self, goal: Goal, tag: &str) -> Result<bool, RpcError> {
        if goal == Goal::Frames {
            // There may be no contract to ask.
            return Ok(false);
        }
        let at = json!(tag);
        let number = self.call(&nextNumberCall {}.abi_encode(), &at).await?;
        let number = nextNumberCall::abi_decode_returns(&number).map_err(|_| self.no_inbox())?;
        let epoch = self.call(&epochCall {}.abi_encode(), &at).await?;
        let epoch = epochCall::abi_decode_returns(&epoch).map_err(|_| self.no_inbox())?;
        Ok(goal.is_past(Place { epoch: Epoch::new(epoch), number }))
    }
}
