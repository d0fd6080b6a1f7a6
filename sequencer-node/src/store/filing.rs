//! Filing the sealed batches of a segment that is to be removed, and forgetting those that are old.
//!
//! ```text
//!   journal segment n ──batches, some MiB a step──▶ n.unfinished ──sync, rename──▶ n.batches ──▶ index ──▶ the segment may go
//! ```
//!
//! A crash anywhere begins the segment's file again from the segment, which is only removed once the index reads the batches from the file. Files go
//! oldest first, one a step, out of the index before off the disk.

use std::collections::VecDeque;

use super::StoreError;
use super::archive::{Archive, Unfinished};
use super::reader::Reader;
use super::record;
use super::scan::scan_one;
use super::segments::{Checked, Kind, Location};

/// Bytes of batches filed in one step, and a batch more: steps come once a second, and votes wait for the same disk. L1 takes some 0.1 MB a second.
pub(super) const FILED_A_STEP_BYTES: u64 = 4 << 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How long batches are kept after their blocks are forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Days after a batch's last block; 0: for ever.
    pub(crate) days: u32,
    /// Bytes of all files; 0: any number.
    pub(crate) bytes: u64,
}

impl Retention {
    /// Whether what is so old is to go at this time, milliseconds since 1970.
    fn is_over(self, newest_ms: u64, now_ms: u64) -> bool {
        self.days != 0 && now_ms.saturating_sub(newest_ms) > u64::from(self.days) * DAY_MS
    }
}

/// Keeps the archive.
pub(super) struct Archivist {
    archive: Archive,
    retention: Retention,
    /// Bytes of all files.
    bytes: u64,
    filing: Option<Filing>,
}

/// A segment half filed.
struct Filing {
    segment: u64,
    left: VecDeque<Location>,
    file: Unfinished,
}

impl Archivist {
    /// Makes the index say what the folder holds: a file may be whole and not yet indexed, the index may be new, and somebody short of disk may have
    /// deleted files.
    pub(super) fn open(reader: &Reader, retention: Retention) -> Result<Self, StoreError> {
        let archive = reader.archive.clone();
        let there = archive.list()?;
        let known = reader.index.files()?;
        for gone in known.iter().filter(|known| there.binary_search(&known.file).is_err()) {
            reader.index.unfile(gone.file)?;
        }
        let is_new = |file: &&u64| known.binary_search_by_key(*file, |known| known.file).is_err();
        for file in there.iter().filter(is_new) {
            match archive.contents(*file) {
                Ok(contents) => _ = reader.index.filed(&contents)?,
                Err(error) => tracing::warn!(%error, "batches of the archive are not served"),
            }
        }
        let bytes = reader.index.files()?.iter().map(|known| known.bytes).sum();
        Ok(Self { archive, retention, bytes, filing: None })
    }

    /// Files some of a segment's batches. True: all of them are read from the archive now.
    pub(super) fn file(&mut self, reader: &Reader, segment: u64) -> Result<bool, StoreError> {
        let filing = match self.filing.take().filter(|filing| filing.segment == segment) {
            Some(filing) => Some(filing),
            None => Filing::begin(reader, segment)?,
        };
        let Some(mut filing) = filing else { return Ok(true) };
        filing.step(reader)?;
        if !filing.left.is_empty() {
            filing.file.sync()?;
            self.filing = Some(filing);
            return Ok(false);
        }
        let contents = filing.file.finish()?;
        let before = reader.index.filed(&contents)?;
        self.bytes = self.bytes.saturating_sub(before) + contents.bytes;
        Ok(true)
    }

    /// Forgets the oldest file if it is too old at this time (milliseconds since 1970), or if the files are too many bytes.
    pub(super) fn expire(&mut self, reader: &Reader, now_ms: u64) -> Result<(), StoreError> {
        let Some(oldest) = reader.index.oldest_file()? else { return Ok(()) };
        let over = self.retention.is_over(oldest.newest_ms, now_ms);
        let too_many = self.retention.bytes != 0 && self.bytes > self.retention.bytes;
        if !over && !too_many {
            return Ok(());
        }
        if !over {
            tracing::warn!(
                file = oldest.file,
                "the archive is full: its oldest batches go before store.archive_days are over; store.archive_gib is its size"
            );
        }
        reader.index.unfile(oldest.file)?;
        self.archive.remove(oldest.file)?;
        self.bytes = self.bytes.saturating_sub(oldest.bytes);
        Ok(())
    }
}

impl Filing {
    /// `None`: the segment holds no batches.
    fn begin(reader: &Reader, segment: u64) -> Result<Option<Self>, StoreError> {
        let mut left = VecDeque::new();
        scan_one(&reader.segments, segment, |at, record| {
            if matches!(record, Checked::Other(Kind::Sealed, _)) {
                left.push_back(at);
            }
            Ok(())
        })?;
        if left.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { segment, left, file: Unfinished::begin(&reader.archive, segment)? }))
    }

    fn step(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let mut bytes = 0;
        while bytes < FILED_A_STEP_BYTES
            && let Some(at) = self.left.pop_front()
        {
            let Checked::Other(Kind::Sealed, payload) = reader.segments.read(at)? else { continue };
            let batch: batcher_format::SealedBatch =
                record::decode(&payload).map_err(|e| reader.unreadable(at, &e.to_string()))?;
            self.file.append((batch.header.number, batch.header.last_time_ms), &payload)?;
            bytes += u64::from(at.length);
        }
        Ok(())
    }
}
