//! Agreement on one value a height: our own face of a Byzantine consensus core.
//!
//! The rest of the crate knows only the trait [`Agreement`], [`Event`] and [`Effect`]; the Tendermint core behind them
//! is in the private module `malachite` and can be exchanged. A *value* is a header hash; what it stands for is judged
//! outside and told with [`Event::Value`].
//!
//! # Rules
//! - Effects are in order, and every [`Effect::Log`] must be durable before any later [`Effect::Broadcast`] leaves.
//! - A validator signs one proposal a round and one vote a round and step. [`guard::VoteGuard`] enforces that below the core, in
//!   replay and out of it, from the same log that the core replays.
//! - [`Effect::Build`] is answered at most once, with [`Event::Propose`].
//! - [`Effect::Decided`] may come for a value that is not at hand after a torn replay; the caller then fetches it.
//!
//! # Restart
//! The caller hands the logged entries of undecided heights to the constructor. They fill the guard at once, and are
//! replayed when their height starts; own messages of the last round are then sent again.

pub(crate) mod guard;
mod malachite;

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{
    CommitCertificate, Digest, Epoch, Height, PublicKey, Round, SecretKey, Signature, SignedVote, Time,
    ValidatorId, Vote,
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "fuzzing")]
pub(crate) use malachite::LogEntry;
pub(crate) use malachite::{LogError, Malachite, Setup};

use crate::api::Evidence;
use crate::reputation::Rotation;

/// A proposer's claim that `value` is its proposal of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    /// Epoch.
    pub(crate) epoch: Epoch,
    /// Height.
    pub(crate) height: Height,
    /// Round.
    pub(crate) round: Round,
    /// The earlier round in which the value had a quorum of prevotes, if any.
    pub(crate) valid_round: Option<Round>,
    /// Header hash.
    pub(crate) value: Digest,
    /// Who proposes.
    pub(crate) proposer: ValidatorId,
}

/// A proposal and its proposer's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedProposal {
    /// The proposal.
    pub(crate) proposal: Proposal,
    /// ECDSA by the proposer over [`Domain::proposal`].
    pub(crate) signature: Signature,
}

impl Proposal {
    /// What is signed.
    pub(crate) fn digest(&self, domain: &Domain) -> Digest {
        domain.proposal(self.epoch, self.height, self.round, self.valid_round, self.value)
    }

    /// Signs it.
    pub(crate) fn sign(self, domain: &Domain, key: &SecretKey) -> SignedProposal {
        SignedProposal { proposal: self, signature: key.sign(self.digest(domain)) }
    }
}

impl SignedProposal {
    /// Whether `key` signed it.
    pub(crate) fn verify(&self, domain: &Domain, key: &PublicKey) -> bool {
        key.verify(self.proposal.digest(domain), &self.signature)
    }
}

/// What a bundle of votes proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum BundleKind {
    /// A quorum of prevotes for one value.
    Polka,
    /// f + 1 votes of any kind in a round: reason to enter it.
    SkipRound,
    /// A quorum of precommits for anything: reason to leave the round.
    EndRound,
}

/// Votes of one height and round that together prove something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteBundle {
    /// What they prove.
    pub(crate) kind: BundleKind,
    /// Height of all votes.
    pub(crate) height: Height,
    /// Round of all votes.
    pub(crate) round: Round,
    /// The votes, of different validators.
    pub(crate) votes: Vec<SignedVote>,
}

/// What agreement is told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A peer's vote.
    Vote(SignedVote),
    /// A round's proposal.
    Proposal(SignedProposal),
    /// A peer's bundle.
    Bundle(VoteBundle),
    /// What the value of `proposal` stands for is held and judged.
    Judged { proposal: Proposal, valid: bool },
    /// Answer to [`Effect::Build`].
    Propose { height: Height, round: Round, value: Digest },
    /// The deadline has come.
    Wake,
}

/// A message of this validator to all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broadcast {
    /// A vote.
    Vote(SignedVote),
    /// A proposal; what its value stands for goes along.
    Proposal(SignedProposal),
    /// A bundle.
    Bundle(VoteBundle),
}

/// What agreement wants done, in order.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Append to the write-ahead log.
    Log { height: Height, entry: Bytes },
    /// Send to all others, after everything logged so far is durable.
    Broadcast(Broadcast),
    /// We propose in this round: build a value.
    Build { height: Height, round: Round },
    /// The height is decided.
    Decided(CommitCertificate),
    /// Two votes of one validator that contradict each other.
    Evidence(Evidence),
    /// It cannot go on safely.
    Fatal(String),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Taken into account, or too old to matter.
    Fine,
    /// Not signed by a member, or of another epoch, or impossible.
    Fault,
}

/// What a height brings with it.
#[derive(Clone, Debug)]
pub(crate) struct HeightRules {
    /// The epoch that it belongs to.
    pub(crate) epoch: Epoch,
    /// That epoch's committee.
    pub(crate) committee: Arc<Committee>,
    /// Who of it leads which round.
    pub(crate) rotation: Rotation,
}

/// A sans-IO consensus core over header hashes.
pub(crate) trait Agreement {
    /// Enters a height that is above all heights entered before.
    fn start_height(&mut self, now: Time, height: Height, rules: HeightRules);
    /// Takes one event. Messages must be of the current height; others are ignored.
    fn handle(&mut self, now: Time, event: Event) -> Taken;
    /// The next effect.
    fn next_effect(&mut self) -> Option<Effect>;
    /// When [`Event::Wake`] is due.
    fn next_deadline(&self) -> Option<Time>;
    /// The height last started, zero before the first.
    fn height(&self) -> Height;
    /// The round of that height.
    fn round(&self) -> Round;
    /// Whether the height last started is decided.
    fn decided(&self) -> bool;
    /// Whether a quorum prevoted `value` in one round of this height.
    fn has_prevote_quorum(&self, value: Digest) -> bool;
    /// Whether the validator with this key signed a vote, of any height and epoch; remembers it if so.
    fn witness(&mut self, vote: &SignedVote, key: &PublicKey) -> bool;
    /// Remembers the votes of a certificate that was verified.
    fn witness_certificate(&mut self, certificate: &CommitCertificate);
    /// The newest vote of a validator that was verified since the start or is in the log, by height, round and step.
    fn newest_vote(&self, validator: ValidatorId) -> Option<SignedVote>;
    /// Whether our own log has this vote of ours, or one could not matter any more.
    fn has_signed(&self, vote: &Vote) -> bool;
    /// Whether there are logged entries for this height, to be replayed.
    fn has_log(&self, height: Height) -> bool;
}
