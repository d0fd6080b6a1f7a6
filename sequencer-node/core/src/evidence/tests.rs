#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use frost_secp256k1::Identifier;
use frost_secp256k1::keys::{IdentifierList, generate_with_dealer};
use mpc::signing::{BootId, Identity, Input, ItemId, NonceSeed, Output, Signing, SigningConfig, Time};
use mpc::{KeyMaterial, KeyShare};
use ordering_types::{Address, Height, Round, SecretKey, Vote, VoteKind};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::identity::Vouching;

const DOMAIN: Domain = Domain { l1_chain_id: 1337, inbox: Address::new([0xaa; 20]) };
const EPOCH: Epoch = Epoch::new(3);

fn key(id: u16) -> SecretKey {
    SecretKey::from_bytes([u8::try_from(id).unwrap(); 32]).unwrap()
}

fn committee() -> Committee {
    Committee::new((1..=4).map(|id| (ValidatorId::new(id), key(id).public_key())).collect())
}

fn verify(evidence: &Evidence) -> Result<(), Unproven> {
    let text = serde_json::to_string(evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), *evidence, "as a file keeps it");
    evidence.verify(&DOMAIN, &committee())
}

fn vote(value: Option<u8>) -> Vote {
    Vote {
        kind: VoteKind::Precommit,
        epoch: EPOCH,
        height: Height::new(7),
        round: Round::new(1),
        value: value.map(|byte| Digest::new([byte; 32])),
        validator: ValidatorId::new(2),
    }
}

fn votes(first: Vote, second: Vote) -> Evidence {
    let sign = |vote: Vote| vote.sign(&DOMAIN, &key(2));
    Evidence::Votes { first: sign(first), second: sign(second) }
}

#[test]
fn two_votes_convict_only_if_one_validator_signed_both_for_one_step() {
    assert_eq!(verify(&votes(vote(Some(1)), vote(Some(2)))), Ok(()));
    assert_eq!(verify(&votes(vote(None), vote(Some(2)))), Ok(()), "nil is a value, too");
    assert!(matches!(verify(&votes(vote(Some(1)), vote(Some(1)))), Err(Unproven::NoConflict(_))));
    // Nil is signed as zero: one honest signature must not become two votes.
    let mut zero = vote(Some(0));
    assert!(matches!(verify(&votes(vote(None), zero)), Err(Unproven::NoConflict(_))));
    zero.value = Some(Digest::ZERO);
    assert!(matches!(verify(&votes(zero, vote(Some(1)))), Err(Unproven::NotSigned("the first vote", _))));
    let elsewhere: [fn(&mut Vote); 5] = [
        |vote| vote.kind = VoteKind::Prevote,
        |vote| vote.epoch = Epoch::new(4),
        |vote| vote.height = Height::new(8),
        |vote| vote.round = Round::new(2),
        |vote| vote.validator = ValidatorId::new(3),
    ];
    for change in elsewhere {
        let mut other = vote(Some(2));
        change(&mut other);
        assert!(matches!(verify(&votes(vote(Some(1)), other)), Err(Unproven::NoConflict(_))), "{other:?}");
    }
    let unsigned = |first: u16, second: u16| Evidence::Votes {
        first: vote(Some(1)).sign(&DOMAIN, &key(first)),
        second: vote(Some(2)).sign(&DOMAIN, &key(second)),
    };
    assert!(matches!(verify(&unsigned(1, 2)), Err(Unproven::NotSigned("the first vote", _))));
    assert!(matches!(verify(&unsigned(2, 3)), Err(Unproven::NotSigned("the second vote", _))));
    let mut stranger = (vote(Some(1)), vote(Some(2)));
    (stranger.0.validator, stranger.1.validator) = (ValidatorId::new(9), ValidatorId::new(9));
    assert_eq!(verify(&votes(stranger.0, stranger.1)), Err(Unproven::Unknown(ValidatorId::new(9))));
    let elsewhere = Domain { l1_chain_id: 1, ..DOMAIN };
    let evidence = votes(vote(Some(1)), vote(Some(2)));
    assert!(evidence.verify(&elsewhere, &committee()).is_err(), "of another network");
}

/// A group key of the committee, as a ceremony leaves it.
fn group() -> BTreeMap<u16, KeyMaterial> {
    let rng = ChaCha20Rng::from_seed([1; 32]);
    let (shares, public) = generate_with_dealer(4, 3, IdentifierList::Default, rng).unwrap();
    let of = |id: u16| Identifier::try_from(id).unwrap();
    let mut bytes = public.verifying_key().serialize().unwrap();
    bytes.extend([0, 3, 0, 4]);
    for id in 1..=4_u16 {
        bytes.extend(id.to_be_bytes());
        bytes.extend(public.verifying_shares()[&of(id)].serialize().unwrap());
    }
    let public = GroupPublic::from_bytes(&bytes).unwrap();
    let material = |id: u16| {
        let secret = shares[&of(id)].signing_share().serialize();
        let share = KeyShare::from_bytes(&[id.to_be_bytes().as_slice(), &secret].concat()).unwrap();
        (id, KeyMaterial::new(share, public.clone()).unwrap())
    };
    (1..=4).map(material).collect()
}

