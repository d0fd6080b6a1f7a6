#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind};
use ordering_types::{Address, ChainSpec, Incarnation};

use super::*;

const A: RollupId = RollupId::new(1);
const B: RollupId = RollupId::new(2);
const NOW: Time = Time::from_millis(1_000);

fn rules(quota: u32) -> Rules {
    let rollup = |id| Rollup {
        id,
        name: String::new(),
        kind: RollupKind::Opaque,
        chain_id: 1,
        data: DataPolicy::Blob,
        quota_bytes_per_block: quota,
    };
    Rules::new(&ChainSpec {
        network: String::new(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        limits: Limits { blob_bytes_per_block: 2_000, ..Limits::default() },
        validators: vec![],
        rollups: vec![rollup(A), rollup(B)],
    })
}

fn settings() -> Settings {
    Settings { chunk_bytes: 1_000, pending_transactions: 100, ..Settings::new(Incarnation::new(1)) }
}

fn transaction(rollup: RollupId, number: u32, length: usize) -> Transaction {
    let mut data = vec![0; length];
    data[..4].copy_from_slice(&number.to_be_bytes());
    Transaction { rollup, data: data.into() }
}

#[test]
fn bad_transactions_are_refused_each_for_its_reason() {
    let (rules, settings) = (rules(1_000), settings());
    let mut buffer = Buffer::new(4);
    let mut push = |t| buffer.push(NOW, t, &rules, &settings);
    let unknown = RollupId::new(9);
    assert_eq!(push(transaction(unknown, 0, 10)), Err(SubmitError::UnknownRollup(unknown)));
    let empty = Transaction { rollup: A, data: Bytes::new() };
    assert_eq!(push(empty), Err(SubmitError::Empty));
    assert_eq!(push(transaction(A, 0, 993)), Err(SubmitError::TooLarge { bytes: 993, limit: 992 }));
    let id = push(transaction(A, 0, 992)).unwrap();
    assert_eq!(push(transaction(A, 0, 992)), Err(SubmitError::Pending(id)));
}

#[test]
fn a_flooding_rollup_is_refused_and_does_not_stand_before_another() {
    let (rules, settings) = (rules(1_000), settings());
    let mut buffer = Buffer::new(4);
    let refused = (0..).find_map(|i| buffer.push(NOW, transaction(A, i, 92), &rules, &settings).err());
    assert_eq!(refused, Some(SubmitError::OverQuota { rollup: A, waiting: 8_000, limit: 8_000 }));
    buffer.push(NOW, transaction(B, 0, 92), &rules, &settings).unwrap();
    // A quarter of the quota is this lane's share: two transactions of 100.
    let first = buffer.take(NOW, &rules, &settings);
    assert_eq!(first.iter().map(|t| t.rollup).collect::<Vec<_>>(), [A, B, A]);
    assert_eq!(buffer.deadline(&rules, &settings), None, "the share is in flight");
    buffer.push(NOW, transaction(B, 1, 92), &rules, &settings).unwrap();
    let second = buffer.take(NOW, &rules, &settings);
    assert_eq!(second.iter().map(|t| t.rollup).collect::<Vec<_>>(), [B]);

    let mut load = Load::default();
    first.iter().for_each(|t| load.add_transaction(t.rollup, t.data.len(), &rules));
    buffer.decided(first.iter().map(|t| (t.rollup, t.id())), &load);
    assert!(buffer.deadline(&rules, &settings).is_some());
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 2);
}

#[test]
fn a_chunk_is_due_after_the_delay_or_when_it_is_full() {
    let (rules, settings) = (rules(100_000), settings());
    let mut buffer = Buffer::new(4);
    assert_eq!(buffer.deadline(&rules, &settings), None);
    buffer.push(NOW, transaction(A, 0, 92), &rules, &settings).unwrap();
    assert_eq!(buffer.deadline(&rules, &settings), Some(NOW + settings.chunk_delay));
    for i in 1..12 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    assert_eq!(buffer.deadline(&rules, &settings), Some(NOW));
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 10);
    assert_eq!(buffer.waiting(), (2, 200));
}

#[test]
fn a_chunk_never_holds_more_than_a_block_may() {
    let rules = rules(100_000);
    let settings = Settings { chunk_bytes: 100_000, ..settings() };
    let mut buffer = Buffer::new(4);
    for i in 0..30 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    // 2,000 bytes bound for blobs fit into a block.
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 20);
}

#[test]
fn a_full_buffer_says_so() {
    let (rules, settings) = (rules(100_000), settings());
    let mut buffer = Buffer::new(4);
    for i in 0..100 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    let full = SubmitError::Full { transactions: 100, bytes: 10_000 };
    assert_eq!(buffer.push(NOW, transaction(B, 0, 92), &rules, &settings), Err(full));
}
