//! Entries of the forced-inclusion queue, told in the log.
//!
//! One member is enough. Each reads its own endpoint when it is its turn, and what it read is checked before it is told: an endpoint that lies or is silent
//! costs the others the time of one turn.

use ordering_types::{ForcedMessage, QueueMark, Time};

use super::NodeCore;
use crate::api::Output;
use crate::planted::PlantedBug;
use crate::wire::LogPayload;

/// Each member waits so much longer than the one before it.
const TURN_MS: u64 = 500;
/// What was asked of the own endpoint, or told, and came to nothing, is tried again after so long.
const AGAIN_MS: u64 = 5_000;

/// What this node does about the entries that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    /// They come after these.
    done: QueueMark,
    /// Since when they are agreed on, by the times of blocks, as all else here.
    since: u64,
    /// When the own endpoint was asked for them last.
    asked: Option<u64>,
    /// Whether it has answered, and they were told.
    told: bool,
}

impl Telling {
    const fn new(done: QueueMark, since: u64) -> Self {
        Self { done, since, asked: None, told: false }
    }
}

impl NodeCore {
    /// After a block of this time: asks the own endpoint for what is agreed on and not ordered, when it is this node's turn.
    pub(super) fn ask_for_entries(&mut self, time_ms: u64) {
        let book = self.ordering.l1().forced();
        let Some((from, to)) = book.goal().map(|goal| (book.done(), goal)) else {
            self.telling = None;
            return;
        };
        let Some(turn) = self.turn_to_tell(from) else { return };
        let known = self.telling.filter(|telling| telling.done == from);
        let telling = known.unwrap_or_else(|| Telling::new(from, time_ms));
        let next = match telling.asked {
            None => telling.since.saturating_add(TURN_MS.saturating_mul(turn)),
            Some(asked) => asked.saturating_add(AGAIN_MS),
        };
        self.telling = Some(telling);
        if time_ms >= next {
            self.telling = Some(Telling { asked: Some(time_ms), told: false, ..telling });
            self.outputs.push_back(Output::ReadQueue { from, to });
        }
    }

    /// How many members come before this one. It is another one's turn first at each entry.
    fn turn_to_tell(&self, done: QueueMark) -> Option<u64> {
        let members = self.ordering.committee();
        let place = members.ids().position(|id| id == self.me)? as u64;
        let count = members.len().max(1) as u64;
        Some((place + count - done.count % count) % count)
    }

    /// What the own endpoint has of the queue.
    pub(super) fn on_queue(&mut self, message: &ForcedMessage, now: Time) {
        let Some(telling) = self.telling.as_mut().filter(|telling| !telling.told) else { return };
        // Of a long queue the message begins nearer to the goal.
        let begins = message.from == telling.done || message.entries.is_empty();
        let is_proven = begins && self.ordering.l1().forced().knows(message.marks().1);
        let is_believed = is_proven || self.settings.lacks(PlantedBug::QueueUnchecked);
        if is_believed && !self.settings.lacks(PlantedBug::ForcedUntold) {
            telling.told = true;
            self.publish(LogPayload::Forced(&message.encode()).encode(), now);
        }
    }
}
