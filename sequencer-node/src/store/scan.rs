//! Reading the journal back: what is whole, what is torn, and what is damage.
//!
//! A crash may tear only what the last sync did not reach. So a bad record is a *torn tail*, and is cut, only if nothing
//! shows that it had been synced. It had been if
//!
//! 1. it stands below the noted end, or
//! 2. a later group has begun: its mark stands somewhere behind, and a group is only written after all before it is
//!    synced, or
//! 3. a later segment exists: it is only made after the one before is synced, and says where that one ends, or
//! 4. it is the head of a segment that the index has reached: a segment is used only once its head is synced.
//!
//! Then it is *damage*, and the node refuses to start. What remains is the last group written: whether a bad record in
//! it was torn by a crash or spoilt after its sync, nothing on this disk can tell until the end is noted.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::StoreError;
use super::segments::{
    Checked, FILE_HEAD_BYTES, HEAD_BYTES, Kind, Location, MARK_BYTES, Position, Segments, checked, length_in,
};

const BUFFER_BYTES: usize = 1 << 20;

/// Visits every record from `from` on and gives the place after the last good one. `noted` is known to be synced.
pub(super) fn scan(
    segments: &Segments,
    from: Position,
    noted: Position,
    mut visit: impl FnMut(Location, Checked) -> Result<(), StoreError>,
) -> Result<Position, StoreError> {
    let mut end = from;
    let mut list = segments.list()?.into_iter().filter(|s| *s >= from.segment).peekable();
    while let Some(segment) = list.next() {
        if end.segment != 0 && segment > end.segment + 1 {
            return Err(segments.damaged(segment - 1, 0, "the segment is missing"));
        }
        let mut file = Segment::open(segments, segment)?;
        let Some(before) = file.before()? else {
            // Who reads on behind a head has seen it whole.
            let seen = segment == from.segment && from.offset >= FILE_HEAD_BYTES as u64;
            if seen || list.peek().is_some() || file.marked_from(0)? {
                return Err(segments.damaged(segment, 0, "bad head of a file that had been written"));
            }
            // Made just before a crash: its writer had not yet used it.
            break;
        };
        if segment != end.segment && end.segment != 0 && end.offset != before {
            return Err(segments.damaged(
                end.segment,
                end.offset,
                "a bad record where a good one had been written",
            ));
        }
        let start = if segment == from.segment { from } else { Position::start_of(segment) };
        let offset = file.records(start.offset.max(FILE_HEAD_BYTES as u64), &mut visit)?;
        end = Position { segment, offset };
        if offset < file.length && (list.peek().is_some() || file.marked_from(offset + 1)?) {
            return Err(segments.damaged(segment, offset, "a bad record where a good one had been written"));
        }
    }
    if end < noted {
        return Err(segments.damaged(
            end.segment,
            end.offset,
            "a bad record where a good one had been written",
        ));
    }
    Ok(end)
}

/// Visits every good record of one segment.
pub(super) fn scan_one(
    segments: &Segments,
    segment: u64,
    mut visit: impl FnMut(Location, Checked) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    Segment::open(segments, segment)?.records(FILE_HEAD_BYTES as u64, &mut visit).map(|_| ())
}

struct Segment<'a> {
    segments: &'a Segments,
    segment: u64,
    length: u64,
    input: BufReader<File>,
}

impl<'a> Segment<'a> {
    fn open(segments: &'a Segments, segment: u64) -> Result<Self, StoreError> {
        let path = segments.path(segment);
        let file = File::open(&path).map_err(StoreError::io(&path))?;
        let length = file.metadata().map_err(StoreError::io(&path))?.len();
        Ok(Self { segments, segment, length, input: BufReader::with_capacity(BUFFER_BYTES, file) })
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
        StoreError::io(&self.segments.path(self.segment))
    }

    /// Where the segment before ends; `None` for a bad head.
    fn before(&mut self) -> Result<Option<u64>, StoreError> {
        let mut head = [0; FILE_HEAD_BYTES];
        if self.length < FILE_HEAD_BYTES as u64 {
            return Ok(None);
        }
        self.input.read_exact(&mut head).map_err(self.failed())?;
        Ok(self.segments.before(self.segment, &head))
    }

    /// Gives the end of the last good record.
    fn records(
        &mut self,
        start: u64,
        visit: &mut impl FnMut(Location, Checked) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        self.input.seek(SeekFrom::Start(start)).map_err(self.failed())?;
        let mut offset = start;
        while let Some((at, record)) = self.record(offset)? {
            offset = at.end();
            visit(at, record)?;
        }
        Ok(offset.min(self.length))
    }

    fn record(&mut self, offset: u64) -> Result<Option<(Location, Checked)>, StoreError> {
        let Some(left) = self.length.checked_sub(offset + HEAD_BYTES as u64) else { return Ok(None) };
        let mut head = [0; HEAD_BYTES];
        self.input.read_exact(&mut head).map_err(self.failed())?;
        let Some(length) = length_in(&head).filter(|length| u64::from(*length) <= left) else {
            return Ok(None);
        };
        let mut payload = vec![0; length as usize];
        self.input.read_exact(&mut payload).map_err(self.failed())?;
        let at = Location { segment: self.segment, offset, length };
        let record = checked(at, &head, Bytes::from(payload)).filter(|record| match record {
            Checked::Other(Kind::Group, mark) => mark == self.mark(offset).as_slice(),
            _ => true,
        });
        Ok(record.map(|record| (at, record)))
    }

    fn mark(&self, offset: u64) -> [u8; MARK_BYTES] {
        self.segments.mark(Position { segment: self.segment, offset }, 0)
    }

    /// Whether a group begins at `start` or anywhere behind it.
    fn marked_from(&mut self, start: u64) -> Result<bool, StoreError> {
        const LEAD: [u8; 5] = [0, 0, 0, MARK_BYTES as u8, Kind::Group as u8];
        self.input.seek(SeekFrom::Start(start)).map_err(self.failed())?;
        let mut rest = Vec::new();
        self.input.read_to_end(&mut rest).map_err(self.failed())?;
        for (at, window) in rest.windows(HEAD_BYTES + MARK_BYTES).enumerate() {
            if window.starts_with(&LEAD) && window.ends_with(&self.mark(start + at as u64)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
