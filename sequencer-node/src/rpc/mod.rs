//! JSON-RPC over HTTP and WebSocket: `/` for tools (`seq_*`), `/rollup/<chain id>` for wallets (`eth_*`).

mod error;
mod eth;
mod seq;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use server::Rpc;
