//! The newest entries: sorted vectors whose sizes shrink from old to new, so there are only about log₂ n of them.

use std::sync::Arc;

use super::Entry;

/// Entries of some heights.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Ascending by height, each sorted.
    parts: Vec<Arc<Vec<Entry>>>,
    heights: Option<(u64, u64)>,
}

impl Memory {
    /// Lowest and highest height.
    pub(super) const fn heights(&self) -> Option<(u64, u64)> {
        self.heights
    }

    pub(super) fn is_full(&self, entries: usize, blocks: u64) -> bool {
        self.parts.iter().map(|part| part.len()).sum::<usize>() >= entries
            || self.heights.is_some_and(|(first, last)| last - first + 1 >= blocks)
    }

    pub(super) fn find(&self, key: u128) -> Option<Entry> {
        self.parts.iter().rev().find_map(|part| newest(part, key))
    }

    /// With one more block, whose entries are sorted.
    pub(super) fn with(&self, height: u64, mut entries: Vec<Entry>) -> Self {
        let mut parts = self.parts.clone();
        if !entries.is_empty() {
            while let Some(part) = parts.pop_if(|part| part.len() < 2 * entries.len()) {
                entries.extend_from_slice(&part);
                // The stable sort finds the two sorted parts and merges them in one pass.
                entries.sort();
            }
            parts.push(Arc::new(entries));
        }
        let first = self.heights.map_or(height, |(first, _)| first);
        Self { parts, heights: Some((first, height)) }
    }

    /// All entries, sorted.
    pub(super) fn sorted(&self) -> Vec<Entry> {
        let mut all = Vec::with_capacity(self.parts.iter().map(|part| part.len()).sum());
        for part in &self.parts {
            all.extend_from_slice(part);
        }
        all.sort();
        all
    }
}

/// The last entry with this key of a sorted list.
pub(super) fn newest(sorted: &[Entry], key: u128) -> Option<Entry> {
    let end = sorted.partition_point(|entry| entry.key <= key);
    sorted.get(end.checked_sub(1)?).filter(|entry| entry.key == key).copied()
}
