//! The disk thread: writes records, syncs once a group, then lets go of what waited.
//!
//! Blocks are told without waiting for this node's own record of them: the votes that decided them waited for the disks of a
//! quorum, and after a crash of everybody the same votes decide the same block again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ordering_types::{Digest, Epoch, Height};
use rollup::wire::Certified;
use tokio::sync::broadcast;
use tracing::Span;

use super::Outbound;
use super::events::Event;
use super::handle::Counters;
use crate::core_api::{Class, Evidence, OrderingRecord, Output, Recipient, Record};
use crate::evidence::EvidenceFolder;
use crate::store::{Reader, Store, StoreError};

/// Bytes that may wait for the disk; then the core waits.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Records that nothing waits for are written at the latest after this time, and synced with what is.
const PATIENCE: Duration = Duration::from_millis(20);
/// Or as soon as there is so much of them.
const MANY_BYTES: usize = 256 << 10;
/// What an operation costs beside its bytes.
const OPERATION_COST: usize = 512;
/// Header hashes of the newest blocks, kept for their soft confirmations.
const MAX_HEADERS: usize = 4_096;
/// Blocks whose soft confirmation is timed; the oldest go first.
const MAX_SPANS: usize = 256;

/// Something for the disk thread, in the core's order.
#[derive(Debug)]
pub(super) enum Operation {
    Persist(Record),
    Send {
        to: Recipient,
        class: Class,
        bytes: Bytes,
    },
    /// Only outputs that are events.
    Tell(Output),
    /// What convinces others of a validator's misdeed.
    Keep(Box<Evidence>),
}

impl Operation {
    fn cost(&self) -> usize {
        OPERATION_COST
            + match self {
                Self::Persist(Record::Ordering(OrderingRecord::Chunk(chunk))) => chunk.bytes().len(),
                Self::Persist(Record::Ordering(OrderingRecord::Wal { entry, .. })) => entry.len(),
                Self::Persist(Record::Ordering(OrderingRecord::Decided(decided))) => {
                    decided.cut_bytes.len()
                        + decided
                            .block
                            .sections
                            .iter()
                            .flat_map(|s| &s.transactions)
                            .map(Bytes::len)
                            .sum::<usize>()
                }
                Self::Persist(Record::Ordering(OrderingRecord::Checkpoint(checkpoint))) => {
                    checkpoint.snapshot.len()
                }
                Self::Persist(Record::Sealed(batch)) => batch.encoded.payload.len(),
                Self::Keep(evidence) => evidence.bytes(),
                Self::Persist(_) | Self::Tell(_) => 0,
                Self::Send { bytes, .. } => bytes.len(),
            }
    }
}

/// Operations on their way to the disk thread.
#[derive(Debug, Default)]
pub(super) struct DiskQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    operations: VecDeque<Operation>,
    bytes: usize,
    /// Something among them should not wait: it leaves the node, or there is much.
    urgent: bool,
    closed: bool,
}

impl DiskQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an operation; waits while too many bytes wait. False: the disk thread has stopped.
    #[must_use]
    pub(super) fn push(&self, operation: Operation) -> bool {
        let cost = operation.cost();
        let mut state = self.lock();
        while state.bytes > MAX_WAITING_BYTES && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return false;
        }
        state.bytes += cost;
        let urgent = !matches!(operation, Operation::Persist(_)) || state.bytes >= MANY_BYTES;
        state.operations.push_back(operation);
        if urgent && !state.urgent {
            state.urgent = true;
            self.changed.notify_all();
        }
        true
    }

    /// Everything that waits, as soon as something is urgent, and at the latest after [`PATIENCE`]; `None` once the queue is
    /// closed and empty.
    fn take(&self) -> Option<VecDeque<Operation>> {
        let state = self.lock();
        let idle = |state: &mut State| !state.urgent && !state.closed;
        let waited = self.changed.wait_timeout_while(state, PATIENCE, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed && state.operations.is_empty() {
            return None;
        }
        state.urgent = false;
        if state.bytes > MAX_WAITING_BYTES {
            self.changed.notify_all();
        }
        state.bytes = 0;
        Some(std::mem::take(&mut state.operations))
    }

    /// No more operations come; or, from the other side, nobody takes them any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// The thread's state.
pub(super) struct Disk<S> {
    pub(super) queue: Arc<DiskQueue>,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) evidence: EvidenceFolder,
    pub(super) outbound: S,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) counters: Arc<Counters>,
    /// Since when there are records that are written and not synced.
    pub(super) unsynced: Option<Instant>,
    pub(super) headers: BTreeMap<Height, (Epoch, Digest)>,
    /// Blocks on their way from ordered to softly confirmed: for whoever traces the node.
    pub(super) unconfirmed: BTreeMap<Height, Span>,
}

