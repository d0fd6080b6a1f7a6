//! The columns of a section as byte streams, and how they are stored.
//!
//! ```text
//!   body    =  for each stream: varint (length × 4 + how) │ if how is 2 or 3: varint stored length
//!              varint (stored length of the shared bytes × 4 + how) │ the shared bytes
//!              for each stream that is not shared: its stored bytes
//! ```
//!
//! How: 0 its bytes are the next of the shared ones, 1 they are stored as they are, 2 as a zstd frame, 3 as a zstd frame with the
//! pinned [`dictionary`]. A stream of a few bytes is not worth a frame of its own.

use std::convert::Infallible;

use super::dictionary::{self, Packed};
use crate::columns::{Columns, put_varint};
use crate::frame::FrameError;
use crate::payload::SectionError;

/// A column of numbers: what each looks like, then its bytes by how much they say. See [`numbers`](super::numbers).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers<T> {
    pub(super) symbols: T,
    pub(super) small: T,
    pub(super) lead: T,
    pub(super) second: T,
    pub(super) rest: T,
}

/// A column of indices into a table: the first byte of each, and the second of those that have one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Indices<T> {
    pub(super) high: T,
    pub(super) low: T,
}

/// All streams of a section.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams<T> {
    /// Blocks, number of transactions in each, chain id, sizes of the tables.
    pub(super) section: T,
    /// The table of shapes.
    pub(super) shapes: T,
    /// Function selectors of the shapes.
    pub(super) selectors: T,
    /// Shape of each transaction.
    pub(super) shape: Indices<T>,
    /// Kind of each.
    pub(super) kinds: T,
    pub(super) nonces: Numbers<T>,
    pub(super) tips: Numbers<T>,
    pub(super) fees: Numbers<T>,
    pub(super) gas: Numbers<T>,
    pub(super) values: Numbers<T>,
    /// The table of addresses that occur more than once, then those that occur once, in the order of their use.
    pub(super) addresses: T,
    pub(super) to: Indices<T>,
    /// Words of calldata, and of access lists behind them.
    pub(super) words: Numbers<T>,
    /// Addresses among those.
    pub(super) arguments: Indices<T>,
    /// Those that begin with what they say.
    pub(super) left: T,
    /// Those that are neither number nor text.
    pub(super) wide: T,
    /// Lengths of calldata that is no call by the ABI, and of what is no transaction.
    pub(super) lengths: T,
    /// That calldata: init code, mostly.
    pub(super) bytes: T,
    /// Lengths of access lists and lists of authorizations.
    pub(super) lists: T,
    /// What is no transaction.
    pub(super) opaque: T,
    pub(super) signatures: T,
}

impl<T> Numbers<T> {
    const fn each_ref(&self) -> Numbers<&T> {
        let Self { symbols, small, lead, second, rest } = self;
        Numbers { symbols, small, lead, second, rest }
    }

    fn try_map<U, E>(self, f: &mut impl FnMut(T) -> Result<U, E>) -> Result<Numbers<U>, E> {
        Ok(Numbers {
            symbols: f(self.symbols)?,
            small: f(self.small)?,
            lead: f(self.lead)?,
            second: f(self.second)?,
            rest: f(self.rest)?,
        })
    }
}

impl<T> Indices<T> {
    const fn each_ref(&self) -> Indices<&T> {
        Indices { high: &self.high, low: &self.low }
    }

    fn try_map<U, E>(self, f: &mut impl FnMut(T) -> Result<U, E>) -> Result<Indices<U>, E> {
        Ok(Indices { high: f(self.high)?, low: f(self.low)? })
    }
}

impl<T> Streams<T> {
    pub(super) const fn each_ref(&self) -> Streams<&T> {
        Streams {
            section: &self.section,
            shapes: &self.shapes,
            selectors: &self.selectors,
            shape: self.shape.each_ref(),
            kinds: &self.kinds,
            nonces: self.nonces.each_ref(),
            tips: self.tips.each_ref(),
            fees: self.fees.each_ref(),
            gas: self.gas.each_ref(),
            values: self.values.each_ref(),
            addresses: &self.addresses,
            to: self.to.each_ref(),
            words: self.words.each_ref(),
            arguments: self.arguments.each_ref(),
            left: &self.left,
            wide: &self.wide,
            lengths: &self.lengths,
            bytes: &self.bytes,
            lists: &self.lists,
            opaque: &self.opaque,
            signatures: &self.signatures,
        }
    }

    /// Visits all in the order in which they are stored.
    pub(super) fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Streams<U>, E> {
        let f = &mut f;
        Ok(Streams {
            section: f(self.section)?,
            shapes: f(self.shapes)?,
            selectors: f(self.selectors)?,
            shape: self.shape.try_map(f)?,
            kinds: f(self.kinds)?,
            nonces: self.nonces.try_map(f)?,
            tips: self.tips.try_map(f)?,
            fees: self.fees.try_map(f)?,
            gas: self.gas.try_map(f)?,
            values: self.values.try_map(f)?,
            addresses: f(self.addresses)?,
            to: self.to.try_map(f)?,
            words: self.words.try_map(f)?,
            arguments: self.arguments.try_map(f)?,
            left: f(self.left)?,
            wide: f(self.wide)?,
            lengths: f(self.lengths)?,
            bytes: f(self.bytes)?,
            lists: f(self.lists)?,
            opaque: f(self.opaque)?,
            signatures: f(self.signatures)?,
        })
    }

