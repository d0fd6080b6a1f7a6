//! Where transactions come from: signed EVM transfers, or opaque bytes that look random.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TxSignerSync;
use alloy::primitives::{Address, TxKind, U256};
use alloy::signers::local::PrivateKeySigner;
use bytes::Bytes;
use ordering_types::RollupId;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Random bytes that opaque transactions are windows on.
const BLOCK_BYTES: usize = 64 << 10;
/// So far apart are fresh random bytes.
const FRESH_EVERY: usize = 64;
/// One gwei.
const GWEI: u128 = 1_000_000_000;

/// An endless supply of distinct transactions for one rollup.
pub struct Source {
    rollup: RollupId,
    kind: Kind,
}

enum Kind {
    Evm { chain_id: u64, accounts: Vec<Account>, next: usize },
    Opaque(Box<Opaque>),
}

/// Random bytes cost more than everything else that a client does with a transaction, so most of them are used again.
struct Opaque {
    bytes: usize,
    random: ChaCha8Rng,
    /// Random bytes; a transaction begins as a window on them.
    block: Vec<u8>,
    counter: u64,
}

struct Account {
    signer: PrivateKeySigner,
    nonce: u64,
}

impl Source {
    /// EIP-1559 transfers of one wei among these accounts, in turn, each with its nonces in order.
    pub fn evm(rollup: RollupId, chain_id: u64, signers: Vec<PrivateKeySigner>) -> Self {
        let accounts = signers.into_iter().map(|signer| Account { signer, nonce: 0 }).collect();
        Self { rollup, kind: Kind::Evm { chain_id, accounts, next: 0 } }
    }

    /// Bytes that look random: a window at a random place of 64 KiB of random bytes, with 8 fresh random bytes in every 64. The first
    /// eight are a counter, so that no two are the same. One alone does not compress; many together do, so where compression
    /// is measured this is not the source to use.
    pub fn opaque(rollup: RollupId, bytes: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut block = vec![0; BLOCK_BYTES + bytes];
        random.fill_bytes(&mut block);
        Self { rollup, kind: Kind::Opaque(Box::new(Opaque { bytes, random, block, counter: 0 })) }
    }

    /// For which rollup.
    pub const fn rollup(&self) -> RollupId {
        self.rollup
    }

    /// The next transaction; `None` only if there are no accounts.
    pub fn take(&mut self) -> Option<Bytes> {
        match &mut self.kind {
            Kind::Evm { chain_id, accounts, next } => {
                let count = accounts.len();
                let to = accounts.get((*next + 1) % count.max(1))?.signer.address();
                let account = accounts.get_mut(*next)?;
                *next = (*next + 1) % count.max(1);
                Some(account.transfer(*chain_id, to))
            }
            Kind::Opaque(opaque) => Some(opaque.take()),
        }
    }
}

impl Opaque {
    fn take(&mut self) -> Bytes {
        let place = self.random.next_u32() as usize % BLOCK_BYTES;
        let window = self.block.get(place..place + self.bytes).unwrap_or_default();
        let mut data = window.to_vec();
        for piece in data.chunks_mut(FRESH_EVERY) {
            if let Some(fresh) = piece.first_chunk_mut() {
                *fresh = self.random.next_u64().to_be_bytes();
            }
        }
        if let Some(count) = data.first_chunk_mut() {
            *count = self.counter.to_be_bytes();
        }
        self.counter += 1;
        data.into()
    }
}

impl Account {
    fn transfer(&mut self, chain_id: u64, to: Address) -> Bytes {
        let mut transaction = TxEip1559 {
            chain_id,
            nonce: self.nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: 2 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: TxKind::Call(to),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        self.nonce += 1;
        let signature =
            self.signer.sign_transaction_sync(&mut transaction).expect("a local key signs any transaction");
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::BTreeSet;

    use alloy::consensus::Transaction;
    use alloy::eips::eip2718::Decodable2718;

    use super::*;
    use crate::contract::account;

    #[test]
    fn evm_transactions_are_signed_for_their_chain_with_nonces_in_order() {
        let signers: Vec<_> = (3..5).map(|index| account(dev_l1::DEFAULT_MNEMONIC, index).unwrap()).collect();
        let addresses: Vec<_> = signers.iter().map(PrivateKeySigner::address).collect();
        let mut source = Source::evm(RollupId::new(1), 900_001, signers);
        for i in 0..6_usize {
            let raw = source.take().unwrap();
            let decoded = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
            let signed = decoded.as_eip1559().unwrap();
            let signer = signed.signature().recover_address_from_prehash(&signed.signature_hash());
            assert_eq!(signer.unwrap(), addresses[i % 2]);
            assert_eq!((decoded.chain_id(), decoded.nonce()), (Some(900_001), i as u64 / 2));
        }
        assert!(Source::evm(RollupId::new(1), 1, Vec::new()).take().is_none());
    }

    #[test]
    fn opaque_transactions_are_distinct_and_of_the_size_asked_for() {
        let mut source = Source::opaque(RollupId::new(3), 16, 7);
        let all: BTreeSet<Bytes> = (0..1_000).map(|_| source.take().unwrap()).collect();
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|data| data.len() == 16));
    }
}
