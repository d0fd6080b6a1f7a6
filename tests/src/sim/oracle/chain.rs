//! The one chain: what a node says is ordered, held against what others said and what was submitted.

use std::collections::{BTreeMap, BTreeSet};

use node_core::api::Decided;
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, Header, PublicKey, RollupId, Time, TxId, ValidatorId};

use super::epochs::Committees;
use super::{Violation, hashes};
use crate::sim::genesis::ROLLUPS;

/// How far a block's time may be ahead of true time: the allowed drift and an honest clock's own error.
const MOST_AHEAD_MS: u64 = 2_000 + 800;

/// A block, as the first node to order it said.
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: Digest,
    pub(super) sections: Vec<(RollupId, Vec<TxId>)>,
}

/// A transaction that nodes took.
struct Submitted {
    rollup: RollupId,
    /// Slot and time, of every honest node that took it.
    takers: Vec<(usize, Time)>,
}

/// The chain and what was to go into it.
pub(super) struct Chain {
    domain: Domain,
    keys: BTreeMap<ValidatorId, PublicKey>,
    /// For so many blocks a transaction is not ordered again.
    window: u64,
    /// What liars put into their lanes.
    made_up: BTreeSet<(RollupId, TxId)>,
    pub(super) blocks: BTreeMap<u64, Block>,
    submitted: BTreeMap<TxId, Submitted>,
    pub(super) ordered: BTreeMap<(RollupId, TxId), u64>,
    /// Certificates found good.
    proven: BTreeSet<Digest>,
    /// Life and newest height of each slot.
    newest: BTreeMap<usize, (u64, u64)>,
    /// Newest height of each slot over all its lives.
    highest: BTreeMap<usize, u64>,
}

fn broken(promise: &'static str, seen: String) -> Violation {
    Violation { promise, seen }
}

impl Chain {
    pub(super) fn new(spec: &ChainSpec, keys: BTreeMap<ValidatorId, PublicKey>) -> Self {
        Self {
            domain: spec.domain(),
            keys,
            window: u64::from(spec.limits.duplicate_window_blocks),
            made_up: BTreeSet::new(),
            blocks: BTreeMap::new(),
            submitted: BTreeMap::new(),
            ordered: BTreeMap::new(),
            proven: BTreeSet::new(),
            newest: BTreeMap::new(),
            highest: BTreeMap::new(),
        }
    }

    pub(super) fn submitted(
        &mut self,
        now: Time,
        (slot, honest): (usize, bool),
        rollup: RollupId,
        data: &[u8],
    ) {
        let known = self
            .submitted
            .entry(hashes::transaction(data))
            .or_insert(Submitted { rollup, takers: Vec::new() });
        if honest {
            known.takers.push((slot, now));
        }
    }

    /// A liar put this into its lane.
    pub(super) fn made_up(&mut self, rollup: RollupId, data: &[u8]) {
        self.made_up.insert((rollup, hashes::transaction(data)));
    }

    /// A node says that a block is ordered.
    pub(super) fn ordered(
        &mut self,
        now: Time,
        (slot, life): (usize, u64),
        decided: &Decided,
        committees: &Committees,
    ) -> Vec<Violation> {
        let header = &decided.block.header;
        let (height, hash) = (header.height.get(), hashes::header(header));
        let mut found: Vec<Violation> = self.in_order(slot, life, height).into_iter().collect();
        found.extend(self.certificate(slot, decided, hash, committees));
        let sections: Vec<(RollupId, Vec<TxId>)> = decided
            .block
            .sections
            .iter()
            .map(|s| (s.rollup, s.transactions.iter().map(|data| hashes::transaction(data)).collect()))
            .collect();
        match self.blocks.get(&height) {
            Some(known) if known.hash == hash && known.sections == sections => {}
            Some(known) => {
                let seen = format!("node {slot} orders {hash:?} at height {height}, others {:?}", known.hash);
                found.push(broken("agreement", seen));
            }
            None => {
                found.extend(self.continues(now, slot, decided, hash, &sections));
                found.extend(self.valid(height, &sections, decided));
                self.blocks.insert(height, Block { header: header.clone(), hash, sections });
            }
        }
        found
    }

    /// A node says that it leaves out what is before this block.
    pub(super) fn jumped(&mut self, slot: usize, life: u64, header: &Header) -> Option<Violation> {
        let height = header.height.get();
        let before = self.newest.insert(slot, (life, height));
        let last = before.filter(|(same, _)| *same == life).map_or(0, |(_, last)| last);
        let highest = self.highest.entry(slot).or_default();
        *highest = height.max(*highest);
        let known = self.blocks.get(&height).map(|b| b.hash);
        let seen = format!("node {slot} jumps from height {last} to {height}");
        (height <= last || known != Some(hashes::header(header))).then(|| broken("agreement", seen))
    }

    /// Each life tells every height once, in order, from where the disk of the life before ended at the latest.
    fn in_order(&mut self, slot: usize, life: u64, height: u64) -> Option<Violation> {
        let highest = self.highest.entry(slot).or_default();
        let (last_life, last) = self.newest.insert(slot, (life, height)).unwrap_or((life, 0));
        let good = if last_life == life { height == last + 1 } else { height <= *highest + 1 };
        let seen = format!("node {slot} goes from height {last} to {height}");
        *highest = height.max(*highest);
        (!good).then(|| broken("order", seen))
    }

