//! A subscription: every height from the cursor on, from the store until it has caught up, then as it happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::Height;
use rollup::wire::{Certified, CloseReason, NodeMessage, Subscription};
use tokio::sync::broadcast::{self, error::RecvError};

use super::ordered_block;
use crate::core_api::Decided;
use crate::front::{Front, ReadError};
use crate::pump::Event;

/// A client that comes from a faster node may be ahead of this one by so much.
const MAX_AHEAD: u64 = 1_024;
/// The index follows the newest block within milliseconds.
const INDEX_POLL: Duration = Duration::from_millis(5);

/// Why a subscription ends.
pub(super) struct Ended {
    pub(super) reason: CloseReason,
    pub(super) text: String,
}

impl Ended {
    fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// One client's subscription.
pub(super) struct Subscriber {
    front: Arc<Front>,
    wanted: Subscription,
    events: broadcast::Receiver<Event>,
    /// First height ever sent.
    from: Height,
    /// Next height to send.
    next: Height,
    /// A block from `events` whose predecessors are still being read from the store.
    ahead: Option<Arc<Decided>>,
    ready: VecDeque<NodeMessage>,
}

impl Subscriber {
    pub(super) fn new(front: Arc<Front>, wanted: Subscription) -> Self {
        let events = front.handle.subscribe();
        let from = wanted.from.unwrap_or_else(|| front.handle.height().next()).max(Height::new(1));
        Self { front, wanted, events, from, next: from, ahead: None, ready: VecDeque::new() }
    }

    /// The next message. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> Result<NodeMessage, Ended> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(message);
            }
            if self.ahead.as_ref().is_some_and(|d| d.block.header.height <= self.next) {
                if let Some(decided) = self.ahead.take() {
                    self.push_block(&decided);
                }
                continue;
            }
            let height = self.front.handle.height();
            if self.next.get() > height.get().saturating_add(MAX_AHEAD) {
                let text = format!("height {} is far beyond this node's {height}", self.next);
                return Err(Ended::new(CloseReason::Cursor, text));
            }
            // What was ordered before this subscription listened, or between two events that it missed.
            if self.ahead.is_some() || (self.next <= height && self.events.is_empty()) {
                self.read_store().await?;
                continue;
            }
            match self.events.recv().await {
                Ok(event) => self.take(event),
                Err(RecvError::Lagged(_)) => {
                    let text = format!("too slow; come back with cursor {}", self.next);
                    return Err(Ended::new(CloseReason::Lagging, text));
                }
                Err(RecvError::Closed) => {
                    return Err(Ended::new(CloseReason::ShuttingDown, "the node stops"));
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ordered(decided) if decided.block.header.height >= self.next => self.ahead = Some(decided),
            Event::Certified(certified) if self.wanted.certified && certified.height >= self.from => {
                self.ready.push_back(NodeMessage::Certified(certified));
            }
            _ => {}
        }
    }

    fn push_block(&mut self, decided: &Decided) {
        if decided.block.header.height != self.next {
            return;
        }
        let rollups = &self.wanted.rollups;
        let block = ordered_block(decided, |rollup| rollups.contains(rollup), self.wanted.data);
        self.ready.push_back(NodeMessage::Ordered(Arc::new(block)));
        self.next = self.next.next();
    }

    async fn read_store(&mut self) -> Result<(), Ended> {
        let height = self.next;
        let read = self
            .front
            .read(move |store| Ok((store.decided(height)?, store.certified(height)?, store.range()?)));
        let (decided, signature, range) = read.await.map_err(|error| match error {
            ReadError::Stopping => Ended::new(CloseReason::ShuttingDown, "the node stops"),
            ReadError::Store(error) => {
                tracing::error!(%error, "cannot read the store for a subscriber; check the disk");
                Ended::new(CloseReason::Cursor, "this node cannot read that height; try another")
            }
        })?;
        let Some(decided) = decided else {
            if let Some((first, _)) = range.filter(|(first, _)| height < *first) {
                let text = format!("this node has blocks from height {first} on");
                return Err(Ended::new(CloseReason::Cursor, text));
            }
            tokio::time::sleep(INDEX_POLL).await;
            return Ok(());
        };
        self.push_block(&decided);
        if let Some(signature) = signature.filter(|_| self.wanted.certified) {
            let (epoch, header) = (decided.block.header.epoch, decided.certificate.header);
            self.ready.push_back(NodeMessage::Certified(Certified { epoch, height, header, signature }));
        }
        Ok(())
    }
}
