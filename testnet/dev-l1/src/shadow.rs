//! What an endpoint that lies about its head takes for the chain.
//!
//! A lie is a whole chain of its own with its pool, so that all answers of one endpoint fit together: nonces, receipts,
//! fees and calls are those of the head that it claims. It shares blocks and states with the true chain.

use std::sync::{Arc, RwLockReadGuard};

use alloy::primitives::B256;

use crate::chain::execute::ExecutionError;
use crate::chain::{Chain, MAX_REORG_DEPTH};
use crate::node::{Ledger, Node, SharedNode};

/// Blocks that a head may be off by.
pub(crate) const MAX_BLOCKS: u64 = MAX_REORG_DEPTH;

/// Which head is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadLie {
    /// The one that was the head so many blocks ago; it moves on with the true one.
    Stale(u64),
    /// The one that was the head when the lie began.
    Stuck,
    /// One that comes so many empty blocks later.
    Future(u64),
    /// Another of the same height: the newest blocks, so many when the lie began, are empty ones that nobody else knows.
    Forked(u64),
}

/// The chain as a lie has it, brought up to date at each look.
#[derive(Debug)]
pub(crate) struct Shadow {
    lie: HeadLie,
    node: SharedNode,
    /// The newest block that is true here as well.
    base: u64,
    /// Head and pool of the true chain that this was made from.
    seen: (B256, u64),
}

impl Shadow {
    /// Begins to lie about `truth`.
    ///
    /// # Errors
    /// An empty block could not be built.
    pub(crate) fn new(lie: HeadLie, truth: &Node) -> Result<Self, ExecutionError> {
        let (truth, seen) = look(truth);
        let (chain, base) = claimed(lie, &truth.chain)?;
        let node = Arc::new(Node::new(chain, false));
        let shadow = Self { lie, node, base, seen };
        shadow.fill_pool(&truth);
        Ok(shadow)
    }

    /// The chain that is claimed now.
    ///
    /// # Errors
    /// An empty block could not be built.
    pub(crate) fn node(&mut self, truth: &Node) -> Result<SharedNode, ExecutionError> {
        let (truth, seen) = look(truth);
        if seen == self.seen {
            return Ok(self.node.clone());
        }
        if seen.0 != self.seen.0 {
            match self.lie {
                HeadLie::Stale(_) | HeadLie::Future(_) => {
                    let (chain, base) = claimed(self.lie, &truth.chain)?;
                    (self.node, self.base) = (Arc::new(Node::new(chain, false)), base);
                }
                HeadLie::Forked(_) => {
                    self.node.change(|ledger| follow(&mut ledger.chain, &truth.chain))?;
                }
                HeadLie::Stuck => {}
            }
        }
        self.fill_pool(&truth);
        self.seen = seen;
        Ok(self.node.clone())
    }

    /// A node that has not seen a block has its transactions still in its pool. Of many such blocks the first ones
    /// count: a pool is bounded.
    fn fill_pool(&self, truth: &Ledger) {
        let unseen = truth.chain.transactions(self.base, self.base + MAX_BLOCKS);
        self.node.change(|ledger| ledger.refill(unseen.into_iter().chain(truth.pooled())));
    }
}

/// The true chain and pool, and what tells whether they have changed.
fn look(truth: &Node) -> (RwLockReadGuard<'_, Ledger>, (B256, u64)) {
    let ledger = truth.read();
    let seen = (ledger.chain.head().hash, ledger.pool.version());
    (ledger, seen)
}

/// The chain that a lie begins with, and the height up to which it is true.
fn claimed(lie: HeadLie, truth: &Chain) -> Result<(Chain, u64), ExecutionError> {
    let mut chain = truth.clone();
    if let HeadLie::Stale(blocks) | HeadLie::Forked(blocks) = lie {
        chain.rewind(blocks);
    }
    let base = chain.head().number();
    match lie {
        HeadLie::Stuck | HeadLie::Stale(_) => {}
        HeadLie::Future(blocks) => {
            chain.diverge();
            for _ in 0..blocks {
                chain.append_empty(chain.head().header.timestamp + chain.params.slot_seconds)?;
            }
        }
        HeadLie::Forked(_) => {
            chain.diverge();
            follow(&mut chain, truth)?;
        }
    }
    Ok((chain, base))
}

/// Makes `fork` as high as `truth` with empty blocks at the same times.
fn follow(fork: &mut Chain, truth: &Chain) -> Result<(), ExecutionError> {
    while fork.head().number() < truth.head().number() {
        let next = truth.block(fork.head().number() + 1).map(|block| block.header.timestamp);
        let after = fork.head().header.timestamp + 1;
        fork.append_empty(next.unwrap_or(after).max(after))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy::primitives::U256;

    use super::*;
    use crate::chain::Params;

    fn truth(blocks: u64) -> Node {
        let params = Params {
            chain_id: 1,
            gas_limit: 30_000_000,
            slot_seconds: 1,
            safe_lag: 1,
            finalized_lag: 2,
            block_history: 1000,
            blob_retention: 100,
            blob_limit: 10,
        };
        let node = Node::new(Chain::new(params, &[], U256::ZERO, 1_000).unwrap(), false);
        mine(&node, blocks);
        node
    }

    fn mine(node: &Node, blocks: u64) {
        for _ in 0..blocks {
            node.mine().unwrap();
        }
    }

    fn head(node: &Node) -> u64 {
        node.read().chain.head().number()
    }

    fn hash(node: &Node, number: u64) -> B256 {
        node.read().chain.block(number).unwrap().hash
    }

    #[test]
    fn a_stale_head_moves_on_and_a_stuck_one_does_not() {
        let truth = truth(10);
        let mut stale = Shadow::new(HeadLie::Stale(3), &truth).unwrap();
        let mut stuck = Shadow::new(HeadLie::Stuck, &truth).unwrap();
        assert_eq!(head(&stale.node(&truth).unwrap()), 7);
        mine(&truth, 2);
        let seen = stale.node(&truth).unwrap();
        assert_eq!((head(&seen), head(&stuck.node(&truth).unwrap())), (9, 10));
        assert_eq!((seen.read().chain.safe(), seen.read().chain.finalized()), (8, 7));
        assert_eq!(hash(&seen, 9), hash(&truth, 9));
        // More than there is: the first block.
        assert_eq!(head(&Shadow::new(HeadLie::Stale(64), &truth).unwrap().node(&truth).unwrap()), 0);
    }

    #[test]
    fn a_future_head_is_another_each_time() {
        let truth = truth(5);
        let mut future = Shadow::new(HeadLie::Future(4), &truth).unwrap();
        let claimed = future.node(&truth).unwrap();
        assert_eq!((head(&claimed), claimed.read().chain.finalized()), (9, 7));
        mine(&truth, 1);
        assert_ne!(hash(&claimed, 6), hash(&truth, 6));
        assert_eq!(head(&future.node(&truth).unwrap()), 10);
    }

    #[test]
    fn a_fork_grows_beside_the_truth_and_keeps_its_blocks() {
        let truth = truth(5);
        let mut forked = Shadow::new(HeadLie::Forked(2), &truth).unwrap();
        let claimed = forked.node(&truth).unwrap();
        assert_eq!((head(&claimed), hash(&claimed, 3)), (5, hash(&truth, 3)));
        let four = hash(&claimed, 4);
        assert_ne!(four, hash(&truth, 4));
        mine(&truth, 70);
        let claimed = forked.node(&truth).unwrap();
        assert_eq!((head(&claimed), hash(&claimed, 4)), (75, four));
        assert_ne!(hash(&claimed, 75), hash(&truth, 75));
    }
}
