//! Merkle trees as in RFC 6962 section 2.1, over SHA-256: leaves and inner nodes are hashed with different
//! prefixes, and the left subtree is the largest full one. Such a tree has one shape for each leaf count, so a
//! proof needs only the index, the count and the siblings.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Most siblings a proof may hold: enough for 2^32 leaves.
pub const MAX_PROOF_LENGTH: usize = 32;

const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

/// Hash of one leaf's bytes.
pub fn leaf(parts: &[&[u8]]) -> Digest {
    let mut all = Vec::with_capacity(parts.len() + 1);
    all.push(LEAF_PREFIX.as_slice());
    all.extend_from_slice(parts);
    Digest::sha256(&all)
}

fn node(left: Digest, right: Digest) -> Digest {
    Digest::sha256(&[&NODE_PREFIX, left.as_ref(), right.as_ref()])
}

/// Root over leaf hashes; SHA-256 of nothing for none (RFC 6962: `MTH({})`).
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(largest_power_below(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// The path from one leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Position of the leaf, from 0.
    pub index: u32,
    /// Number of leaves in the tree.
    pub count: u32,
    /// Sibling hashes, from the leaf's up.
    pub siblings: Vec<Digest>,
}

/// Proof for the leaf at `index`, or `None` when there is no such leaf.
pub fn prove(leaves: &[Digest], index: usize) -> Option<Proof> {
    let mut siblings = Vec::new();
    if index >= leaves.len() {
        return None;
    }
    collect_siblings(leaves, index, &mut siblings);
    Some(Proof { index: u32::try_from(index).ok()?, count: u32::try_from(leaves.len()).ok()?, siblings })
}

fn collect_siblings(leaves: &[Digest], index: usize, siblings: &mut Vec<Digest>) {
    if leaves.len() <= 1 {
        return;
    }
    let split = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(split);
    if index < split {
        collect_siblings(left, index, siblings);
        siblings.push(root(right));
    } else {
        collect_siblings(right, index - split, siblings);
        siblings.push(root(left));
    }
}

impl Proof {
    /// The root that this proof leads to from `leaf`, or `None` if its shape is impossible.
    pub fn root(&self, leaf: Digest) -> Option<Digest> {
        if self.index >= self.count || self.siblings.len() > MAX_PROOF_LENGTH {
            return None;
        }
        let mut siblings = self.siblings.iter().rev();
        let root = descend(leaf, self.index, self.count, &mut siblings)?;
        siblings.next().is_none().then_some(root)
    }

    /// Whether `leaf` stands at this proof's index in the tree with `root`.
    pub fn verify(&self, leaf: Digest, root: Digest) -> bool {
        self.root(leaf) == Some(root)
    }
}

/// Walks from the root down; depth is bounded by the 32-bit count.
fn descend<'a>(
    leaf: Digest,
    index: u32,
    count: u32,
    siblings: &mut impl Iterator<Item = &'a Digest>,
) -> Option<Digest> {
    if count == 1 {
        return Some(leaf);
    }
    let sibling = *siblings.next()?;
    let split = u32::try_from(largest_power_below(usize::try_from(count).ok()?)).ok()?;
    if index < split {
        Some(node(descend(leaf, index, split, siblings)?, sibling))
    } else {
        Some(node(sibling, descend(leaf, index - split, count - split, siblings)?))
    }
}

/// Largest power of two strictly below `count`, for `count ≥ 2`.
const fn largest_power_below(count: usize) -> usize {
    1 << (usize::BITS - 1 - (count - 1).leading_zeros())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count).map(|i| leaf(&[&i.to_be_bytes()])).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_only_at_its_place() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let proof = prove(&leaves, index).unwrap();
                assert!(proof.verify(*leaf, root));
                let other = leaves[(index + 1) % leaves.len()];
                assert_eq!(proof.verify(other, root), other == *leaf);
                let moved = Proof { index: (proof.index + 1) % count, ..proof.clone() };
                assert_eq!(moved.verify(*leaf, root), count == 1);
            }
        }
    }

    #[test]
    fn impossible_proofs_are_refused() {
        let leaves = leaves(5);
        let root = root(&leaves);
        let good = prove(&leaves, 3).unwrap();
        let mut longer = good.clone();
        longer.siblings.push(Digest::ZERO);
        let mut shorter = good.clone();
        shorter.siblings.pop();
        let outside = Proof { index: 5, ..good.clone() };
        let empty = Proof { index: 0, count: 0, siblings: vec![] };
        let endless = Proof { siblings: vec![Digest::ZERO; 1000], ..good };
        for bad in [longer, shorter, outside, empty, endless] {
            assert!(!bad.verify(leaves[3], root), "{bad:?}");
        }
        assert_eq!(prove(&leaves, 5), None);
    }

    #[test]
    fn a_leaf_cannot_pose_as_a_node() {
        let pair = leaves(2);
        assert_ne!(root(&pair), leaf(&[pair[0].as_ref(), pair[1].as_ref()]));
    }
}
