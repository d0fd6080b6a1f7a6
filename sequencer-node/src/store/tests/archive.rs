//! Sealed batches outlive their blocks.

use super::super::archive::{Archive, Unfinished};
use super::super::carry::Carry;
use super::super::filing::{Archivist, FILED_A_STEP_BYTES};
use super::super::ids::Ids;
use super::super::index::Index;
use super::super::posted::FinalBatch;
use super::super::prune::Pruner;
use super::super::secret::SecretBox;
use super::super::segments::{Position, Segments};
use super::super::wal::Wal;
use super::*;

const DAY_MS: u64 = 86_400_000;
/// Blocks that every test here keeps.
const RETAINED: u64 = 10;

/// Batch `number` ends with block `2 * number`, which is of day `number`.
fn batch(number: u64, bytes: usize) -> Arc<SealedBatch> {
    let batch = sealed(number, 2 * number - 1, 2 * number);
    let header = BatchHeader { last_time_ms: number * DAY_MS, ..batch.header.clone() };
    let payload = Bytes::from(vec![u8::try_from(number).unwrap(); bytes]);
    let encoded = Arc::new(EncodedBatch { payload, ..EncodedBatch::clone(&batch.encoded) });
    Arc::new(SealedBatch { header, encoded, ..SealedBatch::clone(&batch) })
}

/// Forty blocks in small segments, sealed in twenty batches; nothing is forgotten yet.
fn filled(bytes: usize, segment_bytes: u64) -> tempfile::TempDir {
    let folder = fresh_folder();
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    opened.store.journal.full_at = segment_bytes;
    for height in 1..=40 {
        write_block(&mut opened.store, height);
        if height % 2 == 0 {
            opened.store.write(Record::Sealed(batch(height / 2, bytes))).unwrap();
        }
        opened.store.sync().unwrap();
    }
    shut(opened);
    folder
}

/// The folder without its threads: every step is taken by the test.
struct Quiet {
    pruner: Pruner,
    end: Position,
}

impl Quiet {
    fn open(folder: &Path, retention: Retention) -> Self {
        let wal = Wal::open(&folder.join(WAL_FILE), false, SecretBox::new(&key(1))).unwrap();
        let contents = wal.contents().unwrap();
        let reader = Reader {
            index: Index::open(&folder.join("store.redb"), 4 << 20).unwrap(),
            ids: Ids::default(),
            segments: Segments::new(&folder.join("segments"), contents.journal_key),
            archive: Archive::open(&folder.join("archive")).unwrap(),
            founding: Arc::default(),
            final_batch: FinalBatch::default(),
        };
        let archivist = Archivist::open(&reader, retention).unwrap();
        let (carry, wal) = (Carry::default(), Arc::new(wal));
        Self { pruner: Pruner { reader, carry, wal, archivist, retain: RETAINED }, end: contents.end }
    }

    fn step(&mut self, now_ms: u64) {
        self.pruner.step(self.end, now_ms).unwrap();
    }

    /// Numbers of the files of journal and archive.
    fn files(&self) -> (Vec<u64>, Vec<u64>) {
        let reader = &self.pruner.reader;
        (reader.segments.list().unwrap(), reader.archive.list().unwrap())
    }

    /// Until nothing more is forgotten at this time.
    fn settle(&mut self, now_ms: u64) {
        let state = |quiet: &Self| (quiet.files(), quiet.pruner.reader.range().unwrap());
        for _ in 0..1_000 {
            let before = state(self);
            self.step(now_ms);
            if state(self) == before {
                return;
            }
        }
        panic!("never settles");
    }
}

/// Batches that are served, as they were sealed.
fn served(reader: &Reader, bytes: usize) -> Vec<u64> {
    let held = |number: &u64| match reader.sealed(*number).unwrap() {
        Some(found) => {
            assert_eq!(found, *batch(*number, bytes));
            true
        }
        None => false,
    };
    (1..=21).filter(held).collect()
}

fn all() -> Vec<u64> {
    (1..=20).collect()
}

/// The whole store, with its threads: somebody asks for every batch all the time, while segments go.
#[test]
fn sealed_batches_outlive_their_blocks_and_segments() {
    let folder = filled(600, 4_096);
    let mut opened = try_open(folder.path(), 1, RETAINED).unwrap();
    let first_segment = |opened: &Opened| opened.reader.segments.list().unwrap()[0];
    let deadline = Instant::now() + Duration::from_secs(60);
    while first_segment(&opened) < 4 {
        assert!(Instant::now() < deadline, "{:?}", opened.reader.segments.list());
        assert_eq!(served(&opened.reader, 600), all());
        write_vote(&mut opened.store, 41);
        opened.store.sync().unwrap();
    }
    assert_eq!(opened.reader.block(Height::new(2)).unwrap(), None);
    assert!(!opened.reader.archive.list().unwrap().is_empty());
    assert!(matches!(opened.reader.latest_sealed(), Ok(Some(header)) if header.number == 20));
    assert_eq!(opened.recovered.last_sealed, Some(batch(20, 600).header.clone()));
    shut(opened);
    // The index is made again from both, and a node goes on where it was.
    fs::remove_file(folder.path().join("store.redb")).unwrap();
    let opened = try_open(folder.path(), 1, RETAINED).unwrap();
    assert_eq!(served(&opened.reader, 600), all());
    assert_eq!(opened.recovered.last_sealed, Some(batch(20, 600).header.clone()));
    assert_eq!(opened.recovered.ordering.tip.as_ref().unwrap().header.height.get(), 40);
    shut(opened);
}

