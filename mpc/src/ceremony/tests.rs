#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use k256::{ProjectivePoint, Scalar};
use proptest::prelude::*;

use super::announce::DecryptionKey;
use super::context::Context;
use super::dealer::Dealer;
use super::dealing::Dealing;
use super::payload::{Step, wrap};
use super::proof::PROOF_LEN;
use super::share_encryption::{ENCRYPTED_SHARE_LEN, Route, SharedPoint};
use super::*;
use crate::keys::{GroupPublic, KeyError, KeyMaterial, KeyShare};
use crate::member::MemberId;
use crate::testing::{Log, ceremony_id, committee, keys, member, seed, threshold};
use crate::wire::WireError;

const HEADER: usize = 42;
const DEALING: u8 = 2;

fn context(n: u16, t: u16) -> Context {
    Context::new(ceremony_id(), committee(n), t).unwrap()
}

/// The dealing of one member of `context`, and all members' decryption keys.
fn dealing(context: &Context, dealer: MemberId) -> (Vec<u8>, BTreeMap<MemberId, DecryptionKey>) {
    let decryption: BTreeMap<_, _> =
        context.members.iter().map(|me| (*me, DecryptionKey::derive(context, &seed(*me)))).collect();
    let encryption = decryption.iter().map(|(me, key)| (*me, key.public())).collect();
    (Dealer::fresh(context, dealer, &seed(dealer)).deal(context, &encryption, &seed(dealer)), decryption)
}

fn faults(log: &Log) -> Vec<(Option<MemberId>, Fault)> {
    let faults = log.events.iter().filter_map(|(me, event)| match event {
        Event::Fault(fault) => Some((*me, fault.clone())),
        _ => None,
    });
    faults.collect()
}

/// The secret behind `t` shares, by Lagrange's formula at zero.
fn interpolate(shares: &BTreeMap<MemberId, Scalar>) -> Scalar {
    let mut secret = Scalar::ZERO;
    for (i, share) in shares {
        let mut lambda = Scalar::ONE;
        for j in shares.keys().filter(|j| *j != i) {
            lambda *= j.scalar() * (j.scalar() - i.scalar()).invert().unwrap();
        }
        secret += lambda * share;
    }
    secret
}

#[test]
fn every_committee_gets_one_key_and_any_t_shares_are_it() {
    for n in [4, 5, 7, 10] {
        let t = threshold(n);
        let mut log = Log::new(n, t);
        log.run(|_, payload| vec![payload]);
        assert!(faults(&log).is_empty());
        let observed = log.events.iter().find_map(|(_, event)| match event {
            Event::Observed(public) => Some((**public).clone()),
            _ => None,
        });
        assert_eq!(log.observer.status(), Status::Completed);
        let keys = log.completed();
        assert_eq!(keys.len(), usize::from(n));
        let public = observed.unwrap();
        assert!(keys.values().all(|material| *material.public() == public));

        let secrets: Vec<_> = keys
            .iter()
            .map(|(me, material)| {
                let bytes: [u8; 32] = material.share().to_bytes()[2..].try_into().unwrap();
                (*me, crate::wire::scalar(&bytes).unwrap())
            })
            .collect();
        let count = usize::from(t);
        for some in [&secrets[..count], &secrets[secrets.len() - count..]] {
            let key = ProjectivePoint::GENERATOR * interpolate(&some.iter().copied().collect());
            assert_eq!(crate::wire::compress(&key), Some(public.key()), "n = {n}");
        }
        let too_few = interpolate(&secrets[..count - 1].iter().copied().collect());
        assert_ne!(crate::wire::compress(&(ProjectivePoint::GENERATOR * too_few)), Some(public.key()));
    }
}

