//! Blocks to bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{Block, Digest, Height, L1Reference, RollupId, merkle};

use super::{
    FLAG_FORCED, FLAG_L1, FLAG_SEALS, LAYOUT_COMMITMENT, LAYOUT_PLAIN, LAYOUT_TRANSACTIONS, MAX_BLOCKS,
    MAX_HEAD_BYTES, MAX_RAW_BYTES, MAX_ROLLUPS, MAX_TRANSACTIONS, VERSION,
};
use crate::columns::{MAX_VARINT_BYTES, put_varint, varint_length};
use crate::frame::{FRAME_PREFIX_BYTES, put_frame, put_stored_frame};
use crate::header::{BatchHeader, HeaderMismatch};
use crate::policies::Policies;
use crate::transactions;

/// Bytes of a payload that belong to no block.
pub const BATCH_OVERHEAD_BYTES: usize = 1 + FRAME_PREFIX_BYTES + MAX_VARINT_BYTES + 2;
/// Bytes that a rollup takes in a batch beside its sections.
const ROLLUP_OVERHEAD_BYTES: usize = 4 + 1 + FRAME_PREFIX_BYTES + MAX_VARINT_BYTES;
/// Gap and count of a section.
const SECTION_OVERHEAD_BYTES: usize = 3 + 5;

// The genesis file's limits are checked with these: what may be sealed must fit into the blobs.
const _: () = {
    use ordering_types::chain_spec as agreed;
    assert!(MAX_HEAD_BYTES as u64 <= agreed::BLOCK_OVERHEAD_BYTES);
    assert!((ROLLUP_OVERHEAD_BYTES + SECTION_OVERHEAD_BYTES + 32) as u64 <= agreed::SECTION_OVERHEAD_BYTES);
    assert!(agreed::BATCH_CAPACITY_BYTES as usize + BATCH_OVERHEAD_BYTES <= crate::blob::MAX_PAYLOAD_BYTES);
};

