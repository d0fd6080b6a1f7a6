//! A block: every rollup's transactions of one height, in order, under one header.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::merkle::{self, Proof};
use crate::transaction::tx_id;
use crate::{Digest, Header, RollupId, TxId};

/// One rollup's transactions in one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupSection {
    /// The rollup.
    pub rollup: RollupId,
    /// Raw transactions, in order; never empty.
    pub transactions: Vec<Bytes>,
}

impl RollupSection {
    /// Ids of its transactions: the leaves of its tree.
    pub fn leaves(&self) -> Vec<TxId> {
        self.transactions.iter().map(|data| tx_id(data)).collect()
    }
}

/// A block and its transactions. Sections are in ascending order of rollup; rollups without transactions have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Transactions, by rollup.
    pub sections: Vec<RollupSection>,
}

/// The upper tree's leaf for one rollup: its number, count and own root.
pub fn rollup_leaf(rollup: RollupId, count: u32, root: Digest) -> Digest {
    merkle::leaf(&[&rollup.get().to_be_bytes(), &count.to_be_bytes(), root.as_ref()])
}

/// `tx_root` from each rollup's `(rollup, count, root)`, in ascending order of rollup.
pub fn tx_root(rollups: impl IntoIterator<Item = (RollupId, u32, Digest)>) -> Digest {
    let leaves: Vec<Digest> =
        rollups.into_iter().map(|(rollup, count, root)| rollup_leaf(rollup, count, root)).collect();
    merkle::root(&leaves)
}

/// Proof that a rollup's whole section stands under a `tx_root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionProof {
    /// The rollup.
    pub rollup: RollupId,
    /// Number of its transactions.
    pub count: u32,
    /// Root over them.
    pub root: Digest,
    /// Path of the rollup's leaf to the `tx_root`.
    pub path: Proof,
}

impl SectionProof {
    /// Whether the section stands under `tx_root`.
    pub fn verify(&self, tx_root: Digest) -> bool {
        self.path.verify(rollup_leaf(self.rollup, self.count, self.root), tx_root)
    }
}

/// Proof that one transaction stands at one place of one rollup's section in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// Path from the rollup's root to the block's `tx_root`.
    pub section: SectionProof,
    /// Path from the transaction to the rollup's root; its index is the transaction's place in the section.
    pub transaction: Proof,
}

impl InclusionProof {
    /// Whether the transaction `id` stands where this proof says, under `tx_root`.
    pub fn verify(&self, id: TxId, tx_root: Digest) -> bool {
        self.section.verify(tx_root)
            && self.transaction.count == self.section.count
            && self.transaction.verify(id, self.section.root)
    }
}

/// The two-level tree of one block: what answers proofs. Built once when a block is expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxTree {
    sections: Vec<(RollupId, Vec<TxId>, Digest)>,
    upper: Vec<Digest>,
}

impl TxTree {
    /// From each rollup's leaves, in ascending order of rollup.
    pub fn new(sections: Vec<(RollupId, Vec<TxId>)>) -> Self {
        let sections: Vec<_> = sections
            .into_iter()
            .map(|(rollup, leaves)| {
                let root = merkle::root(&leaves);
                (rollup, leaves, root)
            })
            .collect();
        let upper = sections
            .iter()
            .map(|(rollup, leaves, root)| rollup_leaf(*rollup, length(leaves), *root))
            .collect();
        Self { sections, upper }
    }

    /// The block's `tx_root`.
    pub fn root(&self) -> Digest {
        merkle::root(&self.upper)
    }

    /// Number of transactions of all rollups.
    pub fn count(&self) -> u32 {
        self.sections.iter().map(|(_, leaves, _)| length(leaves)).sum()
    }

    /// Each rollup with its count and root, in ascending order of rollup: what [`tx_root`] is taken over.
    pub fn rollups(&self) -> impl Iterator<Item = (RollupId, u32, Digest)> + '_ {
        self.sections.iter().map(|(rollup, leaves, root)| (*rollup, length(leaves), *root))
    }

    /// Leaves of one rollup's section, if it has one.
    pub fn leaves(&self, rollup: RollupId) -> Option<&[TxId]> {
        self.sections.iter().find(|(id, ..)| *id == rollup).map(|(_, leaves, _)| leaves.as_slice())
    }

    /// Proof for a rollup's whole section.
    pub fn prove_section(&self, rollup: RollupId) -> Option<SectionProof> {
        let index = self.sections.iter().position(|(id, ..)| *id == rollup)?;
        let (_, leaves, root) = self.sections.get(index)?;
        let path = merkle::prove(&self.upper, index)?;
        Some(SectionProof { rollup, count: length(leaves), root: *root, path })
    }

    /// Proof for the first transaction with `id` in a rollup's section.
    pub fn prove(&self, rollup: RollupId, id: TxId) -> Option<InclusionProof> {
        let leaves = self.leaves(rollup)?;
        let index = leaves.iter().position(|leaf| *leaf == id)?;
        Some(InclusionProof {
            section: self.prove_section(rollup)?,
            transaction: merkle::prove(leaves, index)?,
        })
    }
}

impl Block {
    /// The tree over its transactions (hashes all of them).
    pub fn tree(&self) -> TxTree {
        TxTree::new(self.sections.iter().map(|s| (s.rollup, s.leaves())).collect())
    }
}

fn length(leaves: &[TxId]) -> u32 {
    u32::try_from(leaves.len()).expect("a block's transactions are bounded far below 2^32")
}
