use bytes::Bytes;
use ordering_types::forced::ForcedTelling;
use ordering_types::{RollupId, Signature, ValidatorId};

use super::*;
use crate::load::tests::generous_rules;

/// Of [`generous_rules`].
const ROLLUP: RollupId = RollupId::new(1);
const UNKNOWN: RollupId = RollupId::new(9);

fn entry(rollup: RollupId, n: usize, length: usize) -> ForcedEntry {
    ForcedEntry { rollup, data: Bytes::from(vec![n as u8; length]) }
}

fn queue(count: usize) -> Vec<ForcedEntry> {
    (0..count).map(|n| entry(ROLLUP, n, 10 + n % 7)).collect()
}

fn mark(queue: &[ForcedEntry]) -> QueueMark {
    queue.iter().fold(QueueMark::default(), |at, entry| at.with(&entry.leaf()))
}

fn knowing(marks: &[QueueMark]) -> ForcedBook {
    let mut book = ForcedBook::default();
    marks.iter().for_each(|mark| book.add_mark(*mark));
    book
}

/// What an honest validator tells of this queue.
fn told(book: &ForcedBook, queue: &[ForcedEntry]) -> Option<ForcedMessage> {
    let (done, goal) = (book.done(), book.goal()?);
    let mut telling = ForcedTelling::after(done);
    queue[done.count as usize..goal.count as usize].iter().for_each(|entry| telling.push(entry.clone()));
    assert_eq!(telling.end(), goal);
    telling.finish()
}

fn said(message: &ForcedMessage) -> SystemMessage {
    let payload = [&[FORCED], message.encode().as_slice()].concat();
    SystemMessage { sender: ValidatorId::new(1), sequence: 1, payload, signature: Signature::new([0; 65]) }
}

/// Tells until there is nothing to tell; every entry that was ordered, block by block.
fn work_off(book: &mut ForcedBook, queue: &[ForcedEntry], rules: &Rules) -> Vec<Vec<ForcedEntry>> {
    let mut blocks = Vec::new();
    while let Some(message) = told(book, queue) {
        let Intake { entries, book: after, load } = book.intake(&[said(&message)], rules);
        assert!(load.fits(rules), "a block takes no more than it holds");
        assert_ne!(*book, after, "every message helps");
        *book = after;
        blocks.push(entries);
    }
    blocks
}

#[test]
fn entries_up_to_the_mark_are_ordered_once_and_in_order() {
    let queue = queue(20);
    let mut book = knowing(&[mark(&queue[..3]), mark(&queue)]);
    let blocks = work_off(&mut book, &queue, &generous_rules());
    assert_eq!(blocks.concat(), queue);
    assert_eq!((book.done(), book.goal()), (mark(&queue), None));
    let again = ForcedMessage { from: QueueMark::default(), entries: queue.clone(), leaves: vec![] };
    assert_eq!(book.intake(&[said(&again)], &generous_rules()).entries, []);
}

#[test]
fn what_leads_to_no_mark_counts_for_nothing() {
    let queue = queue(5);
    let book = knowing(&[mark(&queue)]);
    let good = told(&book, &queue).unwrap();
    let nothing = |change: &dyn Fn(&mut ForcedMessage)| {
        let mut message = good.clone();
        change(&mut message);
        let Intake { entries, book: after, .. } = book.intake(&[said(&message)], &generous_rules());
        assert!(entries.is_empty() && after == book, "{message:?}");
    };
    nothing(&|m| m.entries[2].data = Bytes::from_static(b"forged"));
    nothing(&|m| m.entries[2].rollup = UNKNOWN);
    nothing(&|m| m.entries.swap(0, 1));
    nothing(&|m| drop(m.entries.remove(0)));
    nothing(&|m| drop(m.entries.pop()));
    nothing(&|m| m.from.count = 1);
    nothing(&|m| m.from.accumulator = Digest::sha256(&[b"elsewhere"]));
    nothing(&|m| m.leaves.push(m.entries[0].leaf()));
    nothing(&|m| m.entries.clear());
    assert_eq!(book.intake(&[said(&good)], &generous_rules()).entries, queue);
}

/// A liar's message in the same block takes nothing from a good one.
#[test]
fn messages_of_one_block_go_on_from_each_other() {
    let queue = queue(4);
    let book = knowing(&[mark(&queue[..1]), mark(&queue)]);
    let part = |from: usize, to: usize| ForcedMessage {
        from: mark(&queue[..from]),
        entries: queue[from..to].to_vec(),
        leaves: queue[to..].iter().map(ForcedEntry::leaf).collect(),
    };
    let forged = ForcedMessage { leaves: vec![], ..part(0, 2) };
    let intake = book
        .intake(&[said(&forged), said(&part(0, 2)), said(&part(0, 2)), said(&part(2, 4))], &generous_rules());
    assert_eq!((intake.entries, intake.book.done()), (queue.clone(), mark(&queue)));
}

#[test]
fn entries_that_can_never_be_ordered_take_their_index_only() {
    let mut rules = generous_rules();
    rules.limits.block_bytes = 1_000;
    let queue = [entry(UNKNOWN, 1, 10), entry(ROLLUP, 2, 10), entry(ROLLUP, 3, 993), entry(ROLLUP, 4, 992)];
    let mut book = knowing(&[mark(&queue)]);
    let blocks = work_off(&mut book, &queue, &rules);
    assert_eq!(blocks, [vec![queue[1].clone()], vec![queue[3].clone()]]);
    assert_eq!(book.done(), mark(&queue));
}

#[test]
fn what_does_not_fit_into_one_block_is_in_the_next_ones() {
    let mut rules = generous_rules();
    rules.limits.block_bytes = 100;
    let queue: Vec<_> = (0..10).map(|n| entry(ROLLUP, n, 30)).collect();
    let mut book = knowing(&[mark(&queue)]);
    let blocks = work_off(&mut book, &queue, &rules);
    assert_eq!(blocks.concat(), queue);
    assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2, 2]);
}

/// After an outage there may be more entries than one message has leaves for.
#[test]
fn a_long_queue_is_worked_off_from_one_mark() {
    let queue: Vec<_> = (0..3 * MAX_FORCED_LEAVES + 100).map(|n| entry(ROLLUP, n, 2_000)).collect();
    let mut book = knowing(&[mark(&queue)]);
    let blocks = work_off(&mut book, &queue, &generous_rules());
    assert!(blocks[..2].iter().all(Vec::is_empty), "nearer marks come first");
    assert_eq!((blocks.concat(), book.goal()), (queue, None));
}

#[test]
fn marks_are_bounded_and_the_newest_and_nearest_stay() {
    let of = |count| QueueMark { count, accumulator: Digest::ZERO };
    let book = knowing(&(1..=2_000).map(of).collect::<Vec<_>>());
    assert_eq!(book.marks.len(), MAX_MARKS);
    assert!(book.knows(of(1)) && book.knows(of(2_000)));
    assert!(!knowing(&[of(0)]).knows(of(0)), "nothing is behind the beginning");
}
