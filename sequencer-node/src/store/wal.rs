//! `wal.redb`: what is rare and must never be lost: whose folder it is, the start counter, secrets, the founding, and
//! up to where the journal is known to be synced. Every commit is durable, and none is on the path of votes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ordering_types::{Digest, Epoch, GroupKey, PublicKey, SharedKey, Succession, codec};
use rand_core::{OsRng, RngCore};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use zeroize::Zeroizing;

use super::StoreError;
use super::secret::SecretBox;
use super::segments::Position;

/// Name → sealed bytes.
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
/// Epoch → the signed handover with which it begins, and its members: some 200 bytes an epoch, and 43 a member.
const HANDOVERS: TableDefinition<u64, &[u8]> = TableDefinition::new("handovers");
/// Name → bytes.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

const OWNER: &str = "owner";
const INCARNATION: &str = "incarnation";
const JOURNAL_END: &str = "journal_end";
const JOURNAL_START: &str = "journal_start";
const JOURNAL_KEY: &str = "journal_key";
const FOUNDING: &str = "founding";
/// Of one ceremony, named with its epoch.
const SEED: &str = "ceremony_seed";
/// Of one key share, named with its epoch, key and sharing.
const KEY_MATERIAL: &str = "key_material";

/// Longest encoded handover: a hundred members.
const MAX_HANDOVER_BYTES: usize = 8 << 10;
/// Cache of this small file.
const CACHE_BYTES: usize = 8 << 20;
/// Changes with the layout of the folder, so that no version takes another's for an empty one.
const LAYOUT: u32 = 5;

/// Secrets by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretName {
    /// The seed of an epoch's key ceremonies.
    Seed(Epoch),
    /// A share of a key that was made for an epoch, and group data.
    KeyMaterial(Epoch, SharedKey),
}

impl SecretName {
    const fn epoch(self) -> Epoch {
        match self {
            Self::Seed(epoch) | Self::KeyMaterial(epoch, _) => epoch,
        }
    }

    /// As [`Display`](fmt::Display) writes it.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let (kind, epoch, key, sharing) = (parts.next()?, parts.next()?, parts.next(), parts.next());
        let epoch = Epoch::new(epoch.parse().ok()?);
        match (kind, key.zip(sharing), parts.next()) {
            (SEED, None, None) => Some(Self::Seed(epoch)),
            (KEY_MATERIAL, Some((key, sharing)), None) => {
                let key = GroupKey::from_bytes(hex::decode(key).ok()?.try_into().ok()?).ok()?;
                Some(Self::KeyMaterial(epoch, SharedKey { key, sharing: sharing.parse().ok()? }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(epoch) => write!(f, "{SEED}/{epoch}"),
            Self::KeyMaterial(epoch, SharedKey { key, sharing }) => {
                write!(f, "{KEY_MATERIAL}/{epoch}/{}/{sharing}", hex::encode(key.as_bytes()))
            }
        }
    }
}

/// What is done to the secrets, in order.
pub(super) enum SecretChange {
    /// Sealed already.
    Put(SecretName, Vec<u8>),
    /// Of this epoch's shares only the one of this key stays.
    Settle(Epoch, SharedKey),
    /// Of this epoch and those before nothing stays.
    Forget(Epoch),
}

impl SecretChange {
    /// Whether it erases what is stored under a name.
    fn erases(&self, name: SecretName) -> bool {
        match (self, name) {
            (Self::Put(..), _) | (Self::Settle(..), SecretName::Seed(_)) => false,
            (Self::Settle(epoch, key), SecretName::KeyMaterial(of, other)) => of == *epoch && other != *key,
            (Self::Forget(up_to), name) => name.epoch() <= *up_to,
        }
    }
}

/// Decrypted.
type Secret = Zeroizing<Vec<u8>>;

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Rare {
    /// In order.
    pub(super) secrets: Vec<SecretChange>,
    /// Encoded.
    pub(super) founding: Option<Vec<u8>>,
    pub(super) handovers: Vec<Succession>,
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
    pub(super) seeds: BTreeMap<Epoch, Secret>,
    pub(super) key_material: BTreeMap<Epoch, Vec<Secret>>,
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
            transaction.open_table(HANDOVERS)?;
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
        self.secrets.seal(&name.to_string(), secret)
    }

    /// Writes all that waits, if anything does.
    pub(super) fn commit(&self, rare: &mut Rare) -> Result<(), StoreError> {
        if rare.secrets.is_empty() && rare.founding.is_none() && rare.handovers.is_empty() {
            return Ok(());
        }
        self.commit_inner(&std::mem::take(rare)).map_err(StoreError::database(&self.path))
    }

    fn commit_inner(&self, rare: &Rare) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut secrets = transaction.open_table(SECRETS)?;
            for change in &rare.secrets {
                if let SecretChange::Put(name, sealed) = change {
                    secrets.insert(name.to_string().as_str(), sealed.as_slice())?;
                    continue;
                }
                secrets.retain(|name, _| SecretName::parse(name).is_none_or(|name| !change.erases(name)))?;
            }
            let mut handovers = transaction.open_table(HANDOVERS)?;
            for succession in &rare.handovers {
                let epoch = succession.signed.handover.next.epoch.get();
                handovers.insert(epoch, codec::encode(succession).as_slice())?;
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
        for (name, secret) in self.secrets()? {
            match name {
                SecretName::Seed(epoch) => drop(contents.seeds.insert(epoch, secret)),
                SecretName::KeyMaterial(epoch, _) => {
                    contents.key_material.entry(epoch).or_default().push(secret)
                }
            }
        }
        Ok(contents)
    }

    /// All signed handovers with their members, ascending.
    pub(super) fn handovers(&self) -> Result<Vec<Succession>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = self.database.begin_read()?.open_table(HANDOVERS)?;
            let mut all = Vec::new();
            for row in table.iter()? {
                all.push(row?.1.value().to_vec());
            }
            Ok(all)
        };
        let damaged = |e: codec::DecodeError| StoreError::Damaged {
            file: self.path.clone(),
            offset: 0,
            why: format!("handover: {e}"),
        };
        let stored = read().map_err(StoreError::database(&self.path))?;
        stored.iter().map(|bytes| codec::decode(bytes, MAX_HANDOVER_BYTES).map_err(damaged)).collect()
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
            seeds: BTreeMap::new(),
            key_material: BTreeMap::new(),
            founding: meta.get(FOUNDING)?.map(|v| v.value().to_vec()),
        })
    }

    fn secrets(&self) -> Result<Vec<(SecretName, Secret)>, StoreError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(SECRETS)?;
            let mut all = Vec::new();
            for row in table.iter()? {
                let (name, sealed) = row?;
                all.push((name.value().to_owned(), sealed.value().to_vec()));
            }
            Ok(all)
        };
        let open = |(text, sealed): (String, Vec<u8>)| {
            let name = SecretName::parse(&text);
            let secret = self.secrets.open(&text, &sealed);
            name.zip(secret).ok_or_else(|| StoreError::Secret { file: self.path.clone(), what: text })
        };
        read().map_err(StoreError::database(&self.path))?.into_iter().map(open).collect()
    }
}
