//! Singular batches (<https://specs.optimism.io/protocol/derivation.html#batch-format>).
//!
//! ```text
//!   batch:    u8 version (0) │ rlp([parent hash, epoch number, epoch hash, timestamp, [transaction, …]])
//!   stream:   rlp(batch) │ rlp(batch) │ …
//! ```

use bytes::Bytes;
use ordering_types::Digest;

use crate::transactions::rlp::{put_list, put_number, put_string};

/// Version of a batch that holds one block.
pub(super) const SINGULAR: u8 = 0;
/// EIP-2718 type of transactions that derivation itself makes; a batch with one of them is dropped.
pub const DEPOSIT: u8 = 0x7e;

/// The block of L1 that a block of L2 refers to. All blocks of L2 with the same one are an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Origin {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What L1 must have of one block of L2: the rest of it is derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Block {
    /// Hash of the block before it.
    pub parent: Digest,
    /// Its time, seconds.
    pub timestamp: u64,
    /// What it refers to.
    pub origin: L1Origin,
    /// Its transactions without deposits, each as EIP-2718 has it.
    pub transactions: Vec<Bytes>,
}

/// Why a block is no batch: derivation would drop all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A transaction of no bytes.
    #[error("transaction {0} is empty")]
    Empty(usize),
    /// A transaction that derivation makes.
    #[error("transaction {0} is a deposit: those are derived, not posted")]
    Deposit(usize),
}

/// Most bytes of a batch beside its transactions: fields and the heads of lists.
const OVERHEAD_BYTES: usize = 128;
/// Most bytes of an RLP head.
const HEAD_BYTES: usize = 9;

impl L2Block {
    /// No batch of it takes more bytes.
    pub fn most_bytes(&self) -> usize {
        self.transactions.iter().map(|one| one.len() + HEAD_BYTES).sum::<usize>() + OVERHEAD_BYTES
    }

    /// Appends it to a stream of batches; appends nothing if it is none.
    pub(super) fn put(&self, stream: &mut Vec<u8>) -> Result<(), BatchError> {
        let mut transactions = Vec::with_capacity(self.transactions.iter().map(|one| one.len() + 4).sum());
        for (index, transaction) in self.transactions.iter().enumerate() {
            match transaction.first() {
                None => return Err(BatchError::Empty(index)),
                Some(&DEPOSIT) => return Err(BatchError::Deposit(index)),
                Some(_) => put_string(&mut transactions, transaction),
            }
        }
        let mut fields = Vec::with_capacity(transactions.len() + 96);
        put_string(&mut fields, self.parent.as_ref());
        put_number(&mut fields, &self.origin.number.to_be_bytes());
        put_string(&mut fields, self.origin.hash.as_ref());
        put_number(&mut fields, &self.timestamp.to_be_bytes());
        put_list(&mut fields, &transactions);
        let mut batch = vec![SINGULAR];
        put_list(&mut batch, &fields);
        put_string(stream, &batch);
        Ok(())
    }
}
