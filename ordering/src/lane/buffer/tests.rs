#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind};
use ordering_types::{Address, ChainSpec, Digest, Incarnation, LaneId, LaneSequence, ValidatorId};

use super::*;
use crate::ids::tests::hasher;

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
        ..ChainSpec::default()
    })
}

fn settings() -> Settings {
    Settings { chunk_bytes: 1_000, pending_transactions: 100, ..Settings::new(Incarnation::new(1)) }
}

fn deadline(buffer: &Buffer, rules: &Rules, settings: &Settings) -> Option<Time> {
    buffer.deadline(rules, settings, |since| since + settings.chunk_delay)
}

fn transaction(rollup: RollupId, number: u32, length: usize) -> Transaction {
    let mut data = vec![0; length];
    data[..4].copy_from_slice(&number.to_be_bytes());
    Transaction { rollup, data: data.into() }
}

/// What was taken, as the chunk that it becomes.
fn chunk(taken: &[Transaction], rules: &Rules) -> Arc<Held> {
    let lane = LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(1) };
    let chunk = Chunk::new(lane, LaneSequence::new(1), Digest::ZERO, taken).unwrap();
    Arc::new(Held::new(chunk, rules))
}

#[test]
fn bad_transactions_are_refused_each_for_its_reason() {
    let (rules, settings) = (rules(1_000), settings());
    let mut buffer = Buffer::new(4, hasher());
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
    let (rules, settings) = (rules(1_000), Settings { pending_transactions: 200, ..settings() });
    let mut buffer = Buffer::new(4, hasher());
    let refused = (0..).find_map(|i| buffer.push(NOW, transaction(A, i, 92), &rules, &settings).err());
    assert_eq!(refused, Some(SubmitError::OverQuota { rollup: A, waiting: 8_000, limit: 8_000 }));
    buffer.push(NOW, transaction(B, 0, 92), &rules, &settings).unwrap();
    // A quarter of the quota is this lane's share: two transactions of 100.
    let first = buffer.take(NOW, &rules, &settings);
    assert_eq!(first.iter().map(|t| t.rollup).collect::<Vec<_>>(), [A, B, A]);
    assert_eq!(deadline(&buffer, &rules, &settings), None, "the share is in flight");
    buffer.push(NOW, transaction(B, 1, 92), &rules, &settings).unwrap();
    let second = buffer.take(NOW, &rules, &settings);
    assert_eq!(second.iter().map(|t| t.rollup).collect::<Vec<_>>(), [B]);

    buffer.decided(&chunk(&first, &rules), &rules);
    assert!(deadline(&buffer, &rules, &settings).is_some());
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 2);
}

#[test]
fn a_chunk_is_due_after_the_delay_or_when_it_is_full() {
    let (rules, settings) = (rules(100_000), settings());
    let mut buffer = Buffer::new(1, hasher());
    assert_eq!(deadline(&buffer, &rules, &settings), None);
    buffer.push(NOW, transaction(A, 0, 92), &rules, &settings).unwrap();
    assert_eq!(deadline(&buffer, &rules, &settings), Some(NOW + settings.chunk_delay));
    for i in 1..12 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    assert_eq!(deadline(&buffer, &rules, &settings), Some(NOW));
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 10);
    assert_eq!(buffer.waiting(), (2, 200));
}

#[test]
fn a_chunk_never_holds_more_than_a_block_may() {
    let rules = rules(100_000);
    let settings = Settings { chunk_bytes: 100_000, ..settings() };
    let mut buffer = Buffer::new(1, hasher());
    for i in 0..30 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    // 2,000 bytes bound for blobs fit into a block.
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 20);
}

