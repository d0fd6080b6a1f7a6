//! Between our types and the core's, and the layout of log entries.

use arc_malachitebft_core_consensus as mc;
use arc_malachitebft_core_types as mt;
use bytes::Bytes;
use mc::{Input, ProposedValue};
use mt::{
    NilOrVal, PolkaCertificate, RoundCertificate, RoundCertificateType, Timeout, Validity, ValueOrigin,
};
use ordering_types::codec::{self, DecodeError};
use ordering_types::{Digest, Epoch, Height, Round, SignedVote, Vote, VoteKind};
use serde::{Deserialize, Serialize};

use super::context::{Context, CoreAddress, CoreCommittee, CoreHeight, CoreProposal, CoreValue, CoreVote};
use crate::agreement::{BundleKind, Proposal, SignedProposal, VoteBundle};

/// Most bytes of one log entry: a quorum of votes.
const MAX_ENTRY_BYTES: usize = 64 * 1024;

/// One input of the core, as logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogEntry {
    Vote(SignedVote),
    Proposal(SignedProposal),
    Judged { proposal: Proposal, valid: bool },
    Bundle(VoteBundle),
    Timeout { step: TimeoutStep, round: Round },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TimeoutStep {
    Propose,
    Prevote,
    Precommit,
}

impl LogEntry {
    pub(crate) fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_ENTRY_BYTES)
    }
}

/// The epoch is that of the height last started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convert {
    pub(super) epoch: Epoch,
}

const fn round_in(round: Round) -> mt::Round {
    mt::Round::new(round.get())
}

/// Rounds of messages are always defined; the core's own "no round" stands only for an absent valid round.
pub(super) fn round_out(round: mt::Round) -> Round {
    Round::new(round.as_u32().unwrap_or(0))
}

const fn height_in(height: Height) -> CoreHeight {
    CoreHeight(height.get())
}

impl Convert {
    pub(super) fn vote_in(vote: &SignedVote) -> mt::SignedVote<Context> {
        let kind = match vote.vote.kind {
            VoteKind::Prevote => mt::VoteType::Prevote,
            VoteKind::Precommit => mt::VoteType::Precommit,
        };
        let message = CoreVote {
            kind,
            height: height_in(vote.vote.height),
            round: round_in(vote.vote.round),
            value: vote.vote.value.map_or(NilOrVal::Nil, NilOrVal::Val),
            validator: CoreAddress(vote.vote.validator),
        };
        mt::SignedVote::new(message, vote.signature)
    }

    pub(super) fn bare_vote_out(self, vote: &CoreVote) -> Vote {
        Vote {
            kind: match vote.kind {
                mt::VoteType::Prevote => VoteKind::Prevote,
                mt::VoteType::Precommit => VoteKind::Precommit,
            },
            epoch: self.epoch,
            height: Height::new(vote.height.0),
            round: round_out(vote.round),
            value: match vote.value {
                NilOrVal::Nil => None,
                NilOrVal::Val(value) => Some(value),
            },
            validator: vote.validator.0,
        }
    }

    pub(super) fn vote_out(self, vote: &mt::SignedVote<Context>) -> SignedVote {
        SignedVote { vote: self.bare_vote_out(&vote.message), signature: vote.signature }
    }

    pub(super) fn bare_proposal_out(self, proposal: &CoreProposal) -> Proposal {
        Proposal {
            epoch: self.epoch,
            height: Height::new(proposal.height.0),
            round: round_out(proposal.round),
            valid_round: proposal.valid_round.as_u32().map(Round::new),
            value: proposal.value.0,
            proposer: proposal.proposer.0,
        }
    }

    pub(super) fn proposal_out(self, proposal: &mt::SignedProposal<Context>) -> SignedProposal {
        SignedProposal { proposal: self.bare_proposal_out(&proposal.message), signature: proposal.signature }
    }

    pub(super) fn proposal_in(proposal: &SignedProposal) -> mt::SignedProposal<Context> {
        let p = &proposal.proposal;
        let message = CoreProposal {
            height: height_in(p.height),
            round: round_in(p.round),
            value: CoreValue(p.value),
            valid_round: p.valid_round.map_or(mt::Round::Nil, round_in),
            proposer: CoreAddress(p.proposer),
        };
        mt::SignedProposal::new(message, proposal.signature)
    }

    pub(super) fn judged_in(proposal: &Proposal, valid: bool) -> Input<Context> {
        let value = ProposedValue {
            height: height_in(proposal.height),
            round: round_in(proposal.round),
            valid_round: proposal.valid_round.map_or(mt::Round::Nil, round_in),
            proposer: CoreAddress(proposal.proposer),
            value: CoreValue(proposal.value),
            validity: if valid { Validity::Valid } else { Validity::Invalid },
        };
        Input::ProposedValue(value, ValueOrigin::Consensus)
    }

    fn judged_out(self, value: &ProposedValue<Context>) -> LogEntry {
        let proposal = Proposal {
            epoch: self.epoch,
            height: Height::new(value.height.0),
            round: round_out(value.round),
            valid_round: value.valid_round.as_u32().map(Round::new),
            value: value.value.0,
            proposer: value.proposer.0,
        };
        LogEntry::Judged { proposal, valid: value.validity == Validity::Valid }
    }

