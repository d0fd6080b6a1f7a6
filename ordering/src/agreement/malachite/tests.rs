#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{
    Address, Digest, Epoch, Height, Incarnation, Round, SecretKey, SignedVote, Time, ValidatorId, Vote,
    VoteKind,
};

use super::{Malachite, Setup};
use crate::agreement::{
    Agreement, Broadcast, BundleKind, Effect, Event, HeightRules, Proposal, Taken, VoteBundle,
};
use crate::reputation::Rotation;
use crate::settings::Settings;

const E0: Epoch = Epoch::new(0);
const H1: Height = Height::new(1);
const R0: Round = Round::new(0);
const NOW: Time = Time::from_millis(1_000);

fn key(n: u16) -> SecretKey {
    SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap()
}

fn domain() -> Domain {
    Domain { l1_chain_id: 1, inbox: Address::new([0; 20]) }
}

fn core(me: u16, log: &[(Height, Bytes)]) -> Malachite {
    core_of(4, me, log)
}

fn core_of(n: u16, me: u16, log: &[(Height, Bytes)]) -> Malachite {
    let setup = Setup {
        domain: domain(),
        epoch: E0,
        committee: all_of(n).committee,
        me: ValidatorId::new(me),
        key: key(me),
        settings: Settings::new(Incarnation::new(1)),
        decided: Height::ZERO,
    };
    Malachite::new(setup, log).unwrap()
}

fn everyone() -> HeightRules {
    all_of(4)
}

/// Heights of a committee of so many, who all lead.
fn all_of(n: u16) -> HeightRules {
    let members: BTreeMap<_, _> = (1..=n).map(|n| (ValidatorId::new(n), key(n).public_key())).collect();
    let rotation = Rotation::of_all(&members.keys().copied().collect::<Vec<_>>());
    HeightRules { epoch: E0, committee: Arc::new(Committee::new(members)), rotation }
}

fn vote(kind: VoteKind, validator: u16, round: Round, value: Option<Digest>) -> SignedVote {
    let vote = Vote { kind, epoch: E0, height: H1, round, value, validator: ValidatorId::new(validator) };
    vote.sign(&domain(), &key(validator))
}

fn proposal(value: Digest) -> Proposal {
    // Height 1, round 0: the second of four proposes.
    let proposer = ValidatorId::new(2);
    Proposal { epoch: E0, height: H1, round: R0, valid_round: None, value, proposer }
}

fn drain(core: &mut Malachite, log: &mut Vec<(Height, Bytes)>) -> Vec<Effect> {
    let mut others = Vec::new();
    while let Some(effect) = core.next_effect() {
        match effect {
            Effect::Log { height, entry } => log.push((height, entry)),
            other => others.push(other),
        }
    }
    others
}

fn own_votes(effects: &[Effect]) -> Vec<Vote> {
    let votes = effects.iter().filter_map(|e| match e {
        Effect::Broadcast(Broadcast::Vote(vote)) => Some(vote.vote),
        _ => None,
    });
    votes.collect()
}

/// Drives validator 1 to a decision of height 1; answers its log and all else it did.
fn decide(value: Digest) -> (Vec<(Height, Bytes)>, Vec<Effect>) {
    let (mut core, mut log) = (core(1, &[]), Vec::new());
    core.start_height(NOW, H1, everyone());
    let signed = proposal(value).sign(&domain(), &key(2));
    core.handle(NOW, Event::Proposal(signed));
    core.handle(NOW, Event::Judged { proposal: proposal(value), valid: true });
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        for peer in [2, 3] {
            core.handle(NOW, Event::Vote(vote(kind, peer, R0, Some(value))));
        }
    }
    assert!(core.decided());
    let effects = drain(&mut core, &mut log);
    (log, effects)
}

#[test]
fn a_quorum_decides_with_a_certificate_that_anyone_can_check() {
    let value = Digest::sha256(&[b"v"]);
    let (_, effects) = decide(value);
    let certificate = effects.iter().find_map(|e| match e {
        Effect::Decided(certificate) => Some(certificate),
        _ => None,
    });
    let certificate = certificate.unwrap();
    assert_eq!((certificate.height, certificate.header), (H1, value));
    let members = (1..=4).map(|n| (ValidatorId::new(n), key(n).public_key())).collect();
    certificate.verify(&domain(), &Committee::new(members)).unwrap();
    assert!(certificate.signatures.is_sorted_by_key(|(id, _)| *id));
}

/// A crash may cut the log anywhere. Whatever is left, a vote signed before is the one that is signed again.
#[test]
fn every_prefix_of_a_log_replays_to_the_same_votes() {
    let value = Digest::sha256(&[b"v"]);
    let (log, effects) = decide(value);
    let signed = own_votes(&effects);
    assert_eq!(signed.len(), 2);
    for length in 0..=log.len() {
        let mut again = core(1, &log[..length]);
        let mut more = Vec::new();
        again.start_height(NOW, H1, everyone());
        let effects = drain(&mut again, &mut more);
        assert!(!effects.iter().any(|e| matches!(e, Effect::Fatal(_))), "prefix {length}: {effects:?}");
        for vote in own_votes(&effects) {
            assert!(signed.contains(&vote), "prefix {length}: {vote:?}");
        }
        for (_, entry) in &more {
            assert!(!log[..length].iter().any(|(_, old)| old == entry), "logged twice after {length}");
        }
    }
}