    fn certificate(
        &mut self,
        slot: usize,
        decided: &Decided,
        hash: Digest,
        committees: &Committees,
    ) -> Option<Violation> {
        let certificate = &decided.certificate;
        let height = decided.block.header.height;
        let unproven =
            |why: &str| Some(broken("certificate", format!("node {slot}, height {height}: {why}")));
        if certificate.header != hash || certificate.height != height {
            return unproven("it is of another block");
        }
        let mut name = hash.as_bytes().to_vec();
        name.extend(certificate.round.get().to_be_bytes());
        for (signer, signature) in &certificate.signatures {
            name.extend(signer.get().to_be_bytes());
            name.extend(signature.as_bytes());
        }
        let name = hashes::sha256(&[&name]);
        if self.proven.contains(&name) {
            return None;
        }
        let signers: BTreeSet<ValidatorId> = certificate.signatures.iter().map(|(id, _)| *id).collect();
        if !committees.is_quorum(decided.block.header.epoch.get(), &signers) {
            return unproven(&format!("{signers:?} are no quorum"));
        }
        let place = (decided.block.header.epoch.get(), height.get(), certificate.round.get());
        let digest = hashes::vote(&self.domain, true, place, Some(hash));
        for (signer, signature) in &certificate.signatures {
            if !self.keys.get(signer).is_some_and(|key| key.verify(digest, signature)) {
                return unproven(&format!("{signer}'s signature does not verify"));
            }
        }
        self.proven.insert(name);
        None
    }

    fn continues(
        &self,
        now: Time,
        slot: usize,
        decided: &Decided,
        hash: Digest,
        sections: &[(RollupId, Vec<TxId>)],
    ) -> Vec<Violation> {
        let header = &decided.block.header;
        let height = header.height.get();
        let parent = self.blocks.get(&(height - 1));
        let mut found = Vec::new();
        let mut report = |promise, seen: &str| {
            found.push(broken(promise, format!("node {slot}, block {height} {hash:?}: {seen}")));
        };
        if header.parent != parent.map_or(Digest::ZERO, |p| p.hash) {
            report("agreement", "it does not continue the block before");
        }
        if parent.is_some_and(|p| p.header.time_ms > header.time_ms) {
            report("validity", "it goes back in time");
        }
        if header.time_ms > now.as_millis() + MOST_AHEAD_MS {
            report("validity", "it is of the far future");
        }
        if header.tx_root != hashes::tx_root(sections) {
            report("validity", "its root is not over its transactions");
        }
        let count: usize = sections.iter().map(|(_, ids)| ids.len()).sum();
        if header.tx_count as usize != count {
            report("validity", "its count is not of its transactions");
        }
        if header.cut != hashes::sha256(&[&decided.cut_bytes]) {
            report("validity", "it is of another cut");
        }
        found
    }

    /// What stands in the queue of L1 may be ordered whether or not it was submitted, and ordered before.
    fn valid(
        &mut self,
        height: u64,
        sections: &[(RollupId, Vec<TxId>)],
        decided: &Decided,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        for (rollup, ids) in sections {
            if !ROLLUPS.iter().any(|(id, _)| *id == rollup.get()) {
                found.push(broken("validity", format!("block {height} is for rollup {rollup}")));
            }
            let forced = decided.forced.iter().filter(|entry| entry.rollup == *rollup).count();
            for id in ids.iter().take(forced) {
                self.ordered.insert((*rollup, *id), height);
            }
            for id in ids.iter().skip(forced) {
                let known = self.submitted.get(id).is_some_and(|s| s.rollup == *rollup);
                if !known && !self.made_up.contains(&(*rollup, *id)) {
                    let seen = format!("block {height} holds {id:?} for {rollup}, submitted by nobody");
                    found.push(broken("validity", seen));
                }
                if let Some(first) = self.ordered.insert((*rollup, *id), height)
                    && first + self.window >= height
                {
                    found.push(broken("exactly once", format!("{id:?} is in blocks {first} and {height}")));
                }
            }
        }
        found
    }

    /// Newest height that anybody ordered.
    pub(super) fn newest(&self) -> u64 {
        self.blocks.keys().next_back().copied().unwrap_or_default()
    }

    /// Newest height of a slot in its present life.
    pub(super) fn height_of(&self, slot: usize) -> u64 {
        self.newest.get(&slot).map_or(0, |(_, height)| *height)
    }

    /// Newest block with transactions.
    pub(super) fn newest_filled(&self) -> u64 {
        let filled = |b: &Block| b.header.tx_count > 0;
        self.blocks.iter().rev().find(|(_, b)| filled(b)).map_or(0, |(height, _)| *height)
    }

    /// Transactions that are not ordered though some node that took them did not die since.
    pub(super) fn missing(&self, lost_before: impl Fn(usize) -> Time) -> Vec<String> {
        self.submitted
            .iter()
            .filter(|(id, s)| !self.ordered.contains_key(&(s.rollup, **id)))
            .filter(|(_, s)| s.takers.iter().any(|(slot, at)| *at > lost_before(*slot)))
            .map(|(id, s)| {
                format!("{id:?} at {:?}", s.takers.iter().map(|(slot, _)| slot).collect::<Vec<_>>())
            })
            .collect()
    }
}
