use ordering_types::registry::peer_id;
use ordering_types::{QueueMark, Registered, SecretKey, Signature};

use super::*;
use crate::load::tests::generous_rules;

const STEP: u64 = 8;

fn rules() -> Rules {
    let mut rules = generous_rules();
    rules.report_blocks = STEP;
    rules
}

fn registered(n: u8) -> Registered {
    let key = SecretKey::from_bytes([n; 32]).unwrap().public_key();
    let endpoint = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{}", peer_id(&key));
    Registered { id: ValidatorId::new(n.into()), node: key.address(), endpoint }
}

fn list(n: u8) -> Registry {
    Registry::new((1..=n).map(registered).collect()).unwrap()
}

fn committee(n: u8) -> Committee {
    let member = |n: u8| (ValidatorId::new(n.into()), SecretKey::from_bytes([n; 32]).unwrap().public_key());
    Committee::new((1..=n).map(member).collect())
}

fn report(number: u64, fork: u8, registry: &Registry) -> L1Report {
    let hash = Digest::sha256(&[&number.to_be_bytes(), &[fork]]);
    let (block, registry) = (L1Reference { number, hash }, registry.root());
    L1Report { block, registry, epoch: Epoch::new(0), queue: QueueMark::default() }
}

fn message(sender: u8, kind: u8, bytes: &[u8]) -> SystemMessage {
    let payload = [&[kind], bytes].concat();
    SystemMessage {
        sender: ValidatorId::new(sender.into()),
        sequence: 1,
        payload,
        signature: Signature::new([0; 65]),
    }
}

fn says(book: &mut L1Book, sender: u8, report: L1Report) {
    book.close_block(&[message(sender, L1_REPORT, &report.encode())], &committee(4), &rules());
}

fn tells(book: &mut L1Book, sender: u8, list: &Registry) {
    book.close_block(&[message(sender, REGISTRY, &list.encode())], &committee(4), &rules());
}

/// The same, of a newer block after which the inbox has the key of this epoch.
pub(crate) fn confirm(book: &mut L1Book, number: u64, epoch: u64) {
    let report = L1Report { epoch: Epoch::new(epoch), ..report(number, 0, &list(6)) };
    (1..=3).for_each(|sender| says(book, sender, report));
}

/// With a list of so many, that all agreed on.
pub(crate) fn listed(n: u8) -> L1Book {
    let mut book = L1Book::default();
    (1..=3).for_each(|sender| says(&mut book, sender, report(8, 0, &list(n))));
    tells(&mut book, 1, &list(n));
    book
}

#[test]
fn what_a_quorum_reports_alike_is_the_reference_and_it_never_goes_back() {
    let mut book = L1Book::default();
    let (good, forged) = (report(16, 0, &list(4)), report(16, 1, &list(4)));
    says(&mut book, 1, good);
    says(&mut book, 2, forged);
    says(&mut book, 3, good);
    assert_eq!(book.reference(), L1Reference::default(), "two of four, and a liar");
    says(&mut book, 4, good);
    assert_eq!(book.reference(), good.block);
    for sender in 1..=4 {
        says(&mut book, sender, report(8, 0, &list(4)));
        says(&mut book, sender, forged);
        says(&mut book, sender, report(27, 0, &list(4)));
    }
    assert_eq!(book.reference(), good.block, "older, the same again, and between the steps");
    (1..=3).for_each(|sender| says(&mut book, sender, report(32, 0, &list(4))));
    assert_eq!(book.reference().number, 32);
}

#[test]
fn only_members_report_and_each_once_a_block() {
    let mut book = L1Book::default();
    let (good, other) = (report(16, 0, &list(4)), report(16, 1, &list(4)));
    [5, 6, 7].into_iter().for_each(|stranger| says(&mut book, stranger, good));
    assert_eq!(book, L1Book::default());
    says(&mut book, 1, other);
    [1, 2, 3].into_iter().for_each(|sender| says(&mut book, sender, good));
    assert_eq!(book.agreed(), None, "the first word of 1 counts");
}

#[test]
fn endpoints_may_be_some_steps_apart() {
    let mut book = L1Book::default();
    let numbers: Vec<u64> = (1..=MAX_REPORTS as u64).map(|n| n * STEP).collect();
    for sender in 1..=2 {
        numbers.iter().for_each(|number| says(&mut book, sender, report(*number, 0, &list(4))));
    }
    says(&mut book, 3, report(STEP, 0, &list(4)));
    assert_eq!(book.reference().number, STEP);
    assert!(
        book.has_reported(ValidatorId::new(1), 8 * STEP) && !book.has_reported(ValidatorId::new(3), 2 * STEP)
    );
    let far = (MAX_REPORTS as u64 + 1) * STEP;
    for sender in 1..=2 {
        [far, far + STEP].into_iter().for_each(|number| says(&mut book, sender, report(number, 0, &list(4))));
    }
    says(&mut book, 3, report(2 * STEP, 0, &list(4)));
    assert_eq!(book.reference().number, STEP, "forgotten for newer ones");
    says(&mut book, 3, report(far, 0, &list(4)));
    assert_eq!(book.reference().number, far);
}

#[test]
fn a_list_counts_if_it_has_the_agreed_root() {
    let mut book = L1Book::default();
    tells(&mut book, 1, &list(5));
    assert!(!book.is_listed(), "before anything is agreed on");
    (1..=3).for_each(|sender| says(&mut book, sender, report(8, 0, &list(5))));
    assert_eq!(book.missing_list(), Some(list(5).root()));
    tells(&mut book, 1, &list(6));
    assert!(!book.is_listed(), "another");
    tells(&mut book, 9, &list(5));
    assert_eq!((book.missing_list(), book.candidates().len()), (None, 5));
    assert_eq!(book.candidate(ValidatorId::new(5)).map(|v| v.id.get()), Some(5));
    (1..=3).for_each(|sender| says(&mut book, sender, report(16, 0, &list(7))));
    assert_eq!(book.candidates().len(), 5, "the one before, until the new one is told");
    tells(&mut book, 2, &list(7));
    assert_eq!(book.candidates().len(), 7);
}

#[test]
fn the_root_covers_every_part() {
    let bytes = |book: &L1Book| {
        let mut out = Vec::new();
        book.write(&mut out);
        out
    };
    let mut book = L1Book::default();
    let mut seen = BTreeSet::from([bytes(&book)]);
    for sender in 1..=3 {
        says(&mut book, sender, report(8, 0, &list(5)));
        assert!(seen.insert(bytes(&book)), "report of {sender}");
    }
    tells(&mut book, 1, &list(5));
    assert!(seen.insert(bytes(&book)), "the list");
    says(&mut book, 1, report(16, 0, &list(5)));
    let with = bytes(&book);
    assert!(seen.insert(with));
    book.change_members(&committee(0));
    assert!(!seen.insert(bytes(&book)), "without the report as before it");
}

/// A peer that hands out a checkpoint could have put its own keys under the numbers of others.
#[test]
fn the_root_covers_every_candidate() {
    let bytes = |book: &L1Book| {
        let mut out = Vec::new();
        book.write(&mut out);
        out
    };
    let good = listed(5);
    let other = |change: fn(&mut Validator)| {
        let mut book = good.clone();
        change(book.candidates.last_mut().unwrap());
        bytes(&book)
    };
    let key = |v: &mut Validator| v.key = SecretKey::from_bytes([99; 32]).unwrap().public_key();
    for changed in [other(key), other(|v| v.address.push('1')), other(|v| v.id = ValidatorId::new(77))] {
        assert_ne!(changed, bytes(&good));
    }
}
