//! The order of one rollup's transactions, as nodes tell it and certificates prove it.

use std::time::Duration;

use ordering_types::{Height, RollupId, TxId};
use rollup::client::{ConnectError, FollowEvent, Follower, Nodes, RequestError};
use rollup::wire::Rollups;

use super::order::{Order, Verdict};

/// The order is read from so long before the time of the block that derivation has: a transaction may wait that long for its block.
pub const LOOKBACK: Duration = Duration::from_secs(3_600);
/// Most questions for the height of a time: heights are 64-bit numbers.
const MAX_HALVINGS: usize = 64;

/// Why the order cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// No node says how far the network is.
    #[error("no node answers")]
    Silent,
    /// They have another chain specification.
    #[error("the nodes are of another network")]
    OtherNetwork,
    /// A block cannot be asked for.
    #[error("nodes: {0}")]
    Nodes(#[from] RequestError),
    /// The client cannot be set up.
    #[error("nodes: {0}")]
    Connect(#[from] ConnectError),
}

/// The order, growing.
#[derive(Debug)]
pub struct Followed {
    follower: Follower,
    rollup: RollupId,
    order: Order,
}

impl Followed {
    /// From the height `from` on.
    pub fn new(
        nodes: &Nodes,
        endpoints: &[String],
        rollup: RollupId,
        from: Height,
    ) -> Result<Self, FollowError> {
        let (network, rollups) = (nodes.network().clone(), Rollups::Some(vec![rollup]));
        let follower = Follower::new(network, endpoints.to_vec(), rollups, from, false)?;
        Ok(Self { follower, rollup, order: Order::default() })
    }

    /// Reads on, as long as there is room. Ends never; cancel-safe.
    pub async fn read(&mut self) {
        loop {
            if !self.order.has_room() {
                std::future::pending::<()>().await;
            }
            match self.follower.next().await {
                FollowEvent::Ordered(block) => {
                    let ours = block.sections.iter().filter(|section| section.rollup == self.rollup);
                    let ids = ours.flat_map(|section| section.content.ids());
                    self.order.push(block.header.time_ms, ids);
                }
                FollowEvent::Connected(validator) => tracing::info!(%validator, "following the order"),
                FollowEvent::Lost { endpoint, error } => {
                    tracing::info!(endpoint, %error, "trying the next node")
                }
                FollowEvent::Stranded(stranded) => tracing::warn!(%stranded, "other nodes are needed"),
                FollowEvent::Certified(_) | FollowEvent::Refused(_) => {}
            }
        }
    }

    /// See [`Order::check`].
    pub fn check(&mut self, timestamp: u64, ids: &[TxId]) -> Verdict {
        self.order.check(timestamp, ids)
    }
}

/// The newest height at which a block's time, in seconds, is [`LOOKBACK`] or more before `timestamp`; the first one if there is none.
pub async fn height_before(nodes: &Nodes, timestamp: u64) -> Result<Height, FollowError> {
    let before_ms = timestamp.saturating_sub(LOOKBACK.as_secs()).saturating_mul(1_000);
    let answers = nodes.status().await;
    let newest =
        answers.iter().flatten().map(|status| status.height.get()).max().ok_or(FollowError::Silent)?;
    let (mut low, mut high) = (1, newest.max(1));
    for _ in 0..MAX_HALVINGS {
        if low >= high {
            break;
        }
        let middle = low + (high - low).div_ceil(2);
        // A height that nobody has a block of is one that a node only claims.
        let block = nodes.block(Height::new(middle), None).await?;
        if block.is_some_and(|block| block.ordered.header.time_ms <= before_ms) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Height::new(low))
}
