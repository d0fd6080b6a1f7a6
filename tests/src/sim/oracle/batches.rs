//! Sealed batches: one content a number, contiguous, ending where the blocks say, signed, and saying what the blocks say.

use std::collections::{BTreeMap, BTreeSet};

use batcher_format::{Context, Policies, SealedBatch, payload};
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, GroupKey};

use super::chain::{Block, Chain};
use super::{Violation, hashes};

/// Batches seen signed.
pub(super) struct Batches {
    chain_spec: Digest,
    policies: Policies,
    /// Id, first and last height.
    known: BTreeMap<u64, (Digest, u64, u64)>,
    /// Signed digests that were judged.
    judged: BTreeSet<Digest>,
}

impl Batches {
    pub(super) fn new(spec: &ChainSpec) -> Self {
        Self {
            chain_spec: spec.hash(),
            policies: Policies::of(spec),
            known: BTreeMap::new(),
            judged: BTreeSet::new(),
        }
    }

    /// Batches that are signed, and all before them too.
    pub(super) fn count(&self) -> u64 {
        (1..).take_while(|number| self.known.contains_key(number)).count() as u64
    }

    /// The last height that they cover.
    pub(super) fn sealed_height(&self) -> u64 {
        self.known.get(&self.count()).map_or(0, |(.., last)| *last)
    }

    /// A node saw a batch signed.
    pub(super) fn sealed(
        &mut self,
        slot: usize,
        batch: &SealedBatch,
        (domain, key): (&Domain, Option<GroupKey>),
        chain: &Chain,
    ) -> Vec<Violation> {
        let header = &batch.header;
        let (number, id) = (header.number, header.id());
        let digest = hashes::batch(domain, (header.epoch.get(), number), id, &batch.encoded);
        if !self.judged.insert(digest) {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut report = |seen: &str| {
            let seen = format!("node {slot}, batch {number}: {seen}");
            found.push(Violation { promise: "sealed batches", seen });
        };
        if key.is_some_and(|key| key.verify(digest, &batch.signature).is_err()) {
            report("its signature does not verify");
        }
        let (first, last) = (header.first_height.get(), header.last_height.get());
        if self.known.entry(number).or_insert((id, first, last)).0 != id {
            report("another content has the same number");
        }
        let before = number.checked_sub(1).and_then(|n| self.known.get(&n));
        if before.is_some_and(|(parent, _, end)| *parent != header.parent || end + 1 != first) {
            report("it does not follow the batch before");
        }
        let blocks: Vec<&Block> = (first..=last).filter_map(|height| chain.blocks.get(&height)).collect();
        let ends = |b: &&Block| b.header.seals_batch;
        let whole = blocks.len() as u64 == last + 1 - first
            && blocks.split_last().is_some_and(|(end, rest)| ends(end) && !rest.iter().any(ends));
        if blocks.iter().any(|b| b.header.epoch != header.epoch) {
            report("it holds blocks of another epoch");
        }
        if !whole || blocks.last().is_none_or(|b| b.hash != header.last_header) {
            report("it ends elsewhere than the blocks say");
        } else if blocks.last().is_some_and(|b| b.header.forced_cursor != header.forced_cursor) {
            report("it covers other entries of the queue than its blocks");
        } else if !self.says(batch, &blocks) {
            report("its payload does not say what the blocks say");
        }
        found
    }

    /// Whether the payload decodes to these blocks, as a reader on L1 would decode it.
    fn says(&self, batch: &SealedBatch, blocks: &[&Block]) -> bool {
        let parent_header = blocks.first().map_or(Digest::ZERO, |b| b.header.parent);
        let context = Context { parent_header, chain_spec: self.chain_spec, policies: &self.policies };
        let Ok(decoded) = payload::decode(&batch.encoded.payload, &batch.header, &context) else {
            return false;
        };
        decoded.blocks.len() == blocks.len()
            && decoded
                .blocks
                .iter()
                .zip(blocks)
                .all(|(d, b)| d.header.as_ref().map(hashes::header) == Some(b.hash))
    }
}
