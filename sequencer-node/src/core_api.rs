//! The core's inputs and outputs, under one name in this crate.

#[path = "../core/src/api.rs"]
mod preview;
#[path = "../core/src/status.rs"]
mod status;
pub(crate) use preview::*;
pub(crate) use status::Status;
pub(crate) use ordering::api::{Record as OrderingRecord, Recovered as OrderingRecovered, Tip};
