//! Append-only segment files.
//!
//! ```text
//!   file   = "mpc-seq/segment1" │ record*
//!   record = u32 length │ 8 check │ length bytes          (big-endian; check = first bytes of sha256(payload))
//! ```
//!
//! A length of zero is never written, so a tail of zeros that a crash leaves is a bad record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ordering_types::Digest;

use super::StoreError;

const MAGIC: &[u8; 16] = b"mpc-seq/segment1";
const HEAD_BYTES: usize = 4 + CHECK_BYTES;
const CHECK_BYTES: usize = 8;
/// Longest record: a full block with its ids.
pub(super) const MAX_RECORD_BYTES: u32 = 48 << 20;
/// A segment is full at this length.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;
/// Written to the file at this length, synced later.
const BUFFER_BYTES: usize = 1 << 20;

/// A place between records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Number of the file, from 1.
    pub(super) segment: u64,
    /// Byte in the file.
    pub(super) offset: u64,
}

impl Position {
    /// Offset of a segment's first record.
    pub(super) const START_OF_RECORDS: u64 = MAGIC.len() as u64;

    pub(super) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.segment) << 64 | u128::from(self.offset)).to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { segment: (both >> 64) as u64, offset: both as u64 }
    }
}

/// Where one record's payload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// Number of the file.
    pub(super) segment: u64,
    /// First byte of the record.
    pub(super) offset: u64,
    /// Bytes of the payload.
    pub(super) length: u32,
}

impl Location {
    pub(super) const BYTES: usize = 20;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (segment, rest) = bytes.split_at_mut(8);
        let (offset, length) = rest.split_at_mut(8);
        segment.copy_from_slice(&self.segment.to_be_bytes());
        offset.copy_from_slice(&self.offset.to_be_bytes());
        length.copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (segment, rest) = bytes.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Self {
            segment: u64::from_be_bytes(*segment),
            offset: u64::from_be_bytes(*offset),
            length: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// One family of segments in a folder.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    name: &'static str,
}

impl Segments {
    pub(super) fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_owned(), name }
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.folder.join(format!("{}-{segment:010}.log", self.name))
    }

    /// Numbers of the files that exist, ascending.
    pub(super) fn list(&self) -> Result<Vec<u64>, StoreError> {
        let failed = || StoreError::io(&self.folder);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            let number = name
                .to_str()
                .and_then(|n| n.strip_prefix(self.name)?.strip_prefix('-')?.strip_suffix(".log"));
            all.extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Reads one record and checks it.
    pub(super) fn read(&self, at: Location) -> Result<Bytes, StoreError> {
        let path = self.path(at.segment);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        let damaged =
            |why: &str| StoreError::Damaged { file: path.clone(), offset: at.offset, why: why.to_owned() };
        if at.length > MAX_RECORD_BYTES {
            return Err(damaged("impossible length"));
        }
        let mut record = vec![0; HEAD_BYTES + at.length as usize];
        file.read_exact_at(&mut record, at.offset).map_err(StoreError::io(&path))?;
        let record = Bytes::from(record);
        let payload = record.slice(HEAD_BYTES..);
        match record.split_first_chunk::<HEAD_BYTES>() {
            Some((head, _)) if *head == head_of(&payload, check(&payload)) => Ok(payload),
            _ => Err(damaged("check does not match")),
        }
    }

    /// Visits every record from `from` on and gives the place after the last good one.
    ///
    /// Below `durable` a bad record is damage; above it is a torn tail, and the scan ends there.
    pub(super) fn scan(
        &self,
        from: Position,
        durable: Position,
        mut visit: impl FnMut(Location, Bytes) -> Result<(), StoreError>,
    ) -> Result<Position, StoreError> {
        let mut end = from;
        for segment in self.list()?.into_iter().filter(|s| *s >= from.segment) {
            if segment > from.segment.max(end.segment) + 1 && end.segment != 0 {
                if durable.segment < segment {
                    break;
                }
                return Err(self.damaged(Position { segment, offset: 0 }, "the segment before is missing"));
            }
            let start = if segment == from.segment {
                from.offset.max(MAGIC.len() as u64)
            } else {
                MAGIC.len() as u64
            };
            let (offset, whole) = self.scan_file(segment, start, &mut visit)?;
            end = Position { segment, offset };
            if !whole {
                break;
            }
        }
        if end < durable {
            return Err(self.damaged(end, "a bad record where a good one had been written"));
        }
        Ok(end)
    }

    fn damaged(&self, at: Position, why: &str) -> StoreError {
        StoreError::Damaged { file: self.path(at.segment), offset: at.offset, why: why.to_owned() }
    }

    /// Gives the end of the last good record, and whether that is the end of the file.
    pub(super) fn scan_file(
        &self,
        segment: u64,
        start: u64,
        visit: &mut impl FnMut(Location, Bytes) -> Result<(), StoreError>,
    ) -> Result<(u64, bool), StoreError> {
        let path = self.path(segment);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        let length = file.metadata().map_err(StoreError::io(&path))?.len();
        let mut magic = [0; MAGIC.len()];
        let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
        if length < start || input.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Ok((0, false));
        }
        input.seek(SeekFrom::Start(start)).map_err(StoreError::io(&path))?;
        let mut offset = start;
        while offset < length {
            let Some(payload) = read_record(&mut input, length - offset).map_err(StoreError::io(&path))?
            else {
                return Ok((offset, false));
            };
            let bytes = payload.len() as u32;
            visit(Location { segment, offset, length: bytes }, payload)?;
            offset += (HEAD_BYTES as u64) + u64::from(bytes);
        }
        Ok((offset, true))
    }
}

