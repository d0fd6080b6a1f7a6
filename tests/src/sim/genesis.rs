//! The network that a plan runs: its genesis file and its validators' keys.

use ordering_types::chain_spec::{Ceremony, DataPolicy, Epochs, Limits, Rollup, RollupKind, Validator};
use ordering_types::{Address, ChainSpec, RollupId, SecretKey, ValidatorId};

use super::plan::Plan;

/// Rollups of every simulated network: one whose data goes to L1, one whose data stays with the committee.
pub const ROLLUPS: [(u32, DataPolicy); 2] = [(1, DataPolicy::Blob), (2, DataPolicy::Committee)];

/// Epochs of a few seconds, and ceremonies that fit into them.
const SHORT: Epochs = Epochs { blocks: 4, interval_ms: 2_500, ceremony_ms: 2_000, max_committee: 100 };
const QUICK: Ceremony = Ceremony { announce_ms: 700, acknowledge_ms: 700, attempt_ms: 3_000 };

/// The genesis file of a plan, and each validator's key in the same order.
pub fn genesis(plan: &Plan) -> (ChainSpec, Vec<SecretKey>) {
    let keys: Vec<SecretKey> = (0..plan.nodes).map(|index| key(plan, index)).collect();
    let validators = keys
        .iter()
        .enumerate()
        .map(|(index, key)| Validator {
            id: ValidatorId::new(index as u16 + 1),
            key: key.public_key(),
            address: format!("/ip4/127.0.0.1/udp/{}/quic-v1", 9100 + index),
        })
        .collect();
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
        epochs: if plan.rotates { SHORT } else { Epochs::default() },
        validators,
        rollups,
        ..ChainSpec::default()
    };
    (spec, keys)
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
