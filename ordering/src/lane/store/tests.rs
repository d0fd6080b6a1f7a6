#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind};
use ordering_types::{Address, ChainSpec, Incarnation, RollupId, Transaction};

use super::*;

fn rules() -> Rules {
    Rules::new(&ChainSpec {
        network: String::new(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        limits: Limits::default(),
        validators: vec![],
        rollups: vec![Rollup {
            id: RollupId::new(1),
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 1,
            data: DataPolicy::Committee,
            quota_bytes_per_block: 1_000,
        }],
    })
}

fn lane(incarnation: u64) -> LaneId {
    LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(incarnation) }
}

fn chunk(lane: LaneId, sequence: u64, parent: Digest, data: &[u8]) -> Chunk {
    let transaction = Transaction { rollup: RollupId::new(1), data: Bytes::copy_from_slice(data) };
    Chunk::new(lane, LaneSequence::new(sequence), parent, &[transaction]).unwrap()
}

/// A chain of `count` chunks from the start of a lane.
fn chain(lane: LaneId, count: u64, data: &[u8]) -> Vec<Chunk> {
    let mut parent = Digest::ZERO;
    (1..=count)
        .map(|sequence| {
            let next = chunk(lane, sequence, parent, data);
            parent = next.digest();
            next
        })
        .collect()
}

const START: (LaneSequence, Digest) = (LaneSequence::new(0), Digest::ZERO);

fn tip(chunk: &Chunk) -> LaneTip {
    LaneTip { lane: chunk.lane(), sequence: chunk.sequence(), digest: chunk.digest() }
}

#[test]
fn the_head_advances_over_chunks_that_came_out_of_order() {
    let (rules, chunks) = (rules(), chain(lane(1), 4, b"a"));
    let mut store = LaneStore::default();
    for place in [0, 3, 2] {
        store.insert(chunks[place].clone(), false, START, &rules).unwrap();
    }
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[0])));
    assert_eq!(store.gap(&tip(&chunks[3])), tip(&chunks[1]));
    let missing = PathError::Missing { sequence: chunks[1].sequence(), digest: chunks[1].digest() };
    assert_eq!(store.path(START, &tip(&chunks[3])).unwrap_err(), missing);
    store.insert(chunks[1].clone(), false, START, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[3])));
    let path = store.path(START, &tip(&chunks[3])).unwrap();
    assert!(path.iter().map(|h| &h.chunk).eq(&chunks));
    assert_eq!(store.insert(chunks[1].clone(), false, START, &rules).unwrap_err(), Refused::Known);
}

#[test]
fn of_a_forked_lane_two_branches_are_held_and_the_decided_one_stays() {
    let rules = rules();
    let branches: Vec<_> = [b"a", b"b", b"c"].map(|data| chain(lane(1), 2, data)).into();
    let mut store = LaneStore::default();
    for branch in &branches[..2] {
        for chunk in branch {
            store.insert(chunk.clone(), false, START, &rules).unwrap();
        }
    }
    let third = branches[2][0].clone();
    assert_eq!(store.insert(third.clone(), false, START, &rules).unwrap_err(), Refused::Branches);
    // Named by a cut, it is taken all the same.
    store.insert(third.clone(), true, START, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&branches[0][1])));

    let decided = &branches[1][0];
    store.decide([tip(decided)], [decided.digest()]);
    assert_eq!(store.head(lane(1)), Some(tip(&branches[1][1])));
    assert!(store.get(third.digest()).is_none() && store.get(branches[0][0].digest()).is_none());
    assert!(store.get(decided.digest()).is_some(), "kept for peers");
}

