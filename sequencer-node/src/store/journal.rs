//! Appending to the journal.
//!
//! Records gather in a group; a sync ends it with one write and one `fdatasync`. Each group begins with a mark of its
//! place, which says that everything before was synced: that is how [`super::scan`] knows damage from a torn tail.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};

use ordering_types::Digest;

use super::StoreError;
use super::segments::{
    FILE_HEAD_BYTES, HEAD_BYTES, Kind, Location, MAX_RECORD_BYTES, Position, Segments, head_of,
};

/// A segment is full at this length.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;
/// Written to the file at this length, synced later.
const BUFFER_BYTES: usize = 1 << 20;
/// Payloads of this length are written from where they are.
const DIRECT_BYTES: usize = 32 << 10;

/// Appends to the last segment.
#[derive(Debug)]
pub(super) struct Journal {
    segments: Segments,
    file: File,
    end: Position,
    buffer: Vec<u8>,
    unsynced: bool,
    /// Changed by tests only.
    pub(super) full_at: u64,
}

impl Journal {
    /// Goes on at `end`: whatever stands after it is a torn tail and is removed.
    pub(super) fn open(segments: Segments, end: Position) -> Result<Self, StoreError> {
        for segment in segments.list()?.into_iter().filter(|s| *s > end.segment) {
            let path = segments.path(segment);
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        if end.segment == 0 || end.offset < FILE_HEAD_BYTES as u64 {
            return Self::start(segments, end.segment.max(1), 0);
        }
        let path = segments.path(end.segment);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io(&path))?;
        file.set_len(end.offset).map_err(StoreError::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(StoreError::io(&path))?;
        file.sync_all().map_err(StoreError::io(&path))?;
        Ok(Self { segments, file, end, buffer: Vec::new(), unsynced: false, full_at: SEGMENT_BYTES })
    }

    fn start(segments: Segments, segment: u64, before: u64) -> Result<Self, StoreError> {
        let path = segments.path(segment);
        let mut file = File::create(&path).map_err(StoreError::io(&path))?;
        file.write_all(&segments.file_head(segment, before)).map_err(StoreError::io(&path))?;
        file.sync_all().map_err(StoreError::io(&path))?;
        File::open(segments.folder())
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::io(segments.folder()))?;
        let end = Position::start_of(segment);
        Ok(Self { segments, file, end, buffer: Vec::new(), unsynced: false, full_at: SEGMENT_BYTES })
    }

    /// Appends one record; it counts after [`Self::sync`]. `known` is its SHA-256 where the caller has it.
    pub(super) fn append(
        &mut self,
        kind: Kind,
        payload: &[u8],
        known: Option<Digest>,
    ) -> Result<Location, StoreError> {
        if !self.unsynced {
            self.unsynced = true;
            let mark = self.segments.mark(self.end, 0);
            self.record(Kind::Group, &mark, None)?;
        }
        self.record(kind, payload, known)
    }

    fn record(&mut self, kind: Kind, payload: &[u8], known: Option<Digest>) -> Result<Location, StoreError> {
        let length = u32::try_from(payload.len()).ok().filter(|l| (1..=MAX_RECORD_BYTES).contains(l));
        let length = length.ok_or(StoreError::RecordLength(payload.len()))?;
        let Position { segment, offset } = self.end;
        let at = Location { segment, offset, length };
        let digest = known.unwrap_or_else(|| Digest::sha256(&[payload]));
        self.buffer.extend_from_slice(&head_of(at, kind, digest));
        if payload.len() < DIRECT_BYTES {
            self.buffer.extend_from_slice(payload);
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        } else {
            self.flush()?;
            self.file.write_all(payload).map_err(self.failed())?;
        }
        self.end.offset += (HEAD_BYTES + payload.len()) as u64;
        Ok(at)
    }

    fn failed(&self) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
        StoreError::io(&self.segments.path(self.end.segment))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.write_all(&self.buffer).map_err(self.failed())?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything appended durable, up to the place given.
    pub(super) fn sync(&mut self) -> Result<Position, StoreError> {
        if !self.unsynced {
            return Ok(self.end);
        }
        self.flush()?;
        self.file.sync_data().map_err(self.failed())?;
        self.unsynced = false;
        if self.end.offset >= self.full_at {
            let next = Self::start(self.segments.clone(), self.end.segment + 1, self.end.offset)?;
            *self = Self { full_at: self.full_at, ..next };
        }
        Ok(self.end)
    }

    /// The end of what was appended, synced or not.
    pub(super) const fn end(&self) -> Position {
        self.end
    }
}

#[cfg(test)]
mod tests;
