//! Opening the data folder and telling the core what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ordering_types::codec;
use ordering_types::{ChainSpec, Cut, Height, SecretKey};
use redb::{ReadableDatabase, ReadableTable};

use super::StoreError;
use super::ids::{self, Ids, IdsWriter};
use super::index::{self, BlockEntry, Entry, Index};
use super::indexer::{Indexer, tips};
use super::lock::{FRESH_FILE, Lock};
use super::log::{Location, LogWriter, Position, Segments};
use super::prune::Pruner;
use super::reader::Reader;
use super::record::BlockRecord;
use super::secret::SecretBox;
use super::wal::{Ends, Pending, Wal, WalContents};
use super::writer::Store;
use crate::core_api::{Founding, OrderingRecovered, Recovered, Tip, UNCERTIFIED_WINDOW};

/// What must never be lost.
pub(crate) const WAL_FILE: &str = "wal.redb";
const INDEX_FILE: &str = "store.redb";
const IDS_FOLDER: &str = "ids";
const SEGMENTS_FOLDER: &str = "segments";
/// Entries indexed in one commit while catching up.
const ENTRIES_A_COMMIT: usize = 512;
/// Most chunks handed back to the core: more than lanes can hold open.
const MAX_RECOVERED_CHUNKS: usize = 4_096;
/// Longest encoded founding: a signature for each of 100 validators.
const MAX_FOUNDING_BYTES: usize = 64 << 10;

/// What opening needs.
pub(crate) struct OpenOptions<'a> {
    /// The data folder.
    pub(crate) folder: &'a Path,
    /// The node key: names the owner and opens the secrets.
    pub(crate) key: &'a SecretKey,
    /// The network.
    pub(crate) spec: Arc<ChainSpec>,
    /// Cache of the index, bytes.
    pub(crate) cache_bytes: usize,
    /// Blocks kept; 0 keeps all.
    pub(crate) retain_blocks: u64,
    /// Lowest number that this start may have: microseconds since the Unix epoch.
    pub(crate) now_micros: u64,
}

/// An open folder.
pub(crate) struct Opened {
    /// For the thread that writes.
    pub(crate) store: Store,
    /// For everyone.
    pub(crate) reader: Reader,
    /// For the core.
    pub(crate) recovered: Recovered,
    /// Number of this start, greater than any before.
    pub(crate) incarnation: u64,
}

/// Opens the folder and brings the index up to date.
pub(crate) fn open(options: &OpenOptions<'_>) -> Result<Opened, StoreError> {
    let folder = options.folder;
    let wal_path = folder.join(WAL_FILE);
    if !folder.is_dir() {
        return Err(StoreError::StateMissing(folder.to_owned()));
    }
    let lock = Lock::take(folder)?;
    let fresh_path = folder.join(FRESH_FILE);
    let fresh = fresh_path.exists();
    let mut wal = Wal::open(&wal_path, fresh, SecretBox::new(options.key))?;
    let incarnation =
        wal.claim(folder, &options.key.public_key(), options.spec.hash(), options.now_micros)?;
    let contents = wal.contents()?;
    let segments = segments_folder(folder, fresh)?;
    let founding = Arc::new(OnceLock::new());
    if let Some(stored) = decode_founding(&wal_path, contents.founding.as_deref())? {
        let _ = founding.set(stored);
    }
    let index = Index::open(&folder.join(INDEX_FILE), options.cache_bytes)?;
    let mut reader = Reader {
        index,
        ids: Ids::default(),
        blocks: Segments::new(&segments, "blocks"),
        chunks: Segments::new(&segments, "chunks"),
        founding: Arc::clone(&founding),
    };
    let ends = catch_up(&reader, contents.ends)?;
    let chunks = LogWriter::open(reader.chunks.clone(), ends.chunks)?;
    let blocks = LogWriter::open(reader.blocks.clone(), ends.blocks)?;
    let ends = Ends { chunks: chunks.end(), blocks: blocks.end() };
    reader.index.add(&full_segments(&reader, ends)?, ends, true)?;
    // From here on a missing log is a lost one.
    wal.commit(&mut Pending::default(), ends)?;
    if fresh {
        fs::remove_file(&fresh_path).map_err(StoreError::io(&fresh_path))?;
    }
    let ids = catch_up_ids(&folder.join(IDS_FOLDER), &reader, &options.spec)?;
    reader.ids = ids.ids();
    let recovered = recover(&reader, &options.spec, contents)?;
    let pruner = Pruner { reader: reader.clone(), retain: options.retain_blocks };
    let indexer = Indexer::start(reader.index.clone(), ids, pruner, Arc::clone(&options.spec), ends)
        .map_err(StoreError::io(folder))?;
    let pending = Pending::default();
    let store = Store { chunks, blocks, wal, pending, staged: Vec::new(), indexer, founding, _lock: lock };
    Ok(Opened { store, reader, recovered, incarnation })
}

