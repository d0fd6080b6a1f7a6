//! What a batch is: its id, its bytes, its blobs and their proofs. Pure: no IO, no clock, no threads.
//!
//! ```text
//!   blocks ──encode──▶ payload ──pack──▶ blobs ──commit──▶ versioned hashes ─┐
//!     ▲                   │                                                  ├─▶ what the committee signs
//!     └──────decode───────┘                      BatchHeader ──▶ batch id ───┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`header`] | [`BatchHeader`], its id and how it must fit its blocks |
//! | [`batch`] | a batch with its carrier, and the digest that the committee signs |
//! | [`payload`] | blocks to bytes and back: columns, zstd, one frame a rollup |
//! | `transactions` | Ethereum transactions in columns, for rollups of kind `evm` |
//! | [`blob`] | bytes to field elements and back |
//! | [`kzg`] | commitments, proofs and cell proofs over those |
//! | [`job`] | the two jobs of a node: [`make`] an encoding, [`check`] a peer's |
//! | [`op`] | another coding, for OP Stack rollups; nothing above has to do with it |
//!
//! **Rules.** The id covers content only; the blobs are signed beside it. So two encodings of one batch are harmless:
//! they say the same, and L1 takes the first. A signer never trusts an encoding: [`check`] decodes it, compares it
//! with the signer's own blocks and verifies the KZG proofs. A reader needs nothing but L1: [`payload::decode`]
//! recomputes the hash of every block header from the one before up to the signed last one.

pub mod batch;
pub mod blob;
mod columns;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod header;
pub mod job;
pub mod kzg;
#[cfg(feature = "measuring")]
pub mod measuring;
pub mod op;
pub mod payload;
mod policies;
mod transactions;

pub use batch::{EncodedBatch, SealedBatch, signing_digest};
pub use header::{BatchHeader, HeaderMismatch};
pub use job::{CheckError, MakeError, check, make};
pub use payload::{Content, Context, DecodedBatch, DecodedBlock, DecodedSection, Encoded};
pub use policies::{Policies, Policy};
