#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind};
use ordering_types::{Address, ChainSpec, Incarnation, RollupId, Transaction};

use super::*;

fn rules() -> Rules {
    Rules::new(&ChainSpec {
        network: String::new(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        validators: vec![],
        rollups: vec![Rollup {
            id: RollupId::new(1),
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 1,
            data: DataPolicy::Committee,
            quota_bytes_per_block: 1_000,
        }],
        ..ChainSpec::default()
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

/// Its owner sends it.
const SENT: Claim = Claim { named: false, vouched: true };
/// Only a cut names it.
const NAMED: Claim = Claim { named: true, vouched: false };

const START: (LaneSequence, Digest) = (LaneSequence::new(0), Digest::ZERO);

fn tip(chunk: &Chunk) -> LaneTip {
    LaneTip { lane: chunk.lane(), sequence: chunk.sequence(), digest: chunk.digest() }
}

/// Without it, what a member that left had not got ordered stayed in memory as long as the node ran.
#[test]
fn lanes_of_those_who_are_no_members_any_more_go() {
    let mut store = LaneStore::default();
    let other = LaneId { validator: ValidatorId::new(2), ..lane(1) };
    for chunk in chain(lane(1), 3, b"left").into_iter().chain(chain(other, 2, b"stays")) {
        store.insert(chunk, SENT, START, &rules()).unwrap();
    }
    store.close(|owner| owner == other.validator);
    assert_eq!(store.heads().map(|tip| tip.lane).collect::<Vec<_>>(), [other]);
    assert_eq!(store.undecided_bytes(), store.backlog(other).1);
    assert_eq!(store.chunks.len(), 2);
}

#[test]
fn the_head_advances_over_chunks_that_came_out_of_order() {
    let (rules, chunks) = (rules(), chain(lane(1), 4, b"a"));
    let mut store = LaneStore::default();
    for place in [0, 3, 2] {
        store.insert(chunks[place].clone(), SENT, START, &rules).unwrap();
    }
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[0])));
    assert_eq!(store.gap(&tip(&chunks[3])), tip(&chunks[1]));
    let missing = PathError::Missing { sequence: chunks[1].sequence(), digest: chunks[1].digest() };
    assert_eq!(store.path(START, &tip(&chunks[3])).unwrap_err(), missing);
    store.insert(chunks[1].clone(), SENT, START, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[3])));
    let path = store.path(START, &tip(&chunks[3])).unwrap();
    assert!(path.iter().map(|h| &h.chunk).eq(&chunks));
    assert_eq!(store.insert(chunks[1].clone(), SENT, START, &rules).unwrap_err(), Refused::Known);
}

#[test]
fn of_a_forked_lane_two_branches_are_held_and_the_decided_one_stays() {
    let rules = rules();
    let branches: Vec<_> = [b"a", b"b", b"c"].map(|data| chain(lane(1), 2, data)).into();
    let mut store = LaneStore::default();
    for branch in &branches[..2] {
        for chunk in branch {
            store.insert(chunk.clone(), SENT, START, &rules).unwrap();
        }
    }
    let third = branches[2][0].clone();
    assert_eq!(store.insert(third.clone(), SENT, START, &rules).unwrap_err(), Refused::Branches);
    // Named by a cut, it is taken all the same.
    store.insert(third.clone(), NAMED, START, &rules).unwrap();
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
        store.insert(chunk.clone(), SENT, decided, &rules).unwrap_err()
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
        store.insert(chunk(lane(incarnation), 1, Digest::ZERO, b"x"), SENT, START, &rules).unwrap();
    }
    let older = chunk(lane(1), 1, Digest::ZERO, b"x");
    assert_eq!(store.insert(older, SENT, START, &rules).unwrap_err(), Refused::Closed);
    store.insert(chunk(lane(6), 1, Digest::ZERO, b"x"), SENT, START, &rules).unwrap();
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
        store.insert(chunk.clone(), NAMED, START, &rules).unwrap();
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
        store.insert(next.clone(), SENT, decided, &rules).unwrap();
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
        store.insert(next.clone(), SENT, START, &rules).err().map(|why| (why, next))
    });
    let (why, next) = refused.unwrap();
    assert_eq!(why, Refused::Full);
    let (chunks, bytes) = store.backlog(lane(1));
    assert!(bytes <= MAX_UNDECIDED_BYTES && bytes + next.bytes().len() > MAX_UNDECIDED_BYTES);
    assert_eq!(chunks as u64 + 1, next.sequence().get());
    store.insert(next, NAMED, START, &rules).unwrap();
}

