//! Every rollup's transactions, from L1 alone.
//!
//! ```text
//!   BatchPosted logs ─▶ chain of batches ─▶ blobs by versioned hash ─▶ payload ─▶ blocks ─▶ transactions
//!      in order         number, parent,      commitments recomputed     every header hash
//!                       group signature                                 up to the signed one
//! ```
//!
//! What is trusted is the L1 node's word that a log is in the chain; what the committee said is checked here again: the
//! founders' signatures under the first group key, each key's under the handover to the next one and under the batches of
//! its epoch, and the members' under a key that was put in after a silence (whose addresses the call names, and L1 has the hash of) are
//! read from the transactions' calldata (when something was posted through another contract, its calldata is elsewhere, and the
//! contract's own check is relied on: [`Proof::Contract`]).
//!
//! L1 keeps blobs for some 18 days. What the beacon node does not have any more is asked of [archives](DeriveConfig::archives), which any
//! sequencer node is: what they say counts if it makes the very blobs that L1 has the hashes of.
//!
//! A batch that leaves an overdue entry of the forced-inclusion queue uncovered is *pending*: it is handed out once it takes effect, in order, with
//! the batch that covers what is overdue, or with an escape. Entries of the queue have their effect whatever the committee does: see the rules of
//! [`ForcedPlace`] and [`Escape`].
//!
//! A rollup's part that does not decode counts as empty for that rollup ([`DerivedBatch::broken`]), and a payload that does not, or does not say what
//! was signed, for all of them ([`DerivedBatch::unreadable`]): more than f members lie then, and the rollups go on. Everything
//! else that does not fit is an error, and the deriver stays where it is: after an L1 reorg, start a new one.

mod archive;
mod forced;
mod gate;
mod keys;
mod logs;
mod posted;
mod reader;

pub use archive::{ArchiveError, ArchivesError, MAX_ARCHIVES};
pub use forced::{ForcedPlace, ForcedTransaction, QueueError};
pub use keys::KeyError;
pub use logs::MAX_LOG_RANGE;
#[cfg(feature = "fuzzing")]
pub(crate) use logs::read_log;
pub use reader::{
    DeriveConfig, DeriveError, Derived, DerivedBatch, DerivedTransaction, Deriver, Escape, Finality, Proof,
    Source, Unreadable, Url,
};