/// A member that crashes loses its memory. From the stored seed and the log it must say the same again and hold the same
/// share, at whatever point it crashed.
#[test]
fn a_member_restarted_from_seed_and_log_repeats_itself() {
    let mut log = Log::new(5, 3);
    log.run(|_, payload| vec![payload]);
    let entries = std::mem::take(&mut log.entries);
    let me = member(5);
    let sent: Vec<_> =
        entries.iter().filter(|(sender, _)| *sender == me).map(|(_, bytes)| bytes.clone()).collect();
    let share = log.completed().remove(&me).unwrap();

    for crash_at in 0..entries.len() {
        let mut before = Ceremony::new(ceremony_id(), committee(5), 3, me, seed(me)).unwrap();
        before.start();
        for (sender, payload) in &entries[..crash_at] {
            before.on_logged(*sender, payload);
        }
        drop(before);

        let mut again = Ceremony::new(ceremony_id(), committee(5), 3, me, seed(me)).unwrap();
        let mut events = again.start();
        for (sender, payload) in &entries {
            events.extend(again.on_logged(*sender, payload));
        }
        let mut published = Vec::new();
        let mut completed = None;
        for event in events {
            match event {
                Event::Publish(payload) => published.push(payload),
                Event::Completed(material) => completed = Some(material),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(published, sent);
        let completed = completed.unwrap();
        assert_eq!(completed.share().to_bytes(), share.share().to_bytes());
        assert_eq!(completed.public(), share.public());
    }
}

#[test]
fn a_message_that_our_seed_did_not_make_stops_us() {
    let mut log = Log::new(4, 3);
    log.run(|_, payload| vec![payload]);
    let me = member(2);
    let mut other = Ceremony::new(ceremony_id(), committee(4), 3, me, CeremonySeed::new([99; 32])).unwrap();
    let events: Vec<_> =
        log.entries.iter().flat_map(|(sender, payload)| other.on_logged(*sender, payload)).collect();
    assert!(matches!(events[..], [Event::Failed(Failure::ForeignSeed)]));
}

#[test]
fn repetition_is_ignored_and_the_first_message_counts() {
    let mut log = Log::new(4, 3);
    log.run(|_, payload| {
        let mut altered = payload.clone();
        *altered.last_mut().unwrap() ^= 1;
        vec![payload.clone(), payload, altered]
    });
    // An acknowledgement after completion meets a machine that is done; before, it is a repetition.
    assert!(faults(&log).is_empty());
    assert_eq!(log.completed().len(), 4);
}

#[test]
fn faults_before_a_step_do_not_use_it_up() {
    let mut log = Log::new(4, 3);
    let stranger = member(1);
    log.append(stranger, vec![1]);
    log.append(member(2), vec![0; MAX_PAYLOAD + 1]);
    log.append(member(2), Vec::new());
    log.append(member(2), vec![9; 60]);
    let other = CeremonyId { attempt: 1, ..ceremony_id() };
    log.append(member(2), wrap(Step::Announce, other, &[0; 98]));
    log.append(member(2), wrap(Step::Dealing, ceremony_id(), &[0; 98]));
    log.append(member(2), wrap(Step::Ack, ceremony_id(), &[2; 33]));
    let seen: Vec<_> =
        faults(&log).into_iter().filter(|(me, _)| me.is_none()).map(|(_, fault)| fault).collect();
    let expected = [
        (stranger, FaultKind::NotAMember),
        (member(2), FaultKind::Oversized { len: MAX_PAYLOAD + 1 }),
        (member(2), FaultKind::Malformed(WireError::Short)),
        (member(2), FaultKind::Malformed(WireError::Tag(9))),
        (member(2), FaultKind::WrongCeremony),
        (member(2), FaultKind::OutOfTurn),
        (member(2), FaultKind::OutOfTurn),
    ];
    let expected: Vec<_> = expected.map(|(culprit, kind)| Fault { culprit, kind }).into();
    assert_eq!(seen, expected);

    log.run(|_, payload| vec![payload]);
    assert_eq!(log.completed().len(), 4);
}

/// Every publicly bad message, what it is called, and that all nodes and the observer call it the same.
#[test]
fn bad_messages_have_names_that_all_agree_on() {
    type Alter = fn(&mut Vec<u8>);
    type Expect = fn(&FaultKind) -> bool;
    let t = 3_usize;
    let cases: [(&str, u8, Alter, Expect); 13] = [
        ("announce: garbage key", 1, |m| m[HEADER] = 9, |k| *k == FaultKind::Malformed(WireError::Point)),
        (
            "announce: wrong proof",
            1,
            |m| *m.last_mut().unwrap() ^= 1,
            |k| *k == FaultKind::BadProof(Purpose::EncryptionKey),
        ),
        ("announce: short", 1, |m| m.truncate(80), |k| *k == FaultKind::Malformed(WireError::Short)),
        ("announce: long", 1, |m| m.push(0), |k| *k == FaultKind::Malformed(WireError::Trailing)),
        ("dealing: empty", DEALING, |m| m.truncate(HEADER), |k| *k == FaultKind::Malformed(WireError::Short)),
        (
            "dealing: one commitment too few",
            DEALING,
            |m| m[HEADER + 1] -= 1,
            |k| *k == FaultKind::CommitmentCount { got: 2, want: 3 },
        ),
        (
            "dealing: one commitment too many",
            DEALING,
            |m| m[HEADER + 1] += 1,
            |k| *k == FaultKind::CommitmentCount { got: 4, want: 3 },
        ),
        (
            "dealing: wrong share count",
            DEALING,
            |m| m[HEADER + 3] += 1,
            |k| *k == FaultKind::ShareCount { got: 5, want: 4 },
        ),
        (
            "dealing: short",
            DEALING,
            |m| m.truncate(m.len() - 1),
            |k| *k == FaultKind::Malformed(WireError::Short),
        ),
        (
            "dealing: commitment not a point",
            DEALING,
            |m| m[HEADER + 4 + 33] = 5,
            |k| *k == FaultKind::Malformed(WireError::Point),
        ),
        (
            "dealing: share altered after the proofs",
            DEALING,
            |m| m[HEADER + 4 + 34 * 4] ^= 1,
            |k| *k == FaultKind::BadProof(Purpose::Constant),
        ),
        (
            "dealing: wrong ephemeral proof",
            DEALING,
            |m| *m.last_mut().unwrap() ^= 1,
            |k| *k == FaultKind::BadProof(Purpose::EphemeralKey),
        ),
        ("ack: another key", 3, |m| m[HEADER] ^= 1, |k| *k == FaultKind::WrongGroupKey),
    ];
    for (name, step, alter, expected) in cases {
        let mut log = Log::new(4, t as u16);
        let liar = member(8);
        log.run(|sender, mut payload| {
            if sender == liar && payload[0] == step {
                alter(&mut payload);
            }
            vec![payload]
        });
        let faults = faults(&log);
        assert_eq!(faults.len(), 5, "{name}: four members and the observer");
        for (_, fault) in faults {
            assert_eq!(fault.culprit, liar, "{name}");
            assert!(expected(&fault.kind), "{name}: {:?}", fault.kind);
        }
        assert_eq!(log.observer.status(), Status::Failed(Failure::Disqualified(liar)), "{name}");
    }
}

/// A dealer that gives one member a share off its polynomial, or one that does not open: the member finds out who.
#[test]
fn a_bad_share_is_traced_to_its_dealer() {
    let (liar, victim) = (member(5), member(8));
    for opens in [true, false] {
        let mut log = Log::new(4, 3);
        let context = context(4, 3);
        log.run(|sender, payload| {
            if sender != liar || payload[0] != DEALING {
                return vec![payload];
            }
            vec![wrap(Step::Dealing, ceremony_id(), &dealing_with_bad_share(&context, liar, victim, opens))]
        });
        let kind = if opens { FaultKind::BadShare } else { FaultKind::UndecryptableShare };
        assert_eq!(faults(&log), vec![(Some(victim), Fault { culprit: liar, kind })]);
        assert_eq!(log.nodes[&victim].status(), Status::Failed(Failure::BadShares(vec![liar])));
        assert!(matches!(log.observer.status(), Status::Acknowledging(missing) if missing.contains(&victim)));
    }
}

fn dealing_with_bad_share(context: &Context, dealer: MemberId, victim: MemberId, opens: bool) -> Vec<u8> {
    use super::dealing::statement;
    use super::proof::Proof;
    use k256::elliptic_curve::Field;

    let (honest, decryption) = dealing(context, dealer);
    let own = seed(dealer);
    let ephemeral = Scalar::random(&mut own.stream(context, b"ephemeral key"));
    let constant = Scalar::random(&mut own.stream(context, b"constant"));
    let t = context.threshold.count();
    let position = context.members.iter().position(|member| *member == victim).unwrap();

    let mut body = honest[..honest.len() - 2 * PROOF_LEN].to_vec();
    let at = 4 + (t + 1) * 33 + position * ENCRYPTED_SHARE_LEN;
    let encryption = decryption[&victim].public();
    let public = ProjectivePoint::GENERATOR * ephemeral;
    let route = Route { context, dealer, recipient: victim, ephemeral: &public, encryption: &encryption };
    let shared = SharedPoint::new(&ephemeral, &encryption).unwrap();
    let mut sealed = route.seal(&shared, &Scalar::from(666_u64));
    if !opens {
        sealed[0] ^= 1;
    }
    body[at..at + ENCRYPTED_SHARE_LEN].copy_from_slice(&sealed);
    let proofs =
        [(Purpose::Constant, constant), (Purpose::EphemeralKey, ephemeral)].map(|(purpose, secret)| {
            Proof::new(&secret, &statement(context, purpose, dealer, &body), &own).to_bytes()
        });
    body.extend(proofs.concat());
    Dealing::verify(context, dealer, &body).unwrap_or_else(|kind| panic!("publicly it is fine: {kind}"));
    body
}

/// Proofs, keys and shares are bound to dealer, recipient, members, threshold and ceremony.
#[test]
fn nothing_carries_over_to_another_place() {
    let here = context(4, 3);
    let dealer = member(2);
    let (body, decryption) = dealing(&here, dealer);
    let verified = Dealing::verify(&here, dealer, &body).unwrap();
    assert!(Dealing::verify(&here, member(5), &body).is_err(), "another member cannot send it as its own");

    let elsewhere: Vec<Context> = [
        CeremonyId { l1_chain_id: 1, ..here.id },
        CeremonyId { contract: [0; 20], ..here.id },
        CeremonyId { epoch: 5, ..here.id },
        CeremonyId { attempt: 1, ..here.id },
        CeremonyId { kind: CeremonyKind::Reshare, ..here.id },
    ]
    .into_iter()
    .map(|id| Context::new(id, committee(4), 3).unwrap())
    .collect();
    for there in &elsewhere {
        assert!(Dealing::verify(there, dealer, &body).is_err());
        assert_ne!(
            DecryptionKey::derive(there, &seed(dealer)).public(),
            DecryptionKey::derive(&here, &seed(dealer)).public(),
            "one seed in two ceremonies gives unrelated keys"
        );
    }

    let (right, wrong) = (member(5), member(8));
    let encryption = decryption[&right].public();
    let route = |context, dealer, recipient| Route {
        context,
        dealer,
        recipient,
        ephemeral: &verified.ephemeral,
        encryption: &encryption,
    };
    let shared = SharedPoint::new(&decryption[&right].0, &verified.ephemeral).unwrap();
    let sealed = &verified.shares[&right];
    let share = route(&here, dealer, right).open(&shared, sealed).unwrap();
    assert_eq!(ProjectivePoint::GENERATOR * *share, verified.commitment.share_of(right));
    assert!(route(&here, dealer, wrong).open(&shared, sealed).is_none());
    assert!(route(&here, wrong, right).open(&shared, sealed).is_none());
    for there in &elsewhere {
        assert!(route(there, dealer, right).open(&shared, sealed).is_none());
    }
    let other = SharedPoint::new(&decryption[&wrong].0, &verified.ephemeral).unwrap();
    assert!(route(&here, dealer, right).open(&other, sealed).is_none());
}

#[test]
fn the_largest_message_fits_the_bound() {
    let n = crate::MAX_MEMBERS;
    assert_eq!(MAX_PAYLOAD, HEADER + 4 + (usize::from(n) + 1) * 33 + usize::from(n) * 48 + 130);
    let context = context(10, 10);
    let (body, _) = dealing(&context, member(2));
    assert_eq!(body.len(), 4 + 11 * 33 + 10 * 48 + 130);
}

#[test]
fn impossible_ceremonies_are_refused() {
    let make = |n, t, me| Ceremony::new(ceremony_id(), committee(n), t, me, seed(me)).err();
    assert_eq!(make(4, 3, member(2)), None);
    assert_eq!(make(4, 3, member(1)), Some(SetupError::NotAMember(member(1))));
    assert!(matches!(make(4, 5, member(2)), Some(SetupError::Threshold(_))));
    assert!(matches!(make(4, 1, member(2)), Some(SetupError::Threshold(_))));
    let reshare = CeremonyId { kind: CeremonyKind::Reshare, ..ceremony_id() };
    assert_eq!(Ceremony::observer(reshare, committee(4), 3).err(), Some(SetupError::NotFresh));
}

#[test]
fn keys_survive_storage_and_secrets_do_not_print() {
    let material = keys(4, 3).remove(&member(5)).unwrap();
    let public = GroupPublic::from_bytes(&material.public().to_bytes()).unwrap();
    assert_eq!(public, *material.public());
    let bytes = material.share().to_bytes();
    let share = KeyShare::from_bytes(bytes.as_slice()).unwrap();
    let secret = hex::encode(&bytes[2..]);
    assert!(!format!("{share:?} {material:?} {:?}", seed(member(5))).contains(&secret));
    KeyMaterial::new(share, public.clone()).unwrap();

    let mut wrong = bytes.to_vec();
    wrong[33] ^= 1;
    let wrong = KeyShare::from_bytes(&wrong).unwrap();
    assert_eq!(KeyMaterial::new(wrong, public.clone()).err(), Some(KeyError::Mismatch(member(5))));

    let good = public.to_bytes();
    for len in 0..good.len() {
        assert!(GroupPublic::from_bytes(&good[..len]).is_err());
    }
    let mut swapped = good.clone();
    swapped[37..39].copy_from_slice(&9_u16.to_be_bytes());
    assert_eq!(GroupPublic::from_bytes(&swapped).err(), Some(KeyError::Malformed(WireError::Member)));
    assert!(KeyShare::from_bytes(&[0; 34]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever stands in the log: no panic, and no effect beyond a named fault.
    #[test]
    fn garbage_in_the_log_is_a_fault(step in 1_u8..4, body in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut log = Log::new(4, 3);
        let mut payload = wrap(Step::Announce, ceremony_id(), &body);
        payload[0] = step;
        log.append(member(2), payload);
        log.append(member(2), body);
        prop_assert_eq!(faults(&log).is_empty(), false);
    }

    /// A byte changed anywhere in an honest dealing is found by everyone who checks it.
    #[test]
    fn no_byte_of_a_dealing_is_free(position in 0_usize..1000, flip in 1_u8..=255) {
        let context = context(4, 3);
        let (mut body, _) = dealing(&context, member(2));
        let position = position % body.len();
        body[position] ^= flip;
        prop_assert!(Dealing::verify(&context, member(2), &body).is_err());
    }
}
