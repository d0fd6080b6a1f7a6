//! Signed Ethereum transactions in columns: what is alike stands together, and what is noise stands apart.
//!
//! Each transaction is told either in fields or, if it is none that its fields give back byte for byte, as opaque bytes. Fields have: legacy
//! transactions with or without a chain id (EIP-155), types 1 (EIP-2930), 2 (EIP-1559) and 4 (EIP-7702), in canonical RLP, of one
//! chain id for all, with an s below 2^255.
//!
//! The body has these [`streams`], in this order. `Numbers` are five streams each, `Indices` two.
//!
//! | stream | holds |
//! |---|---|
//! | section | what the caller begins with; varint chain id, varint shapes, varint addresses in the table |
//! | shapes | for each: u8 form (0 no calldata, 1 bytes, 2 a call) + 4 if it creates a contract; of a call: varint words, varint calls inside of it, for each of those: varint words since the last one, varint words |
//! | selectors | 4 bytes for each call and each call inside of one, in that order |
//! | shape | `Indices` in the table of shapes from 1 on, one a transaction in their order; 0 is opaque |
//! | kinds | one byte each: 0 legacy, 1 legacy with chain id, 2, 3, 4 the types 1, 2, 4 |
//! | nonces | [`tracked`] `Numbers`: one more than one of the last 64 senders' |
//! | tips | of those that have one, tracked: as one of the last 64 |
//! | fees | fee cap less tip, or gas price, tracked like tips |
//! | gas | gas limits, tracked anew for each shape; **by shape and recipient** |
//! | values | [`numbers`]; **by shape and recipient** |
//! | addresses | 20 bytes each: first the table of those that occur more than once, then all others in the order of their use |
//! | to | `Indices` in that table from 1 on; 0 is the next of the others; **by shape** |
//! | words | [`words`] of the calls, `Numbers`: shape by shape, in it place by place, there **by recipient**; behind them those of access lists |
//! | arguments | `Indices` of addresses among words, of access lists and of authorizations |
//! | left, wide | bytes of words |
//! | lengths | varint each: of opaque transactions, in their order; then of calldata that is bytes |
//! | bytes | that calldata, **by shape and recipient** |
//! | lists | varint each, **by shape and recipient**: of those with a type, accounts in the access list, slots of each; of type 4, authorizations |
//! | opaque | what is told in no fields |
//! | signatures | r, then s with the parity of y in its highest bit (EIP-2098), 64 bytes each in order; behind them those of authorizations |
//!
//! *By shape* is in ascending order of shape, those of one shape in their order. *By shape and recipient* is in ascending order of shape, then of
//! the recipient's index, then in their order. An [index](indices) is the place among the most frequent ones: the reader needs no counts.
//!
//! **A call** is four bytes and words of 32. A word that says 4 + 32 k, behind which are so many bytes and 28 zeros, may have a call inside
//! of the call: its words are four bytes out of step, and the zeros bring them back.
//!
//! **Access lists**: for each account an index in `arguments`, its slots as words of one column over all. **Authorizations**: chain id as a
//! word, an index in `arguments`, nonce as a word, both words of one other column.
//!
//! **Bounds.** All that a body stands for is taken from the batch's budget before it is there: streams before they are decompressed, calldata
//! by its shapes before its words are read, each list item, each transaction. What is left in any stream at the end makes the body malformed.

mod addresses;
mod decode;
mod dictionary;
mod encode;
mod fields;
mod indices;
mod numbers;
mod recent;
pub(crate) mod rlp;
mod shapes;
mod streams;
#[cfg(test)]
mod tests;
mod tracked;
mod words;

use bytes::Bytes;

use self::streams::Streams;
use crate::columns::Columns;
use crate::payload::SectionError;

pub(crate) use self::decode::Decoded;

/// The body of a section: what it begins with, and its transactions.
pub(crate) fn encode(section: Vec<u8>, transactions: &[&Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    streams::close(encode::columns(section, transactions), &mut out, dictionary::compress);
    out
}

/// A body whose columns are not compressed.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn encode_stored(transactions: &[&Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    streams::close(encode::columns(Vec::new(), transactions), &mut out, |_| None);
    out
}

/// A body's streams, decompressed.
pub(crate) struct Body(Streams<Vec<u8>>);

impl Body {
    /// What the streams hold is taken from `budget` before anything is decompressed.
    pub(crate) fn open(body: &[u8], budget: &mut usize) -> Result<Self, SectionError> {
        streams::open(body, budget).map(Self)
    }

    /// What `begin` reads from the section's beginning, which says how many transactions there are, and these. They are taken from `budget`.
    pub(crate) fn read<T>(
        &self,
        budget: &mut usize,
        begin: impl FnOnce(&mut Columns<'_>) -> Result<(T, usize), SectionError>,
    ) -> Result<(T, Decoded), SectionError> {
        let mut columns = self.0.each_ref().map(|stream| Columns(stream));
        let (beginning, total) = begin(&mut columns.section)?;
        Ok((beginning, decode::transactions(columns, total, budget)?))
    }

    /// All streams, one after the other.
    #[cfg(test)]
    pub(crate) fn parts(self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        self.0.map(|stream| parts.push(stream));
        parts
    }
}

/// Each column's name and bytes, as they are and as they are stored; those of a shared frame as they are.
#[cfg(feature = "measuring")]
pub(crate) fn measure(transactions: &[&Bytes]) -> Vec<(&'static str, Vec<u8>, usize)> {
    let mut names = streams::NAMES.iter();
    let mut all = Vec::new();
    encode::columns(Vec::new(), transactions).map(|raw| {
        let stored = dictionary::compress(&raw).map_or(raw.len(), |packed| packed.bytes.len());
        all.push((*names.next().expect("as many names as streams"), raw, stored));
    });
    assert!(names.next().is_none(), "as many streams as names");
    all
}
