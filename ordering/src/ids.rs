//! Sets of transaction ids: asked about every transaction at every node, and never walked, so their order is no matter.
//!
//! Ids are SHA-256 digests, which anybody may choose among by grinding. The tables' hash multiplies by a secret of this
//! node, so nobody can aim at one of its buckets.

use hashbrown::HashTable;
use ordering_types::{Digest, RollupId, SecretKey, TxId};

/// Turns ids into places of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdHasher {
    add: u64,
    multiply: u64,
}

impl IdHasher {
    /// From the node's secret.
    pub(crate) fn new(key: &SecretKey) -> Self {
        let digest = Digest::sha256(&[b"mpc-sequencer/id-hasher/1", &key.secret_bytes()]);
        let [a, b, ..] = halves(digest);
        Self { add: a, multiply: b | 1 }
    }

    pub(crate) fn hash(self, rollup: RollupId, id: &TxId) -> u64 {
        let [first, second, ..] = halves(*id);
        let mixed = first ^ self.add ^ (u64::from(rollup.get()) << 32);
        let wide = u128::from(mixed) * u128::from(self.multiply);
        ((wide >> 64) as u64) ^ (wide as u64) ^ second
    }
}

fn halves(digest: Digest) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_bytes().as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

/// A set of ids.
#[derive(Debug)]
pub(crate) struct IdSet {
    hasher: IdHasher,
    table: HashTable<(RollupId, TxId)>,
}

impl IdSet {
    pub(crate) const fn new(hasher: IdHasher) -> Self {
        Self { hasher, table: HashTable::new() }
    }

    pub(crate) fn with_capacity(hasher: IdHasher, capacity: usize) -> Self {
        Self { hasher, table: HashTable::with_capacity(capacity) }
    }

    /// False: it was there.
    pub(crate) fn insert(&mut self, rollup: RollupId, id: TxId) -> bool {
        let hasher = self.hasher;
        let hash = hasher.hash(rollup, &id);
        let entry = self.table.entry(hash, |known| *known == (rollup, id), |(r, i)| hasher.hash(*r, i));
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert((rollup, id));
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, rollup: RollupId, id: &TxId) {
        let hash = self.hasher.hash(rollup, id);
        if let Ok(entry) = self.table.find_entry(hash, |known| *known == (rollup, *id)) {
            entry.remove();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    pub(crate) fn hasher() -> IdHasher {
        IdHasher::new(&SecretKey::from_bytes([9; 32]).unwrap())
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let (mut set, mut model) = (IdSet::new(hasher()), BTreeSet::new());
        for step in 0..5_000_u32 {
            let id = Digest::sha256(&[&(step * 7 % 1_000).to_be_bytes()]);
            let rollup = RollupId::new(step % 3);
            if step % 5 == 4 {
                set.remove(rollup, &id);
                model.remove(&(rollup, id));
            } else {
                assert_eq!(set.insert(rollup, id), model.insert((rollup, id)));
            }
        }
        assert_eq!(set.table.len(), model.len());
    }

    #[test]
    fn another_node_puts_ids_elsewhere() {
        let other = IdHasher::new(&SecretKey::from_bytes([8; 32]).unwrap());
        let ids: Vec<TxId> = (0..64_u8).map(|n| Digest::sha256(&[&[n]])).collect();
        let buckets = |hasher: IdHasher| -> Vec<u64> {
            ids.iter().map(|id| hasher.hash(RollupId::new(1), id) % 64).collect()
        };
        assert_ne!(buckets(hasher()), buckets(other));
    }
}
