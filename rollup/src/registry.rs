//! The registry's face, generated from its interface, and conversions to our types.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolValue;
use ordering_types::{Digest, Registered, SignedVote, ValidatorId, VoteKind};

pub use bindings::IValidatorRegistry;

use crate::inbox::word;

#[allow(missing_docs, unreachable_pub, clippy::indexing_slicing, clippy::too_many_arguments)]
mod bindings {
    alloy::sol!("../batcher/contracts/src/IValidatorRegistry.sol");
}

/// Most validators that are active at once; the contract's limit.
pub const MAX_ACTIVE: usize = 100;

/// Word 0 of whatever is signed.
const PROTOCOL: [u8; 32] = *b"mpc-sequencer/v1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Word 1 of a registration.
const KIND_REGISTER: u8 = 24;

/// What a validator's key signs to be registered by `owner` under `endpoint` at the contract `registry`.
pub fn registration(l1_chain_id: u64, registry: Address, owner: Address, endpoint: &str) -> Digest {
    let number = U256::from::<u64>;
    let endpoint = Digest::keccak256(&[endpoint.as_bytes()]);
    let words = (
        B256::new(PROTOCOL),
        number(KIND_REGISTER.into()),
        number(l1_chain_id),
        registry,
        number(0),
        owner,
        word(endpoint),
    );
    Digest::keccak256(&[&words.abi_encode()])
}

/// The call that puts out whoever signed both votes.
pub fn slash_call(first: &SignedVote, second: &SignedVote) -> IValidatorRegistry::slashCall {
    IValidatorRegistry::slashCall { first: first.into(), second: second.into() }
}

impl From<&SignedVote> for IValidatorRegistry::Vote {
    fn from(signed: &SignedVote) -> Self {
        let vote = signed.vote;
        Self {
            kind: match vote.kind {
                VoteKind::Prevote => 17,
                VoteKind::Precommit => 18,
            },
            epoch: vote.epoch.get(),
            height: vote.height.get(),
            round: vote.round.get(),
            value: vote.value.map_or(B256::ZERO, word),
            signature: Bytes::copy_from_slice(signed.signature.as_bytes()),
        }
    }
}

impl From<IValidatorRegistry::Validator> for Registered {
    fn from(validator: IValidatorRegistry::Validator) -> Self {
        Self {
            id: ValidatorId::new(validator.id),
            node: ordering_types::Address::new(validator.node.into_array()),
            endpoint: validator.endpoint,
        }
    }
}
