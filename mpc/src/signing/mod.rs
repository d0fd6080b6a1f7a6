//! FROST signing (RFC 9591) in one round trip, over lossy channels, whatever any `f` members do.
//!
//! # Purpose
//! Each member's node says which digest it wants signed for an item ([`Input::Sign`]); once `t` nodes want the same, every
//! node gets the group's signature ([`Output::Signed`]). Many items are in flight at once. A member only ever signs the digest
//! that its own node gave for that item.
//!
//! # How it runs
//! ```text
//!  beforehand    every member ── Supply: nonce commitments for you alone ──▶ every member
//!
//!  per item      coordinator  ── Package: item, digest, t commitments ─────▶ t − 1 signers
//!                signer       ── Share, and a fresh commitment ────────────▶ coordinator     (record durable first)
//!                coordinator  ── Signature ────────────────────────────────▶ all
//! ```
//!
//! | message | says |
//! |---|---|
//! | want | "this is my boot; give me commitments; below this index I use none of yours again" |
//! | supply | commitments of this boot for the receiver's use only |
//! | package | item, digest, attempt, session, coordinator's boot, `t` × (member, boot, index, commitment) |
//! | share | package hash, share, its signer's voucher, one fresh commitment |
//! | signature | a finished signature |
//! | request | "send it to me if you have it" |
//!
//! All carry the epoch of the key; other epochs are ignored. The channel authenticates the sender. Layouts: `message`,
//! `package`, `commitment`.
//!
//! # Rules
//! 1. *Turns.* Attempt `a` of item number `k` belongs to member `(k + a) mod n`. An attempt lapses after a timeout that
//!    doubles with each round of the rotation; after that the next member coordinates, and late shares of the former still
//!    count. A coordinator that lately let an attempt lapse is given far less time. Attempts need no agreement: a signer
//!    answers any attempt by its rightful coordinator.
//! 2. *Sessions.* Within an attempt a coordinator opens up to `n − t + 1` sessions: when signers are silent for the hedge
//!    time, when shares were wrong, always without those who lied about the item and preferring those not lately silent. At
//!    most `n − t` members are faulty and each spoils one session, so one of them completes.
//! 3. *One pair, one share.* A nonce pair is offered to one coordinator, leaves the store by value for one package and is
//!    gone, also for the same message, also if signing fails. An identical package gets the identical, stored reply.
//! 4. *One answer a turn.* To one coordinator's boot only ever later (attempt, session) pairs of an item are answered, and in
//!    all only so many as this node's own clock allows.
//! 5. *Record before share.* [`Output::Persist`] precedes the message with the share; the shell syncs between.
//! 6. *Late is busy.* Silence changes who is asked first, nothing more. A wrong share, found after the optimistic aggregation
//!    failed, is a [`FaultKind::InvalidShare`]; with the voucher that came with it, anybody can be shown that it is
//!    ([`Accusation`]).
//! 7. *Early is held.* Packages and signatures for items without a digest yet wait, [`MAX_HELD_PER_MEMBER`] items for each
//!    sender.
//! 8. *Verified only.* No signature is accepted, kept or passed on before it verified over this node's own digest.
//! 9. *Everything is bounded*: see the constants of this module and of [`SigningConfig`].
//!
//! # Why it is safe
//! A forgery needs `t` shares over one message; honest members give shares only over their own node's digest, and one digest
//! an item. Shares leak nothing as long as no nonce pair serves twice with different co-signers: rule 3, with nonces that
//! exist only in this process's memory, drawn from a [`NonceSeed`] that is fresh at every start and mixed with the share as
//! in RFC 9591 section 4.1. Parallel sessions are safe since FROST binds each share to the whole package by its binding
//! factor.
//!
//! # Restart
//! A restarted member has a new [`BootId`] and no nonces. On first sight of it everyone drops the old boot's commitments, and
//! withdraws what was offered to its former life; messages of the old boot are ignored. [`Signing::pin`] tells the new machine
//! which digests the old one has signed. Signatures are not stored here: the node asks for what it still needs with
//! [`Input::Sign`], and peers that have the signature answer with it.
//!
//! # Caveats
//! - Of two processes with one key only the one that started later is heard. Restoring the
//!   *memory image* of a process brings nonces back and is not defended against.
//! - A voucher is looked at only when the share is wrong. A liar that sends a wrong share with a wrong voucher is left out all the
//!   same, and known to those only whom it lied to.
//! - A digest that differs between honest nodes is never signed; this machine cannot tell who is right.
//!
//! # Use
//! Call [`Signing::handle`], then drain [`Signing::next_output`], carry each output out in order, and call again with
//! [`Input::Tick`] at [`Signing::next_deadline`]. The first call, a tick, makes the members supply each other.

mod begin;
mod burn;
mod commitment;
mod config;
mod coordinator;
mod fault;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod held;
mod item;
mod machine;
mod message;
mod nonces;
mod package;
mod pool;
mod round;
mod settle;
mod signer;
mod supply;
mod voucher;

#[cfg(test)]
mod tests;

pub use burn::BurnRecord;
pub use config::{MAX_HELD_PER_MEMBER, MAX_PINNED, MAX_POOL, MAX_RETAINED, MAX_RUNNING, SigningConfig};
pub use fault::{Fault, FaultKind, Refused};
pub use item::{BootId, ItemId, Time};
pub use machine::{Input, NonceSeed, Output, Signing};
pub use message::{MAX_MESSAGE, broadcast_signature, epoch_of};
pub use voucher::{Accusation, Identity, Judgement, Meaningless, Voucher};
