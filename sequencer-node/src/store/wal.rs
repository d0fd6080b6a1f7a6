//! `wal.redb`: what is rare and must never be lost: whose folder it is, the start counter, secrets, the founding, and
//! up to where the journal is known to be synced. Every commit is durable, and none is on the path of votes.

use std::path::{Path, PathBuf};

use ordering_types::{Digest, PublicKey};
use rand_core::{OsRng, RngCore};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use zeroize::Zeroizing;

use super::StoreError;
use super::secret::SecretBox;
use super::segments::Position;

/// Name → sealed bytes.
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
/// Name → bytes.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

const OWNER: &str = "owner";
const INCARNATION: &str = "incarnation";
const JOURNAL_END: &str = "journal_end";
const JOURNAL_START: &str = "journal_start";
const JOURNAL_KEY: &str = "journal_key";
const FOUNDING: &str = "founding";
const SEED: &str = "ceremony_seed";
const KEY_MATERIAL: &str = "key_material";

/// Cache of this small file.
const CACHE_BYTES: usize = 8 << 20;
/// Changes with the layout of the folder, so that no version takes another's for an empty one.
const LAYOUT: u32 = 2;

/// Secrets by name.
#[derive(Clone, Copy, Debug)]
pub(super) enum SecretName {
    /// The seed of a key ceremony.
    Seed,
    /// The key share and group data.
    KeyMaterial,
}

impl SecretName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Seed => SEED,
            Self::KeyMaterial => KEY_MATERIAL,
        }
    }
}

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Rare {
    /// Sealed already.
    pub(super) secrets: Vec<(SecretName, Vec<u8>)>,
    /// Encoded.
    pub(super) founding: Option<Vec<u8>>,
}

/// The open file.
pub(super) struct Wal {
    database: Database,
    path: PathBuf,
    secrets: SecretBox,
}

/// What it held.
pub(super) struct WalContents {
    /// Number of the journal's oldest segment that is not to be removed.
    pub(super) start: u64,
    /// Everything in the journal before this place was synced.
    pub(super) end: Position,
    /// Key of the journal's marks.
    pub(super) journal_key: [u8; 32],
    pub(super) seed: Option<Zeroizing<Vec<u8>>>,
    pub(super) key_material: Option<Zeroizing<Vec<u8>>>,
    /// Encoded.
    pub(super) founding: Option<Vec<u8>>,
}

impl Wal {
    /// Opens the file, or makes it if `may_create`.
    pub(super) fn open(path: &Path, may_create: bool, secrets: SecretBox) -> Result<Self, StoreError> {
        if !path.exists() && !may_create {
            return Err(StoreError::StateMissing(path.to_owned()));
        }
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(StoreError::database(path))?;
        let wal = Self { database, path: path.to_owned(), secrets };
        wal.prepare().map_err(StoreError::database(path))?;
        Ok(wal)
    }

