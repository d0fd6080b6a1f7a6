//! Addresses: each is written once, and then by its place in a table.

use std::collections::BTreeMap;

use super::fields::Address;
use super::indices::{self, ranked};
use super::streams::Indices;
use crate::columns::Columns;
use crate::payload::SectionError;

/// Written once and told by index: what occurs this often.
const OFTEN: u32 = 2;

/// The writer's table.
pub(super) struct WriteAddresses(BTreeMap<Address, usize>);

impl WriteAddresses {
    /// Begins the column with the table, and says how many addresses that has.
    pub(super) fn new(counts: BTreeMap<Address, u32>, out: &mut Vec<u8>) -> (Self, usize) {
        let (table, indices) = ranked(counts, OFTEN);
        out.extend(table.iter().flatten());
        (Self(indices), table.len())
    }

    /// 0 if it is not in the table.
    pub(super) fn index(&self, address: &Address) -> usize {
        self.0.get(address).copied().unwrap_or(0)
    }

    pub(super) fn put(&self, address: &Address, out: &mut Indices<Vec<u8>>, rare: &mut Vec<u8>) {
        let index = self.index(address);
        indices::put(out, index);
        if index == 0 {
            rare.extend_from_slice(address);
        }
    }
}

/// The reader's table, and the column behind it.
pub(super) struct ReadAddresses<'a> {
    table: &'a [u8],
    rare: Columns<'a>,
}

impl<'a> ReadAddresses<'a> {
    pub(super) fn new(mut column: Columns<'a>, entries: u64) -> Result<Self, SectionError> {
        let bytes = usize::try_from(entries).unwrap_or(usize::MAX).saturating_mul(20);
        Ok(Self { table: column.take(bytes)?, rare: column })
    }

    pub(super) fn read(&mut self, column: &mut Indices<Columns<'_>>) -> Result<Address, SectionError> {
        self.read_with_index(column).map(|(_, address)| address)
    }

    pub(super) fn read_with_index(
        &mut self,
        column: &mut Indices<Columns<'_>>,
    ) -> Result<(usize, Address), SectionError> {
        let index = indices::read(column)?;
        let address = match index.checked_sub(1) {
            None => self.rare.array()?,
            Some(place) => {
                let address = self.table.get(place * 20..).and_then(|rest| rest.first_chunk::<20>());
                *address.ok_or(SectionError::Malformed("an address behind the table"))?
            }
        };
        Ok((index, address))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rare.is_empty()
    }
}
