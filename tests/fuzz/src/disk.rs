//! What an ordering core writes, and what a restart finds of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ordering::api::{Decided, MAX_SYNC_HEIGHTS, Record, Recovered, StoreRequest, Tip};
use ordering::wire;
use ordering_types::{Chunk, Digest, Height, LaneId, LaneSequence, RollupId, TxId};

/// One core's records, of which the first `synced` survive anything.
#[derive(Default)]
pub struct Disk {
    records: Vec<Record>,
    synced: usize,
}

impl Disk {
    /// Writes without syncing.
    pub fn write(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Makes everything written durable.
    pub fn sync(&mut self) {
        self.synced = self.records.len();
    }

    /// A crash: of what was not synced, the first `survivors` records are there all the same.
    pub fn crash(&mut self, survivors: usize) {
        let unsynced = self.records.len() - self.synced;
        self.records.truncate(self.synced + survivors.min(unsynced));
        self.sync();
    }

    /// Decided blocks, in order.
    pub fn decided(&self) -> impl Iterator<Item = &Arc<Decided>> {
        self.records.iter().filter_map(|record| match record {
            Record::Decided(decided) => Some(decided),
            _ => None,
        })
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.records.iter().filter_map(|record| match record {
            Record::Chunk(chunk) => Some(chunk),
            _ => None,
        })
    }

    /// What a restart finds, with a duplicate window of so many blocks.
    pub fn recovered(&self, window: u64) -> Recovered {
        let newest = self.decided().last();
        let tip_height = newest.map_or(Height::ZERO, |decided| decided.block.header.height);
        let covered: BTreeMap<LaneId, LaneSequence> =
            self.decided().flat_map(|d| d.cut.tips.iter().map(|tip| (tip.lane, tip.sequence))).collect();
        let recent = self
            .decided()
            .filter(|d| d.block.header.height.get() + window > tip_height.get())
            .map(|d| (d.block.header.height, ids(d)))
            .collect();
        let wal = self.records.iter().filter_map(|record| match record {
            Record::Wal { height, entry } if *height > tip_height => Some((*height, entry.clone())),
            _ => None,
        });
        let undecided = |c: &&Chunk| covered.get(&c.lane()).is_none_or(|to| c.sequence() > *to);
        let tip = newest.map(|d| Tip {
            header: d.block.header.clone(),
            certificate: d.certificate.clone(),
            snapshot: d.snapshot.clone(),
        });
        Recovered {
            tip,
            recent,
            wal: wal.collect(),
            chunks: self.chunks().filter(undecided).cloned().collect(),
            replaced: false,
        }
    }

    /// The answer to a peer that asks the store.
    pub fn serve(&self, request: StoreRequest) -> Option<Bytes> {
        match request {
            StoreRequest::Chunk(digest) => self.chunk(digest).map(wire::chunk_answer),
            StoreRequest::Decided { first, last, chunks } => {
                assert!(last.get() - first.get() <= MAX_SYNC_HEIGHTS, "an unbounded question to the store");
                let asked = |d: &&Arc<Decided>| (first..=last).contains(&d.block.header.height);
                let chunks_of = |d: &Decided| {
                    let covered = d.covered.iter().filter(|_| chunks);
                    covered.filter_map(|c| self.chunk(c.digest).cloned()).collect()
                };
                Some(wire::sync_answer(self.decided().filter(asked).map(|d| d.served(chunks_of(d)))))
            }
            // Nobody here is ever that far behind.
            StoreRequest::Checkpoint { .. } => None,
        }
    }

    fn chunk(&self, digest: Digest) -> Option<&Chunk> {
        self.chunks().find(|chunk| chunk.digest() == digest)
    }
}

fn ids(decided: &Decided) -> Vec<(RollupId, TxId)> {
    let sections = decided.block.sections.iter();
    sections
        .flat_map(|s| decided.tree.leaves(s.rollup).unwrap_or_default().iter().map(|id| (s.rollup, *id)))
        .collect()
}