    /// Bundles become certificates of the core; a bundle with mixed heights, rounds or values is none.
    pub(super) fn bundle_in(bundle: &VoteBundle) -> Option<Input<Context>> {
        let fits = |v: &SignedVote| v.vote.height == bundle.height && v.vote.round == bundle.round;
        let first = bundle.votes.first()?;
        if !bundle.votes.iter().all(fits) {
            return None;
        }
        let (height, round) = (height_in(bundle.height), round_in(bundle.round));
        let votes: Vec<_> = bundle.votes.iter().map(Self::vote_in).collect();
        let round_type = match bundle.kind {
            BundleKind::Polka => {
                let value = first.vote.value?;
                let same = |v: &SignedVote| v.vote.value == Some(value) && v.vote.kind == VoteKind::Prevote;
                return bundle
                    .votes
                    .iter()
                    .all(same)
                    .then(|| Input::PolkaCertificate(PolkaCertificate::new(height, round, value, votes)));
            }
            BundleKind::SkipRound => RoundCertificateType::Skip,
            BundleKind::EndRound => RoundCertificateType::Precommit,
        };
        Some(Input::RoundCertificate(RoundCertificate::new_from_votes(height, round, round_type, votes)))
    }

    pub(super) fn polka_out(self, certificate: &PolkaCertificate<Context>) -> VoteBundle {
        VoteBundle {
            kind: BundleKind::Polka,
            height: Height::new(certificate.height.0),
            round: round_out(certificate.round),
            votes: certificate.votes(&Context).map(|v| self.vote_out(&v)).collect(),
        }
    }

    pub(super) fn round_certificate_out(self, certificate: &RoundCertificate<Context>) -> VoteBundle {
        VoteBundle {
            kind: match certificate.cert_type {
                RoundCertificateType::Skip => BundleKind::SkipRound,
                RoundCertificateType::Precommit => BundleKind::EndRound,
            },
            height: Height::new(certificate.height.0),
            round: round_out(certificate.round),
            votes: certificate.votes(&Context).map(|v| self.vote_out(&v)).collect(),
        }
    }

    /// The log entry of an input, for those that the core logs.
    pub(super) fn entry_out(self, input: &Input<Context>) -> Option<LogEntry> {
        Some(match input {
            Input::Vote(vote) => LogEntry::Vote(self.vote_out(vote)),
            Input::Proposal(proposal) => LogEntry::Proposal(self.proposal_out(proposal)),
            Input::ProposedValue(value, _) => self.judged_out(value),
            Input::PolkaCertificate(certificate) => LogEntry::Bundle(self.polka_out(certificate)),
            Input::RoundCertificate(certificate) => LogEntry::Bundle(self.round_certificate_out(certificate)),
            Input::TimeoutElapsed(timeout) => {
                let step = match timeout.kind {
                    mt::TimeoutKind::Propose => TimeoutStep::Propose,
                    mt::TimeoutKind::Prevote => TimeoutStep::Prevote,
                    mt::TimeoutKind::Precommit => TimeoutStep::Precommit,
                    mt::TimeoutKind::Rebroadcast | mt::TimeoutKind::FinalizeHeight(_) => return None,
                };
                LogEntry::Timeout { step, round: round_out(timeout.round) }
            }
            Input::StartHeight(..) | Input::Propose(_) | Input::SyncValueResponse(_) => return None,
        })
    }

    pub(super) fn entry_in(entry: &LogEntry) -> Option<Input<Context>> {
        Some(match entry {
            LogEntry::Vote(vote) => Input::Vote(Self::vote_in(vote)),
            LogEntry::Proposal(proposal) => Input::Proposal(Self::proposal_in(proposal)),
            LogEntry::Judged { proposal, valid } => Self::judged_in(proposal, *valid),
            LogEntry::Bundle(bundle) => return Self::bundle_in(bundle),
            LogEntry::Timeout { step, round } => {
                let round = round_in(*round);
                Input::TimeoutElapsed(match step {
                    TimeoutStep::Propose => Timeout::propose(round),
                    TimeoutStep::Prevote => Timeout::prevote(round),
                    TimeoutStep::Precommit => Timeout::precommit(round),
                })
            }
        })
    }

    pub(super) fn commit_out(
        self,
        certificate: &mt::CommitCertificate<Context>,
    ) -> ordering_types::CommitCertificate {
        let mut signatures: Vec<_> =
            certificate.commit_signatures.iter().map(|s| (s.address.0, s.signature)).collect();
        signatures.sort_by_key(|(id, _)| *id);
        signatures.dedup_by_key(|(id, _)| *id);
        ordering_types::CommitCertificate {
            epoch: self.epoch,
            height: Height::new(certificate.height.0),
            round: round_out(certificate.round),
            header: certificate.value_id,
            signatures,
        }
    }

    pub(super) fn start_in(height: Height, committee: CoreCommittee) -> Input<Context> {
        Input::StartHeight(height_in(height), committee, false, None, mt::VoteExtensionPolicy::Disabled)
    }

    pub(super) const fn value_in(value: Digest) -> CoreValue {
        CoreValue(value)
    }
}

impl From<crate::settings::Timeouts> for mt::LinearTimeouts {
    fn from(t: crate::settings::Timeouts) -> Self {
        Self {
            propose: t.propose,
            propose_delta: t.propose_delta,
            prevote: t.prevote,
            prevote_delta: t.prevote_delta,
            precommit: t.precommit,
            precommit_delta: t.precommit_delta,
            rebroadcast: t.rebroadcast,
            ..Self::default()
        }
    }
}
