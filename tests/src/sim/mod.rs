//! Deterministic simulation of a whole network.
//!
//! The same [`NodeCore`](node_core::NodeCore) that runs under sockets runs here, n times, in one thread. Everything that
//! could differ from run to run comes from one seed: when messages arrive, which are lost or doubled, who crashes when,
//! which unsynced writes survive. So a seed that fails once fails always, and `--seed S --trace` tells its story.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | what a seed stands for: size, faults, liars, load |
//! | [`genesis`] | the network's genesis file and keys |
//! | [`world`] | the event loop |
//! | [`network`] | delay, loss, duplication, overtaking, partitions, one-way cuts, slow links |
//! | [`clock`] | skew, and steps within a life |
//! | [`disk`], [`journal`] | what a crash leaves, and what it tears |
//! | [`prover`] | a batch prover that costs nothing |
//! | [`byzantine`] | validators that lie, one idea a file |
//! | [`wire`] | what validators say, written down a second time |
//! | [`oracle`] | the promises, checked from outside by code of its own |
//! | [`faults`] | what was done to the network, counted |
//! | [`planted`] | bugs on purpose, which it must find |
//! | [`campaign`] | many seeds on several threads |
//! | [`scale`] | honest networks of up to 100 over slow links, measured |

pub mod byzantine;
pub mod campaign;
pub mod clock;
pub mod disk;
pub mod faults;
pub mod genesis;
pub mod journal;
pub mod l1;
pub mod network;
mod node;
pub mod oracle;
pub mod plan;
pub mod planted;
pub mod prover;
pub mod scale;
pub mod wire;
pub mod world;

pub use faults::Faults;
pub use oracle::Violation;
pub use plan::Plan;
pub use planted::Planted;
pub use world::{Report, run};
