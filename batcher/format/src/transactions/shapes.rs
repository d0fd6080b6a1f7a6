//! What the calldata of a transaction looks like: transactions of one shape have the same columns.

use super::streams::Streams;
use crate::columns::{Columns, put_varint};
use crate::payload::SectionError;

/// Longer calldata of the ABI's form goes as bytes.
const MAX_WORDS: usize = 1_024;
/// Zeros behind a call inside of a call: its selector has put the words out of step.
const PADDING: usize = 28;
const SELECTOR: usize = 4;
const WORD: usize = 32;

/// A call inside of a call, as `multicall(bytes[])` has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nested {
    /// Words since the last one, or from the beginning.
    after: usize,
    selector: [u8; SELECTOR],
    words: usize,
}

/// How calldata is laid out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// There is none.
    Empty,
    /// Bytes that are no call by the ABI.
    Bytes,
    /// A selector and words, with calls among them. <https://docs.soliditylang.org/en/latest/abi-spec.html>
    Call {
        selector: [u8; SELECTOR],
        /// Without those of nested calls.
        words: usize,
        nested: Vec<Nested>,
    },
}

/// What transactions of one table entry have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) creates: bool,
    pub(super) form: Form,
}

const EMPTY: u8 = 0;
const BYTES: u8 = 1;
const CALL: u8 = 2;
const CREATES: u8 = 4;
const FORMS: u8 = 3;

impl Form {
    pub(super) fn of(data: &[u8], creates: bool) -> Self {
        let Some((selector, words)) = data.split_first_chunk::<SELECTOR>() else {
            return if data.is_empty() { Self::Empty } else { Self::Bytes };
        };
        if creates || !words.len().is_multiple_of(WORD) || words.len() > MAX_WORDS * WORD {
            return Self::Bytes;
        }
        let nested = nested_calls(words);
        let inside: usize = nested.iter().map(Nested::bytes).sum();
        Self::Call { selector: *selector, words: (words.len() - inside) / WORD, nested }
    }

    /// Bytes of calldata, if the form says it.
    pub(super) fn bytes(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes => None,
            Self::Call { words, nested, .. } => {
                Some(SELECTOR + words * WORD + nested.iter().map(Nested::bytes).sum::<usize>())
            }
        }
    }

    /// Where the words are in the calldata, and what is at other places than those, but for zeros.
    pub(super) fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        if let Self::Call { selector, words, nested } = self {
            layout.put_selector(*selector);
            let mut left = *words;
            for call in nested {
                layout.put_words(call.after);
                left = left.saturating_sub(call.after);
                layout.put_selector(call.selector);
                layout.put_words(call.words);
                layout.end += PADDING;
            }
            layout.put_words(left);
        }
        layout
    }
}

impl Nested {
    const fn bytes(&self) -> usize {
        SELECTOR + self.words * WORD + PADDING
    }
}

/// Offsets in calldata.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) words: Vec<usize>,
    pub(super) selectors: Vec<(usize, [u8; SELECTOR])>,
    end: usize,
}

impl Layout {
    fn put_selector(&mut self, selector: [u8; SELECTOR]) {
        self.selectors.push((self.end, selector));
        self.end += SELECTOR;
    }

    fn put_words(&mut self, words: usize) {
        self.words.extend((0..words).map(|word| self.end + word * WORD));
        self.end += words * WORD;
    }
}

/// Calls behind words that say their length, with zeros behind them.
fn nested_calls(words: &[u8]) -> Vec<Nested> {
    let mut nested = Vec::new();
    let (mut rest, mut after) = (words, 0);
    while let Some((word, behind)) = rest.split_first_chunk::<WORD>() {
        rest = behind;
        after += 1;
        if let Some((call, behind)) = nested_call(word, behind, after) {
            nested.push(call);
            (rest, after) = (behind, 0);
        }
    }
    nested
}

fn nested_call<'a>(length: &[u8; WORD], behind: &'a [u8], after: usize) -> Option<(Nested, &'a [u8])> {
    let (zeros, length) = length.split_last_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    if zeros.iter().any(|byte| *byte != 0) || length % WORD != SELECTOR {
        return None;
    }
    let (call, behind) = behind.split_at_checked(length)?;
    let (padding, behind) = behind.split_at_checked(PADDING)?;
    let selector = *call.first_chunk()?;
    let padded = padding.iter().all(|byte| *byte == 0);
    padded.then_some((Nested { after, selector, words: length / WORD }, behind))
}

impl Shape {
    pub(super) fn put(&self, out: &mut Streams<Vec<u8>>) {
        let creates = if self.creates { CREATES } else { 0 };
        match &self.form {
            Form::Empty => out.shapes.push(EMPTY | creates),
            Form::Bytes => out.shapes.push(BYTES | creates),
            Form::Call { selector, words, nested } => {
                out.shapes.push(CALL | creates);
                out.selectors.extend_from_slice(selector);
                put_varint(&mut out.shapes, *words as u64);
                put_varint(&mut out.shapes, nested.len() as u64);
                for call in nested {
                    put_varint(&mut out.shapes, call.after as u64);
                    out.selectors.extend_from_slice(&call.selector);
                    put_varint(&mut out.shapes, call.words as u64);
                }
            }
        }
    }

    pub(super) fn read(columns: &mut Streams<Columns<'_>>) -> Result<Self, SectionError> {
        let head = columns.shapes.byte()?;
        let creates = head & CREATES != 0;
        let form = match head & !CREATES {
            EMPTY => Form::Empty,
            BYTES => Form::Bytes,
            CALL => read_call(columns)?,
            FORMS.. => return Err(SectionError::Malformed("an unknown form of calldata")),
        };
        Ok(Self { creates, form })
    }
}

fn read_call(columns: &mut Streams<Columns<'_>>) -> Result<Form, SectionError> {
    let selector = columns.selectors.array()?;
    let mut left = MAX_WORDS;
    let words = read_count(&mut columns.shapes, &mut left)?;
    let mut outside = words;
    let calls = read_count(&mut columns.shapes, &mut left)?;
    let mut nested = Vec::new();
    for _ in 0..calls {
        let after = read_count(&mut columns.shapes, &mut outside)?;
        let selector = columns.selectors.array()?;
        let words = read_count(&mut columns.shapes, &mut left)?;
        nested.push(Nested { after, selector, words });
    }
    Ok(Form::Call { selector, words, nested })
}

/// A number of words or calls, of which so many are left. Selector and padding of a call are as long as a word.
fn read_count(column: &mut Columns<'_>, left: &mut usize) -> Result<usize, SectionError> {
    let count = usize::try_from(column.varint()?).unwrap_or(usize::MAX);
    *left = left.checked_sub(count).ok_or(SectionError::Malformed("calldata longer than a call may be"))?;
    Ok(count)
}
