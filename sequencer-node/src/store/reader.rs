//! Answers from the store. Every call reads the disk: call it off the async runtime's threads.

use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use batcher_format::{BatchHeader, SealedBatch};
use ordering_types::block::InclusionProof;
use ordering_types::transaction::tx_id;
use ordering_types::{
    Block, Chunk, CommitCertificate, Digest, Epoch, GroupSignature, Header, Height, RollupId, Succession,
    TxId,
};
use redb::ReadableDatabase;
use rollup::wire::{Confirmation, MAX_ABOVE};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::archive::Archive;
use super::ids::{Ids, Spot};
use super::index::{self, Index};
use super::posted::FinalBatch;
use super::record::{self, Head};
use super::retired::Shelf;
use super::segments::{Checked, Kind, Location, Segments};
use crate::core_api::{Checkpoint, Covered, Decided, EpochBook, Founding, Served, anchor};

/// What a height costs in an answer beside its cut and its signatures.
const ITEM_BYTES: usize = 1_024;
/// A batch moves from the journal to the archive once, and leaves that once: who looked it up just before looks again.
const MAX_LOOKUPS: usize = 3;

/// Reads what is synced and indexed; the newest blocks follow within milliseconds.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(super) index: Index,
    pub(super) ids: Ids,
    pub(super) segments: Segments,
    pub(super) archive: Archive,
    pub(super) founding: Arc<OnceLock<Founding>>,
    pub(super) final_batch: FinalBatch,
}

/// One ordered transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its rollup.
    pub(crate) rollup: RollupId,
    /// Its id.
    pub(crate) id: TxId,
    /// The block's header.
    pub(crate) header: Header,
    /// A quorum's precommits for it.
    pub(crate) certificate: CommitCertificate,
    /// Where it stands.
    pub(crate) proof: InclusionProof,
    /// The block's soft confirmation, if there is one yet.
    pub(crate) confirmation: Option<Confirmation>,
}

impl Reader {
    pub(super) fn query<T>(
        &self,
        run: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let inner = || run(&self.index.database.begin_read()?);
        inner().map_err(StoreError::database(&self.index.path))
    }

    /// Lowest and highest height held.
    pub(crate) fn range(&self) -> Result<Option<(Height, Height)>, StoreError> {
        self.query(|t| {
            use redb::ReadableTable;
            let blocks = t.open_table(index::BLOCKS)?;
            let (first, last) = (blocks.first()?, blocks.last()?);
            Ok(first.zip(last).map(|(f, l)| (Height::new(f.0.value()), Height::new(l.0.value()))))
        })
    }

    /// The record at a place that the index names.
    pub(super) fn record<T: DeserializeOwned>(&self, at: Location, kind: Kind) -> Result<T, StoreError> {
        match self.segments.read(at)? {
            Checked::Other(found, payload) if found == kind => {
                record::decode(&payload).map_err(|e| self.unreadable(at, &e.to_string()))
            }
            _ => Err(self.unreadable(at, "a record of another kind")),
        }
    }

    pub(super) fn unreadable(&self, at: Location, why: &str) -> StoreError {
        self.segments.damaged(at.segment, at.offset, why)
    }

    fn place(&self, height: Height) -> Result<Option<Location>, StoreError> {
        let place = self.query(|t| Ok(t.open_table(index::BLOCKS)?.get(height.get())?.map(|v| v.value())))?;
        Ok(place.and_then(|p| Location::from_bytes(&p)))
    }

    pub(super) fn head(&self, height: Height) -> Result<Option<Head>, StoreError> {
        self.place(height)?.map(|at| self.record(at, Kind::Block)).transpose()
    }

    /// Header and certificate of one block.
    pub(crate) fn header(&self, height: Height) -> Result<Option<(Header, CommitCertificate)>, StoreError> {
        Ok(self.head(height)?.map(|head| (head.header, head.certificate)))
    }