fn segments_folder(folder: &Path, fresh: bool) -> Result<PathBuf, StoreError> {
    let path = folder.join(SEGMENTS_FOLDER);
    if !path.is_dir() {
        if !fresh {
            return Err(StoreError::StateMissing(path));
        }
        fs::create_dir(&path).map_err(StoreError::io(&path))?;
    }
    Ok(path)
}

fn decode_founding(wal: &Path, stored: Option<&[u8]>) -> Result<Option<Founding>, StoreError> {
    let decode = |bytes| codec::decode(bytes, MAX_FOUNDING_BYTES);
    stored.map(decode).transpose().map_err(|e| StoreError::Damaged {
        file: wal.to_owned(),
        offset: 0,
        why: format!("founding: {e}"),
    })
}

/// Indexes what the segments hold beyond the index; gives the ends of the good records.
fn catch_up(reader: &Reader, synced: Ends) -> Result<Ends, StoreError> {
    let indexed = reader.index.ends()?;
    let mut queue = Queue { reader, entries: Vec::new(), ends: indexed };
    let mut body: Option<Location> = None;
    let durable = synced.blocks.max(indexed.blocks);
    let blocks = reader.blocks.scan(indexed.blocks, durable, |at, payload| {
        let record = BlockRecord::decode(&payload).map_err(|e| StoreError::Damaged {
            file: reader.blocks.path(at.segment),
            offset: at.offset,
            why: e.to_string(),
        })?;
        match record {
            BlockRecord::Body(_) => {
                body = Some(at);
                // The index never points between a body and its head.
                return Ok(());
            }
            BlockRecord::Head(head) => {
                let Some(body_at) = body.take() else { return Ok(()) };
                let cut = Cut::decode(&head.cut).map_err(|e| StoreError::Damaged {
                    file: reader.blocks.path(at.segment),
                    offset: at.offset,
                    why: e.to_string(),
                })?;
                queue.entries.push(Entry::Block(Box::new(BlockEntry {
                    height: head.header.height,
                    head: at,
                    body: body_at,
                    tips: tips(&cut),
                })));
            }
            BlockRecord::Certified(height, signature) => {
                queue.entries.push(Entry::Certified(height, signature))
            }
            BlockRecord::Sealed(batch) => {
                let (number, last_height) = (batch.header.number, batch.header.last_height);
                queue.entries.push(Entry::Sealed { number, last_height, at });
            }
        }
        queue.commit_if_full()
    })?;
    queue.ends.blocks = blocks;
    let durable = synced.chunks.max(indexed.chunks);
    let chunks = reader.chunks.scan(indexed.chunks, durable, |at, _| {
        let chunk = reader.chunk_at(at)?;
        let (lane, sequence, digest) = (chunk.lane(), chunk.sequence().get(), chunk.digest());
        queue.entries.push(Entry::Chunk { lane, sequence, digest, at });
        queue.commit_if_full()
    })?;
    queue.ends.chunks = chunks;
    queue.commit()?;
    Ok(queue.ends)
}

/// Adds the ids of the blocks that no run covers.
fn catch_up_ids(folder: &Path, reader: &Reader, spec: &ChainSpec) -> Result<IdsWriter, StoreError> {
    let range = reader.range()?;
    let mut ids = IdsWriter::open(folder, range)?;
    let Some((first, last)) = range else { return Ok(ids) };
    for height in heights(ids.next().unwrap_or(first).get(), last) {
        let Some(decided) = reader.decided(height)? else { continue };
        let sections = &decided.block.sections;
        ids.add(height, ids::entries(spec, height, sections, |rollup| decided.tree.leaves(rollup)))?;
    }
    Ok(ids)
}

/// Entries on their way into the index. Ends only move when a whole log is scanned: a crash meanwhile scans again.
struct Queue<'a> {
    reader: &'a Reader,
    entries: Vec<Entry>,
    ends: Ends,
}

impl Queue<'_> {
    fn commit_if_full(&mut self) -> Result<(), StoreError> {
        if self.entries.len() < ENTRIES_A_COMMIT { Ok(()) } else { self.commit() }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.reader.index.add(&self.entries, self.ends, false)?;
        self.entries.clear();
        Ok(())
    }
}

