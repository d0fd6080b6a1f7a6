//! The binary protocol between a node and its clients, over QUIC.
//!
//! **Connection.** ALPN [`ALPN`], no 0-RTT, Retry on. Each stream carries *frames*: a 4-byte big-endian length and that
//! many bytes of one message in the workspace's codec ([`ordering_types::codec`]). A length above the message's
//! [`Message::LIMIT`] ends the connection before anything is read.
//!
//! **Streams.** The client opens bidirectional streams; the first frame says what for ([`Opening`]):
//!
//! ```text
//!   Opening::Session(Hello)  ─▶        one a connection, long-lived
//!                            ◀─ Welcome, or Closed
//!   Submit, SubmitMany …     ─▶        any number
//!                            ◀─ Refused     for each transaction that is not taken
//!                            ◀─ Ordered     for every height from the cursor on, if subscribed
//!                            ◀─ Certified   if subscribed, for heights above that: each confirms all before it
//!                            ◀─ Closed      last frame, says why
//!
//!   Opening::Request(…)      ─▶ then the client finishes its side
//!                            ◀─ one Response, then the node finishes its side
//! ```
//!
//! **Silence means taken.** A submission that is not refused was admitted; that it is *ordered* is known from an
//! [`OrderedBlock`] with its id, and only that is a promise.
//!
//! **No gaps.** A subscriber gets an [`OrderedBlock`] for *every* height, whether or not the block holds transactions of its
//! rollups. It lists every rollup of the block with count and root, which hash to the header's `tx_root`, and each
//! header names its parent: a node cannot leave out a block, a rollup or a transaction unseen.
//!
//! **Identity.** A node's TLS certificate is self-signed and proves nothing. [`Welcome::identity_proof`] is the
//! signature of [`Welcome::key`] over keying material exported from this very TLS session ([`EXPORTER_LABEL`], RFC 8446
//! section 7.5): nobody in the middle can pass it on. The chain specification says which key a founder has, and a
//! [`Response::Handover`] which keys the members of a later epoch have. A node of which neither is known is talked to as well: what
//! it says of the order proves itself, by members' signatures.

mod frame;
mod identity;
mod messages;

pub use frame::{FrameError, Message, encode, read, write, write_all};
pub use identity::{NoExporter, prove_identity, verify_identity};
pub use messages::{
    Certified, ClientMessage, CloseReason, Closed, Confirmation, ConfirmedBlock, Content, Founding, Hello,
    NodeMessage, Opening, OrderedBlock, OrderedSection, Refusal, Refused, Request, Response, RollupRoot,
    Rollups, Status, Submit, Subscription, Welcome,
};

/// Application protocol of the QUIC handshake.
pub const ALPN: &[u8] = b"mpc-seq/1";
/// Version of the messages; in [`Hello`] and [`Welcome`].
pub const VERSION: u16 = 2;
/// Largest datagram payload that either end tries: what a jumbo frame holds. Loopback takes it; elsewhere path MTU discovery
/// (RFC 8899) finds less.
pub const MAX_DATAGRAM_BYTES: u16 = 8_952;
/// Label of the TLS exporter that binds a validator's identity to the connection; the context is empty and 32 bytes
/// are exported.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-mpc-seq/1 identity";
/// Bytes that are exported.
pub const EXPORTER_BYTES: usize = 32;

/// Most bytes of a frame from client to node: a full-size transaction, or many small ones.
pub const MAX_CLIENT_FRAME_BYTES: usize = 1 << 20;
/// Most transactions in one [`ClientMessage::SubmitMany`].
pub const MAX_SUBMIT_MANY: usize = 4_096;
/// Most bytes of a frame from node to client: a full block's transactions with their lengths.
pub const MAX_NODE_FRAME_BYTES: usize = 48 << 20;
/// Most bytes of an opening frame.
pub const MAX_OPENING_BYTES: usize = 16 << 10;
/// Most rollups that one subscription may name.
pub const MAX_SUBSCRIBED_ROLLUPS: usize = 1_024;
/// Most headers between a block and the signed one that confirms it.
pub const MAX_ABOVE: usize = 256;
/// Most bytes of a text that explains a refusal.
pub const MAX_TEXT_BYTES: usize = 512;
