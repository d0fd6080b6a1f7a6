//! The thread that keeps the index: off the path of votes, a few milliseconds behind.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ordering_types::ChainSpec;

use super::StoreError;
use super::ids::{self, IdsWriter};
use super::index::{Entry, Index};
use super::prune::Pruner;
use super::segments::Position;
use super::wal::Wal;
use crate::core_api::Decided;

/// Groups that may wait; then writing waits for the index.
const MAX_WAITING_GROUPS: usize = 256;
/// Entries in one commit of the index.
const MAX_ENTRIES: usize = 8_192;
/// Groups are gathered for so long: a commit costs about the same for one as for many.
const GATHER: Duration = Duration::from_millis(10);
/// The index is made durable this often: so much is scanned again after a crash.
const DURABLE_INTERVAL: Duration = Duration::from_secs(1);

/// What one sync made durable.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    /// The blocks among them.
    pub(super) blocks: Vec<Arc<Decided>>,
    /// Up to where the journal then is synced.
    pub(super) end: Position,
}

/// Handle of the thread.
pub(super) struct Indexer {
    groups: Option<SyncSender<Group>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Indexer {
    /// Starts the thread; `end` is where the journal is indexed up to.
    pub(super) fn start(keeper: Keeper, end: Position) -> std::io::Result<Self> {
        let (groups, receiver) = sync_channel(MAX_WAITING_GROUPS);
        let worker = Worker { keeper, end, last_durable: Instant::now(), dirty: false, time_ms: 0 };
        let thread =
            std::thread::Builder::new().name("index".to_owned()).spawn(move || worker.run(&receiver))?;
        Ok(Self { groups: Some(groups), thread: Some(thread) })
    }

    /// Hands over one synced group; waits while too many wait.
    pub(super) fn add(&mut self, group: Group) -> Result<(), StoreError> {
        let sent = self.groups.as_ref().is_some_and(|groups| groups.send(group).is_ok());
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

/// What the thread keeps up to date.
pub(super) struct Keeper {
    pub(super) index: Index,
    pub(super) ids: IdsWriter,
    pub(super) pruner: Pruner,
    pub(super) wal: Arc<Wal>,
    pub(super) spec: Arc<ChainSpec>,
}

struct Worker {
    keeper: Keeper,
    end: Position,
    last_durable: Instant,
    dirty: bool,
    /// Time of the newest block since the start, milliseconds since 1970.
    time_ms: u64,
}

impl Worker {
    fn run(mut self, groups: &Receiver<Group>) -> Result<(), StoreError> {
        crate::priority::give_way();
        loop {
            match groups.recv_timeout(DURABLE_INTERVAL) {
                Ok(first) => {
                    std::thread::sleep(GATHER);
                    self.add(first, groups)?;
                }
                Err(RecvTimeoutError::Timeout) if self.dirty => self.commit(&Group::default(), true)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit(&Group::default(), true)?;
                    return self.keeper.ids.close();
                }
            }
        }
    }

    fn add(&mut self, mut group: Group, groups: &Receiver<Group>) -> Result<(), StoreError> {
        while group.entries.len() < MAX_ENTRIES {
            let Ok(next) = groups.try_recv() else { break };
            group.entries.extend(next.entries);
            group.blocks.extend(next.blocks);
            group.end = next.end;
        }
        self.end = group.end;
        let durable = self.last_durable.elapsed() >= DURABLE_INTERVAL;
        self.commit(&group, durable)
    }

    fn commit(&mut self, group: &Group, durable: bool) -> Result<(), StoreError> {
        let Keeper { index, ids, pruner, wal, spec } = &mut self.keeper;
        index.add(&group.entries, self.end, durable)?;
        self.dirty = !durable;
        // After the index: whoever finds an id finds its block.
        for decided in &group.blocks {
            let (height, sections) = (decided.block.header.height, &decided.block.sections);
            self.time_ms = self.time_ms.max(decided.block.header.time_ms);
            ids.add(height, ids::entries(spec, height, sections, |rollup| decided.tree.leaves(rollup)))?;
        }
        if durable {
            self.last_durable = Instant::now();
            wal.note_end(self.end)?;
            pruner.step(self.end, self.time_ms)?;
            ids.forget(pruner.first()?)?;
        }
        Ok(())
    }
}
