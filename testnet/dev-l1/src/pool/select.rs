//! The order in which a block takes transactions: highest effective tip first, older first among
//! equals, and every sender's in nonce order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use alloy::consensus::Transaction;

use super::Pooled;
use crate::transaction::SignedTx;

/// One sender's executable transactions.
type Queue<'a> = std::vec::IntoIter<&'a Pooled>;

/// Draws transactions for one block.
pub(crate) struct Selection<'a> {
    heap: BinaryHeap<Head<'a>>,
    base_fee: u64,
    blob_fee: u128,
}

struct Head<'a> {
    tip: u128,
    arrival: Reverse<u64>,
    next: &'a Pooled,
    rest: Queue<'a>,
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tip, self.arrival).cmp(&(other.tip, other.arrival))
    }
}

impl<'a> Selection<'a> {
    /// Selects nothing.
    pub(crate) fn empty() -> Self {
        Self { heap: BinaryHeap::new(), base_fee: 0, blob_fee: 0 }
    }

    /// Selects from `queues`, one per sender in nonce order, at these fees in wei.
    pub(super) fn new(queues: Vec<Vec<&'a Pooled>>, base_fee: u64, blob_fee: u128) -> Self {
        let mut selection = Self { heap: BinaryHeap::with_capacity(queues.len()), base_fee, blob_fee };
        for queue in queues {
            selection.push(queue.into_iter());
        }
        selection
    }

    /// A sender whose next transaction cannot pay waits with all that follow.
    fn push(&mut self, mut rest: Queue<'a>) {
        let Some(next) = rest.next() else { return };
        let tx = next.tx.tx.inner();
        if next.tx.is_blob() && next.tx.max_blob_fee() < self.blob_fee {
            return;
        }
        if let Some(tip) = tx.effective_tip_per_gas(self.base_fee) {
            self.heap.push(Head { tip, arrival: Reverse(next.arrival), next, rest });
        }
    }

    /// The transaction to try next.
    pub(crate) fn peek(&self) -> Option<&'a SignedTx> {
        self.heap.peek().map(|head| &head.next.tx)
    }

    /// The peeked one was included: its sender's next becomes eligible.
    pub(crate) fn accept(&mut self) {
        if let Some(head) = self.heap.pop() {
            self.push(head.rest);
        }
    }

    /// The peeked one was not included: nothing more from its sender in this block.
    pub(crate) fn skip_sender(&mut self) {
        self.heap.pop();
    }
}
