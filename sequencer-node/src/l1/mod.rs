//! Towards the L1. Whatever an endpoint says is bounded, checked and, at worst, of no use: ordering needs no L1.
//!
//! ```text
//!   endpoint ── chain id ────────────▶ L1State         does it answer, and for the right chain?
//!      │
//!      ├─ finalized ─▶ contract, inbox ─▶ L1Sight   who is registered, and the queue, as of agreed blocks; towards the core
//!      │                          │
//!      ├─ posted ─▶ PostedView     which batches are there; towards back-pressure
//!      │
//!      ├─ queue ──────────────────┘──▶ ForcedMessage   entries that the core asks for
//!      │
//!      └◀──── account ◀── operators' commands         join, leave, slash
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `endpoint` | one look at the endpoint, and looking again |
//! | `reader` | what any contract answers at one block |
//! | `contract` | `ValidatorRegistry` |
//! | `inbox` | `SequencerInbox` and the entries of its queue |
//! | `finalized` | both at each finalized block that is to be reported |
//! | `posted` | which batches the inbox has |
//! | `queue` | answers the core's questions about the queue |
//! | `account` | sends transactions to the registry, one at a time |

use std::sync::Arc;

use ordering_types::{ChainSpec, ForcedMessage};
use tokio::sync::{mpsc, watch};

use self::inbox::Inbox;
use self::reader::Reader;
use crate::core_api::L1Sight;

mod account;
mod contract;
mod endpoint;
mod finalized;
mod inbox;
mod posted;
mod queue;
mod reader;

pub(crate) use account::{Account, Say, SendError};
pub(crate) use contract::Contract;
pub(crate) use endpoint::{L1Error, L1State, check, report, state_of, watch_endpoint};
pub(crate) use finalized::RegistryState;
pub(crate) use posted::{Posted, PostedView, watch_posted};
pub(crate) use queue::Question;
pub(crate) use reader::{At, ReadError};

#[cfg(test)]
#[path = "../../tests/support/chain.rs"]
mod chain;
#[cfg(test)]
mod tests;

/// Towards the core: what the endpoint shows, and what the core asks of it.
#[derive(Debug)]
pub(crate) struct L1Feed {
    /// Finalized blocks.
    pub(crate) sights: mpsc::Receiver<L1Sight>,
    /// What the core wants to know of the queue.
    pub(crate) questions: watch::Sender<Question>,
    /// What is told of it.
    pub(crate) answers: mpsc::Receiver<ForcedMessage>,
}

impl L1Feed {
    /// Without an endpoint.
    pub(crate) fn idle() -> Self {
        Self { sights: mpsc::channel(1).1, questions: watch::channel(None).0, answers: mpsc::channel(1).1 }
    }
}

/// Follows the contracts of this network through one endpoint.
pub(crate) fn follow(
    endpoint: &str,
    spec: &ChainSpec,
) -> Result<(L1Feed, watch::Receiver<RegistryState>), ReadError> {
    let reader = Arc::new(Reader::new(endpoint, spec.l1_chain_id)?);
    let (questions, asked) = watch::channel(None);
    let (answered, answers) = mpsc::channel(1);
    tokio::spawn(queue::answer(Inbox::new(Arc::clone(&reader), spec), asked, answered));
    let (sights, state) = finalized::follow(reader, spec);
    Ok((L1Feed { sights, questions, answers }, state))
}

/// What the node knows of L1, for its operator.
#[derive(Clone, Debug)]
pub(crate) struct L1Status {
    /// The endpoint.
    pub(crate) endpoint: watch::Receiver<L1State>,
    /// The registry, through it.
    pub(crate) registry: watch::Receiver<RegistryState>,
}
