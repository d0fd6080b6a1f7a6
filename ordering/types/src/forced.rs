//! The inbox's forced-inclusion queue, as the committee orders it: transactions that anyone puts on L1 when nobody takes them.
//!
//! ```text
//!   leaf         u32 rollup │ keccak256(data)
//!   accumulator  aₙ₊₁ = keccak256( abi.encode( bytes32 aₙ, uint32 rollup, bytes32 keccak256(data) ) ), a₀ = 0, as ForcedQueue computes it
//! ```
//!
//! L1 is seen through the [`QueueMark`] that reports of finalized blocks carry. Entries are told in the log as a [`ForcedMessage`]: those that come
//! next, and the leaves from there to a mark that is known already. So one message proves itself, whoever sends it.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::cut::MAX_SYSTEM_MESSAGE_BYTES;
use crate::preimage::number_word;
use crate::{Digest, RollupId};

/// Most bytes of one entry; the contract's limit.
pub const MAX_FORCED_BYTES: usize = 16_384;
/// Most leaves behind the entries of one message: half of what a system message holds.
pub const MAX_FORCED_LEAVES: usize = MAX_SYSTEM_MESSAGE_BYTES / 2 / 36;
/// Most bytes of entries in one message, each counted with [`ENTRY_OVERHEAD_BYTES`].
pub const MAX_FORCED_MESSAGE_BYTES: usize = MAX_SYSTEM_MESSAGE_BYTES / 2 - 256;
/// Rollup and length.
pub const ENTRY_OVERHEAD_BYTES: usize = 4 + 8;

const _: () = assert!(MAX_FORCED_MESSAGE_BYTES > MAX_FORCED_BYTES + ENTRY_OVERHEAD_BYTES);

/// One entry of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedEntry {
    /// The rollup that it names, which need not exist.
    pub rollup: RollupId,
    /// Its bytes; at least one, at most [`MAX_FORCED_BYTES`].
    pub data: Bytes,
}

impl ForcedEntry {
    /// What the accumulator takes in.
    pub fn leaf(&self) -> ForcedLeaf {
        ForcedLeaf { rollup: self.rollup, data_hash: Digest::keccak256(&[&self.data]) }
    }

    /// Bytes that it takes in a message.
    pub fn cost(&self) -> usize {
        self.data.len() + ENTRY_OVERHEAD_BYTES
    }
}

/// An entry without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedLeaf {
    /// The rollup.
    pub rollup: RollupId,
    /// Keccak-256 of the bytes.
    pub data_hash: Digest,
}

/// The queue up to some entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueMark {
    /// So many entries.
    pub count: u64,
    /// The accumulator over them.
    pub accumulator: Digest,
}

impl QueueMark {
    /// With one more entry.
    pub fn with(self, leaf: &ForcedLeaf) -> Self {
        let rollup = number_word(leaf.rollup.get().into());
        let accumulator = Digest::keccak256(&[self.accumulator.as_ref(), &rollup, leaf.data_hash.as_ref()]);
        Self { count: self.count.saturating_add(1), accumulator }
    }

    /// Number and hash, for what is hashed over them.
    pub fn to_bytes(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (count, accumulator) = bytes.split_at_mut(8);
        count.copy_from_slice(&self.count.to_be_bytes());
        accumulator.copy_from_slice(self.accumulator.as_ref());
        bytes
    }
}

/// What is told of the queue in the log: see the [module's documentation](self).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedMessage {
    /// The queue before the first entry.
    pub from: QueueMark,
    /// What comes next.
    pub entries: Vec<ForcedEntry>,
    /// What comes then.
    pub leaves: Vec<ForcedLeaf>,
}

impl ForcedMessage {
    /// The encoding that is told in the log.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads the encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_SYSTEM_MESSAGE_BYTES)
    }

    /// The queue after each entry, and after all leaves.
    pub fn marks(&self) -> (Vec<QueueMark>, QueueMark) {
        let mut at = self.from;
        let entries = self.entries.iter().map(|entry| {
            at = at.with(&entry.leaf());
            at
        });
        let entries = entries.collect();
        let end = self.leaves.iter().fold(at, QueueMark::with);
        (entries, end)
    }
}

/// Makes the next message about a queue, from its entries in order: those that come next, if the mark where they end is near; else leaves only, which
/// make a nearer mark known.
#[derive(Clone, Debug)]
pub struct ForcedTelling {
    message: ForcedMessage,
    room: usize,
    /// The queue before the leaves, if entries come before them that are not told now.
    gap: Option<QueueMark>,
    leaves: VecDeque<ForcedLeaf>,
    end: QueueMark,
}

