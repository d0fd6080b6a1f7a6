//! The core's inputs and outputs, under one name in this crate.

pub(crate) use node_core::Status;
pub(crate) use node_core::anchor::{self, Anchor};
pub(crate) use node_core::api::*;
pub(crate) use ordering::api::{Record as OrderingRecord, Recovered as OrderingRecovered, Tip};
