//! Deterministic simulation of a whole network.
//!
//! The same [`NodeCore`](node_core::NodeCore) that runs under sockets runs here, n times, in one thread. Everything that
//! could differ from run to run comes from one seed: when messages arrive, which are lost or doubled, who crashes when,
//! which unsynced writes survive. So a seed that fails once fails always, and `--seed S --trace` tells its story.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | what a seed stands for: size, network, faults, load |
//! | [`world`] | the event loop |
//! | [`network`] | delay, loss, duplication, partitions |
//! | [`disk`] | what a crash leaves |
//! | [`prover`] | a batch prover that costs nothing |
//! | [`oracle`] | the promises, checked from outside by code of its own |

pub mod disk;
pub mod network;
pub mod oracle;
pub mod plan;
pub mod prover;
pub mod world;

pub use oracle::Violation;
pub use plan::Plan;
pub use world::{Report, run};
