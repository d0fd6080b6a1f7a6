//! Checks of votes, proposals and certificates, each signature at most once a height.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_malachitebft_core_types as mt;
use mt::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, PublicKey, Round, Signature, SignedVote, ValidatorId, VoteKind};

use super::context::{Context, CoreAddress};
use crate::agreement::SignedProposal;

/// Most remembered signatures of one height; far above what honest rounds need.
const MAX_REMEMBERED: usize = 65_536;

/// Verifier of the messages of one height after the other.
#[derive(Debug)]
pub(super) struct Verifier {
    domain: Domain,
    epoch: Epoch,
    committee: Arc<Committee>,
    verified: BTreeSet<(ValidatorId, Digest, Signature)>,
    prevotes: BTreeMap<(Round, Digest), BTreeSet<ValidatorId>>,
    nil_precommits: BTreeMap<Round, BTreeSet<ValidatorId>>,
    /// Of each member the newest vote that was verified, of any height; kept over heights.
    newest: BTreeMap<ValidatorId, SignedVote>,
}

impl Verifier {
    pub(super) const fn new(domain: Domain, epoch: Epoch, committee: Arc<Committee>) -> Self {
        Self {
            domain,
            epoch,
            committee,
            verified: BTreeSet::new(),
            prevotes: BTreeMap::new(),
            nil_precommits: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// Forgets the last height; the next is of this epoch, and its committee decides it.
    pub(super) fn enter(&mut self, epoch: Epoch, committee: Arc<Committee>) {
        (self.epoch, self.committee) = (epoch, committee);
        self.verified.clear();
        self.prevotes.clear();
        self.nil_precommits.clear();
    }

    fn signature(&mut self, signer: ValidatorId, digest: Digest, signature: Signature) -> bool {
        let committee = Arc::clone(&self.committee);
        committee.key(signer).is_some_and(|key| self.signature_by((signer, key), digest, signature))
    }

    fn signature_by(
        &mut self,
        (signer, key): (ValidatorId, &PublicKey),
        digest: Digest,
        signature: Signature,
    ) -> bool {
        let entry = (signer, digest, signature);
        if self.verified.contains(&entry) {
            return true;
        }
        let good = key.verify(digest, &signature);
        if good {
            if self.verified.len() >= MAX_REMEMBERED {
                self.verified.clear();
            }
            self.verified.insert(entry);
        }
        good
    }

    /// Whether the validator with this key signed a vote, of any height and epoch.
    pub(super) fn witness(&mut self, vote: &SignedVote, key: &PublicKey) -> bool {
        let v = &vote.vote;
        let good = self.signature_by((v.validator, key), v.digest(&self.domain), vote.signature);
        if good {
            self.remember(vote);
        }
        good
    }

    /// Remembers a vote whose signature is good.
    pub(super) fn remember(&mut self, vote: &SignedVote) {
        let place = |v: &SignedVote| (v.vote.height, v.vote.round, v.vote.kind);
        let newest = self.newest.entry(vote.vote.validator).or_insert(*vote);
        if place(vote) > place(newest) {
            *newest = *vote;
        }
    }

    pub(super) fn newest(&self, validator: ValidatorId) -> Option<SignedVote> {
        self.newest.get(&validator).copied()
    }

    pub(super) fn vote(&mut self, vote: &SignedVote) -> bool {
        let v = &vote.vote;
        let committee = Arc::clone(&self.committee);
        let member = committee.key(v.validator).filter(|_| v.epoch == self.epoch);
        let good = member.is_some_and(|key| self.witness(vote, key));
        match (v.kind, v.value) {
            (VoteKind::Prevote, Some(value)) if good && has_room(&self.prevotes, &(v.round, value)) => {
                self.prevotes.entry((v.round, value)).or_default().insert(v.validator);
            }
            (VoteKind::Precommit, None) if good && has_room(&self.nil_precommits, &v.round) => {
                self.nil_precommits.entry(v.round).or_default().insert(v.validator);
            }
            _ => {}
        }
        good
    }

    pub(super) fn proposal(&mut self, proposal: &SignedProposal) -> bool {
        let p = &proposal.proposal;
        p.epoch == self.epoch && self.signature(p.proposer, p.digest(&self.domain), proposal.signature)
    }

    pub(super) fn has_prevote_quorum(&self, value: Digest) -> bool {
        let quorum = self.committee.quorum();
        self.prevotes.iter().any(|((_, v), who)| *v == value && who.len() >= quorum)
    }

    /// Whether nothing can be decided in this round any more: a quorum precommitted nil, and every two quorums share an honest member.
    pub(super) fn is_lost(&self, round: Round) -> bool {
        self.nil_precommits.get(&round).is_some_and(|who| who.len() >= self.committee.quorum())
    }

    /// Whether at least `needed` different members signed, and every signature is good.
    pub(super) fn votes(
        &mut self,
        votes: &[SignedVote],
        needed: usize,
    ) -> Result<(), CertificateError<Context>> {
        let mut seen = BTreeSet::new();
        for vote in votes {
            let id = vote.vote.validator;
            if !seen.insert(id) {
                return Err(CertificateError::DuplicateVote(CoreAddress(id)));
            }
            if self.committee.key(id).is_none() {
                return Err(CertificateError::UnknownValidator(CoreAddress(id)));
            }
            if !self.vote(vote) {
                return Err(CertificateError::VerificationError(None));
            }
        }
        if seen.len() < needed {
            return Err(CertificateError::NotEnoughVotingPower {
                signed: seen.len() as u64,
                total: self.committee.len() as u64,
                expected: needed as u64,
            });
        }
        Ok(())
    }

    pub(super) fn committee(&self) -> &Committee {
        &self.committee
    }
}

fn has_room<K: Ord>(counted: &BTreeMap<K, BTreeSet<ValidatorId>>, key: &K) -> bool {
    counted.len() < MAX_REMEMBERED || counted.contains_key(key)
}
