//! Back-pressure: how fast this node admits new transactions while L1 takes no batches, or the disk fills.
//!
//! ```text
//!   L1: which batches it has ─┐
//!   store: batches it lacks ──┤                       ┌─ rate for rollups whose data goes to L1 ─┐
//!   disk: free bytes ─────────┼─▶ readings ─▶ controller                                        ├─▶ gate ─▶ a client
//!   core: unsigned batches ───┘                       └─ rate for those whose data does not ─────┘
//! ```
//!
//! # Rules
//! 1. Admission is each node's own affair. What is admitted is ordered as always, and no rule of validity knows a rate.
//! 2. *What transactions fill*, can stop them: unposted bytes, the disk, unsigned batches in memory. From one threshold to the other the rate falls
//!    from 1 to 0 in proportion. *What fills by itself*, only slows, to a tenth: the number and age of unposted batches grow in an
//!    idle network, too, and refusing everybody would not end it.
//! 3. A rollup with data policy `committee` is not slowed by what L1 lacks: a batch has some dozens of bytes a block of it, whatever it sends. It is
//!    slowed by the disk and by unsigned batches, which hold its bytes like others'.
//! 4. A rate is a part of the *full speed*, at which the whole room between the two thresholds would be used up in [`HORIZON`](gate::HORIZON) by
//!    all members together. So the room that is left is always handed out over the same time: it is never used up, and unposted bytes stay below the
//!    threshold by whatever they would overshoot. Among rollups it is divided by their quotas.
//! 5. A rate falls at once and rises slowly, and a state lasts: see [`controller`]. A loop that looks every second and answers over minutes
//!    does not swing.
//! 6. Who cannot know what L1 has goes by disk and memory alone: without an endpoint, or if the committee's agreed view of L1 moves on while
//!    the own endpoint is silent ([`blind`]): then it is the endpoint that is down, not L1.
//!
//! # Restart
//! Unposted batches are counted in the store; what L1 had last is noted in the data folder. Rates begin where the readings say.
//!
//! | file | holds |
//! |---|---|
//! | `readings` | what presses, and the rates that it asks for |
//! | `controller` | rates over time |
//! | `gate` | which transaction passes |
//! | `blind` | is L1 down, or our endpoint? |
//! | `valve` | controller and gate, shared by the doors |
//! | `watch` | looks, every second |

mod blind;
mod controller;
mod gate;
mod readings;
#[cfg(test)]
mod tests;
mod valve;
mod watch;

pub(crate) use readings::Cause;
pub(crate) use valve::{PressureStatus, Valve};
pub(crate) use watch::Watch;
