//! The duplicate window: every transaction is ordered once within so many blocks.
//!
//! At 60,000 transactions a second it holds millions of ids, so each stands once, in its block's list, and the table beside
//! holds places only: about 50 bytes an id.

use std::collections::VecDeque;

use hashbrown::HashTable;
use ordering_types::{Height, RollupId, TxId};

use crate::ids::IdHasher;

type Id = (RollupId, TxId);

/// Where an id stands: number of its block since the first ever pushed (wrapping), and place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    block: u32,
    index: u32,
}

/// Ids of the transactions of the last blocks.
#[derive(Debug)]
pub(crate) struct Window {
    hasher: IdHasher,
    blocks: VecDeque<(Height, Vec<Id>)>,
    /// Number of the oldest block held.
    first: u32,
    places: HashTable<Place>,
    length: u64,
}

impl Window {
    /// One that remembers nothing; see [`PlantedBug::DuplicatesOrdered`](crate::planted::PlantedBug::DuplicatesOrdered).
    pub(crate) fn forgetful(&self) -> Self {
        Self::new(self.hasher, 0, Vec::new())
    }

    pub(crate) fn new(hasher: IdHasher, length: u32, recent: Vec<(Height, Vec<Id>)>) -> Self {
        let mut window = Self {
            hasher,
            blocks: VecDeque::new(),
            first: 0,
            places: HashTable::new(),
            length: u64::from(length),
        };
        for (height, ids) in recent {
            window.push(height, ids);
        }
        window
    }

    /// For sets beside it.
    pub(crate) const fn hasher(&self) -> IdHasher {
        self.hasher
    }

    pub(crate) fn contains(&self, rollup: RollupId, id: TxId) -> bool {
        let hash = self.hasher.hash(rollup, &id);
        let is_it = |place: &Place| at(&self.blocks, self.first, *place) == Some((rollup, id));
        self.places.find(hash, is_it).is_some()
    }

    /// The next block's ids, each new to the window.
    pub(crate) fn push(&mut self, height: Height, ids: Vec<Id>) {
        let Self { hasher, blocks, first, places, .. } = self;
        let block = first.wrapping_add(blocks.len() as u32);
        blocks.push_back((height, ids));
        let Some((_, ids)) = blocks.back() else { return };
        for (index, (rollup, id)) in (0..).zip(ids) {
            let hash_at =
                |place: &Place| at(blocks, *first, *place).map_or(0, |(rollup, id)| hasher.hash(rollup, &id));
            places.insert_unique(hasher.hash(*rollup, id), Place { block, index }, hash_at);
        }
        while let Some((oldest, _)) = self.blocks.front()
            && oldest.get() + self.length <= height.get()
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, ids)) = self.blocks.pop_front() else { return };
        let block = self.first;
        for (index, (rollup, id)) in (0..).zip(ids) {
            let gone = Place { block, index };
            if let Ok(entry) = self.places.find_entry(self.hasher.hash(rollup, &id), |p| *p == gone) {
                entry.remove();
            }
        }
        self.first = self.first.wrapping_add(1);
    }
}

fn at(blocks: &VecDeque<(Height, Vec<Id>)>, first: u32, place: Place) -> Option<Id> {
    let (_, ids) = blocks.get(place.block.wrapping_sub(first) as usize)?;
    ids.get(place.index as usize).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::Digest;

    use super::*;
    use crate::ids::tests::hasher;

    fn id(number: u64) -> Id {
        (RollupId::new(1), Digest::sha256(&[&number.to_be_bytes()]))
    }

    #[test]
    fn an_id_leaves_the_window_after_exactly_its_length() {
        let (rollup, x) = id(0);
        let mut window = Window::new(hasher(), 3, vec![(Height::new(1), vec![(rollup, x)])]);
        window.push(Height::new(2), vec![]);
        window.push(Height::new(3), vec![]);
        assert!(window.contains(rollup, x), "block 4 is the third after block 1");
        assert!(!window.contains(RollupId::new(2), x), "another rollup may have the same bytes");
        window.push(Height::new(4), vec![]);
        assert!(!window.contains(rollup, x));
    }

    #[test]
    fn exactly_the_ids_of_the_last_blocks_are_held() {
        let mut window = Window::new(hasher(), 10, vec![]);
        window.first = u32::MAX - 5;
        for height in 1..=40_u64 {
            window.push(Height::new(height), (0..100).map(|n| id(height * 1_000 + n)).collect());
            for past in 1..=height {
                let (rollup, known) = id(past * 1_000 + 7);
                assert_eq!(window.contains(rollup, known), past + 10 > height, "{past} at {height}");
            }
        }
        assert_eq!(window.places.len(), 1_000);
    }
}
