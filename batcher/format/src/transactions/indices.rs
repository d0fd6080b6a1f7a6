//! Places in a table of what occurs often, the most frequent first: one byte for the first 192, two for 16,384 more.

use std::collections::BTreeMap;

use super::streams::Indices;
use crate::columns::{ColumnError, Columns};

const SHORT: usize = 192;
/// Most entries of a table.
pub(super) const MAX_ENTRIES: usize = SHORT + (256 - SHORT) * 256;

pub(super) fn put(out: &mut Indices<Vec<u8>>, index: usize) {
    match index.checked_sub(SHORT) {
        None => out.high.push(index as u8),
        Some(above) => {
            out.high.push((SHORT + above / 256) as u8);
            out.low.push((above % 256) as u8);
        }
    }
}

pub(super) fn read(columns: &mut Indices<Columns<'_>>) -> Result<usize, ColumnError> {
    let high = usize::from(columns.high.byte()?);
    match high.checked_sub(SHORT) {
        None => Ok(high),
        Some(above) => Ok(SHORT + above * 256 + usize::from(columns.low.byte()?)),
    }
}

/// What occurs `at_least` so often, the most frequent first, and its index from 1 on: 0 is for everything else.
pub(super) fn ranked<T: Ord + Clone>(
    counts: BTreeMap<T, u32>,
    at_least: u32,
) -> (Vec<T>, BTreeMap<T, usize>) {
    let mut frequent: Vec<(T, u32)> = counts.into_iter().filter(|(_, count)| *count >= at_least).collect();
    frequent.sort_by(|(_, one), (_, other)| other.cmp(one));
    frequent.truncate(MAX_ENTRIES - 1);
    let table: Vec<T> = frequent.into_iter().map(|(entry, _)| entry).collect();
    let indices = table.iter().cloned().zip(1..).collect();
    (table, indices)
}
