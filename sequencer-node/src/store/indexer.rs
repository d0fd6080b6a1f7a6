//! The thread that keeps the index: off the path of votes, a few milliseconds behind.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ordering_types::{ChainSpec, LaneId};

use super::StoreError;
use super::ids::{self, IdsWriter};
use super::index::{BlockEntry, Entry, Index};
use super::log::Location;
use super::prune::Pruner;
use super::wal::Ends;
use crate::core_api::Decided;

/// Groups that may wait; then writing waits for the index.
const MAX_WAITING_GROUPS: usize = 256;
/// Entries in one commit of the index.
const MAX_ENTRIES: usize = 8_192;
/// The index is made durable this often: so much is scanned again after a crash.
const DURABLE_INTERVAL: Duration = Duration::from_secs(1);

/// Something synced that is to be indexed.
#[derive(Debug)]
pub(super) enum Staged {
    /// A block and where its two records stand.
    Block { decided: Arc<Decided>, head: Location, body: Location },
    /// Anything else.
    Other(Entry),
}

/// What waits for the next commit.
#[derive(Default)]
struct Waiting {
    entries: Vec<Entry>,
    blocks: Vec<Arc<Decided>>,
}

impl Waiting {
    fn take_in(&mut self, staged: Vec<Staged>) {
        for one in staged {
            self.entries.push(match one {
                Staged::Other(entry) => entry,
                Staged::Block { decided, head, body } => {
                    let (height, tips) = (decided.block.header.height, tips(&decided.cut));
                    self.blocks.push(decided);
                    Entry::Block(Box::new(BlockEntry { height, head, body, tips }))
                }
            });
        }
    }
}

/// Lane and highest sequence that a cut covers.
pub(super) fn tips(cut: &ordering_types::Cut) -> Vec<(LaneId, u64)> {
    cut.tips.iter().map(|tip| (tip.lane, tip.sequence.get())).collect()
}

/// Handle of the thread.
pub(super) struct Indexer {
    groups: Option<SyncSender<(Vec<Staged>, Ends)>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Indexer {
    pub(super) fn start(
        index: Index,
        ids: IdsWriter,
        pruner: Pruner,
        spec: Arc<ChainSpec>,
        ends: Ends,
    ) -> std::io::Result<Self> {
        let (groups, receiver) = sync_channel(MAX_WAITING_GROUPS);
        let worker = Worker { index, ids, pruner, spec, ends, last_durable: Instant::now(), dirty: false };
        let thread =
            std::thread::Builder::new().name("index".to_owned()).spawn(move || worker.run(&receiver))?;
        Ok(Self { groups: Some(groups), thread: Some(thread) })
    }

    /// Hands over one synced group; waits while too many wait.
    pub(super) fn add(&mut self, staged: Vec<Staged>, ends: Ends) -> Result<(), StoreError> {
        let sent = self.groups.as_ref().is_some_and(|groups| groups.send((staged, ends)).is_ok());
        // The thread only ends early with an error.
        if sent { Ok(()) } else { self.close() }
    }

    /// Waits for the thread to finish what it has.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.groups = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

struct Worker {
    index: Index,
    ids: IdsWriter,
    pruner: Pruner,
    spec: Arc<ChainSpec>,
    ends: Ends,
    last_durable: Instant,
    dirty: bool,
}

impl Worker {
    fn run(mut self, groups: &Receiver<(Vec<Staged>, Ends)>) -> Result<(), StoreError> {
        loop {
            match groups.recv_timeout(DURABLE_INTERVAL) {
                Ok(first) => self.add(first, groups)?,
                Err(RecvTimeoutError::Timeout) if self.dirty => self.commit(Waiting::default(), true)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit(Waiting::default(), true)?;
                    return self.ids.close();
                }
            }
        }
    }

    fn add(
        &mut self,
        (staged, ends): (Vec<Staged>, Ends),
        groups: &Receiver<(Vec<Staged>, Ends)>,
    ) -> Result<(), StoreError> {
        let mut waiting = Waiting::default();
        waiting.take_in(staged);
        self.ends = ends;
        while waiting.entries.len() < MAX_ENTRIES {
            let Ok((staged, ends)) = groups.try_recv() else { break };
            waiting.take_in(staged);
            self.ends = ends;
        }
        let durable = self.last_durable.elapsed() >= DURABLE_INTERVAL;
        self.commit(waiting, durable)
    }

    fn commit(&mut self, waiting: Waiting, durable: bool) -> Result<(), StoreError> {
        self.index.add(&waiting.entries, self.ends, durable)?;
        self.dirty = !durable;
        // After the index: whoever finds an id finds its block.
        for decided in waiting.blocks {
            let (height, sections) = (decided.block.header.height, &decided.block.sections);
            let entries = ids::entries(&self.spec, height, sections, |rollup| decided.tree.leaves(rollup));
            self.ids.add(height, entries)?;
        }
        if durable {
            self.last_durable = Instant::now();
            self.pruner.step()?;
            self.ids.forget(self.pruner.first()?)?;
        }
        Ok(())
    }
}