/// A kill at each place of a segment's way out, and one more after the next start: no batch is lost, and the way is gone to its end.
#[test]
fn a_kill_between_any_two_steps_loses_no_batch() {
    for stage in 0..=6 {
        let folder = filled(600, 4_096);
        let mut quiet = Quiet::open(folder.path(), Retention::default());
        let segment = loop {
            let (_, last) = quiet.pruner.reader.range().unwrap().unwrap();
            match quiet.pruner.free_segment(last.get() - RETAINED, quiet.end).unwrap() {
                Some(segment) if quiet.pruner.reader.block(Height::new(29)).unwrap().is_none() => {
                    break segment;
                }
                _ => quiet.step(0),
            }
        };
        let reader = quiet.pruner.reader.clone();
        assert!(reader.segments.path(segment).exists(), "stage {stage}: gone before it was looked at");
        if stage >= 1 {
            let mut half = Unfinished::begin(&reader.archive, segment).unwrap();
            half.append((1, 0), b"half of a batch").unwrap();
        }
        if stage >= 2 {
            // The file is whole, and the index of before comes back.
            let index = folder.path().join("store.redb");
            let before = fs::read(&index).unwrap();
            assert!(quiet.pruner.archivist.file(&reader, segment).unwrap());
            if stage == 2 {
                drop((quiet, reader));
                fs::write(&index, before).unwrap();
                check_after_kill(folder.path(), segment);
                continue;
            }
        }
        if stage >= 4 {
            quiet.pruner.wal.note_start(segment + 1).unwrap();
        }
        if stage >= 5 {
            quiet.pruner.forget_chunks(segment).unwrap();
        }
        if stage >= 6 {
            fs::remove_file(reader.segments.path(segment)).unwrap();
        }
        drop((quiet, reader));
        check_after_kill(folder.path(), segment);
    }
}

fn check_after_kill(folder: &Path, segment: u64) {
    for without_index in [false, true, false] {
        if without_index {
            fs::remove_file(folder.join("store.redb")).unwrap();
        }
        let opened = try_open(folder, 1, 0).unwrap();
        assert_eq!(served(&opened.reader, 600), all());
        shut(opened);
    }
    let mut quiet = Quiet::open(folder, Retention::default());
    quiet.settle(0);
    let (journal, archive) = quiet.files();
    assert!(journal[0] > segment && archive.contains(&segment), "{journal:?} {archive:?}");
    assert_eq!(served(&quiet.pruner.reader, 600), all());
    let names = fs::read_dir(folder.join("archive")).unwrap();
    assert!(names.flatten().all(|name| name.file_name().to_str().unwrap().ends_with(".batches")));
}

/// By age and by size: whole files, one a step, oldest first, never one that is younger than one that stays; and they do not come back.
#[test]
fn the_archive_forgets_the_oldest_files_first() {
    let by_age = Retention { days: 5, bytes: 0 };
    let by_size = Retention { days: 0, bytes: 5_000 };
    for (retention, now_ms) in [(by_age, 14 * DAY_MS + 1), (by_size, 14 * DAY_MS)] {
        let folder = filled(600, 4_096);
        let mut quiet = Quiet::open(folder.path(), Retention::default());
        quiet.settle(u64::MAX);
        assert_eq!(served(&quiet.pruner.reader, 600), all(), "0 keeps all");
        drop(quiet);
        let mut quiet = Quiet::open(folder.path(), retention);
        let mut files = quiet.files().1;
        loop {
            quiet.step(now_ms);
            let held = served(&quiet.pruner.reader, 600);
            assert_eq!(held, (held[0]..=20).collect::<Vec<_>>());
            let after = quiet.files().1;
            if after == files {
                break;
            }
            assert_eq!(after, files[1..]);
            files = after;
        }
        let held = served(&quiet.pruner.reader, 600);
        let length = |file: &u64| fs::metadata(quiet.pruner.reader.archive.path(*file)).unwrap().len();
        let bytes: u64 = files.iter().map(length).sum();
        if retention == by_age {
            let newest = |file: &u64| quiet.pruner.reader.archive.contents(*file).unwrap();
            assert!(newest(&files[0]).batches.iter().any(|batch| batch.number >= 9));
            assert!((2..=9).contains(&held[0]), "batch 9 is not five days old: {held:?}");
        } else {
            assert!(bytes <= 5_000 && bytes > 5_000 - 4_500, "{bytes} bytes are left");
        }
        drop(quiet);
        fs::remove_file(folder.path().join("store.redb")).unwrap();
        let opened = try_open_with(folder.path(), 1, RETAINED, retention).unwrap();
        assert_eq!(served(&opened.reader, 600), held);
        shut(opened);
    }
}

