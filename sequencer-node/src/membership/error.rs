//! Why a command about the registry does nothing, and what to do about it.

use std::path::PathBuf;

use alloy::primitives::utils::format_ether;
use alloy::primitives::{Address, B256, U256};
use ordering_types::ValidatorId;
use rollup::registry::IValidatorRegistry::IValidatorRegistryErrors as Errors;

use super::desk::stretch;
use super::endpoint::EndpointError;
use super::owner::OwnerKeyError;
use crate::exit::{Exit, Failure};
use crate::l1::{ReadError, SendError};

/// Why it does nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembershipError {
    /// The network has fixed validators.
    #[error("genesis file {} names no `registry`: its validators are the founders for ever, nobody joins or leaves", .0.display())]
    NoRegistry(PathBuf),
    /// No L1 endpoint.
    #[error(
        "l1.endpoint is not set: the registry is on L1. Set it in the config file, or use --l1-endpoint URL"
    )]
    NoEndpoint,
    /// L1 cannot be asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The owner's key file.
    #[error(transparent)]
    Owner(#[from] OwnerKeyError),
    /// Where the others are to reach the node.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// One key for both.
    #[error(
        "the owner's key is the node's own key: the registry wants two, since the owner's may take the stake out and is kept \
         off the node. Make another account for the owner"
    )]
    SameKey,
    /// The allow-list.
    #[error(
        "owner {0} is not on the registry's allow-list: the committee has to let it in (`allow`) before it may join. Ask the \
         validators, with this address"
    )]
    NotAllowed(Address),
    /// Too little stake.
    #[error(
        "a stake of {} ETH is below the registry's minimum of {} ETH; leave --stake out to use the minimum",
        format_ether(*got),
        format_ether(*minimum)
    )]
    StakeTooLow {
        /// Wei that are needed.
        minimum: U256,
        /// Wei that were offered.
        got: U256,
    },
    /// The node key is another owner's validator.
    #[error(
        "the node key {node} is registered as validator {id} of owner {owner}, not of {given}: use that owner's key, or make \
         another node key with `sequencer-node init`"
    )]
    OtherOwner {
        /// The node key's address.
        node: Address,
        /// Its validator.
        id: ValidatorId,
        /// Who owns it.
        owner: Address,
        /// Whose key was given.
        given: Address,
    },
    /// The node key has left.
    #[error(
        "the node key {node} belonged to validator {id}, which is {status}: a key is registered once and never again. Make \
         another with `sequencer-node init`"
    )]
    KeyUsed {
        /// The node key's address.
        node: Address,
        /// Its validator.
        id: ValidatorId,
        /// Where that stands.
        status: &'static str,
    },
    /// One owner, one validator.
    #[error(
        "owner {owner} has validator {id} already, and an owner has one at a time: use another owner's account, or let that \
         validator leave and withdraw first"
    )]
    OwnerHasValidator {
        /// The owner.
        owner: Address,
        /// Its validator.
        id: ValidatorId,
    },
    /// All places are taken.
    #[error("the registry is full: {0} validators are active. Wait until one leaves, then run this again")]
    Full(U256),
    /// The key is not registered.
    #[error("the node key {0} is not registered at the registry on L1: there is nothing to leave")]
    NotRegistered(Address),
    /// Mined, and not to be seen.
    #[error(
        "transaction {0} is in a block, and the L1 endpoint does not show the validator: it lags, or the block was replaced. Run \
         this again"
    )]
    Unseen(B256),
    /// `--withdraw` without having left.
    #[error("validator {0} is active: run `sequencer-node leave` without --withdraw first")]
    StillActive(ValidatorId),
    /// It has to go on signing.
    #[error(
        "validator {0} is still in the committee: it has to go on running until one without it is in office. Run this again in \
         the next epoch"
    )]
    StillInCommittee(ValidatorId),
    /// L1 has only a hash of the committee's addresses.
    #[error(
        "L1 has only a hash of the committee in office, and the node at {node} did not name its members: {why}. Start the node, or name \
         another one with ingress.listen, and run this again"
    )]
    UnknownCommittee {
        /// Where it was asked.
        node: String,
        /// Why it did not.
        why: String,
    },
    /// Unbonding.
    #[error("the stake is bound for {} more (until {release_at}, seconds since 1970): run this again then", stretch(std::time::Duration::from_secs(*left)))]
    StillBonded {
        /// Seconds since 1970.
        release_at: u64,
        /// Seconds left.
        left: u64,
    },
    /// Two votes in one step.
    #[error(
        "validator {0} was slashed for two votes in one step: its stake is burnt, and there is nothing to withdraw"
    )]
    Slashed(ValidatorId),
    /// Wrong shares are no matter of L1.
    #[error(
        "this proves a wrong share of a group signature: L1 judges double votes alone. Show the file to the other operators; \
         `sequencer-node evidence verify` convinces them"
    )]
    NotForL1,
    /// Whoever voted twice is gone.
    #[error("validator {0} has withdrawn its stake: it is too late to slash it")]
    TooLate(ValidatorId),
    /// The registry never had this key.
    #[error("validator {0} is not in the registry on L1: its votes have no stake to answer with")]
    UnknownCulprit(ValidatorId),
    /// The contract refuses for a reason of its own, or L1 does not take it.
    #[error(transparent)]
    Send(SendError),
    /// The node's or network's files.
    #[error("{0}")]
    Other(Failure),
}

impl MembershipError {
    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NoRegistry(_) | Self::NoEndpoint | Self::Endpoint(_) => Exit::Config,
            Self::Owner(_) | Self::SameKey => Exit::Key,
            Self::Read(error) | Self::Send(SendError::Read(error)) => read_exit(error),
            Self::Send(SendError::Refused(_)) => Exit::Registry,
            Self::Send(_) | Self::Unseen(_) => Exit::L1,
            Self::Other(failure) => failure.exit,
            _ => Exit::Registry,
        }
    }
}

const fn read_exit(error: &ReadError) -> Exit {
    match error {
        ReadError::WrongChain { .. } => Exit::WrongL1,
        ReadError::Endpoint(_) => Exit::Config,
        _ => Exit::L1,
    }
}

impl From<SendError> for MembershipError {
    fn from(error: SendError) -> Self {
        let SendError::Refused(refusal) = &error else { return Self::Send(error) };
        let id = ValidatorId::new;
        match refusal.error.as_deref() {
            Some(Errors::NotAllowed(e)) => Self::NotAllowed(e.owner),
            Some(Errors::StakeTooLow(e)) => Self::StakeTooLow { minimum: e.minimum, got: e.got },
            Some(Errors::OwnerHasValidator(e)) => Self::OwnerHasValidator { owner: e.owner, id: id(e.id) },
            Some(Errors::ValidatorSetFull(e)) => Self::Full(e.maximum),
            Some(Errors::NodeKeyUsed(e)) => {
                Self::KeyUsed { node: e.node, id: id(e.id), status: "registered" }
            }
            Some(Errors::StillInCommittee(e)) => Self::StillInCommittee(id(e.id)),
            Some(Errors::StillBonded(e)) => {
                let left = e.releaseAt.saturating_sub(e.time.saturating_to());
                Self::StillBonded { release_at: e.releaseAt, left }
            }
            _ => Self::Send(error),
        }
    }
}

impl From<Failure> for MembershipError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<MembershipError> for Failure {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Other(failure) => failure,
            error => Self::new(error.exit(), error),
        }
    }
}
