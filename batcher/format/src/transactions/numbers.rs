//! Numbers as people and programs choose them.
//!
//! A symbol says how a number looks: 0 to 32 for so many bytes, or 33 + 6 (e − 1) + (k − 1) for k bytes times 10^e, with k up to 6 and e up
//! to 24. Its bytes, the highest first: a single one goes to `small`; of more, the first to `lead`, the second to `second`, the others to `rest`.

use super::fields::Word;
use super::rlp::trimmed;
use super::streams::Numbers;
use crate::columns::{ColumnError, Columns};

const DECIMAL: u8 = 33;
const MAX_EXPONENT: u8 = 24;
const MAX_DECIMAL_BYTES: usize = 6;
/// Symbols from here on are free for others.
pub(super) const FREE: u8 = DECIMAL + MAX_EXPONENT * MAX_DECIMAL_BYTES as u8;

pub(super) fn word(number: u128) -> Word {
    let mut word = Word::default();
    let (_, low) = word.split_at_mut(16);
    low.copy_from_slice(&number.to_be_bytes());
    word
}

/// If it fits.
pub(super) fn small(word: &Word) -> Option<u128> {
    let (high, low) = word.split_first_chunk::<16>()?;
    (*high == [0; 16]).then(|| low.try_into().map(u128::from_be_bytes).ok())?
}

/// Appends a number, as it is.
pub(super) fn put_plain(out: &mut Numbers<Vec<u8>>, number: &Word) {
    let digits = trimmed(number);
    put_digits(out, digits.len() as u8, digits);
}

/// Appends a number, with its decimal zeros apart where that is shorter.
pub(super) fn put(out: &mut Numbers<Vec<u8>>, number: &Word) {
    match small(number).and_then(decimal) {
        Some((exponent, mantissa)) => {
            let digits = mantissa.to_be_bytes();
            let digits = trimmed(&digits);
            let symbol = DECIMAL + (exponent - 1) * MAX_DECIMAL_BYTES as u8 + digits.len() as u8 - 1;
            put_digits(out, symbol, digits);
        }
        None => put_plain(out, number),
    }
}

const fn byte_length(number: u128) -> usize {
    (128 - number.leading_zeros()).div_ceil(8) as usize
}

/// Exponent and mantissa, if these take fewer bytes.
fn decimal(number: u128) -> Option<(u8, u128)> {
    let (mut mantissa, mut exponent) = (number, 0);
    // 10^e has e binary zeros.
    let most = number.trailing_zeros().min(u32::from(MAX_EXPONENT)) as u8;
    while exponent < most && mantissa > 0 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        exponent += 1;
    }
    let bytes = byte_length(mantissa);
    (exponent > 0 && bytes <= MAX_DECIMAL_BYTES && bytes < byte_length(number))
        .then_some((exponent, mantissa))
}

fn put_digits(out: &mut Numbers<Vec<u8>>, symbol: u8, digits: &[u8]) {
    out.symbols.push(symbol);
    match digits {
        [] => {}
        [one] => out.small.push(*one),
        [first, second, rest @ ..] => {
            out.lead.push(*first);
            out.second.push(*second);
            out.rest.extend_from_slice(rest);
        }
    }
}

/// The number of a symbol below [`FREE`].
pub(super) fn read(columns: &mut Numbers<Columns<'_>>, symbol: u8) -> Result<Word, ColumnError> {
    let Some(decimal) = symbol.checked_sub(DECIMAL) else { return read_digits(columns, usize::from(symbol)) };
    let (exponent, bytes) =
        (decimal / MAX_DECIMAL_BYTES as u8 + 1, usize::from(decimal) % MAX_DECIMAL_BYTES + 1);
    let mantissa = read_digits(columns, bytes)?;
    // 48 bits times 10^24 are 128 bits at most.
    let mantissa = small(&mantissa).ok_or(ColumnError::Varint)?;
    let number = 10_u128.checked_pow(u32::from(exponent)).and_then(|power| power.checked_mul(mantissa));
    number.map(word).ok_or(ColumnError::Varint)
}

fn read_digits(columns: &mut Numbers<Columns<'_>>, bytes: usize) -> Result<Word, ColumnError> {
    let mut word = Word::default();
    let (_, digits) = word.split_at_mut(32_usize.saturating_sub(bytes));
    match digits {
        [] => {}
        [one] => *one = columns.small.byte()?,
        [first, second, rest @ ..] => {
            *first = columns.lead.byte()?;
            *second = columns.second.byte()?;
            rest.copy_from_slice(columns.rest.take(rest.len())?);
        }
    }
    Ok(word)
}
