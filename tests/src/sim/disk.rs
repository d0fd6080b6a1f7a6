//! The simulated disk: what was synced survives a crash; of what was not, a prefix may.

use std::collections::BTreeMap;
use std::sync::Arc;

use batcher_format::SealedBatch;
use bytes::Bytes;
use node_core::anchor::{self, Anchor};
use node_core::api::{
    Checkpoint, Founding, LoggedBlock, Record, Recovered, Served, StoreRequest, UNCERTIFIED_WINDOW,
    system_log_after,
};
use ordering::api::{Decided, MAX_SYNC_HEIGHTS, Tip};
use ordering_types::{
    ChainSpec, Chunk, Digest, Epoch, GroupSignature, Header, Height, LaneId, LaneSequence, LaneTip, RollupId,
    SharedKey, Succession, TxId,
};
use rand_chacha::ChaCha8Rng;

use super::journal::{Group, Tear};
use super::wire;

/// One node's disk.
#[derive(Default)]
pub struct Disk {
    synced: Contents,
    unsynced: Vec<Record>,
}

#[derive(Clone, Default)]
struct Contents {
    wal: Vec<(Height, Bytes)>,
    chunks: BTreeMap<Digest, Chunk>,
    chunk_order: Vec<Digest>,
    decided: BTreeMap<Height, Arc<Decided>>,
    covered: BTreeMap<LaneId, LaneSequence>,
    seeds: BTreeMap<Epoch, Vec<u8>>,
    key_material: BTreeMap<Epoch, Vec<(SharedKey, Vec<u8>)>>,
    handovers: BTreeMap<Epoch, Succession>,
    burns: BTreeMap<Vec<u8>, Vec<u8>>,
    founding: Option<Founding>,
    sealed: BTreeMap<u64, Arc<SealedBatch>>,
    certified: BTreeMap<Height, GroupSignature>,
    checkpoint: Option<Arc<Checkpoint>>,
    replaced: bool,
}

impl Disk {
    /// In the place of one that is lost.
    pub fn replacement() -> Self {
        Self { synced: Contents { replaced: true, ..Contents::default() }, unsynced: Vec::new() }
    }

    /// Writes without syncing.
    pub fn write(&mut self, record: Record) {
        self.unsynced.push(record);
    }