/// Votes wait for the same disk: a segment full of batches is filed in bounded steps, and all of them are served meanwhile.
#[test]
fn filing_is_bounded_work_a_step() {
    const BATCH: usize = 700 << 10;
    let folder = filled(BATCH, 64 << 20);
    let mut quiet = Quiet::open(folder.path(), Retention::default());
    let unfinished = folder.path().join("archive/0000000001.unfinished");
    let (mut steps, mut before) = (0, 0);
    let reader = quiet.pruner.reader.clone();
    while !quiet.pruner.archivist.file(&reader, 1).unwrap() {
        let length = fs::metadata(&unfinished).unwrap().len();
        assert!(length - before <= FILED_A_STEP_BYTES + (BATCH + 1_000) as u64, "{length} after {before}");
        assert_eq!(served(&quiet.pruner.reader, BATCH), all());
        (steps, before) = (steps + 1, length);
    }
    assert!(steps >= 2, "14 MB in {steps} steps");
    assert_eq!(quiet.files().1, [1]);
    assert_eq!(served(&quiet.pruner.reader, BATCH), all());
}

/// Whatever became of a file, the node starts; what it serves is what was sealed, and the rest it does not have.
#[test]
fn a_damaged_file_is_not_served_and_stops_nobody() {
    let folder = filled(600, 4_096);
    let mut quiet = Quiet::open(folder.path(), Retention::default());
    quiet.settle(0);
    let archive = quiet.pruner.reader.archive.clone();
    let file = archive.list().unwrap()[0];
    let inside: Vec<u64> = archive.contents(file).unwrap().batches.iter().map(|batch| batch.number).collect();
    let whole = fs::read(archive.path(file)).unwrap();
    let reader = quiet.pruner.reader.clone();
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        fs::write(archive.path(file), &flipped).unwrap();
        for number in &inside {
            match reader.sealed(*number) {
                Ok(found) => assert_eq!(found, Some(SealedBatch::clone(&batch(*number, 600)))),
                Err(error) => assert!(matches!(error, StoreError::BadArchive { .. }), "{error}"),
            }
        }
        let told = archive.contents(file).is_ok_and(|contents| contents.batches.len() == inside.len());
        let end = whole.len() - inside.len() * 28 - 12;
        assert_eq!(told, place < end, "byte {place}");
    }
    drop((quiet, reader));
    for cut in [0, 11, 12, whole.len() / 2, whole.len() - 1] {
        fs::write(archive.path(file), &whole[..cut]).unwrap();
        fs::remove_file(folder.path().join("store.redb")).unwrap();
        let opened = try_open(folder.path(), 1, RETAINED).unwrap();
        let others: Vec<u64> = all().into_iter().filter(|number| !inside.contains(number)).collect();
        assert_eq!(served(&opened.reader, 600), others);
        shut(opened);
    }
    // Whoever is short of disk space deletes files.
    fs::write(archive.path(file), &whole).unwrap();
    shut(try_open(folder.path(), 1, RETAINED).unwrap());
    fs::remove_dir_all(folder.path().join("archive")).unwrap();
    let opened = try_open(folder.path(), 1, RETAINED).unwrap();
    let held = served(&opened.reader, 600);
    assert!(held[0] > 1 && held.last() == Some(&20), "{held:?}");
    shut(opened);
}

/// A checkpoint takes the place of the blocks, not of the batches: those that are held stay.
#[test]
fn batches_of_before_a_checkpoint_are_served() {
    let folder = filled(600, 4_096);
    let mut opened = try_open(folder.path(), 1, 0).unwrap();
    write_checkpoint(&mut opened.store);
    for height in 51..=75 {
        write_block(&mut opened.store, height);
    }
    opened.store.write(Record::Sealed(sealed(30, 51, 74))).unwrap();
    opened.store.sync().unwrap();
    shut(opened);
    let mut quiet = Quiet::open(folder.path(), Retention::default());
    assert_eq!(quiet.pruner.reader.range().unwrap().unwrap().0, Height::new(51));
    assert_eq!(served(&quiet.pruner.reader, 600), all());
    quiet.settle(0);
    assert_eq!(served(&quiet.pruner.reader, 600), all());
    let (journal, archive) = quiet.files();
    assert!(journal[0] > 3 && archive.len() > 2, "{journal:?} {archive:?}");
    assert_eq!(quiet.pruner.reader.sealed(30).unwrap(), Some(SealedBatch::clone(&sealed(30, 51, 74))));
}
