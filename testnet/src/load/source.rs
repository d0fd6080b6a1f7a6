//! Where transactions come from: signed EVM transfers, signed now or beforehand, or opaque bytes that look random.

use bytes::Bytes;
use ordering_types::RollupId;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::evm::Transfers;

/// Random bytes that opaque transactions are windows on.
const BLOCK_BYTES: usize = 64 << 10;
/// So far apart are fresh random bytes.
const FRESH_EVERY: usize = 64;

/// A supply of distinct transactions for one rollup.
pub struct Source {
    rollup: RollupId,
    kind: Kind,
}

enum Kind {
    Transfers { transfers: Transfers, next: u64 },
    Ready(std::vec::IntoIter<Bytes>),
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

impl Source {
    /// Transfers, each signed when it is taken.
    pub const fn transfers(rollup: RollupId, transfers: Transfers) -> Self {
        Self { rollup, kind: Kind::Transfers { transfers, next: 0 } }
    }

    /// These and no more.
    pub fn ready(rollup: RollupId, transactions: Vec<Bytes>) -> Self {
        Self { rollup, kind: Kind::Ready(transactions.into_iter()) }
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

    /// The next transaction; `None` if there is none left.
    pub fn take(&mut self) -> Option<Bytes> {
        match &mut self.kind {
            Kind::Transfers { transfers, next } => {
                let number = *next;
                *next += 1;
                transfers.nth(number)
            }
            Kind::Ready(transactions) => transactions.next(),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_was_made_beforehand_comes_in_order_and_ends() {
        let all: Vec<Bytes> = [vec![1], vec![2]].map(Bytes::from).to_vec();
        let mut source = Source::ready(RollupId::new(1), all.clone());
        assert_eq!(
            [source.take(), source.take(), source.take()],
            [Some(all[0].clone()), Some(all[1].clone()), None]
        );
    }

    #[test]
    fn opaque_transactions_are_distinct_and_of_the_size_asked_for() {
        let mut source = Source::opaque(RollupId::new(3), 16, 7);
        let all: BTreeSet<Bytes> = (0..1_000).map(|_| source.take().unwrap()).collect();
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|data| data.len() == 16));
    }
}
