//! JSON-RPC over HTTP and WebSocket: `/` for tools (`seq_*`), `/rollup/<chain id>` for wallets (`eth_*`).

mod error;
mod eth;
mod pace;
mod seq;
mod server;

#[cfg(feature = "fuzzing")]
pub(crate) use seq::parse_any;
pub(crate) use server::Rpc;
