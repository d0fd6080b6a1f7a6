//! What fuzz targets call: the journal and the files beside it, whatever bytes stand in them.

use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::ids;
use super::journal::Journal;
use super::recovery::{decode_founding, entry};
use super::scan::scan;
use super::segments::{Checked, Kind, Location, Position, Segments};

/// A sealed place: the mark of its groups is of this key.
const KEY: [u8; 32] = [7; 32];
const AT: Location = Location { segment: 1, offset: 0, length: 0 };

/// Any bytes as the payload of each kind of record.
pub(crate) fn record(payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    for kind in [Kind::Wal, Kind::Burn, Kind::Block, Kind::Certified, Kind::Sealed, Kind::Checkpoint] {
        let _ = entry(AT, Checked::Other(kind, payload.clone()));
    }
    let _ = decode_founding(Path::new("wal"), Some(&payload));
}

/// A journal with these records, one group each, of which one byte is changed or the end is cut: what is read back is a beginning
/// of what was written, or damage.
pub(crate) fn journal(folder: &Path, records: &[&[u8]], damage: Damage) {
    let segments = Segments::new(folder, KEY);
    for segment in segments.list().expect("the folder exists") {
        fs::remove_file(segments.path(segment)).expect("a listed file exists");
    }
    let mut journal = Journal::open(segments.clone(), Position::default()).expect("an empty folder");
    for payload in records {
        journal.append(Kind::Wal, payload, None).expect("the disk has room");
        journal.sync().expect("the disk has room");
    }
    let path = segments.path(1);
    let mut file = fs::read(&path).expect("the first segment exists");
    match damage {
        Damage::Flip { at, mask } => {
            let at = at % file.len();
            file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
        }
        Damage::Cut(at) => file.truncate(at % (file.len() + 1)),
    }
    fs::write(&path, &file).expect("the disk has room");
    let mut found = Vec::new();
    let scanned = scan(&segments, Position::start_of(1), Position::default(), |_, record| {
        if let Checked::Other(Kind::Wal, payload) = record {
            found.push(payload);
        }
        Ok(())
    });
    let whole = found.iter().zip(records).all(|(found, written)| found == written);
    assert!(whole && found.len() <= records.len(), "read something else than was written");
    if let Ok(end) = scanned {
        assert!(end.offset <= file.len() as u64);
    }
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// Bits of one byte change.
    Flip {
        /// Which byte, modulo the length.
        at: usize,
        /// Which bits.
        mask: u8,
    },
    /// The file ends there, modulo its length.
    Cut(usize),
}

/// Any bytes as a segment, behind a good head or without one.
pub(crate) fn segment(folder: &Path, bytes: &[u8], good_head: bool) {
    let segments = Segments::new(folder, KEY);
    for segment in segments.list().expect("the folder exists") {
        fs::remove_file(segments.path(segment)).expect("a listed file exists");
    }
    let head = segments.file_head(1, 0);
    let head: &[u8] = if good_head { &head } else { &[] };
    fs::write(segments.path(1), [head, bytes].concat()).expect("the disk has room");
    let _ = scan(&segments, Position::start_of(1), Position::default(), |at, record| {
        let _ = entry(at, record);
        Ok(())
    });
}

/// Any bytes as a run of transaction ids.
pub(crate) fn run(folder: &Path, bytes: &[u8]) {
    fs::write(folder.join("000000000001-000000000002.run"), bytes).expect("the disk has room");
    ids::read_any(folder);
}
