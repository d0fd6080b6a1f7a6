//! `store.redb`: where everything stands in the journal. Derived data: losing its last second, or all of it, costs a
//! scan of the journal at the next start and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::{Digest, GroupSignature, Height, LaneId, Succession, codec};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};

use super::StoreError;
use super::retired;
use super::segments::{Location, Position};

/// Where a record stands, as stored.
pub(super) type Place = [u8; Location::BYTES];

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Height → head.
pub(super) const BLOCKS: TableDefinition<u64, Place> = TableDefinition::new("blocks");
/// Height → group signature.
pub(super) const CERTIFIED: TableDefinition<u64, &[u8]> = TableDefinition::new("certified");
/// Number → (sealed batch, its last height). Those whose blocks are forgotten stand in [`retired`].
pub(super) const SEALED: TableDefinition<u64, (Place, u64)> = TableDefinition::new("sealed");
/// Epoch → the signed handover with which it begins, and its members: never forgotten, clients go from key to key with them. `wal.redb` has them, too.
pub(super) const HANDOVERS: TableDefinition<u64, &[u8]> = TableDefinition::new("handovers");
/// Digest → chunk.
pub(super) const CHUNKS: TableDefinition<[u8; 32], Place> = TableDefinition::new("chunks");
/// (lane, sequence, digest) → chunk; chunks that no cut covers yet.
pub(super) const OPEN_CHUNKS: TableDefinition<(u16, u64, u64, [u8; 32]), Place> =
    TableDefinition::new("open_chunks");
/// Lane → highest sequence that a decided cut covers.
pub(super) const COVERED: TableDefinition<(u16, u64), u64> = TableDefinition::new("covered");
/// Entry of the consensus log, in the order written → its height, which is not decided yet.
pub(super) const WAL: TableDefinition<Place, u64> = TableDefinition::new("wal");
/// Burn, in the order written → (key, value).
pub(super) const BURNS: TableDefinition<Place, (&[u8], &[u8])> = TableDefinition::new("burns");
/// Number of a segment → highest height that needs something in it.
pub(super) const NEEDED: TableDefinition<u64, u64> = TableDefinition::new("needed");

const END: &str = "end";
/// Where the newest checkpoint stands.
const CHECKPOINT: &str = "checkpoint";
/// Burns kept. Only the newest matter: nonces live in memory and die with their process.
pub(super) const MAX_BURNS: usize = 16_384;

/// One thing to index.
#[derive(Debug)]
pub(super) enum Entry {
    /// A block.
    Block(BlockEntry),
    /// Its group signature.
    Certified { height: Height, signature: GroupSignature, at: Location },
    /// A sealed batch.
    Sealed { number: u64, last_height: Height, at: Location },
    /// A signed handover, and to whom.
    Handover(Succession),
    /// A chunk.
    Chunk { lane: LaneId, sequence: u64, digest: Digest, at: Location },
    /// An entry of the consensus log.
    Wal { height: Height, at: Location },
    /// Blocks up to this height are not needed: the node goes on from here.
    Checkpoint { height: Height, lanes: Vec<(LaneId, u64)>, at: Location },
    /// A used nonce.
    Burn { key: Bytes, value: Bytes, at: Location },
}

