use std::collections::BTreeSet;

use frost_secp256k1::SigningKey;
use ordering_types::{Address, Digest, GroupSignature, SecretKey};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const DOMAIN: Domain = Domain { l1_chain_id: 1, inbox: Address::new([7; 20]) };
const LENGTHS: Epochs = Epochs { blocks: 3, interval_ms: 1_000, ceremony_ms: 400, max_committee: 100 };
fn members() -> Members {
    let member = |n: u8| (ValidatorId::new(n.into()), SecretKey::from_bytes([n; 32]).unwrap().public_key());
    Members::new(Committee::new([1, 2, 3, 4].map(member).into()))
}

fn book() -> EpochBook {
    EpochBook::genesis(members())
}

/// While the next key is being made.
fn making() -> EpochBook {
    making_of(members())
}

/// The same, of these members for themselves.
pub(crate) fn making_of(members: Members) -> EpochBook {
    let ceremony = Some(CeremonyStart { members: members.clone(), ..ceremony(0, 0, 0) });
    EpochBook { ceremony, ..EpochBook::genesis(members) }
}

fn ceremony(after: u64, time_ms: u64, nth: u16) -> CeremonyStart {
    CeremonyStart { after: Height::new(after), time_ms, nth, members: members() }
}

fn rules() -> Rules {
    let mut rules = crate::load::tests::generous_rules();
    rules.epochs = LENGTHS;
    rules
}

/// A vote for the key of this seed, tested with the key of that.
fn vote(epoch: u64, key: u64, tester: u64) -> EpochVote {
    vote_in((&DOMAIN, members().hash()), epoch, key, tester)
}

pub(crate) fn vote_in(
    (domain, committee): (&Domain, Digest),
    epoch: u64,
    key: u64,
    tester: u64,
) -> EpochVote {
    let group = |seed| SigningKey::new(&mut ChaCha8Rng::seed_from_u64(seed));
    let public: frost_secp256k1::VerifyingKey = (&group(key)).into();
    let key = GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap();
    let next = NextEpoch { epoch: Epoch::new(epoch), key, committee };
    let digest = domain.readiness(&next);
    let test = group(tester).sign(ChaCha8Rng::seed_from_u64(5), digest.as_ref()).serialize().unwrap();
    EpochVote { next, test: GroupSignature::new(test.try_into().unwrap()) }
}

fn say(sender: u16, vote: &EpochVote) -> SystemMessage {
    let payload = [&[EPOCH_VOTE], vote.encode().as_slice()].concat();
    let key = SecretKey::from_bytes([9; 32]).unwrap();
    SystemMessage::sign(&DOMAIN, ValidatorId::new(sender), 1, payload, &key)
}

fn close(book: &mut EpochBook, height: u64, time_ms: u64, said: &[SystemMessage]) -> Vec<EpochEvent> {
    close_with(book, &L1Book::default(), height, time_ms, said)
}

fn close_with(
    book: &mut EpochBook,
    l1: &L1Book,
    height: u64,
    time_ms: u64,
    messages: &[SystemMessage],
) -> Vec<EpochEvent> {
    let tally = book.tally(messages, &DOMAIN);
    let block = ClosedBlock { height: Height::new(height), time_ms, next_batch: height + 100, messages };
    book.close_block(block, tally, (l1, &rules()))
}

#[test]
fn the_key_is_made_in_the_last_part_and_the_epoch_is_due_when_it_lasted_long_enough() {
    let mut book = book();
    assert_eq!(close(&mut book, 1, 50_000, &[]), []);
    assert_eq!(close(&mut book, 2, 50_599, &[]), []);
    assert_eq!(close(&mut book, 3, 50_600, &[]), [make_key(3, 50_600, 0)]);
    assert_eq!(book.ceremony().map(|start| start.after), Some(Height::new(3)));
    assert_eq!(close(&mut book, 4, 50_999, &[]), []);
    assert_eq!(close(&mut book, 5, 51_000, &[]), [EpochEvent::Due { time_ms: 51_000 }]);
    assert_eq!(close(&mut book, 6, 53_999, &[]), [], "each is said once");
    assert_eq!(close(&mut book, 7, 54_000, &[]), [make_key(7, 54_000, 1)], "still without a successor");
    assert_eq!(close(&mut book, 8, 56_999, &[]), []);
    assert_eq!(close(&mut book, 9, 60_000, &[]), [make_key(9, 60_000, 2)]);
}

fn make_key(after: u64, time_ms: u64, nth: u16) -> EpochEvent {
    EpochEvent::MakeKey(ceremony(after, time_ms, nth))
}

#[test]
fn an_epoch_has_as_many_blocks_as_it_must() {
    let mut book = book();
    close(&mut book, 1, 0, &[]);
    assert_eq!(close(&mut book, 2, 5_000, &[]), [make_key(2, 5_000, 0)]);
    assert_eq!(close(&mut book, 3, 5_000, &[]), [EpochEvent::Due { time_ms: 5_000 }]);
}

