//! One running instance of a validator: core, disk, clock, and what it waits for.

use std::collections::BTreeSet;
use std::sync::Arc;

use node_core::NodeCore;
use ordering_types::{SecretKey, Time, ValidatorId};

use super::byzantine::Lie;
use super::byzantine::chunk_forger::Forgeries;
use super::clock::Clock;
use super::disk::Disk;
use super::plan::{Fall, START};

/// A slot of the network.
pub(super) struct Node {
    pub(super) id: ValidatorId,
    pub(super) key: SecretKey,
    /// Every other validator.
    pub(super) peers: Arc<[ValidatorId]>,
    /// Those that it takes for the committee.
    pub(super) committee: BTreeSet<ValidatorId>,
    pub(super) lies: Vec<Lie>,
    pub(super) forgeries: Forgeries,
    /// Whether nothing is expected of it: it lies, or runs twice.
    pub(super) byzantine: bool,
    pub(super) core: Option<NodeCore>,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    /// Counts starts; events of an earlier life are void.
    pub(super) life: u64,
    /// A sync occupies the node until then.
    pub(super) busy_until: Time,
    pub(super) wake_at: Option<Time>,
    /// Alarms in a row that were due when they were asked for.
    pub(super) overdue: u32,
    /// The alarm has just rung.
    pub(super) woke: bool,
    /// Transactions taken up to here may have died in a crash.
    pub(super) lost_before: Time,
    /// What happens at its next sync, and how long it is away then.
    pub(super) trap: Option<(Fall, std::time::Duration)>,
    /// How long its next sync takes.
    pub(super) stall: Option<std::time::Duration>,
}

impl Node {
    pub(super) fn new(
        id: ValidatorId,
        key: SecretKey,
        peers: Arc<[ValidatorId]>,
        lies: Vec<Lie>,
        byzantine: bool,
    ) -> Self {
        Self {
            id,
            key,
            peers,
            committee: BTreeSet::new(),
            lies,
            forgeries: Forgeries::default(),
            byzantine,
            core: None,
            disk: Disk::default(),
            clock: Clock::default(),
            life: 0,
            busy_until: START,
            wake_at: None,
            overdue: 0,
            woke: false,
            lost_before: Time::default(),
            trap: None,
            stall: None,
        }
    }
}