    /// One block.
    pub(crate) fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        Ok(self.decided(height)?.map(|decided| decided.block))
    }

    /// One block with all that was stored beside it.
    pub(crate) fn decided(&self, height: Height) -> Result<Option<Decided>, StoreError> {
        let Some(at) = self.place(height)? else { return Ok(None) };
        let head: Head = self.record(at, Kind::Block)?;
        let mut chunks = Vec::with_capacity(head.covered.len());
        for (digest, _) in &head.covered {
            match self.chunk(*digest)? {
                Some(chunk) => chunks.push(chunk),
                // The block was forgotten meanwhile.
                None if self.place(height)?.is_none() => return Ok(None),
                None => return Err(self.unreadable(at, &format!("chunk {digest} of this block is missing"))),
            }
        }
        let sections = head.sections(&chunks);
        let sections =
            sections.ok_or_else(|| self.unreadable(at, "the chunks do not give the block's transactions"))?;
        head.into_decided(sections).map(Some).map_err(|e| self.unreadable(at, &e.to_string()))
    }

    /// Heights from `first` to `last`, as far as there are any, until they have about `max_bytes`; with the chunks that they cover, if
    /// these are wanted.
    pub(crate) fn served(
        &self,
        (first, last): (Height, Height),
        with_chunks: bool,
        max_bytes: usize,
    ) -> Result<Vec<Served>, StoreError> {
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        let mut height = first;
        while height <= last && bytes <= max_bytes {
            let Some(Head { header, certificate, cut, covered, .. }) = self.head(height)? else { break };
            bytes += ITEM_BYTES + cut.len() + certificate.signatures.len() * 80;
            let covered: Vec<Covered> =
                covered.into_iter().map(|(digest, left_out)| Covered { digest, left_out }).collect();
            let mut chunks = Vec::new();
            for Covered { digest, .. } in covered.iter().filter(|_| with_chunks) {
                if bytes > max_bytes {
                    break;
                }
                // One that is missing was forgotten meanwhile: the peer asks another.
                let Some(chunk) = self.chunk(*digest)? else { break };
                bytes += chunk.bytes().len();
                chunks.push(chunk);
            }
            blocks.push(Served { header, certificate, cut, covered, chunks });
            height = height.next();
        }
        Ok(blocks)
    }

    /// The newest checkpoint that is no higher than `at_most`: where a signed batch ends; with the handovers that lead there from an epoch that the
    /// asker knows. None if not all of them are held.
    pub(crate) fn checkpoint(&self, at_most: Height, known: Epoch) -> Result<Option<Checkpoint>, StoreError> {
        let Some(founding) = self.founding().cloned() else { return Ok(None) };
        let number = self.query(|t| {
            use redb::ReadableTable;
            for row in t.open_table(index::SEALED)?.iter()?.rev() {
                let (number, value) = row?;
                if value.value().1 <= at_most.get() {
                    return Ok(Some(number.value()));
                }
            }
            Ok(None)
        })?;
        let Some(number) = number else { return Ok(None) };
        let Some(batch) = self.sealed(number)? else { return Ok(None) };
        let Some(head) = self.head(batch.header.last_height)? else { return Ok(None) };
        let needed = known.next().get()..=head.header.epoch.get();
        let handovers =
            needed.map(|epoch| self.succession(Epoch::new(epoch))).collect::<Result<Vec<_>, _>>()?;
        let Some(handovers) = handovers.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let proven = (head.header, head.certificate);
        Ok(Some(anchor::checkpoint(proven, head.snapshot, founding, handovers, &batch)))
    }

    /// The committee's signature over one block. Not every block has one: see [`Self::confirmation`].
    pub(crate) fn certified(&self, height: Height) -> Result<Option<GroupSignature>, StoreError> {
        self.query(|t| {
            let stored = t.open_table(index::CERTIFIED)?.get(height.get())?;
            Ok(stored.and_then(|v| v.value().try_into().ok()).map(GroupSignature::new))
        })
    }

    /// The newest block with a signature.
    pub(crate) fn newest_certified(&self) -> Result<Option<Height>, StoreError> {
        self.query(|t| {
            use redb::ReadableTable;
            Ok(t.open_table(index::CERTIFIED)?.last()?.map(|(height, _)| Height::new(height.value())))
        })
    }

    /// The signature of the first block from this one on that has one, and the headers between.
    pub(crate) fn confirmation(&self, height: Height) -> Result<Option<Confirmation>, StoreError> {
        let end = height.get().saturating_add(MAX_ABOVE as u64);
        let signed = self.query(|t| {
            let first = t.open_table(index::CERTIFIED)?.range(height.get()..=end)?.next().transpose()?;
            Ok(first.and_then(|(at, v)| Some((at.value(), GroupSignature::new(v.value().try_into().ok()?)))))
        })?;
        let Some((signed, signature)) = signed else { return Ok(None) };
        let mut above = Vec::new();
        for number in height.get() + 1..=signed {
            let Some((header, _)) = self.header(Height::new(number))? else { return Ok(None) };
            above.push(header);
        }
        Ok(Some(Confirmation { above, signature }))
    }

    /// One sealed batch, whether or not its blocks are held.
    pub(crate) fn sealed(&self, number: u64) -> Result<Option<SealedBatch>, StoreError> {
        let mut looked = 1;
        loop {
            let read = match self.index.shelf(number)? {
                Some(Shelf::Journal(at)) => self.record(at, Kind::Sealed),
                Some(Shelf::Archive(at)) => self.archive.read(at),
                None => return Ok(None),
            };
            match read {
                Err(StoreError::Io { source, .. })
                    if source.kind() == ErrorKind::NotFound && looked < MAX_LOOKUPS =>
                {
                    looked += 1;
                }
                read => return read.map(Some),
            }
        }
    }

    /// Header of the newest batch up to which all that this node holds blocks of are sealed.
    pub(crate) fn latest_sealed(&self) -> Result<Option<BatchHeader>, StoreError> {
        // After a checkpoint batches may come in any order.
        if let (Some((first, _)), Some(batch)) = (self.range()?, self.first_sealed()?)
            && batch.first_height > first
        {
            return Ok(None);
        }
        let number = self.query(|t| {
            use redb::ReadableTable;
            let mut newest: Option<u64> = None;
            for row in t.open_table(index::SEALED)?.iter()? {
                let number = row?.0.value();
                if newest.is_some_and(|n| n + 1 != number) || (newest.is_none() && number == 0) {
                    break;
                }
                newest = Some(number);
            }
            Ok(newest)
        })?;
        match number {
            Some(number) => Ok(self.sealed(number)?.map(|batch| batch.header)),
            None => Ok(None),
        }
    }

    /// To the epochs that a state remembers, ascending.
    pub(super) fn handovers(&self, snapshot: &[u8]) -> Result<Vec<Succession>, StoreError> {
        let book = EpochBook::of_snapshot(snapshot);
        let found = book.iter().flat_map(EpochBook::starts).map(|start| self.succession(start.epoch));
        found.filter_map(Result::transpose).collect()
    }

    /// The signed handover with which an epoch begins, and its members.
    pub(crate) fn succession(&self, epoch: Epoch) -> Result<Option<Succession>, StoreError> {
        self.query(|t| {
            let stored = t.open_table(index::HANDOVERS)?.get(epoch.get())?;
            Ok(stored.and_then(|v| record::decode(v.value()).ok()))
        })
    }

    /// How many there are.
    pub(super) fn handover_count(&self) -> Result<u64, StoreError> {
        self.query(|t| Ok(redb::ReadableTableMetadata::len(&t.open_table(index::HANDOVERS)?)?))
    }

    fn first_sealed(&self) -> Result<Option<BatchHeader>, StoreError> {
        let number = self.query(|t| {
            use redb::ReadableTable;
            Ok(t.open_table(index::SEALED)?.first()?.map(|(number, _)| number.value()))
        })?;
        let Some(number) = number else { return Ok(None) };
        Ok(self.sealed(number)?.map(|batch| batch.header))
    }

    /// One chunk.
    pub(crate) fn chunk(&self, digest: Digest) -> Result<Option<Chunk>, StoreError> {
        let place =
            self.query(|t| Ok(t.open_table(index::CHUNKS)?.get(digest.to_bytes())?.map(|v| v.value())))?;
        place.and_then(|p| Location::from_bytes(&p)).map(|at| self.chunk_at(at, digest)).transpose()
    }

    pub(super) fn chunk_at(&self, at: Location, digest: Digest) -> Result<Chunk, StoreError> {
        match self.segments.read(at)? {
            Checked::Chunk(chunk) if chunk.digest() == digest => Ok(chunk),
            _ => Err(self.unreadable(at, "not the chunk that the index names")),
        }
    }

    /// The founding, once there is one.
    pub(crate) fn founding(&self) -> Option<&Founding> {
        self.founding.get()
    }

    /// An ordered transaction by id.
    pub(crate) fn find(&self, rollup: RollupId, id: TxId) -> Result<Option<Found>, StoreError> {
        match self.ids.find(rollup, id)? {
            Some(spot) => self.prove(spot.height, rollup, id),
            None => Ok(None),
        }
    }

    /// An ordered transaction of an `evm` rollup by its Ethereum hash.
    pub(crate) fn find_eth(&self, rollup: RollupId, hash: Digest) -> Result<Option<Found>, StoreError> {
        let Some(Spot { height, place }) = self.ids.find(rollup, hash)? else { return Ok(None) };
        let Some(block) = self.block(height)? else { return Ok(None) };
        let section = block.sections.iter().find(|section| section.rollup == rollup);
        let data = section.and_then(|section| section.transactions.get(place as usize));
        // The index knows half of each hash.
        match data.filter(|data| Digest::keccak256(&[data]) == hash) {
            Some(data) => self.prove(height, rollup, tx_id(data)),
            None => Ok(None),
        }
    }

    fn prove(&self, height: Height, rollup: RollupId, id: TxId) -> Result<Option<Found>, StoreError> {
        let Some(head) = self.head(height)? else { return Ok(None) };
        let Some(proof) = head.tree().prove(rollup, id) else { return Ok(None) };
        let confirmation = self.confirmation(height)?;
        let Head { header, certificate, .. } = head;
        Ok(Some(Found { rollup, id, header, certificate, proof, confirmation }))
    }
}