#[test]
fn a_quorum_ends_the_epoch_with_the_block_that_completes_it() {
    let mut book = making();
    let vote = vote(1, 1, 1);
    assert_eq!(close(&mut book, 1, 0, &[say(1, &vote), say(1, &vote)]), []);
    assert_eq!(book.backed(), None);
    assert_eq!(close(&mut book, 2, 0, &[say(2, &vote)]), [EpochEvent::Backed]);
    assert_eq!(book.backed(), Some(vote));
    let handover = Handover { next: vote.next, first_batch: 103, first_height: Height::new(4) };
    assert_eq!(close(&mut book, 3, 0, &[say(4, &vote)]), [EpochEvent::Ended(handover)]);
    let expected = EpochStart {
        epoch: Epoch::new(1),
        key: Some(vote.next.key),
        members: members(),
        first_height: Height::new(4),
        first_batch: 103,
    };
    assert_eq!((book.present(), book.starts().count()), (&expected, 2));
    assert_eq!(expected.handover(), Some(handover));
    assert_eq!(book.starts().next().unwrap().handover(), None, "the first is founded");
    assert_eq!((book.ceremony(), book.due(), book.votes.len()), (None, None, 0));
}

#[test]
fn votes_that_prove_nothing_do_not_count_and_newer_ones_take_the_place_of_older() {
    let (good, other) = (vote(1, 1, 1), vote(1, 2, 2));
    for bad in [vote(1, 1, 2), vote(2, 1, 1), vote(0, 1, 1), other] {
        let mut book = making();
        let said = [say(1, &bad), say(2, &good), say(3, &good)];
        assert_eq!(close(&mut book, 1, 0, &said), [EpochEvent::Backed], "{bad:?}");
    }
    let mut stranger = good;
    stranger.next.committee = Digest::ZERO;
    let mut book = making();
    close(&mut book, 1, 0, &[1, 2, 3].map(|id| say(id, &stranger)));
    assert_eq!((book.present().epoch, book.votes.len()), (Epoch::new(0), 0), "of another committee");
    close(&mut book, 1, 0, &[say(1, &other), say(2, &other), say(1, &good)]);
    assert_eq!(book.vote_of(ValidatorId::new(1)), Some(good.next), "it changed its mind");
    close(&mut book, 2, 0, &[say(1, &vote(1, 2, 1))]);
    assert_eq!(book.vote_of(ValidatorId::new(1)), Some(good.next), "a bad one takes no place");
    let ended = close(&mut book, 3, 0, &[say(2, &good), say(3, &good)]);
    assert!(matches!(ended[..], [EpochEvent::Ended(_)]));
}

#[test]
fn only_so_many_votes_of_one_validator_are_looked_at() {
    let (bad, good) = (vote(1, 1, 2), vote(1, 1, 1));
    let flood: Vec<SystemMessage> = (0..MAX_VOTES).map(|_| say(1, &bad)).chain([say(1, &good)]).collect();
    let mut book = making();
    close(&mut book, 1, 0, &flood);
    assert_eq!(book.vote_of(ValidatorId::new(1)), None);
    close(&mut book, 2, 0, &[say(2, &good), say(3, &good), say(4, &good)]);
    assert_eq!(book.present().epoch, Epoch::new(1), "the others go on without it");
}

#[test]
fn so_many_epochs_are_remembered_and_no_more() {
    let mut book = book();
    for epoch in 1..=20 {
        book.ceremony = Some(ceremony(epoch, 0, 0));
        let vote = vote(epoch, 1, 1);
        let ended = close(&mut book, epoch, 0, &[1, 2, 3].map(|id| say(id, &vote)));
        assert!(matches!(ended[..], [EpochEvent::Ended(_)]));
    }
    let epochs: Vec<u64> = book.starts().map(|start| start.epoch.get()).collect();
    assert_eq!(epochs, (12..=20).collect::<Vec<_>>());
}

#[test]
fn the_root_covers_every_part() {
    let bytes = |book: &EpochBook| {
        let mut out = Vec::new();
        book.write(&mut out);
        out
    };
    let mut book = book();
    let mut seen = BTreeSet::from([bytes(&book)]);
    close(&mut book, 1, 0, &[]);
    assert!(seen.insert(bytes(&book)), "the time of the first block");
    close(&mut book, 2, 700, &[]);
    assert!(seen.insert(bytes(&book)), "the ceremony");
    close(&mut book, 3, 1_000, &[]);
    assert!(seen.insert(bytes(&book)), "due");
    close(&mut book, 4, 1_000, &[say(1, &vote(1, 1, 1))]);
    assert!(seen.insert(bytes(&book)), "a vote");
    close(&mut book, 5, 1_000, &[say(2, &vote(1, 1, 2))]);
    assert!(seen.insert(bytes(&book)), "a spent vote");
    close(&mut book, 6, 1_000, &[2, 3, 4].map(|id| say(id, &vote(1, 1, 1))));
    assert!(seen.insert(bytes(&book)), "another epoch");
}
