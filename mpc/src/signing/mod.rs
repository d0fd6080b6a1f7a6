//! placeholder

mod burn;
mod commitment;
mod config;
mod coordinator;
mod fault;
mod held;
mod item;
mod machine;
mod message;
mod nonces;
mod package;
mod pool;
mod round;
mod settle;
mod signer;
mod supply;

#[cfg(test)]
mod tests;

pub use burn::BurnRecord;
pub use config::{
    MAX_HELD_PER_MEMBER, MAX_PINNED, MAX_POOL, MAX_RETAINED, MAX_RETIRED_BOOTS, MAX_RUNNING, SigningConfig,
};
pub use fault::{Fault, FaultKind, Refused};
pub use item::{BootId, ItemId, Time};
pub use machine::{Input, NonceSeed, Output, Signing};
pub use message::MAX_MESSAGE;
