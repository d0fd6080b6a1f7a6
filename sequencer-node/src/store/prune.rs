//! Forgetting old blocks: bounded steps, oldest first, whole segments at last.
//!
//! A segment goes once every height that needs something in it is forgotten, and never before an older one: a gap
//! would look like damage. What it still holds for the future is carried forward first: chunks that no cut covers, of
//! the newest lane of each validator. Older lanes are closed; what they left undecided for a whole retention is dropped. Sealed batches are filed
//! in the archive, which has a retention of its own.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use ordering_types::{Digest, Height};
use redb::{ReadableDatabase, ReadableTable};

use super::StoreError;
use super::carry::{Carry, MAX_CARRIED};
use super::filing::Archivist;
use super::index;
use super::reader::Reader;
use super::scan::scan_one;
use super::segments::{Checked, Location, Position};
use super::wal::Wal;

/// Blocks forgotten in one step; steps come once a second, blocks seldom faster than that many.
const BLOCKS_A_STEP: u64 = 256;

/// Key of [`index::OPEN_CHUNKS`].
type OpenKey = (u16, u64, u64, [u8; 32]);

/// Forgets what is older than the retention.
pub(super) struct Pruner {
    pub(super) reader: Reader,
    pub(super) carry: Carry,
    pub(super) wal: Arc<Wal>,
    pub(super) archivist: Archivist,
    /// Blocks kept; 0 keeps all.
    pub(super) retain: u64,
}

impl Pruner {
    /// One bounded step; the journal is written at `end`, and the newest block is of this time, milliseconds since 1970.
    pub(super) fn step(&mut self, end: Position, now_ms: u64) -> Result<(), StoreError> {
        self.archivist.expire(&self.reader, now_ms)?;
        if self.retain == 0 {
            return Ok(());
        }
        let Some((first, last)) = self.reader.range()? else { return Ok(()) };
        // What no batch has carried to L1 yet stays, however old.
        let horizon = last.get().saturating_sub(self.retain).min(self.carried_height()?);
        let next = horizon.min(first.get().saturating_add(BLOCKS_A_STEP)).max(first.get());
        if next > first.get() {
            self.forget_blocks(first.get(), next)?;
        }
        // A batch of which nobody knows that it leaves would be lost with its segment.
        if !self.reader.index.retire_before(next)? {
            return Ok(());
        }
        self.drop_segment(next, end)
    }

    /// Lowest height held.
    pub(super) fn first(&self) -> Result<Height, StoreError> {
        Ok(self.reader.range()?.map_or(Height::ZERO, |(first, _)| first))
    }

    fn failed(&self) -> impl FnOnce(redb::Error) -> StoreError + use<> {
        StoreError::database(&self.reader.index.path)
    }

    /// Up to where blocks are in sealed batches that are final on L1; where that is not known, in sealed batches.
    fn carried_height(&self) -> Result<u64, StoreError> {
        let read = || -> Result<u64, redb::Error> {
            let table = self.reader.index.database.begin_read()?.open_table(index::SEALED)?;
            let newest = table.range(..=self.reader.final_batch.number())?.next_back().transpose()?;
            Ok(newest.map_or(0, |(_, value)| value.value().1))
        };
        read().map_err(self.failed())
    }

