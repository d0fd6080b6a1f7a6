#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use alloy::primitives::{U256, b256};
use alloy_trie::{Nibbles, proof::verify_proof, root::storage_root_unsorted};

use super::*;

impl Leaf for U256 {
    fn encoded(&self) -> Vec<u8> {
        alloy::rlp::encode(self)
    }
}

/// A small deterministic generator: the test must replay exactly.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn an_empty_trie_has_the_well_known_root() {
    let trie = Trie::<U256>::default();
    assert_eq!(trie.root(), b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"));
    assert!(trie.proof(&B256::ZERO).is_empty());
}

/// Random inserts, overwrites and removals; after each step the root equals the one that an
/// independent implementation computes from scratch. Half of the keys share long prefixes so that
/// extensions appear, split and vanish.
#[test]
fn roots_agree_with_an_independent_implementation_after_every_edit() {
    let mut random = Sequence(7);
    let mut trie = Trie::default();
    let mut model = BTreeMap::new();
    let key = |n: u64| {
        if n.is_multiple_of(2) {
            keccak256(n.to_be_bytes())
        } else {
            let mut key = B256::repeat_byte(0xab);
            key[20] = (n % 5) as u8;
            key[31] = n as u8;
            key
        }
    };
    for step in 0..600 {
        let key = key(random.next(60));
        if random.next(3) == 0 {
            trie.remove(&key);
            model.remove(&key);
        } else {
            let value = U256::from(random.next(1 << 30) + 1) << (random.next(20) * 8);
            trie.insert(key, value);
            model.insert(key, value);
        }
        assert_eq!(trie.root(), storage_root_unsorted(model.clone()), "step {step}");
    }
    for (key, value) in &model {
        assert_eq!(trie.lookup(key), Some(value));
    }
}

#[test]
fn a_clone_keeps_what_it_held() {
    let mut trie = Trie::default();
    for n in 0..50u64 {
        trie.insert(keccak256(n.to_be_bytes()), U256::from(n + 1));
    }
    let (snapshot, root) = (trie.clone(), trie.root());
    trie.remove(&keccak256(3u64.to_be_bytes()));
    trie.insert(keccak256(9u64.to_be_bytes()), U256::from(77));
    assert_ne!(trie.root(), root);
    assert_eq!(snapshot.root(), root);
    assert_eq!(snapshot.lookup(&keccak256(9u64.to_be_bytes())), Some(&U256::from(10)));
}

#[test]
fn proofs_of_presence_and_absence_verify() {
    let mut trie = Trie::default();
    for n in 0..200u64 {
        trie.insert(keccak256(n.to_be_bytes()), U256::from(n + 1));
    }
    for n in 0..400u64 {
        let key = keccak256(n.to_be_bytes());
        let expected = trie.lookup(&key).map(Leaf::encoded);
        assert_eq!(expected.is_some(), n < 200);
        let proof = trie.proof(&key);
        verify_proof(trie.root(), Nibbles::unpack(key), expected.clone(), &proof).unwrap();
        let wrong = Some(vec![0x99]);
        assert!(verify_proof(trie.root(), Nibbles::unpack(key), wrong, &proof).is_err());
    }
}
