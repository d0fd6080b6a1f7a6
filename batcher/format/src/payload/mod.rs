//! Blocks to bytes and back.
//!
//! ```text
//!   payload  =  u8 version (3) │ frame of heads │ u16 rollup count │ rollups, in ascending order
//!   rollup   =  u32 rollup │ u8 layout (0 plain, 1 commitment, 2 transactions) │ frame of its sections
//!   frame    =  see `frame`: u8 compression │ u32 raw length │ u32 stored length │ stored bytes
//!
//!   heads    =  varint n │ n × u16 version │ n × u8 flags │ n × varint time step │ 32 × n cuts │ 32 × n state roots
//!               │ for every block with flag 2: u64 L1 number, 32 L1 hash │ for every block with flag 4: varint forced entries
//!   places   =  varint s │ s × varint gap │ s × varint count
//!   plain    =  places │ lengths, varint each │ transaction bytes
//!   commitment   = places │ s × 32 roots
//!   transactions = see `transactions`: columns of fields, the first of which begins with places
//! ```
//!
//! Flags: 1 seals the batch, 2 the L1 reference differs from the block's before (the first block's: from zero), 4 the forced cursor does, by
//! so many entries. A time step is milliseconds since the block before (the first block's: since 1970). `s` counts the blocks that hold
//! transactions of the rollup, a gap those skipped before each.
//!
//! A rollup of policy `committee` has the layout commitment. All others have plain; those of kind `evm` may have
//! transactions instead, which the encoder takes where it is shorter than the plain columns are before compression. So
//! [`block_cost`] bounds both. Its frame is never compressed, as its columns are already.
//!
//! What is not here is derived: chain specification from the context, epoch and heights from the batch header, each
//! parent from the block before, `tx_root` and `tx_count` from the sections. So every header hash is recomputed, from
//! the batch's parent up to the signed last one.
//!
//! **A rollup whose frame does not decode counts as empty in this batch and blocks no other.** Its absence leaves the
//! headers unproven, so they are withheld; the payload itself is still what the committee signed. Signers refuse such
//! a payload, so this happens only when more than f of them lie, or when the reader is older than the layout.
//!
//! **Another version comes with another genesis file**, which says from which height on; software that does not know it does not read that file either. So an
//! unknown version, under a genesis file that some batch has proven, says nothing, and nobody can stop a rollup by signing one.
//!
//! **Encoders may differ, readers may not.** Another version of zstd, or a cleverer encoder, makes other bytes of the same
//! blocks: signers decode and compare. What bytes mean depends on them, on the batch header and on the genesis file alone.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use ordering_types::block::tx_root;
use ordering_types::{Digest, Header, Height, L1Reference, RollupId, merkle};

pub use self::decode::{Context, PayloadError, SectionError, decode};
pub use self::encode::{BATCH_OVERHEAD_BYTES, EncodeError, block_cost, encode};
use crate::columns::MAX_VARINT_BYTES;

/// Most bytes that all frames of one payload may claim to hold decompressed.
pub const MAX_RAW_BYTES: usize = 16 << 20;
/// Most blocks in one batch.
pub const MAX_BLOCKS: usize = 16_384;
/// Most transactions in one batch, over all rollups that post data.
pub const MAX_TRANSACTIONS: usize = 1 << 20;
/// Most rollups with transactions in one batch.
pub const MAX_ROLLUPS: usize = ordering_types::chain_spec::MAX_ROLLUPS;

const VERSION: u8 = 3;
const LAYOUT_PLAIN: u8 = 0;
const LAYOUT_COMMITMENT: u8 = 1;
const LAYOUT_TRANSACTIONS: u8 = 2;
const FLAG_SEALS: u8 = 1;
const FLAG_L1: u8 = 2;
const FLAG_FORCED: u8 = 4;
/// Version, flags, time step, cut, state root, L1 reference, forced cursor.
const MAX_HEAD_BYTES: usize = 2 + 1 + MAX_VARINT_BYTES + 32 + 32 + 8 + 32 + MAX_VARINT_BYTES;

/// What L1 has of one rollup in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its transactions, in order (data policy `blob`).
    Data(Vec<Bytes>),
    /// Only what commits to them (data policy `committee`).
    Commitment {
        /// How many.
        count: u32,
        /// Merkle root over them.
        root: Digest,
    },
}

impl Content {
    /// Number of transactions.
    pub fn count(&self) -> u32 {
        match self {
            Self::Data(transactions) => {
                u32::try_from(transactions.len()).expect("a batch's transactions are bounded far below 2^32")
            }
            Self::Commitment { count, .. } => *count,
        }
    }

    /// Merkle root over the transactions.
    pub fn root(&self) -> Digest {
        match self {
            Self::Data(transactions) => {
                let leaves: Vec<_> =
                    transactions.iter().map(|data| ordering_types::transaction::tx_id(data)).collect();
                merkle::root(&leaves)
            }
            Self::Commitment { root, .. } => *root,
        }
    }
}

/// One rollup's part of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedSection {
    /// The rollup.
    pub rollup: RollupId,
    /// What L1 has of it.
    pub content: Content,
}

/// One block, as far as L1 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedBlock {
    /// Its height.
    pub height: Height,
    /// Its time, milliseconds since 1970.
    pub time_ms: u64,
    /// The L1 block it looks at.
    pub l1_reference: L1Reference,
    /// Entries of the forced-inclusion queue that the blocks up to this one have consumed.
    pub forced_cursor: u64,
    /// Its rollups, in ascending order.
    pub sections: Vec<DecodedSection>,
    /// Its header, proven to lead to the batch's last one; `None` if some rollup of the batch did not decode.
    pub header: Option<Header>,
}

/// A payload, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedBatch {
    /// Its blocks, one a height, in order.
    pub blocks: Vec<DecodedBlock>,
    /// Rollups that count as empty in this batch, and why.
    pub broken: Vec<(RollupId, SectionError)>,
}

/// Count and root over all sections of a block.
fn roots(sections: &[DecodedSection]) -> (u32, Digest) {
    let count = sections.iter().map(|section| section.content.count()).fold(0, u32::saturating_add);
    let parts = sections.iter().map(|s| (s.rollup, s.content.count(), s.content.root()));
    (count, tx_root(parts))
}
