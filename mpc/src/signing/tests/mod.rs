#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod matrix;
mod network;
mod rules;
mod simulation;
mod vectors;