/// With a log that shows its vote for one value, a node can only repeat that vote, however the height goes on.
#[test]
fn a_vote_in_the_log_is_never_contradicted() {
    let (value, other) = (Digest::sha256(&[b"v"]), Digest::sha256(&[b"other"]));
    let (log, _) = decide(value);
    // Only the vote itself survived, not what led to it.
    let prevote = vote(VoteKind::Prevote, 1, R0, Some(value));
    let entry = super::convert::LogEntry::Vote(prevote).encode();
    assert!(log.iter().any(|(_, e)| *e == entry));
    let mut again = core(1, &[(H1, entry)]);
    again.start_height(NOW, H1, everyone());
    again.handle(NOW, Event::Proposal(proposal(other).sign(&domain(), &key(2))));
    again.handle(NOW, Event::Judged { proposal: proposal(other), valid: true });
    let effects = drain(&mut again, &mut Vec::new());
    assert!(own_votes(&effects).iter().all(|v| v.value == Some(value)), "{effects:?}");
    assert!(effects.iter().any(|e| matches!(e, Effect::Fatal(_))));
}

#[test]
fn forged_messages_are_faults() {
    let value = Some(Digest::sha256(&[b"v"]));
    let mut core = core(1, &[]);
    core.start_height(NOW, H1, everyone());
    let mut forged = vote(VoteKind::Prevote, 3, R0, value);
    forged.vote.validator = ValidatorId::new(4);
    assert_eq!(core.handle(NOW, Event::Vote(forged)), Taken::Fault);
    let by_another = proposal(Digest::ZERO).sign(&domain(), &key(3));
    assert_eq!(core.handle(NOW, Event::Proposal(by_another)), Taken::Fault);
    let mixed = VoteBundle {
        kind: BundleKind::Polka,
        height: H1,
        round: R0,
        votes: vec![vote(VoteKind::Prevote, 3, Round::new(1), value)],
    };
    assert_eq!(core.handle(NOW, Event::Bundle(mixed)), Taken::Fault);
}

/// Three signatures of which one is forged are no certificate, though three are a quorum.
#[test]
fn a_bundle_with_one_forged_vote_proves_nothing() {
    let value = Digest::sha256(&[b"v"]);
    let mut votes: Vec<_> =
        [2, 3, 4].map(|n| vote(VoteKind::Prevote, n, R0, Some(value))).into_iter().collect();
    votes[2].signature = votes[1].signature;
    let mut core = core(1, &[]);
    core.start_height(NOW, H1, everyone());
    core.handle(NOW, Event::Bundle(VoteBundle { kind: BundleKind::Polka, height: H1, round: R0, votes }));
    assert!(!core.has_prevote_quorum(value));
    let mut good: Vec<_> = Vec::new();
    good.extend([2, 3, 4].map(|n| vote(VoteKind::Prevote, n, R0, Some(value))));
    let bundle = VoteBundle { kind: BundleKind::Polka, height: H1, round: R0, votes: good };
    core.handle(NOW, Event::Bundle(bundle));
    assert!(core.has_prevote_quorum(value));
}

#[test]
fn two_votes_of_one_validator_become_evidence() {
    let (value, other) = (Digest::sha256(&[b"v"]), Digest::sha256(&[b"other"]));
    let (mut core, mut log) = (core(1, &[]), Vec::new());
    core.start_height(NOW, H1, everyone());
    core.handle(NOW, Event::Vote(vote(VoteKind::Prevote, 4, R0, Some(value))));
    core.handle(NOW, Event::Vote(vote(VoteKind::Prevote, 4, R0, Some(other))));
    core.start_height(NOW, H1.next(), everyone());
    let effects = drain(&mut core, &mut log);
    let evidence = effects.iter().find_map(|e| match e {
        Effect::Evidence(evidence) => Some(evidence),
        _ => None,
    });
    let evidence = evidence.unwrap();
    assert_eq!(evidence.culprit, ValidatorId::new(4));
    assert!(evidence.first.verify(&domain(), &key(4).public_key()));
    assert!(evidence.second.verify(&domain(), &key(4).public_key()));
    assert_ne!(evidence.first.vote.value, evidence.second.vote.value);
}

#[test]
fn without_a_proposal_the_round_is_given_up_in_time() {
    let (mut core, mut log) = (core(1, &[]), Vec::new());
    core.start_height(NOW, H1, everyone());
    let due = core.next_deadline().unwrap();
    core.handle(due, Event::Wake);
    while !own_votes(&drain(&mut core, &mut log)).iter().any(|v| v.value.is_none()) {
        let due = core.next_deadline().unwrap();
        assert!(due < NOW + std::time::Duration::from_secs(1));
        core.handle(due, Event::Wake);
    }
}

/// The core counts "more than two thirds". With one vote each that must be n − f, which is not 2f + 1 for five, six or eight.
#[test]
fn it_decides_with_exactly_a_quorum_of_any_committee() {
    let value = Digest::sha256(&[b"v"]);
    for (n, quorum) in [(4, 3), (5, 4), (6, 5), (7, 5), (8, 6), (10, 7)] {
        let mut core = core_of(n, 1, &[]);
        core.start_height(NOW, H1, all_of(n));
        core.handle(NOW, Event::Proposal(proposal(value).sign(&domain(), &key(2))));
        core.handle(NOW, Event::Judged { proposal: proposal(value), valid: true });
        for peer in 2..=quorum {
            assert!(!core.has_prevote_quorum(value), "{n} members, {peer} are too early");
            core.handle(NOW, Event::Vote(vote(VoteKind::Prevote, peer, R0, Some(value))));
        }
        assert!(core.has_prevote_quorum(value));
        for peer in 2..=quorum {
            assert!(!core.decided(), "{n} members, {peer} are too early");
            core.handle(NOW, Event::Vote(vote(VoteKind::Precommit, peer, R0, Some(value))));
        }
        assert!(core.decided(), "{n} members");
    }
}
