//! Ready or not, and why not.

use ordering_types::Height;
use serde::Serialize;

use crate::core_api::Status;
use crate::l1::{L1State, RegistryState};
use crate::pressure::Cause;

/// A node this far behind what its peers claim is catching up.
const MAX_BEHIND: u64 = 64;

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    /// Whether nothing is missing.
    pub(super) ready: bool,
    /// What is, in words.
    pub(super) missing: Vec<String>,
    /// Newest block applied here.
    pub(super) height: u64,
    /// Highest that any peer has claimed.
    pub(super) heard_height: u64,
    /// The checkpoint from which it went on since its start, if it did.
    pub(super) checkpoint: Option<u64>,
    /// Whether it is in the committee; else it follows, takes no transactions, and may be drawn for a later epoch.
    pub(super) member: bool,
    /// Whether the node takes part in votes.
    pub(super) voting: bool,
    /// Whether its key share is loaded.
    pub(super) key_share: bool,
    /// The L1 endpoint; ordering does not need it.
    pub(super) l1: L1State,
    /// The registry on L1, as it is followed.
    pub(super) registry: RegistryState,
    /// Why no rollup's transactions are admitted, if so.
    pub(super) admission_stopped: Option<String>,
}

impl Readiness {
    /// From the newest snapshot; `connected` of `peers` other validators can be reached.
    pub(super) fn of(
        status: &Status,
        connected: usize,
        (l1, registry): (L1State, RegistryState),
        stopped: Option<Cause>,
    ) -> Self {
        let (height, heard) = (status.height.get(), status.heard_height.get());
        let n = status.committee.len();
        let quorum = n - n.saturating_sub(1) / 3;
        let mut missing = Vec::new();
        // Who follows has nothing to vote and no share, and is always some blocks behind; it is ready to be drawn.
        let member = status.committee.contains(&status.validator);
        if (member && status.syncing) || heard.saturating_sub(height) > MAX_BEHIND {
            missing.push(format!("synced: at height {height}, peers are at {heard}"));
        }
        if let Some(why) = status.silence.as_ref().filter(|_| member) {
            missing.push(format!("voting: {why}"));
        }
        if connected + 1 < quorum {
            missing.push(format!("peers: {connected} connected, {} needed for a quorum", quorum - 1));
        }
        if member && !status.key_ready {
            missing.push(format!("key share: {}", status.founding));
        }
        let admission_stopped = stopped.map(|cause| cause.to_string());
        if let Some(why) = &admission_stopped {
            missing.push(format!("admission: {why}"));
        }
        Self {
            ready: missing.is_empty(),
            missing,
            height,
            heard_height: heard,
            checkpoint: status.checkpoint.map(Height::get),
            member,
            voting: !status.syncing && status.silence.is_none(),
            key_share: status.key_ready,
            l1,
            registry,
            admission_stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use ordering_types::{Epoch, Round, ValidatorId};

    use super::*;

    fn status(height: u64, heard: u64) -> Status {
        Status {
            validator: ValidatorId::new(5),
            height: Height::new(height),
            heard_height: Height::new(heard),
            checkpoint: None,
            epoch: Epoch::new(3),
            round: Round::new(0),
            proposer: ValidatorId::new(1),
            committee: (1..=4).map(ValidatorId::new).collect(),
            syncing: true,
            silence: Some("this validator is not in the committee of epoch 3".to_owned()),
            certified_height: Height::new(height),
            key_ready: false,
            founded: true,
            founding: "founded".to_owned(),
            group_key: None,
            next_key: None,
            open_batches: 0,
            open_bytes: 0,
            last_sealed: 1,
        }
    }

    fn readiness(status: &Status, connected: usize) -> Readiness {
        Readiness::of(status, connected, (L1State::NotConfigured, RegistryState::NotConfigured), None)
    }

    /// Validators that wait for their turn once counted as broken, all the time.
    #[test]
    fn who_follows_is_ready_without_share_and_votes_and_a_member_is_not() {
        let follows = readiness(&status(90, 100), 4);
        assert!(follows.ready && !follows.member && !follows.voting, "{follows:?}");
        assert!(!readiness(&status(90, 90 + MAX_BEHIND + 1), 4).ready);
        assert!(!readiness(&status(90, 100), 1).ready);
        let member = Status { validator: ValidatorId::new(4), ..status(90, 100) };
        let member = readiness(&member, 3);
        assert!(!member.ready && member.member);
        assert_eq!(member.missing.len(), 3, "{member:?}");
    }
}
