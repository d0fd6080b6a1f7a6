//! JSON-RPC over HTTP and WebSocket: `/` for tools (`seq_*`), `/rollup/<chain id>` for wallets (`eth_*`).

mod error;
mod eth;
mod pace;
mod seq;
mod server;

pub(crate) use server::Rpc;
