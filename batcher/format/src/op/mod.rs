//! What an OP Stack rollup derives its chain from: singular batches in compressed channels, cut into frames, in blobs. Pure, like all of
//! this crate.
//!
//! ```text
//!   L2 blocks ─▶ batches ─RLP─▶ one stream ─brotli─▶ channel ─▶ frames ─▶ blobs, up to 6 a transaction
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`batch`] | one L2 block as a singular batch |
//! | [`channel`] | batches as one compressed stream |
//! | [`frame`] | pieces of a channel |
//! | [`blob`] | a piece in a blob, and back |
//!
//! **Rules**, all of them the reader's: <https://specs.optimism.io/protocol/derivation.html>. A brotli channel is read since Fjord; since
//! Holocene batches must follow one another, and a channel's frames must stand on L1 in order with no other channel between them. So
//! whoever posts waits for one transaction before the next, and for one channel before the next.
//!
//! **What is not in here.** The committee signs none of this: a reader takes what the batcher's key signed, whatever it says. And the
//! coding is not checked by itself: brotli has no checksum, so what guards the bytes are the KZG commitments.
//!
//! ```
//! use batcher_format::op::{Channel, ChannelBuilder, L1Origin, L2Block};
//! use ordering_types::Digest;
//!
//! let block = L2Block {
//!     parent: Digest::new([1; 32]),
//!     timestamp: 1_700_000_002,
//!     origin: L1Origin { number: 20_000_000, hash: Digest::new([2; 32]) },
//!     transactions: vec![vec![0x02, 0xc0].into()],
//! };
//! let mut builder = ChannelBuilder::new();
//! builder.push(&block)?;
//! let channel: Channel = builder.close()?;
//! let transactions = channel.transactions();
//! assert_eq!(transactions.len(), 1);
//! assert_eq!(transactions[0].len(), 1, "one blob");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod batch;
pub mod blob;
pub mod channel;
pub mod frame;
#[cfg(test)]
mod tests;

pub use batch::{BatchError, L1Origin, L2Block};
pub use channel::{Channel, ChannelBuilder, ChannelError, ChannelId};
