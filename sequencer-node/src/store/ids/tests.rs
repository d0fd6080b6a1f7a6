#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::time::Instant;

use super::*;

const ROLLUP: RollupId = RollupId::new(7);

fn digest(number: u64) -> Digest {
    Digest::sha256(&[&number.to_be_bytes()])
}

/// Entries of block `height`: `count` of its own.
fn block(height: u64, count: u32) -> Vec<Entry> {
    let entry =
        |place: u32| Entry { key: key(ROLLUP, digest(height << 32 | u64::from(place))), height, place };
    (0..count).map(entry).collect()
}

fn open(folder: &Path, first: u64, last: u64) -> IdsWriter {
    IdsWriter::open(folder, Some((Height::new(first), Height::new(last)))).unwrap()
}

fn find(writer: &IdsWriter, height: u64, place: u32) -> Option<(u64, u32)> {
    let spot = writer.ids().find(ROLLUP, digest(height << 32 | u64::from(place))).unwrap();
    spot.map(|spot| (spot.height.get(), spot.place))
}

fn runs(writer: &IdsWriter) -> Vec<(u64, u64)> {
    writer.ids.view.read().unwrap().runs.iter().map(|run| (run.first, run.last)).collect()
}

#[test]
fn what_was_added_is_found_in_memory_in_runs_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = open(folder.path(), 1, 0);
    for height in 1..=400 {
        ids.add(Height::new(height), block(height, height as u32 % 40)).unwrap();
        if height % 16 == 0 {
            ids.flush().unwrap();
        }
        // The newest wins, wherever the older one stands.
        let again = Entry { key: key(ROLLUP, digest(0)), height, place: 3 };
        ids.add(Height::new(height), vec![again]).unwrap();
    }
    assert_eq!(ids.ids().find(ROLLUP, digest(0)).unwrap(), None, "a height that is there is left as it is");
    ids.close().unwrap();
    let check = |ids: &IdsWriter| {
        for height in 1..=400 {
            let count = height as u32 % 40;
            for place in 0..count {
                assert_eq!(find(ids, height, place), Some((height, place)));
            }
            assert_eq!(find(ids, height, count), None);
        }
        assert_eq!(ids.ids().find(RollupId::new(8), digest(1 << 32)).unwrap(), None);
        assert!(runs(ids).len() <= MAX_RUNS_BELOW_TOP);
    };
    check(&ids);
    let again = open(folder.path(), 1, 400);
    assert_eq!(again.next(), Some(Height::new(401)));
    check(&again);
}

#[test]
fn the_newest_of_equal_keys_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = open(folder.path(), 1, 0);
    for height in 1..=60 {
        // More than two pages of one key in each run.
        let entries = (0..400).map(|place| Entry { key: key(ROLLUP, digest(0)), height, place }).collect();
        ids.add(Height::new(height), entries).unwrap();
        let found = ids.ids().find(ROLLUP, digest(0)).unwrap();
        assert_eq!(found, Some(Spot { height: Height::new(height), place: 399 }));
        if height % 3 == 0 {
            ids.flush().unwrap();
        }
    }
    ids.close().unwrap();
    let found = ids.ids().find(ROLLUP, digest(0)).unwrap();
    assert_eq!(found, Some(Spot { height: Height::new(60), place: 399 }));
}

