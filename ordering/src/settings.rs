//! What a node may choose for itself: nothing here changes what is agreed on.

use std::time::Duration;

use ordering_types::Incarnation;

use crate::planted::PlantedBug;

/// One node's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Number of this run of the process; greater at every start.
    pub incarnation: Incarnation,
    /// A chunk is cut as soon as so many bytes of transactions wait.
    pub chunk_bytes: usize,
    /// A chunk is cut at the latest so long after its first transaction came.
    pub chunk_delay: Duration,
    /// Heights that begin so close after each other carry the chunks along: each lane cuts one a height.
    pub lockstep_interval: Duration,
    /// Progress is reported to the next leader at the soonest so long after there is news: it waits for it.
    pub progress_delay: Duration,
    /// And to everybody so long after, if no height runs.
    pub spread_delay: Duration,
    /// Without any news, progress is still reported so often: it is also the heartbeat that lost messages recover by.
    pub status_interval: Duration,
    /// A height is started so long after the one before was, if little waits. Every height costs its committee a few
    /// signatures and L1 a head, so many tiny ones are dear.
    pub block_interval: Duration,
    /// With so many bytes waiting, the next height is worth its price at once.
    pub block_bytes: usize,
    /// But not sooner after the one before than this.
    pub shortest_block_interval: Duration,
    /// An unanswered request is sent to another peer after so long.
    pub retry_delay: Duration,
    /// Most bytes of transactions that wait to be cut into chunks.
    pub pending_bytes: usize,
    /// Most transactions that wait to be cut into chunks.
    pub pending_transactions: usize,
    /// The host needs what old blocks say in system messages, so they are replayed rather than left out, as long as peers have them.
    pub replay_first: bool,
    /// When rounds give up.
    pub timeouts: Timeouts,
    /// A bug on purpose; none unless a simulator says so.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// How long the steps of a round wait, in round 0 and more in each later round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal.
    pub propose: Duration,
    /// Added to it each round.
    pub propose_delta: Duration,
    /// For more prevotes, once a quorum of mixed ones is there.
    pub prevote: Duration,
    /// Added to it each round.
    pub prevote_delta: Duration,
    /// For more precommits, once a quorum of mixed ones is there.
    pub precommit: Duration,
    /// Added to it each round.
    pub precommit_delta: Duration,
    /// Own votes of an undecided round are sent again so often.
    pub rebroadcast: Duration,
}

impl Default for Timeouts {
    /// A dead leader costs `propose`: 0.4 s, at the rare heights that reputation lets it lead. A proposal over 150 ms
    /// links may come 300 ms after a node that was early began the height, and a slow sync of a disk takes 200 ms, so
    /// less would suspect the honest.
    fn default() -> Self {
        Self {
            propose: Duration::from_millis(400),
            propose_delta: Duration::from_millis(200),
            prevote: Duration::from_millis(100),
            prevote_delta: Duration::from_millis(100),
            precommit: Duration::from_millis(100),
            precommit_delta: Duration::from_millis(100),
            rebroadcast: Duration::from_millis(300),
        }
    }
}

impl Settings {
    /// The usual choices.
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            chunk_bytes: 256 * 1024,
            chunk_delay: Duration::from_millis(3),
            lockstep_interval: Duration::from_millis(21),
            progress_delay: Duration::from_millis(1),
            spread_delay: Duration::from_millis(25),
            status_interval: Duration::from_millis(500),
            block_interval: Duration::from_millis(30),
            block_bytes: 12 << 10,
            shortest_block_interval: Duration::from_millis(10),
            retry_delay: Duration::from_millis(100),
            pending_bytes: 32 << 20,
            pending_transactions: 200_000,
            replay_first: false,
            timeouts: Timeouts::default(),
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Whether this rule is taken out: never but in a simulator.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn lacks(&self, bug: PlantedBug) -> bool {
        self.planted == Some(bug)
    }

    /// Whether this rule is taken out: never but in a simulator.
    #[cfg(not(feature = "planted-bugs"))]
    #[allow(clippy::unused_self)]
    pub(crate) const fn lacks(&self, _: PlantedBug) -> bool {
        false
    }
}
