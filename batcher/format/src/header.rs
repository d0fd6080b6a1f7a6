//! What a batch says, and the id that names it.

use std::sync::Arc;

use ordering_types::{Block, Digest, Epoch, Height};
use serde::{Deserialize, Serialize};

/// Version of the header's layout; word 0 of what [`BatchHeader::id`] hashes.
pub const HEADER_VERSION: u64 = 1;

/// What a batch says: everything its id covers (the contract recomputes the id from these fields).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHeader {
    /// Its number, from 1.
    pub number: u64,
    /// Id of the batch before; zero for batch 1.
    pub parent: Digest,
    /// Epoch of all its blocks.
    pub epoch: Epoch,
    /// First block.
    pub first_height: Height,
    /// Last block.
    pub last_height: Height,
    /// Header hash of the last block.
    pub last_header: Digest,
    /// Time of the last block, milliseconds since the Unix epoch.
    pub last_time_ms: u64,
    /// Entries of the forced-inclusion queue that blocks up to the last one have consumed.
    pub forced_cursor: u64,
    /// L1 block number that the last block looks at.
    pub l1_reference: u64,
}

/// Why a header is not that of the blocks beside it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    /// The range does not have as many heights as there are blocks.
    #[error("heights {first} to {last}, but {got} blocks")]
    Range {
        /// First height of the header.
        first: Height,
        /// Last height of the header.
        last: Height,
        /// Number of blocks.
        got: usize,
    },
    /// A block of another height, epoch or parent than its place asks for.
    #[error("the block at place {place} is of another height, epoch or history")]
    Sequence {
        /// Index of the block.
        place: usize,
    },
    /// Hash, time, L1 reference or forced cursor of the last block differ from the header's.
    #[error("{0} of the last block is not the batch header's")]
    Last(&'static str),
}

impl BatchHeader {
    /// Keccak-256 over ten words: the layout's version and the nine fields in their order here. The contract
    /// computes it as `keccak256(abi.encode(uint64(1), header))`.
    pub fn id(&self) -> Digest {
        let words = [
            word(HEADER_VERSION),
            word(self.number),
            self.parent.to_bytes(),
            word(self.epoch.get()),
            word(self.first_height.get()),
            word(self.last_height.get()),
            self.last_header.to_bytes(),
            word(self.last_time_ms),
            word(self.forced_cursor),
            word(self.l1_reference),
        ];
        Digest::keccak256(&[words.as_flattened()])
    }

    /// Number of heights in its range; zero if the range is upside down.
    pub const fn block_count(&self) -> u64 {
        match self.last_height.get().checked_sub(self.first_height.get()) {
            Some(distance) => distance.saturating_add(1),
            None => 0,
        }
    }

    /// Checks that it is the header of exactly these blocks.
    pub fn check_blocks(&self, blocks: &[Arc<Block>]) -> Result<(), HeaderMismatch> {
        let (first, last) = (self.first_height, self.last_height);
        let range = HeaderMismatch::Range { first, last, got: blocks.len() };
        let Some(last_block) = blocks.last() else { return Err(range) };
        if self.block_count() != blocks.len() as u64 {
            return Err(range);
        }
        let mut height = self.first_height;
        let mut parent = None;
        for (place, block) in blocks.iter().enumerate() {
            let header = &block.header;
            let follows = parent.is_none_or(|parent| header.parent == parent);
            if header.height != height || header.epoch != self.epoch || !follows {
                return Err(HeaderMismatch::Sequence { place });
            }
            height = height.next();
            parent = Some(header.hash());
        }
        let last = &last_block.header;
        if parent != Some(self.last_header) {
            return Err(HeaderMismatch::Last("hash"));
        }
        if last.time_ms != self.last_time_ms {
            return Err(HeaderMismatch::Last("time"));
        }
        if last.l1_reference.number != self.l1_reference {
            return Err(HeaderMismatch::Last("L1 reference"));
        }
        if last.forced_cursor != self.forced_cursor {
            return Err(HeaderMismatch::Last("forced cursor"));
        }
        Ok(())
    }
}

pub(crate) fn word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    if let Some(tail) = word.last_chunk_mut::<8>() {
        *tail = number.to_be_bytes();
    }
    word
}
