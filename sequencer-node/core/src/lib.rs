//! One node without its shell: ordering, key generation, signing and sealing composed into one pure core.
//!
//! This is what both the node's pump and the simulator drive: no clock, no disk, no socket, no randomness of its own.
//!
//! ```text
//!                     ┌────────────────────────── NodeCore ───────────────────────────┐
//!   submit ─────────▶ │ ordering ──decided──▶ founding   (system messages: key ceremony) │
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
//! | `founding` | the first key, from the log |
//! | `sealing` | from a boundary to a signed batch |
//! | `job` | work for other threads |
//! | [`wire`] | messages between node cores |

pub mod anchor;
pub mod api;
mod confirm;
mod entropy;
pub mod evidence;
mod founding;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod identity;
mod job;
mod key_material;
mod node;
pub mod planted;
mod sealing;
pub mod settings;
mod status;
pub mod wire;
mod witness;

pub use node::{NodeCore, SubmitError};
pub use settings::{Config, Settings, StartError};
pub use status::Status;
