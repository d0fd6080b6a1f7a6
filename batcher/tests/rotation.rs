//! Handovers to new keys, in sequence with the batches: from nodes onto L1, and out of it again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use batcher::http::Shown;
use batcher::l1::{L1, Simulation, Task};
use batcher::turn::Rotation;
use batcher::txm::SendFailure;
use ordering_types::{Epoch, GroupSignature, SignedHandover};
use rollup::client::{Nodes, RequestError};
use rollup::inbox::ISequencerInbox::{BatchPosted, Rotated};
use rollup::verify::{Network as Verifier, VerifyError};
use serde_json::{Value, json};
use support::poster::{Running, derived, start, start_patient, start_with};
use support::{Network, SLOT, Store, serve, until};

/// What took effect on L1, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Batch(u64),
    Epoch(u64),
}

use Effect::{Batch, Epoch as Begin};

async fn effects(network: &Network) -> Vec<Effect> {
    let filter = json!([{
        "address": Address::from(*network.spec.inbox.as_bytes()),
        "fromBlock": "0x0",
        "toBlock": "latest",
        "topics": [[BatchPosted::SIGNATURE_HASH, Rotated::SIGNATURE_HASH]],
    }]);
    let logs: Vec<Log> = network.rpc.call("eth_getLogs", filter).await.unwrap();
    let effect = |log: &Log| match BatchPosted::decode_log(&log.inner) {
        Ok(event) => Batch(event.number),
        Err(_) => Begin(Rotated::decode_log(&log.inner).unwrap().epoch),
    };
    logs.iter().map(effect).collect()
}

async fn all_succeeded(network: &Network) -> bool {
    network.receipts().await.iter().all(|(_, success, _)| *success)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_goes_before_the_first_batch_of_its_epoch() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 1).await;
    // The handover may be there long before anything is sealed in the new epoch.
    network.rotate();
    let status = async |rotations| {
        let board = &batcher.board;
        until("a rotation", async || Some(board.status()).filter(|s| s.rotations == rotations)).await
    };
    assert_eq!(status(1).await.posted, 1);
    network.seal(100);
    derived(&network, 2).await;
    // Or be seen together with the batch.
    network.rotate();
    network.seal(100);
    network.seal(100);
    derived(&network, 4).await;
    network.check_derivation().await;
    assert_eq!(effects(&network).await, [Batch(1), Begin(1), Batch(2), Begin(2), Batch(3), Batch(4)]);
    assert!(all_succeeded(&network).await);

    let status = until("status", async || Some(batcher.board.status()).filter(|s| s.posted == 4)).await;
    assert_eq!((status.rotations, status.reverted, status.lost_races), (2, 0, 0));
    until("the epoch", async || (batcher.board.status().epoch == 2).then_some(())).await;
    let metrics = batcher.board.metrics();
    assert!(
        metrics.contains("batcher_rotations_total 2") && metrics.contains("batcher_epoch 2"),
        "{metrics}"
    );
    assert!(metrics.contains("batcher_posted_total 4"), "a handover is no batch");
    batcher.task.abort();

    let mut deriver = network.deriver();
    while deriver.next().await.unwrap().is_some() {}
    assert_eq!(deriver.key(), Some((Epoch::new(2), network.committee.key(Epoch::new(2)))));
}

/// L1 was out for some epochs: everything goes there in order once it is back, whether or not the batcher knew the
/// first epochs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_that_piled_up_are_posted_in_order() {
    let network = Network::start().await;
    let mut batcher = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 1).await;
    for restarted in [false, true] {
        let outage = async |seconds: u64| {
            let _: Value = network.rpc.call("dev_outage", json!([seconds])).await.unwrap();
        };
        outage(3_600).await;
        until("the outage is seen", async || batcher.board.status().trouble).await;
        for batches in [2, 1, 0, 1] {
            (0..batches).for_each(|_| network.seal(100));
            network.rotate();
        }
        network.seal(100);
        if restarted {
            batcher.task.abort();
            batcher = start(&network, 0, 1, 0);
        }
        outage(0).await;
        let newest = *network.store.lock().unwrap().sealed.keys().last().unwrap();
        derived(&network, newest).await;
    }
    batcher.task.abort();
    network.check_derivation().await;
    let wanted = [
        [Batch(1), Batch(2), Batch(3)].as_slice(),
        &[Begin(1), Batch(4), Begin(2), Begin(3), Batch(5), Begin(4), Batch(6)],
        &[Batch(7), Batch(8), Begin(5), Batch(9), Begin(6), Begin(7), Batch(10), Begin(8), Batch(11)],
    ];
    assert_eq!(effects(&network).await, wanted.concat());
    assert!(all_succeeded(&network).await);
}

