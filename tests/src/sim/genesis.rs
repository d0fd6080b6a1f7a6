//! The network that a plan runs: its genesis file and its validators' keys.

use std::sync::Arc;

use node_core::api::L1Sight;
use ordering_types::chain_spec::{
    Ceremony, DataPolicy, Epochs, KeyPolicy, L1View, Limits, Rollup, RollupKind, Validator,
};
use ordering_types::registry::peer_id;
use ordering_types::{
    Address, ChainSpec, Digest, Epoch, L1Reference, QueueMark, Registered, Registry, RollupId, SecretKey,
    ValidatorId,
};

use super::l1::L1_BLOCK;
use super::plan::Plan;

/// Rollups of every simulated network: one whose data goes to L1, one whose data stays with the committee.
pub const ROLLUPS: [(u32, DataPolicy); 2] = [(1, DataPolicy::Blob), (2, DataPolicy::Committee)];

/// Epochs of a few seconds, and ceremonies that fit into them.
const SHORT: Epochs =
    Epochs { blocks: 4, interval_ms: 2_500, ceremony_ms: 2_000, max_committee: 100, key: KeyPolicy::Fresh };
/// Where validators join, those that follow must have the time to say that they are ready, over links of 120 ms.
const GATHERING: Epochs = Epochs { interval_ms: 4_000, ceremony_ms: 3_600, ..SHORT };
const QUICK: Ceremony = Ceremony { announce_ms: 700, acknowledge_ms: 700, attempt_ms: 3_000 };

/// Every second finalized L1 block is reported.
const REPORT_BLOCKS: u64 = 2;

/// The genesis file of a plan, and the key of each validator, also of those that join later, in the order of their numbers.
pub fn genesis(plan: &Plan) -> (ChainSpec, Vec<SecretKey>) {
    let keys: Vec<SecretKey> = (0..plan.validators()).map(|index| key(plan, index)).collect();
    let founder = |(index, key): (usize, &SecretKey)| Validator {
        id: id(index),
        key: key.public_key(),
        address: format!("/ip4/127.0.0.1/udp/{}/quic-v1", 9100 + index),
    };
    let validators = keys.iter().enumerate().take(plan.nodes).map(founder).collect();
    let rollups = ROLLUPS
        .into_iter()
        .map(|(id, data)| Rollup {
            id: RollupId::new(id),
            name: format!("rollup {id}"),
            kind: RollupKind::Opaque,
            chain_id: u64::from(id),
            data,
            quota_bytes_per_block: 128 << 10,
        })
        .collect();
    let spec = ChainSpec {
        network: format!("simulation {}", plan.seed),
        l1_chain_id: 1337,
        inbox: Address::new([0xaa; 20]),
        limits: limits(plan),
        ceremony: if plan.rotates { QUICK } else { Ceremony::default() },
        epochs: epochs(plan),
        registry: (!plan.registry.is_empty()).then_some(Address::new([0xbb; 20])),
        l1: L1View { report_blocks: REPORT_BLOCKS },
        validators,
        rollups,
    };
    (spec, keys)
}

/// Number of the validator with this index.
pub fn id(index: usize) -> ValidatorId {
    ValidatorId::new(index as u16 + 1)
}

/// The list of validators that is active by this block, where there is a registry.
fn registry(plan: &Plan, keys: &[SecretKey], number: u64) -> Option<Arc<Registry>> {
    let after = L1_BLOCK * u32::try_from(number).ok()?;
    let active =
        plan.active(after)?.iter().filter_map(|index| Some((*index, keys.get(*index)?.public_key())));
    let registered = active.map(|(index, key)| Registered {
        id: id(index),
        node: key.address(),
        endpoint: format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{}", 9100 + index, peer_id(&key)),
    });
    Some(Arc::new(Registry::new(registered.collect()).ok()?))
}

/// What an honest endpoint shows of this block, after which the inbox has this.
pub fn sight(plan: &Plan, keys: &[SecretKey], number: u64, (epoch, queue): (Epoch, QueueMark)) -> L1Sight {
    let hash = Digest::sha256(&[b"l1 block", &plan.seed.to_be_bytes(), &number.to_be_bytes()]);
    let (block, registry) = (L1Reference { number, hash }, registry(plan, keys, number));
    L1Sight { block, registry, epoch, queue }
}

fn epochs(plan: &Plan) -> Epochs {
    let lengths = match (plan.rotates, plan.registry.is_empty()) {
        (false, _) => Epochs::default(),
        (true, true) => SHORT,
        (true, false) => GATHERING,
    };
    Epochs { key: if plan.keeps { KeyPolicy::Keep } else { KeyPolicy::Fresh }, ..lengths }
}

fn limits(plan: &Plan) -> Limits {
    let usual = Limits { batch_interval_ms: 2_000, ..Limits::default() };
    if !plan.short_window {
        return usual;
    }
    Limits { duplicate_window_blocks: 8, blocks_per_batch: 8, idle_block_interval_ms: 20, ..usual }
}

fn key(plan: &Plan, index: usize) -> SecretKey {
    let mut bytes = [index as u8 + 1; 32];
    bytes[..8].copy_from_slice(&plan.seed.to_be_bytes());
    if plan.real_signatures {
        SecretKey::from_bytes(bytes).expect("far below the group order")
    } else {
        SecretKey::simulated(bytes)
    }
}
