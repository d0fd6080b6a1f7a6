//! Answers every effect of the core, by recording what is to be done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arc_malachitebft_core_consensus as mc;
use arc_malachitebft_core_types as mt;
use bytes::Bytes;
use mc::{ConsensusMsg, Effect as CoreEffect, LivenessMsg, Resumable, Resume, SignedConsensusMsg};
use mt::{
    CertificateError, Context as _, NilOrVal, RoundCertificateType, SignedMessage, Timeout, TimeoutKind,
};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Height, Round, SecretKey, SignedVote, Time, VoteKind};

use super::context::Context;
use super::convert::{Convert, round_out};
use super::verify::Verifier;
use crate::agreement::guard::{Step, VoteGuard};
use crate::agreement::{Broadcast, Effect, Proposal, SignedProposal};
use crate::api::Evidence;
use crate::planted::PlantedBug;
use crate::settings::Settings;

/// Which timer, in the core's order of kinds.
pub(super) type TimerKey = (u8, Round);

/// What is held back while a height's log is replayed.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Encoded entries that are in the log already.
    pub(super) known: BTreeSet<Bytes>,
    pub(super) broadcasts: Vec<Broadcast>,
    pub(super) builds: Vec<(Height, Round)>,
}

/// Everything around the core's state.
pub(super) struct Host {
    pub(super) convert: Convert,
    pub(super) domain: Domain,
    pub(super) key: SecretKey,
    pub(super) verifier: Verifier,
    pub(super) guard: VoteGuard,
    pub(super) timeouts: mt::LinearTimeouts,
    pub(super) settings: Settings,
    /// The newest value that was found valid, and its round.
    pub(super) acceptable: Option<(Height, Round, Digest)>,
    pub(super) timers: BTreeMap<TimerKey, (Time, Timeout)>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) replay: Option<Replay>,
    pub(super) now: Time,
    pub(super) height: Height,
    pub(super) decided: bool,
    pub(super) fatal: Option<String>,
}

fn timer_key(timeout: &Timeout) -> TimerKey {
    let kind = match timeout.kind {
        TimeoutKind::Propose => 0,
        TimeoutKind::Prevote => 1,
        TimeoutKind::Precommit => 2,
        TimeoutKind::Rebroadcast => 3,
        TimeoutKind::FinalizeHeight(_) => 4,
    };
    (kind, round_out(timeout.round))
}