/// Two batchers take turns over handovers as over batches, and nobody burns gas. (Patient ones: see `posting.rs`.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batchers_share_handovers_too() {
    let network = Network::start().await;
    let running = [start_patient(&network, 0, 2, 0, SLOT * 5), start_patient(&network, 1, 2, 1, SLOT * 5)];
    for number in 1..=4 {
        network.seal(200);
        network.rotate();
        derived(&network, number).await;
    }
    let rotations = |all: &[Running]| all.iter().map(|one| one.board.status().rotations).collect::<Vec<_>>();
    until("the last handover", async || (rotations(&running).iter().sum::<u64>() == 4).then_some(())).await;
    assert_eq!(rotations(&running), [2, 2]);
    network.check_derivation().await;
    assert!(all_succeeded(&network).await);
    assert_eq!(network.receipts().await.len(), 9, "initialise, four batches and four handovers");
    running.iter().for_each(|batcher| batcher.task.abort());
}

/// Who waited for a dead batcher's handover does not wait for its batch again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_batchers_handover_and_batch_cost_one_takeover() {
    let takeover = SLOT * 8;
    let network = Network::start().await;
    let dead = start_patient(&network, 0, 2, 0, takeover);
    let other = start_patient(&network, 1, 2, 1, takeover);
    network.seal(200);
    derived(&network, 1).await;
    // Batch 2 is the first one's turn.
    dead.task.abort();
    network.rotate();
    network.seal(200);
    let sealed = Instant::now();
    derived(&network, 2).await;
    assert!(sealed.elapsed() > takeover, "it waits for who may be alive");
    assert!(sealed.elapsed() < takeover * 2, "{:?}", sealed.elapsed());
    assert_eq!(other.board.status().rotations, 1);
    assert!(all_succeeded(&network).await);
    other.task.abort();
}

/// Both think that it is their turn: every call takes effect once, whoever makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_for_a_handover_has_one_winner() {
    let network = Network::start().await;
    let running = [start(&network, 0, 1, 0), start(&network, 0, 1, 1)];
    for number in 1..=3 {
        network.rotate();
        network.seal(200);
        derived(&network, number).await;
    }
    network.check_derivation().await;
    assert_eq!(effects(&network).await, [Begin(1), Batch(1), Begin(2), Batch(2), Begin(3), Batch(3)]);
    running.iter().for_each(|batcher| batcher.task.abort());
}

/// A handover that is in the pool or in a block is not sent again, whoever brought it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_that_is_on_its_way_is_not_sent_again() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 1).await;
    batcher.task.abort();
    let epoch = network.rotate();
    let signed = network.store.lock().unwrap().handovers[&epoch].signed;
    let task = Task::rotate(&signed).unwrap();
    let automine = async |on: bool| {
        let _: Value = network.rpc.call("dev_setAutomine", json!([on])).await.unwrap();
    };
    automine(false).await;
    let (first, second) = (network.as_seen_by(1), network.as_seen_by(2));
    let send = async |l1: &L1| {
        let Simulation::Succeeds(gas) = network.simulate(l1, &task).await else { panic!("wanted") };
        l1.send(&task, &network.signed(l1, &task, gas, true).await).await
    };
    let hash = send(&first).await.unwrap();
    assert_eq!(send(&second).await, Err(SendFailure::LostRace));
    assert!(!second.is_past(task.goal(), "latest").await.unwrap());
    automine(true).await;
    assert!(network.mined(&first, hash).await);
    assert!(second.is_past(task.goal(), "latest").await.unwrap());
    assert_eq!(network.simulate(&second, &task).await, Simulation::Past);
}