/// Marks segments that a crash kept from being marked.
fn full_segments(reader: &Reader, ends: Ends) -> Result<Vec<Entry>, StoreError> {
    let unmarked = |segments: &Segments, end: Position, table| -> Result<Vec<u64>, StoreError> {
        let list = segments.list()?;
        let read = || -> Result<Vec<u64>, redb::Error> {
            let marked = reader.index.database.begin_read()?.open_table::<u64, u64>(table)?;
            let mut missing = Vec::new();
            for segment in list.into_iter().filter(|s| *s < end.segment) {
                if marked.get(segment)?.is_none() {
                    missing.push(segment);
                }
            }
            Ok(missing)
        };
        read().map_err(StoreError::database(&reader.index.path))
    };
    let blocks = unmarked(&reader.blocks, ends.blocks, index::FULL_BLOCKS)?;
    let chunks = unmarked(&reader.chunks, ends.chunks, index::FULL_CHUNKS)?;
    Ok(blocks.into_iter().map(Entry::FullBlocks).chain(chunks.into_iter().map(Entry::FullChunks)).collect())
}

fn recover(reader: &Reader, spec: &ChainSpec, contents: WalContents) -> Result<Recovered, StoreError> {
    let range = reader.range()?;
    let tip_height = range.map_or(Height::ZERO, |(_, last)| last);
    let first_height = range.map_or(Height::ZERO, |(first, _)| first);
    let tip = reader.head(tip_height)?.map(|head| Tip {
        header: head.header,
        certificate: head.certificate,
        snapshot: head.snapshot,
    });
    let window = u64::from(spec.limits.duplicate_window_blocks);
    let mut recent = Vec::new();
    for height in heights(tip_height.get().saturating_sub(window) + 1, tip_height) {
        if let Some(head) = reader.head(height)? {
            let flat = |(rollup, ids): (_, Vec<_>)| ids.into_iter().map(move |id| (rollup, id));
            recent.push((height, head.ids.into_iter().flat_map(flat).collect()));
        }
    }
    let founding = reader.founding().cloned();
    let mut system_log = Vec::new();
    if founding.is_none() {
        for height in heights(first_height.get(), tip_height) {
            let cut = reader.head(height)?.and_then(|head| Cut::decode(&head.cut).ok());
            system_log.extend(cut.into_iter().flat_map(|cut| cut.system).map(|message| (height, message)));
        }
    }
    let last_sealed = reader.latest_sealed()?;
    let mut unsealed = Vec::new();
    let sealed_height = last_sealed.as_ref().map_or(0, |header| header.last_height.get());
    for height in heights(sealed_height.saturating_add(1).max(first_height.get()), tip_height) {
        unsealed.extend(reader.block(height)?.map(Arc::new));
    }
    let mut uncertified = Vec::new();
    for height in heights(tip_height.get().saturating_sub(UNCERTIFIED_WINDOW) + 1, tip_height) {
        if reader.certified(height)?.is_none() {
            uncertified.extend(reader.header(height)?.map(|(header, _)| (height, header.hash())));
        }
    }
    let wal = contents.entries.into_iter().filter(|(height, _)| *height > tip_height).collect();
    Ok(Recovered {
        ordering: OrderingRecovered { tip, recent, wal, chunks: open_chunks(reader)? },
        ceremony_seed: contents.seed,
        key_material: contents.key_material,
        burns: contents.burns,
        founding,
        system_log,
        last_sealed,
        unsealed,
        uncertified,
    })
}

fn heights(first: u64, last: Height) -> impl Iterator<Item = Height> {
    (first.max(1)..=last.get()).map(Height::new)
}

/// Chunks that no cut covers, in the order written; the newest if there are too many.
fn open_chunks(reader: &Reader) -> Result<Vec<ordering_types::Chunk>, StoreError> {
    let read = || -> Result<Vec<Location>, redb::Error> {
        let table = reader.index.database.begin_read()?.open_table(index::OPEN_CHUNKS)?;
        let mut places = Vec::new();
        for row in table.iter()? {
            places.extend(Location::from_bytes(&row?.1.value()));
        }
        Ok(places)
    };
    let mut places = read().map_err(StoreError::database(&reader.index.path))?;
    places.sort_unstable_by_key(|at| (at.segment, at.offset));
    let skip = places.len().saturating_sub(MAX_RECOVERED_CHUNKS);
    places.into_iter().skip(skip).map(|at| reader.chunk_at(at)).collect()
}
