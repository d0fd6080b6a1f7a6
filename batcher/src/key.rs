//! The account that pays: an Ethereum keystore file (Web3 Secret Storage) and a file with its password.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{path}: mode is {mode:03o}, but only its owner may read it: chmod 600 it")]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Wrong password, or a damaged file.
    #[error("{path}: the password does not open this keystore")]
    Password {
        /// The keystore.
        path: PathBuf,
    },
    /// Not a keystore.
    #[error("{path}: not an Ethereum keystore: {why}")]
    Keystore {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Opens a keystore. Takes about a second with geth's parameters: not for an async thread.
pub fn load(keystore: &Path, password_file: &Path) -> Result<PrivateKeySigner, KeyError> {
    check_private(keystore)?;
    check_private(password_file)?;
    let read = |source| KeyError::Read { path: password_file.to_owned(), source };
    let password = Zeroizing::new(std::fs::read_to_string(password_file).map_err(read)?);
    let path = || keystore.to_owned();
    let secret = eth_keystore::decrypt_key(keystore, password.trim_end_matches(['\r', '\n']));
    let secret = Zeroizing::new(secret.map_err(|error| match error {
        eth_keystore::KeystoreError::MacMismatch => KeyError::Password { path: path() },
        other => KeyError::Keystore { path: path(), why: other.to_string() },
    })?);
    PrivateKeySigner::from_slice(&secret)
        .map_err(|_| KeyError::Keystore { path: path(), why: "holds no secp256k1 key".to_owned() })
}

fn check_private(path: &Path) -> Result<(), KeyError> {
    let read = |source| KeyError::Read { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::*;

    fn private(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_keystore_opens_with_its_password_only_and_only_if_private() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = rand::thread_rng();
        let secret = [5_u8; 32];
        let name = "key.json";
        eth_keystore::encrypt_key(folder.path(), &mut rng, secret, "correct", Some(name)).unwrap();
        let (keystore, password) = (folder.path().join(name), folder.path().join("password"));
        write(&password, "correct\n").unwrap();
        private(&keystore, 0o600);
        private(&password, 0o600);
        let signer = load(&keystore, &password).unwrap();
        assert_eq!(signer.to_bytes().0, secret);

        private(&password, 0o644);
        assert!(matches!(load(&keystore, &password), Err(KeyError::Permissions { mode: 0o644, .. })));
        private(&password, 0o600);
        write(&password, "wrong").unwrap();
        let error = load(&keystore, &password).unwrap_err();
        assert!(matches!(error, KeyError::Password { .. }));
        assert!(!error.to_string().contains("wrong"), "the password is never shown");
        write(&keystore, "{}").unwrap();
        assert!(matches!(load(&keystore, &password), Err(KeyError::Keystore { .. })));
        let missing = load(&folder.path().join("none"), &password);
        assert!(matches!(missing, Err(KeyError::Read { .. })));
    }
}