/// What the index keeps of a block.
#[derive(Debug)]
pub(super) struct BlockEntry {
    pub(super) height: Height,
    pub(super) head: Location,
    /// Lane and highest sequence that the cut covers.
    pub(super) tips: Vec<(LaneId, u64)>,
    /// Digests of the chunks that it covers.
    pub(super) covered: Vec<Digest>,
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
        transaction.open_table(HANDOVERS)?;
        transaction.open_table(CHUNKS)?;
        transaction.open_table(OPEN_CHUNKS)?;
        transaction.open_table(COVERED)?;
        transaction.open_table(WAL)?;
        transaction.open_table(BURNS)?;
        transaction.open_table(NEEDED)?;
        retired::prepare(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Up to where the journal is indexed.
    pub(super) fn end(&self) -> Result<Position, StoreError> {
        let read = || -> Result<Position, redb::Error> {
            let transaction = self.database.begin_write()?;
            let meta = transaction.open_table(META)?;
            let stored = meta.get(END)?.and_then(|v| v.value().try_into().ok());
            Ok(stored.map_or_else(Position::default, Position::from_bytes))
        };
        read().map_err(StoreError::database(&self.path))
    }

    /// Where the newest checkpoint stands, if there is one.
    pub(super) fn checkpoint(&self) -> Result<Option<Location>, StoreError> {
        let read = || -> Result<Option<Location>, redb::Error> {
            let meta = self.database.begin_read()?.open_table(META)?;
            let place = meta.get(CHECKPOINT)?.and_then(|v| v.value().try_into().ok());
            Ok(place.and_then(|place: Place| Location::from_bytes(&place)))
        };
        read().map_err(StoreError::database(&self.path))
    }

    /// Adds entries; `end` is where the journal then is indexed up to.
    pub(super) fn add(&self, entries: &[Entry], end: Position, durable: bool) -> Result<(), StoreError> {
        self.add_inner(entries, end, durable).map_err(StoreError::database(&self.path))
    }

    fn add_inner(&self, entries: &[Entry], end: Position, durable: bool) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        if durable {
            // Without this, opening after a crash walks the whole file.
            transaction.set_quick_repair(true);
        } else {
            transaction.set_durability(Durability::None)?;
        }
        let mut needed = BTreeMap::new();
        for entry in entries {
            add_entry(&transaction, &mut needed, entry)?;
        }
        {
            let mut table = transaction.open_table(NEEDED)?;
            for (segment, height) in needed {
                let known = table.get(segment)?.map_or(0, |v| v.value());
                table.insert(segment, height.max(known))?;
            }
            transaction.open_table(META)?.insert(END, end.to_bytes().as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Segments and the highest height that needs them, as far as one commit changes that.
type Needed = BTreeMap<u64, u64>;

fn need(needed: &mut Needed, at: Location, height: u64) {
    let known = needed.entry(at.segment).or_default();
    *known = height.max(*known);
}

fn add_entry(transaction: &WriteTransaction, needed: &mut Needed, entry: &Entry) -> Result<(), redb::Error> {
    match entry {
        Entry::Block(block) => add_block(transaction, needed, block)?,
        Entry::Certified { height, signature, at } => {
            need(needed, *at, height.get());
            transaction.open_table(CERTIFIED)?.insert(height.get(), signature.as_bytes().as_slice())?;
        }
        Entry::Sealed { number, last_height, at } => {
            need(needed, *at, last_height.get());
            transaction.open_table(SEALED)?.insert(number, (at.to_bytes(), last_height.get()))?;
        }
        Entry::Checkpoint { height, lanes, at } => {
            // Until the block after it is forgotten, a restart may need it.
            need(needed, *at, height.get() + 1);
            add_checkpoint(transaction, height.get(), lanes, *at)?;
        }
        Entry::Handover(succession) => {
            let epoch = succession.signed.handover.next.epoch.get();
            transaction.open_table(HANDOVERS)?.insert(epoch, codec::encode(succession).as_slice())?;
        }
        Entry::Chunk { lane, sequence, digest, at } => {
            need(needed, *at, 0);
            add_chunk(transaction, *lane, *sequence, *digest, *at)?
        }
        Entry::Wal { height, at } => {
            need(needed, *at, height.get());
            transaction.open_table(WAL)?.insert(at.to_bytes(), height.get())?;
        }
        Entry::Burn { key, value, at } => {
            need(needed, *at, 0);
            let mut burns = transaction.open_table(BURNS)?;
            burns.insert(at.to_bytes(), (key.as_ref(), value.as_ref()))?;
            while burns.len()? > MAX_BURNS as u64 {
                burns.pop_first()?;
            }
        }
    }
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

/// Forgets all that the checkpoint takes the place of.
fn add_checkpoint(
    transaction: &WriteTransaction,
    height: u64,
    lanes: &[(LaneId, u64)],
    at: Location,
) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(CHECKPOINT, at.to_bytes().as_slice())?;
    transaction.open_table(BLOCKS)?.retain_in(..=height, |_, _| false)?;
    transaction.open_table(CERTIFIED)?.retain_in(..=height, |_, _| false)?;
    retired::retire(transaction, height, usize::MAX)?;
    cover(transaction, lanes)?;
    transaction.open_table(WAL)?.retain(|_, of| of > height)?;
    Ok(())
}

/// Notes up to where lanes are decided.
fn cover(transaction: &WriteTransaction, lanes: &[(LaneId, u64)]) -> Result<(), redb::Error> {
    let mut covered = transaction.open_table(COVERED)?;
    let mut open = transaction.open_table(OPEN_CHUNKS)?;
    for (lane, sequence) in lanes {
        let lane = (lane.validator.get(), lane.incarnation.get());
        covered.insert(lane, sequence)?;
        open.retain_in((lane.0, lane.1, 0, [0; 32])..=(lane.0, lane.1, *sequence, [255; 32]), |_, _| false)?;
    }
    Ok(())
}

fn add_block(
    transaction: &WriteTransaction,
    needed: &mut Needed,
    block: &BlockEntry,
) -> Result<(), redb::Error> {
    let height = block.height.get();
    need(needed, block.head, height);
    let mut blocks = transaction.open_table(BLOCKS)?;
    blocks.insert(height, block.head.to_bytes())?;
    let chunks = transaction.open_table(CHUNKS)?;
    for digest in &block.covered {
        match chunks.get(digest.to_bytes())?.and_then(|place| Location::from_bytes(&place.value())) {
            Some(at) => need(needed, at, height),
            // Forgotten once, and seen again because the index is made anew: its chunks went with an older segment.
            None => blocks.retain_in(..=height, |_, _| false)?,
        }
    }
    cover(transaction, &block.tips)?;
    transaction.open_table(WAL)?.retain(|_, of| of > height)?;
    Ok(())
}
