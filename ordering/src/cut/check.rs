//! Whether a cut may be voted for. It depends on the cut's bytes and on held data only, so a value that was once valid stays so.
//! The one thing that depends on a clock, a time in the future, is no matter of validity: the voter waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ordering_types::cut::MAX_CUT_BYTES;
use ordering_types::preimage::Domain;
use ordering_types::{CommitCertificate, Cut, Height, LaneId, Round, Signature, SystemMessage, ValidatorId};

use crate::expand::blob_bytes;
use crate::lane::store::Held;
use crate::load::Rules;
use crate::state::ReplayState;
use crate::system::MAX_SYSTEM_BYTES_PER_CUT;
use crate::window::Window;

/// Why a cut is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutError {
    #[error("it does not continue the decided block")]
    Parent,
    #[error("it does not carry a quorum's precommits for the block before")]
    ParentCommit,
    #[error("it goes back in time")]
    Time,
    #[error("it changes the L1 reference without reports")]
    L1Reference,
    #[error("lane {0} is of no member, or closed")]
    Lane(LaneId),
    #[error("lane {0} does not advance, or too far")]
    Advance(LaneId),
    #[error("validator {0}'s system message is not its next, or not signed by it")]
    System(ValidatorId),
    #[error("validator {0} is no member, and says too much")]
    Outside(ValidatorId),
    #[error("too many bytes of system messages")]
    SystemBytes,
    #[error("it covers more than a block may")]
    TooHeavy,
    #[error("the batch must end here and does not")]
    Unsealed,
    #[error("the epoch ends here and the batch does not")]
    SpansEpochs,
}

/// What can be checked before the data is there. `known` tells which system messages were verified before.
pub(crate) fn check_shape(
    cut: &Cut,
    rules: &Rules,
    state: &ReplayState,
    known: impl Fn(&SystemMessage) -> bool,
) -> Result<(), CutError> {
    let continues =
        cut.height == state.height.next() && cut.parent == state.header && cut.epoch == state.epoch();
    if !continues {
        return Err(CutError::Parent);
    }
    if cut.time_ms < state.time_ms {
        return Err(CutError::Time);
    }
    if cut.l1_reference != state.l1_reference() {
        return Err(CutError::L1Reference);
    }
    for tip in &cut.tips {
        if !state.has_lane(tip.lane.validator, rules) || !state.is_open(tip.lane) {
            return Err(CutError::Lane(tip.lane));
        }
        let from = state.tip(tip.lane).0.get();
        let most = from.saturating_add(u64::from(rules.limits.chunks_per_lane_per_cut));
        if tip.sequence.get() <= from || tip.sequence.get() > most {
            return Err(CutError::Advance(tip.lane));
        }
    }
    check_system(&cut.system, state, &rules.domain, known)?;
    if !cut.seals_batch && state.tally(&cut.system, rules).agreed.is_some() {
        return Err(CutError::SpansEpochs);
    }
    Ok(())
}

fn check_system(
    messages: &[SystemMessage],
    state: &ReplayState,
    domain: &Domain,
    known: impl Fn(&SystemMessage) -> bool,
) -> Result<(), CutError> {
    if messages.iter().map(|m| m.payload.len()).sum::<usize>() > MAX_SYSTEM_BYTES_PER_CUT {
        return Err(CutError::SystemBytes);
    }
    const { assert!(MAX_SYSTEM_BYTES_PER_CUT < MAX_CUT_BYTES) };
    let mut newest: BTreeMap<ValidatorId, u64> = state.replayed.system.clone();
    let mut said: BTreeMap<ValidatorId, usize> = BTreeMap::new();
    for message in messages {
        let key = state.key_of_speaker(message.sender).ok_or(CutError::System(message.sender))?;
        let said = said.entry(message.sender).or_default();
        *said += 1;
        if *said > state.may_say(message.sender) {
            return Err(CutError::Outside(message.sender));
        }
        let last = newest.entry(message.sender).or_default();
        if message.sequence <= *last || !(known(message) || message.verify(domain, key)) {
            return Err(CutError::System(message.sender));
        }
        *last = message.sequence;
    }
    Ok(())
}

/// Precommits for the newest decided block that are known to be good. Every node holds another quorum of them, and mostly
/// the same signatures.
#[derive(Debug, Default)]
pub(crate) struct ParentSignatures {
    known: BTreeSet<(Round, ValidatorId, Signature)>,
}

/// Most signatures that are remembered; honest ones are one a validator.
const MAX_PARENT_SIGNATURES: usize = 4_096;

impl ParentSignatures {
    /// Those of a certificate that was verified.
    pub(crate) fn of(certificate: &CommitCertificate) -> Self {
        let known = certificate.signatures.iter().map(|(id, s)| (certificate.round, *id, *s)).collect();
        Self { known }
    }
}

/// Whether a cut tells truly in which round the block before was decided: all leaders of earlier rounds are penalised for it.
pub(crate) fn check_parent_commit(
    cut: &Cut,
    state: &ReplayState,
    domain: &Domain,
    signatures: &mut ParentSignatures,
) -> Result<(), CutError> {
    if state.height == Height::ZERO {
        return if cut.parent_commit.is_none() { Ok(()) } else { Err(CutError::ParentCommit) };
    }
    let committee = state.deciders();
    let commit = cut.parent_commit.as_ref().ok_or(CutError::ParentCommit)?;
    let count = commit.signatures.len();
    let ascending = commit.signatures.is_sorted_by(|a, b| a.0 < b.0);
    if count < committee.quorum() || count > committee.len() || !ascending {
        return Err(CutError::ParentCommit);
    }
    let precommit = domain.vote(true, state.decided_in, state.height, commit.round, Some(state.header));
    for (id, signature) in &commit.signatures {
        let entry = (commit.round, *id, *signature);
        if signatures.known.contains(&entry) {
            continue;
        }
        if !committee.key(*id).is_some_and(|key| key.verify(precommit, signature)) {
            return Err(CutError::ParentCommit);
        }
        if signatures.known.len() < MAX_PARENT_SIGNATURES {
            signatures.known.insert(entry);
        }
    }
    Ok(())
}

/// What needs the data: `lanes` are the chunks of each tip.
pub(crate) fn check_covered(
    cut: &Cut,
    lanes: &[Vec<Arc<Held>>],
    rules: &Rules,
    state: &ReplayState,
    window: &Window,
) -> Result<(), CutError> {
    let intake = state.intake(&cut.system, rules);
    let mut load = intake.load.clone();
    for held in lanes.iter().flatten() {
        load.add(&held.load);
    }
    if !load.fits(rules) {
        return Err(CutError::TooHeavy);
    }
    let covered = crate::expand::interleave(cut.parent, lanes);
    let bytes = blob_bytes(rules, window, &intake, &covered);
    let batch = state.replayed.batch.with(cut.time_ms, bytes, 0);
    if batch.must_seal(&rules.limits) && !cut.seals_batch {
        return Err(CutError::Unsealed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
