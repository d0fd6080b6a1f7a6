//! Which blocks go into which channel, and when it is closed. Pure.

use std::ops::RangeInclusive;
use std::time::Duration;

use batcher_format::op::channel::MAX_RLP_BYTES;
use batcher_format::op::{ChannelBuilder, ChannelError};
use ordering_types::{Digest, Time};

use super::block::{BlockId, Built};

/// A channel with so many bytes of blocks is closed: it fills some blobs, and takes five seconds to compress at most.
pub const ENOUGH_BYTES: usize = 1 << 20;
/// Most blocks of one channel: an hour of them at one a second.
pub const MAX_BLOCKS: usize = 3_600;

/// The blocks after the last one that is read, as far as they are taken.
#[derive(Debug)]
pub struct Channels {
    tip: BlockId,
    open: ChannelBuilder,
    summary: Option<Summary>,
    longest: Duration,
}

/// What an open channel holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Numbers of its blocks.
    pub blocks: RangeInclusive<u64>,
    /// Their transactions.
    pub transactions: u64,
    /// Ordered transactions that the execution node passed over.
    pub left_out: u64,
    /// When the first one was taken.
    since: Time,
}

/// Why a block is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Not the one after the last: the execution node has another chain now.
    #[error("block {number} follows {parent}, and not {tip}")]
    Parent {
        /// Its number.
        number: u64,
        /// What it follows.
        parent: Digest,
        /// What it should.
        tip: Digest,
    },
    /// The open channel has no room for it, or never has.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl Channels {
    /// After this block. A channel is closed at latest `longest` after its first block came.
    pub fn new(tip: BlockId, longest: Duration) -> Self {
        Self { tip, open: ChannelBuilder::new(), summary: None, longest }
    }

    /// The newest block that was taken.
    pub const fn tip(&self) -> BlockId {
        self.tip
    }

    /// Whether there is nothing in the open channel.
    pub const fn is_empty(&self) -> bool {
        self.summary.is_none()
    }

    /// Whether this is the next block, and there is room for it. An empty channel has room for as much as any.
    pub fn accepts(&self, built: &Built) -> Result<(), TakeError> {
        let (number, parent) = (built.id.number, built.block.parent);
        if number != self.tip.number.saturating_add(1) || parent != self.tip.hash {
            return Err(TakeError::Parent { number, parent, tip: self.tip.hash });
        }
        let after = self.open.bytes().saturating_add(built.block.most_bytes());
        if !self.is_empty() && after > MAX_RLP_BYTES {
            return Err(ChannelError::Full(after).into());
        }
        Ok(())
    }

    /// Takes the next block, before which so many ordered transactions were left out.
    pub fn take(&mut self, now: Time, built: &Built, left_out: u64) -> Result<(), TakeError> {
        self.accepts(built)?;
        let number = built.id.number;
        self.open.push(&built.block)?;
        self.tip = built.id;
        let before = self.summary.take();
        let before =
            before.unwrap_or(Summary { blocks: number..=number, transactions: 0, left_out: 0, since: now });
        self.summary = Some(Summary {
            blocks: *before.blocks.start()..=number,
            transactions: before.transactions + built.ids.len() as u64,
            left_out: before.left_out + left_out,
            since: before.since,
        });
        Ok(())
    }

    /// Whether the open channel is to be closed now.
    pub fn is_due(&self, now: Time) -> bool {
        let enough = self.open.bytes() >= ENOUGH_BYTES || self.open.blocks() >= MAX_BLOCKS;
        enough || self.summary.as_ref().is_some_and(|summary| now.since(summary.since) >= self.longest)
    }

    /// Closes the open channel and begins the next one; `None` without blocks. The work of compressing it is left to the caller.
    pub fn close(&mut self) -> Option<(ChannelBuilder, Summary)> {
        let summary = self.summary.take()?;
        Some((std::mem::take(&mut self.open), summary))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use batcher_format::op::{L1Origin, L2Block};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    fn id(number: u64) -> BlockId {
        BlockId { number, hash: Digest::sha256(&[&number.to_be_bytes()]) }
    }

    fn built(number: u64, bytes: usize) -> Built {
        let transactions = vec![vec![2; bytes].into()];
        let origin = L1Origin { number: 1, hash: Digest::ZERO };
        let block = L2Block { parent: id(number - 1).hash, timestamp: 2 * number, origin, transactions };
        Built { id: id(number), block, ids: vec![Digest::ZERO] }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_000 * seconds)
    }

    #[test]
    fn a_channel_is_closed_when_its_first_block_is_old_enough_or_it_has_enough() {
        let mut channels = Channels::new(id(6), LONGEST);
        assert!(!channels.is_due(at(1_000)), "there is nothing in it");
        channels.take(at(100), &built(7, 10), 0).unwrap();
        channels.take(at(150), &built(8, 10), 3).unwrap();
        assert!(!channels.is_due(at(159)));
        assert!(channels.is_due(at(160)));
        let (builder, summary) = channels.close().unwrap();
        assert_eq!((summary.blocks, summary.transactions, summary.left_out), (7..=8, 2, 3));
        assert_eq!(builder.blocks(), 2);
        assert!(channels.close().is_none());

        channels.take(at(200), &built(9, ENOUGH_BYTES - 200), 0).unwrap();
        assert!(!channels.is_due(at(200)));
        channels.take(at(200), &built(10, 200), 0).unwrap();
        assert!(channels.is_due(at(200)));
        assert_eq!(channels.close().unwrap().1.blocks, 9..=10);
    }

    #[test]
    fn only_the_next_block_of_the_same_chain_is_taken() {
        let mut channels = Channels::new(id(6), LONGEST);
        assert!(matches!(channels.take(at(1), &built(8, 10), 0), Err(TakeError::Parent { number: 8, .. })));
        let mut other = built(7, 10);
        other.block.parent = Digest::ZERO;
        assert!(matches!(channels.take(at(1), &other, 0), Err(TakeError::Parent { number: 7, .. })));
        assert_eq!(channels.tip(), id(6));
        assert!(channels.close().is_none());
        channels.take(at(1), &built(7, 10), 0).unwrap();
        assert_eq!(channels.tip(), id(7));
    }

    #[test]
    fn a_block_that_does_not_fit_any_more_is_left_for_the_next_channel() {
        let mut channels = Channels::new(id(6), LONGEST);
        channels.take(at(1), &built(7, 10), 0).unwrap();
        let large = built(8, MAX_RLP_BYTES - 200);
        let full = channels.accepts(&large);
        assert!(matches!(full, Err(TakeError::Channel(ChannelError::Full(_)))), "{full:?}");
        assert_eq!(channels.take(at(1), &large, 0), full);
        assert_eq!(channels.close().unwrap().1.blocks, 7..=7);
        channels.take(at(1), &large, 0).unwrap();
        assert_eq!(channels.tip(), id(8));
    }
}