impl<S: Outbound> Disk<S> {
    /// Runs until the queue is closed, then closes the store.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        let queue = Arc::clone(&self.queue);
        let outcome = loop {
            let Some(group) = queue.take() else { break Ok(()) };
            if let Err(error) = self.group(group) {
                break Err(error);
            }
        };
        queue.close();
        outcome?;
        self.store.close()
    }

    fn group(&mut self, group: VecDeque<Operation>) -> Result<(), StoreError> {
        let mut held = Vec::new();
        for operation in group {
            match operation {
                Operation::Persist(record) => {
                    self.unsynced.get_or_insert_with(Instant::now);
                    self.store.write(record)?;
                }
                Operation::Send { to, class, bytes } if self.unsynced.is_some() => {
                    held.push((to, class, bytes));
                }
                Operation::Send { to, class, bytes } => self.outbound.send(to, class, &bytes),
                Operation::Tell(output) => self.tell(output)?,
                Operation::Keep(evidence) => self.evidence.keep(&evidence),
            }
        }
        // What nobody waits for is synced with the next that somebody does.
        if self.unsynced.is_some_and(|since| !held.is_empty() || since.elapsed() >= PATIENCE) {
            self.sync()?;
        }
        held.into_iter().for_each(|(to, class, bytes)| self.outbound.send(to, class, &bytes));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let start = Instant::now();
        self.store.sync()?;
        self.unsynced = None;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.counters.sync_micros.fetch_add(micros, Ordering::Relaxed);
        Ok(())
    }

    fn tell(&mut self, output: Output) -> Result<(), StoreError> {
        let event = match output {
            Output::Ordered(decided) => {
                let header = &decided.block.header;
                self.counters.transactions.fetch_add(header.tx_count.into(), Ordering::Relaxed);
                self.headers.insert(header.height, (header.epoch, decided.certificate.header));
                if self.headers.len() > MAX_HEADERS {
                    self.headers.pop_first();
                }
                // OpenTelemetry has no unsigned numbers; they would become texts.
                let number = i64::try_from(header.height.get()).unwrap_or(i64::MAX);
                let transactions = i64::from(header.tx_count);
                let span = tracing::info_span!(parent: None, "block", height = number, transactions);
                self.unconfirmed.insert(header.height, span);
                if self.unconfirmed.len() > MAX_SPANS {
                    self.unconfirmed.pop_first();
                }
                Event::Ordered(decided)
            }
            Output::Certified { height, signature } => {
                // They end here.
                self.unconfirmed = self.unconfirmed.split_off(&height.next());
                self.counters.certified.fetch_max(height.get(), Ordering::Relaxed);
                let header = match self.headers.get(&height) {
                    Some(known) => Some(*known),
                    None => self.reader.header(height)?.map(|(header, c)| (header.epoch, c.header)),
                };
                let Some((epoch, header)) = header else { return Ok(()) };
                Event::Certified(Certified { epoch, height, header, signature })
            }
            Output::Sealed(batch) => {
                self.counters.sealed.fetch_max(batch.header.number, Ordering::Relaxed);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let ordered = match &event {
            Event::Ordered(decided) => Some(decided.block.header.height),
            _ => None,
        };
        // Nobody listening is fine.
        let _ = self.events.send(event);
        // After the event: whoever sees the height without having got the event was late and reads the store.
        if let Some(height) = ordered {
            self.counters.height.store(height.get(), Ordering::Release);
        }
        Ok(())
    }
}
