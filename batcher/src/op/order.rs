//! Are a block's transactions what the network ordered, in that order?
//!
//! The execution node may leave some out: those that are invalid in the state they meet, such as one with a nonce that is used. Whether it
//! was right to, only another execution says; what is left out is counted and told. It may not put in others, nor change their order.

use std::collections::VecDeque;
use std::time::Duration;

use ordering_types::TxId;

/// Most ordered transactions that wait for a block: 32 MB. The execution node is that much behind, or it left them out.
pub const MAX_WAITING: usize = 1_000_000;
/// A transaction that is not in the order up to so long after its block's time is in no order. The clocks of an L2 and of
/// the network's blocks need not agree closer.
pub const SLACK: Duration = Duration::from_secs(60);

/// What is ordered and in no block yet.
#[derive(Clone, Debug, Default)]
pub struct Order {
    waiting: VecDeque<TxId>,
    /// Time of the newest ordered block, milliseconds.
    time_ms: u64,
    /// A block with transactions was found, so what comes after it waits from here.
    synchronised: bool,
}

/// The answer about one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As ordered, after so many that were left out.
    Ordered {
        /// How many.
        left_out: u64,
    },
    /// The order is not known so far yet.
    Wait,
    /// This transaction of the block is in no order, or not in this place.
    Foreign {
        /// Its place among the block's own.
        index: usize,
    },
}

impl Order {
    /// Whether more of it can be taken in.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Takes in the next ordered block.
    pub fn push(&mut self, time_ms: u64, ids: impl IntoIterator<Item = TxId>) {
        self.time_ms = self.time_ms.max(time_ms);
        self.waiting.extend(ids);
    }

    /// Compares the next block of L2, of this time in seconds. Nothing changes unless it is as ordered.
    pub fn check(&mut self, timestamp: u64, ids: &[TxId]) -> Verdict {
        let mut at = 0;
        for (index, id) in ids.iter().enumerate() {
            match self.waiting.iter().skip(at).position(|waiting| waiting == id) {
                Some(after) => at += after + 1,
                None if self.is_complete(timestamp) => return Verdict::Foreign { index },
                None => return Verdict::Wait,
            }
        }
        self.waiting.drain(..at);
        // What stands before the first that is found may be in blocks that were posted before.
        let left_out = if self.synchronised { (at - ids.len()) as u64 } else { 0 };
        self.synchronised |= !ids.is_empty();
        Verdict::Ordered { left_out }
    }

    /// Whether everything is known that a block of this time may hold.
    fn is_complete(&self, timestamp: u64) -> bool {
        let latest = timestamp.saturating_mul(1_000).saturating_add(SLACK.as_millis() as u64);
        self.time_ms >= latest || !self.has_room()
    }
}

#[cfg(test)]
mod tests {
    use ordering_types::Digest;

    use super::*;

    fn ids(of: impl IntoIterator<Item = u64>) -> Vec<TxId> {
        of.into_iter().map(|one| Digest::sha256(&[&one.to_be_bytes()])).collect()
    }

    fn order(of: impl IntoIterator<Item = u64>) -> Order {
        let mut order = Order::default();
        order.push(1_000, ids(of));
        order
    }

    const AS_ORDERED: Verdict = Verdict::Ordered { left_out: 0 };

    #[test]
    fn blocks_take_the_order_piece_by_piece_and_what_they_leave_out_is_counted() {
        let mut order = order(0..10);
        assert_eq!(order.check(1, &ids(3..5)), AS_ORDERED, "what is before may be in earlier blocks");
        assert_eq!(order.check(1, &[]), AS_ORDERED);
        assert_eq!(order.check(1, &ids([5, 8])), Verdict::Ordered { left_out: 2 });
        assert_eq!(order.check(1, &ids([9])), AS_ORDERED);
        assert_eq!(order.check(1, &ids([10])), Verdict::Wait);
        order.push(2_000, ids([10]));
        assert_eq!(order.check(1, &ids([10])), AS_ORDERED);
    }

    #[test]
    fn what_was_not_ordered_is_waited_for_until_it_cannot_come_any_more() {
        let mut order = order(0..3);
        assert_eq!(order.check(1, &ids([0, 7])), Verdict::Wait);
        order.push(60_999, ids([3]));
        assert_eq!(order.check(1, &ids([0, 7])), Verdict::Wait);
        order.push(61_000, []);
        assert_eq!(order.check(1, &ids([0, 7])), Verdict::Foreign { index: 1 });
        assert_eq!(order.check(1, &ids([0, 3])), AS_ORDERED, "it did not go on because of that");
    }

    #[test]
    fn another_order_and_a_repetition_are_foreign() {
        let mut order = order(0..6);
        order.push(1_000_000, []);
        assert_eq!(order.check(1, &ids([2, 1])), Verdict::Foreign { index: 1 });
        assert_eq!(order.check(1, &ids([0, 0])), Verdict::Foreign { index: 1 });
        assert_eq!(order.check(1, &ids([0, 1])), AS_ORDERED);
        assert_eq!(order.check(1, &ids([1])), Verdict::Foreign { index: 0 });
    }

    #[test]
    fn a_full_order_takes_no_more_and_says_so_of_a_block_that_is_not_in_it() {
        let mut order = order(0..MAX_WAITING as u64);
        assert!(!order.has_room());
        assert_eq!(order.check(1, &ids([u64::MAX])), Verdict::Foreign { index: 0 });
        assert_eq!(order.check(1, &ids([7])), AS_ORDERED);
        assert!(order.has_room());
        assert_eq!(order.check(1, &ids([u64::MAX])), Verdict::Wait);
    }
}
