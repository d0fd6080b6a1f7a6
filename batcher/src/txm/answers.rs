//! What L1 says.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use ordering_types::Epoch;

use super::fees::Market;
use super::flight::Account;

/// Where the contract is: what it takes next is either the handover to the epoch after this one or the batch of this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Epoch of its key.
    pub epoch: Epoch,
    /// Number of the next batch; 0 before the first key.
    pub number: u64,
}

/// One of our accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Next nonce by mined transactions.
    pub nonce: u64,
    /// Next nonce with those in the pool of the endpoint.
    pub pending: u64,
    /// Its money, wei.
    pub balance: U256,
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whether the call succeeded.
    pub success: bool,
    /// Gas that it used.
    pub gas: u64,
    /// What it cost, blobs included, wei.
    pub cost: U256,
}

/// L1 as of one block. (Receipts and pool may be newer.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The contract.
    pub place: Place,
    /// Our accounts.
    pub accounts: BTreeMap<Account, Standing>,
    /// Prices.
    pub market: Market,
    /// Of the transactions that [`Txm::watched`](super::Txm::watched) named, those in a block.
    pub receipts: BTreeMap<B256, Receipt>,
}

/// What L1 did not answer, or refused to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

/// Why a send was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// Not sent: the pool holds another batcher's call that does the same.
    LostRace,
    /// No answer: it may have been accepted.
    Unanswered(B256),
    /// "replacement transaction underpriced"
    Underpriced,
    /// "transaction underpriced", fee cap below the base fee.
    BelowMarket,
    /// "nonce too low"
    NonceTooLow,
    /// "nonce too high", gapped.
    NonceTooHigh,
    /// "insufficient funds"
    InsufficientFunds,
    /// "address already reserved": the pool holds a transaction of another kind from this account.
    Reserved,
    /// Anything else.
    Refused(String),
}

/// Why nothing is sent for a while.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pause {
    /// The account cannot pay.
    #[error("out of money: send ether to the account of `{0}`, posting then goes on by itself")]
    OutOfMoney(Account),
    /// The market is above what the operator allows.
    #[error("L1 is dearer than max_fee_gwei or max_blob_fee_gwei allow: raise them, or wait")]
    TooExpensive,
    /// The pool holds another kind of transaction of this account.
    #[error("the L1 pool holds another kind of transaction of this account: is somebody else using its key?")]
    Reserved,
    /// The same, and it is one of ours that nobody needs any more.
    #[error("an earlier transaction of this account is of another kind, and has to go first")]
    OtherKind,
    /// L1 refuses the transaction.
    #[error("L1 refuses the transaction: {0}")]
    Refused(String),
    /// The nonce moved, or prices did.
    #[error("nonce or prices on L1 have moved")]
    Stale,
}
