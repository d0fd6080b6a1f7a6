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
//! Who the peers are, a [`Directory`] says: at first that of the genesis file, later what [`Sender::change`] is told ([`roster`]).
//!
//! - Whoever is no peer is refused when its handshake has shown who it is.
//! - Every stream starts with a handshake: protocol version and hash of the genesis file.
//! - Each (peer, class) has a bounded queue of its own: bulk never delays votes, and a dead peer costs bounded memory.
//! - Incoming messages wait in their stream until the node takes them: QUIC's flow control slows the sender down.

pub(crate) mod address;
mod chunks;
mod directory;
pub(crate) mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod handle;
pub(crate) mod identity;
mod inbox;
mod mesh;
mod pace;
mod peer;
mod place;
mod queue;
mod roster;
mod streams;
mod swarm;
#[cfg(test)]
mod tests;
mod transport;

pub(crate) use chunks::Congestion;
pub(crate) use directory::Directory;
pub(crate) use directory::PeerInfo;
pub(crate) use handle::{ChunksPort, Network, NetworkError, NetworkOptions, Sender};
pub(crate) use inbox::{Inbox, PeerMessage};
pub(crate) use peer::PeerStatus;
