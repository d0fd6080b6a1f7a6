//! Whole node processes: what an operator and a client see.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../support/chain.rs"]
mod chain;
mod commands;
mod evidence;
mod founding;
mod late;
mod membership;
mod network;
mod node;
mod pressure;
mod subscribe;
mod telemetry;
