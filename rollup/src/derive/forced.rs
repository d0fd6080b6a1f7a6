//! The forced-inclusion queue, as L1 shows it beside the batches.
//!
//! # Rules
//! 1. A batch *covers* the entries from the forced cursor of the batch before up to its own, each in the block in which the cursor passes it. There it
//!    stands before the other transactions of its rollup.
//! 2. What is covered and not there was left out, whatever the committee signed: it has its effect right after the batch's last block.
//! 3. What escaped has its effect where it did: after the batches that were posted until then. A batch that covers it later leaves it out.
//! 4. An entry of a rollup that the chain specification does not have, or larger than its blocks, takes its index and has no effect.
//!
//! Of a rollup with data policy `committee` L1 shows no transactions: what is covered counts as being there.

use std::collections::VecDeque;

use batcher_format::{BatchHeader, Content, DecodedBlock};
use bytes::Bytes;
use ordering_types::{ChainSpec, Digest, ForcedEntry, Height, QueueMark, RollupId};

/// An entry that has its effect by itself, in no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedTransaction {
    /// Its index in the queue.
    pub index: u64,
    /// Its rollup.
    pub rollup: RollupId,
    /// Its bytes.
    pub data: Bytes,
}

/// Where a block has an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForcedPlace {
    /// Its index in the queue.
    pub index: u64,
    /// Its rollup.
    pub rollup: RollupId,
    /// The block.
    pub height: Height,
    /// Whether it had its effect before, by an escape: then it is left out here. Where L1 has the data it is taken out already.
    pub escaped: bool,
}

/// The entries of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) places: Vec<ForcedPlace>,
    pub(super) omitted: Vec<ForcedTransaction>,
}

/// Why what an endpoint shows is no queue, or not that of its batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// An entry is missing, or comes twice.
    #[error("entry {got} of the forced-inclusion queue follows entry {expected}")]
    Order {
        /// The index that comes next.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// Its bytes are not what the contract hashed.
    #[error("entry {0} of the forced-inclusion queue has other bytes than the contract took")]
    Accumulator(u64),
    /// A batch or an escape goes beyond it.
    #[error("L1 shows {count} entries of the forced-inclusion queue, and {cursor} are said to be consumed")]
    Beyond {
        /// Entries that were shown.
        count: u64,
        /// The cursor.
        cursor: u64,
    },
    /// An escape from elsewhere than where batches and escapes before have come to.
    #[error("an escape begins at entry {got}, it should at {expected}")]
    Escape {
        /// Where the next one begins.
        expected: u64,
        /// Where this one does.
        got: u64,
    },
}

/// The queue up to what was read, and how far it has had its effect.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// All that were ever made.
    end: QueueMark,
    /// From the cursor on.
    entries: VecDeque<ForcedEntry>,
    /// What batches cover.
    cursor: u64,
    /// What escaped, or was covered before that.
    escaped: u64,
}

impl Queue {
    /// The next entry, as it was logged.
    pub(super) fn push(
        &mut self,
        index: u64,
        entry: ForcedEntry,
        accumulator: Digest,
    ) -> Result<(), QueueError> {
        if index != self.end.count {
            return Err(QueueError::Order { expected: self.end.count, got: index });
        }
        let end = self.end.with(&entry.leaf());
        if end.accumulator != accumulator {
            return Err(QueueError::Accumulator(index));
        }
        self.end = end;
        self.entries.push_back(entry);
        Ok(())
    }

    /// Rules 1 to 3 for a batch that takes effect; what escaped before is taken out of its blocks. Without blocks nothing of it is there.
    pub(super) fn cover(
        &mut self,
        header: &BatchHeader,
        blocks: &mut [DecodedBlock],
        spec: &ChainSpec,
    ) -> Result<Covered, QueueError> {
        self.check(header.forced_cursor)?;
        let mut covered = Covered::default();
        for block in blocks {
            while self.cursor < block.forced_cursor.min(header.forced_cursor) {
                self.cover_next(Some(block), &mut covered, spec);
            }
        }
        while self.cursor < header.forced_cursor {
            self.cover_next(None, &mut covered, spec);
        }
        Ok(covered)
    }

    fn cover_next(&mut self, block: Option<&mut DecodedBlock>, covered: &mut Covered, spec: &ChainSpec) {
        let (index, escaped) = (self.cursor, self.cursor < self.escaped);
        self.cursor += 1;
        let Some(ForcedEntry { rollup, data }) = self.entries.pop_front() else { return };
        if !has_effect(&data, rollup, spec) {
            return;
        }
        let before = &covered.places;
        let height =
            block.and_then(|block| is_next(block, rollup, before, &data, escaped).then_some(block.height));
        match height {
            Some(height) => covered.places.push(ForcedPlace { index, rollup, height, escaped }),
            None if escaped => {}
            None => covered.omitted.push(ForcedTransaction { index, rollup, data }),
        }
    }

    /// Rule 3: what has its effect now.
    pub(super) fn escape(
        &mut self,
        (from, to): (u64, u64),
        spec: &ChainSpec,
    ) -> Result<Vec<ForcedTransaction>, QueueError> {
        let expected = self.cursor.max(self.escaped);
        if from != expected {
            return Err(QueueError::Escape { expected, got: from });
        }
        self.check(to)?;
        self.escaped = self.escaped.max(to);
        let place = |index: u64| usize::try_from(index - self.cursor).unwrap_or(usize::MAX);
        let entries = (from..to).filter_map(|index| Some((index, self.entries.get(place(index))?)));
        let effective = entries.filter(|(_, entry)| has_effect(&entry.data, entry.rollup, spec));
        let transaction = |(index, entry): (u64, &ForcedEntry)| ForcedTransaction {
            index,
            rollup: entry.rollup,
            data: entry.data.clone(),
        };
        Ok(effective.map(transaction).collect())
    }

    const fn check(&self, cursor: u64) -> Result<(), QueueError> {
        let count = self.end.count;
        if cursor > count { Err(QueueError::Beyond { count, cursor }) } else { Ok(()) }
    }
}

/// Rule 4.
fn has_effect(data: &Bytes, rollup: RollupId, spec: &ChainSpec) -> bool {
    data.len() <= spec.largest_transaction(rollup)
}

/// Whether a block has these bytes in a rollup's section after the places before; if so, and they are to go, they are taken out.
fn is_next(
    block: &mut DecodedBlock,
    rollup: RollupId,
    before: &[ForcedPlace],
    data: &Bytes,
    take_out: bool,
) -> bool {
    let Some(section) = block.sections.iter_mut().find(|section| section.rollup == rollup) else {
        return false;
    };
    let before = || before.iter().filter(|one| one.height == block.height && one.rollup == rollup);
    match &mut section.content {
        Content::Commitment { count, .. } => (before().count() as u64) < u64::from(*count),
        Content::Data(transactions) => {
            let place = before().filter(|one| !one.escaped).count();
            let is_there = transactions.get(place) == Some(data);
            if is_there && take_out {
                transactions.remove(place);
            }
            is_there
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
