use batcher_format::payload::DecodedSection;
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind};
use ordering_types::{Epoch, L1Reference};

use super::*;

const BLOB: RollupId = RollupId::new(1);
const PRIVATE: RollupId = RollupId::new(2);
const UNKNOWN: RollupId = RollupId::new(3);

fn spec() -> ChainSpec {
    let rollup = |id: RollupId, data| Rollup {
        id,
        name: String::new(),
        kind: RollupKind::Opaque,
        chain_id: id.get().into(),
        data,
        quota_bytes_per_block: 100,
    };
    let rollups = vec![rollup(BLOB, DataPolicy::Blob), rollup(PRIVATE, DataPolicy::Committee)];
    ChainSpec { limits: Limits::default(), rollups, ..ChainSpec::default() }
}

fn entry(rollup: RollupId, text: &str) -> ForcedEntry {
    ForcedEntry { rollup, data: Bytes::copy_from_slice(text.as_bytes()) }
}

/// A queue with these entries.
fn queue(entries: &[ForcedEntry]) -> Queue {
    let mut queue = Queue::default();
    for entry in entries {
        let accumulator = queue.end.with(&entry.leaf()).accumulator;
        queue.push(queue.end.count, entry.clone(), accumulator).unwrap();
    }
    queue
}

/// A block up to which so many entries are consumed, with these transactions of the rollup whose data is on L1.
fn block(height: u64, forced_cursor: u64, texts: &[&str]) -> DecodedBlock {
    let all = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    DecodedBlock {
        height: Height::new(height),
        time_ms: height,
        l1_reference: L1Reference::default(),
        forced_cursor,
        sections: vec![DecodedSection { rollup: BLOB, content: Content::Data(all) }],
        header: None,
    }
}

fn header(forced_cursor: u64) -> BatchHeader {
    BatchHeader {
        number: 1,
        parent: Digest::ZERO,
        epoch: Epoch::new(0),
        first_height: Height::new(1),
        last_height: Height::new(9),
        last_header: Digest::ZERO,
        last_time_ms: 0,
        forced_cursor,
        l1_reference: 0,
    }
}

fn texts(blocks: &[DecodedBlock]) -> Vec<Vec<String>> {
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
    let of = |block: &DecodedBlock| match &block.sections[0].content {
        Content::Data(all) => all.iter().map(text).collect(),
        Content::Commitment { .. } => vec![],
    };
    blocks.iter().map(of).collect()
}

fn indices(all: &[ForcedTransaction]) -> Vec<u64> {
    all.iter().map(|one| one.index).collect()
}

fn place(index: u64, height: u64, escaped: bool) -> ForcedPlace {
    ForcedPlace { index, rollup: BLOB, height: Height::new(height), escaped }
}

#[test]
fn what_the_committee_ordered_stays_where_it_is() {
    let mut queue = queue(&[entry(BLOB, "a"), entry(BLOB, "b"), entry(UNKNOWN, "u"), entry(BLOB, "c")]);
    let mut blocks = [block(1, 0, &["x"]), block(2, 2, &["a", "b", "y"]), block(3, 4, &["c"])];
    let before = texts(&blocks);
    let covered = queue.cover(&header(4), &mut blocks, &spec()).unwrap();
    assert_eq!(covered.places, [place(0, 2, false), place(1, 2, false), place(3, 3, false)]);
    assert_eq!((covered.omitted, texts(&blocks)), (vec![], before));
}

/// A majority that signs a cursor and leaves the entries out, or puts something else in their place, changes nothing for them.
#[test]
fn what_the_committee_left_out_has_its_effect_after_the_batch() {
    let entries = [entry(BLOB, "a"), entry(BLOB, "b"), entry(BLOB, "c")];
    for blocks in [
        vec![block(1, 3, &["x", "a", "b", "c"])],
        vec![block(1, 0, &["a", "b", "c"]), block(2, 3, &[])],
        vec![block(1, 0, &["x"])],
        vec![],
    ] {
        let mut queue = queue(&entries);
        let (mut blocks, before) = (blocks.clone(), texts(&blocks));
        let covered = queue.cover(&header(3), &mut blocks, &spec()).unwrap();
        assert_eq!((covered.places, indices(&covered.omitted)), (vec![], vec![0, 1, 2]));
        assert_eq!(texts(&blocks), before);
    }
    let mut blocks = [block(1, 2, &["a", "x"]), block(2, 3, &["c"])];
    let covered = queue(&entries).cover(&header(3), &mut blocks, &spec()).unwrap();
    assert_eq!(covered.places, [place(0, 1, false), place(2, 2, false)]);
    assert_eq!(indices(&covered.omitted), [1]);
}

