//! L1 in small: it finalizes blocks, follows handovers that are signed and behind the batches before them, takes entries into its forced-inclusion
//! queue, and is down at times.

use std::collections::VecDeque;
use std::time::Duration;

use ordering_types::{Epoch, ForcedEntry, ForcedMessage, ForcedTelling, QueueMark};

/// Finalized blocks come so often.
pub const L1_BLOCK: Duration = Duration::from_millis(150);
/// What is posted is final so many blocks later.
const FINAL_AFTER: usize = 8;

/// An outage: from which time on, after the start, and for how long no block is finalized and nothing can be posted.
pub type Outage = (Duration, Duration);

/// The inbox, as final blocks show it.
#[derive(Default)]
pub struct L1 {
    /// Whose key the inbox had after the newest blocks, oldest first.
    posted: VecDeque<u64>,
    /// Whose key it has after the newest final block.
    epoch: u64,
    /// The forced-inclusion queue, as final blocks show it.
    entries: Vec<ForcedEntry>,
    queue: QueueMark,
}

impl L1 {
    /// Another block, with which everything up to this epoch is posted. Returns the epoch of the newest final block.
    pub fn block(&mut self, posted: u64) -> Epoch {
        self.posted.push_back(posted);
        if self.posted.len() > FINAL_AFTER {
            self.epoch = self.posted.pop_front().unwrap_or_default();
        }
        self.epoch()
    }

    /// Another entry of the queue.
    pub fn enqueue(&mut self, entry: ForcedEntry) {
        self.queue = self.queue.with(&entry.leaf());
        self.entries.push(entry);
    }

    /// The whole queue.
    pub const fn queue(&self) -> QueueMark {
        self.queue
    }

    /// What is told of the queue between the two.
    pub fn telling(&self, from: QueueMark, to: QueueMark) -> Option<ForcedMessage> {
        let (first, end) = (usize::try_from(from.count).ok()?, usize::try_from(to.count).ok()?);
        let mut telling = ForcedTelling::after(from);
        self.entries.get(first..end)?.iter().for_each(|entry| telling.push(entry.clone()));
        (telling.end() == to).then(|| telling.finish())?
    }

    /// Whose key the inbox has for good.
    pub const fn epoch(&self) -> Epoch {
        Epoch::new(self.epoch)
    }
}
