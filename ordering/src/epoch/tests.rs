use std::collections::BTreeSet;

use frost_secp256k1::SigningKey;
use ordering_types::{Address, Digest, GroupKey, GroupSignature, SecretKey};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const DOMAIN: Domain = Domain { l1_chain_id: 1, inbox: Address::new([7; 20]) };
const LENGTHS: Epochs =
    Epochs { blocks: 3, interval_ms: 1_000, ceremony_ms: 400, max_committee: 100, key: KeyPolicy::Fresh };
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
    CeremonyStart {
        after: Height::new(after),
        time_ms,
        nth,
        members: members(),
        announced: BTreeMap::new(),
        old: None,
    }
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
    EpochVote { next, sharing: 0, test: GroupSignature::new(test.try_into().unwrap()) }
}

fn say(sender: u16, vote: &EpochVote) -> SystemMessage {
    let payload = [&[EPOCH_VOTE], vote.encode().as_slice()].concat();
    let key = SecretKey::from_bytes([9; 32]).unwrap();
    SystemMessage::sign(&DOMAIN, ValidatorId::new(sender), 1, payload, &key)
}

/// Without a registry, where all gather from the first block on.
fn close(book: &mut EpochBook, height: u64, time_ms: u64, said: &[SystemMessage]) -> Vec<EpochEvent> {
    let mut events = close_with(book, &L1Book::default(), height, time_ms, said);
    events.retain(|event| !matches!(event, EpochEvent::Gather(_)));
    events
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
    assert_eq!(
        close(&mut book, 3, 0, &[say(4, &vote)]),
        [EpochEvent::Ended { handover, key: vote.shared_key() }]
    );
    let expected = EpochStart {
        epoch: Epoch::new(1),
        key: Some(vote.shared_key()),
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
    assert_eq!(book.vote_of(ValidatorId::new(1)), Some(good), "it changed its mind");
    close(&mut book, 2, 0, &[say(1, &vote(1, 2, 1))]);
    assert_eq!(book.vote_of(ValidatorId::new(1)), Some(good), "a bad one takes no place");
    let ended = close(&mut book, 3, 0, &[say(2, &good), say(3, &good)]);
    assert!(matches!(ended[..], [EpochEvent::Ended { .. }]));
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
        assert!(matches!(ended[..], [EpochEvent::Ended { .. }]));
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

fn ready(sender: u16, epoch: u64) -> SystemMessage {
    ready_with(sender, epoch, &announcement(sender))
}

fn announcement(of: u16) -> Announcement {
    format!("the key of {of}").into_bytes()
}

fn ready_with(sender: u16, epoch: u64, announcement: &[u8]) -> SystemMessage {
    let payload = [[READY].as_slice(), &epoch.to_be_bytes(), announcement].concat();
    SystemMessage { payload, ..say(sender, &vote(1, 1, 1)) }
}

/// Validators 1 to 6 are on the agreed list.
fn listed() -> L1Book {
    crate::l1::tests::listed(6)
}

fn drawn(events: &[EpochEvent]) -> Vec<u16> {
    match events {
        [EpochEvent::MakeKey(start)] => start.members.committee().ids().map(ValidatorId::get).collect(),
        other => panic!("{other:?}"),
    }
}

/// Without the gathering, validators that never ran were drawn: more than f of them are a committee that makes no key.
#[test]
fn those_who_say_in_time_that_they_are_ready_are_drawn_and_make_the_key() {
    let (mut book, l1) = (book(), listed());
    let mut close =
        |height, time_ms, said: &[SystemMessage]| close_with(&mut book, &l1, height, time_ms, said);
    assert_eq!(close(1, 0, &[ready(6, 1)]), [], "too early to count");
    assert_eq!(close(2, 600, &[]), [EpochEvent::Gather(Epoch::new(1))]);
    let said = [ready(1, 1), ready(2, 1), ready(3, 1), ready(5, 1), ready(6, 2), ready(9, 1)];
    assert_eq!(close(3, 650, &said), []);
    assert_eq!(
        drawn(&close(4, 700, &[ready(6, 1)])),
        [1, 2, 3, 4, 5, 6],
        "4 is a member and keeps its place"
    );
    let start = book.ceremony().unwrap();
    assert_eq!(start.members.committee().ids().count(), 6);
    let expected = [1, 2, 3, 5, 6].map(|id| (ValidatorId::new(id), announcement(id)));
    assert_eq!(start.announced, expected.into(), "with the keys of those who said it");
}

/// Whoever is away while the key is made has announced itself in the long time before.
#[test]
fn without_a_registry_members_announce_themselves_from_the_first_block_on() {
    let mut book = book();
    let l1 = L1Book::default();
    assert_eq!(close_with(&mut book, &l1, 1, 0, &[]), [EpochEvent::Gather(Epoch::new(1))]);
    assert!(book.gathers(ValidatorId::new(1)));
    let long = vec![1; MAX_ANNOUNCEMENT + 1];
    let said = [ready(1, 1), ready_with(1, 1, b"again"), ready(2, 2), ready(9, 1), ready_with(3, 1, &long)];
    close(&mut book, 2, 100, &said);
    assert!(!book.gathers(ValidatorId::new(1)) && book.gathers(ValidatorId::new(3)));
    close(&mut book, 3, 300, &[ready_with(4, 1, b"")]);
    assert_eq!(drawn(&close(&mut book, 4, 600, &[])), [1, 2, 3, 4]);
    let expected = [(ValidatorId::new(1), announcement(1)), (ValidatorId::new(4), Vec::new())];
    assert_eq!(book.ceremony().unwrap().announced, expected.into());
    close(&mut book, 5, 1_000, &[]);
    assert!(!book.gathers(ValidatorId::new(1)), "what was announced stays so");
}

#[test]
fn who_is_not_listed_or_speaks_of_another_epoch_is_not_ready() {
    let (mut book, l1) = (book(), listed());
    close_with(&mut book, &l1, 1, 0, &[]);
    close_with(&mut book, &l1, 2, 600, &[]);
    assert!(book.gathers(ValidatorId::new(5)));
    let said = [ready(5, 1), ready(6, 2), ready(9, 1)];
    close_with(&mut book, &l1, 3, 650, &said);
    assert!(!book.gathers(ValidatorId::new(5)) && book.gathers(ValidatorId::new(6)));
    assert_eq!(drawn(&close_with(&mut book, &l1, 4, 700, &[])), [1, 2, 3, 4, 5]);
    assert!(!book.gathers(ValidatorId::new(6)), "it is drawn");
}

/// The drawn members' votes count only once they are in office: until then they may only show the test of their key.
#[test]
fn votes_of_those_who_are_no_members_do_not_count() {
    let mut book = making();
    let vote = vote(1, 1, 1);
    assert_eq!(close(&mut book, 1, 0, &[7, 8, 9, 10].map(|id| say(id, &vote))), []);
    assert_eq!((book.backed(), book.votes.len()), (None, 0));
    close(&mut book, 2, 0, &[1, 2, 3].map(|id| say(id, &vote)));
    assert_eq!(book.present().epoch, Epoch::new(1));
}

#[test]
fn who_is_no_member_may_say_so_much_and_no_more_in_an_epoch() {
    let mut book = making();
    let outsider = ValidatorId::new(9);
    let said: Vec<SystemMessage> = (0..MAX_OUTSIDE_MESSAGES - 1).map(|_| ready(9, 7)).collect();
    close(&mut book, 1, 0, &said);
    assert_eq!(book.hears(outsider), 1);
    close(&mut book, 2, 0, &[ready(9, 7), ready(1, 7)]);
    assert_eq!((book.hears(outsider), book.hears(ValidatorId::new(1))), (0, MAX_OUTSIDE_MESSAGES));
    let vote = vote(1, 1, 1);
    close(&mut book, 3, 0, &[1, 2, 3].map(|id| say(id, &vote)));
    assert_eq!(book.hears(outsider), MAX_OUTSIDE_MESSAGES, "in the next epoch again");
}

fn tell(sender: u16, epoch: u64, data: &[u8]) -> SystemMessage {
    let payload = [[KEY_DATA].as_slice(), &epoch.to_be_bytes(), data].concat();
    SystemMessage { payload, ..say(sender, &vote(1, 1, 1)) }
}

/// Who was not there when the key was made can tell a good dealing of its share from a bad one.
#[test]
fn a_key_that_is_kept_is_shared_anew_once_more_than_f_tell_its_data() {
    let mut rules = rules();
    rules.epochs.key = KeyPolicy::Keep;
    let mut book = book();
    let mut close = |height, time_ms, messages: &[SystemMessage]| {
        let tally = book.tally(messages, &DOMAIN);
        let block = ClosedBlock { height: Height::new(height), time_ms, next_batch: height + 100, messages };
        let mut events = book.close_block(block, tally, (&L1Book::default(), &rules));
        events.retain(|event| !matches!(event, EpochEvent::Gather(_)));
        events
    };
    let long = vec![1; MAX_KEY_DATA + 1];
    let said = [
        tell(1, 0, b"data"),
        tell(1, 0, b"lie"),
        tell(9, 0, b"data"),
        tell(2, 1, b"data"),
        tell(4, 0, &long),
    ];
    assert_eq!(close(1, 0, &said), []);
    assert_eq!(close(2, 700, &[tell(3, 0, b"lie")]), [], "one for each, of whom one may lie");
    assert_eq!(close(3, 1_000, &[]), [EpochEvent::Due { time_ms: 1_000 }], "it is due, and must wait");
    let expected = CeremonyStart { old: Some(b"data".to_vec()), ..ceremony(4, 1_001, 0) };
    assert_eq!(close(4, 1_001, &[tell(4, 0, b"data")]), [EpochEvent::MakeKey(expected)]);
    let vote = EpochVote { sharing: 1, ..vote(1, 1, 1) };
    close(5, 1_002, &[1, 2, 3].map(|id| say(id, &vote)));
    assert_eq!(book.present().key, Some(vote.shared_key()));
    assert!(book.lacks_key_data_of(ValidatorId::new(4)), "each epoch's is told anew");
    assert!(!book.lacks_key_data_of(ValidatorId::new(9)), "by members");
}

/// Shares of two sharings of one key do not go together.
#[test]
fn votes_for_two_sharings_of_a_key_do_not_add_up() {
    let mut book = making();
    let of = |sharing| EpochVote { sharing, ..vote(1, 1, 1) };
    assert_eq!(
        close(&mut book, 1, 0, &[say(1, &of(1)), say(2, &of(2)), say(3, &of(1))]),
        [EpochEvent::Backed]
    );
    assert_eq!(book.backed(), Some(of(1)));
    let ended = close(&mut book, 2, 0, &[say(2, &of(1))]);
    assert!(matches!(ended[..], [EpochEvent::Ended { key: SharedKey { sharing: 1, .. }, .. }]), "{ended:?}");
}

/// While L1 is dark, keys go on changing so often that none whose shares may have to sign for it is forgotten, and no further.
#[test]
fn no_more_than_eight_handovers_wait_for_l1() {
    let mut rules = rules();
    let (mut book, mut l1) = (book(), listed());
    let mut height = 0;
    let mut until_due = |book: &mut EpochBook, l1: &L1Book, rules: &Rules| {
        let start = height * 1_000;
        (0..40).any(|step| {
            height += 1;
            let time_ms = start + step * 200;
            let block =
                ClosedBlock { height: Height::new(height), time_ms, next_batch: height + 100, messages: &[] };
            let tally = book.tally(&[], &DOMAIN);
            let events = book.close_block(block, tally, (l1, rules));
            events.iter().any(|event| matches!(event, EpochEvent::Due { .. }))
        })
    };
    let end = |book: &mut EpochBook| {
        let epoch = book.present().epoch.next();
        let next = NextEpoch { epoch, ..vote(1, 1, 1).next };
        let handover = Handover { next, first_batch: 1, first_height: Height::new(1) };
        book.begin(&handover, SharedKey::fresh(next.key), members());
    };
    rules.has_registry = true;
    for epoch in 0..MAX_UNCONFIRMED {
        assert!(until_due(&mut book, &l1, &rules), "epoch {epoch} may end");
        end(&mut book);
    }
    assert!(!until_due(&mut book, &l1, &rules), "eight wait for L1: the ninth is not begun");
    crate::l1::tests::confirm(&mut l1, 16, 1);
    assert!(until_due(&mut book, &l1, &rules), "one of them is final");
    end(&mut book);
    assert!(!until_due(&mut book, &l1, &rules));
    rules.has_registry = false;
    assert!(until_due(&mut book, &l1, &rules), "nobody watches L1 without a registry");
}

/// A committee drawn anew has another name: votes for the one before it are void, or two halves of the members would wait for each other.
#[test]
fn another_ceremony_of_others_voids_the_votes_so_far() {
    let (mut book, l1) = (making(), listed());
    close_with(&mut book, &l1, 1, 0, &[1, 2].map(|id| say(id, &vote(1, 1, 1))));
    assert!(book.backed().is_some());
    close_with(&mut book, &l1, 3, 1_000, &[]);
    close_with(&mut book, &l1, 4, 1_001, &[ready(5, 1)]);
    let again = close_with(&mut book, &l1, 5, 9_000, &[]);
    assert_eq!(drawn(&again), [1, 2, 3, 4, 5]);
    assert_eq!(book.backed(), None);
}

#[test]
fn the_committee_of_each_remembered_epoch_is_known() {
    let mut book = making();
    let vote = vote(1, 1, 1);
    close(&mut book, 1, 0, &[1, 2, 3].map(|id| say(id, &vote)));
    for epoch in [0, 1] {
        assert_eq!(book.committee_of(Epoch::new(epoch)), Some(members().committee()), "{epoch}");
    }
    assert_eq!(book.committee_of(Epoch::new(2)), None);
}
