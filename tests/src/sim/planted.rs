//! The simulator's own test: bugs on purpose, each of which it must find.

use std::collections::BTreeMap;

use node_core::Settings;
use node_core::planted::PlantedBug as NodeBug;
use ordering::planted::PlantedBug as OrderingBug;

use super::campaign::{Totals, campaign};
use super::plan::Plan;

/// Seeds within which every bug must be found.
pub const MOST_SEEDS: u64 = 400;

/// A rule taken out of every honest node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// One of the ordering core.
    Ordering(OrderingBug),
    /// One of signing and sealing.
    Node(NodeBug),
}

/// How a bug was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Seeds run until then.
    pub seeds: u64,
    /// The promise that broke first.
    pub promise: String,
    /// What was seen.
    pub seen: String,
}

impl Planted {
    /// Every bug by name.
    pub fn all() -> BTreeMap<&'static str, Self> {
        use OrderingBug as O;
        BTreeMap::from([
            ("quorum-too-small", Self::Ordering(O::QuorumTooSmall)),
            ("vote-before-sync", Self::Ordering(O::VoteBeforeSync)),
            ("vote-not-logged", Self::Ordering(O::VoteNotLogged)),
            ("votes-forgotten", Self::Ordering(O::VotesForgotten)),
            ("lock-dropped", Self::Ordering(O::LockDropped)),
            ("missing-data-voted", Self::Ordering(O::MissingDataVoted)),
            ("chunk-not-stored", Self::Ordering(O::ChunkNotStored)),
            ("wrong-header-accepted", Self::Ordering(O::WrongHeaderAccepted)),
            ("duplicates-ordered", Self::Ordering(O::DuplicatesOrdered)),
            ("sync-unchecked", Self::Ordering(O::SyncUnchecked)),
            ("future-accepted", Self::Ordering(O::FutureAccepted)),
            ("overruled-forgotten", Self::Ordering(O::OverruledForgotten)),
            ("unready-drawn", Self::Ordering(O::UnreadyDrawn)),
            ("lanes-cut", Self::Ordering(O::LanesCut)),
            ("forced-unproven", Self::Ordering(O::ForcedUnproven)),
            ("decided-twice", Self::Ordering(O::DecidedTwice)),
            ("batch-unchecked", Self::Node(NodeBug::BatchUnchecked)),
            ("nonce-not-burnt", Self::Node(NodeBug::NonceNotBurnt)),
            ("share-before-sync", Self::Node(NodeBug::ShareBeforeSync)),
            ("share-not-stored", Self::Node(NodeBug::ShareNotStored)),
            ("ceremony-forgotten", Self::Node(NodeBug::CeremonyForgotten)),
            ("old-key-kept", Self::Node(NodeBug::OldKeyKept)),
            ("forced-untold", Self::Node(NodeBug::ForcedUntold)),
            ("shares-erased-early", Self::Node(NodeBug::SharesErasedEarly)),
        ])
    }

    pub(super) fn plant(self, settings: &mut Settings) {
        match self {
            Self::Ordering(bug) => settings.ordering.planted = Some(bug),
            Self::Node(bug) => settings.planted = Some(bug),
        }
    }

    /// Whether it shows only while epochs change.
    const fn needs_rotation(self) -> bool {
        use NodeBug as N;
        matches!(self, Self::Node(N::ShareNotStored | N::CeremonyForgotten | N::OldKeyKept))
    }

    /// Whether it shows only while members change.
    const fn needs_registry(self) -> bool {
        use OrderingBug as O;
        matches!(self, Self::Ordering(O::UnreadyDrawn | O::LanesCut) | Self::Node(NodeBug::SharesErasedEarly))
    }

    /// Runs seeds until a promise breaks, at most [`MOST_SEEDS`].
    pub fn hunt(self, nodes: Option<usize>, jobs: usize) -> Option<Found> {
        let plan = |seed| {
            let plan = match (self.needs_registry(), self.needs_rotation()) {
                (true, _) => Plan::with_registry(seed),
                (false, true) => Plan::rotating(seed, nodes),
                (false, false) => Plan::from_seed(seed, nodes),
            };
            Plan { planted: Some(self), ..plan }
        };
        // Seed 0 and every 20th run with real signatures, which finds nothing more and takes longer.
        let mut totals = Totals { first: 1, ..Totals::default() };
        campaign(&mut totals, 1 + MOST_SEEDS, jobs, plan, |totals, _| totals.violations == 0);
        let (_, promise, seen) = totals.failures.first()?;
        Some(Found { seeds: totals.seeds, promise: promise.clone(), seen: seen.clone() })
    }
}
