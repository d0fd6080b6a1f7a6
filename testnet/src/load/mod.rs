//! The load: open-loop clients over the public face, and their books.

mod book;
mod door;
mod engine;
mod evm;
mod follow;
mod keyed;
mod outage;
mod pace;
mod sender;
mod source;

pub use book::{Book, Counts, Due, Ledger, Offer, Percentiles, Section};
pub use engine::{Load, Plan};
pub use evm::Transfers;
pub use outage::{Outage, Sample, Spread};
pub use pace::Pace;
pub use source::Source;
