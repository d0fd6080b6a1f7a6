//! QUIC towards rollups: the node's side of [`rollup::wire`].
//!
//! Everything a client can hold is bounded: handshakes under way, connections, streams, bytes unread, time without
//! a word, and time that a frame may take to be read. Addresses are validated (Retry) before anything is kept for them.

mod blocks;
mod request;
mod server;
mod session;
mod subscription;

pub(crate) use blocks::ordered_block;
pub(crate) use server::Ingress;
