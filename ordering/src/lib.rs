//! Lanes, cuts and the consensus driver: a pure core.
//!
//! Start reading at [`api`] (what goes in and out) and at the module documentation of [`Ordering`]'s parts: how lanes spread
//! transactions, which cuts are valid, how a cut expands to a block, and how validators agree on one.
//!
//! The core is a synchronous value without clock, socket, disk or randomness; see [`Ordering::handle`].

mod agreement;
pub mod api;
pub mod checkpoint;
pub mod committee;
mod cut;
pub mod epoch;
mod expand;
mod fetch;
pub mod forced;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ids;
pub mod l1;
mod lane;
mod load;
mod log;
mod ordering;
pub mod planted;
mod quorum;
mod reputation;
mod restart;
pub mod settings;
mod state;
mod sync;
mod system;
mod window;
pub mod wire;

pub use lane::buffer::SubmitError;
pub use ordering::{Backlog, Ordering, StartError};
pub use restart::Silence;
pub use settings::{Settings, Timeouts};