    /// Whether a sync has anything to do.
    pub fn is_dirty(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Makes everything written durable.
    pub fn sync(&mut self) {
        for record in self.unsynced.drain(..) {
            self.synced.apply(record);
        }
    }

    /// A crash while the unsynced records were being written: answers how many of them are gone, and what became of their bytes.
    pub fn crash(&mut self, rng: &mut ChaCha8Rng) -> (usize, Tear) {
        if self.unsynced.is_empty() {
            return (0, Tear::Whole);
        }
        let mut group = Group::of(&self.unsynced);
        let tear = group.tear(rng);
        let survivors = group.scan();
        let lost = self.unsynced.len() - survivors;
        for record in self.unsynced.drain(..).take(survivors) {
            self.synced.apply(record);
        }
        (lost, tear)
    }

    /// SHA-256 of the public data of the newest group key of each epoch whose share is stored here: what follows the 34 bytes of the share.
    pub fn groups(&self) -> BTreeMap<Epoch, Digest> {
        // After the sharing, and the share.
        let newest = |all: &Vec<(SharedKey, Vec<u8>)>| Some(Digest::sha256(&[all.last()?.1.get(38..)?]));
        let all = self.synced.key_material.iter();
        all.filter_map(|(epoch, all)| Some((*epoch, newest(all)?))).collect()
    }

    /// Whether these bytes are in a synced log entry of the height, or the height is decided and its log gone.
    pub fn has_logged(&self, height: u64, signature: &[u8; 65]) -> bool {
        let decided = self.synced.decided.keys().next_back().is_some_and(|newest| newest.get() >= height);
        let holds = |entry: &Bytes| entry.windows(65).any(|window| window == signature);
        decided || self.synced.wal.iter().rev().any(|(h, entry)| h.get() == height && holds(entry))
    }

    /// Whether every chunk of a lane up to this tip is synced, or covered by a decided block.
    pub fn has_lane(&self, tip: &LaneTip) -> bool {
        let decided = self.synced.covered.get(&tip.lane).map_or(0, |sequence| sequence.get());
        let (mut sequence, mut digest) = (tip.sequence.get(), tip.digest);
        while sequence > decided {
            let Some(chunk) = self.synced.chunks.get(&digest) else { return false };
            let Some((place, parent)) = wire::chunk_place(chunk.bytes()) else { return false };
            if place != sequence {
                return false;
            }
            (sequence, digest) = (sequence - 1, parent);
        }
        true
    }

    /// Whether this package hash and share are in a synced record of a used nonce.
    pub fn has_burnt(&self, share: &[u8; 64]) -> bool {
        self.synced.burns.values().any(|value| value.ends_with(share))
    }

    /// The height of the checkpoint that it begins after, and every header, ascending; synced or not.
    pub fn headers(&self) -> (Height, Vec<Header>) {
        let mut written = self.synced.clone();
        self.unsynced.iter().for_each(|record| written.apply(record.clone()));
        let base = written.checkpoint.map_or(Height::ZERO, |checkpoint| checkpoint.header.height);
        (base, written.decided.values().map(|d| d.block.header.clone()).collect())
    }

    /// Whether it holds the committee's key.
    pub fn is_founded(&self) -> bool {
        self.synced.founding.is_some()
    }

    /// What a starting node finds.
    pub fn recover(&self, spec: &ChainSpec) -> Recovered {
        self.synced.recover(spec)
    }

    /// A signed batch, for a peer that missed it.
    pub fn sealed(&self, number: u64) -> Option<Arc<SealedBatch>> {
        self.synced.sealed.get(&number).cloned()
    }

    /// The answer to a peer's request, encoded.
    pub fn serve(&self, request: StoreRequest) -> Option<Bytes> {
        match request {
            StoreRequest::Decided { first, last, chunks } => {
                let last = last.get().min(first.get() + MAX_SYNC_HEIGHTS - 1);
                let blocks = (first.get()..=last)
                    .map_while(|height| self.synced.decided.get(&Height::new(height)))
                    .map(|d| self.synced.served(d, chunks));
                Some(ordering::wire::sync_answer(blocks))
            }
            StoreRequest::Checkpoint { at_most, known } => {
                let checkpoint = self.synced.checkpoint_at(at_most, known)?;
                Some(ordering::wire::checkpoint_answer(&checkpoint))
            }
            StoreRequest::Chunk(digest) => self.synced.chunks.get(&digest).map(ordering::wire::chunk_answer),
        }
    }
}

impl Contents {
    fn served(&self, decided: &Decided, with_chunks: bool) -> Served {
        let digests = decided.covered.iter().filter(|_| with_chunks).map(|covered| covered.digest);
        decided.served(digests.map_while(|digest| self.chunks.get(&digest).cloned()).collect())
    }

    fn checkpoint_at(&self, at_most: Height, known: Epoch) -> Option<Checkpoint> {
        let batch = self.sealed.values().rev().find(|batch| batch.header.last_height <= at_most)?;
        let decided = self.decided.get(&batch.header.last_height)?;
        let proven = (decided.block.header.clone(), decided.certificate.clone());
        // Who does not have them all cannot lead anybody there.
        let needed = known.next().get()..=decided.block.header.epoch.get();
        let handovers = needed.map(|epoch| self.handovers.get(&Epoch::new(epoch)).cloned()).collect();
        let handovers: Option<Vec<Succession>> = handovers;
        Some(anchor::checkpoint(proven, decided.snapshot.clone(), self.founding.clone()?, handovers?, batch))
    }

    fn apply(&mut self, record: Record) {
        use ordering::api::Record as Ordered;
        match record {
            Record::Ordering(Ordered::Wal { height, entry }) => self.wal.push((height, entry)),
            Record::Ordering(Ordered::Chunk(chunk)) => {
                self.chunk_order.push(chunk.digest());
                self.chunks.insert(chunk.digest(), chunk);
            }
            Record::Ordering(Ordered::Decided(decided)) => {
                let height = decided.block.header.height;
                for tip in &decided.cut.tips {
                    self.covered.insert(tip.lane, tip.sequence);
                }
                self.wal.retain(|(h, _)| *h > height);
                self.decided.insert(height, decided);
            }
            Record::Ordering(Ordered::Checkpoint(checkpoint)) => {
                let height = checkpoint.header.height;
                self.decided.retain(|h, _| *h > height);
                self.sealed.retain(|_, batch| batch.header.last_height > height);
                self.certified.retain(|h, _| *h > height);
                self.wal.retain(|(h, _)| *h > height);
                self.covered
                    .extend(ordering::checkpoint::decided_lanes(&checkpoint.snapshot).unwrap_or_default());
                self.checkpoint = Some(checkpoint);
            }
            Record::CeremonySeed { epoch, seed } => {
                self.seeds.insert(epoch, seed.to_vec());
            }
            Record::KeyMaterial { epoch, key, material } => {
                self.key_material.entry(epoch).or_default().push((key, material.to_vec()));
            }
            Record::SettleKey { epoch, key } => {
                if let Some(all) = self.key_material.get_mut(&epoch) {
                    all.retain(|(its, _)| *its == key);
                }
            }
            Record::ForgetKeys { up_to } => {
                self.seeds.retain(|epoch, _| *epoch > up_to);
                self.key_material.retain(|epoch, _| *epoch > up_to);
            }
            Record::Handover(succession) => {
                self.handovers.insert(succession.signed.handover.next.epoch, (*succession).clone());
            }
            Record::NonceBurn { key, value } => {
                self.burns.insert(key, value);
            }
            Record::Certified { height, signature } => {
                self.certified.insert(height, signature);
            }
            Record::Sealed(batch) => {
                self.sealed.insert(batch.header.number, batch);
            }
            Record::Founded(founding) => self.founding = Some((*founding).clone()),
        }
    }

