//! A persistent Merkle Patricia trie over 32-byte keys (Yellow Paper, appendix D).
//!
//! Every edit copies only the path it touches, and each branch caches its own hash, so a snapshot
//! of the whole state is one pointer, a root after a block costs what the block changed, and a
//! Merkle proof falls out of a walk.
//!
//! All keys have the same length, so a branch stores the depth (in nibbles) at which its children
//! part instead of explicit extension nodes; an extension is derived while encoding, wherever a
//! branch lies deeper than its parent expects. Insertion and removal never split or merge one.

use std::sync::{Arc, OnceLock};

use alloy::primitives::{B256, Bytes, keccak256};
use alloy::rlp::{BufMut, Encodable, Header};
use alloy_trie::EMPTY_ROOT_HASH;

/// Nibbles in a key.
const KEY_NIBBLES: usize = 64;

/// What a leaf stores: anything with an RLP form.
pub(crate) trait Leaf: Clone {
    /// The bytes that the trie commits to.
    fn encoded(&self) -> Vec<u8>;
}

/// A map from hashed keys to leaves, cheap to clone, with a Merkle root.
#[derive(Clone, Debug)]
pub(crate) struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Debug)]
enum Node<V> {
    Leaf { key: B256, value: V },
    Branch(Branch<V>),
}

#[derive(Debug)]
struct Branch<V> {
    /// Nibbles shared by every key below.
    depth: usize,
    /// Any key below: its first `depth` nibbles are the shared prefix.
    sample: B256,
    children: [Option<Arc<Node<V>>>; 16],
    /// The branch node's own reference, without any extension above it.
    reference: OnceLock<Vec<u8>>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<V: Leaf> Trie<V> {
    /// The value stored under `key`.
    pub(crate) fn lookup(&self, key: &B256) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf { key: found, value } => return (found == key).then_some(value),
                Node::Branch(branch) => node = branch.child(nibble(key, branch.depth))?,
            }
        }
    }

    /// Stores `value` under `key`, replacing what was there.
    pub(crate) fn insert(&mut self, key: B256, value: V) {
        let leaf = Arc::new(Node::Leaf { key, value });
        self.root = Some(match self.root.take() {
            None => leaf,
            Some(root) => insert(&root, key, leaf),
        });
    }

    /// Removes `key`; nothing happens if it is absent.
    pub(crate) fn remove(&mut self, key: &B256) {
        if let Some(root) = self.root.take() {
            self.root = remove(&root, key);
        }
    }

    /// The Merkle root; [`EMPTY_ROOT_HASH`] for an empty trie.
    pub(crate) fn root(&self) -> B256 {
        self.root.as_ref().map_or(EMPTY_ROOT_HASH, |node| keccak256(encode(node, 0)))
    }

    /// The RLP nodes from the root towards `key` (EIP-1186): a proof of presence or absence.
    pub(crate) fn proof(&self, key: &B256) -> Vec<Bytes> {
        let mut nodes = Vec::new();
        let mut next = self.root.as_deref();
        let mut depth = 0;
        while let Some(node) = next {
            let encoded = encode(node, depth);
            // A node shorter than a hash is embedded in its parent and is no proof element itself.
            if nodes.is_empty() || encoded.len() >= 32 {
                nodes.push(encoded.into());
            }
            next = match node {
                Node::Leaf { .. } => None,
                Node::Branch(branch) => {
                    if branch.depth > depth {
                        nodes.push(branch.encode_branch().into());
                    }
                    if shared_nibbles(&branch.sample, key) < branch.depth {
                        break;
                    }
                    depth = branch.depth + 1;
                    branch.child(nibble(key, branch.depth))
                }
            };
        }
        nodes
    }
}

impl<V> Branch<V> {
    fn child(&self, index: usize) -> Option<&Node<V>> {
        self.children.get(index)?.as_deref()
    }

    fn with_child(&self, index: usize, child: Option<Arc<Node<V>>>) -> Self {
        let mut children = self.children.clone();
        if let Some(slot) = children.get_mut(index) {
            *slot = child;
        }
        Self { depth: self.depth, sample: self.sample, children, reference: OnceLock::new() }
    }
}

impl<V: Leaf> Branch<V> {
    /// RLP of the 17-item branch node.
    fn encode_branch(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(17 * 33);
        for child in &self.children {
            match child {
                None => payload.put_u8(alloy::rlp::EMPTY_STRING_CODE),
                Some(node) => payload.extend_from_slice(&reference(node, self.depth + 1)),
            }
        }
        payload.put_u8(alloy::rlp::EMPTY_STRING_CODE);
        list(payload)
    }
}

