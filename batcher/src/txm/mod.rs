//! The transaction manager: gets one call onto L1, or finds out that nobody needs it any more.
//!
//! A pure machine. The host calls [`Txm::handle`] with what L1 said or that time has passed; at most one output comes
//! back, and the host does it and hands in the answer. It sleeps until [`Txm::next_deadline`] when there is none.
//!
//! ```text
//!            Begin          wanted: price it           accepted
//!   Idle ───────────▶ Looking ───────────▶ Sending ───────────▶ Waiting ──▶ Checking ──▶ Finished
//!                        ▲  ▲                 │ underpriced        ▲           │ │
//!                        │  └─────────────────┘ (double)           └───────────┘ │ too long: double
//!                        └──────────────────────────────────────────────────────-┘
//!   any of them: Pausing on trouble, then on where it was
//! ```
//!
//! | L1 says | done |
//! |---|---|
//! | accepted, already known | wait for it |
//! | the pool holds another batcher's call | finished, nothing sent |
//! | no answer to a send | wait, and send the same bytes again |
//! | replacement underpriced | double all three fees and send again |
//! | fee below the market | look again and price anew |
//! | nonce too low | look for our receipt, then look again |
//! | nonce too high | look again |
//! | address already reserved | wait for the account's other transaction |
//! | insufficient funds, too expensive | pause, look again; nothing is given up |
//! | not mined for long | double all three fees (what geth wants of blob transactions) |
//! | mined | finished |
//! | mined and reverted | finished; the host reads L1 again |
//! | not needed any more | look for our receipt once more, as long as our nonce is mined: it may be late |
//! | still not needed | finished; the nonce is taken by the next call at doubled fees, so that nothing is burnt |
//! | unknown transaction of ours in the pool | give it time, then replace it |
//!
//! **Restart.** There is nothing to recover: the nonce is read from L1, and what an earlier run left in the pool is the
//! last row of the table.

mod machine;
#[cfg(test)]
mod tests;

pub use machine::{
    Check, Facts, Fees, Input, Limits, Look, Outcome, Output, Pause, SendFailure, Trouble, Txm,
};
