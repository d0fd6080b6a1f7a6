#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};

use mpc::KeyShare;
use ordering_types::chain_spec::{Committee, Validator};
use ordering_types::{Address, ChainSpec, GroupKey, Height, SecretKey, Signature, SystemMessage};

use zeroize::Zeroizing;

use super::*;
use crate::making::{Beginning, Part};

const EPOCH: Epoch = Epoch::new(3);
const PATIENCE: u64 = 5_000;
const START: u64 = 1_800_000_000_000;

fn validator(n: u16) -> Validator {
    let key = SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap().public_key();
    Validator { id: ValidatorId::new(n), key, address: String::new() }
}

fn spec() -> ChainSpec {
    ChainSpec {
        network: "rotation".to_owned(),
        l1_chain_id: 1337,
        inbox: Address::new([0xaa; 20]),
        validators: (1..=4).map(validator).collect(),
        rollups: Vec::new(),
        ..ChainSpec::default()
    }
}

fn members() -> Members {
    Members::new(spec().committee())
}

fn id(index: u16) -> ValidatorId {
    ValidatorId::new(index + 1)
}

fn member(index: u16) -> Rotation {
    let seed = [u8::try_from(index).unwrap() + 1; 32];
    let making =
        KeyMaking::new(&spec(), EPOCH, &spec().committee(), Some(part(id(index), seed)), beginning(0))
            .unwrap();
    Rotation::making(EPOCH, members(), making, PATIENCE)
}

fn part(me: ValidatorId, seed: [u8; 32]) -> Part {
    Part { me, seed: Zeroizing::new(seed), old: None }
}

fn beginning(nth: u16) -> Beginning {
    Beginning { nth, announce_ms: 60_000, ..Beginning::default() }
}

/// All four over one log. Returns the log, and how many got a share.
fn run() -> (Vec<Rotation>, Vec<LoggedBlock>, usize) {
    let mut members: Vec<_> = (0..4).map(member).collect();
    let mut shares = 0;
    let log = over_a_log(&mut members, |_, event| match event {
        RotationEvent::Share(..) => shares += 1,
        other => panic!("{other:?}"),
    });
    (members, log, shares)
}

/// Nodes over one log, each message in a block of its own; what they do not publish is told. Returns the log.
fn over_a_log(members: &mut [Rotation], mut tell: impl FnMut(u16, RotationEvent)) -> Vec<LoggedBlock> {
    let (mut queue, mut log) = (VecDeque::new(), Vec::new());
    let mut take = |queue: &mut VecDeque<_>, index: usize, events: Vec<RotationEvent>| {
        for event in events {
            match event {
                RotationEvent::Publish(payload) => queue.push_back((index, payload)),
                other => tell(index as u16, other),
            }
        }
    };
    for (index, member) in members.iter_mut().enumerate() {
        take(&mut queue, index, member.start(id(index as u16), START, &[]));
    }
    while let Some((sender, payload)) = queue.pop_front() {
        let (height, time_ms) = (Height::new(log.len() as u64 + 1), START + log.len() as u64 + 1);
        let sender = id(sender as u16);
        let Some(LogPayload::Ceremony(bytes)) = LogPayload::decode(&payload) else { panic!("{payload:?}") };
        for (index, member) in members.iter_mut().enumerate() {
            take(&mut queue, index, member.on_ceremony(time_ms, sender, bytes));
        }
        let signature = Signature::new([0; 65]);
        let message = SystemMessage { sender, sequence: 1, payload: payload.clone(), signature };
        log.push(LoggedBlock { height, time_ms, messages: vec![message] });
    }
    log
}

