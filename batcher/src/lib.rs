//! Carries signed batches to Ethereum.
//!
//! A batcher holds gas money and no authority: it fetches what the committee signed from any node and posts it. Any
//! number of batchers may run side by side.
//!
//! ```text
//!   nodes ──founding, handovers, batches──▶ poster ──▶ txm (pure) ──▶ L1
//!                        (verified)           ▲                        │
//!                                             └── next number, fees ───┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | file, environment and flags |
//! | [`key`] | the encrypted key file |
//! | [`turn`] | which of several batchers posts, and when another takes over |
//! | [`txm`] | the transaction manager, a pure machine |
//! | [`l1`] | what the machine's outputs mean in JSON-RPC |
//! | [`poster`] | the loop |
//! | [`op`] | `batcher op`, another loop: blocks of an OP Stack rollup to its own inbox |
//! | [`status`], [`http`], `metrics`, `connections` | what an operator sees, and the bounds of that port |
//!
//! **Order.** L1 takes batches by number, and the handover to an epoch's key before that epoch's first batch; each batcher
//! brings what L1 takes next.
//!
//! **State.** All of it is on L1 (next number, nonce) and with the nodes (batches); nothing is on disk. A batcher that
//! is killed at any point is started again and goes on from there.

pub mod carrier;
pub mod config;
mod connections;
pub mod http;
pub mod key;
pub mod l1;
mod lacking;
mod metrics;
pub mod op;
pub mod poster;
mod run;
mod spending;
pub mod status;
pub mod turn;
pub mod txm;

pub use run::run_from_args;
