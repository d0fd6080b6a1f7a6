//! An L1 in memory, and an OP Stack rollup that is derived from it by [`kona_derive`], unmodified.
//!
//! | module | holds |
//! |---|---|
//! | [`l1`] | blocks, blob transactions and blobs, as the pipeline asks for them |
//! | [`l2`] | the rollup's configuration, and what its execution node would have built |
//! | [`derive`] | the pipeline, run to the end of L1 |
//!
//! The tests are in `tests`. Two generations of alloy meet here; bytes are all that passes between them.

pub mod derive;
pub mod l1;
pub mod l2;
