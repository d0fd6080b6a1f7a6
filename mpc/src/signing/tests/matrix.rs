//! Whatever can be done to a message, done to each message between signers: a fault of its sender or none, and the node signs on.

use super::network::{EPOCH, digest};
use super::rules::{Bench, foreign_commitment, led};
use crate::member::MemberId;
use crate::signing::commitment::{Offer, Supply};
use crate::signing::message::{Message, Share};
use crate::signing::{BootId, FaultKind, Input, ItemId, MAX_MESSAGE};
use crate::testing::member;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Corruption {
    Nothing,
    Empty,
    TagOnly,
    Short,
    Long,
    Oversized,
    Garbage,
    UnknownTag,
    Twice,
    FromAStranger,
    OtherEpoch,
}

const ALL: [Corruption; 11] = [
    Corruption::Nothing,
    Corruption::Empty,
    Corruption::TagOnly,
    Corruption::Short,
    Corruption::Long,
    Corruption::Oversized,
    Corruption::Garbage,
    Corruption::UnknownTag,
    Corruption::Twice,
    Corruption::FromAStranger,
    Corruption::OtherEpoch,
];

/// `tag (1) ‖ epoch (8) ‖ body`.
fn spoil(corruption: Corruption, message: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = message.to_vec();
    match corruption {
        Corruption::Nothing | Corruption::FromAStranger => {}
        Corruption::Empty => bytes.clear(),
        Corruption::TagOnly => bytes.truncate(1),
        Corruption::Short => bytes.truncate(message.len() - 1),
        Corruption::Long => bytes.push(0),
        Corruption::Oversized => bytes.resize(MAX_MESSAGE + 1, 0),
        Corruption::Garbage => {
            bytes[9..].iter_mut().zip((0_u8..=255).cycle()).for_each(|(byte, i)| *byte = i ^ 0x5a);
        }
        Corruption::UnknownTag => bytes[0] = 77,
        Corruption::Twice => return vec![bytes.clone(), bytes],
        Corruption::OtherEpoch => bytes[8] ^= 1,
    }
    vec![bytes]
}

/// One of each kind, as the coordinator of an item that the node wants signed sends it.
fn messages(bench: &Bench, from: MemberId, item: ItemId, offers: &[Offer]) -> Vec<(&'static str, Message)> {
    let boot = BootId([1; 16]);
    let package = bench.package(from, item, &offers[0]);
    let supply = Supply { boot, offers: vec![Offer { index: 3, commitment: foreign_commitment() }] };
    let share = Share {
        item,
        package: package.hash(EPOCH),
        share: [1; 32],
        voucher: [0; 65],
        supply: supply.clone(),
    };
    vec![
        ("want", Message::Want { boot, known: None }),
        ("supply", Message::Supply(supply)),
        ("package", Message::Package(package)),
        ("share", Message::Share(share)),
        ("signature", Message::Signature { item, signature: [2; 65] }),
        ("request", Message::Request(item)),
    ]
}

fn may_name(corruption: Corruption, message: &str, kind: &FaultKind) -> bool {
    match corruption {
        Corruption::FromAStranger => *kind == FaultKind::NotAMember,
        Corruption::Garbage => true,
        Corruption::Nothing | Corruption::Twice => {
            message == "signature" && matches!(kind, FaultKind::BadSignature { .. })
        }
        Corruption::OtherEpoch => false,
        _ => matches!(kind, FaultKind::Malformed(_)),
    }
}

fn must_name(corruption: Corruption, message: &str) -> bool {
    match corruption {
        Corruption::Nothing | Corruption::Twice => message == "signature",
        Corruption::OtherEpoch | Corruption::Garbage => false,
        _ => true,
    }
}

#[test]
fn whatever_a_member_does_to_a_message_names_it_or_nobody_and_the_node_signs_on() {
    let kinds = {
        let (bench, from, item, supply) = led();
        messages(&bench, from, item, &supply.offers).len()
    };
    for kind in 0..kinds {
        for corruption in ALL {
            let (mut bench, from, item, supply) = led();
            let (message, honest) = messages(&bench, from, item, &supply.offers).remove(kind);
            let name = format!("{message}: {corruption:?}");
            let sender = if corruption == Corruption::FromAStranger { member(77) } else { from };
            let mut faults = Vec::new();
            for bytes in spoil(corruption, &honest.to_bytes(EPOCH)) {
                bench.input(Input::Message { from: sender, bytes }).unwrap();
                faults.extend(bench.faults());
            }
            for fault in &faults {
                assert_eq!(fault.culprit, sender, "{name}");
                assert!(may_name(corruption, message, &fault.kind), "{name}: {fault}");
            }
            assert!(!must_name(corruption, message) || !faults.is_empty(), "{name}");
            signs_on(&mut bench, &name);
        }
    }
}

/// Another coordinator gets its share of another item.
fn signs_on(bench: &mut Bench, name: &str) {
    let other = bench.others[1];
    let item = bench.led_by(other);
    let supply = bench.supply(other, 1);
    bench.input(Input::Sign { item, digest: digest(item) }).unwrap();
    let package = bench.package(other, item, &supply.offers[0]);
    bench.receive(other, &Message::Package(package));
    assert_eq!(bench.shares().len(), 1, "{name}");
}