/// What the first coordinator asks validator 2 to sign, and validator 2's answer.
fn package_and_answer() -> (GroupPublic, Vec<u8>, Vec<u8>) {
    let group = group();
    let public = group[&1].public().clone();
    let mut nodes: BTreeMap<u16, Signing> = group
        .iter()
        .take(3)
        .map(|(id, material)| {
            let identity = Vouching::new(DOMAIN, EPOCH, &public, key(*id));
            let boot = BootId([u8::try_from(*id).unwrap(); 16]);
            let config = SigningConfig::new(EPOCH.get());
            let seed = NonceSeed::new([u8::try_from(*id).unwrap(); 32]);
            (*id, Signing::new(config, material, Box::new(identity), boot, seed))
        })
        .collect();
    let item = ItemId { kind: 1, number: 0 };
    let now = Time::from_millis(0);
    for node in nodes.values_mut() {
        node.handle(now, Input::Tick).unwrap();
    }
    let (mut package, mut answer) = (None, None);
    for _ in 0..8 {
        let mut mail = Vec::new();
        for (from, node) in &mut nodes {
            while let Some(output) = node.next_output() {
                if let Output::Send { to, bytes } = output {
                    match (bytes[0], *from, to.number()) {
                        (3, 1, 2) => package = Some(bytes[9..].to_vec()),
                        (4, 2, 1) => answer = Some(bytes[9..].to_vec()),
                        _ => {}
                    }
                    mail.push((MemberId::new(*from).unwrap(), to, bytes));
                }
            }
        }
        for (from, to, bytes) in mail {
            if let Some(node) = nodes.get_mut(&to.number()) {
                node.handle(now, Input::Message { from, bytes }).unwrap();
            }
        }
        // Once the first exchange of commitments is over.
        for node in nodes.values_mut() {
            node.handle(now, Input::Sign { item, digest: [5; 32] }).unwrap();
        }
    }
    (public, package.unwrap(), answer.unwrap())
}

#[test]
fn a_wrong_share_convicts_only_who_vouched_for_it() {
    let (public, package, answer) = package_and_answer();
    // item (9) ‖ package hash (32) ‖ share (32) ‖ voucher (65) ‖ …
    let hash: [u8; 32] = answer[9..41].try_into().unwrap();
    let share: [u8; 32] = answer[41..73].try_into().unwrap();
    let voucher = Signature::new(answer[73..138].try_into().unwrap());
    let honest = WrongShare {
        validator: ValidatorId::new(2),
        epoch: EPOCH,
        group: public.to_bytes(),
        package,
        share,
        voucher,
    };
    assert_eq!(verify(&Evidence::Share(honest.clone())), Err(Unproven::RightShare));

    let mut spoilt = share;
    spoilt[31] ^= 1;
    let by = |id: u16, share: [u8; 32]| {
        Signature::new(Vouching::new(DOMAIN, EPOCH, &public, key(id)).vouch(&hash, &share))
    };
    let lie = WrongShare { share: spoilt, voucher: by(2, spoilt), ..honest.clone() };
    assert_eq!(verify(&Evidence::Share(lie.clone())), Ok(()));

    let unsigned = Unproven::NotSigned("the share", ValidatorId::new(2));
    let framed = [
        WrongShare { voucher: honest.voucher, ..lie.clone() },
        WrongShare { voucher: by(1, spoilt), ..lie.clone() },
        WrongShare { epoch: Epoch::new(4), ..lie.clone() },
        // With another key's public data every share is wrong; its signer never vouched under that key.
        WrongShare { group: other_group(&public), ..honest.clone() },
    ];
    for evidence in framed {
        assert_eq!(verify(&Evidence::Share(evidence.clone())), Err(unsigned.clone()), "{evidence:?}");
    }
    let other = WrongShare { validator: ValidatorId::new(4), ..lie.clone() };
    assert_eq!(verify(&Evidence::Share(other)), Err(Unproven::Package(Meaningless::NotSignable)));
    let stranger = WrongShare { validator: ValidatorId::new(9), ..lie.clone() };
    assert_eq!(verify(&Evidence::Share(stranger)), Err(Unproven::Unknown(ValidatorId::new(9))));
    let cut = WrongShare { group: vec![2; 40], ..lie };
    assert!(matches!(verify(&Evidence::Share(cut)), Err(Unproven::Group(_))));
}

/// The same members with each other's verifying shares.
fn other_group(public: &GroupPublic) -> Vec<u8> {
    let mut bytes = public.to_bytes();
    let (first, second) = (37 + 2, 37 + 35 + 2);
    for at in 0..33 {
        bytes.swap(first + at, second + at);
    }
    bytes
}
