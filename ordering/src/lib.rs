//! Lanes, cuts and the consensus driver: a pure core.
pub mod api;
