//! A block as an execution node tells it, as what L1 must have of it.

use alloy::consensus::TxEnvelope;
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{B256, Bytes, U64, keccak256};
use batcher_format::op::L2Block;
use batcher_format::op::batch::DEPOSIT;
use ordering_types::Digest;
use ordering_types::transaction::tx_id;
use serde::Deserialize;
use serde_json::Value;

use super::l1_info::{self, L1InfoError};

/// Most transactions of one block: more than fit into the gas of any.
pub const MAX_TRANSACTIONS: usize = 100_000;

/// A block's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
}

/// A block, and what is to be known of it beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its name.
    pub id: BlockId,
    /// What L1 must have of it.
    pub block: L2Block,
    /// The network's ids of its transactions.
    pub ids: Vec<Digest>,
}

/// The answer to `eth_getBlockByNumber`, as far as it is of interest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RpcBlock {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    /// Hashes, or whole transactions.
    transactions: Vec<Value>,
}

/// Of a transaction that derivation itself makes.
#[derive(Deserialize)]
struct Deposit {
    input: Bytes,
}

/// Why a block cannot be posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Too many to be one.
    #[error("{0} transactions, at most {MAX_TRANSACTIONS} allowed")]
    TooMany(usize),
    /// No first transaction that says the L1 block.
    #[error("its first transaction is no L1 attributes deposit: is this an OP Stack rollup?")]
    NoL1Info,
    /// One that says it in another way.
    #[error(transparent)]
    L1Info(#[from] L1InfoError),
    /// A transaction that this program cannot write down.
    #[error("transaction {index} is not understood: {why}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// What the reader says.
        why: String,
    },
    /// A transaction that has another hash than it is said to have: the node told something else than it has.
    #[error("transaction {0} has another hash than the execution node says")]
    Hash(usize),
}

impl RpcBlock {
    /// Its name.
    pub fn id(&self) -> BlockId {
        BlockId { number: self.number.to(), hash: digest(self.hash) }
    }

    /// Its time, seconds.
    pub fn timestamp(&self) -> u64 {
        self.timestamp.to()
    }

    /// With whole transactions: what L1 must have of it.
    pub fn read(&self) -> Result<Built, BlockError> {
        let count = self.transactions.len();
        if count > MAX_TRANSACTIONS {
            return Err(BlockError::TooMany(count));
        }
        let first =
            self.transactions.first().filter(|first| is_deposit(first)).ok_or(BlockError::NoL1Info)?;
        let Deposit { input } = Deposit::deserialize(first).map_err(|_| BlockError::NoL1Info)?;
        let origin = l1_info::origin(&input)?;
        let mut transactions = Vec::with_capacity(count);
        for (index, one) in self.transactions.iter().enumerate().filter(|(_, one)| !is_deposit(one)) {
            transactions.push(raw(index, one)?.into());
        }
        let ids = transactions.iter().map(|one: &bytes::Bytes| tx_id(one)).collect();
        let (parent, timestamp) = (digest(self.parent_hash), self.timestamp());
        Ok(Built { id: self.id(), block: L2Block { parent, timestamp, origin, transactions }, ids })
    }
}

fn is_deposit(transaction: &Value) -> bool {
    let kind = transaction.get("type").and_then(|kind| U64::deserialize(kind).ok());
    kind == Some(U64::from(DEPOSIT))
}

/// Its bytes as they were signed. That they are these, its hash says.
fn raw(index: usize, transaction: &Value) -> Result<Vec<u8>, BlockError> {
    let envelope = TxEnvelope::deserialize(transaction)
        .map_err(|error| BlockError::Transaction { index, why: error.to_string() })?;
    let raw = envelope.encoded_2718();
    let said = transaction.get("hash").and_then(|hash| B256::deserialize(hash).ok());
    if said != Some(keccak256(&raw)) {
        return Err(BlockError::Hash(index));
    }
    Ok(raw)
}

const fn digest(hash: B256) -> Digest {
    Digest::new(hash.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use alloy::consensus::{SignableTransaction, TxEip1559, TxLegacy};
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;
    use batcher_format::op::L1Origin;
    use serde_json::json;

    use super::*;

    fn signed() -> [TxEnvelope; 2] {
        let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
        let legacy = TxLegacy { chain_id: Some(10), nonce: 4, gas_limit: 21_000, ..Default::default() };
        let signature = signer.sign_hash_sync(&legacy.signature_hash()).unwrap();
        let typed = TxEip1559 { chain_id: 10, nonce: 5, input: vec![1, 2, 3].into(), ..Default::default() };
        let other = signer.sign_hash_sync(&typed.signature_hash()).unwrap();
        [legacy.into_signed(signature).into(), typed.into_signed(other).into()]
    }

    fn deposit(input: Vec<u8>) -> Value {
        json!({ "type": "0x7e", "hash": B256::repeat_byte(9), "sourceHash": B256::ZERO, "mint": "0x0", "input": Bytes::from(input) })
    }

    fn l1_info() -> Value {
        let mut calldata = l1_info::SELECTORS[1].to_vec();
        calldata.extend([0; 24]);
        calldata.extend(77_u64.to_be_bytes());
        calldata.extend([0; 64]);
        calldata.extend([8; 32]);
        calldata.extend([0; 44]);
        deposit(calldata)
    }

    fn block(transactions: &[Value]) -> RpcBlock {
        serde_json::from_value(json!({
            "number": "0x10",
            "hash": B256::repeat_byte(1),
            "parentHash": B256::repeat_byte(2),
            "timestamp": "0x65",
            "gasUsed": "0x0",
            "transactions": transactions,
        }))
        .unwrap()
    }

    #[test]
    fn deposits_are_left_to_derivation_and_the_rest_is_as_it_was_signed() {
        let [first, second] = signed();
        let (one, two) = (serde_json::to_value(&first).unwrap(), serde_json::to_value(&second).unwrap());
        let built = block(&[l1_info(), deposit(vec![1]), one, two]).read().unwrap();
        let transactions: Vec<bytes::Bytes> = vec![first.encoded_2718().into(), second.encoded_2718().into()];
        assert_eq!(built.id, BlockId { number: 16, hash: Digest::new([1; 32]) });
        assert_eq!(built.ids, transactions.iter().map(|one| tx_id(one)).collect::<Vec<_>>());
        let origin = L1Origin { number: 77, hash: Digest::new([8; 32]) };
        let wanted = L2Block { parent: Digest::new([2; 32]), timestamp: 101, origin, transactions };
        assert_eq!(built.block, wanted);
    }

    #[test]
    fn what_cannot_be_posted_is_said() {
        let [first, _] = signed();
        let mut one = serde_json::to_value(&first).unwrap();
        assert_eq!(block(&[]).read(), Err(BlockError::NoL1Info));
        assert_eq!(block(std::slice::from_ref(&one)).read(), Err(BlockError::NoL1Info));
        let older = deposit([vec![0x01, 0x5d, 0x8e, 0xb9], vec![0; 256]].concat());
        assert_eq!(block(&[older]).read(), Err(BlockError::L1Info(L1InfoError::Selector)));
        one["nonce"] = json!("0x5");
        assert_eq!(block(&[l1_info(), one.clone()]).read(), Err(BlockError::Hash(1)));
        one["type"] = json!("0x55");
        let error = block(&[l1_info(), one]).read().unwrap_err();
        assert!(matches!(error, BlockError::Transaction { index: 1, .. }), "{error}");
        let many = vec![l1_info(); MAX_TRANSACTIONS + 1];
        assert_eq!(block(&many).read(), Err(BlockError::TooMany(MAX_TRANSACTIONS + 1)));
    }
}
