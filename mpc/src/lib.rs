//! Distributed key generation and FROST signing: pure machines.
//!
//! [`ceremony`] makes a key of which every member of a committee holds one share, over a log that orders everyone's messages.
//! [`signing`] makes one signature of any `t` members' shares. Both are synchronous values: bytes and time go in, bytes and
//! results come out; there is no socket, clock, disk or source of randomness here, and every message is bounded and opaque to
//! whoever carries it. What a peer sends is parsed strictly and refused by name, never by a panic.
//!
//! | file | is |
//! |---|---|
//! | `member` | member numbers, threshold |
//! | `keys` | what a ceremony leaves: group key, verifying shares, key share; verification |
//! | `wire` | points, scalars and counts on the wire |
//! | `secret_stream` | randomness derived from a secret seed |
//!
//! The suite is FROST(secp256k1, SHA-256) of RFC 9591, by the `frost-secp256k1` crate. This crate knows nothing of what is
//! signed.

pub mod ceremony;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod keys;
mod member;
mod secret_stream;
pub mod signing;
mod wire;

#[cfg(test)]
mod testing;

pub use keys::{GroupPublic, KEY_SHARE_LEN, KeyError, KeyMaterial, KeyShare, SignatureBytes, VerifyError};
pub use member::{MAX_MEMBERS, MemberId, Threshold, ThresholdError};
pub use wire::WireError;
