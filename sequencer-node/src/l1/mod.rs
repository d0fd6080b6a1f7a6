//! Towards the L1. Whatever an endpoint says is bounded, checked and, at worst, of no use: ordering needs no L1.
//!
//! ```text
//!   endpoint ── chain id ────────────▶ L1State         does it answer, and for the right chain?
//!      │
//!      ├─ finalized ─▶ contract ─────▶ L1Sight   who is registered, as of agreed blocks; towards the core
//!      │
//!      └◀──── account ◀── operators' commands         join, leave, slash
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `endpoint` | one look at the endpoint, and looking again |
//! | `contract` | `ValidatorRegistry`, read at one block |
//! | `finalized` | the registry at each finalized block that is to be reported |
//! | `account` | sends transactions to the registry, one at a time |

use tokio::sync::watch;

mod account;
mod contract;
mod endpoint;
mod finalized;

pub(crate) use account::{Account, Say, SendError};
pub(crate) use contract::{At, Contract, ReadError};
pub(crate) use endpoint::{L1Error, L1State, check, report, state_of, watch_endpoint};
pub(crate) use finalized::{RegistryState, follow};

#[cfg(test)]
#[path = "../../tests/support/chain.rs"]
mod chain;
#[cfg(test)]
mod tests;

/// What the node knows of L1, for its operator.
#[derive(Clone, Debug)]
pub(crate) struct L1Status {
    /// The endpoint.
    pub(crate) endpoint: watch::Receiver<L1State>,
    /// The registry, through it.
    pub(crate) registry: watch::Receiver<RegistryState>,
}