    fn recover(&self, spec: &ChainSpec) -> Recovered {
        let window = u64::from(spec.limits.duplicate_window_blocks);
        let base = self.checkpoint.as_ref();
        let anchor = base.and_then(|checkpoint| Anchor::decode(&checkpoint.context).ok());
        let base_height = base.map_or(0, |checkpoint| checkpoint.header.height.get());
        let newest = self.decided.keys().next_back().map_or(base_height, |h| h.get());
        let first_batch = anchor.as_ref().map_or(1, |anchor| anchor.batch.number + 1);
        let last_sealed = (first_batch..).map_while(|n| self.sealed.get(&n)).last().map(|b| b.header.clone());
        let last_sealed = last_sealed.or(anchor.as_ref().map(|anchor| anchor.batch.clone()));
        let founding = self.founding.clone().or(anchor.map(|anchor| anchor.founding));
        let base = base.map(|checkpoint| Tip {
            header: checkpoint.header.clone(),
            certificate: checkpoint.certificate.clone(),
            snapshot: checkpoint.snapshot.clone(),
        });
        let newest_block = self.decided.values().next_back().map(|d| Tip {
            header: d.block.header.clone(),
            certificate: d.certificate.clone(),
            snapshot: d.snapshot.clone(),
        });
        let sealed_height = last_sealed.as_ref().map_or(Height::ZERO, |h| h.last_height);
        let certified = self.certified.keys().next_back().copied().unwrap_or_default();
        let tip = newest_block.or(base);
        let after = system_log_after(founding.is_some(), tip.as_ref().map(|tip| &tip.snapshot[..]));
        Recovered {
            ordering: ordering::api::Recovered {
                tip,
                recent: self
                    .decided
                    .range(Height::new((newest + 1).saturating_sub(window))..)
                    .map(|(height, d)| (*height, ids(d)))
                    .collect(),
                wal: self.wal.clone(),
                chunks: self
                    .chunk_order
                    .iter()
                    .filter_map(|digest| self.chunks.get(digest))
                    .filter(|c| self.covered.get(&c.lane()).is_none_or(|tip| c.sequence() > *tip))
                    .cloned()
                    .collect(),
                replaced: self.replaced,
            },
            ceremony_seeds: self.seeds.iter().map(|(epoch, seed)| (*epoch, seed.clone().into())).collect(),
            key_material: self
                .key_material
                .iter()
                .map(|(epoch, all)| (*epoch, all.iter().map(|(_, one)| one.clone().into()).collect()))
                .collect(),
            handovers: self.handovers.values().cloned().collect(),
            burns: self.burns.values().cloned().collect(),
            founding: founding.clone(),
            system_log: self.system_log(after),
            last_sealed,
            unsealed: self
                .decided
                .range(sealed_height.next()..)
                .map(|(_, d)| Arc::new(d.block.clone()))
                .collect(),
            uncertified: self
                .decided
                .range(Height::new((newest + 1).saturating_sub(UNCERTIFIED_WINDOW)).max(certified.next())..)
                .map(|(height, d)| (*height, d.block.header.hash()))
                .collect(),
        }
    }

    fn system_log(&self, after: Option<Height>) -> Vec<LoggedBlock> {
        let logged = |(height, d): (&Height, &Arc<Decided>)| LoggedBlock {
            height: *height,
            time_ms: d.cut.time_ms,
            messages: d.cut.system.clone(),
        };
        after.map_or_else(Vec::new, |after| self.decided.range(after.next()..).map(logged).collect())
    }
}

fn ids(decided: &Decided) -> Vec<(RollupId, TxId)> {
    decided.block.sections.iter().flat_map(|s| s.leaves().into_iter().map(|id| (s.rollup, id))).collect()
}
