//! The relay: distance between validators on one machine.
//!
//! ```text
//!            genesis file: validator 2 is at front 2
//!  node 1 ──▶ front 2 ─▶ link 1→2: cut? lost? due when? ─▶ queue ─▶ front 1 ──▶ node 2
//! ```
//!
//! Every validator has a *front*: a UDP port that stands in the genesis file instead of the port its node listens on. What
//! node 1 sends to front 2 waits for the delay of the link from 1 to 2 and then reaches node 2 *from front 1*, and the answer
//! takes the same two fronts back. So each node sees each other one under the one address that the genesis file has,
//! whoever dialled, and a QUIC path never changes. Who sent a datagram is told by its source port: libp2p-quic and quinn
//! dial from the socket they listen on. What comes from any other port is dropped and counted.
//!
//! | file | is |
//! |---|---|
//! | `link` | pure: what becomes of one datagram on one directed link, from the time and the seed alone |
//! | `wire` | pure: all links and what waits on them, bounded |
//! | `plan` | the relay's configuration, one JSON file |
//! | `command` | what can be changed while it runs |
//! | `stats` | what it counts |
//! | `shell` | sockets and the clock |
//! | `program` | the process: `testnet __relay` |
//!
//! # Caveats
//! * *Jitter* is a delay that wanders: one value for a link at a time, a new random aim every four jitters, straight lines
//!   between. Datagrams keep their order, as on a path whose queues fill and drain. A fresh delay for each datagram would
//!   reorder nearly all of them, which no real path does and which loss detection takes for loss; reordering is a share
//!   of its own ([`Conditions::reorder`]).
//! * *Loss* strikes each datagram alone; bursts of loss are what `cut` and `heal` are for.
//! * Datagrams *longer* than a path takes vanish without a word; who sends must find out
//!   ([`Conditions::mtu`]; RFC 8899).
//! * There is no limit of bandwidth: a link takes what this machine can carry.

mod command;
mod link;
mod plan;
mod program;
mod shell;
mod stats;
mod wire;

pub use command::{Change, LinkCommand, Selection, Settings};
pub(crate) use link::MIN_MTU;
pub use link::{Class, Conditions, ConditionsError, Link, LinkId, Verdict};
pub use plan::{Front, Plan, PlanError, RelaySettings};
pub(crate) use program::main_from_args;
pub use shell::{Relay, RelayError};
pub use stats::{LinkCounts, LinkStats, RelayStats};
pub use wire::{Train, Wire};
