//! What ceremonies and signing cost one thread of one member, at the largest committee: `cargo bench -p mpc`.
//!
//! | benchmark | is |
//! |---|---|
//! | `deal` | the last announcement, and the own dealing that it sets off |
//! | `process` | all members' dealings, from the first to the own acknowledgement |
//! | `sign` | a signing package, and the own share that answers it |
//! | `aggregate` | the last share, and the signature that it completes |
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod ceremony;
mod key;
mod signing;

use criterion::{criterion_group, criterion_main};

/// The largest committee that the network is made for, and how many of it sign together.
const MEMBERS: u16 = 100;
const THRESHOLD: u16 = 67;

criterion_group!(benches, ceremony::bench, signing::bench);
criterion_main!(benches);
