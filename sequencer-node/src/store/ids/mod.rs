//! Which block holds a transaction: sorted runs of our own, because a B-tree with random keys costs a page for each
//! of 60,000 transactions a second.
//!
//! ```text
//!   blocks ──▶ newest entries, in memory ──flush──▶ runs of 2^18 entries ──8 at a time──▶ 2^21 ──▶ 2^24 ──▶ 2^27
//! ```
//!
//! An entry is half of a digest (a transaction's id or its Ethereum hash, with the rollup mixed in) and where it is
//! ordered: height and place in the rollup's section. Half a digest may point at another transaction: whoever asks
//! compares the whole one.
//!
//! **Rules.** Runs cover heights without gaps and without overlap; the newest one that knows a key wins. Eight
//! neighbours of one size become one, so an unknown key costs at most [`MAX_RUNS_BELOW_TOP`] reads of a page or two,
//! and one more for each 2^27 entries kept. Old heights leave when their run is merged, or with their whole run.
//!
//! **Restart.** Everything here is derived from the blocks: what is missing, torn or out of order is thrown away and
//! filled again from them, and so is what only memory held.

mod memory;
mod merge;
mod run;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ordering_types::chain_spec::RollupKind;
use ordering_types::{ChainSpec, Digest, Height, RollupId, RollupSection, TxId};

use super::StoreError;
use memory::Memory;
use merge::Merging;
use run::Run;

/// Entries in memory before they become a run: 8 MiB.
const FLUSH_ENTRIES: usize = 1 << 18;
/// Blocks in memory before they become a run: so many are read again after a crash.
const FLUSH_BLOCKS: u64 = 1 << 14;
/// Runs that become one.
const FANOUT: usize = 8;
/// Sizes of runs; those beyond are left alone.
const TIERS: u32 = 3;
/// Runs below the largest size.
#[cfg_attr(not(test), expect(dead_code, reason = "a bound that the tests hold it to"))]
const MAX_RUNS_BELOW_TOP: usize = (FANOUT - 1) * TIERS as usize + FANOUT;

/// Where a transaction is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) height: Height,
    /// Place in its rollup's section.
    pub(super) place: u32,
}

/// One entry; the order of the fields is the order in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    key: u128,
    height: u64,
    place: u32,
}

/// Entries of a block: each transaction's id, and for `evm` rollups its Ethereum hash. `ids` are those of a section.
pub(super) fn entries<'a>(
    spec: &ChainSpec,
    height: Height,
    sections: &[RollupSection],
    ids: impl Fn(RollupId) -> Option<&'a [TxId]>,
) -> Vec<Entry> {
    let mut all = Vec::with_capacity(sections.iter().map(|s| s.transactions.len()).sum());
    for RollupSection { rollup, transactions } in sections {
        let entry = |(place, digest)| Entry { key: key(*rollup, digest), height: height.get(), place };
        all.extend((0..).zip(ids(*rollup).unwrap_or_default().iter().copied()).map(entry));
        if spec.rollup(*rollup).is_some_and(|r| r.kind == RollupKind::Evm) {
            all.extend((0..).zip(transactions.iter().map(|data| Digest::keccak256(&[data]))).map(entry));
        }
    }
    all
}

fn key(rollup: RollupId, digest: Digest) -> u128 {
    let (half, _) = digest.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u128::from_be_bytes(*half) ^ u128::from(rollup.get())
}

/// What readers see at one moment.
#[derive(Clone, Debug, Default)]
struct View {
    memory: Memory,
    /// Ascending by height.
    runs: Vec<Arc<Run>>,
}

/// Answers lookups; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    view: Arc<RwLock<View>>,
}

/// For fuzz targets: opens whatever runs stand in the folder and reads all of them.
#[cfg(feature = "fuzzing")]
pub(super) fn read_any(folder: &Path) {
    let heights = Some((Height::new(1), Height::new(2)));
    let Ok(opened) = IdsWriter::open(folder, heights) else { return };
    let view = opened.ids.view.read().unwrap_or_else(PoisonError::into_inner).clone();
    for run in &view.runs {
        for page in 0..run.pages() {
            let Ok(entries) = run.page(page) else { continue };
            entries.iter().for_each(|entry| _ = run.find(entry.key));
        }
    }
}

