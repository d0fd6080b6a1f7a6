//! A validator's place in the registry on L1: `join`, `leave`, `status`, and which id a key has.
//!
//! ```text
//!   init ──▶ join ──▶ run … leave ──▶ (the committee goes on without it) ──▶ leave --withdraw, twice: relieve, then the stake
//! ```
//!
//! Two keys take part: the node key, which votes and signs that it is to be registered, and the owner's, which pays, owns the stake
//! and may leave. The owner's is needed by these commands alone and is best kept elsewhere.
//!
//! Each command says what L1 has already before it sends anything, so that it may be run again at any time.

mod committee;
mod desk;
mod endpoint;
mod error;
mod id;
mod join;
mod leave;
mod owner;
mod status;

pub(crate) use desk::{Desk, Told, contract, ether, finish, say};
pub(crate) use error::MembershipError;
pub(crate) use id::validator_id;
pub(crate) use join::{parse_stake, run as join};
pub(crate) use leave::run as leave;
pub(crate) use owner::{OwnerKey, open as open_account};
pub(crate) use status::{Standing, run as status};
