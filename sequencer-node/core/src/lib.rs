//! One node without its shell: ordering, key generation, signing and sealing composed into one pure core.
//!
//! This is what both the node's pump and the simulator drive: no clock, no disk, no socket, no randomness of its own.
//!
//! ```text
//!                     ┌────────────────────────── NodeCore ───────────────────────────┐
//!   submit ─────────▶ │ ordering ──decided──▶ founding, rotation (system messages)     │
//!   peers' messages ▶ │    ▲                  signing    (every header, every batch)     │ ──▶ outputs, in order
//!   job results ────▶ │    └──own system────  sealing    (boundaries to signed batches)  │
//!   the clock ──────▶ │       messages                                                   │
//!                     └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | inputs, outputs, records, what a restart needs |
//! | [`settings`] | what a core is made from |
//! | `node` | the composition |
//! | [`anchor`] | what a checkpoint carries for the parts beside ordering |
//! | `making` | one epoch's key, from the log |
//! | `founding` | the first key, and the quorum that signs it for L1 |
//! | `rotation` | the next key: made, tested, voted for |
//! | `keyring` | this node's part in signing with the keys of all epochs |
//! | `sealing` | from a boundary to a signed batch |
//! | `job` | work for other threads |
//! | [`wire`] | messages between node cores |

pub mod anchor;
pub mod api;
mod confirm;
mod entropy;
pub mod evidence;
mod filling;
mod founding;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identity;
mod job;
mod key_material;
mod keyring;
mod making;
mod node;
pub mod planted;
mod rotation;
mod sealing;
pub mod settings;
mod status;
pub mod wire;
mod witness;

pub use node::{NodeCore, SubmitError};
pub use sealing::MAX_OPEN_BATCHES;
pub use settings::{Config, Settings, StartError};
pub use status::Status;