impl Ids {
    /// Where the newest transaction of `rollup` under this id or hash may be: the caller compares the whole digest.
    pub(super) fn find(&self, rollup: RollupId, digest: Digest) -> Result<Option<Spot>, StoreError> {
        let key = key(rollup, digest);
        // Only pointers are copied: no lookup holds up the writer.
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = view.memory.find(key);
        for run in view.runs.iter().rev() {
            if found.is_some() {
                break;
            }
            found = run.find(key)?;
        }
        Ok(found.map(|entry| Spot { height: Height::new(entry.height), place: entry.place }))
    }

    fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Adds blocks; owned by one thread.
pub(super) struct IdsWriter {
    folder: PathBuf,
    ids: Ids,
    merging: Option<Merging>,
    /// Heights below are forgotten.
    first: u64,
}

impl IdsWriter {
    /// Opens the folder, or makes it. `range` is what the blocks' index holds: runs that do not fit it are removed.
    pub(super) fn open(folder: &Path, range: Option<(Height, Height)>) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        let (first, last) = range.map_or((0, 0), |(first, last)| (first.get(), last.get()));
        let runs = run::open_all(folder, first, last)?.into_iter().map(Arc::new).collect();
        let view = View { memory: Memory::default(), runs };
        let ids = Ids { view: Arc::new(RwLock::new(view)) };
        Ok(Self { folder: folder.to_owned(), ids, merging: None, first })
    }

    /// For readers.
    pub(super) fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// The next height to add; with neither runs nor memory, any.
    pub(super) fn next(&self) -> Option<Height> {
        let view = self.ids.view.read().unwrap_or_else(PoisonError::into_inner);
        let last = view.memory.heights().map(|(_, last)| last).or(view.runs.last().map(|run| run.last));
        last.map(|last| Height::new(last + 1))
    }

    /// Adds the next block. Heights that are there already are left as they are.
    pub(super) fn add(&mut self, height: Height, mut entries: Vec<Entry>) -> Result<(), StoreError> {
        if self.next().is_some_and(|next| height < next) {
            return Ok(());
        }
        entries.sort_unstable();
        let memory = {
            let view = self.ids.view.read().unwrap_or_else(PoisonError::into_inner);
            view.memory.with(height.get(), entries)
        };
        let full = memory.is_full(FLUSH_ENTRIES, FLUSH_BLOCKS);
        self.ids.change(|view| view.memory = memory);
        if full { self.flush() } else { Ok(()) }
    }

    /// Makes a run of what is in memory.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let memory = self.ids.view.read().unwrap_or_else(PoisonError::into_inner).memory.clone();
        if let Some((first, last)) = memory.heights() {
            let run = Arc::new(run::write(&self.folder, (first, last), memory.sorted().into_iter().map(Ok))?);
            self.ids.change(|view| {
                view.memory = Memory::default();
                view.runs.push(run);
            });
        }
        self.merge()
    }

    /// Takes in a finished merge and starts the next one that is due.
    fn merge(&mut self) -> Result<(), StoreError> {
        if let Some(merging) = self.merging.take_if(|merging| merging.is_finished()) {
            self.replace(merging.finish()?)?;
        }
        if self.merging.is_some() {
            return Ok(());
        }
        let runs = self.ids.view.read().unwrap_or_else(PoisonError::into_inner).runs.clone();
        if let Some(due) = merge::due(&runs) {
            self.merging = Some(Merging::start(&self.folder, due, self.first)?);
        }
        Ok(())
    }

    fn replace(&self, run: Run) -> Result<(), StoreError> {
        let run = Arc::new(run);
        let mut old = Vec::new();
        self.ids.change(|view| {
            let within = |other: &Run| run.first <= other.first && other.last <= run.last;
            let place = view.runs.partition_point(|other| other.first < run.first);
            old = view.runs.extract_if(.., |other| within(other)).collect();
            view.runs.insert(place.min(view.runs.len()), Arc::clone(&run));
        });
        // A merge of all the same heights has the name of none of these.
        old.iter().filter(|old| old.path != run.path).try_for_each(|old| run::remove(&old.path))
    }

    /// Forgets runs whose every block is below `first`.
    pub(super) fn forget(&mut self, first: Height) -> Result<(), StoreError> {
        self.first = first.get();
        if self.merging.is_some() {
            return self.merge();
        }
        let mut old = Vec::new();
        self.ids.change(|view| old = view.runs.extract_if(.., |run| run.last < first.get()).collect());
        old.iter().try_for_each(|run| run::remove(&run.path))
    }

    /// Writes what is in memory and waits for a merge, if one runs.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        match self.merging.take() {
            Some(merging) => self.replace(merging.finish()?),
            None => Ok(()),
        }
    }
}
