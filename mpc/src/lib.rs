//! Distributed key generation and FROST signing: pure machines.

pub mod ceremony;
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
