//! Prevotes and precommits.

use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, SecretKey, Signature};
use crate::preimage::Domain;
use crate::{Digest, Epoch, Height, Round, ValidatorId};

/// The two voting steps of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum VoteKind {
    /// First step: the value is acceptable.
    Prevote,
    /// Second step: a quorum found it acceptable.
    Precommit,
}

/// One vote; `value` is a header hash, `None` is nil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Vote {
    /// Step.
    pub kind: VoteKind,
    /// Epoch.
    pub epoch: Epoch,
    /// Height.
    pub height: Height,
    /// Round.
    pub round: Round,
    /// Header hash, or nil.
    pub value: Option<Digest>,
    /// Who votes.
    pub validator: ValidatorId,
}

impl Vote {
    /// What is signed.
    pub fn digest(&self, domain: &Domain) -> Digest {
        domain.vote(self.kind == VoteKind::Precommit, self.epoch, self.height, self.round, self.value)
    }

    /// Signs it.
    pub fn sign(self, domain: &Domain, key: &SecretKey) -> SignedVote {
        SignedVote { vote: self, signature: key.sign(self.digest(domain)) }
    }
}

/// A vote and its ECDSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// By `vote.validator`.
    pub signature: Signature,
}

impl SignedVote {
    /// Whether `key` signed it. Nil is signed as the value zero, and zero is never a value: else one signature would be two votes.
    pub fn verify(&self, domain: &Domain, key: &PublicKey) -> bool {
        self.vote.value != Some(Digest::ZERO) && key.verify(self.vote.digest(domain), &self.signature)
    }
}
