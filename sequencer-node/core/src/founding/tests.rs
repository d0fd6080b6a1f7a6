#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use ordering_types::Address;

use super::*;

const DOMAIN: Domain = Domain { l1_chain_id: 1337, inbox: Address::new([0xaa; 20]) };

fn keys() -> Vec<SecretKey> {
    (1..=4).map(|n| SecretKey::from_bytes([n; 32]).unwrap()).collect()
}

fn committee() -> Committee {
    Committee::new((1..=4).zip(keys()).map(|(n, key)| (ValidatorId::new(n), key.public_key())).collect())
}

fn member(index: usize) -> Founding {
    let id = ValidatorId::new(index as u16 + 1);
    Founding::new(DOMAIN, committee(), id, keys()[index].clone(), [index as u8 + 1; 32]).unwrap()
}

/// Senders and payloads, in order.
type Log = Vec<(ValidatorId, Vec<u8>)>;

/// Runs all four over one log; returns the log and what each founded.
fn run() -> (Log, Vec<Option<api::Founding>>) {
    let mut members: Vec<Founding> = (0..4).map(member).collect();
    let mut queue = VecDeque::new();
    let mut founded = vec![None; 4];
    for (index, founding) in members.iter_mut().enumerate() {
        queue.extend(
            published(founding.start([]))
                .into_iter()
                .map(|bytes| (ValidatorId::new(index as u16 + 1), bytes)),
        );
    }
    let mut log = Vec::new();
    while let Some((sender, payload)) = queue.pop_front() {
        log.push((sender, payload.clone()));
        for (index, founding) in members.iter_mut().enumerate() {
            for event in founding.on_logged(sender, &payload) {
                match event {
                    FoundingEvent::Publish(bytes) => {
                        queue.push_back((ValidatorId::new(index as u16 + 1), bytes))
                    }
                    FoundingEvent::Founded(result) => founded[index] = Some(result),
                    FoundingEvent::Share(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    (log, founded)
}

fn published(events: Vec<FoundingEvent>) -> Vec<Vec<u8>> {
    events
        .into_iter()
        .filter_map(|event| match event {
            FoundingEvent::Publish(bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

fn founded(events: &[FoundingEvent]) -> Option<&api::Founding> {
    events.iter().find_map(|event| match event {
        FoundingEvent::Founded(founding) => Some(founding),
        _ => None,
    })
}

#[test]
fn all_found_the_same_key_with_signatures_that_the_contract_accepts() {
    let (_, founded) = run();
    let first = founded[0].clone().unwrap();
    assert!(founded.iter().all(|f| f.as_ref() == Some(&first)));
    assert_eq!(first.signatures.len(), committee().quorum());
    let (x, y) = first.key.coordinates();
    let digest = DOMAIN.initialise(Epoch::new(0), x, y);
    for (id, signature) in &first.signatures {
        assert_eq!(signature.recover(digest).as_ref(), committee().key(*id));
    }
}

#[test]
fn a_restart_at_any_point_of_the_log_says_only_what_the_log_lacks() {
    let (log, founded) = run();
    for cut in 0..=log.len() {
        let mut again = member(2);
        let said = published(again.start(log[..cut].iter().map(|(id, bytes)| (*id, bytes.as_slice()))));
        for bytes in &said {
            let known = log[..cut].iter().any(|(id, b)| *id == ValidatorId::new(3) && b == bytes);
            assert!(!known, "cut at {cut}: said twice");
            assert!(
                log[cut..].iter().any(|(id, b)| *id == ValidatorId::new(3) && b == bytes),
                "cut at {cut}: said anew"
            );
        }
        let events: Vec<_> = log[cut..].iter().flat_map(|(id, bytes)| again.on_logged(*id, bytes)).collect();
        if cut < log.len() - 1 {
            assert!(founded[2].as_ref() == super::tests::founded(&events), "cut at {cut}");
        }
    }
}

#[test]
fn votes_count_once_and_only_with_the_voters_signature() {
    let (log, founded_by) = run();
    let key = founded_by[0].clone().unwrap().key;
    let (x, y) = key.coordinates();
    let sign = |index: usize| *keys()[index].sign(DOMAIN.initialise(Epoch::new(0), x, y)).as_bytes();
    let vote = |signature| LogPayload::FoundingVote { key: *key.as_bytes(), signature }.encode();
    let mut founding = member(3);
    let ceremony = log.iter().filter(|(_, bytes)| bytes[0] == 1);
    founding.start(ceremony.map(|(id, bytes)| (*id, bytes.as_slice())));

    let forged = founding.on_logged(ValidatorId::new(1), &vote(sign(1)));
    assert!(matches!(forged.as_slice(), [FoundingEvent::Fault { peer, .. }] if peer.get() == 1));
    for _ in 0..3 {
        assert!(founded(&founding.on_logged(ValidatorId::new(2), &vote(sign(1)))).is_none());
    }
    assert!(founded(&founding.on_logged(ValidatorId::new(1), &vote(sign(0)))).is_none());
    let stranger = founding.on_logged(ValidatorId::new(9), &vote(sign(0)));
    assert!(matches!(stranger.as_slice(), [FoundingEvent::Fault { .. }]));
    assert!(founded(&founding.on_logged(ValidatorId::new(3), &vote(sign(2)))).is_some());
}

#[test]
fn garbage_in_the_log_is_a_fault_and_nothing_else() {
    let mut founding = member(0);
    founding.start([]);
    for payload in [
        vec![],
        vec![9; 40],
        vec![2; 99],
        LogPayload::FoundingVote { key: [0; 33], signature: [0; 65] }.encode(),
    ] {
        let events = founding.on_logged(ValidatorId::new(2), &payload);
        assert!(matches!(events.as_slice(), [FoundingEvent::Fault { .. }]), "{payload:?}");
    }
}