/// L1 says which key is in force: a batcher that starts late needs no handover from before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batcher_begins_with_the_key_on_l1() {
    let network = Network::start().await;
    for _ in 0..2 {
        network.seal(100);
        network.rotate();
    }
    network.seal(100);
    let first = start(&network, 0, 1, 0);
    derived(&network, 3).await;
    first.task.abort();
    network.store.lock().unwrap().handovers.clear();
    network.rotate();
    network.seal(100);
    let second = start(&network, 0, 1, 0);
    derived(&network, 4).await;
    network.check_derivation().await;
    second.task.abort();
}

/// What the committee signed does not fit together: nothing is sent that L1 would refuse, and the operator is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_to_another_place_is_not_sent() {
    let network = Network::start().await;
    network.seal(100);
    network.rotate_at(3);
    network.seal(100);
    let batcher = start(&network, 0, 1, 0);
    let wanted =
        "batch 2 of the nodes is of epoch 1, L1 has the key of epoch 0, and no handover leads from there";
    until("the trouble", async || batcher.board.status().trouble.filter(|why| why.starts_with(wanted))).await;
    assert_eq!(effects(&network).await, [Batch(1)]);
    assert_eq!(network.receipts().await.len(), 2, "initialise and batch 1");
    batcher.task.abort();
}

fn forge(signed: &mut SignedHandover) {
    let mut bytes = *signed.signature.as_bytes();
    bytes[64] ^= 1;
    signed.signature = GroupSignature::new(bytes);
}

/// A second node with another store.
fn node(store: Store) -> (String, Arc<Mutex<Store>>) {
    let store = Arc::new(Mutex::new(store));
    (serve(Arc::clone(&store)), store)
}

/// A node that serves a forged handover is found out before anything is sent, and costs nothing where another one is honest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_handover_never_reaches_l1() {
    let network = Network::start().await;
    network.seal(100);
    let epoch = network.rotate();
    network.seal(100);
    let (liar, lies) = node(network.store.lock().unwrap().clone());
    forge(&mut lies.lock().unwrap().handovers.get_mut(&epoch).unwrap().signed);

    let nodes = Nodes::new(Verifier::new(Arc::clone(&network.spec)), std::slice::from_ref(&liar)).unwrap();
    for error in [nodes.handover(epoch).await.unwrap_err(), nodes.sealed(2).await.unwrap_err()] {
        assert!(matches!(error, RequestError::Lie(VerifyError::Group(_))), "{error}");
    }
    let alone = Rotation::new(0, 1, Duration::ZERO).unwrap();
    let batcher = start_with(&network, std::slice::from_ref(&liar), alone, 0);
    derived(&network, 1).await;
    until("the lie is named", async || batcher.board.status().trouble.filter(|why| why.contains("lies")))
        .await;
    assert_eq!(network.receipts().await.len(), 2, "initialise and batch 1");
    batcher.task.abort();

    let batcher = start_with(&network, &[liar, network.node.clone()], alone, 0);
    derived(&network, 2).await;
    network.check_derivation().await;
    assert!(all_succeeded(&network).await);
    batcher.task.abort();
}

/// A handover that nobody has, and a batch of the new epoch that the old key signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_needs_the_key_of_its_epoch() {
    let network = Network::start().await;
    network.seal(100);
    let epoch = network.rotate();
    network.seal_with_key_of(Epoch::new(0), 100);
    let verifier = || Verifier::new(Arc::clone(&network.spec));
    let nodes = Nodes::new(verifier(), std::slice::from_ref(&network.node)).unwrap();
    let error = nodes.sealed(2).await.unwrap_err();
    assert!(matches!(error, RequestError::Lie(VerifyError::Group(_))), "{error}");

    let mut behind = network.store.lock().unwrap().clone();
    behind.handovers.clear();
    let (behind, store) = node(behind);
    let nodes = Nodes::new(verifier(), &[behind]).unwrap();
    assert!(nodes.sealed(2).await.unwrap().is_none(), "it cannot be checked yet");
    assert!(nodes.handover(epoch).await.unwrap().is_none());
    assert!(nodes.sealed(1).await.unwrap().is_some());
    let handover = network.store.lock().unwrap().handovers[&epoch].clone();
    store.lock().unwrap().handovers.insert(epoch, handover);
    assert!(matches!(nodes.sealed(2).await, Err(RequestError::Lie(_))));
}
