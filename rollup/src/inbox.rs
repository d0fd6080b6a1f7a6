//! The contract's face, generated from its interface, and conversions to our types.

use alloy::primitives::{B256, U256};
use batcher_format::{BatchHeader, SealedBatch};
use ordering_types::{Digest, Epoch, GroupKey, GroupSignature, Height, SignedHandover};

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

/// A group key by its x-coordinate and the parity of the other; `None` if there is no such point.
pub fn group_key(x: U256, y_odd: bool) -> Option<GroupKey> {
    let mut compressed = [2 | u8::from(y_odd); 33];
    *compressed.last_chunk_mut::<32>()? = x.to_be_bytes();
    GroupKey::from_bytes(compressed).ok()
}

/// The call that posts a batch in the blobs of its transaction, or `None` if its signature is no point and a scalar.
pub fn post_call(batch: &SealedBatch) -> Option<ISequencerInbox::postCall> {
    Some(ISequencerInbox::postCall {
        header: (&batch.header).into(),
        calldataHash: word(batch.encoded.calldata_hash()),
        inlineData: batch.encoded.inline.clone().into(),
        signature: signature_words(&batch.signature)?,
    })
}

/// The call that posts several batches, one after the other in the blobs of its transaction; `None` as for [`post_call`].
pub fn post_series_call<'a>(
    batches: impl IntoIterator<Item = &'a SealedBatch>,
) -> Option<ISequencerInbox::postSeriesCall> {
    let posting = |batch: &SealedBatch| {
        let ISequencerInbox::postCall { header, calldataHash, inlineData, signature } = post_call(batch)?;
        let blobs = U256::from(batch.encoded.commitments.len());
        Some(ISequencerInbox::Posting { header, calldataHash, inlineData, signature, blobs })
    };
    Some(ISequencerInbox::postSeriesCall {
        postings: batches.into_iter().map(posting).collect::<Option<_>>()?,
    })
}

/// The call that carries a batch itself; `None` as for [`post_call`], and if the batch has no calldata form.
pub fn post_calldata_call(batch: &SealedBatch) -> Option<ISequencerInbox::postCalldataCall> {
    if batch.encoded.calldata_hash() == Digest::ZERO {
        return None;
    }
    Some(ISequencerInbox::postCalldataCall {
        header: (&batch.header).into(),
        blobHashes: batch.encoded.blob_hashes().into_iter().map(word).collect(),
        payload: batch.encoded.payload.clone().into(),
        inlineData: batch.encoded.inline.clone().into(),
        signature: signature_words(&batch.signature)?,
    })
}

/// The call that hands over to the next epoch's key, or `None` if its signature is no point and a scalar.
pub fn rotate_call(signed: &SignedHandover) -> Option<ISequencerInbox::rotateCall> {
    let handover = &signed.handover;
    let (x, y) = handover.next.key.coordinates();
    let next = ISequencerInbox::Handover {
        epoch: handover.next.epoch.get(),
        keyX: U256::from_be_bytes(x),
        keyY: U256::from_be_bytes(y),
        firstBatch: handover.first_batch,
        firstHeight: handover.first_height.get(),
        committeeHash: word(handover.next.committee),
    };
    Some(ISequencerInbox::rotateCall { next, signature: signature_words(&signed.signature)? })
}

fn signature_words(signature: &GroupSignature) -> Option<ISequencerInbox::GroupSignature> {
    let (rx, ry, z) = signature.words()?;
    let word = U256::from_be_bytes::<32>;
    Some(ISequencerInbox::GroupSignature { rx: word(rx), ry: word(ry), z: word(z) })
}

/// A signature from the ABI; whether it is one is seen at verification.
pub(crate) fn group_signature(words: &ISequencerInbox::GroupSignature) -> GroupSignature {
    let mut bytes = [2 | u8::from(words.ry.bit(0)); 65];
    let numbers = [words.rx.to_be_bytes::<32>(), words.z.to_be_bytes::<32>()];
    for (to, from) in bytes.iter_mut().skip(1).zip(numbers.as_flattened()) {
        *to = *from;
    }
    GroupSignature::new(bytes)
}