    /// Forgets heights from `first` up to, but not, `next`.
    fn forget_blocks(&self, first: u64, next: u64) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.reader.index.database.begin_write()?;
            transaction.open_table(index::BLOCKS)?.retain_in(first..next, |_, _| false)?;
            transaction.open_table(index::CERTIFIED)?.retain_in(first..next, |_, _| false)?;
            transaction.commit()?;
            Ok(())
        };
        run().map_err(self.failed())
    }

    /// Removes the oldest segment if no height from `first` on needs it, one a step.
    fn drop_segment(&mut self, first: u64, end: Position) -> Result<(), StoreError> {
        let Some(segment) = self.free_segment(first, end)? else { return Ok(()) };
        let open = self.live_chunks(segment).map_err(self.failed())?;
        if !open.is_empty() {
            let read = open.into_iter().take(MAX_CARRIED);
            let chunks: Result<_, _> = read.map(|(at, digest)| self.reader.chunk_at(at, digest)).collect();
            self.carry.offer(chunks?);
            return Ok(());
        }
        let path = self.reader.segments.path(segment);
        if path.exists() {
            if !self.archivist.file(&self.reader, segment)? {
                return Ok(());
            }
            self.wal.note_start(segment + 1)?;
            self.forget_chunks(segment)?;
            fs::remove_file(&path).map_err(StoreError::io(&path))?;
        }
        self.unmark(segment).map_err(self.failed())
    }

    /// The oldest segment, if no height from `first` on needs it.
    pub(super) fn free_segment(&self, first: u64, end: Position) -> Result<Option<u64>, StoreError> {
        let oldest = || -> Result<Option<u64>, redb::Error> {
            let table = self.reader.index.database.begin_read()?.open_table(index::NEEDED)?;
            let oldest = table.first()?.map(|(segment, height)| (segment.value(), height.value()));
            let free = oldest.filter(|(segment, height)| *segment < end.segment && *height < first);
            Ok(free.map(|(segment, _)| segment))
        };
        oldest().map_err(self.failed())
    }

    fn unmark(&self, segment: u64) -> Result<(), redb::Error> {
        let transaction = self.reader.index.database.begin_write()?;
        transaction.open_table(index::NEEDED)?.remove(segment)?;
        transaction.commit()?;
        Ok(())
    }

    /// Undecided chunks in a segment, of the newest lane of each validator.
    fn live_chunks(&self, segment: u64) -> Result<Vec<(Location, Digest)>, redb::Error> {
        let transaction = self.reader.index.database.begin_read()?;
        let open = transaction.open_table(index::OPEN_CHUNKS)?;
        let mut newest: BTreeMap<u16, u64> = BTreeMap::new();
        let mut note = |validator, incarnation| {
            let known = newest.entry(validator).or_insert(incarnation);
            *known = incarnation.max(*known);
        };
        let mut rows: Vec<(OpenKey, Location)> = Vec::new();
        for row in open.iter()? {
            let (key, place) = row?;
            note(key.value().0, key.value().1);
            let place = Location::from_bytes(&place.value()).filter(|at| at.segment == segment);
            rows.extend(place.map(|at| (key.value(), at)));
        }
        for row in transaction.open_table(index::COVERED)?.iter()? {
            let (validator, incarnation) = row?.0.value();
            note(validator, incarnation);
        }
        rows.retain(|((validator, incarnation, ..), _)| newest.get(validator) == Some(incarnation));
        Ok(rows.into_iter().map(|((.., digest), at)| (at, Digest::new(digest))).collect())
    }

    pub(super) fn forget_chunks(&self, segment: u64) -> Result<(), StoreError> {
        let mut keys: Vec<OpenKey> = Vec::new();
        scan_one(&self.reader.segments, segment, |_, record| {
            if let Checked::Chunk(chunk) = record {
                let (lane, sequence) = (chunk.lane(), chunk.sequence().get());
                keys.push((
                    lane.validator.get(),
                    lane.incarnation.get(),
                    sequence,
                    chunk.digest().to_bytes(),
                ));
            }
            Ok(())
        })?;
        let run = || -> Result<(), redb::Error> {
            let transaction = self.reader.index.database.begin_write()?;
            {
                let mut chunks = transaction.open_table(index::CHUNKS)?;
                let mut open = transaction.open_table(index::OPEN_CHUNKS)?;
                for key in keys {
                    // It may stand in a newer segment again.
                    let place = chunks.get(key.3)?.and_then(|place| Location::from_bytes(&place.value()));
                    if place.is_some_and(|at| at.segment == segment) {
                        chunks.remove(key.3)?;
                        open.remove(key)?;
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        };
        run().map_err(self.failed())
    }
}
