//! The consensus value. A cut names the newest chunk of every lane that advanced; a validator votes for it only
//! when it holds the data behind every tip and has expanded it to the same header.

use serde::{Deserialize, Serialize};

use crate::certificate::MAX_CERTIFICATE_SIGNATURES;
use crate::codec::{self, DecodeError};
use crate::key::{PublicKey, SecretKey, Signature};
use crate::preimage::Domain;
use crate::{
    CommitCertificate, Digest, Epoch, Height, L1Reference, LaneId, LaneSequence, Round, ValidatorId,
};

/// Most bytes of one encoded cut.
pub const MAX_CUT_BYTES: usize = 4 << 20;
/// Most lanes in one cut: a validator may have a lane of its last run beside that of its present one.
pub const MAX_CUT_LANES: usize = 512;
/// Most system messages in one cut.
pub const MAX_CUT_SYSTEM_MESSAGES: usize = 256;
/// Most bytes of one system message.
pub const MAX_SYSTEM_MESSAGE_BYTES: usize = 64 * 1024;

/// The newest chunk of one lane that a cut covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneTip {
    /// The lane.
    pub lane: LaneId,
    /// Sequence of its newest covered chunk.
    pub sequence: LaneSequence,
    /// Digest of that chunk; it fixes all chunks before it through their parents.
    pub digest: Digest,
}

/// A message of a validator to the whole committee, ordered like transactions. Its payload is opaque here:
/// ceremonies live in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemMessage {
    /// Who says it.
    pub sender: ValidatorId,
    /// Counts the sender's messages over all time, from 1: a replay has a stale number.
    pub sequence: u64,
    /// What it says.
    pub payload: Vec<u8>,
    /// ECDSA by the sender over [`Domain::system_message`].
    pub signature: Signature,
}

impl SystemMessage {
    /// Signs a new message.
    pub fn sign(
        domain: &Domain,
        sender: ValidatorId,
        sequence: u64,
        payload: Vec<u8>,
        key: &SecretKey,
    ) -> Self {
        let signature = key.sign(domain.system_message(sender, sequence, &payload));
        Self { sender, sequence, payload, signature }
    }

    /// Whether the sender signed it and it keeps to the limit.
    pub fn verify(&self, domain: &Domain, key: &PublicKey) -> bool {
        self.payload.len() <= MAX_SYSTEM_MESSAGE_BYTES
            && key.verify(domain.system_message(self.sender, self.sequence, &self.payload), &self.signature)
    }
}

/// A certificate of the block before, less what the cut says anyway. It tells everybody in which round that block was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentCommit {
    /// The round that decided.
    pub round: Round,
    /// Precommit signatures, in ascending order of validator.
    pub signatures: Vec<(ValidatorId, Signature)>,
}

impl ParentCommit {
    /// The certificate for the block `header` of `height`.
    pub fn certificate(&self, epoch: Epoch, height: Height, header: Digest) -> CommitCertificate {
        CommitCertificate { epoch, height, round: self.round, header, signatures: self.signatures.clone() }
    }
}

impl From<&CommitCertificate> for ParentCommit {
    fn from(certificate: &CommitCertificate) -> Self {
        Self { round: certificate.round, signatures: certificate.signatures.clone() }
    }
}

/// What the validators agree on at one height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The height it is for.
    pub height: Height,
    /// The epoch it is for.
    pub epoch: Epoch,
    /// Header hash of the block before.
    pub parent: Digest,
    /// That a quorum decided it, and when; none at height 1.
    pub parent_commit: Option<ParentCommit>,
    /// Milliseconds since the Unix epoch by the proposer's clock, never before the parent's.
    pub time_ms: u64,
    /// The L1 block that this cut looks at.
    pub l1_reference: L1Reference,
    /// Whether this block is the last of a batch.
    pub seals_batch: bool,
    /// Lanes that advanced, in ascending order of lane.
    pub tips: Vec<LaneTip>,
    /// System messages, in the order in which they take effect.
    pub system: Vec<SystemMessage>,
}

impl Cut {
    /// The encoding; what [`Digest::sha256`] is taken over.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a cut. Limits on counts and the order of lanes are checked here, because they need no state.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let cut: Self = codec::decode(bytes, MAX_CUT_BYTES)?;
        let malformed = |why: &str| Err(DecodeError::Malformed(why.to_owned()));
        if cut.tips.len() > MAX_CUT_LANES {
            return malformed("too many lanes in a cut");
        }
        if !cut.tips.is_sorted_by(|a, b| a.lane < b.lane) {
            return malformed("lanes of a cut are not strictly ascending");
        }
        if let Some(commit) = &cut.parent_commit {
            if commit.signatures.len() > MAX_CERTIFICATE_SIGNATURES {
                return malformed("too many signatures in a cut's certificate");
            }
            if !commit.signatures.is_sorted_by(|a, b| a.0 < b.0) {
                return malformed("signers of a cut's certificate are not strictly ascending");
            }
        }
        if cut.system.len() > MAX_CUT_SYSTEM_MESSAGES {
            return malformed("too many system messages in a cut");
        }
        if cut.system.iter().any(|m| m.payload.len() > MAX_SYSTEM_MESSAGE_BYTES) {
            return malformed("a system message over its limit");
        }
        Ok(cut)
    }
}
