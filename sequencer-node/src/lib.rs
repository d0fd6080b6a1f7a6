//! The node: network, disk, keys and telemetry around the pure core.
#![allow(dead_code)]

mod admission;
mod config;
mod core_api;
mod exit;
mod keys;
mod network;
mod pump;
mod store;
