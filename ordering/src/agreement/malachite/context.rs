//! The vocabulary that the Tendermint core is generic over, in terms of ours.

use std::fmt;
use std::sync::Arc;

use arc_malachitebft_core_types as mt;
use mt::{NilOrVal, Round, VoteType};
use ordering_types::chain_spec::Committee;
use ordering_types::{Digest, Height, PublicKey, Signature, ValidatorId};

use crate::reputation::Rotation;

/// A height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CoreHeight(pub(super) u64);

impl fmt::Display for CoreHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl mt::Height for CoreHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A validator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CoreAddress(pub(super) ValidatorId);

impl fmt::Display for CoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl mt::Address for CoreAddress {}

/// A value is only its id here; the cut behind it stays outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CoreValue(pub(super) Digest);

impl mt::Value for CoreValue {
    type Id = Digest;

    fn id(&self) -> Digest {
        self.0
    }
}

/// A proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreProposal {
    pub(super) height: CoreHeight,
    pub(super) round: Round,
    pub(super) value: CoreValue,
    pub(super) valid_round: Round,
    pub(super) proposer: CoreAddress,
}

impl mt::Proposal<Context> for CoreProposal {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &CoreValue {
        &self.value
    }

    fn take_value(self) -> CoreValue {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.valid_round
    }

    fn validator_address(&self) -> &CoreAddress {
        &self.proposer
    }
}

/// Proposals do not travel in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoPart;

impl mt::ProposalPart<Context> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// A vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreVote {
    pub(super) kind: VoteType,
    pub(super) height: CoreHeight,
    pub(super) round: Round,
    pub(super) value: NilOrVal<Digest>,
    pub(super) validator: CoreAddress,
}

impl mt::Vote<Context> for CoreVote {
    fn height(&self) -> CoreHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Digest> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Digest> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &CoreAddress {
        &self.validator
    }

    fn extension(&self) -> Option<&mt::SignedExtension<Context>> {
        None
    }

    fn take_extension(&mut self) -> Option<mt::SignedExtension<Context>> {
        None
    }

    fn extend(self, _: mt::SignedExtension<Context>) -> Self {
        self
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreValidator {
    pub(super) address: CoreAddress,
    pub(super) key: PublicKey,
}

impl mt::Validator<Context> for CoreValidator {
    fn address(&self) -> &CoreAddress {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> u64 {
        1
    }
}

/// The committee of one height, and who of it leads which round. The core hands it back whenever it asks for a proposer, so there is
/// one answer for the rounds of a height, in replay and out of it.
///
/// With one vote each, the core's "more than two thirds" is exactly n − f for every n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CoreCommittee {
    /// Never empty.
    pub(super) members: Arc<[CoreValidator]>,
    pub(super) rotation: Rotation,
}

impl CoreCommittee {
    pub(super) fn new(committee: &Committee, rotation: Rotation) -> Self {
        let member = |(id, key): (_, &PublicKey)| CoreValidator { address: CoreAddress(id), key: *key };
        Self { members: committee.iter().map(member).collect(), rotation }
    }

    /// Becomes that of the next height.
    pub(super) fn enter(&mut self, committee: &Committee, rotation: Rotation) {
        if committee.ids().eq(self.members.iter().map(|member| member.address.0)) {
            self.rotation = rotation;
        } else {
            *self = Self::new(committee, rotation);
        }
    }
}

impl mt::ValidatorSet<Context> for CoreCommittee {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> u64 {
        self.members.len() as u64
    }

    fn get_by_address(&self, address: &CoreAddress) -> Option<&CoreValidator> {
        self.members.iter().find(|m| m.address == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&CoreValidator> {
        self.members.get(index)
    }
}

/// Signatures are made and checked outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme;

impl mt::SigningScheme for Scheme {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, &'static str> {
        bytes.try_into().map(Signature::new).map_err(|_| "a signature has 65 bytes")
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.as_bytes().to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, &'static str> {
        PublicKey::from_bytes(bytes).map_err(|_| "not a compressed public key")
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.to_bytes().to_vec()
    }
}

/// Ties the types together.
#[derive(Clone, Debug)]
pub(super) struct Context;

impl mt::Context for Context {
    type Address = CoreAddress;
    type Height = CoreHeight;
    type ProposalPart = NoPart;
    type Proposal = CoreProposal;
    type Validator = CoreValidator;
    type ValidatorSet = CoreCommittee;
    type Timeouts = mt::LinearTimeouts;
    type Value = CoreValue;
    type Vote = CoreVote;
    type Extension = ();
    type SigningScheme = Scheme;

    fn select_proposer<'a>(
        &self,
        committee: &'a CoreCommittee,
        height: CoreHeight,
        round: Round,
    ) -> &'a CoreValidator {
        let round = ordering_types::Round::new(round.as_u32().unwrap_or(0));
        let leader = CoreAddress(committee.rotation.leader(Height::new(height.0), round));
        committee.members.iter().find(|m| m.address == leader).expect("leaders are members")
    }

    fn new_proposal(
        &self,
        height: CoreHeight,
        round: Round,
        value: CoreValue,
        valid_round: Round,
        proposer: CoreAddress,
    ) -> CoreProposal {
        CoreProposal { height, round, value, valid_round, proposer }
    }

    fn new_prevote(
        &self,
        height: CoreHeight,
        round: Round,
        value: NilOrVal<Digest>,
        validator: CoreAddress,
    ) -> CoreVote {
        CoreVote { kind: VoteType::Prevote, height, round, value, validator }
    }

    fn new_precommit(
        &self,
        height: CoreHeight,
        round: Round,
        value: NilOrVal<Digest>,
        validator: CoreAddress,
    ) -> CoreVote {
        CoreVote { kind: VoteType::Precommit, height, round, value, validator }
    }
}
