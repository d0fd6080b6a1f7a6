//! What a member did wrong, and why a ceremony cannot complete.

use std::collections::BTreeSet;

use super::id::CeremonyKind;
use super::proof::Purpose;
use crate::member::{MemberId, ThresholdError};
use crate::wire::WireError;

/// A refusal of something that a member put into the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("member {culprit}: {kind}")]
pub struct Fault {
    /// Who sent it.
    pub culprit: MemberId,
    /// What was wrong with it.
    pub kind: FaultKind,
}

/// What was wrong with a message. All of it follows from the log alone: each node and each observer finds the same fault.
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
    /// Of a key that others are to hold: only they say so.
    #[error("speaks as a recipient and is none")]
    NotARecipient,
    /// Dealt without having announced a key, or without a share of the old one.
    #[error("dealt and is no dealer")]
    NotADealer,
    /// Resharing: the constant is not its share of the old key.
    #[error("dealt another constant than its share of the old key")]
    WrongConstant,
    /// A complaint showed that this recipient's share does not decrypt to a scalar.
    #[error("dealt member {recipient} a share that does not decrypt")]
    UndecryptableShare {
        /// Whose share it is.
        recipient: MemberId,
    },
    /// A complaint showed that this recipient's share does not match the dealer's commitments.
    #[error("dealt member {recipient} a share that does not match its commitments")]
    BadShare {
        /// Whose share it is.
        recipient: MemberId,
    },
    /// Complained of a share that is good.
    #[error("complained of member {dealer}, whose share is good")]
    FalseComplaint {
        /// Of whom.
        dealer: MemberId,
    },
    /// Complained without proof, or of somebody who has dealt nothing.
    #[error("complained of member {dealer} and proved nothing")]
    UnprovenComplaint {
        /// Of whom.
        dealer: MemberId,
    },
    /// Acknowledged a key that the log never defined.
    #[error("acknowledged a key that the log does not define")]
    WrongKey,
}

/// Why this attempt cannot complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There was no key in time.
    #[error("no key in time; silent: {missing:?}")]
    Expired {
        /// Who had not said what was waited for.
        missing: BTreeSet<MemberId>,
    },
    /// So many were convicted that the others are no quorum.
    #[error("too few members are left after the conviction of {convicted:?}")]
    TooFewMembers {
        /// Who was.
        convicted: BTreeSet<MemberId>,
    },
    /// So many dealers were convicted that the others cannot make the key.
    #[error("too few dealers are left after the conviction of {convicted:?}")]
    TooFewDealers {
        /// Who was.
        convicted: BTreeSet<MemberId>,
    },
    /// The log holds a message under this node's name that its seed did not make: the seed was lost or replaced, or the
    /// key runs on two machines.
    #[error("the log holds a message of our own that our seed did not make")]
    ForeignSeed,
    /// The group key is the identity, which needs a broken proof or 2^-128 of luck.
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
    /// A resharing without the old key, or a fresh key with one.
    #[error("a ceremony of the kind {0:?} {instead} an old key", instead = if *.0 == CeremonyKind::Reshare { "needs" } else { "has no use for" })]
    OldKey(CeremonyKind),
    /// The share that this node would deal is not its share of the old key.
    #[error("member {0} would deal something else than its share of the old key")]
    OldShare(MemberId),
}
