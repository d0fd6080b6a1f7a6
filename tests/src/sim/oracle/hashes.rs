//! Every hash that the promises speak of, computed a second time from the documents: no code of the cores is called.

use batcher_format::EncodedBatch;
use node_core::evidence::WrongShare;
use ordering_types::preimage::Domain;
use ordering_types::{Digest, GroupKey, Handover, Header, PublicKey, RollupId, TxId};
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

pub(super) fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    Digest::new(hash.finalize().into())
}

fn keccak(parts: &[&[u8]]) -> Digest {
    let mut hash = Keccak256::new();
    parts.iter().for_each(|part| hash.update(part));
    Digest::new(hash.finalize().into())
}

/// Hash of a header.
pub(super) fn header(h: &Header) -> Digest {
    let mut bytes = b"mpc-sequencer/header/2".to_vec();
    bytes.extend(h.version.to_be_bytes());
    bytes.extend(h.chain_spec.as_bytes());
    bytes.extend(h.epoch.get().to_be_bytes());
    bytes.extend(h.height.get().to_be_bytes());
    bytes.extend(h.parent.as_bytes());
    bytes.extend(h.time_ms.to_be_bytes());
    bytes.extend(h.l1_reference.number.to_be_bytes());
    bytes.extend(h.l1_reference.hash.as_bytes());
    bytes.extend(h.forced_cursor.to_be_bytes());
    bytes.extend(h.cut.as_bytes());
    bytes.extend(h.tx_root.as_bytes());
    bytes.extend(h.tx_count.to_be_bytes());
    bytes.extend(h.state_root.as_bytes());
    bytes.push(u8::from(h.seals_batch));
    sha256(&[&bytes])
}

/// Id of a transaction.
pub(super) fn transaction(data: &[u8]) -> TxId {
    sha256(&[&[0], data])
}

/// Root over rollups, each a root over its transactions.
pub(super) fn tx_root(sections: &[(RollupId, Vec<TxId>)]) -> Digest {
    let upper: Vec<Digest> = sections
        .iter()
        .map(|(rollup, leaves)| {
            let count = leaves.len() as u32;
            sha256(&[&[0], &rollup.get().to_be_bytes(), &count.to_be_bytes(), tree(leaves).as_bytes()])
        })
        .collect();
    tree(&upper)
}

/// RFC 6962's tree.
fn tree(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            sha256(&[&[1], tree(left).as_bytes(), tree(right).as_bytes()])
        }
    }
}

/// What anybody signs.
fn signed(domain: &Domain, kind: u64, words: &[[u8; 32]]) -> Digest {
    let mut name = [0; 32];
    name[..16].copy_from_slice(b"mpc-sequencer/v1");
    let mut inbox = [0; 32];
    inbox[12..].copy_from_slice(domain.inbox.as_bytes());
    let head = [name, number(kind), number(domain.l1_chain_id), inbox];
    keccak(&[head.as_flattened(), words.as_flattened()])
}

fn number(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

/// What a validator signs to vote for a value, or for nil.
pub(super) fn vote(
    domain: &Domain,
    precommit: bool,
    (epoch, height, round): (u64, u64, u32),
    value: Option<Digest>,
) -> Digest {
    let kind = if precommit { 18 } else { 17 };
    let value = value.map_or([0; 32], Digest::to_bytes);
    signed(domain, kind, &[number(epoch), number(height), number(u64::from(round)), value])
}

/// What a validator signs beside its share of a group signature.
pub(super) fn share(domain: &Domain, wrong: &WrongShare) -> Digest {
    let epoch = number(wrong.epoch.get());
    let package = sha256(&[b"mpc-sequencer/v1/package", &wrong.epoch.get().to_be_bytes(), &wrong.package]);
    signed(domain, 25, &[epoch, sha256(&[&wrong.group]).to_bytes(), package.to_bytes(), wrong.share])
}

/// What the committee signs of a block.
pub(super) fn block(domain: &Domain, (epoch, height): (u64, u64), hash: Digest) -> Digest {
    signed(domain, 1, &[number(epoch), number(height), hash.to_bytes()])
}

/// What a new key signs to show that it can.
pub(super) fn readiness(domain: &Domain, epoch: u64, key: &GroupKey, committee: &[u8; 32]) -> Digest {
    let (x, y) = key.coordinates();
    let content = keccak(&[&x, &y, committee]);
    signed(domain, 4, &[number(epoch), number(epoch), content.to_bytes()])
}

/// What an outgoing committee signs.
pub(super) fn handover(domain: &Domain, handover: &Handover) -> Digest {
    let (x, y) = handover.next.key.coordinates();
    let epoch = handover.next.epoch.get();
    let (batch, height) = (number(handover.first_batch), number(handover.first_height.get()));
    let content = keccak(&[&x, &y, &batch, &height, handover.next.committee.as_bytes()]);
    signed(domain, 3, &[number(epoch - 1), number(epoch), content.to_bytes()])
}

/// What the committee signs of a batch: its id, and the hashes of its blobs and of its payload.
pub(super) fn batch(
    domain: &Domain,
    (epoch, batch): (u64, u64),
    id: Digest,
    encoded: &EncodedBatch,
) -> Digest {
    let mut blobs = Vec::new();
    for commitment in &encoded.commitments {
        let mut hash = sha256(&[commitment.as_ref()]).to_bytes();
        hash[0] = 1;
        blobs.extend(hash);
    }
    let fits_calldata = encoded.payload.len() <= 120_000;
    let calldata = if fits_calldata { keccak(&[&encoded.payload]) } else { Digest::ZERO };
    let carrier = keccak(&[keccak(&[&blobs]).as_bytes(), calldata.as_bytes(), &[0; 32]]);
    let content = keccak(&[id.as_bytes(), carrier.as_bytes()]);
    signed(domain, 2, &[number(epoch), number(batch), content.to_bytes()])
}

/// A committee as the contract hashes it: `abi.encode(address[])`, keys in ascending order of their numbers.
pub(super) fn committee(keys: &[&PublicKey]) -> [u8; 32] {
    let word = |n: u64| [[0; 24].as_slice(), &n.to_be_bytes()].concat();
    let mut encoded = [word(32), word(keys.len() as u64)].concat();
    for key in keys {
        encoded.extend([0; 12]);
        encoded.extend(key.address().as_bytes());
    }
    keccak(&[&encoded]).to_bytes()
}
