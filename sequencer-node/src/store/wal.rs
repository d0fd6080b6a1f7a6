//! `wal.redb`: what must never be lost, forgotten or repeated. Every commit is durable.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ordering_types::{Digest, Height, PublicKey};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use zeroize::Zeroizing;

use super::StoreError;
use super::log::Position;
use super::secret::SecretBox;

/// (height, order of writing) → entry of the consensus log.
const ENTRIES: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("entries");
/// Burn's key → (order of writing, value).
const BURNS: TableDefinition<&[u8], (u64, &[u8])> = TableDefinition::new("burns");
/// Order of writing → burn's key.
const BURN_ORDER: TableDefinition<u64, &[u8]> = TableDefinition::new("burn_order");
/// Name → sealed bytes.
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
/// Name → bytes.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

const OWNER: &str = "owner";
const INCARNATION: &str = "incarnation";
const CHUNKS_END: &str = "chunks_end";
const BLOCKS_END: &str = "blocks_end";
const FOUNDING: &str = "founding";
const SEED: &str = "ceremony_seed";
const KEY_MATERIAL: &str = "key_material";

/// Cache of this small file.
const CACHE_BYTES: usize = 8 << 20;
/// Burns kept. Only the newest matter: nonces live in memory and die with their process.
const MAX_BURNS: u64 = 65_536;
/// Most old entries removed in one commit, so that no commit is long.
const MAX_REMOVALS: usize = 4_096;

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
pub(super) struct Pending {
    pub(super) entries: Vec<(Height, Bytes)>,
    pub(super) burns: Vec<(Vec<u8>, Vec<u8>)>,
    /// Sealed already.
    pub(super) secrets: Vec<(SecretName, Vec<u8>)>,
    /// Encoded.
    pub(super) founding: Option<Vec<u8>>,
    /// Entries up to here are not needed any more.
    pub(super) decided: Option<Height>,
}

impl Pending {
    /// Whether a commit is needed at all: forgetting old entries can wait for the next one.
    pub(super) fn is_urgent(&self) -> bool {
        !(self.entries.is_empty()
            && self.burns.is_empty()
            && self.secrets.is_empty()
            && self.founding.is_none())
    }
}

/// Ends of the two logs at some sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) chunks: Position,
    pub(super) blocks: Position,
}

/// The open file.
pub(super) struct Wal {
    database: Database,
    path: PathBuf,
    secrets: SecretBox,
    sequence: u64,
}

/// What it held.
pub(super) struct WalContents {
    pub(super) ends: Ends,
    pub(super) entries: Vec<(Height, Bytes)>,
    pub(super) burns: Vec<Vec<u8>>,
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
        let mut wal = Self { database, path: path.to_owned(), secrets, sequence: 0 };
        wal.sequence = wal.prepare().map_err(StoreError::database(path))?;
        Ok(wal)
    }

    /// Makes all tables and finds the highest order of writing.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let transaction = self.database.begin_write()?;
        let highest = {
            transaction.open_table(SECRETS)?;
            transaction.open_table(META)?;
            transaction.open_table(BURNS)?;
            let burn = transaction.open_table(BURN_ORDER)?.last()?.map_or(0, |(key, _)| key.value());
            let entries = transaction.open_table(ENTRIES)?;
            let mut entry = 0;
            for row in entries.iter()? {
                entry = entry.max(row?.0.value().1);
            }
            burn.max(entry)
        };
        transaction.commit()?;
        Ok(highest)
    }

    /// Checks that the folder belongs to this key and network, or claims it; counts this start.
    pub(super) fn claim(
        &self,
        folder: &Path,
        key: &PublicKey,
        chain_spec: Digest,
        at_least: u64,
    ) -> Result<u64, StoreError> {
        let expected = format!("key {key} in network {chain_spec}");
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

    /// Encrypts a secret for [`Pending::secrets`].
    pub(super) fn seal(&self, name: SecretName, secret: &[u8]) -> Vec<u8> {
        self.secrets.seal(name.as_str(), secret)
    }

    /// Writes all that is pending, durably, together with the ends of the synced logs.
    pub(super) fn commit(&mut self, pending: &mut Pending, ends: Ends) -> Result<(), StoreError> {
        let pending = std::mem::take(pending);
        let fresh = self.commit_inner(pending, ends).map_err(StoreError::database(&self.path))?;
        if fresh { Ok(()) } else { Err(StoreError::NonceReused) }
    }

    /// Gives false, and writes nothing, if a burn's key is there already.
    fn commit_inner(&mut self, pending: Pending, ends: Ends) -> Result<bool, redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            if let Some(decided) = pending.decided {
                forget(&mut entries, decided)?;
            }
            for (height, entry) in pending.entries {
                self.sequence += 1;
                entries.insert((height.get(), self.sequence), entry.as_ref())?;
            }
            let mut burns = transaction.open_table(BURNS)?;
            let mut order = transaction.open_table(BURN_ORDER)?;
            for (key, value) in pending.burns {
                self.sequence += 1;
                if burns.insert(key.as_slice(), (self.sequence, value.as_slice()))?.is_some() {
                    return Ok(false);
                }
                order.insert(self.sequence, key.as_slice())?;
            }
            while order.len()? > MAX_BURNS {
                let Some((_, key)) = order.pop_first()? else { break };
                burns.remove(key.value())?;
            }
            let mut secrets = transaction.open_table(SECRETS)?;
            for (name, sealed) in pending.secrets {
                secrets.insert(name.as_str(), sealed.as_slice())?;
            }
            let mut meta = transaction.open_table(META)?;
            if let Some(founding) = pending.founding {
                meta.insert(FOUNDING, founding.as_slice())?;
            }
            meta.insert(CHUNKS_END, ends.chunks.to_bytes().as_slice())?;
            meta.insert(BLOCKS_END, ends.blocks.to_bytes().as_slice())?;
        }
        transaction.commit()?;
        Ok(true)
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
        let end = |name| -> Result<Position, redb::Error> {
            let stored = meta.get(name)?.and_then(|v| v.value().try_into().ok());
            Ok(stored.map_or_else(Position::default, Position::from_bytes))
        };
        let ends = Ends { chunks: end(CHUNKS_END)?, blocks: end(BLOCKS_END)? };
        let mut entries = Vec::new();
        for row in transaction.open_table(ENTRIES)?.iter()? {
            let (key, value) = row?;
            let (height, sequence) = key.value();
            entries.push((sequence, Height::new(height), Bytes::copy_from_slice(value.value())));
        }
        entries.sort_by_key(|(sequence, ..)| *sequence);
        let table = transaction.open_table(BURNS)?;
        let mut burns = Vec::new();
        for row in transaction.open_table(BURN_ORDER)?.iter()? {
            if let Some(burn) = table.get(row?.1.value())? {
                burns.push(burn.value().1.to_vec());
            }
        }
        let entries = entries.into_iter().map(|(_, height, entry)| (height, entry)).collect();
        let founding = meta.get(FOUNDING)?.map(|v| v.value().to_vec());
        Ok(WalContents { ends, entries, burns, seed: None, key_material: None, founding })
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

/// Removes entries up to `decided`, a bounded number at a time.
fn forget(
    entries: &mut redb::Table<'_, (u64, u64), &'static [u8]>,
    decided: Height,
) -> Result<(), redb::Error> {
    for _ in 0..MAX_REMOVALS {
        let old = entries.first()?.is_some_and(|(key, _)| key.value().0 <= decided.get());
        if !old {
            break;
        }
        entries.pop_first()?;
    }
    Ok(())
}