/// The key of validators 1 to 4, shared anew among 2 to 5: the first only deals, the last only receives. And what became of it.
#[test]
fn a_key_that_is_kept_goes_to_other_members() {
    let old = made_by_four();
    let public = old.values().next().unwrap().public().clone();
    let drawn: Vec<Validator> = (2..=5).map(validator).collect();
    let committee = Committee::new(drawn.iter().map(|v| (v.id, v.key)).collect());
    let mut nodes: Vec<Rotation> = (0..5)
        .map(|index| {
            let share = old.get(&id(index)).map(|material| copy(material.share()));
            let part = Part { old: share, ..part(id(index), [20 + u8::try_from(index).unwrap(); 32]) };
            let beginning = Beginning { old: Some(public.clone()), ..beginning(0) };
            let making = KeyMaking::new(&spec(), EPOCH, &committee, Some(part), beginning).unwrap();
            Rotation::making(EPOCH, Members::new(committee.clone()), making, PATIENCE)
        })
        .collect();
    let mut ends = Vec::new();
    over_a_log(&mut nodes, |index, event| ends.push((index, event)));
    let key = GroupKey::from_bytes(public.key()).unwrap();
    let mut shares = 0;
    for (index, event) in ends {
        match event {
            RotationEvent::Share(sharing, material) => {
                assert_eq!((sharing, material.public().key()), (1, public.key()));
                assert_ne!(material.public(), &public, "another sharing");
                assert!(index > 0);
                shares += 1;
            }
            RotationEvent::Known(known) => {
                assert_eq!((index, known), (0, SharedKey { key, sharing: 1 }), "it holds no share any more");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shares, 4);
    assert!(nodes.iter().all(|node| node.to_test().unwrap().1 == 1));
}

fn copy(share: &KeyShare) -> KeyShare {
    KeyShare::from_bytes(share.to_bytes().as_slice()).unwrap()
}

fn made_by_four() -> BTreeMap<ValidatorId, KeyMaterial> {
    let mut made = BTreeMap::new();
    let mut members: Vec<_> = (0..4).map(member).collect();
    over_a_log(&mut members, |index, event| match event {
        RotationEvent::Share(0, material) => drop(made.insert(id(index), *material)),
        other => panic!("{other:?}"),
    });
    made
}

fn voted(payload: Option<Vec<u8>>) -> Option<EpochVote> {
    match LogPayload::decode(&payload?) {
        Some(LogPayload::EpochVote(vote)) => Some(vote),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_make_the_same_key_and_vote_once_when_it_is_tested_and_the_epoch_due() {
    let (mut members, _, shares) = run();
    assert_eq!(shares, 4);
    let (next, sharing) = members[0].to_test().unwrap();
    assert_eq!(sharing, 0, "a fresh key");
    assert_eq!((next.epoch, next.committee), (EPOCH, self::members().hash()));
    for member in &mut members {
        assert_eq!(member.to_test(), Some((next, 0)));
        member.due(START);
        assert_eq!(member.take_vote(), None, "no vote for a key that was not tested");
        let test = GroupSignature::new([5; 65]);
        member.due_ms = None;
        member.tested(SharedKey::fresh(next.key), test);
        assert_eq!(member.take_vote(), None, "the epoch is not due");
        member.due(START);
        assert_eq!(voted(member.take_vote()), Some(EpochVote { next, sharing: 0, test }));
        assert_eq!(member.take_vote(), None, "said once");
        assert_eq!(member.to_test(), None);
    }
}

/// Too many of its holders may be gone: without this rule the epoch would never end.
#[test]
fn a_key_that_is_not_taken_into_use_is_given_up_for_another() {
    let (mut members, log, _) = run();
    let made = log.last().unwrap().time_ms;
    let member = &mut members[1];
    let (old, _) = member.to_test().unwrap();
    assert!(member.on_time(made + 10 * PATIENCE).is_empty(), "not before the epoch is due");
    member.due(made + 10 * PATIENCE);
    assert!(member.on_time(made + 11 * PATIENCE - 1).is_empty());
    let events = member.on_time(made + 11 * PATIENCE);
    assert!(matches!(events.as_slice(), [RotationEvent::Publish(_)]), "a new announcement: {events:?}");
    assert_eq!(member.to_test(), None);
    member.tested(SharedKey::fresh(old.key), GroupSignature::new([5; 65]));
    assert_eq!(member.take_vote(), None, "no vote for what was given up");
    assert!(member.stage().contains("attempt 2"), "{}", member.stage());
    // But if others had their votes under way, it goes with them.
    let vote = EpochVote { next: old, sharing: 0, test: GroupSignature::new([5; 65]) };
    member.back(vote);
    assert_eq!(voted(member.take_vote()), Some(vote));
}

#[test]
fn a_restart_at_any_point_of_the_log_goes_on_where_it_was() {
    let (members, log, _) = run();
    for cut in 0..=log.len() {
        let mut again = member(2);
        let first = again.start(id(2), START, &log[..cut]);
        let own: Vec<_> = log[..cut].iter().flat_map(|b| &b.messages).filter(|m| m.sender == id(2)).collect();
        for event in &first {
            if let RotationEvent::Publish(payload) = event {
                assert!(own.iter().all(|m| m.payload != *payload), "cut at {cut}: said twice");
            }
        }
        for block in &log[cut..] {
            for message in &block.messages {
                let Some(LogPayload::Ceremony(bytes)) = LogPayload::decode(&message.payload) else {
                    panic!()
                };
                again.on_ceremony(block.time_ms, message.sender, bytes);
            }
        }
        assert_eq!(again.to_test(), members[2].to_test(), "cut at {cut}");
    }
}

/// What is said of another epoch is no fault, and what is of no ceremony is.
#[test]
fn messages_of_other_epochs_change_nothing() {
    let making = |epoch| {
        let making =
            KeyMaking::new(&spec(), epoch, &spec().committee(), Some(part(id(1), [7; 32])), beginning(0))
                .unwrap();
        let mut rotation = Rotation::making(epoch, members(), making, PATIENCE);
        match rotation.start(id(1), START, &[]).remove(0) {
            RotationEvent::Publish(payload) => payload,
            other => panic!("{other:?}"),
        }
    };
    let mut rotation = member(0);
    rotation.start(id(0), START, &[]);
    let old = making(Epoch::new(2));
    assert!(rotation.on_ceremony(START, id(1), &old[1..]).is_empty());
    let ahead = making(Epoch::new(4));
    assert!(rotation.on_ceremony(START, id(1), &ahead[1..]).is_empty());
    let garbage = rotation.on_ceremony(START, id(1), &[9; 50]);
    assert!(matches!(garbage.as_slice(), [RotationEvent::Fault { .. }]));
}

/// Those who missed the first ceremony of an epoch join the second; what was due and voted stays.
#[test]
fn another_ceremony_goes_on_with_what_was_said() {
    let mut rotation = Rotation::missed(EPOCH, members());
    rotation.due(START);
    let (next, _) = run().0[0].to_test().unwrap();
    rotation.has_voted(SharedKey::fresh(next.key));
    let seed = Some(part(id(2), [9; 32]));
    let making = KeyMaking::new(&spec(), EPOCH, &spec().committee(), seed, beginning(1)).unwrap();
    let mut rotation = rotation.again(members(), making, PATIENCE);
    let said = rotation.start(id(2), START + 1, &[]);
    assert!(matches!(said.as_slice(), [RotationEvent::Publish(_)]), "{said:?}");
    assert_eq!((rotation.due_ms, rotation.voted), (Some(START), Some(SharedKey::fresh(next.key))));
}

#[test]
fn who_missed_the_beginning_says_only_what_is_proven() {
    let mut rotation = Rotation::missed(EPOCH, members());
    assert!(rotation.start(id(0), START, &[]).is_empty() && rotation.on_time(START + 1).is_empty());
    rotation.due(START);
    assert_eq!((rotation.take_vote(), rotation.to_test()), (None, None));
    assert!(rotation.stage().contains("checkpoint"), "{}", rotation.stage());
    let (next, _) = run().0[0].to_test().unwrap();
    let vote = EpochVote { next, sharing: 0, test: GroupSignature::new([5; 65]) };
    rotation.back(vote);
    assert_eq!(voted(rotation.take_vote()), Some(vote));
}

/// It has no share and cannot make the test; it votes with that of the first vote that it sees.
#[test]
fn a_member_that_was_not_drawn_follows_the_ceremony_and_votes_with_the_others_test() {
    let (members_now, log, _) = run();
    let (next, _) = members_now[0].to_test().unwrap();
    let making = KeyMaking::new(&spec(), EPOCH, &spec().committee(), None, beginning(0)).unwrap();
    let mut observer = Rotation::making(EPOCH, members(), making, PATIENCE);
    let mut known = None;
    for event in observer.start(id(8), START, &log) {
        match event {
            RotationEvent::Known(key) => known = Some(key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(known, Some(SharedKey::fresh(next.key)));
    observer.due(START);
    assert_eq!(observer.take_vote(), None);
    let test = GroupSignature::new([5; 65]);
    let vote = EpochVote { next, sharing: 0, test };
    assert!(observer.lacks_test_of(&vote));
    let of_another_epoch = NextEpoch { epoch: Epoch::new(9), ..next };
    for other in [EpochVote { next: of_another_epoch, ..vote }, EpochVote { sharing: 1, ..vote }] {
        assert!(!observer.lacks_test_of(&other));
    }
    observer.tested(SharedKey::fresh(next.key), test);
    assert_eq!(voted(observer.take_vote()), Some(vote));
    assert!(!observer.lacks_test_of(&vote));
}
