//! Whole node processes: what an operator and a client see.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod commands;
mod evidence;
mod founding;
mod late;
mod network;
mod node;
mod subscribe;
mod telemetry;