/// Why blocks do not encode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The header is of another number of blocks.
    #[error(transparent)]
    Header(#[from] HeaderMismatch),
    /// A rollup that the chain specification does not have.
    #[error("rollup {0} is not in the chain specification")]
    UnknownRollup(RollupId),
    /// A block before its predecessor.
    #[error("the time of block {0} is before that of the block before it")]
    Time(Height),
    /// A block that has consumed less than its predecessor.
    #[error("the forced cursor of block {0} is before that of the block before it")]
    Cursor(Height),
    /// Over one of the limits that readers enforce.
    #[error("{what}: {got}, at most {limit} allowed")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        got: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// Upper bound of the bytes that a block adds to a payload, whatever it holds and however badly it compresses.
///
/// A batch whose blocks' costs and [`BATCH_OVERHEAD_BYTES`] together stay within
/// [`MAX_PAYLOAD_BYTES`](crate::blob::MAX_PAYLOAD_BYTES) always fits into its blobs: what is sealed can be posted.
pub fn block_cost(block: &Block, policies: &Policies) -> usize {
    let sections = block.sections.iter().map(|section| {
        let content = match policies.of_rollup(section.rollup).map(|policy| policy.data) {
            Some(DataPolicy::Committee) => 32,
            _ => section.transactions.iter().map(|tx| tx.len() + varint_length(tx.len() as u64)).sum(),
        };
        ROLLUP_OVERHEAD_BYTES + SECTION_OVERHEAD_BYTES + content
    });
    MAX_HEAD_BYTES + sections.sum::<usize>()
}

/// The payload of these blocks.
pub fn encode(
    header: &BatchHeader,
    blocks: &[Arc<Block>],
    policies: &Policies,
) -> Result<Vec<u8>, EncodeError> {
    if header.block_count() != blocks.len() as u64 || blocks.is_empty() {
        let (first, last) = (header.first_height, header.last_height);
        return Err(HeaderMismatch::Range { first, last, got: blocks.len() }.into());
    }
    limit("blocks", blocks.len(), MAX_BLOCKS)?;
    let heads = heads(blocks)?;
    let rollups = rollups(blocks, policies)?;
    limit("rollups", rollups.len(), MAX_ROLLUPS)?;
    let raw: Vec<(RollupId, RollupColumns<'_>, Vec<u8>)> = rollups
        .into_iter()
        .map(|(id, rollup)| {
            let columns = rollup.columns();
            (id, rollup, columns)
        })
        .collect();
    let total = heads.len() + raw.iter().map(|(.., columns)| columns.len()).sum::<usize>();
    limit("bytes before compression", total, MAX_RAW_BYTES)?;

    let mut out = vec![VERSION];
    put_frame(&mut out, &heads);
    let count = u16::try_from(raw.len()).expect("limited above");
    out.extend_from_slice(&count.to_be_bytes());
    // What readers may still hold beside the columns of all rollups as they are counted above.
    let mut spare = MAX_RAW_BYTES - total;
    for (id, rollup, columns) in raw {
        out.extend_from_slice(&id.get().to_be_bytes());
        if let Some(body) = rollup.transactions(&columns, &mut spare) {
            out.push(LAYOUT_TRANSACTIONS);
            put_stored_frame(&mut out, &body);
        } else {
            out.push(rollup.layout());
            put_frame(&mut out, &columns);
        }
    }
    Ok(out)
}

const fn limit(what: &'static str, got: usize, limit: usize) -> Result<(), EncodeError> {
    if got > limit { Err(EncodeError::Limit { what, got, limit }) } else { Ok(()) }
}

fn heads(blocks: &[Arc<Block>]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(blocks.len() * MAX_HEAD_BYTES);
    put_varint(&mut out, blocks.len() as u64);
    for block in blocks {
        out.extend_from_slice(&block.header.version.to_be_bytes());
    }
    let mut reference = L1Reference::default();
    let mut references = Vec::new();
    let (mut cursor, mut consumed) = (0, Vec::new());
    for Block { header, .. } in blocks.iter().map(AsRef::as_ref) {
        let mut flags = if header.seals_batch { FLAG_SEALS } else { 0 };
        if header.l1_reference != reference {
            flags |= FLAG_L1;
            reference = header.l1_reference;
            references.push(reference);
        }
        if header.forced_cursor != cursor {
            flags |= FLAG_FORCED;
            consumed
                .push(header.forced_cursor.checked_sub(cursor).ok_or(EncodeError::Cursor(header.height))?);
            cursor = header.forced_cursor;
        }
        out.push(flags);
    }
    let mut time = 0;
    for Block { header, .. } in blocks.iter().map(AsRef::as_ref) {
        let step = header.time_ms.checked_sub(time).ok_or(EncodeError::Time(header.height))?;
        put_varint(&mut out, step);
        time = header.time_ms;
    }
    for block in blocks {
        out.extend_from_slice(block.header.cut.as_ref());
    }
    for block in blocks {
        out.extend_from_slice(block.header.state_root.as_ref());
    }
    for reference in references {
        out.extend_from_slice(&reference.number.to_be_bytes());
        out.extend_from_slice(reference.hash.as_ref());
    }
    for entries in consumed {
        put_varint(&mut out, entries);
    }
    Ok(out)
}

/// One rollup's sections, in order of block.
enum RollupColumns<'a> {
    Plain(RollupKind, Vec<(usize, &'a [Bytes])>),
    Commitment(Vec<(usize, u32, Digest)>),
}

fn rollups<'a>(
    blocks: &'a [Arc<Block>],
    policies: &Policies,
) -> Result<BTreeMap<RollupId, RollupColumns<'a>>, EncodeError> {
    let mut rollups = BTreeMap::new();
    let mut transactions = 0;
    for (place, block) in blocks.iter().enumerate() {
        for section in &block.sections {
            let policy =
                policies.of_rollup(section.rollup).ok_or(EncodeError::UnknownRollup(section.rollup))?;
            let columns = rollups.entry(section.rollup).or_insert_with(|| match policy.data {
                DataPolicy::Blob => RollupColumns::Plain(policy.kind, Vec::new()),
                DataPolicy::Committee => RollupColumns::Commitment(Vec::new()),
            });
            match columns {
                RollupColumns::Plain(_, sections) => {
                    transactions += section.transactions.len();
                    limit("transactions", transactions, MAX_TRANSACTIONS)?;
                    sections.push((place, &section.transactions));
                }
                RollupColumns::Commitment(sections) => {
                    let count = section.transactions.len();
                    limit("transactions of a section", count, u32::MAX as usize)?;
                    sections.push((place, count as u32, merkle::root(&section.leaves())));
                }
            }
        }
    }
    Ok(rollups)
}

impl RollupColumns<'_> {
    const fn layout(&self) -> u8 {
        match self {
            Self::Plain(..) => LAYOUT_PLAIN,
            Self::Commitment(_) => LAYOUT_COMMITMENT,
        }
    }

    fn columns(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Plain(_, sections) => {
                put_plain_places(&mut out, sections);
                let transactions = || sections.iter().flat_map(|(_, all)| all.iter());
                for transaction in transactions() {
                    put_varint(&mut out, transaction.len() as u64);
                }
                for transaction in transactions() {
                    out.extend_from_slice(transaction);
                }
            }
            Self::Commitment(sections) => {
                put_places(&mut out, sections.iter().map(|(place, count, _)| (*place, u64::from(*count))));
                for (.., root) in sections {
                    out.extend_from_slice(root.as_ref());
                }
            }
        }
        out
    }

    /// The body of the layout of transactions, if that is theirs and takes fewer bytes than the plain columns do at worst. It is read
    /// again: what is sealed must be readable, whatever is in it.
    fn transactions(&self, plain: &[u8], spare: &mut usize) -> Option<Vec<u8>> {
        let Self::Plain(RollupKind::Evm, sections) = self else { return None };
        let all: Vec<&Bytes> = sections.iter().flat_map(|(_, all)| *all).collect();
        let mut beginning = Vec::new();
        put_plain_places(&mut beginning, sections);
        let places = beginning.len();
        let body = transactions::encode(beginning, &all);
        let mut budget = (*spare + plain.len()).checked_sub(body.len())?;
        let opened = transactions::Body::open(&body, &mut budget).ok()?;
        let read = opened.read(&mut budget, |section| Ok((section.take(places)?.len(), all.len())));
        let (_, (bytes, lengths)) = read.ok()?;
        let same = lengths.iter().copied().eq(all.iter().map(|bytes| bytes.len())) && plain.ends_with(&bytes);
        if !same || body.len() >= plain.len() {
            return None;
        }
        *spare = budget;
        Some(body)
    }
}

fn put_plain_places(out: &mut Vec<u8>, sections: &[(usize, &[Bytes])]) {
    put_places(out, sections.iter().map(|(place, all)| (*place, all.len() as u64)));
}

/// The columns of gaps and counts.
fn put_places(out: &mut Vec<u8>, sections: impl ExactSizeIterator<Item = (usize, u64)> + Clone) {
    put_varint(out, sections.len() as u64);
    let mut next = 0;
    for (place, _) in sections.clone() {
        put_varint(out, (place - next) as u64);
        next = place + 1;
    }
    for (_, count) in sections {
        put_varint(out, count);
    }
}
