//! Reading and writing the key file. Its public half stands beside it in clear (`<file>.pub.json`), so that
//! `key show` needs no password.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eth_keystore::{EthKeystore, KdfparamsType, KeystoreError};
use ordering_types::{Address, PublicKey, SecretKey};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Password;

/// A keystore is about 500 bytes.
const MAX_KEYSTORE_BYTES: u64 = 64 * 1024;
/// scrypt takes 128 · n · r bytes of memory: 1 GiB at most for a file that someone else wrote.
const MAX_SCRYPT_MEMORY: u128 = 1 << 30;
/// Bounds the time that a hostile file can cost.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;
const DERIVED_KEY_BYTES: u8 = 32;
const IV_BYTES: usize = 16;

/// Why a key file does not open or cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// There is none.
    #[error("no key file at {}; `sequencer-node init` makes one", .0.display())]
    Missing(PathBuf),
    /// There is one already, and it is not overwritten.
    #[error("{} exists already and is never overwritten; move it away first if you mean it", .0.display())]
    Exists(PathBuf),
    /// Others may read it.
    #[error("key file {path} can be read by other users; run: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    /// Reading or writing failed.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a keystore we can open.
    #[error("key file {}: not a version 3 keystore: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The password does not open it.
    #[error("wrong password for key file {}", .0.display())]
    WrongPassword(PathBuf),
}

/// What everyone may know of a node key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicKeyFile {
    /// Compressed point: for the genesis file.
    pub(crate) public_key: PublicKey,
    /// The Ethereum address of the key: registry identity.
    pub(crate) address: Address,
    /// libp2p identity.
    pub(crate) peer_id: String,
}

pub(super) fn readable_by_others(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o077 != 0
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub.json");
    name.into()
}

/// Makes a new key from OS randomness and writes it encrypted, mode 0600.
pub(crate) fn create(path: &Path, password: &Password) -> Result<PublicKeyFile, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    // Made first, empty and private: the library then only fills it, and nothing is overwritten.
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        other => other.map_err(failed)?,
    };
    let secret = new_secret();
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str());
    eth_keystore::encrypt_key(folder, &mut OsRng, secret.secret_bytes(), password.as_bytes(), name)
        .map_err(|e| malformed(path, &e.to_string()))?;
    fs::File::open(path).and_then(|f| f.sync_all()).map_err(failed)?;
    let public = describe(&secret);
    let text = serde_json::to_string_pretty(&public).expect("plain strings always serialize");
    let mut file = fs::File::create(public_path(path)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(public)
}

fn new_secret() -> SecretKey {
    loop {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(bytes.as_mut());
        // All but about 2^-128 of 32-byte strings are keys.
        if let Ok(key) = SecretKey::from_bytes(*bytes) {
            return key;
        }
    }
}

/// The public data of a key.
pub(crate) fn describe(secret: &SecretKey) -> PublicKeyFile {
    let public_key = secret.public_key();
    let peer_id = crate::network::identity::peer_id(&public_key).to_string();
    PublicKeyFile { public_key, address: public_key.address(), peer_id }
}

/// What stands beside the key file in clear.
pub(crate) fn public(path: &Path) -> Result<PublicKeyFile, KeyFileError> {
    let path = public_path(path);
    let text = read(&path)?;
    serde_json::from_str(&text).map_err(|e| malformed(&path, &e.to_string()))
}

/// Opens a key file.
pub(crate) fn open(path: &Path, password: &Password) -> Result<SecretKey, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Missing(path.to_owned())),
        Err(e) => return Err(failed(e)),
        Ok(metadata) if readable_by_others(&metadata) => return Err(KeyFileError::Open(path.to_owned())),
        Ok(_) => {}
    }
    let text = read(path)?;
    let keystore: EthKeystore = serde_json::from_str(&text).map_err(|e| malformed(path, &e.to_string()))?;
    check_parameters(&keystore).map_err(|why| malformed(path, why))?;
    let bytes = match eth_keystore::decrypt_key(path, password.as_bytes()) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(KeystoreError::MacMismatch) => return Err(KeyFileError::WrongPassword(path.to_owned())),
        Err(e) => return Err(malformed(path, &e.to_string())),
    };
    let bytes: [u8; 32] =
        bytes.as_slice().try_into().map_err(|_| malformed(path, "the secret is not 32 bytes"))?;
    SecretKey::from_bytes(bytes).map_err(|e| malformed(path, &e.to_string()))
}

