//! The key of an account on L1: the owner's, or whoever pays for a slash.

use std::path::{Path, PathBuf};

use ordering_types::SecretKey;

use crate::keys::{self, KeyFileError, PasswordError, PasswordSource};

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerKeyError {
    /// There is none.
    #[error(
        "no key file at {}: name an Ethereum keystore (geth, `cast wallet import` and others make them), mode 0600",
        .0.display()
    )]
    Missing(PathBuf),
    /// It does not open.
    #[error(transparent)]
    File(KeyFileError),
    /// Its password.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// An account's keystore and where its password is. No secret is ever on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OwnerKey {
    /// Ethereum keystore of the account that pays, mode 0600: the validator's owner where it is about one. Not the node key
    #[arg(long = "owner-key-file", visible_alias = "key-file", value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// File with its password (mode 0600); else the terminal is asked
    #[arg(long = "owner-password-file", visible_alias = "key-password-file", value_name = "FILE")]
    pub(crate) key_password_file: Option<PathBuf>,
}

impl OwnerKey {
    /// Opens it. Takes about a second: not for an async thread that others share.
    pub(crate) fn open(&self) -> Result<SecretKey, OwnerKeyError> {
        open(&self.key_file, self.key_password_file.as_deref())
    }
}

/// Opens an account's keystore.
pub(crate) fn open(file: &Path, password_file: Option<&Path>) -> Result<SecretKey, OwnerKeyError> {
    if !file.exists() {
        return Err(OwnerKeyError::Missing(file.to_owned()));
    }
    let password = PasswordSource::from_option(password_file).read_for("Password of the account's key: ")?;
    keys::open(file, &password).map_err(OwnerKeyError::File)
}
