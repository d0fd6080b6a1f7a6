//! Whether a transaction is taken: what can be known from its bytes alone. Quotas and duplicates are the core's.
//!
//! Admission is a courtesy to senders, not agreed: a Byzantine validator may admit anything, and expansion checks
//! again what matters to agreement.

mod evm;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ordering::SubmitError as OrderingRefusal;
use ordering_types::chain_spec::RollupKind;
use ordering_types::transaction::MAX_TRANSACTION_BYTES;
use ordering_types::{ChainSpec, RollupId, Transaction};
use rollup::wire::Refusal;

pub(crate) use evm::EvmError;

/// Why a transaction is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// Empty, or longer than any may be.
    #[error("{0} bytes: a transaction has 1 to {MAX_TRANSACTION_BYTES}")]
    Size(usize),
    /// Longer than this rollup's may be.
    #[error("{bytes} bytes: a transaction of this rollup has at most {limit}")]
    RollupSize {
        /// Its length.
        bytes: usize,
        /// The rollup's limit.
        limit: usize,
    },
    /// No such rollup.
    #[error("no rollup {0} in this network; seq_status lists those that are served")]
    UnknownRollup(RollupId),
    /// Not a transaction of an `evm` rollup.
    #[error(transparent)]
    Evm(#[from] EvmError),
    /// Ordered or waiting already.
    #[error("already known: {0}")]
    Duplicate(&'static str),
    /// The rollup's quota is used up.
    #[error("{0}; wait for the next blocks and send again")]
    OverQuota(String),
    /// The node's buffers are full.
    #[error("{0}; send again in a moment, or to another validator")]
    Full(String),
    /// Admission is slow: see [`pressure`](crate::pressure).
    #[error("{why}: this node takes less now; send again in {} s, or to another validator", retry_after.as_secs_f64().ceil())]
    Slowed {
        /// What presses.
        why: Arc<str>,
        /// Before that, it is refused again.
        retry_after: Duration,
    },
    /// The node is stopping.
    #[error("this node is not taking transactions now; send to another validator")]
    NotReady,
    /// The node left the committee, or has not been drawn into it.
    #[error(
        "this node is not in the present committee: send to a member, and send there, too, what this node took and is not ordered"
    )]
    NotInCommittee,
}

impl AdmissionError {
    /// Its code in the binary protocol.
    pub(crate) const fn refusal(&self) -> Refusal {
        match self {
            Self::Size(_) | Self::RollupSize { .. } => Refusal::Size,
            Self::UnknownRollup(_) => Refusal::UnknownRollup,
            Self::Evm(EvmError::WrongChainId { .. } | EvmError::NoChainId) => Refusal::WrongChainId,
            Self::Evm(EvmError::Signature) => Refusal::BadSignature,
            Self::Evm(EvmError::Malformed(_) | EvmError::Blob) => Refusal::Malformed,
            Self::Duplicate(_) => Refusal::Duplicate,
            Self::OverQuota(_) => Refusal::OverQuota,
            Self::Full(_) | Self::Slowed { .. } => Refusal::Full,
            Self::NotReady => Refusal::NotReady,
            Self::NotInCommittee => Refusal::NotInCommittee,
        }
    }

    /// Its code in JSON-RPC.
    pub(crate) const fn rpc_code(&self) -> i32 {
        if let Self::Slowed { .. } = self {
            return -32_020;
        }
        match self.refusal() {
            Refusal::Size => -32_010,
            Refusal::UnknownRollup => -32_011,
            Refusal::WrongChainId => -32_012,
            Refusal::BadSignature => -32_013,
            Refusal::Malformed => -32_014,
            // What wallets know: geth answers -32000 "already known".
            Refusal::Duplicate => -32_000,
            Refusal::OverQuota => -32_016,
            Refusal::Full => -32_017,
            Refusal::NotReady => -32_018,
            Refusal::NotInCommittee => -32_019,
        }
    }

    /// How long a sender should wait before it sends the same again here, where that is known.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Slowed { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// What a sender can do.
    pub(crate) const fn what_to_do(&self) -> &'static str {
        if let Self::Slowed { .. } = self {
            return "send again after retry_after_ms, or to another validator";
        }
        match self.refusal() {
            Refusal::Size => "send a smaller transaction",
            Refusal::UnknownRollup => "check the rollup's number or the URL's chain id against seq_status",
            Refusal::WrongChainId => "sign for the chain id of this URL",
            Refusal::BadSignature | Refusal::Malformed => "sign and encode the transaction again",
            Refusal::Duplicate => "nothing: it is being ordered; seq_proof tells when",
            Refusal::OverQuota | Refusal::Full => "send again in a moment",
            Refusal::NotReady => "send to another validator",
            Refusal::NotInCommittee => "send to a member of the committee, what is not ordered yet, too",
        }
    }
}

impl From<node_core::SubmitError> for AdmissionError {
    fn from(error: node_core::SubmitError) -> Self {
        match error {
            node_core::SubmitError::Ordering(error) => error.into(),
            other @ node_core::SubmitError::SigningBehind(_) => Self::Full(other.to_string()),
        }
    }
}

impl From<OrderingRefusal> for AdmissionError {
    fn from(error: OrderingRefusal) -> Self {
        match error {
            OrderingRefusal::UnknownRollup(rollup) => Self::UnknownRollup(rollup),
            OrderingRefusal::Empty => Self::Size(0),
            OrderingRefusal::TooLarge { bytes, limit } => Self::RollupSize { bytes, limit },
            OrderingRefusal::Pending(_) => Self::Duplicate("it waits to be ordered"),
            OrderingRefusal::Ordered(_) => Self::Duplicate("it is ordered"),
            other @ OrderingRefusal::OverQuota { .. } => Self::OverQuota(other.to_string()),
            #[allow(unreachable_patterns, reason = "the core may learn new reasons to have no room")]
            other => Self::Full(other.to_string()),
        }
    }
}

/// Checks one transaction's bytes. For an `evm` rollup this costs one signature recovery, about 50 µs.
pub(crate) fn check(spec: &ChainSpec, transaction: &Transaction) -> Result<(), AdmissionError> {
    let length = transaction.data.len();
    if length == 0 || length > MAX_TRANSACTION_BYTES {
        return Err(AdmissionError::Size(length));
    }
    let rollup = spec.rollup(transaction.rollup).ok_or(AdmissionError::UnknownRollup(transaction.rollup))?;
    match rollup.kind {
        RollupKind::Opaque => Ok(()),
        RollupKind::Evm => Ok(evm::check(&transaction.data, rollup.chain_id)?),
    }
}
