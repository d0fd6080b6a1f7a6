//! The contract's face, generated from its interface, and conversions to our types.

use alloy::primitives::{B256, U256};
use batcher_format::{BatchHeader, SealedBatch};
use ordering_types::{Digest, Epoch, Height};

pub use bindings::ISequencerInbox;

#[allow(missing_docs, unreachable_pub, clippy::indexing_slicing, clippy::too_many_arguments)]
mod bindings {
    alloy::sol!("../batcher/contracts/src/ISequencerInbox.sol");
}

/// A digest as the ABI has it.
pub fn word(digest: Digest) -> B256 {
    B256::new(digest.to_bytes())
}

/// A digest from the ABI.
pub const fn digest(word: B256) -> Digest {
    Digest::new(word.0)
}

impl From<&BatchHeader> for ISequencerInbox::BatchHeader {
    fn from(header: &BatchHeader) -> Self {
        Self {
            number: header.number,
            parentId: word(header.parent),
            epoch: header.epoch.get(),
            firstHeight: header.first_height.get(),
            lastHeight: header.last_height.get(),
            lastHeaderHash: word(header.last_header),
            lastTime: header.last_time_ms,
            forcedCursor: header.forced_cursor,
            l1Reference: header.l1_reference,
        }
    }
}

impl From<&ISequencerInbox::BatchHeader> for BatchHeader {
    fn from(header: &ISequencerInbox::BatchHeader) -> Self {
        Self {
            number: header.number,
            parent: digest(header.parentId),
            epoch: Epoch::new(header.epoch),
            first_height: Height::new(header.firstHeight),
            last_height: Height::new(header.lastHeight),
            last_header: digest(header.lastHeaderHash),
            last_time_ms: header.lastTime,
            forced_cursor: header.forcedCursor,
            l1_reference: header.l1Reference,
        }
    }
}

/// The call that posts a batch, or `None` if its signature is no point and a scalar.
pub fn post_call(batch: &SealedBatch) -> Option<ISequencerInbox::postCall> {
    let (rx, ry, z) = batch.signature.words()?;
    Some(ISequencerInbox::postCall {
        header: (&batch.header).into(),
        calldataHash: B256::ZERO,
        signature: ISequencerInbox::GroupSignature {
            rx: U256::from_be_bytes(rx),
            ry: U256::from_be_bytes(ry),
            z: U256::from_be_bytes(z),
        },
    })
}