fn insert<V: Leaf>(node: &Arc<Node<V>>, key: B256, leaf: Arc<Node<V>>) -> Arc<Node<V>> {
    let (sample, depth) = match &**node {
        Node::Leaf { key: found, .. } if *found == key => return leaf,
        Node::Leaf { key: found, .. } => (*found, KEY_NIBBLES),
        Node::Branch(branch) => (branch.sample, branch.depth),
    };
    let shared = shared_nibbles(&sample, &key);
    if shared < depth {
        let fork = Branch { depth: shared, sample, children: Default::default(), reference: OnceLock::new() };
        let fork = fork.with_child(nibble(&sample, shared), Some(node.clone()));
        return Arc::new(Node::Branch(fork.with_child(nibble(&key, shared), Some(leaf))));
    }
    let Node::Branch(branch) = &**node else {
        unreachable!("a different leaf key differs within 64 nibbles")
    };
    let index = nibble(&key, branch.depth);
    let child = match branch.children.get(index) {
        Some(Some(child)) => insert(child, key, leaf),
        _ => leaf,
    };
    Arc::new(Node::Branch(branch.with_child(index, Some(child))))
}

fn remove<V: Leaf>(node: &Arc<Node<V>>, key: &B256) -> Option<Arc<Node<V>>> {
    let branch = match &**node {
        Node::Leaf { key: found, .. } => return (found != key).then(|| node.clone()),
        Node::Branch(branch) => branch,
    };
    let index = nibble(key, branch.depth);
    let Some(Some(child)) = branch.children.get(index) else { return Some(node.clone()) };
    let edited = branch.with_child(index, remove(child, key));
    let mut left = edited.children.iter().flatten();
    match (left.next(), left.next()) {
        (None, _) => None,
        (Some(only), None) => Some(only.clone()),
        _ => Some(Arc::new(Node::Branch(edited))),
    }
}

/// RLP of `node` as seen by a parent that has consumed `from` nibbles.
fn encode<V: Leaf>(node: &Node<V>, from: usize) -> Vec<u8> {
    match node {
        Node::Leaf { key, value } => {
            let mut payload = Vec::with_capacity(80);
            hex_prefix(key, from, KEY_NIBBLES, true).as_slice().encode(&mut payload);
            value.encoded().as_slice().encode(&mut payload);
            list(payload)
        }
        Node::Branch(branch) if branch.depth == from => branch.encode_branch(),
        Node::Branch(branch) => {
            let mut payload = Vec::with_capacity(72);
            hex_prefix(&branch.sample, from, branch.depth, false).as_slice().encode(&mut payload);
            payload.extend_from_slice(branch_reference(branch));
            list(payload)
        }
    }
}

/// What a parent stores for a child: its hash, or the node itself if shorter than a hash.
fn reference<V: Leaf>(node: &Node<V>, from: usize) -> Vec<u8> {
    match node {
        Node::Branch(branch) if branch.depth == from => branch_reference(branch).to_vec(),
        _ => as_reference(encode(node, from)),
    }
}

fn branch_reference<V: Leaf>(branch: &Branch<V>) -> &[u8] {
    branch.reference.get_or_init(|| as_reference(branch.encode_branch()))
}

fn as_reference(encoded: Vec<u8>) -> Vec<u8> {
    if encoded.len() < 32 { encoded } else { alloy::rlp::encode(keccak256(encoded)) }
}

fn list(payload: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 4);
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

/// The compact ("hex-prefix") form of the key's nibbles `from..to`.
fn hex_prefix(key: &B256, from: usize, to: usize, leaf: bool) -> Vec<u8> {
    let flag = if leaf { 2u8 } else { 0 };
    let mut out = Vec::with_capacity(34);
    let mut at = from;
    if (to - from) % 2 == 1 {
        out.push(((flag | 1) << 4) | nibble(key, at) as u8);
        at += 1;
    } else {
        out.push(flag << 4);
    }
    while at < to {
        out.push(((nibble(key, at) as u8) << 4) | nibble(key, at + 1) as u8);
        at += 2;
    }
    out
}

/// The nibble at `index`, 0 for an index past the key.
fn nibble(key: &B256, index: usize) -> usize {
    let byte = key.get(index / 2).copied().unwrap_or_default();
    usize::from(if index.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
}

/// How many leading nibbles two keys share.
fn shared_nibbles(a: &B256, b: &B256) -> usize {
    let bytes = a.iter().zip(b.iter()).take_while(|(x, y)| x == y).count();
    let half = bytes < 32 && nibble(a, bytes * 2) == nibble(b, bytes * 2);
    bytes * 2 + usize::from(half)
}

#[cfg(test)]
#[path = "trie_tests.rs"]
mod tests;
