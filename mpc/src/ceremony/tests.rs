#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod ahead;
mod late;
mod matrix;

use std::collections::{BTreeMap, BTreeSet};

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
use crate::testing::{Log, PATIENCE, ceremony_id, committee, fresh, keys, member, reshare, seed, threshold};
use crate::wire::WireError;

const HEADER: usize = 42;
const DEALING: u8 = 2;

fn context(n: u16, t: u16) -> Context {
    Context::new(&fresh(n, t)).unwrap()
}

/// The dealing of one member of `context`, and all members' decryption keys.
fn dealing(context: &Context, dealer: MemberId) -> (Vec<u8>, BTreeMap<MemberId, DecryptionKey>) {
    let decryption: BTreeMap<_, _> =
        context.members.iter().map(|me| (*me, DecryptionKey::derive(context.id, &seed(*me)))).collect();
    let encryption = decryption.iter().map(|(me, key)| (*me, key.public())).collect();
    (Dealer::fresh(context, dealer, &seed(dealer)).deal(context, &encryption, &seed(dealer)), decryption)
}

fn verify(context: &Context, dealer: MemberId, body: &[u8]) -> Result<Dealing, FaultKind> {
    let recipients: Vec<MemberId> = context.members.iter().copied().collect();
    Dealing::verify(context, &recipients, dealer, body)
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
        entries.iter().filter(|(_, sender, _)| *sender == me).map(|(_, _, bytes)| bytes.clone()).collect();
    let share = log.completed().remove(&me).unwrap();

    for crash_at in 0..entries.len() {
        let mut before = Ceremony::new(&fresh(5, 3), me, seed(me), None).unwrap();
        before.start();
        before.on_time(100);
        for (time, sender, payload) in &entries[..crash_at] {
            before.on_logged(*time, *sender, payload);
        }
        drop(before);

        let mut again = Ceremony::new(&fresh(5, 3), me, seed(me), None).unwrap();
        let mut events = again.start();
        events.extend(again.on_time(100));
        for (time, sender, payload) in &entries {
            events.extend(again.on_logged(*time, *sender, payload));
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
    let mut other = Ceremony::new(&fresh(4, 3), me, CeremonySeed::new([99; 32]), None).unwrap();
    let logged = log.entries.iter();
    let events: Vec<_> =
        logged.flat_map(|(time, sender, payload)| other.on_logged(*time, *sender, payload)).collect();
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
    let cases: [(&str, u8, Alter, Expect); 15] = [
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
        ("ack: another key", 3, |m| m[HEADER] ^= 1, |k| *k == FaultKind::WrongKey),
        ("ack: short", 3, |m| m.truncate(60), |k| *k == FaultKind::Malformed(WireError::Short)),
        ("ack: long", 3, |m| m.push(0), |k| *k == FaultKind::Malformed(WireError::Trailing)),
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
        assert_eq!(log.observer.convicted().iter().collect::<Vec<_>>(), [&liar], "{name}");
        let keys = log.completed();
        assert!(keys.len() >= 3, "{name}: the others go on");
    }
}

/// A dealer that gives one member a share off its polynomial, or one that does not open: everyone sees it, another dealer takes its place.
#[test]
fn a_bad_share_convicts_its_dealer_before_everybody() {
    let (liar, victim) = (member(2), member(8));
    for opens in [true, false] {
        let mut log = Log::new(4, 3);
        let context = context(4, 3);
        log.run(|sender, payload| {
            if sender != liar || payload[0] != DEALING {
                return vec![payload];
            }
            vec![wrap(Step::Dealing, ceremony_id(), &dealing_with_bad_share(&context, liar, victim, opens))]
        });
        let recipient = victim;
        let kind = if opens {
            FaultKind::BadShare { recipient }
        } else {
            FaultKind::UndecryptableShare { recipient }
        };
        let fault = Fault { culprit: liar, kind };
        assert_eq!(faults(&log).len(), 5);
        assert!(faults(&log).iter().all(|(_, seen)| *seen == fault));
        let keys = log.completed();
        let public = keys[&victim].public();
        assert!(keys.values().all(|key| key.public() == public));
        assert_eq!(keys.len(), 4, "its own share is good");
    }
}

/// Who complains of a good share, or proves nothing, convicts itself, and the dealing counts.
#[test]
fn a_false_complaint_convicts_its_accuser() {
    type Alter = fn(&mut Vec<u8>);
    let (accuser, dealer) = (member(5), member(8));
    let false_one = FaultKind::FalseComplaint { dealer };
    let unproven = FaultKind::UnprovenComplaint { dealer };
    let cases: [(&str, Alter, FaultKind); 7] = [
        ("a good share", |_| (), false_one),
        (
            "another point",
            |m| m[3..35].copy_from_slice(&crate::wire::compress(&ProjectivePoint::GENERATOR).unwrap()[1..]),
            unproven.clone(),
        ),
        ("wrong proof", |m| *m.last_mut().unwrap() ^= 1, unproven),
        ("of nobody", |m| m[..2].copy_from_slice(&[0, 0]), FaultKind::Malformed(WireError::Member)),
        (
            "of one who has dealt nothing",
            |m| m[..2].copy_from_slice(&[0, 77]),
            FaultKind::UnprovenComplaint { dealer: member(77) },
        ),
        ("empty", |m| m.clear(), FaultKind::Malformed(WireError::Short)),
        ("long", |m| m.push(0), FaultKind::Malformed(WireError::Trailing)),
    ];
    for (name, alter, expected) in cases {
        let mut log = Log::new(4, 3);
        let context = context(4, 3);
        let decryption = DecryptionKey::derive(context.id, &seed(accuser));
        let encryption = decryption.public();
        log.run(|sender, payload| {
            let complains = sender == accuser && payload[0] == 3;
            if !complains {
                return vec![payload];
            }
            let (body, _) = dealing(&context, dealer);
            let dealing = verify(&context, dealer, &body).unwrap();
            let case = complaint::Case {
                context: &context,
                accuser,
                encryption: &encryption,
                dealer,
                dealing: &dealing,
            };
            let mut body = case.complain(&decryption, &seed(accuser));
            alter(&mut body);
            vec![wrap(Step::Complaint, ceremony_id(), &body)]
        });
        let seen = faults(&log);
        assert_eq!(seen.len(), 5, "{name}");
        assert!(
            seen.iter().all(|(_, fault)| *fault == Fault { culprit: accuser, kind: expected.clone() }),
            "{name}: {seen:?}"
        );
        assert_eq!(log.completed().len(), 4, "{name}");
    }
}

/// Any f may be away from the beginning, from their dealing on, or from their acknowledgement on.
#[test]
fn any_f_that_fall_silent_are_not_waited_for() {
    for n in [4, 5, 7, 10] {
        let faulty = usize::from((n - 1) / 3);
        for silent_from in 1..=3 {
            let silent: Vec<MemberId> = committee(n).into_iter().take(faulty).collect();
            let mut log = Log::new(n, threshold(n));
            for _ in 0..3 {
                log.run(|sender, payload| {
                    let order = payload[0];
                    if silent.contains(&sender) && order >= silent_from { vec![] } else { vec![payload] }
                });
                log.idle(PATIENCE.acknowledge);
            }
            assert_eq!(
                log.observer.status(),
                Status::Completed,
                "{n} members, {faulty} silent from step {silent_from}"
            );
            assert!(faults(&log).is_empty());
            let others = usize::from(n) - if silent_from == 1 { faulty } else { 0 };
            assert_eq!(log.completed().len(), others, "who announced has a share");
        }
    }
}

/// Blocks in which nobody speaks are not stored: who replays only the messages comes to the same.
#[test]
fn a_replay_without_the_silent_blocks_ends_alike() {
    let silent = member(2);
    for silent_from in 1..=3_u8 {
        let mut log = Log::new(4, 3);
        for _ in 0..3 {
            log.run(
                |sender, payload| {
                    if sender == silent && payload[0] >= silent_from { vec![] } else { vec![payload] }
                },
            );
            log.idle(PATIENCE.acknowledge);
        }
        let mut observer = Ceremony::observer(&fresh(4, 3)).unwrap();
        observer.on_time(100);
        for (time, sender, payload) in &log.entries {
            observer.on_logged(*time, *sender, payload);
        }
        observer.on_time(log.time);
        assert_eq!(observer.status(), Status::Completed);
        let own = log.nodes.keys().copied().find(|me| *me != silent).unwrap();
        let mut member = Ceremony::new(&fresh(4, 3), own, seed(own), None).unwrap();
        let mut events = member.start();
        events.extend(member.on_time(100));
        for (time, sender, payload) in &log.entries {
            events.extend(member.on_logged(*time, *sender, payload));
        }
        events.extend(member.on_time(log.time));
        let key = events.into_iter().find_map(|event| match event {
            Event::Completed(material) => Some(material.public().key()),
            _ => None,
        });
        assert_eq!(key, log.completed().values().next().map(|material| material.public().key()));
    }
}

/// Of f + 1 that are silent nobody knows whether they are dead: no key, no fault, an end.
#[test]
fn more_than_f_silent_end_the_attempt() {
    for silent_from in 1..=3_u8 {
        let silent = [member(2), member(5)];
        let mut log = Log::new(4, 3);
        for _ in 0..10 {
            log.run(|sender, payload| {
                if silent.contains(&sender) && payload[0] >= silent_from { vec![] } else { vec![payload] }
            });
            log.idle(PATIENCE.acknowledge);
        }
        let expired = Failure::Expired { missing: silent.into() };
        assert_eq!(log.observer.status(), Status::Failed(expired), "silent from step {silent_from}");
        assert!(faults(&log).is_empty());
    }
}

/// The same key for other members and another threshold, whoever of the old ones deals.
#[test]
fn resharing_keeps_the_key() {
    let old = keys(4, 3);
    let key = old[&member(2)].public().key();
    for (n, absent) in [(4, 0), (7, 1), (10, 0)] {
        let members: std::collections::BTreeSet<MemberId> = (0..n).map(|i| member(2 * i + 5)).collect();
        let setup = reshare(old[&member(2)].public(), members, threshold(n));
        let mut log = Log::of(&setup, &old);
        let away: Vec<MemberId> = old.keys().copied().take(absent).collect();
        log.run(|sender, payload| if away.contains(&sender) { vec![] } else { vec![payload] });
        assert!(faults(&log).is_empty(), "{n}");
        let new = log.completed();
        assert_eq!(new.len(), usize::from(n));
        let public = new.values().next().unwrap().public().clone();
        assert_eq!(public.key(), key);
        assert!(new.values().all(|material| *material.public() == public));
        let shares = new.iter().take(usize::from(threshold(n))).map(|(me, m)| (*me, *m.share().secret()));
        let secret = interpolate(&shares.collect());
        assert_eq!(crate::wire::compress(&(ProjectivePoint::GENERATOR * secret)), Some(key));
    }
}

/// A holder of the old key that deals anything but its share of it.
#[test]
fn another_constant_than_the_old_share_convicts() {
    let old = keys(4, 3);
    let public = old[&member(2)].public();
    let setup = reshare(public, committee(4), 3);
    let context = Context::new(&setup).unwrap();
    let liar = member(5);
    let mut log = Log::of(&setup, &old);
    log.run(|sender, payload| {
        if sender != liar || payload[0] != DEALING {
            return vec![payload];
        }
        let encryption =
            committee(4).into_iter().map(|me| (me, DecryptionKey::derive(context.id, &seed(me)).public()));
        let dealer = Dealer::of_constant(&context, liar, &seed(liar), &Scalar::from(5_u64));
        vec![wrap(Step::Dealing, setup.id, &dealer.deal(&context, &encryption.collect(), &seed(liar)))]
    });
    assert!(
        faults(&log).iter().all(|(_, fault)| fault.kind == FaultKind::WrongConstant && fault.culprit == liar)
    );
    assert_eq!(log.completed().values().next().unwrap().public().key(), public.key());
}

fn dealing_with_bad_share(context: &Context, dealer: MemberId, victim: MemberId, opens: bool) -> Vec<u8> {
    use super::dealing::statement;
    use super::proof::Proof;
    use k256::elliptic_curve::Field;

    let (honest, decryption) = dealing(context, dealer);
    let own = seed(dealer);
    let ephemeral = Scalar::random(&mut own.stream(&context.digest, b"ephemeral key"));
    let constant = Scalar::random(&mut own.stream(&context.digest, b"constant"));
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
    verify(context, dealer, &body).unwrap_or_else(|kind| panic!("publicly it is fine: {kind}"));
    body
}

/// The last dealer that counts sees all others' dealings: with its own share of each it can make the sum of all vanish at its place. It has no
/// share then, and the others have theirs.
#[test]
fn a_share_that_is_made_to_vanish_costs_nobody_but_its_owner() {
    let liar = member(8);
    let mut log = Log::new(4, 3);
    let context = context(4, 3);
    let mut seen: Vec<(MemberId, Vec<u8>)> = Vec::new();
    log.run(|sender, payload| {
        if payload[0] != DEALING {
            return vec![payload];
        }
        if sender == liar {
            assert_eq!(seen.len(), 2, "it is the last that counts");
            return vec![wrap(Step::Dealing, ceremony_id(), &dealing_that_vanishes(&context, liar, &seen))];
        }
        seen.push((sender, payload[HEADER..].to_vec()));
        vec![payload]
    });
    log.idle(2 * PATIENCE.acknowledge);
    assert_eq!(log.observer.status(), Status::Completed);
    assert!(faults(&log).is_empty(), "{:?}", faults(&log));
    let keys = log.completed();
    assert_eq!(keys.keys().copied().collect::<Vec<_>>(), [member(2), member(5), member(11)]);
    assert!(keys[&member(2)].public().verifying_share(liar).is_none());
}

fn dealing_that_vanishes(context: &Context, liar: MemberId, others: &[(MemberId, Vec<u8>)]) -> Vec<u8> {
    use super::dealing::statement;
    use super::proof::Proof;

    let (own, at) = (seed(liar), liar.scalar());
    let decryption: BTreeMap<_, _> =
        context.members.iter().map(|me| (*me, DecryptionKey::derive(context.id, &seed(*me)))).collect();
    let mut target = Scalar::ZERO;
    for (dealer, body) in others {
        let dealing = verify(context, *dealer, body).unwrap();
        let encryption = decryption[&liar].public();
        let route = Route {
            context,
            dealer: *dealer,
            recipient: liar,
            ephemeral: &dealing.ephemeral,
            encryption: &encryption,
        };
        let shared = SharedPoint::new(&decryption[&liar].0, &dealing.ephemeral).unwrap();
        target -= *route.open(&shared, &dealing.shares[&liar]).unwrap();
    }
    let (constant, ephemeral, highest) = (Scalar::from(77_u64), Scalar::from(78_u64), Scalar::from(79_u64));
    let middle = (target - constant - highest * at * at) * at.invert().unwrap();
    let coefficients = [constant, middle, highest];

    let mut body = vec![0, 3, 0, 4];
    for secret in coefficients.iter().chain([&ephemeral]) {
        body.extend(crate::wire::compress(&(ProjectivePoint::GENERATOR * secret)).unwrap());
    }
    let public = ProjectivePoint::GENERATOR * ephemeral;
    for (recipient, key) in &decryption {
        let encryption = key.public();
        let route = Route {
            context,
            dealer: liar,
            recipient: *recipient,
            ephemeral: &public,
            encryption: &encryption,
        };
        let x = recipient.scalar();
        let share = coefficients.iter().rev().fold(Scalar::ZERO, |sum, c| sum * x + c);
        body.extend(route.seal(&SharedPoint::new(&ephemeral, &encryption).unwrap(), &share));
    }
    let proofs =
        [(Purpose::Constant, constant), (Purpose::EphemeralKey, ephemeral)].map(|(purpose, secret)| {
            Proof::new(&secret, &statement(context, purpose, liar, &body), &own).to_bytes()
        });
    body.extend(proofs.concat());
    body
}

/// Proofs, keys and shares are bound to dealer, recipient, members, threshold and ceremony.
#[test]
fn nothing_carries_over_to_another_place() {
    let here = context(4, 3);
    let dealer = member(2);
    let (body, decryption) = dealing(&here, dealer);
    let verified = verify(&here, dealer, &body).unwrap();
    assert!(verify(&here, member(5), &body).is_err(), "another member cannot send it as its own");

    let elsewhere: Vec<Context> = [
        CeremonyId { l1_chain_id: 1, ..here.id },
        CeremonyId { contract: [0; 20], ..here.id },
        CeremonyId { epoch: 5, ..here.id },
        CeremonyId { attempt: 1, ..here.id },
    ]
    .into_iter()
    .map(|id| Context::new(&Setup { id, ..fresh(4, 3) }).unwrap())
    .chain([Context::new(&reshare(keys(4, 3)[&member(2)].public(), committee(4), 3)).unwrap()])
    .collect();
    for there in &elsewhere {
        assert!(verify(there, dealer, &body).is_err());
        let deals = |context| Dealer::fresh(context, dealer, &seed(dealer)).commitment();
        assert_ne!(deals(there), deals(&here), "one seed in two ceremonies deals unrelated secrets");
        let key = |id| DecryptionKey::derive(id, &seed(dealer)).public();
        let is_of_another_key = CeremonyId { kind: here.id.kind, attempt: 0, ..there.id } != here.id;
        assert_eq!(
            key(there.id) != key(here.id),
            is_of_another_key,
            "one encryption key for an epoch's ceremonies"
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
    let make = |n, t, me| Ceremony::new(&fresh(n, t), me, seed(me), None).err();
    assert_eq!(make(4, 3, member(2)), None);
    assert_eq!(make(4, 3, member(1)), Some(SetupError::NotAMember(member(1))));
    assert!(matches!(make(4, 5, member(2)), Some(SetupError::Threshold(_))));
    assert!(matches!(make(4, 1, member(2)), Some(SetupError::Threshold(_))));
    let old = keys(4, 3);
    let public = old[&member(2)].public();
    let again = reshare(public, committee(4), 3);
    let without = Setup { old: None, ..again.clone() };
    assert_eq!(Ceremony::observer(&without).err(), Some(SetupError::OldKey(CeremonyKind::Reshare)));
    let with = Setup { old: Some(public.clone()), ..fresh(4, 3) };
    assert_eq!(Ceremony::observer(&with).err(), Some(SetupError::OldKey(CeremonyKind::Fresh)));
    let me = member(5);
    for share in [old[&member(2)].share(), Log::new(4, 3).finished()[&me].share()] {
        let wrong = Ceremony::new(&again, me, seed(me), Some(share)).err();
        assert_eq!(wrong, (share.member() != me).then_some(SetupError::OldShare(me)));
    }
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
    fn garbage_in_the_log_is_a_fault(step in 1_u8..5, body in prop::collection::vec(any::<u8>(), 0..400)) {
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
        prop_assert!(verify(&context, member(2), &body).is_err());
    }
}
