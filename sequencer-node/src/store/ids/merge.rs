//! Making one run of several neighbours, on a thread of its own: a large merge takes seconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::run::{self, Run};
use super::{Entry, FANOUT, FLUSH_ENTRIES, StoreError, TIERS};

/// A merge under way.
pub(super) struct Merging(JoinHandle<Result<Run, StoreError>>);

impl Merging {
    /// Merges neighbours; entries of heights below `first` are left out.
    pub(super) fn start(folder: &Path, runs: Vec<Arc<Run>>, first: u64) -> Result<Self, StoreError> {
        let at = folder.to_owned();
        let work = move || {
            crate::priority::give_way();
            merge(&at, &runs, first)
        };
        let thread = std::thread::Builder::new().name("merge".to_owned()).spawn(work);
        Ok(Self(thread.map_err(StoreError::io(folder))?))
    }

    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for it.
    pub(super) fn finish(self) -> Result<Run, StoreError> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Which neighbours are to become one: at the lowest size first, those at the newest end that are no larger.
pub(super) fn due(runs: &[Arc<Run>]) -> Option<Vec<Arc<Run>>> {
    (0..TIERS).find_map(|tier| {
        let start = runs.iter().rposition(|run| tier_of(run.entries) > tier).map_or(0, |place| place + 1);
        runs.get(start..).filter(|tail| tail.len() >= FANOUT).map(<[_]>::to_vec)
    })
}

fn tier_of(entries: u64) -> u32 {
    (1..=TIERS).take_while(|tier| entries >= (FLUSH_ENTRIES * FANOUT.pow(*tier)) as u64).count() as u32
}

fn merge(folder: &Path, runs: &[Arc<Run>], first: u64) -> Result<Run, StoreError> {
    let heights = runs.iter().map(|run| run.first).min().zip(runs.iter().map(|run| run.last).max());
    let mut sources: Vec<Source> = runs.iter().map(|run| Source::new(Arc::clone(run))).collect();
    let mut heads = BinaryHeap::new();
    for (place, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next()?.map(|entry| Reverse((entry, place))));
    }
    let mut step = || -> Result<Option<Entry>, StoreError> {
        let Some(Reverse((entry, place))) = heads.pop() else { return Ok(None) };
        if let Some(source) = sources.get_mut(place) {
            heads.extend(source.next()?.map(|entry| Reverse((entry, place))));
        }
        Ok(Some(entry))
    };
    let merged = std::iter::from_fn(|| step().transpose())
        .filter(|entry| entry.as_ref().map_or(true, |entry| entry.height >= first));
    run::write(folder, heights.unwrap_or_default(), merged)
}

/// The entries of one run, page by page.
struct Source {
    run: Arc<Run>,
    page: usize,
    entries: std::vec::IntoIter<Entry>,
}

impl Source {
    fn new(run: Arc<Run>) -> Self {
        Self { run, page: 0, entries: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            if self.page == self.run.pages() {
                return Ok(None);
            }
            self.entries = self.run.page(self.page)?.into_iter();
            self.page += 1;
        }
    }
}
