//! What a member did wrong, and why a ceremony cannot complete.

use crate::member::{MemberId, ThresholdError};
use crate::wire::WireError;

use super::proof::Purpose;

/// A refusal of something that a member put into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member {culprit}: {kind}")]
pub struct Fault {
    /// Who sent it.
    pub culprit: MemberId,
    /// What was wrong with it.
    pub kind: FaultKind,
}

/// What was wrong with a message. Everything but [`Self::UndecryptableShare`] and [`Self::BadShare`] follows from the log
/// alone: each node and each observer finds the same fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The sender is not a member of this ceremony.
    #[error("is not a member of this ceremony")]
    NotAMember,
    /// Longer than [`MAX_PAYLOAD`](super::MAX_PAYLOAD).
    #[error("sent {len} bytes, more than a ceremony message can have")]
    Oversized {
        /// Its length.
        len: usize,
    },
    /// Does not parse.
    #[error("sent a malformed message: {0}")]
    Malformed(#[from] WireError),
    /// Belongs to another ceremony.
    #[error("sent a message of another ceremony")]
    WrongCeremony,
    /// Came before the step that it belongs to.
    #[error("sent a message before its step")]
    OutOfTurn,
    /// A proof of possession does not verify.
    #[error("sent an invalid proof of possession of its {0}")]
    BadProof(Purpose),
    /// Not exactly `t` commitments. A longer list would raise the degree and with it the real threshold, unseen.
    #[error("dealt {got} commitments where exactly {want} belong")]
    CommitmentCount {
        /// How many there were.
        got: usize,
        /// The threshold.
        want: usize,
    },
    /// Not exactly one share for each member.
    #[error("dealt {got} shares where exactly {want} belong")]
    ShareCount {
        /// How many there were.
        got: usize,
        /// The number of members.
        want: usize,
    },
    /// The share for this node does not decrypt to a scalar. Known to the recipient alone.
    #[error("dealt a share that does not decrypt")]
    UndecryptableShare,
    /// The share for this node does not match the dealer's commitments. Known to the recipient alone.
    #[error("dealt a share that does not match its commitments")]
    BadShare,
    /// Acknowledged another group key than the one that the log defines.
    #[error("acknowledged another group key")]
    WrongGroupKey,
}

/// Why this attempt cannot complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A member's announcement, dealing or acknowledgement is invalid, and for now every member is needed.
    #[error("member {0} is disqualified and every member is needed")]
    Disqualified(MemberId),
    /// These dealers gave this node shares that it cannot use, so it cannot acknowledge.
    #[error("unusable shares from members {0:?}")]
    BadShares(Vec<MemberId>),
    /// The log holds a message under this node's name that its seed did not make: the seed was lost or replaced, or the
    /// key runs on two machines.
    #[error("the log holds a message of our own that our seed did not make")]
    ForeignSeed,
    /// The group key or a verifying share is the identity. Needs a broken proof or 2^-128 of luck.
    #[error("the resulting key is degenerate")]
    DegenerateKey,
}

/// A ceremony that cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Size or threshold cannot be.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// This node is not among the members.
    #[error("member {0} is not among the members of the ceremony")]
    NotAMember(MemberId),
    /// Resharing needs old shares, which this constructor does not take.
    #[error("resharing is not started this way")]
    NotFresh,
}
