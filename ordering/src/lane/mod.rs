//! Lanes: how transactions spread before they are ordered.
//!
//! Each validator cuts what it receives into *chunks*, chained by the digest of the chunk before, and sends every chunk to every
//! peer once. Peers store it and report, lane by lane, up to where they hold the chain: their *progress*. A proposer names the
//! tips that it holds, and of lanes that were late those that a quorum reported, so voters seldom have to fetch; see [`punctual`].
//!
//! - A lane is (validator, incarnation). A restarted validator begins a new lane, so a chunk that a crash took from
//!   its disk and that is cut again differently is no fork.
//! - Chunks carry no signature; the decided digest authenticates them. Of a lane that forks, at most two branches are stored,
//!   and any branch that a cut names is fetched.
//! - Only what its owner *vouched for* is reported and proposed: what it sent or reported itself, and what stands before that. What merely
//!   a cut names may be made up by its proposer; it serves that cut and goes when the height is decided. If it is decided, the owner
//!   goes on from there; see [`own`].
//! - Progress is a hint. A peer that lies about it costs a fetch, never safety: a vote needs the data itself.

pub(crate) mod buffer;
pub(crate) mod own;
pub(crate) mod progress;
pub(crate) mod punctual;
pub(crate) mod store;
