//! Times and bounds of signing.

/// Most items being signed at once; a further one is refused until some are done.
pub const MAX_RUNNING: usize = 1024;
/// Signatures of each kind kept for lagging peers; beyond it the lowest number goes.
pub const MAX_RETAINED: usize = 4096;
/// Digests pinned from before a restart.
pub const MAX_PINNED: usize = 4096;
/// Items per member for which a message is held until this node knows the digest.
pub const MAX_HELD_PER_MEMBER: usize = 32;
/// Commitments of one member held for own sessions.
pub const MAX_POOL: usize = 128;
/// Rounds of the coordinator rotation by which a coordinator may be ahead of this node and still be answered.
pub(super) const ROUNDS_AHEAD: u64 = 4;

/// How a committee signs. All members should use the same values; differing ones cost time, not safety.
#[derive(Clone, Debug)]
pub struct SigningConfig {
    /// Epoch of the key. Messages of another epoch are ignored.
    pub epoch: u64,
    /// Milliseconds that a coordinator has before the next one starts, in the first round of the rotation. Doubles each round.
    pub attempt_ms: u64,
    /// Most that this grows to.
    pub attempt_cap_ms: u64,
    /// The same for a coordinator that lately let an attempt lapse.
    pub suspect_ms: u64,
    /// Milliseconds after which a coordinator opens a further session without the signers that are silent.
    pub hedge_ms: u64,
    /// Milliseconds for which a signer that stayed silent is asked last.
    pub avoid_ms: u64,
    /// Milliseconds between requests for commitments; doubles while unanswered.
    pub refill_ms: u64,
    /// Commitments that each member keeps at each coordinator; at most half of [`MAX_POOL`].
    pub pool_target: usize,
    /// A lie on purpose: every share is wrong, and vouched for. Never but in a test's process.
    #[cfg(feature = "planted-bugs")]
    pub wrong_shares: bool,
}

impl SigningConfig {
    /// Values that suit a local or continental network.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            attempt_ms: 150,
            attempt_cap_ms: 2_000,
            suspect_ms: 20,
            hedge_ms: 50,
            avoid_ms: 1_000,
            refill_ms: 100,
            pool_target: 16,
            #[cfg(feature = "planted-bugs")]
            wrong_shares: false,
        }
    }
}
