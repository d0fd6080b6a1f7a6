//! Forgetting old blocks: bounded steps, oldest first, whole segments at last.

use std::fs;

use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::StoreError;
use super::index;
use super::log::{Position, Segments};
use super::reader::Reader;
use ordering_types::Height;

/// Blocks forgotten in one step; steps come once a second, blocks seldom faster than that many.
const BLOCKS_A_STEP: u64 = 64;

/// Forgets what is older than the retention.
pub(super) struct Pruner {
    pub(super) reader: Reader,
    /// Blocks kept; 0 keeps all.
    pub(super) retain: u64,
}

impl Pruner {
    /// One bounded step.
    pub(super) fn step(&self) -> Result<(), StoreError> {
        if self.retain == 0 {
            return Ok(());
        }
        let Some((first, last)) = self.reader.range()? else { return Ok(()) };
        // What no batch has carried yet stays, however old.
        let horizon = last.get().saturating_sub(self.retain).min(self.sealed_height()?);
        let end = horizon.min(first.get().saturating_add(BLOCKS_A_STEP));
        for height in first.get()..end {
            self.forget_block(Height::new(height))?;
        }
        self.drop_segments(end.max(first.get()), index::FULL_BLOCKS, &self.reader.blocks, false)?;
        self.drop_segments(end.max(first.get()), index::FULL_CHUNKS, &self.reader.chunks, true)
    }

    /// Lowest height held.
    pub(super) fn first(&self) -> Result<Height, StoreError> {
        Ok(self.reader.range()?.map_or(Height::ZERO, |(first, _)| first))
    }

    fn failed(&self) -> impl FnOnce(redb::Error) -> StoreError + use<> {
        StoreError::database(&self.reader.index.path)
    }

    fn sealed_height(&self) -> Result<u64, StoreError> {
        let read = || -> Result<u64, redb::Error> {
            let table = self.reader.index.database.begin_read()?.open_table(index::SEALED)?;
            Ok(table.last()?.map_or(0, |(_, value)| value.value().1))
        };
        read().map_err(self.failed())
    }

    fn forget_block(&self, height: Height) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.reader.index.database.begin_write()?;
            {
                transaction.open_table(index::CERTIFIED)?.remove(height.get())?;
                transaction.open_table(index::BLOCKS)?.remove(height.get())?;
                let mut sealed = transaction.open_table(index::SEALED)?;
                while sealed.first()?.is_some_and(|(_, v)| v.value().1 <= height.get()) {
                    sealed.pop_first()?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        run().map_err(self.failed())
    }

    /// Removes the oldest segment whose every block is forgotten, one a step.
    fn drop_segments(
        &self,
        first: u64,
        table: TableDefinition<u64, u64>,
        segments: &Segments,
        chunks: bool,
    ) -> Result<(), StoreError> {
        let oldest = || -> Result<Option<u64>, redb::Error> {
            let table = self.reader.index.database.begin_read()?.open_table(table)?;
            Ok(table.first()?.filter(|(_, tip)| tip.value() < first).map(|(segment, _)| segment.value()))
        };
        let Some(segment) = oldest().map_err(self.failed())? else { return Ok(()) };
        if chunks {
            self.forget_chunks(segments, segment)?;
        }
        let path = segments.path(segment);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(&path)(e)),
            _ => {}
        }
        let unmark = || -> Result<(), redb::Error> {
            let transaction = self.reader.index.database.begin_write()?;
            transaction.open_table(table)?.remove(segment)?;
            transaction.commit()?;
            Ok(())
        };
        unmark().map_err(self.failed())
    }

    fn forget_chunks(&self, segments: &Segments, segment: u64) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        segments.scan_one(segment, |_, payload| {
            if let Ok(chunk) = ordering_types::Chunk::decode(payload) {
                keys.push((chunk.lane(), chunk.sequence().get(), chunk.digest()));
            }
            Ok(())
        })?;
        let run = || -> Result<(), redb::Error> {
            let transaction = self.reader.index.database.begin_write()?;
            {
                let mut chunks = transaction.open_table(index::CHUNKS)?;
                let mut open = transaction.open_table(index::OPEN_CHUNKS)?;
                for (lane, sequence, digest) in &keys {
                    chunks.remove(digest.to_bytes())?;
                    let lane = (lane.validator.get(), lane.incarnation.get());
                    open.remove((lane.0, lane.1, *sequence, digest.to_bytes()))?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        run().map_err(self.failed())
    }
}

impl Segments {
    /// Visits every record of one segment.
    fn scan_one(
        &self,
        segment: u64,
        mut visit: impl FnMut(super::log::Location, bytes::Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if !self.path(segment).exists() {
            return Ok(());
        }
        self.scan_file(segment, Position::START_OF_RECORDS, &mut visit).map(|_| ())
    }
}