/// A leader that lies names chunks of its own making in the lanes of others. They serve its cut, and neither take the place of what the owner
/// sends nor outlast the height.
#[test]
fn what_only_a_cut_names_is_not_reported_and_goes_with_the_height() {
    let (rules, honest) = (rules(), chain(lane(1), 3, b"honest"));
    let mut store = LaneStore::default();
    for forged in [b"1", b"2", b"3"].map(|data| chain(lane(1), 2, data)) {
        for chunk in forged {
            store.insert(chunk, NAMED, START, &rules).unwrap();
        }
    }
    assert_eq!((store.head(lane(1)), store.backlog(lane(1))), (None, (0, 0)));
    for chunk in &honest[..2] {
        store.insert(chunk.clone(), SENT, START, &rules).unwrap();
    }
    assert_eq!(store.head(lane(1)), Some(tip(&honest[1])));
    assert_eq!(store.decide([], []), []);
    assert_eq!(store.chunks.len(), 2);
    assert_eq!(store.head(lane(1)), Some(tip(&honest[1])));
}

/// A chunk that came for a cut before its owner's own message did counts as soon as that comes, and with it all before it.
#[test]
fn an_owner_vouches_for_a_chunk_and_all_before_it() {
    let (rules, chunks) = (rules(), chain(lane(1), 4, b"a"));
    let mut store = LaneStore::default();
    for chunk in &chunks[1..3] {
        store.insert(chunk.clone(), NAMED, START, &rules).unwrap();
    }
    assert!(store.vouch(chunks[2].digest()));
    assert!(!store.vouch(chunks[1].digest()) && !store.vouch(chunks[3].digest()));
    assert_eq!(store.head(lane(1)), None, "the first is missing");
    let ancestor = Claim { named: false, vouched: false };
    store.insert(chunks[0].clone(), ancestor, START, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[2])));
    store.decide([], []);
    assert_eq!(store.backlog(lane(1)).0, 3);
}

/// The owner of a lane in which a forged chunk was decided goes on from there, at places where its overruled chunks were. Were they kept, the
/// third time would find both branches taken, and its lane would stand still.
#[test]
fn an_overruled_branch_leaves_its_places() {
    let rules = rules();
    let mut store = LaneStore::default();
    let mut decided = START;
    for turn in 0..5_u8 {
        let at = |above: u64, parent, data: &[u8]| {
            chunk(lane(1), decided.0.get() + above, parent, &[&[turn], data].concat())
        };
        let first = at(1, decided.1, b"own");
        let second = at(2, first.digest(), b"own");
        let beyond_a_gap = at(4, Digest::sha256(&[b"gap"]), b"own");
        let forged = at(1, decided.1, b"forged");
        for own in [&first, &second, &beyond_a_gap] {
            store.insert(own.clone(), SENT, decided, &rules).unwrap();
        }
        store.insert(forged.clone(), NAMED, decided, &rules).unwrap();
        assert_eq!(store.decide([tip(&forged)], [forged.digest()]), [lane(1)]);
        assert_eq!(store.backlog(lane(1)), (0, 0));
        decided = (forged.sequence(), forged.digest());
        assert_eq!(store.insert(second, SENT, decided, &rules).unwrap_err(), Refused::DeadBranch);
    }
    assert!(!Refused::DeadBranch.is_fault(), "the owner could not know yet");
}

/// What the owner cut anew may come before the decision that made it cut anew.
#[test]
fn the_new_branch_may_come_before_the_decision() {
    let (rules, old) = (rules(), chain(lane(1), 3, b"old"));
    let mut store = LaneStore::default();
    for chunk in &old {
        store.insert(chunk.clone(), SENT, START, &rules).unwrap();
    }
    let forged = chunk(lane(1), 1, Digest::ZERO, b"forged");
    let new = chunk(lane(1), 2, forged.digest(), b"new");
    store.insert(new.clone(), SENT, START, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&old[2])));
    store.insert(forged.clone(), NAMED, START, &rules).unwrap();
    assert_eq!(store.decide([tip(&forged)], [forged.digest()]), [lane(1)]);
    assert_eq!(store.head(lane(1)), Some(tip(&new)));
    assert_eq!(store.backlog(lane(1)), (1, new.bytes().len()));
}