impl ForcedTelling {
    /// About what comes after `from`.
    pub const fn after(from: QueueMark) -> Self {
        let message = ForcedMessage { from, entries: Vec::new(), leaves: Vec::new() };
        Self { message, room: MAX_FORCED_MESSAGE_BYTES, gap: None, leaves: VecDeque::new(), end: from }
    }

    /// The queue up to the newest entry.
    pub const fn end(&self) -> QueueMark {
        self.end
    }

    /// Takes the next entry in. However many there are, this holds no more than a message.
    pub fn push(&mut self, entry: ForcedEntry) {
        let leaf = entry.leaf();
        self.end = self.end.with(&leaf);
        if self.leaves.is_empty() && entry.cost() <= self.room {
            self.room -= entry.cost();
            self.message.entries.push(entry);
            return;
        }
        self.leaves.push_back(leaf);
        if self.leaves.len() > MAX_FORCED_LEAVES {
            let before = self
                .gap
                .unwrap_or_else(|| self.message.marks().0.last().copied().unwrap_or(self.message.from));
            self.gap = self.leaves.pop_front().map(|leaf| before.with(&leaf));
        }
    }

    /// `None` if there is nothing to tell.
    pub fn finish(self) -> Option<ForcedMessage> {
        let leaves = self.leaves.into();
        match self.gap {
            Some(from) => Some(ForcedMessage { from, entries: Vec::new(), leaves }),
            None => (!self.message.entries.is_empty()).then_some(ForcedMessage { leaves, ..self.message }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn entry(n: usize, length: usize) -> ForcedEntry {
        ForcedEntry { rollup: RollupId::new(7), data: Bytes::from(vec![n as u8; length]) }
    }

    fn end(from: QueueMark, queue: &[ForcedEntry]) -> QueueMark {
        queue.iter().fold(from, |at, entry| at.with(&entry.leaf()))
    }

    fn told(from: QueueMark, queue: &[ForcedEntry]) -> Option<ForcedMessage> {
        let mut telling = ForcedTelling::after(from);
        queue.iter().for_each(|entry| telling.push(entry.clone()));
        assert_eq!(telling.end(), end(from, queue));
        telling.finish()
    }

    /// By hand: `cast keccak` over three words.
    #[test]
    fn the_accumulator_is_the_contracts() {
        let entry = ForcedEntry { rollup: RollupId::new(5), data: Bytes::from_static(b"pay") };
        let mark = QueueMark::default().with(&entry.leaf());
        let words = [[0; 32], number_word(5), Digest::keccak256(&[b"pay"]).to_bytes()];
        assert_eq!(mark, QueueMark { count: 1, accumulator: Digest::keccak256(&[words.as_flattened()]) });
    }

    #[test]
    fn a_message_fits_the_log_whatever_the_entries_are() {
        for (count, length) in [
            (1, 1),
            (1, MAX_FORCED_BYTES),
            (3, MAX_FORCED_BYTES),
            (MAX_FORCED_LEAVES, 1),
            (MAX_FORCED_LEAVES, 200),
        ] {
            let queue: Vec<_> = (0..count).map(|n| entry(n, length)).collect();
            let done = end(QueueMark::default(), &[entry(9, 9)]);
            let message = told(done, &queue).unwrap();
            let bytes = message.encode();
            assert!(bytes.len() < MAX_SYSTEM_MESSAGE_BYTES, "{count} of {length}: {}", bytes.len());
            assert_eq!(ForcedMessage::decode(&bytes), Ok(message.clone()));
            assert_eq!(message.marks().1, end(done, &queue));
            assert_eq!((message.from, message.marks().0.len()), (done, message.entries.len()));
        }
        assert_eq!(told(QueueMark::default(), &[]), None);
    }

    /// With more entries than leaves fit, nearer marks are told first, until one is near enough.
    #[test]
    fn a_long_queue_is_told_in_steps() {
        // Ten of these entries fit into a message.
        let queue: Vec<_> = (0..3 * MAX_FORCED_LEAVES + 5).map(|n| entry(n, 3_000)).collect();
        let mut known = queue.len();
        let mut steps = 0;
        loop {
            let message = told(QueueMark::default(), &queue[..known]).unwrap();
            assert_eq!(message.marks().1, end(QueueMark::default(), &queue[..known]));
            assert!(message.encode().len() < MAX_SYSTEM_MESSAGE_BYTES);
            if !message.entries.is_empty() {
                break;
            }
            known = message.from.count as usize;
            steps += 1;
        }
        assert_eq!((steps, known), (2, MAX_FORCED_LEAVES + 5));
    }
}
