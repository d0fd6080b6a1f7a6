//! The group signature of a posted batch, in whichever call posted it.

use alloy::primitives::Bytes as AbiBytes;
use alloy::sol_types::SolInterface;
use batcher_format::BatchHeader;
use ordering_types::GroupSignature;

use crate::inbox::ISequencerInbox::ISequencerInboxCalls;
use crate::inbox::group_signature;

/// The signature that a call hands in with this header; `None` if it hands in no such header.
pub(super) fn signature_in(input: &AbiBytes, header: &BatchHeader) -> Option<GroupSignature> {
    let (said, signature) = match ISequencerInboxCalls::abi_decode(input).ok()? {
        ISequencerInboxCalls::post(call) => (call.header, call.signature),
        ISequencerInboxCalls::postCalldata(call) => (call.header, call.signature),
        ISequencerInboxCalls::postSeries(call) => {
            let one = call.postings.into_iter().find(|one| one.header.number == header.number)?;
            (one.header, one.signature)
        }
        _ => return None,
    };
    (BatchHeader::from(&said) == *header).then(|| group_signature(&signature))
}
