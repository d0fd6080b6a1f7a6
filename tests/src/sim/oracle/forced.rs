//! Forced inclusion: what stands in the queue of L1 is ordered in its order, once, before everything else of its block, and nothing else is called forced.

use node_core::api::Decided;
use ordering_types::ForcedEntry;

use super::Violation;
use crate::sim::genesis::ROLLUPS;

/// The queue, and how far the chain has worked it off.
#[derive(Debug, Default)]
pub(super) struct Forced {
    queue: Vec<ForcedEntry>,
    cursor: usize,
}

impl Forced {
    /// Another entry on L1.
    pub(super) fn enqueued(&mut self, entry: &ForcedEntry) {
        self.queue.push(entry.clone());
    }

    /// A new block, in order.
    pub(super) fn block(&mut self, decided: &Decided) -> Option<Violation> {
        let header = &decided.block.header;
        let height = header.height;
        let broken = |seen: String| Some(Violation { promise: "forced inclusion", seen });
        let cursor = usize::try_from(header.forced_cursor).unwrap_or(usize::MAX);
        let Some(consumed) = self.queue.get(self.cursor..cursor) else {
            let (from, count) = (self.cursor, self.queue.len());
            return broken(format!("block {height} goes from entry {from} to {cursor}, L1 has {count}"));
        };
        let served = |entry: &&ForcedEntry| ROLLUPS.iter().any(|(id, _)| *id == entry.rollup.get());
        let due: Vec<&ForcedEntry> = consumed.iter().filter(served).collect();
        self.cursor = cursor;
        if !decided.forced.iter().eq(due.iter().copied()) {
            return broken(format!("block {height} has other entries than L1"));
        }
        for (rollup, _) in ROLLUPS {
            let first = due.iter().filter(|entry| entry.rollup.get() == rollup).map(|entry| &entry.data);
            let section = decided.block.sections.iter().find(|section| section.rollup.get() == rollup);
            let begins = section.map_or(&[][..], |section| section.transactions.as_slice());
            if !first.eq(begins.iter().take(due.iter().filter(|entry| entry.rollup.get() == rollup).count()))
            {
                return broken(format!("block {height} does not begin with its entries"));
            }
        }
        None
    }

    /// Entries that no block has.
    pub(super) fn owed(&self) -> Option<Violation> {
        let missing = self.queue.len().saturating_sub(self.cursor);
        let seen = format!("{missing} of {} entries are not ordered", self.queue.len());
        (missing > 0).then_some(Violation { promise: "forced inclusion", seen })
    }
}
