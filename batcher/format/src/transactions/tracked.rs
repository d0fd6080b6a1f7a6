//! Numbers that come again: fees of one block, gas limits of one function, nonces of one sender.

use super::numbers::{self, FREE, small};
use super::recent::Recent;
use super::streams::Numbers;
use crate::columns::Columns;
use crate::payload::SectionError;

const RECENT_NUMBERS: usize = 64;

/// A column in which symbols from [`FREE`] on are numbers that were expected: seen last, plus a step.
pub(super) struct Tracked {
    expected: Recent<u128, RECENT_NUMBERS>,
    step: u128,
    /// Decimal zeros are told apart.
    decimal: bool,
}

impl Tracked {
    /// Of numbers that are the same again.
    pub(super) fn repeated() -> Self {
        Self { expected: Recent::default(), step: 0, decimal: true }
    }

    /// Of numbers that go up by one.
    pub(super) fn counted() -> Self {
        Self { expected: Recent::default(), step: 1, decimal: false }
    }

    pub(super) fn put(&mut self, number: u128, out: &mut Numbers<Vec<u8>>) {
        let rank = self.expected.take_equal(&number);
        self.expected.insert(number.wrapping_add(self.step));
        match rank {
            Some(rank) => out.symbols.push(FREE + rank),
            None if self.decimal => numbers::put(out, &numbers::word(number)),
            None => numbers::put_plain(out, &numbers::word(number)),
        }
    }

    pub(super) fn read(&mut self, columns: &mut Numbers<Columns<'_>>) -> Result<u128, SectionError> {
        let symbol = columns.symbols.byte()?;
        let number = match symbol.checked_sub(FREE) {
            Some(rank) => self.expected.take(rank),
            None => small(&numbers::read(columns, symbol)?),
        };
        let number = number.ok_or(SectionError::Malformed("a number out of range"))?;
        self.expected.insert(number.wrapping_add(self.step));
        Ok(number)
    }
}
