//! What a chunk weighs against the limits of a block.
//!
//! A transaction of `length` bytes weighs [`Chunk::cost`]`(length)`: its bytes and eight for what names and frames them, here and
//! on L1. Weights are of what a cut *covers*, also of transactions that expansion then skips, so they depend on the chunks
//! alone and a proposer can add them up without expanding anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering_types::chain_spec::{DataPolicy, Epochs, Limits, Rollup, Validator};
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Chunk, RollupId};

use crate::planted::PlantedBug;

/// The rollups and limits of a chain, laid out for look-ups.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) domain: Domain,
    pub(crate) limits: Limits,
    pub(crate) epochs: Epochs,
    /// Whether there is a registry, so that validators watch L1.
    pub(crate) has_registry: bool,
    /// L1 blocks whose numbers this divides are reported.
    pub(crate) report_blocks: u64,
    /// The validators of the genesis file.
    pub(crate) founders: Arc<[Validator]>,
    /// A rule on who is drawn and heard that is taken out: see [`PlantedBug`]. Never but in a simulator.
    pub(crate) lacking: Option<PlantedBug>,
    rollups: BTreeMap<RollupId, Rollup>,
}

impl Rules {
    pub(crate) fn new(spec: &ChainSpec) -> Self {
        let rollups = spec.rollups.iter().map(|r| (r.id, r.clone())).collect();
        Self {
            domain: spec.domain(),
            limits: spec.limits,
            epochs: spec.epochs,
            has_registry: spec.registry.is_some(),
            report_blocks: spec.l1.report_blocks.max(1),
            founders: spec.validators.clone().into(),
            lacking: None,
            rollups,
        }
    }

    pub(crate) fn knows(&self, rollup: RollupId) -> bool {
        self.rollups.contains_key(&rollup)
    }

    pub(crate) fn is_blob(&self, rollup: RollupId) -> bool {
        self.rollups.get(&rollup).is_some_and(|r| r.data == DataPolicy::Blob)
    }

    /// Most weight of one rollup in one block; an unknown one has none.
    pub(crate) fn quota(&self, rollup: RollupId) -> u64 {
        self.rollups.get(&rollup).map_or(0, |r| u64::from(r.quota_bytes_per_block))
    }

    /// Largest transaction of a rollup that can ever be ordered, in bytes.
    pub(crate) fn largest_transaction(&self, rollup: RollupId) -> usize {
        self.rollups.get(&rollup).map_or(0, |rollup| self.limits.largest_transaction(rollup))
    }
}

/// Weight of some chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) bytes: u64,
    pub(crate) blob_bytes: u64,
    pub(crate) rollups: BTreeMap<RollupId, u64>,
}

impl Load {
    pub(crate) fn of(chunk: &Chunk, rules: &Rules) -> Self {
        let mut load = Self::default();
        for transaction in chunk.transactions() {
            load.add_transaction(transaction.rollup, transaction.data.len(), rules);
        }
        load
    }

    pub(crate) fn add_transaction(&mut self, rollup: RollupId, length: usize, rules: &Rules) {
        let cost = Chunk::cost(length) as u64;
        self.bytes += cost;
        // What no one knows is skipped at expansion and weighs only on the block as a whole.
        if rules.knows(rollup) {
            *self.rollups.entry(rollup).or_default() += cost;
        }
        if rules.is_blob(rollup) {
            self.blob_bytes += cost;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.blob_bytes += other.blob_bytes;
        for (rollup, bytes) in &other.rollups {
            *self.rollups.entry(*rollup).or_default() += bytes;
        }
    }

    /// Whether one block may cover this.
    pub(crate) fn fits(&self, rules: &Rules) -> bool {
        self.fits_part(rules, 1)
    }

    /// Whether this is within one of `parts` equal shares of all that one block may cover.
    pub(crate) fn fits_part(&self, rules: &Rules, parts: u64) -> bool {
        let within = |bytes: u64, limit: u64| bytes.saturating_mul(parts) <= limit;
        within(self.bytes, u64::from(rules.limits.block_bytes))
            && within(self.blob_bytes, u64::from(rules.limits.blob_bytes_per_block))
            && self.rollups.iter().all(|(rollup, bytes)| within(*bytes, rules.quota(*rollup)))
    }

    /// Whether one block that covers this may also cover one more transaction of a known rollup.
    pub(crate) fn fits_transaction(&self, rollup: RollupId, length: usize, rules: &Rules) -> bool {
        let cost = Chunk::cost(length) as u64;
        let of_rollup = self.rollups.get(&rollup).copied().unwrap_or_default();
        self.bytes + cost <= u64::from(rules.limits.block_bytes)
            && (!rules.is_blob(rollup)
                || self.blob_bytes + cost <= u64::from(rules.limits.blob_bytes_per_block))
            && of_rollup + cost <= rules.quota(rollup)
    }

    /// This and `other`.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ordering_types::Address;
    use ordering_types::chain_spec::RollupKind;

    use super::*;

    /// One opaque rollup, number 1, with a quota of a megabyte.
    pub(crate) fn generous_rules() -> Rules {
        Rules::new(&ChainSpec {
            network: String::new(),
            l1_chain_id: 1,
            inbox: Address::new([0; 20]),
            limits: Limits::default(),
            validators: vec![],
            rollups: vec![Rollup {
                id: RollupId::new(1),
                name: String::new(),
                kind: RollupKind::Opaque,
                chain_id: 1,
                data: DataPolicy::Committee,
                quota_bytes_per_block: 1 << 20,
            }],
            ..ChainSpec::default()
        })
    }
}
