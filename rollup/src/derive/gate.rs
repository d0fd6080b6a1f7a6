//! What is recorded and has no effect yet.
//!
//! While an entry of the forced-inclusion queue is overdue, batches that do not cover it are pending: they, and whatever L1 records
//! after them, take effect with the next batch that is not, or with an escape.

use std::collections::VecDeque;

use super::logs::{InboxEvent, Place};

/// Holds events back while a batch is pending.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// In order.
    held: VecDeque<(Place, InboxEvent)>,
    /// How many of them have their effect now.
    open: usize,
}

impl Gate {
    /// The next event in L1's order.
    pub(super) fn take(&mut self, place: Place, event: InboxEvent) {
        let stays_open = self.open == self.held.len();
        let opens = match &event {
            InboxEvent::Posted(posted) => !posted.pending,
            InboxEvent::Escaped { .. } => true,
            InboxEvent::Key(_) | InboxEvent::Enqueued { .. } => stays_open,
        };
        self.held.push_back((place, event));
        if opens {
            self.open = self.held.len();
        }
    }

    /// The next that has its effect, if there is one.
    pub(super) fn front(&self) -> Option<&(Place, InboxEvent)> {
        self.held.front().filter(|_| self.open > 0)
    }

    /// It had it.
    pub(super) fn pass(&mut self) {
        if self.open > 0 {
            self.open -= 1;
            self.held.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy::primitives::{B256, U256};
    use batcher_format::BatchHeader;
    use batcher_format::batch::Carrier;
    use ordering_types::{Digest, Epoch, Height};

    use super::super::logs::{KeyEvent, Point, Posted};
    use super::*;

    fn batch(number: u64, pending: bool) -> InboxEvent {
        let header = BatchHeader {
            number,
            parent: Digest::ZERO,
            epoch: Epoch::new(0),
            first_height: Height::new(number),
            last_height: Height::new(number),
            last_header: Digest::ZERO,
            last_time_ms: 0,
            forced_cursor: 0,
            l1_reference: 0,
        };
        let carrier =
            Carrier { blob_hashes: Vec::new(), calldata_hash: Digest::ZERO, inline_hash: Digest::ZERO };
        InboxEvent::Posted(Posted { number, id: header.id(), header, carrier, payload: None, pending })
    }

    fn key() -> InboxEvent {
        InboxEvent::Key(KeyEvent::Initialised(Point { x: U256::ZERO, y: U256::ZERO }))
    }

    /// What has its effect after these events, by a letter and number.
    fn passed(events: &[InboxEvent]) -> Vec<String> {
        let place = Place { block_hash: B256::ZERO, block_number: 0, transaction: B256::ZERO };
        let mut gate = Gate::default();
        events.iter().for_each(|event| gate.take(place, event.clone()));
        let mut names = Vec::new();
        while let Some((_, event)) = gate.front() {
            names.push(match event {
                InboxEvent::Posted(posted) => posted.number.to_string(),
                InboxEvent::Key(_) => "key".to_owned(),
                InboxEvent::Escaped { .. } => "escape".to_owned(),
                InboxEvent::Enqueued { index, .. } => format!("entry {index}"),
            });
            gate.pass();
        }
        names
    }

    #[test]
    fn what_is_not_pending_passes_at_once() {
        assert_eq!(passed(&[key(), batch(1, false), key(), batch(2, false)]), ["key", "1", "key", "2"]);
    }

    #[test]
    fn what_is_pending_waits_with_all_that_follows() {
        let events = [batch(1, false), batch(2, true), key(), batch(3, true)];
        assert_eq!(passed(&events), ["1"]);
        let covered = [events.as_slice(), &[batch(4, false)]].concat();
        assert_eq!(passed(&covered), ["1", "2", "key", "3", "4"]);
        let escaped = [events.as_slice(), &[InboxEvent::Escaped { from: 0, to: 1 }, batch(4, true)]].concat();
        assert_eq!(passed(&escaped), ["1", "2", "key", "3", "escape"]);
    }
}
