//! Messages between node cores beside the ordering core's: signing sessions and batch encodings, all on
//! [`Class::Ceremony`](crate::api::Class::Ceremony). Authenticated by the connection, except where they carry signatures.

use batcher_format::{EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering::epoch::{EPOCH_VOTE, KEY_DATA, READY};
use ordering::forced::FORCED;
use ordering::l1::{L1_REPORT, REGISTRY};
use ordering_types::codec::{self, DecodeError};
use ordering_types::{Epoch, EpochVote, GroupSignature, L1Report, SharedKey};
use serde::{Deserialize, Serialize};

use crate::keyring::Named;

/// Most bytes of one message: six full blobs with commitments and proofs, and room for the rest.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Tells a shared key from others: eight bytes of the key, mixed with its epoch and sharing, where keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyTag([u8; 8]);

impl KeyTag {
    pub(crate) fn of(Named { epoch, key: SharedKey { key, sharing } }: Named) -> Self {
        let [_, a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
        let place = epoch.get() << 32 ^ u64::from(sharing);
        Self((u64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ place).to_be_bytes())
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PeerMessage {
    /// Between signing machines.
    Signing {
        /// Of which key: an epoch may have had others made for it that were given up.
        key: KeyTag,
        /// Opaque here.
        bytes: Bytes,
    },
    /// The in-turn encoder's carrier for a batch that is not signed yet.
    Encoding {
        /// The batch.
        number: u64,
        /// Whose turn it was.
        attempt: u8,
        /// The carrier.
        encoded: EncodedBatch,
    },
    /// The sender has not seen this batch signed.
    WantSealed {
        /// The batch.
        number: u64,
    },
    /// Answer to [`Self::WantSealed`].
    Sealed(SealedBatch),
}

impl PeerMessage {
    pub(crate) fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_MESSAGE_BYTES)
    }
}

/// The answer to [`Output::ServeSealed`](crate::api::Output::ServeSealed).
pub fn sealed_answer(batch: &SealedBatch) -> Bytes {
    PeerMessage::Sealed(batch.clone()).encode()
}

/// What this node says to the whole committee through the ordered log.
///
/// ```text
///   1 ‖ ceremony payload        │   2 ‖ 33 group key ‖ 65 ECDSA signature over the contract's initialise digest
///   3 ‖ epoch vote              │   4 ‖ u64 new epoch ‖ 65 signature of its handover by the outgoing key
///   5 ‖ report of an L1 block   │   6 ‖ the registry's active validators    │   7 ‖ u64 epoch that the sender is ready for ‖ its announcement
///   8 ‖ u64 epoch ‖ public data of its key   │   9 ‖ entries of the forced-inclusion queue
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogPayload<'a> {
    /// A step of a key ceremony; opaque here.
    Ceremony(&'a [u8]),
    /// The sender saw this key completed and signs it for the contract.
    FoundingVote { key: [u8; 33], signature: [u8; 65] },
    /// The sender says that the next epoch may begin. Ordering counts these.
    EpochVote(EpochVote),
    /// The sender saw this on L1. Ordering counts these.
    L1Report(L1Report),
    /// The active validators, encoded. Ordering reads it.
    Registry(&'a [u8]),
    /// The sender could be a member of this epoch, and announces its encryption key for the ceremonies. Ordering notes it.
    Ready { epoch: Epoch, announcement: &'a [u8] },
    /// The public data of this epoch's key, of which the sender holds a share. Ordering notes it.
    KeyData { epoch: Epoch, data: &'a [u8] },
    /// What comes next in the forced-inclusion queue, encoded. Ordering reads it.
    Forced(&'a [u8]),
    /// The outgoing committee has signed the handover to this epoch.
    Handover { epoch: Epoch, signature: GroupSignature },
}

const CEREMONY: u8 = 1;
const FOUNDING_VOTE: u8 = 2;
const HANDOVER: u8 = 4;

impl<'a> LogPayload<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ceremony(bytes) => [&[CEREMONY], *bytes].concat(),
            Self::FoundingVote { key, signature } => [&[FOUNDING_VOTE], key.as_slice(), signature].concat(),
            Self::EpochVote(vote) => [&[EPOCH_VOTE], vote.encode().as_slice()].concat(),
            Self::L1Report(report) => [&[L1_REPORT], report.encode().as_slice()].concat(),
            Self::Registry(bytes) => [&[REGISTRY], *bytes].concat(),
            Self::Forced(bytes) => [&[FORCED], *bytes].concat(),
            Self::Ready { epoch, announcement } => {
                [[READY].as_slice(), &epoch.get().to_be_bytes(), announcement].concat()
            }
            Self::KeyData { epoch, data } => {
                [[KEY_DATA].as_slice(), &epoch.get().to_be_bytes(), data].concat()
            }
            Self::Handover { epoch, signature } => {
                [&[HANDOVER], epoch.get().to_be_bytes().as_slice(), signature.as_bytes()].concat()
            }
        }
    }

    /// `None` for bytes that say nothing we know: they stay in the log and mean nothing.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&CEREMONY, rest) => Some(Self::Ceremony(rest)),
            (&FOUNDING_VOTE, rest) => {
                let (key, signature) = rest.split_first_chunk::<33>()?;
                Some(Self::FoundingVote { key: *key, signature: signature.try_into().ok()? })
            }
            (&EPOCH_VOTE, rest) => Some(Self::EpochVote(EpochVote::decode(rest)?)),
            (&HANDOVER, rest) => {
                let (epoch, signature) = rest.split_first_chunk::<8>()?;
                let epoch = Epoch::new(u64::from_be_bytes(*epoch));
                Some(Self::Handover { epoch, signature: GroupSignature::new(signature.try_into().ok()?) })
            }
            (&L1_REPORT, rest) => Some(Self::L1Report(L1Report::decode(rest)?)),
            (&REGISTRY, rest) => Some(Self::Registry(rest)),
            (&FORCED, rest) => Some(Self::Forced(rest)),
            (&READY, rest) => {
                let (epoch, announcement) = rest.split_first_chunk::<8>()?;
                Some(Self::Ready { epoch: Epoch::new(u64::from_be_bytes(*epoch)), announcement })
            }
            (&KEY_DATA, rest) => {
                let (epoch, data) = rest.split_first_chunk::<8>()?;
                Some(Self::KeyData { epoch: Epoch::new(u64::from_be_bytes(*epoch)), data })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn log_payloads_survive_and_cut_ones_mean_nothing() {
        let vote = LogPayload::FoundingVote { key: [2; 33], signature: [7; 65] };
        let bytes = vote.encode();
        assert_eq!(LogPayload::decode(&bytes), Some(vote));
        for end in 0..bytes.len() {
            assert_eq!(LogPayload::decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(LogPayload::decode(&[1, 9]), Some(LogPayload::Ceremony(&[9])));
        assert_eq!(LogPayload::decode(&[3, 9]), None);
        let handover = LogPayload::Handover { epoch: Epoch::new(7), signature: GroupSignature::new([5; 65]) };
        let bytes = handover.encode();
        assert_eq!(LogPayload::decode(&bytes), Some(handover));
        for end in 0..bytes.len() {
            assert_eq!(LogPayload::decode(&bytes[..end]), None, "cut at {end}");
        }
        let ready = LogPayload::Ready { epoch: Epoch::new(7), announcement: &[1; 98] };
        assert_eq!(LogPayload::decode(&ready.encode()), Some(ready));
        let data = LogPayload::KeyData { epoch: Epoch::new(7), data: &[2; 40] };
        assert_eq!(LogPayload::decode(&data.encode()), Some(data));
        let forced = LogPayload::Forced(&[3; 40]);
        assert_eq!(LogPayload::decode(&forced.encode()), Some(forced));
        assert_eq!(LogPayload::decode(&[10, 9]), None);
    }

    #[test]
    fn messages_survive_and_garbage_is_an_error() {
        let message = PeerMessage::WantSealed { number: 7 };
        assert_eq!(PeerMessage::decode(&message.encode()), Ok(message));
        assert!(PeerMessage::decode(&[255; 64]).is_err());
        assert!(PeerMessage::decode(&vec![0; MAX_MESSAGE_BYTES + 1]).is_err());
    }
}
