//! Towards the other validators: a full mesh over libp2p QUIC.
//!
//! ```text
//!             ┌ queue ─▶ stream consensus ─┐
//!   send() ──▶├ queue ─▶ stream chunks ────┤  one connection a peer   ──▶ readers ──▶ inbox
//!             ├ queue ─▶ stream ceremony ──┤  (the smaller peer id
//!             └ queue ─▶ stream sync ──────┘   dials first)
//! ```
//!
//! Chunks leave libp2p for connections of their own ([`chunks`]) as soon as both ends can.
//!
//! - Peers outside the genesis file are refused when their handshake has shown who they are.
//! - Every stream starts with a handshake: protocol version and hash of the genesis file.
//! - Each (peer, class) has a bounded queue of its own: bulk never delays votes, and a dead peer costs bounded memory.
//! - Incoming messages wait in their stream until the node takes them: QUIC's flow control slows the sender down.

pub(crate) mod address;
mod chunks;
pub(crate) mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod identity;
mod peer;
mod queue;
mod swarm;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use chunks::Congestion;
pub(crate) use peer::PeerStatus;
pub(crate) use swarm::{ChunksPort, Inbox, Network, NetworkError, NetworkOptions, PeerMessage, Sender};
