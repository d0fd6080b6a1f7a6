//! What clients were told against what L1 says: exact order, exactly once, nothing missing. Pure.

use std::collections::{BTreeMap, HashMap};

use ordering_types::{RollupId, TxId};

/// One transaction's place as clients were told, or as derived from L1.
pub type Placed = (u64, TxId);

/// A difference, and the promise it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Told *ordered*, not on L1.
    #[error(
        "rollup {rollup}: {count} transactions told ordered are not on L1, first {first} at height {height}"
    )]
    Missing {
        /// Rollup.
        rollup: RollupId,
        /// How many.
        count: usize,
        /// The first.
        first: TxId,
        /// Its height as told.
        height: u64,
    },
    /// On L1, never told, though everything up to its height was.
    #[error(
        "rollup {rollup}: L1 has {count} transactions that clients were never told of, first {first} at height {height}"
    )]
    Untold {
        /// Rollup.
        rollup: RollupId,
        /// How many.
        count: usize,
        /// The first.
        first: TxId,
        /// Its height on L1.
        height: u64,
    },
    /// On L1 more than once.
    #[error("rollup {rollup}: {count} transactions are on L1 more than once, first {first}")]
    Twice {
        /// Rollup.
        rollup: RollupId,
        /// How many.
        count: usize,
        /// The first.
        first: TxId,
    },
    /// The same transactions in another order.
    #[error("rollup {rollup}: place {place} is {told} as told and {derived} on L1")]
    Order {
        /// Rollup.
        rollup: RollupId,
        /// Index in the rollup's sequence.
        place: usize,
        /// As told.
        told: TxId,
        /// As derived.
        derived: TxId,
    },
}

/// Compares every rollup. `told` covers heights from the first to the last of `heights`, and derivation is only
/// compared there: what lies above was not told yet.
pub fn compare(
    told: &BTreeMap<RollupId, Vec<Placed>>,
    derived: &BTreeMap<RollupId, Vec<Placed>>,
    heights: std::ops::RangeInclusive<u64>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let rollups: std::collections::BTreeSet<RollupId> = told.keys().chain(derived.keys()).copied().collect();
    let within = |placed: Option<&Vec<Placed>>| -> Vec<Placed> {
        placed.into_iter().flatten().filter(|(height, _)| heights.contains(height)).copied().collect()
    };
    for rollup in rollups {
        let (told, derived) = (within(told.get(&rollup)), within(derived.get(&rollup)));
        compare_rollup(rollup, &told, &derived, &mut differences);
    }
    differences
}

fn compare_rollup(rollup: RollupId, told: &[Placed], derived: &[Placed], differences: &mut Vec<Difference>) {
    let before = differences.len();
    let count = |placed: &[Placed]| {
        let mut counts: HashMap<TxId, usize> = HashMap::new();
        placed.iter().for_each(|(_, id)| *counts.entry(*id).or_default() += 1);
        counts
    };
    let (told_counts, derived_counts) = (count(told), count(derived));
    let mut missing = told.iter().filter(|(_, id)| !derived_counts.contains_key(id)).peekable();
    if let Some(&&(height, first)) = missing.peek() {
        differences.push(Difference::Missing { rollup, count: missing.count(), first, height });
    }
    let mut untold = derived.iter().filter(|(_, id)| !told_counts.contains_key(id)).peekable();
    if let Some(&&(height, first)) = untold.peek() {
        differences.push(Difference::Untold { rollup, count: untold.count(), first, height });
    }
    let twice = |id: &TxId| derived_counts.get(id).is_some_and(|count| *count > 1);
    if let Some((_, first)) = derived.iter().find(|(_, id)| twice(id)) {
        let count = derived_counts.values().filter(|count| **count > 1).count();
        differences.push(Difference::Twice { rollup, count, first: *first });
    }
    if differences.len() > before {
        return;
    }
    let pairs = told.iter().zip(derived).enumerate();
    let mut unequal = pairs.filter(|(_, (told, derived))| told != derived);
    if let Some((place, (told, derived))) = unequal.next() {
        differences.push(Difference::Order { rollup, place, told: told.1, derived: derived.1 });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ordering_types::Digest;

    use super::*;

    const ROLLUP: RollupId = RollupId::new(1);

    fn placed(list: &[(u64, u8)]) -> BTreeMap<RollupId, Vec<Placed>> {
        let all = list.iter().map(|(height, byte)| (*height, Digest::new([*byte; 32]))).collect();
        BTreeMap::from([(ROLLUP, all)])
    }

    fn judged(told: &[(u64, u8)], derived: &[(u64, u8)]) -> Vec<Difference> {
        compare(&placed(told), &placed(derived), 1..=10)
    }

    #[test]
    fn the_same_is_the_same_and_what_was_not_told_yet_does_not_count() {
        assert_eq!(judged(&[(1, 1), (2, 2)], &[(1, 1), (2, 2)]), []);
        assert_eq!(judged(&[(1, 1)], &[(1, 1), (11, 2)]), []);
        assert_eq!(compare(&BTreeMap::new(), &BTreeMap::new(), 1..=10), []);
    }

    #[test]
    fn every_way_to_break_the_promise_is_found() {
        let kind = |told: &[(u64, u8)], derived: &[(u64, u8)]| {
            let all = judged(told, derived);
            assert_eq!(all.len(), 1, "{all:?}");
            all.into_iter().next().unwrap()
        };
        let told = &[(1, 1), (2, 2), (3, 3)];
        assert!(matches!(kind(told, &[(1, 1), (3, 3)]), Difference::Missing { count: 1, height: 2, .. }));
        assert!(matches!(kind(&[(1, 1)], &[(1, 1), (2, 2)]), Difference::Untold { count: 1, height: 2, .. }));
        let twice = &[(1, 1), (2, 2), (3, 3), (3, 1)];
        assert!(matches!(kind(told, twice), Difference::Twice { count: 1, .. }));
        let swapped = &[(1, 2), (2, 1), (3, 3)];
        assert!(matches!(kind(told, swapped), Difference::Order { place: 0, .. }));
        let moved = &[(1, 1), (3, 2), (3, 3)];
        assert!(matches!(kind(told, moved), Difference::Order { place: 1, .. }));
    }

    #[test]
    fn a_whole_rollup_missing_from_l1_is_found() {
        let differences = compare(&placed(&[(1, 1)]), &BTreeMap::new(), 1..=10);
        assert!(matches!(differences.as_slice(), [Difference::Missing { .. }]));
    }
}
