//! `store.redb`: where everything stands in the segments. Derived data: losing its last second, or all of it, costs a
//! scan of the segments at the next start and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ordering_types::{Digest, GroupSignature, Height, LaneId};
use redb::{Database, Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::StoreError;
use super::log::{Location, Position};
use super::wal::Ends;

/// Where a record stands, as stored.
type Place = [u8; Location::BYTES];

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Height → (head, body).
pub(super) const BLOCKS: TableDefinition<u64, (Place, Place)> = TableDefinition::new("blocks");
/// Height → group signature.
pub(super) const CERTIFIED: TableDefinition<u64, &[u8]> = TableDefinition::new("certified");
/// Number → (sealed batch, its last height).
pub(super) const SEALED: TableDefinition<u64, (Place, u64)> = TableDefinition::new("sealed");
/// Digest → chunk.
pub(super) const CHUNKS: TableDefinition<[u8; 32], Place> = TableDefinition::new("chunks");
/// (lane, sequence, digest) → chunk; chunks that no cut covers yet.
pub(super) const OPEN_CHUNKS: TableDefinition<(u16, u64, u64, [u8; 32]), Place> =
    TableDefinition::new("open_chunks");
/// Lane → highest sequence that a decided cut covers.
pub(super) const COVERED: TableDefinition<(u16, u64), u64> = TableDefinition::new("covered");
/// Number of a full segment of chunks → height when it became full.
pub(super) const FULL_CHUNKS: TableDefinition<u64, u64> = TableDefinition::new("full_chunks");
/// The same for blocks.
pub(super) const FULL_BLOCKS: TableDefinition<u64, u64> = TableDefinition::new("full_blocks");

const CHUNKS_END: &str = "chunks_end";
const BLOCKS_END: &str = "blocks_end";

/// One thing to index.
#[derive(Debug)]
pub(super) enum Entry {
    /// A block.
    Block(Box<BlockEntry>),
    /// Its group signature.
    Certified(Height, GroupSignature),
    /// A sealed batch.
    Sealed { number: u64, last_height: Height, at: Location },
    /// A chunk.
    Chunk { lane: LaneId, sequence: u64, digest: Digest, at: Location },
    /// A segment of chunks became full.
    FullChunks(u64),
    /// A segment of blocks became full.
    FullBlocks(u64),
}

/// What the index keeps of a block.
#[derive(Debug)]
pub(super) struct BlockEntry {
    pub(super) height: Height,
    pub(super) head: Location,
    pub(super) body: Location,
    /// Lane and highest sequence that the cut covers.
    pub(super) tips: Vec<(LaneId, u64)>,
}

/// The open index; shared by the thread that writes it and all that read.
#[derive(Clone)]
pub(super) struct Index {
    pub(super) database: Arc<Database>,
    pub(super) path: PathBuf,
}

impl Index {
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create(path)
            .map_err(StoreError::database(path))?;
        let index = Self { database: Arc::new(database), path: path.to_owned() };
        index.prepare().map_err(StoreError::database(path))?;
        Ok(index)
    }

    fn prepare(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?;
        transaction.open_table(BLOCKS)?;
        transaction.open_table(CERTIFIED)?;
        transaction.open_table(SEALED)?;
        transaction.open_table(CHUNKS)?;
        transaction.open_table(OPEN_CHUNKS)?;
        transaction.open_table(COVERED)?;
        transaction.open_table(FULL_CHUNKS)?;
        transaction.open_table(FULL_BLOCKS)?;
        transaction.commit()?;
        Ok(())
    }

    /// Up to where the segments are indexed.
    pub(super) fn ends(&self) -> Result<Ends, StoreError> {
        let read = || -> Result<Ends, redb::Error> {
            let transaction = self.database.begin_write()?;
            let meta = transaction.open_table(META)?;
            let end = |name| -> Result<Position, redb::Error> {
                let stored = meta.get(name)?.and_then(|v| v.value().try_into().ok());
                Ok(stored.map_or_else(Position::default, Position::from_bytes))
            };
            Ok(Ends { chunks: end(CHUNKS_END)?, blocks: end(BLOCKS_END)? })
        };
        read().map_err(StoreError::database(&self.path))
    }

    /// Adds entries; `ends` is where the segments then are indexed up to.
    pub(super) fn add(&self, entries: &[Entry], ends: Ends, durable: bool) -> Result<(), StoreError> {
        self.add_inner(entries, ends, durable).map_err(StoreError::database(&self.path))
    }

    fn add_inner(&self, entries: &[Entry], ends: Ends, durable: bool) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        if durable {
            // Without this, opening after a crash walks the whole file.
            transaction.set_quick_repair(true);
        } else {
            transaction.set_durability(Durability::None)?;
        }
        for entry in entries {
            add_entry(&transaction, entry)?;
        }
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(CHUNKS_END, ends.chunks.to_bytes().as_slice())?;
            meta.insert(BLOCKS_END, ends.blocks.to_bytes().as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn add_entry(transaction: &WriteTransaction, entry: &Entry) -> Result<(), redb::Error> {
    match entry {
        Entry::Block(block) => add_block(transaction, block)?,
        Entry::Certified(height, signature) => {
            transaction.open_table(CERTIFIED)?.insert(height.get(), signature.as_bytes().as_slice())?;
        }
        Entry::Sealed { number, last_height, at } => {
            transaction.open_table(SEALED)?.insert(number, (at.to_bytes(), last_height.get()))?;
        }
        Entry::Chunk { lane, sequence, digest, at } => {
            add_chunk(transaction, *lane, *sequence, *digest, *at)?
        }
        Entry::FullChunks(segment) => mark_full(transaction, FULL_CHUNKS, *segment)?,
        Entry::FullBlocks(segment) => mark_full(transaction, FULL_BLOCKS, *segment)?,
    }
    Ok(())
}

fn mark_full(
    transaction: &WriteTransaction,
    table: TableDefinition<u64, u64>,
    segment: u64,
) -> Result<(), redb::Error> {
    let tip = transaction.open_table(BLOCKS)?.last()?.map_or(0, |(height, _)| height.value());
    transaction.open_table(table)?.insert(segment, tip)?;
    Ok(())
}

fn add_chunk(
    transaction: &WriteTransaction,
    lane: LaneId,
    sequence: u64,
    digest: Digest,
    at: Location,
) -> Result<(), redb::Error> {
    transaction.open_table(CHUNKS)?.insert(digest.to_bytes(), at.to_bytes())?;
    let lane = (lane.validator.get(), lane.incarnation.get());
    let covered = transaction.open_table(COVERED)?.get(lane)?.map_or(0, |v| v.value());
    if sequence > covered {
        let key = (lane.0, lane.1, sequence, digest.to_bytes());
        transaction.open_table(OPEN_CHUNKS)?.insert(key, at.to_bytes())?;
    }
    Ok(())
}

fn add_block(transaction: &WriteTransaction, block: &BlockEntry) -> Result<(), redb::Error> {
    let height = block.height.get();
    transaction.open_table(BLOCKS)?.insert(height, (block.head.to_bytes(), block.body.to_bytes()))?;
    let mut covered = transaction.open_table(COVERED)?;
    let mut open = transaction.open_table(OPEN_CHUNKS)?;
    for (lane, sequence) in &block.tips {
        let lane = (lane.validator.get(), lane.incarnation.get());
        covered.insert(lane, sequence)?;
        open.retain_in((lane.0, lane.1, 0, [0; 32])..=(lane.0, lane.1, *sequence, [255; 32]), |_, _| false)?;
    }
    Ok(())
}
