#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use bytes::Bytes;

use super::super::scan::scan;
use super::super::segments::{Checked, MARK_BYTES};
use super::*;

const FIRST: Position = Position { segment: 1, offset: 0 };

fn segments(folder: &Path) -> Segments {
    Segments::new(folder, [7; 32])
}

/// Payloads of all records but marks, and the end.
fn records(segments: &Segments, noted: Position) -> Result<(Vec<Bytes>, Position), StoreError> {
    let mut all = Vec::new();
    let end = scan(segments, FIRST, noted, |at, record| {
        assert_eq!(segments.read(at).unwrap(), record);
        match record {
            Checked::Other(Kind::Group, _) => {}
            Checked::Other(_, payload) => all.push(payload),
            Checked::Chunk(chunk) => all.push(chunk.bytes().clone()),
        }
        Ok(())
    })?;
    Ok((all, end))
}

fn payload(number: usize) -> Vec<u8> {
    format!("record {number} {}", "x".repeat(number % 5)).into_bytes()
}

/// Eleven groups of three records, in three small segments of which the last is not full.
fn written(segments: &Segments) -> (Vec<Bytes>, Position) {
    let mut journal = Journal::open(segments.clone(), Position::default()).unwrap();
    journal.full_at = 400;
    let mut all = Vec::new();
    for number in 0..33 {
        journal.append(Kind::Wal, &payload(number), None).unwrap();
        all.push(Bytes::from(payload(number)));
        if number % 3 == 2 {
            journal.sync().unwrap();
        }
    }
    (all, journal.end())
}

/// A segment whose head was spoilt after the index had reached it counted as one that a crash had kept from being made. It was written
/// on without a head, and the next start refused all of it, with the votes in it.
#[test]
fn a_spoilt_head_that_had_been_read_before_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(folder.path());
    Journal::open(segments.clone(), Position::default()).unwrap();
    let whole = fs::read(segments.path(1)).unwrap();
    for length in 0..whole.len() {
        fs::write(segments.path(1), &whole[..length]).unwrap();
        let from = |from| scan(&segments, from, Position::default(), |_, _| Ok(()));
        assert!(matches!(from(Position::start_of(1)), Err(StoreError::Damaged { .. })), "{length} bytes");
        // Made just before a crash: nothing was ever read of it.
        assert_eq!(from(FIRST).unwrap(), FIRST);
    }
}

/// Only the last group may be gone after a cut or a wrong bit, and only while its end is not noted; anything else that
/// was synced is there, or the node refuses.
#[test]
fn cut_or_flipped_at_every_byte_it_recovers_or_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(folder.path());
    let (all, end) = written(&segments);
    assert_eq!(records(&segments, end).unwrap(), (all.clone(), end));
    let (mut recovered, mut refused) = (0, 0);
    let list = segments.list().unwrap();
    assert_eq!(list.len(), 3);
    for segment in list {
        let path = segments.path(segment);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            for bad in [whole[..place].to_vec(), flipped] {
                fs::write(&path, &bad).unwrap();
                let error = records(&segments, end).unwrap_err();
                assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                match records(&segments, Position::default()) {
                    Ok((found, _)) => {
                        assert!(
                            found.len() < all.len(),
                            "{segment} at {place} of {}: {}",
                            whole.len(),
                            found.len()
                        );
                        assert_eq!(found, all[..found.len()]);
                        // A cut may take whole groups off the end of the last file: nothing there tells of them.
                        assert!(found.len() >= 30 || bad.len() == place, "{segment} at {place}");
                        assert_eq!(segment, 3);
                        recovered += 1;
                    }
                    Err(StoreError::Damaged { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(records(&segments, end).is_err(), "a missing segment is damage");
        fs::write(&path, &whole).unwrap();
    }
    assert!(recovered > 100 && refused > 1_000, "{recovered} {refused}");
}

/// A client can put anything into a transaction, also what looks like the beginning of a group: it must not make a torn
/// tail look like damage, because the node would then never start again.
#[test]
fn bytes_that_look_like_a_mark_do_not_pass_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(folder.path());
    let other = Segments::new(folder.path(), [8; 32]);
    let mut journal = Journal::open(segments.clone(), Position::default()).unwrap();
    journal.append(Kind::Wal, b"kept", None).unwrap();
    let durable = journal.sync().unwrap();
    journal.append(Kind::Wal, b"torn", None).unwrap();
    let start = journal.end().offset + HEAD_BYTES as u64;
    let mut hostile = Vec::new();
    for _ in 0..64 {
        let offset = start + hostile.len() as u64;
        let at = Location { segment: 1, offset, length: MARK_BYTES as u32 };
        let mark = other.mark(Position { segment: 1, offset }, 0);
        hostile.extend_from_slice(&head_of(at, Kind::Group, Digest::sha256(&[&mark])));
        hostile.extend_from_slice(&mark);
    }
    journal.append(Kind::Wal, &hostile, None).unwrap();
    journal.sync().unwrap();
    let mut bytes = fs::read(segments.path(1)).unwrap();
    bytes[durable.offset as usize + 40] ^= 1;
    fs::write(segments.path(1), bytes).unwrap();
    let (found, _) = records(&segments, durable).unwrap();
    assert_eq!(found, ["kept"]);
    // With the folder's own key they would have passed.
    let error = records(&Segments::new(folder.path(), [8; 32]), Position::default()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn writing_goes_on_after_a_torn_tail_and_over_segments() {
    let folder = tempfile::tempdir().unwrap();
    let segments = segments(folder.path());
    let mut journal = Journal::open(segments.clone(), Position::default()).unwrap();
    journal.append(Kind::Wal, b"kept", None).unwrap();
    let end = journal.sync().unwrap();
    drop(journal);
    let mut file = OpenOptions::new().append(true).open(segments.path(1)).unwrap();
    file.write_all(&[0; 100]).unwrap();
    let (_, found) = records(&segments, end).unwrap();
    assert_eq!(found, end);
    // Where a later file exists, a bad record was synced, even if that file never got its head.
    fs::write(segments.path(2), b"mpc").unwrap();
    assert!(matches!(records(&segments, end), Err(StoreError::Damaged { .. })));
    let mut file = OpenOptions::new().write(true).open(segments.path(1)).unwrap();
    file.set_len(end.offset).unwrap();
    assert_eq!(records(&segments, end).unwrap().1, end);
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&[0; 100]).unwrap();
    fs::remove_file(segments.path(2)).unwrap();
    let mut journal = Journal::open(segments.clone(), found).unwrap();
    let big = vec![7; MAX_RECORD_BYTES as usize];
    journal.append(Kind::Sealed, &big, None).unwrap();
    journal.append(Kind::Sealed, &big, None).unwrap();
    assert_eq!(journal.sync().unwrap(), Position::start_of(2));
    journal.append(Kind::Wal, b"next file", None).unwrap();
    let end = journal.sync().unwrap();
    let (all, found) = records(&segments, end).unwrap();
    assert_eq!(all.iter().map(Bytes::len).collect::<Vec<_>>(), [4, big.len(), big.len(), 9]);
    assert_eq!(found, end);
    let mut journal = Journal::open(segments, end).unwrap();
    for length in [0, MAX_RECORD_BYTES as usize + 1] {
        let error = journal.append(Kind::Wal, &vec![0; length], None).unwrap_err();
        assert!(matches!(error, StoreError::RecordLength(found) if found == length));
    }
}
