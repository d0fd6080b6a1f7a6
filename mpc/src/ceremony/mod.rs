//! Key generation and resharing over an ordered log.
//!
//! # Purpose
//! `n` members get one share each of a key, so that any `t` of them can sign and fewer can do nothing. No dealer is trusted and the key
//! is never whole on any machine. The scheme is Feldman's verifiable secret sharing by many dealers, with the dealings public in
//! a log that all read in the same order. One engine makes a *fresh* key (the members deal random constants: Pedersen's joint
//! generation) and *reshares* an old one (its holders deal their shares of it, to other members or the same).
//!
//! # Messages
//! Each is `tag (1) ‖ ceremony id (41) ‖ body`, at most [`MAX_PAYLOAD`] bytes; the log authenticates its sender.
//!
//! | step | module | body | sent by | sent when |
//! |---|---|---|---|---|
//! | announce | `announce` | encryption key for this epoch's ceremonies, proof of possession | members | before it, or at the start |
//! | dealing | `dealing`, `dealer`, `share_encryption` | `t` commitments, one encrypted share a recipient, proofs | dealers | the recipients are known |
//! | complaint | `complaint`, `equality` | the point that opens one share, proof that it does | recipients | a dealing that counts gave them no good share |
//! | ack | `ack`, `candidate` | digest of the key and all verifying shares | recipients | the own share of the candidate is right |
//!
//! # Rules
//! 1. *First wins.* One announcement and one dealing a member. A second is ignored without a word, since a restarted member repeats
//!    itself.
//! 2. *Recipients* are those who announced a key, before the ceremony or in it, when all have, or, once a quorum of n − f has, when [`Patience::announce`] is over.
//! 3. *The candidate* is made by the first dealings in log order that are enough, of dealers that were not convicted: `t` for a fresh key,
//!    the old threshold for an old one. Another conviction makes another candidate, and all acknowledge anew.
//! 4. *A complaint is its own proof.* It opens one encrypted share to everybody. Either the share is no good and the dealer is convicted, or
//!    it is good and the accuser is. So nobody answers a complaint, and an honest accuser gives away only what was of no use.
//! 5. *Completed:* all recipients acknowledged the candidate; or a quorum did, and the others had [`Patience::acknowledge`] to object. No wait
//!    ends amid the messages of a block, nor before a tenth of it has passed since the quorum was complete.
//! 6. *Convicted* is who sent what no honest member sends; what the log alone shows ([`FaultKind`]) is found alike by all. Silence and
//!    lateness are no faults. Who is convicted neither deals nor counts. A conviction after completion changes nothing any
//!    more; it is reported.
//! 7. *Lengths before maths.* Exactly `t` commitments and exactly one share a recipient, and the exact length, are checked before any point
//!    is decoded.
//! 8. *Everything is bound.* The digest of (id, members, threshold, old key) is in every proof, key derivation and, as id, in the
//!    authenticated data of every share. Announcements may be older than the ceremony and are bound to chain, contract, epoch and member. Proofs of a dealing vouch for all of it.
//! 9. *Once, not `n` times.* Commitments are summed once; a member checks its own total share against the sum and looks at single dealings
//!    only if that fails; verifying shares come from the sum by Horner's rule with 16-bit member numbers.
//! 10. *Bounds.* A recipient complains once of a dealer; a false complaint is its last word, and a true one the dealer's: at most `2n` are
//!     judged. [`Patience::attempt`] ends every attempt.
//!
//! # Why it is safe
//! *Same key everywhere:* candidate, convictions and completion are functions of the log and the times of its blocks. *Right share:* a member acknowledges
//! only after its total share matched the summed commitments. *Secrecy:* fewer than `t` members know at most `t − 1` points of
//! each honest dealer's polynomial, and commitments hide the rest under the discrete logarithm; of `t` dealers at least
//! f + 1 are honest. *No rogue dealer:* each constant and each encryption and ephemeral key is proven known, bound to the
//! dealer's number. *The same old key:* each constant must be the dealer's verifying share, and Lagrange's coefficients at zero
//! give the old key back. *No mixing of ceremonies:* rule 8.
//!
//! # What is assumed of synchrony
//! A member that is there gets its complaint into the log within [`Patience::acknowledge`]. One that is silent for longer counts as
//! faulty for this key: if a dealer cheated it, it has no share, and finds that out from the log alone; its complaint still
//! convicts. One that is late and was not cheated computes its share from the log at any time.
//!
//! # Restart
//! All randomness derives from the [`CeremonySeed`]. A restarted member makes the ceremony again from the stored seed, calls
//! [`Ceremony::start`] and feeds the whole log: same state, same bytes. Until completion the seed and the log together *are*
//! the stored share. If the log holds a message of its own that the seed did not make, it stops with
//! [`Failure::ForeignSeed`].
//!
//! # Caveats
//! As in any Feldman-based generation, the last dealer can bias bits of the public key (Gennaro et al. 2007); for Schnorr signatures that
//! does not help a forger.
//!
//! # Example
//! ```
//! use std::collections::{BTreeMap, BTreeSet, VecDeque};
//! use mpc::{MemberId, ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Patience, Setup}};
//!
//! let setup = Setup {
//!     id: CeremonyId { l1_chain_id: 1, contract: [7; 20], epoch: 0, kind: CeremonyKind::Fresh, attempt: 0 },
//!     members: (1..=4).filter_map(MemberId::new).collect(),
//!     threshold: 3,
//!     old: None,
//!     announced: BTreeMap::new(),
//!     patience: Patience { announce: 60_000, acknowledge: 60_000, attempt: 600_000 },
//! };
//! let mut nodes: Vec<_> = setup
//!     .members
//!     .iter()
//!     .map(|me| (*me, Ceremony::new(&setup, *me, CeremonySeed::new([me.number() as u8; 32]), None).unwrap()))
//!     .collect();
//!
//! // The log, as a queue; in a node, consensus orders it.
//! let mut log = VecDeque::new();
//! let mut keys = BTreeSet::new();
//! for (me, node) in &mut nodes {
//!     log.extend(node.start().into_iter().map(|event| (*me, event)));
//! }
//! let mut time = 1;
//! while let Some((sender, event)) = log.pop_front() {
//!     match event {
//!         Event::Publish(payload) => {
//!             time += 1;
//!             for (me, node) in &mut nodes {
//!                 log.extend(node.on_logged(time, sender, &payload).into_iter().map(|event| (*me, event)));
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
mod candidate;
mod complaint;
mod context;
mod dealer;
mod dealing;
mod equality;
mod fault;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod id;
mod machine;
mod participant;
mod payload;
mod polynomial;
mod proof;
mod seed;
mod setup;
mod share_encryption;

#[cfg(test)]
mod tests;

pub use announce::{ANNOUNCEMENT_LEN, announcement};
pub use fault::{Failure, Fault, FaultKind, SetupError};
pub use id::{CeremonyId, CeremonyKind};
pub use machine::{Ceremony, Event, Status};
pub use payload::{MAX_PAYLOAD, ceremony_of};
pub use proof::Purpose;
pub use seed::CeremonySeed;
pub use setup::{Patience, Setup};
