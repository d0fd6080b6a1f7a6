//! What contracts answer at one block, through one endpoint.

use alloy::primitives::{Address, B256, Bytes, U64, hex};
use alloy::rpc::types::Log;
use alloy::sol_types::SolCall;
use ordering_types::registry::RegistryError;
use ordering_types::{Digest, L1Reference, ValidatorId};
use rollup::inbox::digest;
use rollup::l1::{EndpointError, Rpc, RpcError};
use rollup::registry::MAX_ACTIVE;
use serde::Deserialize;
use serde_json::{Value, json};

/// Most bytes of an answer: a block with thousands of transaction hashes fits.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Characters of an endpoint's words that are repeated.
const MAX_WORDS: usize = 300;

/// The block after which something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The newest.
    Latest,
    /// The newest that cannot be reverted.
    Finalized,
    /// The one with this hash, if it is in the chain (EIP-1898).
    Block(Digest),
}

impl At {
    fn parameter(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Finalized => json!("finalized"),
            Self::Block(hash) => {
                json!({ "blockHash": B256::new(hash.to_bytes()), "requireCanonical": true })
            }
        }
    }
}

/// Why a contract cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The endpoint's URL.
    #[error("l1.endpoint: {0}")]
    Endpoint(#[from] EndpointError),
    /// The endpoint does not answer, or refuses.
    #[error("{}", words(.0))]
    Rpc(#[from] RpcError),
    /// Another chain.
    #[error(
        "the L1 endpoint serves chain {got}, the genesis file names chain {expected}; set l1.endpoint to a node of chain \
         {expected}"
    )]
    WrongChain {
        /// What it serves.
        got: u64,
        /// What it should serve.
        expected: u64,
    },
    /// The endpoint lacks a block that it should have.
    #[error("the L1 endpoint does not have block {0}")]
    NoBlock(String),
    /// It was asked for one block and gave another.
    #[error("the L1 endpoint answers with block {got} where block {asked} was asked for")]
    OtherBlock {
        /// The block that was wanted.
        asked: u64,
        /// The one that came.
        got: u64,
    },
    /// There is no code at the address.
    #[error(
        "there is no contract at {0} after that L1 block: it was deployed later, or the genesis file names a wrong address"
    )]
    NoContract(Address),
    /// An answer that is none of this contract's.
    #[error("{contract} answers {function} with something else; is it the contract of the genesis file?")]
    Answer {
        /// The contract.
        contract: Address,
        /// What was asked.
        function: &'static str,
    },
    /// More validators than the contract can list.
    #[error("the L1 endpoint lists {0} active validators, the contract lists at most {MAX_ACTIVE}")]
    TooMany(usize),
    /// `active()` and `validator()` contradict each other.
    #[error("the L1 endpoint contradicts itself about validator {0}")]
    Contradiction(ValidatorId),
    /// The list is none that the contract can have.
    #[error("the L1 endpoint lists what the contract cannot: {0}")]
    Registry(#[from] RegistryError),
    /// The list is not what the contract hashed.
    #[error("the L1 endpoint's list of validators has root {ours}, the contract says {theirs}")]
    Root {
        /// Of the list.
        ours: Digest,
        /// Of the contract.
        theirs: Digest,
    },
    /// It takes too long altogether.
    #[error("the L1 endpoint takes longer than {0} s for what is to be reported of a block")]
    Slow(u64),
    /// Logs of the queue that do not lead to what was agreed on.
    #[error("the L1 endpoint's entries of the forced-inclusion queue are not those that were agreed on")]
    Queue,
}

/// The endpoint's own words, cut short and without control characters: they go into logs.
pub(super) fn words(error: &RpcError) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect()
}

/// One endpoint of the chain of the genesis file.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(super) rpc: Rpc,
    /// The chain.
    pub(crate) chain_id: u64,
}

#[derive(Deserialize)]
struct Block {
    number: U64,
    hash: B256,
    timestamp: U64,
}

impl Block {
    fn reference(&self) -> L1Reference {
        L1Reference { number: self.number.to(), hash: digest(self.hash) }
    }
}

impl Reader {
    /// Nothing is asked yet.
    pub(crate) fn new(endpoint: &str, chain_id: u64) -> Result<Self, ReadError> {
        let rpc = Rpc::new(&[endpoint.to_owned()])?.answers_up_to(MAX_ANSWER_BYTES);
        Ok(Self { rpc, chain_id })
    }

    /// Whether the endpoint serves the chain of the genesis file.
    pub(crate) async fn check_chain(&self) -> Result<(), ReadError> {
        let got = self.rpc.call::<U64>("eth_chainId", json!([])).await?.to::<u64>();
        if got == self.chain_id {
            Ok(())
        } else {
            Err(ReadError::WrongChain { got, expected: self.chain_id })
        }
    }

    /// The newest block that cannot be reverted.
    pub(crate) async fn finalized(&self) -> Result<L1Reference, ReadError> {
        self.block_by("finalized".to_owned()).await.map(|block| block.reference())
    }

    /// L1's clock: the time of its newest block, seconds since 1970.
    pub(crate) async fn time(&self) -> Result<u64, ReadError> {
        self.block_by("latest".to_owned()).await.map(|block| block.timestamp.to())
    }

    /// The block with this number.
    pub(crate) async fn block(&self, number: u64) -> Result<L1Reference, ReadError> {
        let block = self.block_by(format!("{number:#x}")).await?.reference();
        if block.number == number {
            Ok(block)
        } else {
            Err(ReadError::OtherBlock { asked: number, got: block.number })
        }
    }

    async fn block_by(&self, name: String) -> Result<Block, ReadError> {
        let block: Option<Block> = self.rpc.call("eth_getBlockByNumber", json!([name, false])).await?;
        block.ok_or(ReadError::NoBlock(name))
    }

    /// One function's answer.
    pub(crate) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
        at: At,
    ) -> Result<C::Return, ReadError> {
        let input = hex::encode_prefixed(call.abi_encode());
        let call = json!([{ "to": contract, "input": input }, at.parameter()]);
        let answer: Bytes = self.rpc.call("eth_call", call).await?;
        if answer.is_empty() {
            return Err(ReadError::NoContract(contract));
        }
        let wrong = |_| ReadError::Answer { contract, function: C::SIGNATURE };
        C::abi_decode_returns_validate(&answer).map_err(wrong)
    }

    /// A contract's logs of one event in a range of blocks, both included.
    pub(crate) async fn logs(
        &self,
        contract: Address,
        event: B256,
        (from, to): (u64, u64),
    ) -> Result<Vec<Log>, ReadError> {
        let filter = json!([{
            "address": contract,
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "topics": [event],
        }]);
        Ok(self.rpc.call("eth_getLogs", filter).await?)
    }
}