impl Host {
    /// Cannot fail: the core takes an error for "go on".
    #[allow(clippy::too_many_lines)] // One arm an effect; anything shorter would hide one.
    pub(super) fn answer(&mut self, effect: CoreEffect<Context>) -> Resume<Context> {
        match effect {
            CoreEffect::CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            CoreEffect::CancelTimeout(timeout, r) => {
                self.timers.remove(&timer_key(&timeout));
                r.resume_with(())
            }
            CoreEffect::ScheduleTimeout(timeout, r) => {
                self.schedule(timeout);
                r.resume_with(())
            }
            CoreEffect::StartRound(_, _, _, _, r) => r.resume_with(()),
            CoreEffect::PublishConsensusMsg(message, r) => {
                let message = match message {
                    SignedConsensusMsg::Vote(vote) => Broadcast::Vote(self.convert.vote_out(&vote)),
                    SignedConsensusMsg::Proposal(p) => Broadcast::Proposal(self.convert.proposal_out(&p)),
                };
                self.broadcast(message);
                r.resume_with(())
            }
            CoreEffect::PublishLivenessMsg(message, r) => {
                let message = match message {
                    LivenessMsg::Vote(vote) => Broadcast::Vote(self.convert.vote_out(&vote)),
                    LivenessMsg::PolkaCertificate(c) => Broadcast::Bundle(self.convert.polka_out(&c)),
                    LivenessMsg::SkipRoundCertificate(c) => {
                        Broadcast::Bundle(self.convert.round_certificate_out(&c))
                    }
                };
                self.broadcast(message);
                r.resume_with(())
            }
            CoreEffect::RepublishVote(vote, r) => {
                self.broadcast(Broadcast::Vote(self.convert.vote_out(&vote)));
                r.resume_with(())
            }
            CoreEffect::RepublishRoundCertificate(certificate, r) => {
                self.broadcast(Broadcast::Bundle(self.convert.round_certificate_out(&certificate)));
                r.resume_with(())
            }
            CoreEffect::GetValue(height, round, _, r) => {
                let (height, round) = (Height::new(height.0), round_out(round));
                match &mut self.replay {
                    Some(replay) => replay.builds.push((height, round)),
                    None => self.effects.push_back(Effect::Build { height, round }),
                }
                r.resume_with(())
            }
            // The proposal that follows is broadcast together with what its value stands for.
            CoreEffect::RestreamProposal(_, _, _, _, _, r) => r.resume_with(()),
            CoreEffect::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
            CoreEffect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            CoreEffect::Decide(certificate, _, r) => {
                self.decided = true;
                self.guard.decided(self.height);
                self.effects.push_back(Effect::Decided(self.convert.commit_out(&certificate)));
                r.resume_with(())
            }
            CoreEffect::Finalize(_, _, evidence, r) => {
                self.evidence(evidence.votes.iter().flat_map(|(_, pairs)| pairs));
                r.resume_with(())
            }
            CoreEffect::SignVote(mut vote, r) => {
                if self.settings.lacks(PlantedBug::LockDropped) {
                    self.drop_lock(&mut vote);
                }
                match self.sign_vote(&self.convert.bare_vote_out(&vote)) {
                    Some(signed) => r.resume_with(mt::SignedVote::new(vote, signed.signature)),
                    None => Resume::Continue,
                }
            }
            CoreEffect::SignProposal(proposal, r) => {
                match self.sign_proposal(self.convert.bare_proposal_out(&proposal)) {
                    Some(signed) => r.resume_with(mt::SignedProposal::new(proposal, signed.signature)),
                    None => Resume::Continue,
                }
            }
            CoreEffect::VerifySignature(message, _, r) => {
                let good = self.verify(message);
                r.resume_with(good)
            }
            CoreEffect::VerifyCommitCertificate(certificate, _, _, r) => {
                let result = self.verify_commit(&certificate);
                r.resume_with(result)
            }
            CoreEffect::VerifyExtendedCommitCertificate(certificate, _, _, _, r) => {
                let result = self.verify_commit(&certificate.trim_vote_extensions());
                r.resume_with(result)
            }
            CoreEffect::VerifyPolkaCertificate(certificate, _, _, r) => {
                let bundle = self.convert.polka_out(&certificate);
                let quorum = self.verifier.committee().quorum();
                let result = self.verifier.votes(&bundle.votes, quorum);
                r.resume_with(result)
            }
            CoreEffect::VerifyRoundCertificate(certificate, _, _, r) => {
                let result = self.verify_round(&certificate);
                r.resume_with(result)
            }
            CoreEffect::WalAppend(height, entry, r) => {
                self.log(Height::new(height.0), &entry);
                r.resume_with(())
            }
            // Vote extensions are disabled.
            CoreEffect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            CoreEffect::VerifyVoteExtension(_, _, _, _, _, _, r) => {
                r.resume_with(Err(mc::VoteExtensionError::InvalidVoteExtension))
            }
        }
    }

    pub(super) fn forget_timer(&mut self, timeout: &Timeout) {
        self.timers.remove(&timer_key(timeout));
    }

    /// A round in which nothing can be decided any more is not waited for.
    pub(super) fn leave_lost_rounds(&mut self) {
        for (deadline, timeout) in self.timers.values_mut() {
            if timeout.kind == TimeoutKind::Precommit && self.verifier.is_lost(round_out(timeout.round)) {
                *deadline = self.now;
            }
        }
    }

    fn schedule(&mut self, timeout: Timeout) {
        // The core arms one more timer after it decided; a later height would mistake it for its own.
        if !self.decided {
            let deadline = self.now + self.timeouts.duration_for(timeout);
            self.timers.insert(timer_key(&timeout), (deadline, timeout));
        }
    }

    fn broadcast(&mut self, message: Broadcast) {
        match &mut self.replay {
            Some(replay) => replay.broadcasts.push(message),
            None => self.effects.push_back(Effect::Broadcast(message)),
        }
    }

