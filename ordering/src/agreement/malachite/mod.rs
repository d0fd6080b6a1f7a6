//! [`Agreement`](super::Agreement) by the Tendermint core `arc-malachitebft-core-consensus`.
//!
//! Nothing outside this folder names a type of that crate. What its use demands, each learned from its source or by trying:
//! - It borrows its state for a whole input, so the host only records effects; follow-up inputs are fed afterwards.
//! - A handler's error would be taken for "go on", so the handler cannot fail; it sets a sticky fatal reason instead.
//! - Timeouts carry no height: timers are cleared when a height is decided and when one starts.
//! - Certificates are verified signature by signature, all of them: the core takes every vote in them for verified.
//! - It drops messages of other heights or queues them unverified, so its queues are disabled and the caller queues.
//! - Proposals are fed before the judgement of their value, and only if the round's proposer signed them: unauthenticated values
//!   would fill a bounded bucket.

mod context;
mod convert;
mod driver;
mod host;
mod verify;

#[cfg(test)]
mod tests;

#[cfg(feature = "fuzzing")]
pub(crate) use convert::LogEntry;
pub(crate) use driver::{LogError, Malachite, Setup};
