//! Writing records. One thread owns the [`Store`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ordering_types::{Digest, codec};

use super::StoreError;
use super::carry::Carry;
use super::index::{BlockEntry, Entry, MAX_BURNS};
use super::indexer::{Group, Indexer};
use super::journal::Journal;
use super::lock::Lock;
use super::record;
use super::segments::Kind;
use super::wal::{Rare, SecretChange, SecretName, Wal};
use crate::core_api::{Decided, Founding, OrderingRecord, Record};

/// The data folder, open for writing.
pub(crate) struct Store {
    pub(super) journal: Journal,
    pub(super) wal: Arc<Wal>,
    pub(super) rare: Rare,
    pub(super) burnt: Burnt,
    pub(super) group: Group,
    pub(super) indexer: Indexer,
    pub(super) carry: Carry,
    pub(super) founding: Arc<OnceLock<Founding>>,
    pub(super) _lock: Lock,
}

impl Store {
    /// Takes one record; it counts after [`Self::sync`].
    pub(crate) fn write(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Ordering(OrderingRecord::Wal { height, entry }) => {
                let at = self.journal.append(Kind::Wal, &record::encode_wal(height, &entry), None)?;
                self.group.entries.push(Entry::Wal { height, at });
            }
            Record::Ordering(OrderingRecord::Chunk(chunk)) => self.write_chunk(&chunk)?,
            Record::Ordering(OrderingRecord::Decided(decided)) => self.write_block(decided)?,
            Record::Ordering(OrderingRecord::Checkpoint(checkpoint)) => {
                let at = self.journal.append(Kind::Checkpoint, &record::encode(checkpoint.as_ref()), None)?;
                let (height, lanes) = (checkpoint.header.height, record::decided_lanes(&checkpoint));
                self.group.entries.push(Entry::Checkpoint { height, lanes, at });
            }
            Record::CeremonySeed { epoch, seed } => self.write_secret(SecretName::Seed(epoch), &seed),
            Record::KeyMaterial { epoch, key, material } => {
                self.write_secret(SecretName::KeyMaterial(epoch, key), &material);
            }
            Record::SettleKey { epoch, key } => self.rare.secrets.push(SecretChange::Settle(epoch, key)),
            Record::ForgetKeys { up_to } => self.rare.secrets.push(SecretChange::Forget(up_to)),
            Record::Handover(succession) => {
                self.rare.handovers.push((*succession).clone());
                self.group.entries.push(Entry::Handover((*succession).clone()));
            }
            Record::NonceBurn { key, value } => {
                let (key, value) = (Bytes::from(key), Bytes::from(value));
                if !self.burnt.add(key.clone()) {
                    return Err(StoreError::NonceReused);
                }
                let payload = record::encode(&(&key, &value));
                let at = self.journal.append(Kind::Burn, &payload, None)?;
                self.group.entries.push(Entry::Burn { key, value, at });
            }
            Record::Certified { height, signature } => {
                let at =
                    self.journal.append(Kind::Certified, &record::encode(&(height, &signature)), None)?;
                self.group.entries.push(Entry::Certified { height, signature, at });
            }
            Record::Sealed(batch) => {
                let at = self.journal.append(Kind::Sealed, &record::encode(batch.as_ref()), None)?;
                let (number, last_height) = (batch.header.number, batch.header.last_height);
                self.group.entries.push(Entry::Sealed { number, last_height, at });
            }
            Record::Founded(founding) => {
                self.rare.founding = Some(codec::encode(founding.as_ref()));
                // A second founding is the first one again: the core founds once.
                let _ = self.founding.set(Founding::clone(&founding));
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self, chunk: &ordering_types::Chunk) -> Result<(), StoreError> {
        let at = self.journal.append(Kind::Chunk, chunk.bytes(), Some(chunk.digest()))?;
        let (lane, sequence, digest) = (chunk.lane(), chunk.sequence().get(), chunk.digest());
        self.group.entries.push(Entry::Chunk { lane, sequence, digest, at });
        Ok(())
    }

    fn write_secret(&mut self, name: SecretName, secret: &[u8]) {
        let sealed = self.wal.seal(name, secret);
        self.rare.secrets.push(SecretChange::Put(name, sealed));
    }

    fn write_block(&mut self, decided: Arc<Decided>) -> Result<(), StoreError> {
        let head = self.journal.append(Kind::Block, &record::encode(&record::Head::of(&decided)), None)?;
        let covered: Vec<Digest> = decided.covered.iter().map(|covered| covered.digest).collect();
        let (height, tips) = (decided.block.header.height, record::tips(&decided.cut));
        self.group.entries.push(Entry::Block(BlockEntry { height, head, tips, covered }));
        self.group.blocks.push(decided);
        Ok(())
    }

    /// Makes everything written so far durable: one write and one sync, and a commit of `wal.redb` if there is
    /// something rare.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        for chunk in self.carry.take() {
            self.write_chunk(&chunk)?;
        }
        let end = self.journal.sync()?;
        self.wal.commit(&mut self.rare)?;
        if self.group.entries.is_empty() {
            return Ok(());
        }
        self.group.end = end;
        self.indexer.add(std::mem::take(&mut self.group))
    }

    /// Syncs, brings the index up to date, notes how long the journal is and lets go of the folder.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        self.indexer.close()
    }
}

/// Keys of the newest burns: none is used twice.
#[derive(Debug, Default)]
pub(super) struct Burnt {
    keys: BTreeSet<Bytes>,
    order: VecDeque<Bytes>,
}

impl Burnt {
    /// False: it is there already.
    pub(super) fn add(&mut self, key: Bytes) -> bool {
        if !self.keys.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > MAX_BURNS {
            self.order.pop_front().map(|old| self.keys.remove(&old));
        }
        true
    }
}
