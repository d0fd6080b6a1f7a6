//! Distributed key generation over an ordered log.
//!
//! # Purpose
//! `n` members make a key of which each holds one share, so that any `t` of them can sign and fewer can do nothing. No dealer
//! is trusted and the key is never whole on any machine. The scheme is Feldman's verifiable secret sharing by every member
//! (Pedersen's joint generation), with the dealings public in a log that all members read in the same order.
//!
//! # Messages
//! Each is `tag (1) ‖ ceremony id (41) ‖ body`, at most [`MAX_PAYLOAD`] bytes; the log authenticates its sender.
//!
//! | step | module | body | sent when |
//! |---|---|---|---|
//! | announce | `announce` | encryption key for this ceremony, proof of possession | at the start |
//! | dealing | `dealing`, `dealer`, `share_encryption` | `t` commitments, one encrypted share a member, proofs | all have announced |
//! | ack | `ack` | group public key | all have dealt and the own total share is right |
//!
//! Completed: all have acknowledged.
//!
//! # Rules
//! 1. *First wins.* One message a member and step. A second is ignored without a word, since a restarted member repeats
//!    itself.
//! 2. *Lengths before maths.* Exactly `t` commitments and exactly `n` shares, and the exact length, are checked before any
//!    point is decoded.
//! 3. *Everything is bound.* The digest of (id, members, threshold) is in every proof, key derivation and, as id, in the
//!    authenticated data of every share. Proofs of a dealing vouch for all of it.
//! 4. *A fault names its sender.* What the log alone shows ([`FaultKind`]) is found alike by all. A message that is invalid in
//!    its step uses up the step: the member is disqualified. Silence is no fault.
//! 5. *Once, not `n` times.* Commitments are summed once; a member checks its own total share against the sum and looks at
//!    single dealings only if that fails; verifying shares come from the sum by Horner's rule with 16-bit member numbers.
//!
//! # Why it is safe
//! *Same key everywhere:* the key is a function of the log. *Right share:* a member acknowledges only after its total share
//! matched the summed commitments, so completion means that all `n` shares lie on one polynomial of degree `t − 1`. *Secrecy:*
//! fewer than `t` members know at most `t − 1` points of each honest dealer's polynomial, and commitments hide the rest under
//! the discrete logarithm. *No rogue dealer:* each constant and each encryption and ephemeral key is proven known, bound to
//! the dealer's number. *No mixing of ceremonies:* rule 3.
//!
//! # Restart
//! All randomness derives from the [`CeremonySeed`]. A restarted member makes the ceremony again from the stored seed, calls
//! [`Ceremony::start`] and feeds the whole log: same state, same bytes. Until completion the seed and the log together *are*
//! the stored share. If the log holds a message of its own that the seed did not make, it stops with
//! [`Failure::ForeignSeed`].
//!
//! # Caveats
//! - Every member is needed: one absent or disqualified member stalls or fails the attempt. Complaints, answers, a qualified
//!   subset and resharing belong between `dealing` and `ack`; `Dealer::of_constant` and the split of decryption at the shared
//!   point are there for them.
//! - [`FaultKind::UndecryptableShare`] and [`FaultKind::BadShare`] are a recipient's private findings, not yet evidence.
//! - As in any Feldman-based generation, the last dealer can bias bits of the public key (Gennaro et al. 2007); for Schnorr
//!   signatures that does not help a forger.
//!
//! # Example
//! ```
//! use std::collections::BTreeSet;
//! use mpc::{MemberId, ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event}};
//!
//! let id = CeremonyId { l1_chain_id: 1, contract: [7; 20], epoch: 0, kind: CeremonyKind::Fresh, attempt: 0 };
//! let members: BTreeSet<_> = (1..=4).filter_map(MemberId::new).collect();
//! let mut nodes: Vec<_> = members
//!     .iter()
//!     .map(|me| Ceremony::new(id, members.clone(), 3, *me, CeremonySeed::new([me.number() as u8; 32])).unwrap())
//!     .collect();
//!
//! // The log, as a queue; in a node, consensus orders it.
//! let mut log = std::collections::VecDeque::new();
//! let mut keys = BTreeSet::new();
//! for (me, node) in members.iter().zip(&mut nodes) {
//!     log.extend(node.start().into_iter().map(|event| (*me, event)));
//! }
//! while let Some((sender, event)) = log.pop_front() {
//!     match event {
//!         Event::Publish(payload) => {
//!             for (me, node) in members.iter().zip(&mut nodes) {
//!                 log.extend(node.on_logged(sender, &payload).into_iter().map(|event| (*me, event)));
//!             }
//!         }
//!         Event::Completed(material) => { keys.insert(material.public().key()); }
//!         other => panic!("{other:?}"),
//!     }
//! }
//! assert_eq!(keys.len(), 1);
//! ```

mod ack;
mod announce;
mod context;
mod dealer;
mod dealing;
mod fault;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod id;
mod machine;
mod payload;
mod polynomial;
mod proof;
mod seed;
mod share_encryption;

#[cfg(test)]
mod tests;

pub use fault::{Failure, Fault, FaultKind, SetupError};
pub use id::{CeremonyId, CeremonyKind};
pub use machine::{Ceremony, Event, Status};
pub use payload::{MAX_PAYLOAD, ceremony_of};
pub use proof::Purpose;
pub use seed::CeremonySeed;
