//! Opening the data folder and telling the core what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use batcher_format::SealedBatch;
use bytes::Bytes;
use ordering_types::codec;
use ordering_types::{ChainSpec, Cut, Digest, Height, SecretKey};
use redb::{ReadableDatabase, ReadableTable};

use super::StoreError;
use super::archive::Archive;
use super::carry::Carry;
use super::filing::{Archivist, Retention};
use super::ids::{self, Ids, IdsWriter};
use super::index::{self, BlockEntry, Entry, Index};
use super::indexer::{Group, Indexer, Keeper};
use super::journal::Journal;
use super::lock::{FRESH_FILE, Lock, REPLACED_FILE};
use super::posted::FinalBatch;
use super::prune::Pruner;
use super::reader::Reader;
use super::record::{self, Head, tips};
use super::scan::scan;
use super::secret::SecretBox;
use super::segments::{Checked, Kind, Location, Position, Segments};
use super::wal::{Rare, Wal, WalContents};
use super::writer::{Burnt, Store};
use crate::core_api::{
    Anchor, Checkpoint, Founding, LoggedBlock, OrderingRecovered, Recovered, Tip, UNCERTIFIED_WINDOW,
    system_log_after,
};

/// What must never be lost.
pub(crate) const WAL_FILE: &str = "wal.redb";
const INDEX_FILE: &str = "store.redb";
const IDS_FOLDER: &str = "ids";
const ARCHIVE_FOLDER: &str = "archive";
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
    /// How long sealed batches are kept beyond that.
    pub(crate) archive: Retention,
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
    let wal = Wal::open(&wal_path, fresh, SecretBox::new(options.key))?;
    let incarnation =
        wal.claim(folder, &options.key.public_key(), options.spec.hash(), options.now_micros)?;
    let contents = wal.contents()?;
    let segments = Segments::new(&segments_folder(folder, fresh)?, contents.journal_key);
    let founding = Arc::new(OnceLock::new());
    if let Some(stored) = decode_founding(&wal_path, contents.founding.as_deref())? {
        // It is new and empty.
        let _ = founding.set(stored);
    }
    let index = Index::open(&folder.join(INDEX_FILE), options.cache_bytes)?;
    let archive = Archive::open(&folder.join(ARCHIVE_FOLDER))?;
    let (ids, final_batch) = (Ids::default(), FinalBatch::default());
    let mut reader = Reader { index, ids, segments, archive, founding: Arc::clone(&founding), final_batch };
    let archivist = Archivist::open(&reader, options.archive)?;
    let end = catch_up(&reader, &contents)?;
    let journal = Journal::open(reader.segments.clone(), end)?;
    let end = journal.end();
    reader.index.add(&lacking(&reader, &wal)?, end, true)?;
    // From here on a missing journal is a lost one.
    wal.note_end(end)?;
    if fresh {
        fs::remove_file(&fresh_path).map_err(StoreError::io(&fresh_path))?;
    }
    let ids = catch_up_ids(&folder.join(IDS_FOLDER), &reader, &options.spec)?;
    reader.ids = ids.ids();
    let mut burnt = Burnt::default();
    let replaced = folder.join(REPLACED_FILE).exists();
    let recovered = recover(&reader, &options.spec, contents, replaced, &mut burnt)?;
    let (wal, carry) = (Arc::new(wal), Carry::default());
    let pruner = Pruner {
        reader: reader.clone(),
        carry: carry.clone(),
        wal: Arc::clone(&wal),
        archivist,
        retain: options.retain_blocks,
    };
    let spec = Arc::clone(&options.spec);
    let keeper = Keeper { index: reader.index.clone(), ids, pruner, wal: Arc::clone(&wal), spec };
    let indexer = Indexer::start(keeper, end).map_err(StoreError::io(folder))?;
    let (rare, group) = (Rare::default(), Group::default());
    let store = Store { journal, wal, rare, burnt, group, indexer, carry, founding, _lock: lock };
    Ok(Opened { store, reader, recovered, incarnation })
}

