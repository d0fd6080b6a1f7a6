#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use ordering_types::chain_spec::{Ceremony, Epochs, Limits, Validator};
use ordering_types::{Address, ChainSpec, Height, SecretKey, Signature, SystemMessage};

use super::*;

const EPOCH: Epoch = Epoch::new(3);
const COMMITTEE: Digest = Digest::ZERO;
const START: u64 = 1_800_000_000_000;

fn spec() -> ChainSpec {
    let validator = |n: u16| Validator {
        id: ValidatorId::new(n),
        key: SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap().public_key(),
        address: String::new(),
    };
    ChainSpec {
        network: "rotation".to_owned(),
        l1_chain_id: 1337,
        inbox: Address::new([0xaa; 20]),
        limits: Limits::default(),
        ceremony: Ceremony::default(),
        epochs: Epochs::default(),
        validators: (1..=4).map(validator).collect(),
        rollups: Vec::new(),
    }
}

fn id(index: u16) -> ValidatorId {
    ValidatorId::new(index + 1)
}

fn member(index: u16) -> Rotation {
    let seed = [u8::try_from(index).unwrap() + 1; 32];
    let making = KeyMaking::new(&spec(), EPOCH, &spec().committee(), id(index), seed).unwrap();
    Rotation::making(EPOCH, COMMITTEE, making)
}

/// All four over one log, each message in a block of its own. Returns the log, and how many got a share.
fn run() -> (Vec<Rotation>, Vec<LoggedBlock>, usize) {
    let mut members: Vec<_> = (0..4).map(member).collect();
    let (mut queue, mut log, mut shares) = (VecDeque::new(), Vec::new(), 0);
    let mut take = |queue: &mut VecDeque<_>, index: usize, events: Vec<RotationEvent>| {
        for event in events {
            match event {
                RotationEvent::Publish(payload) => queue.push_back((index, payload)),
                RotationEvent::Share(_) => shares += 1,
                other => panic!("{other:?}"),
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
    (members, log, shares)
}

#[test]
fn all_make_the_same_key_and_vote_once_when_it_is_tested() {
    let (mut members, _, shares) = run();
    assert_eq!(shares, 4);
    let next = members[0].next().unwrap();
    assert_eq!((next.epoch, next.committee), (EPOCH, COMMITTEE));
    for member in &mut members {
        assert_eq!(member.next(), Some(next));
        assert_eq!(member.take_vote(), None, "no vote for a key that was not tested");
        let test = GroupSignature::new([5; 65]);
        member.tested(test);
        assert_eq!(member.take_vote(), Some(LogPayload::EpochVote(EpochVote { next, test }).encode()));
        assert_eq!(member.take_vote(), None, "said once");
    }
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
        assert_eq!(again.next(), members[2].next(), "cut at {cut}");
    }
}

/// What is said late of an epoch that is over is no fault, and what is of no ceremony is.
#[test]
fn messages_of_other_epochs_change_nothing() {
    let making = |epoch| {
        let making = KeyMaking::new(&spec(), epoch, &spec().committee(), id(1), [7; 32]).unwrap();
        let mut rotation = Rotation::making(epoch, COMMITTEE, making);
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
    let events = rotation.on_ceremony(START, id(1), &ahead[1..]);
    assert!(matches!(events.as_slice(), [] | [RotationEvent::Fault { .. }]), "{events:?}");
    let garbage = rotation.on_ceremony(START, id(1), &[9; 50]);
    assert!(matches!(garbage.as_slice(), [RotationEvent::Fault { .. }]));
}

#[test]
fn who_missed_the_beginning_says_nothing() {
    let mut rotation = Rotation::missed(EPOCH, COMMITTEE);
    assert!(rotation.start(id(0), START, &[]).is_empty() && rotation.on_time(START + 1).is_empty());
    rotation.tested(GroupSignature::new([5; 65]));
    assert_eq!((rotation.take_vote(), rotation.next()), (None, None));
    assert!(rotation.stage().contains("checkpoint"), "{}", rotation.stage());
}