    /// Makes all tables, and the journal's key if there is none.
    fn prepare(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            transaction.open_table(SECRETS)?;
            let mut meta = transaction.open_table(META)?;
            if meta.get(JOURNAL_KEY)?.is_none() {
                let mut key = [0; 32];
                OsRng.fill_bytes(&mut key);
                meta.insert(JOURNAL_KEY, key.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Checks that the folder belongs to this key and network, or claims it; counts this start.
    pub(super) fn claim(
        &self,
        folder: &Path,
        key: &PublicKey,
        chain_spec: Digest,
        at_least: u64,
    ) -> Result<u64, StoreError> {
        let expected = format!("key {key} in network {chain_spec}, layout {LAYOUT}");
        let (found, incarnation) =
            self.claim_inner(&expected, at_least).map_err(StoreError::database(&self.path))?;
        match found {
            Some(found) if found != expected => {
                Err(StoreError::OtherOwner { folder: folder.to_owned(), found, expected })
            }
            _ => Ok(incarnation),
        }
    }

    fn claim_inner(&self, expected: &str, at_least: u64) -> Result<(Option<String>, u64), redb::Error> {
        let transaction = self.database.begin_write()?;
        let result = {
            let mut meta = transaction.open_table(META)?;
            let found = meta.get(OWNER)?.map(|v| String::from_utf8_lossy(v.value()).into_owned());
            if found.as_ref().is_some_and(|found| found != expected) {
                return Ok((found, 0));
            }
            let last = meta.get(INCARNATION)?.and_then(|v| v.value().try_into().ok().map(u64::from_be_bytes));
            let next = last.map_or(0, |last| last.saturating_add(1)).max(at_least);
            meta.insert(OWNER, expected.as_bytes())?;
            meta.insert(INCARNATION, next.to_be_bytes().as_slice())?;
            (found, next)
        };
        transaction.commit()?;
        Ok(result)
    }

    /// Encrypts a secret for [`Rare::secrets`].
    pub(super) fn seal(&self, name: SecretName, secret: &[u8]) -> Vec<u8> {
        self.secrets.seal(name.as_str(), secret)
    }

    /// Writes all that waits, if anything does.
    pub(super) fn commit(&self, rare: &mut Rare) -> Result<(), StoreError> {
        if rare.secrets.is_empty() && rare.founding.is_none() {
            return Ok(());
        }
        self.commit_inner(&std::mem::take(rare)).map_err(StoreError::database(&self.path))
    }

    fn commit_inner(&self, rare: &Rare) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut secrets = transaction.open_table(SECRETS)?;
            for (name, sealed) in &rare.secrets {
                secrets.insert(name.as_str(), sealed.as_slice())?;
            }
            if let Some(founding) = &rare.founding {
                transaction.open_table(META)?.insert(FOUNDING, founding.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Notes up to where the journal is synced.
    pub(super) fn note_end(&self, end: Position) -> Result<(), StoreError> {
        self.note(JOURNAL_END, &end.to_bytes())
    }

    /// Notes that segments before this one are removed, before they are.
    pub(super) fn note_start(&self, segment: u64) -> Result<(), StoreError> {
        self.note(JOURNAL_START, &segment.to_be_bytes())
    }

    fn note(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let run = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.open_table(META)?.insert(name, value)?;
            transaction.commit()?;
            Ok(())
        };
        run().map_err(StoreError::database(&self.path))
    }

    /// Reads everything back.
    pub(super) fn contents(&self) -> Result<WalContents, StoreError> {
        let failed = |e: redb::Error| StoreError::database(&self.path)(e);
        let mut contents = self.read().map_err(failed)?;
        contents.seed = self.secret(SecretName::Seed)?;
        contents.key_material = self.secret(SecretName::KeyMaterial)?;
        Ok(contents)
    }

    /// All but the secrets.
    fn read(&self) -> Result<WalContents, redb::Error> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let end = meta.get(JOURNAL_END)?.and_then(|v| v.value().try_into().ok());
        let start = meta.get(JOURNAL_START)?.and_then(|v| v.value().try_into().ok());
        let key = meta.get(JOURNAL_KEY)?.and_then(|v| v.value().try_into().ok());
        Ok(WalContents {
            start: start.map_or(1, u64::from_be_bytes),
            end: end.map_or_else(Position::default, Position::from_bytes),
            journal_key: key.unwrap_or_default(),
            seed: None,
            key_material: None,
            founding: meta.get(FOUNDING)?.map(|v| v.value().to_vec()),
        })
    }

    fn secret(&self, name: SecretName) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(SECRETS)?;
            Ok(table.get(name.as_str())?.map(|v| v.value().to_vec()))
        };
        let Some(sealed) = read().map_err(StoreError::database(&self.path))? else { return Ok(None) };
        match self.secrets.open(name.as_str(), &sealed) {
            Some(secret) => Ok(Some(secret)),
            None => Err(StoreError::Secret { file: self.path.clone(), what: name.as_str() }),
        }
    }
}