/// Whatever A does, a quarter of the buffer is left for others, and the rest is shared by quota once they are there.
#[test]
fn a_full_buffer_says_so_and_keeps_room_for_others() {
    let (rules, settings) = (rules(100_000), settings());
    let mut buffer = Buffer::new(4, hasher());
    let fill = |buffer: &mut Buffer, rollup| {
        (0..).find_map(|i| buffer.push(NOW, transaction(rollup, i, 92), &rules, &settings).err()).unwrap()
    };
    assert_eq!(fill(&mut buffer, A), SubmitError::Full { transactions: 75, bytes: 7_500 });
    assert_eq!(fill(&mut buffer, B), SubmitError::Full { transactions: 100, bytes: 10_000 });
    let settings = Settings { pending_bytes: 4_000, ..settings };
    let mut buffer = Buffer::new(4, hasher());
    let fill = |buffer: &mut Buffer, rollup| {
        (0..).find_map(|i| buffer.push(NOW, transaction(rollup, i, 92), &rules, &settings).err()).unwrap()
    };
    let over = |rollup, waiting, limit| SubmitError::OverQuota { rollup, waiting, limit };
    assert_eq!(fill(&mut buffer, A), over(A, 3_000, 3_000));
    assert_eq!(fill(&mut buffer, B), SubmitError::Full { transactions: 40, bytes: 4_000 });
    let mut buffer = Buffer::new(4, hasher());
    buffer.push(NOW, transaction(A, 0, 92), &rules, &settings).unwrap();
    assert_eq!(fill(&mut buffer, B), over(B, 1_500, 1_500));
}

/// One rollup at ten times its quota, in large transactions, and one with a small one now and then. Turns by transaction gave the large ones most
/// of each chunk.
#[test]
fn chunks_are_shared_by_bytes_and_quota() {
    let rules = rules(2_000);
    let settings = Settings { chunk_bytes: 1_100, ..settings() };
    let mut buffer = Buffer::new(1, hasher());
    for i in 0..10 {
        buffer.push(NOW, transaction(A, i, 492), &rules, &settings).unwrap();
    }
    for i in 0..20 {
        buffer.push(NOW, transaction(B, i, 42), &rules, &settings).unwrap();
    }
    let bytes = |taken: &[Transaction], rollup| -> usize {
        taken.iter().filter(|t| t.rollup == rollup).map(|t| Chunk::cost(t.data.len())).sum()
    };
    let chunk = buffer.take(NOW, &rules, &settings);
    assert_eq!((bytes(&chunk, A), bytes(&chunk, B)), (500, 600));
    // What comes later to an empty queue is the next to be taken, not the last.
    let mut buffer = Buffer::new(1, hasher());
    for i in 0..10 {
        buffer.push(NOW, transaction(A, i, 192), &rules, &settings).unwrap();
    }
    buffer.take(NOW, &rules, &Settings { chunk_bytes: 200, ..settings });
    buffer.push(NOW, transaction(B, 0, 42), &rules, &settings).unwrap();
    let chunk = buffer.take(NOW, &rules, &settings);
    assert!(chunk.iter().position(|t| t.rollup == B).unwrap() <= 1);
}

/// Two rollups whose quotas add up to more than a block holds share it: what both have in flight never exceeds one block.
#[test]
fn active_rollups_never_have_more_in_flight_than_a_block_holds() {
    let rules = rules(1_900);
    let settings = Settings { chunk_bytes: 100_000, ..settings() };
    let in_flight = |both: bool| {
        let mut buffer = Buffer::new(2, hasher());
        for i in 0..30 {
            buffer.push(NOW, transaction(A, i, 42), &rules, &settings).unwrap();
            if both {
                buffer.push(NOW, transaction(B, i, 42), &rules, &settings).unwrap();
            }
        }
        let taken = buffer.take(NOW, &rules, &settings);
        assert!(buffer.take(NOW, &rules, &settings).is_empty());
        [A, B].map(|rollup| 50 * taken.iter().filter(|t| t.rollup == rollup).count())
    };
    // Two members; a block holds 2,000 bytes bound for blobs.
    assert_eq!(in_flight(false), [950, 0], "alone, all of its quota");
    assert_eq!(in_flight(true), [500, 500], "together, half of the block each");
}

/// A flood that waits for its share made every transaction of another rollup a chunk of its own, until the lane had its fill of chunks.
#[test]
fn a_flood_that_waits_does_not_make_tiny_chunks() {
    let (rules, settings) = (rules(1_000), settings());
    let mut buffer = Buffer::new(4, hasher());
    for i in 0..40 {
        buffer.push(NOW, transaction(A, i, 92), &rules, &settings).unwrap();
    }
    assert_eq!(buffer.take(NOW, &rules, &settings).len(), 2, "its share");
    buffer.push(NOW, transaction(B, 0, 12), &rules, &settings).unwrap();
    assert_eq!(deadline(&buffer, &rules, &settings), Some(NOW + settings.chunk_delay));
}