/// A lane of which part came from its owner and the rest for the cut that was decided is not overruled.
#[test]
fn a_cut_that_goes_on_beyond_what_its_owner_sent_overrules_nothing() {
    let (rules, chunks) = (rules(), chain(lane(1), 5, b"a"));
    let mut store = LaneStore::default();
    for (place, claim) in [(0, SENT), (1, NAMED), (2, NAMED), (4, SENT)] {
        store.insert(chunks[place].clone(), claim, START, &rules).unwrap();
    }
    assert_eq!(store.decide([tip(&chunks[2])], chunks[..3].iter().map(Chunk::digest)), []);
    store.insert(chunks[3].clone(), SENT, (chunks[2].sequence(), chunks[2].digest()), &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&chunks[4])));
}

/// Found by the simulator: a node held the third chunk of a lane and neither the first nor the second when a lying leader's first
/// chunk was decided. It asked for the second for ever.
#[test]
fn what_stands_on_a_dead_branch_goes_when_that_is_seen() {
    let (rules, old) = (rules(), chain(lane(1), 4, b"old"));
    let forged = chunk(lane(1), 1, Digest::ZERO, b"forged");
    let mut store = LaneStore::default();
    for beyond in &old[2..] {
        store.insert(beyond.clone(), SENT, START, &rules).unwrap();
    }
    store.insert(forged.clone(), NAMED, START, &rules).unwrap();
    assert!(store.decide([tip(&forged)], [forged.digest()]).is_empty());
    let decided = (forged.sequence(), forged.digest());
    let new = chunk(lane(1), 2, forged.digest(), b"new");
    assert_eq!(store.gap(&tip(&new)), tip(&old[1]), "nobody can tell yet");
    assert_eq!(store.insert(old[1].clone(), SENT, decided, &rules).unwrap_err(), Refused::DeadBranch);
    assert_eq!((store.get(old[2].digest()).is_none(), store.get(old[3].digest()).is_none()), (true, true));
    assert_eq!((store.gap(&tip(&new)), store.backlog(lane(1))), (tip(&new), (0, 0)));
    store.insert(new.clone(), SENT, decided, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&new)));
}

/// Seed 788 with short epochs: an overruled branch came back from the disk with a restart, and what was asked for was its parent,
/// which was held, so never the hole in the branch that the lane goes on with.
#[test]
fn a_hole_below_a_held_tip_is_asked_for_whatever_other_branches_are_held() {
    let (rules, old) = (rules(), chain(lane(1), 5, b"old"));
    let decided = (LaneSequence::new(1), Digest::sha256(&[b"forged"]));
    let mut parent = decided.1;
    let new: Vec<Chunk> = (2..=4)
        .map(|sequence| {
            let next = chunk(lane(1), sequence, parent, b"new");
            parent = next.digest();
            next
        })
        .collect();
    let mut store = LaneStore::default();
    for recovered in &old[1..] {
        store.insert(recovered.clone(), Claim::OWN, decided, &rules).unwrap();
    }
    store.insert(new[2].clone(), SENT, decided, &rules).unwrap();
    assert_eq!(store.gap(&tip(&new[2])), tip(&new[1]));
    store.insert(new[1].clone(), SENT, decided, &rules).unwrap();
    assert_eq!(store.gap(&tip(&new[2])), tip(&new[0]));
    store.insert(new[0].clone(), SENT, decided, &rules).unwrap();
    assert_eq!(store.head(lane(1)), Some(tip(&new[2])));
}

#[test]
fn after_a_restart_overruled_branches_leave_their_places() {
    let (rules, old) = (rules(), chain(lane(1), 4, b"old"));
    let decided = (LaneSequence::new(1), Digest::sha256(&[b"forged"]));
    let new = chunk(lane(1), 2, decided.1, b"new");
    let mut store = LaneStore::default();
    for recovered in old[1..].iter().chain([&new]) {
        store.insert(recovered.clone(), Claim::OWN, decided, &rules).unwrap();
    }
    store.drop_dead();
    assert!(old[1..].iter().all(|dead| store.get(dead.digest()).is_none()));
    assert_eq!((store.head(lane(1)), store.backlog(lane(1)).0), (Some(tip(&new)), 1));
}