#[test]
fn what_cannot_be_ordered_any_more_or_ever_is_refused() {
    let (rules, chunks) = (rules(), chain(lane(1), 3, b"a"));
    let mut store = LaneStore::default();
    let decided = (chunks[0].sequence(), chunks[0].digest());
    let refused = |store: &mut LaneStore, chunk: &Chunk| {
        store.insert(chunk.clone(), false, decided, &rules).unwrap_err()
    };
    assert_eq!(refused(&mut store, &chunks[0]), Refused::Decided);
    let dead = chunk(lane(1), 2, Digest::sha256(&[b"other"]), b"x");
    assert_eq!(refused(&mut store, &dead), Refused::DeadBranch);
    let heavy = chunk(lane(1), 3, Digest::ZERO, &[0; 1_000]);
    assert_eq!(refused(&mut store, &heavy), Refused::TooHeavy);
    let far = chunk(lane(1), 2 + MAX_UNDECIDED_CHUNKS, Digest::ZERO, b"x");
    assert_eq!(refused(&mut store, &far), Refused::TooFar);
}

#[test]
fn a_validator_has_places_for_its_newest_lanes_only() {
    let rules = rules();
    let mut store = LaneStore::default();
    for incarnation in [2, 3, 4, 5] {
        store.insert(chunk(lane(incarnation), 1, Digest::ZERO, b"x"), false, START, &rules).unwrap();
    }
    let older = chunk(lane(1), 1, Digest::ZERO, b"x");
    assert_eq!(store.insert(older, false, START, &rules).unwrap_err(), Refused::Closed);
    store.insert(chunk(lane(6), 1, Digest::ZERO, b"x"), false, START, &rules).unwrap();
    let lanes: Vec<_> = store.heads().map(|tip| tip.lane).collect();
    assert_eq!(lanes, [3, 4, 5, 6].map(lane));
}

/// Found by restarting nodes five times within one block: the lanes that one cut named pushed each other out, were fetched again,
/// and so on without end.
#[test]
fn lanes_that_a_cut_names_do_not_push_each_other_out() {
    let rules = rules();
    let mut store = LaneStore::default();
    let chunks = [1, 2, 3, 4, 5, 6].map(|i| chunk(lane(i), 1, Digest::ZERO, b"x"));
    for chunk in &chunks {
        store.insert(chunk.clone(), true, START, &rules).unwrap();
    }
    assert!(chunks.iter().all(|chunk| store.path(START, &tip(chunk)).is_ok()));
    store.decide(chunks.iter().map(tip), chunks.iter().map(Chunk::digest));
    assert_eq!(store.lanes.len(), LANES_PER_VALIDATOR);
}

#[test]
fn undecided_and_decided_chunks_are_bounded() {
    let rules = rules();
    let mut store = LaneStore::default();
    let mut decided = START;
    for sequence in 1..=RETAINED_BLOCKS as u64 + 10 {
        let next = chunk(lane(1), sequence, decided.1, &sequence.to_be_bytes());
        store.insert(next.clone(), false, decided, &rules).unwrap();
        decided = (next.sequence(), next.digest());
        store.decide([tip(&next)], [next.digest()]);
        assert_eq!(store.backlog(lane(1)), (0, 0));
    }
    assert_eq!(store.chunks.len(), RETAINED_BLOCKS);
}

/// An owner that sends large chunks faster than they are decided fills its lane and no more. What a cut names is stored all the same.
#[test]
fn undecided_bytes_of_a_lane_are_bounded() {
    let (rules, mut store) = (crate::load::tests::generous_rules(), LaneStore::default());
    let data = Bytes::from(vec![7; 128 * 1024]);
    let large = |sequence: u64, parent| {
        let transactions = [0; 7].map(|_| Transaction { rollup: RollupId::new(1), data: data.clone() });
        Chunk::new(lane(1), LaneSequence::new(sequence), parent, &transactions).unwrap()
    };
    let mut parent = Digest::ZERO;
    let refused = (1..).find_map(|sequence| {
        let next = large(sequence, parent);
        parent = next.digest();
        store.insert(next.clone(), false, START, &rules).err().map(|why| (why, next))
    });
    let (why, next) = refused.unwrap();
    assert_eq!(why, Refused::Full);
    let (chunks, bytes) = store.backlog(lane(1));
    assert!(bytes <= MAX_UNDECIDED_BYTES && bytes + next.bytes().len() > MAX_UNDECIDED_BYTES);
    assert_eq!(chunks as u64 + 1, next.sequence().get());
    store.insert(next, true, START, &rules).unwrap();
}
