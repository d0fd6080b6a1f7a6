//! What an operator wants to know of a running core.

use ordering_types::{Epoch, GroupKey, Height, Round, ValidatorId};
use serde::Serialize;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// This node.
    pub validator: ValidatorId,
    /// Height of the newest block applied here.
    pub height: Height,
    /// Highest height that any peer has claimed.
    pub heard_height: Height,
    /// The checkpoint from which this node went on since its start, leaving out the blocks before; none if it did not.
    pub checkpoint: Option<Height>,
    /// Current epoch.
    pub epoch: Epoch,
    /// Consensus round at the next height.
    pub round: Round,
    /// Whose turn it is to propose there.
    pub proposer: ValidatorId,
    /// The committee.
    pub committee: Vec<ValidatorId>,
    /// Whether this node is catching up and does not vote.
    pub syncing: bool,
    /// Why it does not vote although it is up to date, in words, if it does not.
    pub silence: Option<String>,
    /// Newest height that the committee signed, as far as this node saw since its start.
    pub certified_height: Height,
    /// Whether this node holds its key share.
    pub key_ready: bool,
    /// Whether a quorum has signed the group key for the contract.
    pub founded: bool,
    /// Where the founding ceremony stands, in words.
    pub founding: String,
    /// The group key of this epoch, once there is one.
    pub group_key: Option<GroupKey>,
    /// Where the making of the next epoch's key stands, in words, while it is made.
    pub next_key: Option<String>,
    /// Batches whose last block is decided and whose signature is missing.
    pub open_batches: usize,
    /// Bytes of the transactions that these hold in memory, and the batch that grows.
    pub open_bytes: u64,
    /// Number of the newest batch up to which all are signed.
    pub last_sealed: u64,
}