    fn log(&mut self, height: Height, input: &mc::Input<Context>) {
        let Some(entry) = self.convert.entry_out(input) else { return };
        let entry = entry.encode();
        if !self.replay.as_ref().is_some_and(|replay| replay.known.contains(&entry)) {
            self.effects.push_back(Effect::Log { height, entry });
        }
    }

    /// Prevotes what the round proposes although another value is locked; see [`PlantedBug::LockDropped`].
    fn drop_lock(&self, vote: &mut super::context::CoreVote) {
        let nil_prevote = vote.kind == mt::VoteType::Prevote && vote.value == NilOrVal::Nil;
        if let (true, Some((height, round, value))) = (nil_prevote, self.acceptable)
            && (height.get(), round) == (vote.height.0, round_out(vote.round))
        {
            vote.value = NilOrVal::Val(value);
        }
    }

    fn sign_vote(&mut self, vote: &ordering_types::Vote) -> Option<SignedVote> {
        let step = match vote.kind {
            VoteKind::Prevote => Step::Prevote,
            VoteKind::Precommit => Step::Precommit,
        };
        match self.guard.admit(vote.height, vote.round, step, vote.digest(&self.domain)) {
            Ok(()) => Some(vote.sign(&self.domain, &self.key)),
            Err(conflict) => {
                self.fatal = Some(conflict.to_string());
                None
            }
        }
    }

    fn sign_proposal(&mut self, proposal: Proposal) -> Option<SignedProposal> {
        match self.guard.admit(proposal.height, proposal.round, Step::Propose, proposal.digest(&self.domain))
        {
            Ok(()) => Some(proposal.sign(&self.domain, &self.key)),
            Err(conflict) => {
                self.fatal = Some(conflict.to_string());
                None
            }
        }
    }

    fn verify(&mut self, message: SignedMessage<Context, ConsensusMsg<Context>>) -> bool {
        let SignedMessage { message, signature } = message;
        match message {
            ConsensusMsg::Vote(vote) => {
                self.verifier.vote(&SignedVote { vote: self.convert.bare_vote_out(&vote), signature })
            }
            ConsensusMsg::Proposal(proposal) => {
                let proposal = self.convert.bare_proposal_out(&proposal);
                self.verifier.proposal(&SignedProposal { proposal, signature })
            }
        }
    }

    fn verify_commit(
        &mut self,
        certificate: &mt::CommitCertificate<Context>,
    ) -> Result<(), CertificateError<Context>> {
        let votes: Vec<SignedVote> = certificate
            .commit_signatures
            .iter()
            .map(|s| {
                let value = NilOrVal::Val(certificate.value_id);
                let vote = Context.new_precommit(certificate.height, certificate.round, value, s.address);
                SignedVote { vote: self.convert.bare_vote_out(&vote), signature: s.signature }
            })
            .collect();
        // The core asserts this of its own decisions.
        let any = self.settings.lacks(PlantedBug::QuorumTooSmall);
        let quorum = if any { 1 } else { self.verifier.committee().quorum() };
        self.verifier.votes(&votes, quorum)
    }

    fn verify_round(
        &mut self,
        certificate: &mt::RoundCertificate<Context>,
    ) -> Result<(), CertificateError<Context>> {
        let bundle = self.convert.round_certificate_out(certificate);
        let needed = match certificate.cert_type {
            RoundCertificateType::Skip => self.verifier.committee().faulty() + 1,
            RoundCertificateType::Precommit => {
                let stray = bundle.votes.iter().find(|v| v.vote.kind != VoteKind::Precommit);
                if let Some(vote) = stray {
                    let address = super::context::CoreAddress(vote.vote.validator);
                    return Err(CertificateError::InvalidVoteType(address));
                }
                self.verifier.committee().quorum()
            }
        };
        self.verifier.votes(&bundle.votes, needed)
    }

    pub(super) fn evidence<'a>(
        &mut self,
        pairs: impl Iterator<Item = &'a (mt::SignedVote<Context>, mt::SignedVote<Context>)>,
    ) {
        for (first, second) in pairs {
            self.effects.push_back(Effect::Evidence(Evidence {
                culprit: first.message.validator.0,
                first: self.convert.vote_out(first),
                second: self.convert.vote_out(second),
            }));
        }
    }
}
