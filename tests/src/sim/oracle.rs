//! The promises, checked from outside. Nothing here calls the cores' own predicates: what counts as equal, complete or
//! signed is decided again.

use std::collections::{BTreeMap, BTreeSet};

use node_core::api::{Decided, Founding, Record};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, GroupKey, GroupSignature, Height, Time, TxId};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

/// Everything that was seen so far.
pub struct Oracle {
    domain: Domain,
    /// The one block of each height: header hash and transactions.
    blocks: BTreeMap<Height, (Digest, Vec<TxId>)>,
    /// Newest height that each node ordered, over all its lives.
    heights: Vec<Height>,
    submitted: BTreeMap<TxId, Submitted>,
    ordered: BTreeMap<TxId, (Height, Time)>,
    key: Option<GroupKey>,
    certified: BTreeSet<Height>,
    /// The one content of each batch.
    batches: BTreeMap<u64, Digest>,
    sealed: Vec<BTreeSet<u64>>,
    burns: BTreeMap<Vec<u8>, Vec<u8>>,
    violations: Vec<Violation>,
}

struct Submitted {
    at: Time,
    node: usize,
}

impl Oracle {
    /// For a network of `nodes` nodes.
    pub fn new(domain: Domain, nodes: usize) -> Self {
        Self {
            domain,
            blocks: BTreeMap::new(),
            heights: vec![Height::ZERO; nodes],
            submitted: BTreeMap::new(),
            ordered: BTreeMap::new(),
            key: None,
            certified: BTreeSet::new(),
            batches: BTreeMap::new(),
            sealed: vec![BTreeSet::new(); nodes],
            burns: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Broken promises so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Records a broken promise.
    pub fn broken(&mut self, promise: &'static str, seen: String) {
        self.violations.push(Violation { promise, seen });
    }

    /// A node accepted a transaction.
    pub fn submitted(&mut self, now: Time, node: usize, id: TxId) {
        self.submitted.entry(id).or_insert(Submitted { at: now, node });
    }

    /// A node ordered a block.
    pub fn ordered(&mut self, now: Time, node: usize, decided: &Decided) {
        let header = &decided.block.header;
        let height = header.height;
        let transactions: Vec<TxId> = decided
            .block
            .sections
            .iter()
            .flat_map(|s| s.transactions.iter().map(|data| Digest::sha256(&[&[0], data])))
            .collect();
        match self.blocks.get(&height) {
            Some((hash, known)) => {
                if *hash != header.hash() || *known != transactions {
                    let seen = format!("node {node} ordered another block at height {height}");
                    self.broken("agreement", seen);
                }
            }
            None => self.first_sight(now, node, decided, transactions),
        }
        let newest = self.heights.get(node).copied().unwrap_or_default();
        if height > newest.next() {
            self.broken("order", format!("node {node} went from height {newest} to {height}"));
        }
        if let Some(newest) = self.heights.get_mut(node) {
            *newest = height.max(*newest);
        }
    }

    fn first_sight(&mut self, now: Time, node: usize, decided: &Decided, transactions: Vec<TxId>) {
        let header = &decided.block.header;
        let height = header.height;
        let parent =
            height.previous().and_then(|h| self.blocks.get(&h)).map_or(Digest::ZERO, |(hash, _)| *hash);
        if header.parent != parent {
            self.broken("agreement", format!("node {node}: block {height} does not continue the one before"));
        }
        if header.tx_root != tx_root(decided) {
            self.broken(
                "validity",
                format!("node {node}: tx_root of block {height} is not over its transactions"),
            );
        }
        for id in &transactions {
            if !self.submitted.contains_key(id) {
                self.broken("validity", format!("block {height} holds {id:?}, which nobody submitted"));
            }
            if let Some((first, _)) = self.ordered.insert(*id, (height, now)) {
                self.broken("exactly once", format!("{id:?} is in blocks {first} and {height}"));
            }
        }
        self.blocks.insert(height, (header.hash(), transactions));
    }

    /// A node learned the founding.
    pub fn founded(&mut self, node: usize, founding: &Founding) {
        if *self.key.get_or_insert(founding.key) != founding.key {
            self.broken("one key", format!("node {node} founded with another key"));
        }
    }

    /// A node saw a block signed.
    pub fn certified(&mut self, node: usize, height: Height, signature: &GroupSignature) {
        let Some((hash, _)) = self.blocks.get(&height) else {
            return self
                .broken("no forgery", format!("node {node}: a signature for height {height}, not ordered"));
        };
        let digest = self.domain.block(Epoch::new(0), height, *hash);
        // Before the founding is in the log a node may hold its share already: the key is then checked later.
        if self.key.is_some_and(|key| key.verify(digest, signature).is_err()) {
            self.broken("no forgery", format!("node {node}: signature of block {height} does not verify"));
        }
        self.certified.insert(height);
    }

    /// A node saw a batch signed.
    pub fn sealed(&mut self, node: usize, batch: &batcher_format::SealedBatch) {
        let number = batch.header.number;
        let id = batch.header.id();
        if *self.batches.entry(number).or_insert(id) != id {
            self.broken("agreement", format!("node {node}: batch {number} with another content"));
        }
        let known = self.blocks.get(&batch.header.last_height).map(|(hash, _)| *hash);
        if known != Some(batch.header.last_header) {
            self.broken("agreement", format!("node {node}: batch {number} ends in an unknown block"));
        }
        if let Some(sealed) = self.sealed.get_mut(node) {
            sealed.insert(number);
        }
    }

    /// A node wrote something.
    pub fn persisted(&mut self, node: usize, record: &Record) {
        if let Record::NonceBurn { key, value } = record {
            let name = [&(node as u64).to_be_bytes(), key.as_slice()].concat();
            if let Some(before) = self.burns.insert(name, value.clone())
                && before != *value
            {
                self.broken("nonces once", format!("node {node} used a nonce pair twice"));
            }
        }
    }

    /// At the end: everything that had time to happen has happened. `alive` are the nodes that run.
    pub fn judge(&mut self, alive: &[usize], lost_before: impl Fn(usize) -> Time) {
        let newest = self.blocks.keys().next_back().copied().unwrap_or_default();
        if newest.get() < 3 {
            self.broken("progress", format!("only {newest} blocks in the whole run"));
        }
        for node in alive {
            let height = self.heights.get(*node).copied().unwrap_or_default();
            if height.get() + 4 < newest.get() {
                self.broken("progress", format!("node {node} stands at {height}, others at {newest}"));
            }
        }
        // A transaction may die with the node that took it, before anybody else knew of it.
        let missing: Vec<String> = self
            .submitted
            .iter()
            .filter(|(id, s)| s.at > lost_before(s.node) && !self.ordered.contains_key(*id))
            .map(|(id, s)| format!("{id:?} at node {}", s.node))
            .collect();
        if !missing.is_empty() {
            self.broken("progress", format!("never ordered: {}", missing.join(", ")));
        }
        if self.key.is_none() {
            self.broken("founding", "no key".to_owned());
        }
        if self.certified.range(Height::new(newest.get().saturating_sub(5))..).next().is_none() {
            self.broken("soft confirmation", format!("none of the last blocks up to {newest} is signed"));
        }
        let sealed = (1..).take_while(|n| self.sealed.iter().any(|s| s.contains(n))).count();
        if sealed == 0 {
            self.broken("sealing", "no batch was signed".to_owned());
        }
    }

    /// Figures for the report: blocks, ordered transactions, signed batches.
    pub fn figures(&self) -> (u64, u64, u64) {
        (self.blocks.len() as u64, self.ordered.len() as u64, self.batches.len() as u64)
    }

    /// Whether every submitted transaction that could survive is ordered, and every node stands at the top.
    pub fn is_complete(&self, lost_before: impl Fn(usize) -> Time) -> bool {
        self.submitted.iter().all(|(id, s)| s.at <= lost_before(s.node) || self.ordered.contains_key(id))
    }
}

/// RFC 6962's tree, written a second time.
fn tx_root(decided: &Decided) -> Digest {
    let upper: Vec<Digest> = decided
        .block
        .sections
        .iter()
        .map(|s| {
            let leaves: Vec<Digest> =
                s.transactions.iter().map(|data| Digest::sha256(&[&[0], data])).collect();
            let count = leaves.len() as u32;
            Digest::sha256(&[
                &[0],
                &s.rollup.get().to_be_bytes(),
                &count.to_be_bytes(),
                tree(&leaves).as_ref(),
            ])
        })
        .collect();
    tree(&upper)
}

fn tree(leaves: &[Digest]) -> Digest {
    match leaves.len() {
        0 => Digest::sha256(&[]),
        1 => leaves.first().copied().unwrap_or_default(),
        n => {
            let split = n.next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            Digest::sha256(&[&[1], tree(left).as_ref(), tree(right).as_ref()])
        }
    }
}