/// The library indexes into these fields without looking, and derives at whatever cost they ask for.
fn check_parameters(keystore: &EthKeystore) -> Result<(), &'static str> {
    if keystore.version != 3 {
        return Err("version is not 3");
    }
    if keystore.crypto.cipher != "aes-128-ctr" || keystore.crypto.cipherparams.iv.len() != IV_BYTES {
        return Err("cipher is not aes-128-ctr with a 16-byte iv");
    }
    match &keystore.crypto.kdfparams {
        KdfparamsType::Pbkdf2 { c, dklen, .. } => {
            if *dklen != DERIVED_KEY_BYTES || *c == 0 || *c > MAX_PBKDF2_ROUNDS {
                return Err("pbkdf2 parameters out of range");
            }
        }
        KdfparamsType::Scrypt { dklen, n, p, r, .. } => {
            let memory = 128 * u128::from(*n) * u128::from(*r);
            if *dklen != DERIVED_KEY_BYTES
                || !n.is_power_of_two()
                || *n < 2
                || memory > MAX_SCRYPT_MEMORY
                || !(1..=16).contains(p)
            {
                return Err("scrypt parameters out of range");
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
        _ => failed(e),
    })?;
    let mut text = String::new();
    file.take(MAX_KEYSTORE_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn malformed(path: &Path, why: &str) -> KeyFileError {
    KeyFileError::Malformed { path: path.to_owned(), why: why.to_owned() }
}

/// For fuzz targets: the file is read and its parameters are checked; deriving a key is left out, it is made to take long.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_any(text: &str) {
    let _ = serde_json::from_str::<PublicKeyFile>(text);
    if let Ok(keystore) = serde_json::from_str::<EthKeystore>(text) {
        let _ = check_parameters(&keystore);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn password(text: &str) -> Password {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_key_opens_with_its_password_only_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let made = create(&path, &password("right")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let opened = open(&path, &password("right")).unwrap();
        assert_eq!(describe(&opened), made);
        assert_eq!(public(&path).unwrap(), made);
        assert!(matches!(open(&path, &password("wrong")), Err(KeyFileError::WrongPassword(_))));
        assert!(matches!(create(&path, &password("right")), Err(KeyFileError::Exists(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = open(&path, &password("right")).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }

    #[test]
    fn hostile_key_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        create(&path, &password("p")).unwrap();
        let good: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let cases: [(&str, serde_json::Value); 6] = [
            ("/crypto/kdfparams/dklen", 4.into()),
            // 128 · n · r is just 2^64 then: computed in 64 bits it was nothing, and passed for little memory.
            (
                "/crypto/kdfparams",
                json!({ "dklen": 32, "n": 1_u32 << 31, "r": 1_u32 << 26, "p": 1, "salt": "00" }),
            ),
            ("/crypto/kdfparams/n", 2_147_483_648_u32.into()),
            ("/crypto/kdfparams/n", 0.into()),
            ("/crypto/cipherparams/iv", "00".into()),
            ("/version", 1.into()),
        ];
        for (pointer, value) in cases {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            fs::write(&path, bad.to_string()).unwrap();
            let error = open(&path, &password("p")).unwrap_err();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{pointer}: {error}");
        }
        for garbage in ["", "{}", "\0\0", "[1,2,3]"] {
            fs::write(&path, garbage).unwrap();
            assert!(matches!(open(&path, &password("p")), Err(KeyFileError::Malformed { .. })));
        }
        assert!(matches!(open(&folder.path().join("none"), &password("p")), Err(KeyFileError::Missing(_))));
    }
}
