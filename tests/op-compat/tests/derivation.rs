//! What the batcher writes for an OP Stack rollup is what an unmodified derivation pipeline reads.
#![allow(missing_docs)]

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, U256};
use batcher_format::blob::{self, BLOB_BYTES, Blob};
use batcher_format::op::channel::{CHANNEL_TIMEOUT_BLOCKS, MAX_RLP_BYTES, MAX_RLP_BYTES_PER_CHANNEL};
use batcher_format::op::{Channel, ChannelBuilder, L2Block};
use k256::ecdsa::SigningKey;
use kona_genesis::{GRANITE_CHANNEL_TIMEOUT, MAX_RLP_BYTES_PER_CHANNEL_FJORD};
use op_compat::derive::derive;
use op_compat::l1::{Account, INBOX, L1};
use op_compat::l2::{Execution, Rules};

const BATCHER: u8 = 1;
const STRANGER: u8 = 2;

fn batcher() -> Account {
    Account::new(BATCHER)
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// A signed transaction, of type 2 or without a type.
fn transaction(nonce: u64, input: Vec<u8>) -> Bytes {
    let key = SigningKey::from_slice(&[9; 32]).unwrap();
    let sign = |hash: alloy_primitives::B256| key.sign_prehash_recoverable(hash.as_slice()).unwrap().into();
    let (to, input) = (Address::repeat_byte(5).into(), input.into());
    let signed: TxEnvelope = if nonce.is_multiple_of(3) {
        let tx = TxLegacy { chain_id: Some(10), nonce, gas_limit: 90_000, to, input, ..Default::default() };
        let signature = sign(tx.signature_hash());
        tx.into_signed(signature).into()
    } else {
        let value = U256::from(nonce);
        let tx = TxEip1559 { chain_id: 10, nonce, gas_limit: 90_000, to, value, input, ..Default::default() };
        let signature = sign(tx.signature_hash());
        tx.into_signed(signature).into()
    };
    signed.encoded_2718().into()
}

/// An L1 with room for the rollup's epochs, and so many blocks of the rollup; every fifth has no transactions.
fn chain(blocks: u64, bytes: usize) -> (L1, Vec<L2Block>) {
    let mut l1 = L1::new();
    l1.mine_up_to(blocks / 6 + 1);
    let mut execution = Execution::new(&l1);
    let build = |number: u64| {
        let count = number % 5;
        let transactions =
            (0..count).map(|at| transaction(5 * number + at, noise(bytes, 5 * number + at))).collect();
        execution.build(&l1, transactions)
    };
    let blocks = (0..blocks).map(build).collect();
    (l1, blocks)
}

fn channel(blocks: &[L2Block]) -> Channel {
    let mut builder = ChannelBuilder::new();
    for block in blocks {
        builder.push(block).unwrap();
    }
    builder.close().unwrap()
}

/// Each of the channel's transactions in an L1 block of its own.
fn post(l1: &mut L1, channel: &Channel) {
    for blobs in channel.transactions() {
        l1.mine(&[batcher().carry(INBOX, &blobs)]);
    }
}

fn derived(l1: &L1, rules: Rules) -> Vec<L2Block> {
    derive(l1, batcher().address(), rules)
}

fn patched(blob: &Blob, at: usize, change: u8) -> Blob {
    let mut bytes = blob.as_bytes().to_vec();
    bytes[at] ^= change;
    Blob::from_bytes(&bytes).unwrap()
}

#[test]
fn what_goes_in_is_what_is_derived() {
    for rules in Rules::ALL {
        let (mut l1, blocks) = chain(60, 100);
        post(&mut l1, &channel(&blocks));
        let out = derived(&l1, rules);
        assert_eq!(out, blocks, "{rules:?}");
        assert!(out.iter().any(|block| block.origin.number == 9), "epochs go on");
        assert_eq!(out.iter().map(|block| block.transactions.len()).sum::<usize>(), 120);
    }
}

#[test]
fn channels_follow_one_another() {
    for rules in Rules::ALL {
        let (mut l1, blocks) = chain(60, 100);
        for some in blocks.chunks(7) {
            post(&mut l1, &channel(some));
        }
        assert_eq!(derived(&l1, rules), blocks, "{rules:?}");
    }
}

#[test]
fn a_channel_of_several_transactions_is_whole_with_the_last() {
    for rules in Rules::ALL {
        let (mut l1, blocks) = chain(20, 25_000);
        let transactions = channel(&blocks).transactions();
        assert_eq!(transactions.iter().map(Vec::len).collect::<Vec<_>>(), [6, 2]);
        l1.mine(&[batcher().carry(INBOX, &transactions[0])]);
        l1.mine(&[]);
        assert_eq!(derived(&l1, rules), [], "{rules:?}");
        l1.mine(&[batcher().carry(INBOX, &transactions[1])]);
        assert_eq!(derived(&l1, rules), blocks, "{rules:?}");
    }
}

/// The next channel begins while L1 lacks the end of this one: its rest comes too late.
#[test]
fn a_channel_that_is_overtaken_is_lost_since_holocene() {
    let (mut l1, blocks) = chain(20, 25_000);
    let transactions = channel(&blocks).transactions();
    l1.mine(&[batcher().carry(INBOX, &transactions[0])]);
    post(&mut l1, &channel(&blocks[..3]));
    l1.mine(&[batcher().carry(INBOX, &transactions[1])]);
    assert_eq!(derived(&l1, Rules::Isthmus), blocks[..3]);
}

#[test]
fn a_channel_has_to_end_in_time() {
    assert_eq!(CHANNEL_TIMEOUT_BLOCKS, GRANITE_CHANNEL_TIMEOUT);
    for (gap, whole) in [(CHANNEL_TIMEOUT_BLOCKS - 1, true), (CHANNEL_TIMEOUT_BLOCKS + 1, false)] {
        let (mut l1, blocks) = chain(20, 25_000);
        let transactions = channel(&blocks).transactions();
        l1.mine(&[batcher().carry(INBOX, &transactions[0])]);
        for _ in 0..gap - 1 {
            l1.mine(&[]);
        }
        l1.mine(&[batcher().carry(INBOX, &transactions[1])]);
        assert_eq!(derived(&l1, Rules::Isthmus).len(), if whole { blocks.len() } else { 0 }, "{gap} blocks");
    }
}

/// What a batcher does that was started again and does not know what of its last channel is on L1.
#[test]
fn what_is_posted_again_changes_nothing() {
    for rules in Rules::ALL {
        let (mut l1, blocks) = chain(60, 100);
        post(&mut l1, &channel(&blocks[..20]));
        post(&mut l1, &channel(&blocks[..20]));
        post(&mut l1, &channel(&blocks[10..40]));
        post(&mut l1, &channel(&blocks[40..]));
        assert_eq!(derived(&l1, rules), blocks, "{rules:?}");
    }
}

#[test]
fn foreign_blobs_beside_ours_are_skipped() {
    let (l1, blocks) = chain(60, 1_000);
    let ours = channel(&blocks).transactions().concat();
    assert_eq!(ours.len(), 2);
    // One in this project's own packing, one of no packing at all.
    let packed = blob::pack(&noise(50_000, 1)).unwrap().remove(0);
    let mut bytes = noise(BLOB_BYTES, 2);
    bytes.iter_mut().step_by(32).for_each(|first| *first &= 63);
    let wild = Blob::from_bytes(&bytes).unwrap();
    for rules in Rules::ALL {
        let mut l1 = L1::clone_of(&l1);
        let all = [packed.clone(), ours[0].clone(), wild.clone(), ours[1].clone(), packed.clone()];
        l1.mine(&[batcher().carry(INBOX, &all)]);
        assert_eq!(derived(&l1, rules), blocks, "{rules:?}");
    }
}

/// Where the coding itself stands. What brotli wrote has no checksum: there the commitment is what guards the bytes.
#[test]
fn a_blob_with_one_bent_byte_gives_nothing_of_its_channel() {
    let (l1, blocks) = chain(12, 1_000);
    let ours = channel(&blocks).transactions().concat();
    assert_eq!(ours.len(), 1);
    for (what, at) in [
        ("version of the coding", 1),
        ("length of the data", 2),
        ("length of the data", 4),
        ("highest bits of an element", 32),
        ("zeros behind the data", BLOB_BYTES - 1),
        ("version of derivation", 5),
        ("frame number", 5 + 1 + 16 + 1),
        ("length of the frame", 5 + 1 + 16 + 2 + 3),
    ] {
        let mut l1 = L1::clone_of(&l1);
        let change = if at == 32 { 64 } else { 1 };
        l1.mine(&[batcher().carry(INBOX, &[patched(&ours[0], at, change)])]);
        for rules in Rules::ALL {
            assert_eq!(derived(&l1, rules), [], "{what}, {rules:?}");
        }
        l1.mine(&[batcher().carry(INBOX, &ours)]);
        assert_eq!(derived(&l1, Rules::Isthmus), blocks, "posted again after {what}");
    }
}

#[test]
fn only_the_batcher_is_read_and_only_in_the_inbox() {
    let (l1, blocks) = chain(12, 100);
    let ours = channel(&blocks).transactions().concat();
    let elsewhere = Address::repeat_byte(0xb1);
    for (carried, wanted) in [
        (Account::new(STRANGER).carry(INBOX, &ours), 0),
        (batcher().carry(elsewhere, &ours), 0),
        (batcher().carry(INBOX, &ours), blocks.len()),
    ] {
        for rules in Rules::ALL {
            let mut l1 = L1::clone_of(&l1);
            l1.mine(std::slice::from_ref(&carried));
            assert_eq!(derived(&l1, rules).len(), wanted, "{rules:?}");
        }
    }
}

/// A batch names the block before it: blocks of another chain, or with one left out, are nothing.
#[test]
fn blocks_that_do_not_follow_are_not_derived() {
    let (mut l1, mut blocks) = chain(12, 100);
    let dropped = blocks.remove(6);
    post(&mut l1, &channel(&blocks));
    assert_eq!(derived(&l1, Rules::Isthmus), blocks[..6]);
    // Whoever starts again from there heals it.
    blocks.insert(6, dropped);
    post(&mut l1, &channel(&blocks[6..]));
    assert_eq!(derived(&l1, Rules::Isthmus), blocks);
}

/// The largest channel that we make is read by a reader that doubles its buffer up to the bound of the protocol.
#[test]
fn the_largest_channel_is_read() {
    assert_eq!(MAX_RLP_BYTES_PER_CHANNEL as u64, MAX_RLP_BYTES_PER_CHANNEL_FJORD);
    let mut l1 = L1::new();
    l1.mine_up_to(2);
    let mut execution = Execution::new(&l1);
    let block = execution.build(&l1, vec![vec![2; MAX_RLP_BYTES - 200].into()]);
    let next = execution.build(&l1, vec![transaction(1, vec![])]);
    post(&mut l1, &channel(std::slice::from_ref(&block)));
    post(&mut l1, &channel(std::slice::from_ref(&next)));
    let out = derived(&l1, Rules::Isthmus);
    assert!(out == [block, next], "{} blocks", out.len());
}
