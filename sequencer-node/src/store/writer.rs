//! Writing records. One thread owns the [`Store`].

use std::sync::{Arc, OnceLock};

use ordering_types::codec;

use super::StoreError;
use super::index::Entry;
use super::indexer::{Indexer, Staged};
use super::lock::Lock;
use super::log::LogWriter;
use super::record;
use super::wal::{Ends, Pending, SecretName, Wal};
use crate::core_api::{Decided, Founding, OrderingRecord, Record};

/// The data folder, open for writing.
pub(crate) struct Store {
    pub(super) chunks: LogWriter,
    pub(super) blocks: LogWriter,
    pub(super) wal: Wal,
    pub(super) pending: Pending,
    pub(super) staged: Vec<Staged>,
    pub(super) indexer: Indexer,
    pub(super) founding: Arc<OnceLock<Founding>>,
    pub(super) _lock: Lock,
}

impl Store {
    /// Takes one record; it counts after [`Self::sync`].
    pub(crate) fn write(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            Record::Ordering(OrderingRecord::Wal { height, entry }) => {
                self.pending.entries.push((height, entry))
            }
            Record::Ordering(OrderingRecord::Chunk(chunk)) => {
                let at = self.chunks.append(chunk.bytes(), Some(chunk.digest()))?;
                let (lane, sequence, digest) = (chunk.lane(), chunk.sequence().get(), chunk.digest());
                self.staged.push(Staged::Other(Entry::Chunk { lane, sequence, digest, at }));
            }
            Record::Ordering(OrderingRecord::Decided(decided)) => self.write_block(decided)?,
            Record::CeremonySeed(secret) => self.write_secret(SecretName::Seed, &secret),
            Record::KeyMaterial(secret) => self.write_secret(SecretName::KeyMaterial, &secret),
            Record::NonceBurn { key, value } => self.pending.burns.push((key, value)),
            Record::Certified { height, signature } => {
                self.blocks.append(&record::encode_certified(height, &signature), None)?;
                self.staged.push(Staged::Other(Entry::Certified(height, signature)));
            }
            Record::Sealed(batch) => {
                let at = self.blocks.append(&record::encode_sealed(&batch), None)?;
                let (number, last_height) = (batch.header.number, batch.header.last_height);
                self.staged.push(Staged::Other(Entry::Sealed { number, last_height, at }));
            }
            Record::Founded(founding) => {
                self.pending.founding = Some(codec::encode(founding.as_ref()));
                // A second founding is the first one again: the core founds once.
                let _ = self.founding.set(Founding::clone(&founding));
            }
        }
        Ok(())
    }

    fn write_secret(&mut self, name: SecretName, secret: &[u8]) {
        let sealed = self.wal.seal(name, secret);
        self.pending.secrets.push((name, sealed));
    }

    fn write_block(&mut self, decided: Arc<Decided>) -> Result<(), StoreError> {
        let body = self.blocks.append(&record::encode_body(&decided.block.sections), None)?;
        let head = self.blocks.append(&record::encode_head(&record::Head::of(&decided)), None)?;
        self.pending.decided = self.pending.decided.max(Some(decided.block.header.height));
        self.staged.push(Staged::Block { decided, head, body });
        Ok(())
    }

    /// Makes everything written so far durable: segments first, then votes, which may speak of them.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        // The order also keeps a vote's log from being forgotten before its block is on disk.
        let full_chunks = self.chunks.sync()?;
        let full_blocks = self.blocks.sync()?;
        let ends = self.ends();
        if self.pending.is_urgent() {
            self.wal.commit(&mut self.pending, ends)?;
        }
        self.staged.extend(full_chunks.map(|segment| Staged::Other(Entry::FullChunks(segment))));
        self.staged.extend(full_blocks.map(|segment| Staged::Other(Entry::FullBlocks(segment))));
        if self.staged.is_empty() {
            return Ok(());
        }
        self.indexer.add(std::mem::take(&mut self.staged), ends)
    }

    fn ends(&self) -> Ends {
        Ends { chunks: self.chunks.end(), blocks: self.blocks.end() }
    }

    /// Syncs, notes how long the segments are, brings the index up to date and lets go of the folder.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        self.sync()?;
        let ends = self.ends();
        self.wal.commit(&mut self.pending, ends)?;
        self.indexer.close()
    }
}
