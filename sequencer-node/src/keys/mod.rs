//! The node key on disk: an encrypted keystore file (Web3 Secret Storage, version 3), mode 0600.

mod keystore;
mod password;

#[cfg(feature = "fuzzing")]
pub(crate) use keystore::parse_any;
pub(crate) use keystore::{KeyFileError, PublicKeyFile, create, open, public};
pub(crate) use password::{Password, PasswordError, PasswordSource};
