//! Bugs on purpose, for the simulator that must find them.
//!
//! Nothing here exists in what is shipped: without the cargo feature `planted-bugs` no bug can be chosen, and with it none is unless
//! [`Settings::planted`](crate::Settings) says so, which only the simulator does. So it changes nothing for a node that is built together with
//! the simulator.

/// A rule that one may take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlantedBug {
    /// Too few votes count as a quorum.
    QuorumTooSmall,
    /// Votes leave before the log is synced.
    VoteBeforeSync,
    /// Votes are not logged at all.
    VoteNotLogged,
    /// A restarted node knows nothing of its log, and does not ask either.
    VotesForgotten,
    /// A locked validator prevotes any valid proposal.
    LockDropped,
    /// A cut is voted for before its chunks are there.
    MissingDataVoted,
    /// Peers' chunks are kept in memory only.
    ChunkNotStored,
    /// A cut is valid whatever header it expands to.
    WrongHeaderAccepted,
    /// Transactions of earlier blocks are ordered again.
    DuplicatesOrdered,
    /// Certificates of peers that serve decided heights are not checked.
    SyncUnchecked,
    /// A block of the far future is voted for at once.
    FutureAccepted,
    /// Every block is handed out twice.
    DecidedTwice,
    /// An owner whose lane was decided otherwise forgets what its own chunks held.
    OverruledForgotten,
    /// Whoever is active is drawn, whether it runs or not.
    UnreadyDrawn,
    /// Lanes of those who left the committee are closed at once.
    LanesCut,
    /// Whatever is told of the forced-inclusion queue is believed.
    ForcedUnproven,
}

impl PlantedBug {
    /// Those in what is replayed: rules that lack them travel with a node's state.
    pub(crate) const OF_REPLAY: [Self; 3] = [Self::UnreadyDrawn, Self::LanesCut, Self::ForcedUnproven];
}
