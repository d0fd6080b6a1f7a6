//! Signed Ethereum transactions in columns.

mod addresses;
mod decode;
mod dictionary;
mod encode;
mod fields;
mod indices;
mod numbers;
mod recent;
mod rlp;
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
    streams::close(encode::columns(section, transactions), &mut out);
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
    all
}