#[test]
fn what_escaped_has_its_effect_once() {
    let entries =
        [entry(BLOB, "a"), entry(BLOB, "b"), entry(UNKNOWN, "u"), entry(BLOB, "c"), entry(BLOB, "d")];
    let mut queue = queue(&entries);
    queue.cover(&header(1), &mut [block(1, 1, &["a"])], &spec()).unwrap();
    assert_eq!(indices(&queue.escape((1, 4), &spec()).unwrap()), [1, 3]);
    let mut blocks = [block(2, 2, &["b", "x"]), block(3, 5, &["c", "d", "y"])];
    let covered = queue.cover(&header(5), &mut blocks, &spec()).unwrap();
    assert_eq!(covered.places, [place(1, 2, true), place(3, 3, true), place(4, 3, false)]);
    assert_eq!(
        (covered.omitted, texts(&blocks)),
        (vec![], vec![vec!["x".to_owned()], vec!["d".to_owned(), "y".to_owned()]])
    );
}

#[test]
fn what_escaped_and_is_left_out_later_has_no_effect_again() {
    let mut queue = queue(&[entry(BLOB, "a"), entry(BLOB, "b")]);
    assert_eq!(indices(&queue.escape((0, 1), &spec()).unwrap()), [0]);
    assert_eq!(indices(&queue.escape((1, 2), &spec()).unwrap()), [1]);
    let covered = queue.cover(&header(2), &mut [block(1, 2, &["x"])], &spec()).unwrap();
    assert_eq!(covered, Covered::default());
}

#[test]
fn of_a_rollup_whose_data_is_elsewhere_the_commitment_counts() {
    let mut queue = queue(&[entry(PRIVATE, "a"), entry(PRIVATE, "b")]);
    let mut only_one = block(1, 2, &[]);
    only_one.sections = vec![DecodedSection {
        rollup: PRIVATE,
        content: Content::Commitment { count: 1, root: Digest::ZERO },
    }];
    let covered = queue.cover(&header(2), &mut [only_one], &spec()).unwrap();
    assert_eq!(covered.places, [ForcedPlace { rollup: PRIVATE, ..place(0, 1, false) }]);
    assert_eq!(indices(&covered.omitted), [1]);
}

#[test]
fn an_entry_that_no_block_can_hold_takes_its_index_only() {
    let long = "l".repeat(93);
    let mut queue = queue(&[entry(BLOB, &long), entry(BLOB, &long[..92])]);
    let covered = queue.cover(&header(2), &mut [], &spec()).unwrap();
    assert_eq!(indices(&covered.omitted), [1]);
}

#[test]
fn an_endpoint_that_hides_or_changes_entries_is_found_out() {
    let mut queue = queue(&[entry(BLOB, "a")]);
    let next = entry(BLOB, "b");
    let accumulator = queue.end.with(&next.leaf()).accumulator;
    assert_eq!(queue.push(2, next.clone(), accumulator), Err(QueueError::Order { expected: 1, got: 2 }));
    assert_eq!(queue.push(0, next.clone(), accumulator), Err(QueueError::Order { expected: 1, got: 0 }));
    assert_eq!(queue.push(1, entry(BLOB, "c"), accumulator), Err(QueueError::Accumulator(1)));
    assert_eq!(queue.cover(&header(2), &mut [], &spec()), Err(QueueError::Beyond { count: 1, cursor: 2 }));
    assert_eq!(queue.escape((0, 2), &spec()), Err(QueueError::Beyond { count: 1, cursor: 2 }));
    assert_eq!(queue.escape((1, 1), &spec()), Err(QueueError::Escape { expected: 0, got: 1 }));
    queue.push(1, next, accumulator).unwrap();
    assert_eq!(indices(&queue.cover(&header(2), &mut [], &spec()).unwrap().omitted), [0, 1]);
}
