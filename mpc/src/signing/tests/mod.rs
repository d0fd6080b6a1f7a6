#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod network;
mod rules;
mod simulation;
mod vectors;
