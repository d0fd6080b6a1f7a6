//! Bugs on purpose, for the simulator that must find them; as in [`ordering::planted`], none exists in what is shipped.

/// A rule that one may take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlantedBug {
    /// A peer's batch encoding is signed whatever the comparison says.
    BatchUnchecked,
    /// Nonces are used without a record of it.
    NonceNotBurnt,
    /// A signature share leaves before the record of its nonce is synced.
    ShareBeforeSync,
    /// Shares of new keys are kept in memory only.
    ShareNotStored,
    /// A restarted node has forgotten what was said in the ceremony before.
    CeremonyForgotten,
    /// A new epoch's blocks and batches are signed with the key before.
    OldKeyKept,
    /// Shares are erased as soon as the next epoch has begun, whatever L1 has.
    SharesErasedEarly,
    /// Every share of a signature is wrong, and vouched for.
    WrongShares,
    /// What the own endpoint shows of the forced-inclusion queue is told unchecked.
    QueueUnchecked,
    /// Nobody tells the entries of the forced-inclusion queue.
    ForcedUntold,
}

#[cfg(feature = "planted-bugs")]
pub use this_process::{of_this_process, plant};

/// Where nodes are processes: a bug for those that live in this one.
#[cfg(feature = "planted-bugs")]
mod this_process {
    use std::sync::OnceLock;

    use super::PlantedBug;

    static PLANTED: OnceLock<PlantedBug> = OnceLock::new();

    /// All node cores that this process makes from now on have this bug. The first word stands.
    pub fn plant(bug: PlantedBug) {
        PLANTED.get_or_init(|| bug);
    }

    /// See [`plant`].
    pub fn of_this_process() -> Option<PlantedBug> {
        PLANTED.get().copied()
    }
}