/// The handovers that the index lacks, after a crash, or because it is new.
fn lacking(reader: &Reader, wal: &Wal) -> Result<Vec<Entry>, StoreError> {
    let stored = wal.handovers()?;
    let held = reader.handover_count()?;
    let lacks = held < stored.len() as u64;
    Ok(stored.into_iter().filter(|_| lacks).map(Entry::Handover).collect())
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

pub(super) fn decode_founding(wal: &Path, stored: Option<&[u8]>) -> Result<Option<Founding>, StoreError> {
    let decode = |bytes| codec::decode(bytes, MAX_FOUNDING_BYTES);
    stored.map(decode).transpose().map_err(|e| StoreError::Damaged {
        file: wal.to_owned(),
        offset: 0,
        why: format!("founding: {e}"),
    })
}

/// Indexes what the journal holds beyond the index; gives the end of the good records.
fn catch_up(reader: &Reader, contents: &WalContents) -> Result<Position, StoreError> {
    for segment in reader.segments.list()?.into_iter().filter(|segment| *segment < contents.start) {
        let path = reader.segments.path(segment);
        fs::remove_file(&path).map_err(StoreError::io(&path))?;
    }
    let indexed = reader.index.end()?.max(Position { segment: contents.start, offset: 0 });
    // The end only moves once all is scanned: a crash meanwhile scans again.
    let commit = |entries: &mut Vec<Entry>, end| -> Result<(), StoreError> {
        reader.index.add(entries, end, false)?;
        entries.clear();
        Ok(())
    };
    let mut entries = Vec::new();
    let mut newest = None;
    let end = scan(&reader.segments, indexed, contents.end.max(indexed), |at, record| {
        let entry = entry(at, record).map_err(|why| reader.unreadable(at, &why))?;
        if let Some(Entry::Block(block)) = &entry {
            newest = newest.max(Some(block.height));
        }
        if let Some(Entry::Checkpoint { height, .. }) = &entry {
            newest = newest.filter(|block| block > height);
        }
        entries.extend(entry);
        if entries.len() < ENTRIES_A_COMMIT { Ok(()) } else { commit(&mut entries, indexed) }
    })?;
    commit(&mut entries, end)?;
    let held = reader.range()?.map(|(_, last)| last);
    if newest > held {
        return Err(reader.segments.damaged(
            end.segment,
            end.offset,
            "chunks of the newest block are missing",
        ));
    }
    Ok(end)
}

pub(super) fn entry(at: Location, record: Checked) -> Result<Option<Entry>, String> {
    let (kind, payload) = match record {
        Checked::Chunk(chunk) => {
            let (lane, sequence, digest) = (chunk.lane(), chunk.sequence().get(), chunk.digest());
            return Ok(Some(Entry::Chunk { lane, sequence, digest, at }));
        }
        Checked::Other(kind, payload) => (kind, payload),
    };
    let bad = |e: ordering_types::codec::DecodeError| e.to_string();
    Ok(Some(match kind {
        // A chunk is checked as one, so it never comes here.
        Kind::Group | Kind::Chunk => return Ok(None),
        Kind::Wal => {
            let (height, _) = record::decode_wal(&payload).ok_or("no entry of the consensus log")?;
            Entry::Wal { height, at }
        }
        Kind::Burn => {
            let (key, value): (Bytes, Bytes) = record::decode(&payload).map_err(bad)?;
            Entry::Burn { key, value, at }
        }
        Kind::Block => {
            let head: Head = record::decode(&payload).map_err(bad)?;
            let cut = Cut::decode(&head.cut).map_err(bad)?;
            let covered = head.covered.iter().map(|(digest, _)| *digest).collect();
            Entry::Block(BlockEntry { height: head.header.height, head: at, tips: tips(&cut), covered })
        }
        Kind::Checkpoint => {
            let checkpoint: Checkpoint = record::decode(&payload).map_err(bad)?;
            let lanes = record::decided_lanes(&checkpoint);
            Entry::Checkpoint { height: checkpoint.header.height, lanes, at }
        }
        Kind::Certified => {
            let (height, signature) = record::decode(&payload).map_err(bad)?;
            Entry::Certified { height, signature, at }
        }
        Kind::Sealed => {
            let batch: SealedBatch = record::decode(&payload).map_err(bad)?;
            Entry::Sealed { number: batch.header.number, last_height: batch.header.last_height, at }
        }
    }))
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

fn recover(
    reader: &Reader,
    spec: &ChainSpec,
    contents: WalContents,
    replaced: bool,
    burnt: &mut Burnt,
) -> Result<Recovered, StoreError> {
    let range = reader.range()?;
    let base = base(reader, range.map(|(first, _)| first))?;
    let base_height = base.as_ref().map_or(Height::ZERO, |(checkpoint, _)| checkpoint.header.height);
    let tip_height = range.map_or(base_height, |(_, last)| last);
    let first_height = range.map_or(base_height, |(first, _)| first);
    let tip = reader.head(tip_height)?.map(|head| Tip {
        header: head.header,
        certificate: head.certificate,
        snapshot: head.snapshot,
    });
    let anchor = base.as_ref().map(|(_, anchor)| anchor.clone());
    let tip = tip.or(base.map(|(Checkpoint { header, certificate, snapshot, .. }, _)| Tip {
        header,
        certificate,
        snapshot,
    }));
    let window = u64::from(spec.limits.duplicate_window_blocks);
    let mut recent = Vec::new();
    for height in heights(tip_height.get().saturating_sub(window) + 1, tip_height) {
        if let Some(head) = reader.head(height)? {
            let flat = |(rollup, ids): (_, Vec<_>)| ids.into_iter().map(move |id| (rollup, id));
            recent.push((height, head.ids.into_iter().flat_map(flat).collect()));
        }
    }
    if let Some(anchor) = &anchor {
        // The checkpoint's record may have reached the disk before that of the founding.
        let _ = reader.founding.set(anchor.founding.clone());
    }
    let founding = reader.founding().cloned();
    let snapshot = tip.as_ref().map(|tip| &tip.snapshot[..]);
    let system_log = match system_log_after(founding.is_some(), snapshot) {
        Some(after) => system_log(reader, after.next().max(first_height), tip_height)?,
        None => Vec::new(),
    };
    let handovers = snapshot.map_or(Ok(Vec::new()), |snapshot| reader.handovers(snapshot))?;
    let last_sealed = reader.latest_sealed()?.or(anchor.map(|anchor| anchor.batch));
    let mut unsealed = Vec::new();
    let sealed_height = last_sealed.as_ref().map_or(0, |header| header.last_height.get());
    for height in heights(sealed_height.saturating_add(1).max(first_height.get()), tip_height) {
        unsealed.extend(reader.block(height)?.map(Arc::new));
    }
    let mut uncertified = Vec::new();
    let certified = reader.newest_certified()?.map_or(0, Height::get);
    for height in heights(certified.max(tip_height.get().saturating_sub(UNCERTIFIED_WINDOW)) + 1, tip_height)
    {
        uncertified.extend(reader.header(height)?.map(|(header, _)| (height, header.hash())));
    }
    let mut burns = Vec::new();
    for (key, value) in burns_kept(reader)? {
        // Each was new when it was written.
        burnt.add(key);
        burns.push(value);
    }
    Ok(Recovered {
        ordering: OrderingRecovered {
            tip,
            recent,
            wal: open_log(reader, tip_height)?,
            chunks: open_chunks(reader)?,
            replaced,
        },
        ceremony_seeds: contents.seeds,
        key_material: contents.key_material,
        handovers,
        burns,
        founding,
        system_log,
        last_sealed,
        unsealed,
        uncertified,
    })
}

fn system_log(reader: &Reader, first: Height, last: Height) -> Result<Vec<LoggedBlock>, StoreError> {
    let mut log = Vec::new();
    for height in heights(first.get(), last) {
        let cut = reader.head(height)?.and_then(|head| Cut::decode(&head.cut).ok());
        let block = |cut: Cut| LoggedBlock { height, time_ms: cut.time_ms, messages: cut.system };
        log.extend(cut.map(block));
    }
    Ok(log)
}

/// The checkpoint that the blocks held go on from, if there is one.
fn base(reader: &Reader, first: Option<Height>) -> Result<Option<(Checkpoint, Anchor)>, StoreError> {
    let Some(at) = reader.index.checkpoint()? else { return Ok(None) };
    if !reader.segments.path(at.segment).exists() {
        return Ok(None); // It went with the blocks after it.
    }
    let checkpoint: Checkpoint = reader.record(at, Kind::Checkpoint)?;
    let follows = first.is_none_or(|first| first == checkpoint.header.height.next());
    if !follows {
        return Ok(None);
    }
    let anchor = Anchor::decode(&checkpoint.context).map_err(|e| reader.unreadable(at, &e.to_string()))?;
    Ok(Some((checkpoint, anchor)))
}

fn heights(first: u64, last: Height) -> impl Iterator<Item = Height> {
    (first.max(1)..=last.get()).map(Height::new)
}

/// Entries of the consensus log above the tip, in the order written.
fn open_log(reader: &Reader, tip: Height) -> Result<Vec<(Height, Bytes)>, StoreError> {
    let read = || -> Result<Vec<Location>, redb::Error> {
        let table = reader.index.database.begin_read()?.open_table(index::WAL)?;
        let mut places = Vec::new();
        for row in table.iter()? {
            places.extend(Location::from_bytes(&row?.0.value()));
        }
        Ok(places)
    };
    let mut entries = Vec::new();
    for at in read().map_err(StoreError::database(&reader.index.path))? {
        match reader.segments.read(at)? {
            Checked::Other(Kind::Wal, payload) => entries.extend(record::decode_wal(&payload)),
            _ => return Err(reader.unreadable(at, "no entry of the consensus log")),
        }
    }
    entries.retain(|(height, _)| *height > tip);
    Ok(entries)
}

/// Keys and values of the newest burns, in the order written.
fn burns_kept(reader: &Reader) -> Result<Vec<(Bytes, Vec<u8>)>, StoreError> {
    let read = || -> Result<Vec<(Bytes, Vec<u8>)>, redb::Error> {
        let table = reader.index.database.begin_read()?.open_table(index::BURNS)?;
        let mut burns = Vec::new();
        for row in table.iter()? {
            let (_, burn) = row?;
            let (key, value) = burn.value();
            burns.push((Bytes::copy_from_slice(key), value.to_vec()));
        }
        Ok(burns)
    };
    read().map_err(StoreError::database(&reader.index.path))
}

/// Chunks that no cut covers, in the order written; the newest if there are too many.
fn open_chunks(reader: &Reader) -> Result<Vec<ordering_types::Chunk>, StoreError> {
    let read = || -> Result<Vec<(Location, Digest)>, redb::Error> {
        let table = reader.index.database.begin_read()?.open_table(index::OPEN_CHUNKS)?;
        let mut places = Vec::new();
        for row in table.iter()? {
            let (key, place) = row?;
            let (.., digest) = key.value();
            places.extend(Location::from_bytes(&place.value()).map(|at| (at, Digest::new(digest))));
        }
        Ok(places)
    };
    let mut places = read().map_err(StoreError::database(&reader.index.path))?;
    places.sort_unstable();
    let skip = places.len().saturating_sub(MAX_RECOVERED_CHUNKS);
    places.into_iter().skip(skip).map(|(at, digest)| reader.chunk_at(at, digest)).collect()
}