/// What is decided makes room, for the rollup and in the sum of active quotas.
#[test]
fn an_idle_rollup_takes_no_part() {
    let (rules, settings) = (rules(1_900), settings());
    let mut buffer = Buffer::new(1, hasher());
    buffer.push(NOW, transaction(B, 0, 92), &rules, &settings).unwrap();
    buffer.push(NOW, transaction(A, 0, 92), &rules, &settings).unwrap();
    assert_eq!(buffer.share(A, &rules), 1_000);
    let taken = buffer.take(NOW, &rules, &settings);
    assert_eq!(buffer.share(A, &rules), 1_000, "in undecided chunks it is active");
    buffer.decided(&chunk(&taken, &rules), &rules);
    buffer.push(NOW, transaction(A, 1, 92), &rules, &settings).unwrap();
    assert_eq!(buffer.share(A, &rules), 1_900);
}

/// What overruled chunks held waits again where it was, before what came later, and is counted as it was before it was taken.
#[test]
fn what_is_taken_back_waits_again_in_its_order() {
    let (rules, settings) = (rules(8_000), Settings { chunk_bytes: 300, ..settings() });
    let mut buffer = Buffer::new(1, hasher());
    let all: Vec<Transaction> = (0..8).map(|i| transaction(if i % 2 == 0 { A } else { B }, i, 92)).collect();
    for transaction in &all {
        buffer.push(NOW, transaction.clone(), &rules, &settings).unwrap();
    }
    let before = format!("{:?} {:?}", buffer.waiting(), buffer.active);
    let chunks = [(); 2].map(|()| chunk(&buffer.take(NOW, &rules, &settings), &rules));
    assert_eq!(buffer.waiting(), (2, 200));
    buffer.take_back(NOW, &chunks, |_, _| false, &rules);
    assert_eq!(format!("{:?} {:?}", buffer.waiting(), buffer.active), before);
    assert!(buffer.queues.values().all(|queue| queue.in_flight == 0 && queue.waiting_bytes == 400));
    assert_eq!(
        buffer.push(NOW, all[0].clone(), &rules, &settings),
        Err(SubmitError::Pending(all[0].id())),
        "it waits still"
    );
    let taken: Vec<Transaction> = std::iter::from_fn(|| {
        let taken = buffer.take(NOW, &rules, &settings);
        (!taken.is_empty()).then_some(taken)
    })
    .flatten()
    .collect();
    for rollup in [A, B] {
        let of = |all: &[Transaction]| all.iter().filter(|t| t.rollup == rollup).cloned().collect::<Vec<_>>();
        assert_eq!(of(&taken), of(&all));
    }
}

/// A forged chunk may hold copies of what it overrules.
#[test]
fn what_is_ordered_meanwhile_is_not_taken_back() {
    let (rules, settings) = (rules(8_000), settings());
    let mut buffer = Buffer::new(1, hasher());
    let all = [0, 1, 2].map(|i| transaction(A, i, 92));
    for transaction in &all {
        buffer.push(NOW, transaction.clone(), &rules, &settings).unwrap();
    }
    let overruled = chunk(&buffer.take(NOW, &rules, &settings), &rules);
    buffer.take_back(NOW, &[overruled], |_, id| id == all[1].id(), &rules);
    assert_eq!(buffer.waiting(), (2, 200));
    assert_eq!(buffer.take(NOW, &rules, &settings), [all[0].clone(), all[2].clone()]);
    // Nothing remembers the ordered one; the duplicate window does.
    assert!(buffer.push(NOW, all[1].clone(), &rules, &settings).is_ok());
}

/// A full buffer takes back what it had taken, and nothing new until there is room again.
#[test]
fn what_is_taken_back_passes_the_limits_and_keeps_others_out() {
    let (rules, settings) = (rules(80_000), Settings { pending_transactions: 8, ..settings() });
    let mut buffer = Buffer::new(1, hasher());
    let fill = |buffer: &mut Buffer, from: u32| {
        (from..).map_while(|i| buffer.push(NOW, transaction(A, i, 92), &rules, &settings).ok()).count()
    };
    assert_eq!(fill(&mut buffer, 0), 6, "three quarters");
    let overruled = chunk(&buffer.take(NOW, &rules, &settings), &rules);
    assert_eq!(fill(&mut buffer, 10), 6);
    buffer.take_back(NOW, &[overruled], |_, _| false, &rules);
    assert_eq!((buffer.waiting().0, fill(&mut buffer, 20)), (12, 0));
    buffer.take(NOW, &rules, &settings);
    assert!(fill(&mut buffer, 20) > 0);
}
