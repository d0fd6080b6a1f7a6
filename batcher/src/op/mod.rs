//! `batcher op`: carries the blocks of an OP Stack rollup to its own inbox, as its derivation reads them.
//!
//! The network orders the rollup's transactions, the rollup's execution node builds blocks of them, and L1 must have those blocks: with
//! the hash of the block before each, its time and its L1 origin. Only the execution node knows these, so it is followed, and its
//! transactions are compared with the order.
//!
//! ```text
//!   nodes ──ordered ids (verified)──▶ order ─┐ same transactions, same order?
//!   execution node ──blocks──▶ block ────────┴──▶ channels ──▶ frames in blobs ──▶ carry ──▶ L1
//!         ▲ safe head                               (batcher_format::op)
//!         └────────────────────── derivation ◀──────────────────────────────────────────────┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | file, environment and flags |
//! | [`execution`] | the execution node's JSON-RPC |
//! | [`block`], [`l1_info`] | its answers as what L1 must have of a block; pure |
//! | [`order`] | the comparison with the order; pure |
//! | [`followed`] | the order as nodes tell it, verified |
//! | [`channels`] | which blocks go into which channel, and when it is closed; pure |
//! | [`carry`] | blobs onto L1, by the transaction manager |
//! | [`feeder`] | the loop |
//! | [`watch`] | whether L1, execution node and nodes answer, whatever the loop waits for |
//! | [`status`] | what an operator sees |
//!
//! **Trust.** Derivation takes what the batcher's key signed and asks nobody else: whoever has this key decides what the rollup's L1 says. A
//! batcher that is honest posts nothing that the network did not order, and says when its execution node leaves something out; one
//! that is not is found out by comparing L1 with the order, and not kept from it.
//!
//! **State** is nowhere but on L1: the execution node's safe block is what derivation has read. A batcher that starts goes on from there, and
//! so does one whose channel is not read in time, be it for a reorganisation of L1 or a channel that took too long. What is posted twice
//! derivation passes over.
//!
//! **One at a time.** Frames must stand on L1 in order, and channels one after the other (Holocene): the next transaction is sent when
//! the one before is in a block. So one account has one such process.

pub mod block;
pub mod carry;
pub mod channels;
pub mod execution;
pub mod feeder;
pub mod followed;
pub mod l1_info;
pub mod order;
mod run;
pub mod settings;
pub mod status;
pub mod watch;

pub(crate) use run::run_from_args;
