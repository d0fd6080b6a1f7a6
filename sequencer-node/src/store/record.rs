//! What stands in the journal's records, beside chunks.
//!
//! ```text
//!   wal         u64 height │ entry of the consensus log
//!   burn        key, value
//!   block       header, certificate, cut, covered chunks, forced entries, snapshot, ids by rollup: all but the chunks' transactions
//!   certified   height, group signature
//!   sealed      sealed batch
//!   checkpoint  header, certificate, snapshot, context: blocks up to here will never be held
//! ```
//!
//! All but forced entries of a block's transactions stand in the chunks that it covers, once: reading it puts them together again.

use std::collections::BTreeMap;

use bytes::Bytes;
use ordering_types::block::TxTree;
use ordering_types::codec::{self, DecodeError};
use ordering_types::{
    Block, Chunk, CommitCertificate, Cut, Digest, ForcedEntry, Header, Height, LaneId, RollupId,
    RollupSection, TxId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::segments::MAX_RECORD_BYTES;
use crate::core_api::{Checkpoint, Covered, Decided};

/// All of a block but its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) header: Header,
    pub(super) certificate: CommitCertificate,
    pub(super) cut: Bytes,
    /// Digests of the chunks that the cut covers, in the block's order, each with the places left out.
    pub(super) covered: Vec<(Digest, Vec<u32>)>,
    /// What stands before the chunks' transactions.
    pub(super) forced: Vec<ForcedEntry>,
    pub(super) snapshot: Bytes,
    pub(super) ids: Vec<(RollupId, Vec<TxId>)>,
}

impl Head {
    pub(super) fn of(decided: &Decided) -> Self {
        let sections = &decided.block.sections;
        let ids = sections
            .iter()
            .map(|s| (s.rollup, decided.tree.leaves(s.rollup).unwrap_or_default().to_vec()))
            .collect();
        Self {
            header: decided.block.header.clone(),
            certificate: decided.certificate.clone(),
            cut: decided.cut_bytes.clone(),
            covered: decided.covered.iter().map(|c| (c.digest, c.left_out.clone())).collect(),
            forced: decided.forced.clone(),
            snapshot: decided.snapshot.clone(),
            ids,
        }
    }

    pub(super) fn tree(&self) -> TxTree {
        TxTree::new(self.ids.clone())
    }

    /// The block's sections from its chunks, which stand in the order of [`Self::covered`]. `None` if they do not fit.
    pub(super) fn sections(&self, chunks: &[Chunk]) -> Option<Vec<RollupSection>> {
        let mut sections: BTreeMap<RollupId, Vec<Bytes>> = BTreeMap::new();
        for ForcedEntry { rollup, data } in &self.forced {
            sections.entry(*rollup).or_default().push(data.clone());
        }
        for (chunk, (_, left_out)) in chunks.iter().zip(&self.covered) {
            let mut left_out = left_out.iter().peekable();
            for (place, transaction) in (0..).zip(chunk.transactions()) {
                if left_out.next_if(|left| **left == place).is_none() {
                    sections.entry(transaction.rollup).or_default().push(transaction.data.clone());
                }
            }
        }
        let lengths = sections.iter().map(|(rollup, data)| (*rollup, data.len()));
        lengths.eq(self.ids.iter().map(|(rollup, ids)| (*rollup, ids.len()))).then(|| {
            let section = |(rollup, transactions)| RollupSection { rollup, transactions };
            sections.into_iter().map(section).collect()
        })
    }

    /// Put together with its transactions again.
    pub(super) fn into_decided(self, sections: Vec<RollupSection>) -> Result<Decided, DecodeError> {
        let cut = Cut::decode(&self.cut)?;
        let tree = self.tree();
        let Self { header, certificate, cut: cut_bytes, covered, forced, snapshot, .. } = self;
        let covered = covered.into_iter().map(|(digest, left_out)| Covered { digest, left_out }).collect();
        let block = Block { header, sections };
        Ok(Decided { block, tree, certificate, cut, cut_bytes, covered, forced, snapshot })
    }
}

/// Lane and highest sequence that a cut covers.
pub(super) fn tips(cut: &Cut) -> Vec<(LaneId, u64)> {
    cut.tips.iter().map(|tip| (tip.lane, tip.sequence.get())).collect()
}

/// Lane and highest sequence that is decided at a checkpoint.
pub(super) fn decided_lanes(checkpoint: &Checkpoint) -> Vec<(LaneId, u64)> {
    // The core has read this snapshot, or it would not go on from here.
    let lanes = ordering::checkpoint::decided_lanes(&checkpoint.snapshot).unwrap_or_default();
    lanes.into_iter().map(|(lane, sequence)| (lane, sequence.get())).collect()
}

pub(super) fn encode_wal(height: Height, entry: &[u8]) -> Vec<u8> {
    [&height.get().to_be_bytes(), entry].concat()
}

/// Height and entry.
pub(super) fn decode_wal(payload: &Bytes) -> Option<(Height, Bytes)> {
    let (height, _) = payload.split_first_chunk()?;
    Some((Height::new(u64::from_be_bytes(*height)), payload.slice(8..)))
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    codec::encode(value)
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    codec::decode(payload, MAX_RECORD_BYTES as usize)
}