/// Eight runs a folder, cut or with one bit wrong at any place of their ends: the heights from the bad one on are
/// given up, to be filled again from the blocks. A bad page is an error when it is read.
#[test]
fn a_bad_run_is_thrown_away_and_a_bad_page_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = open(folder.path(), 1, 0);
    for height in 1..=3 {
        ids.add(Height::new(height), block(height, 300)).unwrap();
        ids.flush().unwrap();
    }
    let paths: Vec<_> = ids.ids.view.read().unwrap().runs.iter().map(|run| run.path.clone()).collect();
    drop(ids);
    let saved: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let pages = saved[1].len() / 4096 * 4096;
    let mut bad: Vec<Vec<u8>> = (pages..saved[1].len()).map(|length| saved[1][..length].to_vec()).collect();
    bad.extend((pages..saved[1].len()).map(|place| {
        let mut flipped = saved[1].clone();
        flipped[place] ^= 1;
        flipped
    }));
    bad.push(Vec::new());
    for bad in bad {
        for (path, bytes) in paths.iter().zip(&saved) {
            fs::write(path, bytes).unwrap();
        }
        fs::write(&paths[1], bad).unwrap();
        let ids = open(folder.path(), 1, 3);
        assert_eq!(runs(&ids), [(1, 1)]);
        assert_eq!(ids.next(), Some(Height::new(2)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let mut flipped = saved[0].clone();
    flipped[100] ^= 1;
    fs::write(&paths[0], flipped).unwrap();
    let ids = open(folder.path(), 1, 1);
    let bad = (0..300).filter(|place| {
        let result = ids.ids().find(ROLLUP, digest(1 << 32 | *place));
        matches!(result, Err(StoreError::BadIndex { .. }))
    });
    assert!(bad.count() > 100);
}

#[test]
fn forgotten_heights_leave_and_runs_that_do_not_fit_the_blocks_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut ids = open(folder.path(), 1, 0);
    for height in 1..=18 {
        ids.add(Height::new(height), block(height, 5)).unwrap();
        if height % 2 == 0 {
            // Before the eighth run is there that would start a merge.
            ids.forget(Height::new(height.min(4))).unwrap();
            ids.flush().unwrap();
        }
    }
    ids.close().unwrap();
    assert_eq!(runs(&ids), [(3, 18)]);
    assert_eq!((find(&ids, 2, 0), find(&ids, 3, 0), find(&ids, 4, 0)), (None, None, Some((4, 0))));
    drop(ids);
    let mut ids = open(folder.path(), 4, 18);
    assert_eq!(runs(&ids), [(3, 18)]);
    ids.add(Height::new(19), block(19, 5)).unwrap();
    ids.close().unwrap();
    drop(ids);
    let mut ids = open(folder.path(), 4, 18);
    assert_eq!(runs(&ids), [(3, 18)], "no block 19 is there");
    ids.forget(Height::new(19)).unwrap();
    assert_eq!(runs(&ids), []);
    ids.add(Height::new(19), block(19, 5)).unwrap();
    ids.close().unwrap();
    drop(ids);
    let ids = open(folder.path(), 18, 19);
    assert_eq!(runs(&ids), [], "block 18 is missing");
}

/// The figure for the report, against a table of redb as it was before. Small here; `IDS_BENCH` sets the blocks.
#[test]
fn runs_take_entries_faster_than_a_tree() {
    use redb::{Database, Durability, TableDefinition};
    const TABLE: TableDefinition<u128, (u64, u32)> = TableDefinition::new("ids");
    let blocks = std::env::var("IDS_BENCH").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let each = 6_000;
    let total = blocks * u64::from(each);
    let folder = tempfile::tempdir().unwrap();
    let mut ids = open(folder.path(), 1, 0);
    let mut expected = BTreeMap::new();
    let all: Vec<_> = (1..=blocks).map(|height| block(height, each)).collect();
    let start = Instant::now();
    for (height, entries) in (1..).zip(all.clone()) {
        ids.add(Height::new(height), entries).unwrap();
    }
    ids.close().unwrap();
    let ours = start.elapsed();
    let database = Database::builder().set_cache_size(64 << 20).create(folder.path().join("tree")).unwrap();
    let start = Instant::now();
    for entries in &all {
        let mut transaction = database.begin_write().unwrap();
        transaction.set_durability(Durability::None).unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for entry in entries {
                table.insert(entry.key, (entry.height, entry.place)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    let tree = start.elapsed();
    expected.extend(all.iter().flatten().step_by(101).map(|e| (e.key, (e.height, e.place))));
    let reader = ids.ids();
    let start = Instant::now();
    for unknown in 0..10_000_u64 {
        assert_eq!(reader.find(ROLLUP, digest(unknown)).unwrap(), None);
    }
    let lookup = start.elapsed() / 10_000;
    for (height, place) in expected.values().take(1_000) {
        assert_eq!(find(&ids, *height, *place), Some((*height, *place)));
    }
    let rate = |time: std::time::Duration| total as f64 / time.as_secs_f64();
    println!("{total} ids: runs {:.0}/s, redb {:.0}/s, unknown id {lookup:?}", rate(ours), rate(tree));
    assert!(ours < tree, "{ours:?} against {tree:?}");
}
