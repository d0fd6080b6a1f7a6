#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::{Address, Incarnation, RollupId};

use super::*;
use crate::api::{Decided, Record, Tip};

const NOW: Time = Time::from_millis(1_700_000_000_000);

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32]).unwrap()
}

fn spec(network: &str) -> Arc<ChainSpec> {
    let id = |n: u8| ValidatorId::new(n.into());
    Arc::new(ChainSpec {
        network: network.to_owned(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        limits: Limits::default(),
        validators: (1..=4)
            .map(|n| Validator { id: id(n), key: key(n).public_key(), address: String::new() })
            .collect(),
        rollups: vec![Rollup {
            id: RollupId::new(1),
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 7,
            data: DataPolicy::Committee,
            quota_bytes_per_block: 1 << 20,
        }],
    })
}

fn start(network: &str, key: SecretKey, recovered: Recovered) -> Result<Ordering, StartError> {
    Ordering::new(spec(network), Settings::new(Incarnation::new(1)), key, recovered, NOW)
}

/// Four nodes whose messages all arrive at once, until the first decides; answers its block.
fn first_block() -> Arc<Decided> {
    let mut nodes: Vec<Ordering> =
        (1..=4).map(|n| start("a", key(n), Recovered::default()).unwrap()).collect();
    let mut now = NOW;
    loop {
        now = now + std::time::Duration::from_millis(10);
        for from in 0..nodes.len() {
            nodes[from].handle(now, Input::Wake);
            while let Some(output) = nodes[from].next_output() {
                match output {
                    Output::Persist(Record::Decided(decided)) => return decided,
                    Output::Send { bytes, .. } => {
                        let sender = nodes[from].me();
                        for node in nodes.iter_mut().filter(|n| n.me != sender) {
                            node.handle(now, Input::Message { from: sender, bytes: bytes.clone() });
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn tip(decided: &Decided) -> Tip {
    Tip {
        header: decided.block.header.clone(),
        certificate: decided.certificate.clone(),
        snapshot: decided.snapshot.clone(),
    }
}

#[test]
fn a_node_starts_from_its_own_tip_and_refuses_any_other() {
    let decided = first_block();
    let from = |tip: Tip| Recovered { tip: Some(tip), ..Recovered::default() };
    let good = start("a", key(1), from(tip(&decided))).unwrap();
    assert_eq!(good.applied_height(), Height::new(1));
    assert_eq!(good.applied_header(), decided.block.header.hash());

    let refused = |network: &str, tip: Tip| {
        matches!(start(network, key(1), from(tip)).err().unwrap(), StartError::Recovered(_))
    };
    assert!(refused("another network", tip(&decided)));
    let mut other = tip(&decided);
    other.header.time_ms += 1;
    assert!(refused("a", other));
    let mut other = tip(&decided);
    other.certificate.signatures.pop();
    assert!(refused("a", other));
    let mut other = tip(&decided);
    let mut snapshot = other.snapshot.to_vec();
    *snapshot.last_mut().unwrap() ^= 1;
    other.snapshot = Bytes::from(snapshot);
    assert!(refused("a", other));
}

#[test]
fn a_strange_key_or_a_broken_log_does_not_start() {
    let error = start("a", key(9), Recovered::default()).err().unwrap();
    assert!(matches!(error, StartError::NotAMember));
    for entry in [&[][..], &[7, 1, 2], &[0, 1, 2]] {
        let wal = vec![(Height::new(1), Bytes::copy_from_slice(entry))];
        let error = start("a", key(1), Recovered { wal, ..Recovered::default() }).err().unwrap();
        assert!(matches!(error, StartError::Log(_)), "{error}");
    }
}

#[test]
fn submitting_twice_says_so() {
    let mut node = start("a", key(1), Recovered::default()).unwrap();
    let transaction = Transaction { rollup: RollupId::new(1), data: Bytes::from_static(b"x") };
    let id = node.submit(NOW, transaction.clone()).unwrap();
    assert_eq!(node.submit(NOW, transaction), Err(SubmitError::Pending(id)));
    assert_eq!(node.backlog().waiting_transactions, 1);
}

/// Hosts run the core on a thread of its own.
#[test]
fn the_core_can_move_between_threads() {
    const fn movable<T: Send + 'static>() {}
    movable::<Ordering>();
}
