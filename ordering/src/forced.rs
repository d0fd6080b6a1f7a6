//! How far the forced-inclusion queue of L1 is worked off.
//!
//! # Rules
//! 1. What a quorum reported of the queue at a finalized L1 block is a *mark*: so many entries, and the accumulator over them.
//! 2. Entries are told in the log. A message counts if it goes on where the last one ended, and leads to a mark: then it proves itself, whoever told
//!    it. If the next mark is too far for one message, a message of leaves only, which ends at a mark, makes where it begins a mark, too.
//! 3. The block that has a message that counts has its entries, before everything else of their rollups, as many as fit; the rest is told again.
//! 4. An entry of an unknown rollup, or one that no block could ever hold, takes its index and nothing else.
//! 5. An entry is ordered whether or not the duplicate window has its bytes: nobody could check another rule from L1 alone. Once it is ordered, the window
//!    has them.

use std::collections::BTreeMap;

use ordering_types::forced::MAX_FORCED_LEAVES;
use ordering_types::{Digest, ForcedEntry, ForcedMessage, QueueMark, SystemMessage};
use serde::{Deserialize, Serialize};

use crate::load::{Load, Rules};
use crate::planted::PlantedBug;
use crate::state::count;

/// First byte of a system message that is an encoded [`ForcedMessage`].
pub const FORCED: u8 = 9;
/// Marks that are remembered. A queue would have to grow by some hundred thousand entries before one were missing.
pub const MAX_MARKS: usize = 512;

/// See the [module's documentation](self).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedBook {
    /// Up to here entries are consumed.
    done: QueueMark,
    /// What is known to come, by the number of entries; all beyond `done`.
    marks: BTreeMap<u64, Digest>,
}

/// What a block takes from the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intake {
    /// What is ordered, in order.
    pub(crate) entries: Vec<ForcedEntry>,
    /// What these weigh.
    pub(crate) load: Load,
    /// The queue after it.
    pub(crate) book: ForcedBook,
}

impl ForcedBook {
    /// Up to here entries are consumed.
    pub const fn done(&self) -> QueueMark {
        self.done
    }

    /// Up to where entries are told next: the farthest mark that one message reaches; if none is near enough, the nearest.
    pub fn goal(&self) -> Option<QueueMark> {
        let reach = self.done.count.saturating_add(MAX_FORCED_LEAVES as u64);
        let near = self.marks.range(..=reach).next_back();
        let (&count, &accumulator) = near.or_else(|| self.marks.first_key_value())?;
        Some(QueueMark { count, accumulator })
    }

    /// Whether the queue is agreed on up to there, beyond what is ordered.
    pub fn knows(&self, mark: QueueMark) -> bool {
        self.marks.get(&mark.count) == Some(&mark.accumulator)
    }

    /// Rule 1.
    pub(crate) fn add_mark(&mut self, mark: QueueMark) {
        if mark.count <= self.done.count {
            return;
        }
        self.marks.insert(mark.count, mark.accumulator);
        // The newest and the nearest are those that are needed.
        if self.marks.len() > MAX_MARKS
            && let Some(&last_but_one) = self.marks.keys().rev().nth(1)
        {
            self.marks.remove(&last_but_one);
        }
    }

    /// Rules 2 to 4: what the block with these messages takes.
    pub(crate) fn intake(&self, messages: &[SystemMessage], rules: &Rules) -> Intake {
        let mut intake = Intake { book: self.clone(), ..Intake::default() };
        for SystemMessage { payload, .. } in messages {
            let message = payload.strip_prefix(&[FORCED]).map(ForcedMessage::decode);
            if let Some(Ok(message)) = message {
                intake.read(message, rules);
            }
        }
        intake
    }

    /// For the state root.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { done, marks } = self;
        out.extend_from_slice(&done.to_bytes());
        out.extend_from_slice(&count(marks.len()));
        for (&count, &accumulator) in marks {
            out.extend_from_slice(&QueueMark { count, accumulator }.to_bytes());
        }
    }
}

impl Intake {
    fn read(&mut self, message: ForcedMessage, rules: &Rules) {
        if message.from.count < self.book.done.count {
            return;
        }
        let (marks, end) = message.marks();
        if !self.book.knows(end) && rules.lacking != Some(PlantedBug::ForcedUnproven) {
            return;
        }
        if message.entries.is_empty() {
            self.book.add_mark(message.from);
        } else if message.from == self.book.done {
            let taken = message
                .entries
                .into_iter()
                .zip(marks)
                .take_while(|(entry, mark)| self.take(entry, *mark, rules));
            taken.for_each(drop);
            let done = self.book.done.count;
            self.book.marks.retain(|count, _| *count > done);
        }
    }

    /// False: this entry does not fit into the block any more.
    fn take(&mut self, entry: &ForcedEntry, mark: QueueMark, rules: &Rules) -> bool {
        let ForcedEntry { rollup, data } = entry;
        if data.len() <= rules.largest_transaction(*rollup) {
            if !self.load.fits_transaction(*rollup, data.len(), rules) {
                return false;
            }
            self.load.add_transaction(*rollup, data.len(), rules);
            self.entries.push(entry.clone());
        }
        self.book.done = mark;
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
