//! The transaction manager: gets calls onto L1, several at once when L1 is behind, or finds out that nobody needs them any more.
//!
//! A pure machine that goes by what *is*, not by what has happened: the host reads L1 as of one block ([`Snapshot`]) and hands it to
//! [`Txm::observe`]; the machine compares it with what it has sent. So a reorganisation, a pool that forgot, a restart and an endpoint that
//! was wrong a moment ago are all the same to it: a difference between L1 and what is wanted.
//!
//! ```text
//!   observe(snapshot) ─▶ events          what was mined, lost, undone
//!   next_send()       ─▶ a transaction   again, or at twice the price
//!   has_room(), begin(call) ─▶ a transaction   L1's next call, or what follows on those that fly
//!   sent(transaction, the pool's answer)
//!
//!   a transaction:    begin ─▶ flying ──▶ taken ──▶ landed ──▶ forgotten
//!                               ▲  │  nonce     receipt  │
//!                               │  │  is used            │ L1 was reorganised
//!                               │  └─▶ stranded ─▶ gone  │
//!                               └────────────────────────┘
//! ```
//!
//! **Rules.** What flies together has one account, one kind and one order, that of the batches: a later one that is mined before an
//! earlier one would revert. So handovers fly alone, and blobs and calldata take turns, never both at once. At most [`MAX_IN_FLIGHT`]
//! transactions wait. When an earlier one fails after all, the contract refuses the later ones at its first check and they are sent again.
//! A nonce that nobody needs any more is used for the next call, at twice the fees.
//!
//! **What L1 answers, and what is done** is a table in `batcher/README.md`, each row with its test.
//!
//! **Restart.** There is nothing to recover: nonces are read from L1, and what an earlier run left in the pool is given time and then
//! replaced.

mod answers;
mod fees;
mod flight;
mod machine;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use answers::{Pause, Place, Receipt, SendFailure, Snapshot, Standing, Trouble};
pub use fees::{Fees, Limits, Market};
pub use flight::{Account, Call, Event, Goal, Kind, Send};
pub use machine::{MAX_IN_FLIGHT, MAX_LANDED, Txm};