/// `None` for a bad record.
fn read_record(input: &mut impl Read, left: u64) -> io::Result<Option<Bytes>> {
    let mut head = [0; HEAD_BYTES];
    if left < HEAD_BYTES as u64 {
        return Ok(None);
    }
    input.read_exact(&mut head)?;
    let Some((length, _)) = head.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if length == 0 || length > MAX_RECORD_BYTES || left - (HEAD_BYTES as u64) < u64::from(length) {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    input.read_exact(&mut payload)?;
    let good = head == head_of(&payload, check(&payload));
    Ok(good.then(|| payload.into()))
}

fn check(payload: &[u8]) -> [u8; CHECK_BYTES] {
    check_of(Digest::sha256(&[payload]))
}

fn check_of(digest: Digest) -> [u8; CHECK_BYTES] {
    *digest.as_bytes().first_chunk().expect("a digest has 32 bytes")
}

fn head_of(payload: &[u8], check: [u8; CHECK_BYTES]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let (length, rest) = head.split_at_mut(4);
    length.copy_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    rest.copy_from_slice(&check);
    head
}

/// Appends to the last segment of a family.
#[derive(Debug)]
pub(super) struct LogWriter {
    segments: Segments,
    file: File,
    end: Position,
    buffer: Vec<u8>,
    unsynced: bool,
}

impl LogWriter {
    /// Goes on at `end`: whatever stands after it is a torn tail and is removed.
    pub(super) fn open(segments: Segments, end: Position) -> Result<Self, StoreError> {
        for segment in segments.list()?.into_iter().filter(|s| *s > end.segment) {
            let path = segments.path(segment);
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        if end.segment == 0 || end.offset < MAGIC.len() as u64 {
            return Self::start(segments, end.segment.max(1));
        }
        let path = segments.path(end.segment);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io(&path))?;
        file.set_len(end.offset).map_err(StoreError::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(StoreError::io(&path))?;
        file.sync_all().map_err(StoreError::io(&path))?;
        Ok(Self { segments, file, end, buffer: Vec::new(), unsynced: false })
    }

    fn start(segments: Segments, segment: u64) -> Result<Self, StoreError> {
        let path = segments.path(segment);
        let mut file = File::create(&path).map_err(StoreError::io(&path))?;
        file.write_all(MAGIC).map_err(StoreError::io(&path))?;
        file.sync_all().map_err(StoreError::io(&path))?;
        File::open(&segments.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::io(&segments.folder))?;
        let end = Position { segment, offset: MAGIC.len() as u64 };
        Ok(Self { segments, file, end, buffer: Vec::new(), unsynced: false })
    }

    /// Appends one record; it counts after [`Self::sync`]. `known` is its SHA-256 where the caller has it.
    pub(super) fn append(&mut self, payload: &[u8], known: Option<Digest>) -> Result<Location, StoreError> {
        if payload.is_empty() || payload.len() > MAX_RECORD_BYTES as usize {
            return Err(StoreError::RecordLength(payload.len()));
        }
        let check = known.map_or_else(|| check(payload), check_of);
        self.buffer.extend_from_slice(&head_of(payload, check));
        self.buffer.extend_from_slice(payload);
        let location =
            Location { segment: self.end.segment, offset: self.end.offset, length: payload.len() as u32 };
        self.end.offset += (HEAD_BYTES + payload.len()) as u64;
        self.unsynced = true;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(location)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let failed = StoreError::io(&self.segments.path(self.end.segment));
        self.file.write_all(&self.buffer).map_err(failed)?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything appended durable. Gives the number of the segment that is full now, if one is.
    pub(super) fn sync(&mut self) -> Result<Option<u64>, StoreError> {
        if !self.unsynced {
            return Ok(None);
        }
        self.flush()?;
        let path = self.segments.path(self.end.segment);
        self.file.sync_data().map_err(StoreError::io(&path))?;
        self.unsynced = false;
        if self.end.offset < SEGMENT_BYTES {
            return Ok(None);
        }
        let full = self.end.segment;
        *self = Self::start(self.segments.clone(), full + 1)?;
        Ok(Some(full))
    }

    /// The end of what was appended.
    pub(super) const fn end(&self) -> Position {
        self.end
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn records(segments: &Segments, durable: Position) -> Result<(Vec<Bytes>, Position), StoreError> {
        let mut all = Vec::new();
        let end = segments.scan(Position::default(), durable, |_, payload| {
            all.push(payload);
            Ok(())
        })?;
        Ok((all, end))
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_damage_below_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let segments = Segments::new(folder.path(), "test");
        let mut log = LogWriter::open(segments.clone(), Position::default()).unwrap();
        log.append(b"first", None).unwrap();
        let durable = log.end();
        let last = log.append(b"second record", None).unwrap();
        log.sync().unwrap();
        drop(log);
        let path = segments.path(1);
        let whole = fs::read(&path).unwrap();
        assert_eq!(segments.read(last).unwrap(), "second record");
        for length in durable.offset as usize..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (all, end) = records(&segments, durable).unwrap();
            assert_eq!((all.len(), end), (1, durable), "cut at {length}");
            let mut flipped = whole.clone();
            flipped[length] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(records(&segments, durable).unwrap().0.len(), 1, "flipped at {length}");
        }
        for place in 0..durable.offset as usize {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let error = records(&segments, durable).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "flipped at {place}: {error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(records(&segments, durable).is_err(), "a missing segment is damage");
    }

    #[test]
    fn writing_goes_on_after_a_torn_tail_and_over_segments() {
        let folder = tempfile::tempdir().unwrap();
        let segments = Segments::new(folder.path(), "test");
        let mut log = LogWriter::open(segments.clone(), Position::default()).unwrap();
        log.append(b"kept", None).unwrap();
        log.sync().unwrap();
        let end = log.end();
        drop(log);
        let mut file = OpenOptions::new().append(true).open(segments.path(1)).unwrap();
        file.write_all(&[0; 100]).unwrap();
        let (_, found) = records(&segments, end).unwrap();
        assert_eq!(found, end);
        let mut log = LogWriter::open(segments.clone(), found).unwrap();
        let big = vec![7; MAX_RECORD_BYTES as usize];
        log.append(&big, None).unwrap();
        log.append(&big, None).unwrap();
        assert_eq!(log.sync().unwrap(), Some(1));
        log.append(b"next file", None).unwrap();
        log.sync().unwrap();
        let (all, end) = records(&segments, log.end()).unwrap();
        assert_eq!(all.iter().map(Bytes::len).collect::<Vec<_>>(), [4, big.len(), big.len(), 9]);
        assert_eq!(end, log.end());
    }
}
