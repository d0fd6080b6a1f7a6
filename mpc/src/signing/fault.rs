//! What other members did wrong, and what this node's own requests are refused for.

use super::item::ItemId;
use super::voucher::{Accusation, Voucher};
use crate::member::MemberId;
use crate::wire::WireError;

/// A member's wrongdoing, as seen by this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member {culprit}: {kind}")]
pub struct Fault {
    /// Who sent it.
    pub culprit: MemberId,
    /// What was wrong with it.
    pub kind: FaultKind,
}

/// What was wrong with a message. Being late or silent is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The sender holds no share of this key.
    #[error("is not a member of the signing group")]
    NotAMember,
    /// Does not parse.
    #[error("sent a malformed message: {0}")]
    Malformed(#[from] WireError),
    /// A package with the wrong number of signers, a stranger, without its recipient, or beyond the last session.
    #[error("sent a package that cannot be signed")]
    BadPackage,
    /// A package from a member whose turn that attempt is not.
    #[error("coordinated attempt {attempt} of {item:?} out of turn")]
    NotCoordinator {
        /// What was to be signed.
        item: ItemId,
        /// The attempt.
        attempt: u32,
    },
    /// A package over another digest than this node's own. Never signed.
    #[error("asked for another digest of {item:?}")]
    ForeignDigest {
        /// What was to be signed.
        item: ItemId,
    },
    /// A signature that does not verify.
    #[error("sent an invalid signature of {item:?}")]
    BadSignature {
        /// What it claims to sign.
        item: ItemId,
    },
    /// A signature share that does not verify.
    #[error("sent an invalid share for {item:?}")]
    InvalidShare {
        /// What was to be signed.
        item: ItemId,
        /// The share and what it answers.
        accusation: Accusation,
        /// What came with it. Not checked here: if it is the signer's, the accusation is proven.
        voucher: Voucher,
    },
}

/// Why an input of this node's own is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The item has a digest already, and this is not it. One item, one digest.
    #[error("{0:?} already has another digest")]
    SecondDigest(ItemId),
    /// The item lies below what was forgotten or is retained, so its digest is not known any more.
    #[error("{0:?} is forgotten")]
    Forgotten(ItemId),
    /// [`MAX_RUNNING`](super::MAX_RUNNING) items are being signed.
    #[error("too many items are being signed")]
    Busy,
    /// A signature for an item whose digest this node has not given.
    #[error("{0:?} is not being signed")]
    Unknown(ItemId),
    /// The signature does not verify.
    #[error("invalid signature of {0:?}")]
    BadSignature(ItemId),
}