    pub(super) fn map<U>(self, mut f: impl FnMut(T) -> U) -> Streams<U> {
        let Ok(mapped) = self.try_map(|stream| Ok::<_, Infallible>(f(stream)));
        mapped
    }
}

/// Where each stream belongs to, in the order in which they are stored.
#[cfg(feature = "measuring")]
pub(crate) const NAMES: [&str; 48] = [
    "section",
    "shapes",
    "selectors",
    "shape",
    "shape low",
    "kinds",
    "nonces",
    "nonces small",
    "nonces lead",
    "nonces second",
    "nonces rest",
    "tips",
    "tips small",
    "tips lead",
    "tips second",
    "tips rest",
    "fees",
    "fees small",
    "fees lead",
    "fees second",
    "fees rest",
    "gas",
    "gas small",
    "gas lead",
    "gas second",
    "gas rest",
    "values",
    "values small",
    "values lead",
    "values second",
    "values rest",
    "addresses",
    "to",
    "to low",
    "words",
    "words small",
    "words lead",
    "words second",
    "words rest",
    "arguments",
    "arguments low",
    "left",
    "wide",
    "lengths",
    "bytes",
    "lists",
    "opaque",
    "signatures",
];

/// A stream that is shorter than this shares its frame with others.
const SHARED_BELOW: usize = 400;

const SHARED: u64 = 0;
const STORED: u64 = 1;

/// What becomes of a stream.
enum Stored {
    Shared,
    AsItIs(Vec<u8>),
    Compressed(Packed),
}

/// Appends all streams, compressed as `pack` has it.
pub(super) fn close(
    mut streams: Streams<Vec<u8>>,
    out: &mut Vec<u8>,
    pack: impl Fn(&[u8]) -> Option<Packed>,
) {
    let mut shared = Vec::new();
    // Noise: every attempt to compress it is in vain.
    let signatures = std::mem::take(&mut streams.signatures);
    let stored = streams.map(|raw| {
        let length = raw.len() as u64;
        if raw.len() < SHARED_BELOW {
            shared.extend(raw);
            (length, Stored::Shared)
        } else {
            (length, pack(&raw).map_or(Stored::AsItIs(raw), Stored::Compressed))
        }
    });
    let stored = Streams { signatures: (signatures.len() as u64, Stored::AsItIs(signatures)), ..stored };
    let mut bodies = Vec::new();
    stored.map(|(length, stored)| match stored {
        Stored::Shared => put_varint(out, length * 4 + SHARED),
        Stored::AsItIs(raw) => {
            put_varint(out, length * 4 + STORED);
            bodies.extend(raw);
        }
        Stored::Compressed(Packed { how, bytes }) => {
            put_varint(out, length * 4 + how);
            put_varint(out, bytes.len() as u64);
            bodies.extend(bytes);
        }
    });
    let (how, shared) = pack(&shared).map_or((STORED, shared), |packed| (packed.how, packed.bytes));
    put_varint(out, shared.len() as u64 * 4 + how);
    out.extend(shared);
    out.extend(bodies);
}

/// A stream's place in the body.
struct Place {
    length: usize,
    how: u64,
    stored: usize,
}

fn read_place(columns: &mut Columns<'_>, budget: &mut usize) -> Result<Place, SectionError> {
    let head = columns.varint()?;
    let length = usize::try_from(head / 4).unwrap_or(usize::MAX);
    take_budget(budget, length)?;
    let how = head % 4;
    let stored = match how {
        SHARED | STORED => length,
        _ => usize::try_from(columns.varint()?).unwrap_or(usize::MAX),
    };
    Ok(Place { length, how, stored })
}

/// The streams of a body; what they hold is taken from `budget` before anything is decompressed.
pub(super) fn open(body: &[u8], budget: &mut usize) -> Result<Streams<Vec<u8>>, SectionError> {
    let mut columns = Columns(body);
    let mut shared_length = 0;
    let places = Streams::<()>::default().try_map(|()| {
        let place = read_place(&mut columns, budget)?;
        if place.how == SHARED {
            // Each is within the budget, and so is their sum.
            shared_length += place.length;
        }
        Ok::<_, SectionError>(place)
    })?;
    let head = columns.varint()?;
    let stored = columns.take(usize::try_from(head / 4).unwrap_or(usize::MAX))?;
    let shared = open_one(head % 4, stored, shared_length)?;
    let mut shared = Columns(&shared);
    let streams = places.try_map(|place| match place.how {
        SHARED => Ok(shared.take(place.length)?.to_vec()),
        how => open_one(how, columns.take(place.stored)?, place.length),
    })?;
    if shared.is_empty() && columns.is_empty() {
        Ok(streams)
    } else {
        Err(SectionError::Malformed("bytes behind the columns"))
    }
}

fn open_one(how: u64, stored: &[u8], length: usize) -> Result<Vec<u8>, SectionError> {
    match how {
        STORED if stored.len() == length => Ok(stored.to_vec()),
        SHARED | STORED => Err(FrameError::Corrupt.into()),
        _ => Ok(dictionary::decompress(how, stored, length)?),
    }
}

/// Takes so many bytes from what a batch may hold.
pub(super) fn take_budget(budget: &mut usize, bytes: usize) -> Result<(), FrameError> {
    let left = budget.checked_sub(bytes).ok_or(FrameError::TooLarge { claimed: bytes, left: *budget })?;
    *budget = left;
    Ok(())
}
