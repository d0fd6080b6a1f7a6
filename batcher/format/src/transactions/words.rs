//! Words of calldata, one column for each place in a shape.
//!
//! Symbols below [`FREE`] are [`numbers`]; 32, a word that is nothing else, goes to `wide`. Then:
//!
//! ```text
//!   ADDRESS          12 zeros and an address: an index in `arguments`
//!   LEFT + n − 1     n bytes in `left` and zeros behind them, as names have it
//!   MINUS + n        a negative number: the complement of one of n bytes
//!   RECENT + r       the word that was seen r others ago in its column
//!   UP, DOWN         by one more than `small` says above or below the last number of at least three bytes: times and counters
//! ```

use super::addresses::{ReadAddresses, WriteAddresses};
use super::fields::Word;
use super::numbers::{self, FREE, small};
use super::recent::Recent;
use super::rlp::trimmed;
use super::streams::Streams;
use crate::columns::Columns;
use crate::payload::SectionError;

const RECENT_WORDS: usize = 32;
/// Longest complement of a negative number.
const MAX_NEGATIVE: usize = 8;
/// Shortest number that another is told by.
const MIN_STEPPED: u128 = 1 << 16;

const WIDE: u8 = 32;
const ADDRESS: u8 = FREE;
const LEFT: u8 = ADDRESS + 1;
const MINUS: u8 = LEFT + 31;
const RECENT: u8 = MINUS + MAX_NEGATIVE as u8 + 1;
const UP: u8 = RECENT + RECENT_WORDS as u8;
const DOWN: u8 = UP + 1;

/// What a column has shown.
#[derive(Default)]
pub(super) struct Column {
    recent: Recent<Word, RECENT_WORDS>,
    /// The last number of at least three bytes.
    last: u128,
}

/// An address by its looks.
pub(super) fn address(word: &Word) -> Option<&[u8; 20]> {
    let (zeros, address) = word.split_last_chunk::<20>()?;
    let [a, b, c, d, ..] = address;
    (zeros.iter().all(|byte| *byte == 0) && [a, b, c, d] != [&0; 4]).then_some(address)
}

fn complement(word: &Word) -> Word {
    word.map(|byte| !byte)
}

impl Column {
    pub(super) fn put(&mut self, word: &Word, addresses: &WriteAddresses, out: &mut Streams<Vec<u8>>) {
        if *word == [0; 32] {
            return out.words.symbols.push(0);
        }
        let rank = self.recent.take_equal(word);
        self.recent.insert(*word);
        if let Some(rank) = rank {
            return out.words.symbols.push(RECENT + rank);
        }
        if let Some(address) = address(word) {
            out.words.symbols.push(ADDRESS);
            return addresses.put(address, &mut out.arguments, &mut out.addresses);
        }
        let negative = trimmed(&complement(word)).len();
        let left = 32 - word.iter().rev().take_while(|byte| **byte == 0).count();
        if negative <= MAX_NEGATIVE {
            numbers::put_plain(&mut out.words, &complement(word));
            if let Some(symbol) = out.words.symbols.last_mut() {
                *symbol += MINUS;
            }
        } else if left < trimmed(word).len() {
            out.words.symbols.push(LEFT + left as u8 - 1);
            out.left.extend(word.iter().take(left));
        } else if trimmed(word).len() == 32 {
            out.words.symbols.push(WIDE);
            out.wide.extend_from_slice(word);
        } else {
            self.put_number(word, out);
        }
    }

    fn put_number(&mut self, word: &Word, out: &mut Streams<Vec<u8>>) {
        if let Some(number) = small(word).filter(|number| *number >= MIN_STEPPED) {
            let last = std::mem::replace(&mut self.last, number);
            let (symbol, step) = if number > last { (UP, number - last) } else { (DOWN, last - number) };
            if let Ok(step) = u8::try_from(step.wrapping_sub(1)) {
                out.words.symbols.push(symbol);
                return out.words.small.push(step);
            }
        }
        numbers::put(&mut out.words, word);
    }

    pub(super) fn read(
        &mut self,
        addresses: &mut ReadAddresses<'_>,
        columns: &mut Streams<Columns<'_>>,
    ) -> Result<Word, SectionError> {
        let symbol = columns.words.symbols.byte()?;
        let mut word = Word::default();
        match symbol {
            0 => return Ok(word),
            WIDE => word = columns.wide.array()?,
            ADDRESS => {
                let (_, right) = word.split_at_mut(12);
                right.copy_from_slice(&addresses.read(&mut columns.arguments)?);
            }
            LEFT..MINUS => {
                let (left, _) = word.split_at_mut(usize::from(symbol - LEFT) + 1);
                left.copy_from_slice(columns.left.take(left.len())?);
            }
            MINUS..RECENT => word = complement(&numbers::read(&mut columns.words, symbol - MINUS)?),
            RECENT..UP => {
                let unknown = SectionError::Malformed("a word that was not seen before");
                word = self.recent.take(symbol - RECENT).ok_or(unknown)?;
            }
            UP | DOWN => {
                let step = u128::from(columns.words.small.byte()?) + 1;
                let number =
                    if symbol == UP { self.last.checked_add(step) } else { self.last.checked_sub(step) };
                self.last = number.ok_or(SectionError::Malformed("a step out of range"))?;
                word = numbers::word(self.last);
            }
            _ if symbol < FREE => {
                word = numbers::read(&mut columns.words, symbol)?;
                if let Some(number) = small(&word).filter(|number| *number >= MIN_STEPPED) {
                    self.last = number;
                }
            }
            _ => return Err(SectionError::Malformed("an unknown kind of word")),
        }
        self.recent.insert(word);
        Ok(word)
    }
}
