//! What a rollup links: submit, follow, verify, derive from L1.
//!
//! | module | is for |
//! |---|---|
//! | [`wire`] | the binary protocol between a node and its clients; nodes implement its other side |
//! | [`client`] | submit transactions and follow the order, verified, over any number of nodes |
//! | [`verify`] | check one soft confirmation or one ordered block, without any connection |
//! | [`derive`] | read every rollup's transactions from L1 alone |
//! | [`inbox`], [`registry`] | the contracts' faces |
//!
//! **Whom to trust.** No single node, ever. Ordered data carries the certificate of a quorum, soft confirmations and
//! batches one group signature, a founding key the signatures of n − f validators. A node that lies about any of them
//! is found out by the client; what a node *can* do is withhold, and then the client asks the next one.

pub mod client;
pub mod derive;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod inbox;
pub mod l1;
pub mod registry;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
pub mod verify;
pub mod wire;

/// The name by which tests within and without know this crate.
#[cfg(test)]
extern crate self as rollup;
