//! One node without its shell: ordering, mpc and sealing composed into one pure core.
//!
//! This is what both the node's pump and the simulator drive.

pub mod api;
