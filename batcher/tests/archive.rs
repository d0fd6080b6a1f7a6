//! Derivation after L1 has forgotten its blobs, from nodes that kept the payloads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::{Arc, Mutex};

use batcher_format::{EncodedBatch, SealedBatch};
use bytes::Bytes;
use rollup::derive::{ArchiveError, DeriveError, Deriver, Source};
use rollup::l1::BeaconError;
use serde_json::json;
use support::{Network, Store, serve};

const BATCHES: u64 = 3;

/// Three batches on L1.
async fn posted() -> Network {
    let network = Network::start().await;
    (0..BATCHES).for_each(|_| network.seal(200));
    let running = support::poster::start(&network, 0, 1, 0);
    support::poster::derived(&network, BATCHES).await;
    running.task.abort();
    network
}

async fn expire_blobs(network: &Network) {
    let gone: u64 = network.rpc.call("dev_expireBlobs", json!([])).await.unwrap();
    assert!(gone >= BATCHES, "{gone} blobs expired");
}

/// A node that serves the network's batches, bent.
fn liar(network: &Network, bend: impl Fn(&mut Store)) -> String {
    let mut store = network.store.lock().unwrap().clone();
    bend(&mut store);
    serve(Arc::new(Mutex::new(store)))
}

fn bent(batch: &SealedBatch, bend: impl Fn(&mut EncodedBatch)) -> Arc<SealedBatch> {
    let mut encoded = EncodedBatch::clone(&batch.encoded);
    bend(&mut encoded);
    Arc::new(SealedBatch { encoded: Arc::new(encoded), ..batch.clone() })
}

/// One byte of each payload is another; header, commitments, proofs and signature are the true ones.
fn other_bytes(store: &mut Store) {
    for batch in store.sealed.values_mut() {
        *batch = bent(batch, |encoded| {
            let mut payload = encoded.payload.to_vec();
            *payload.last_mut().unwrap() ^= 1;
            encoded.payload = Bytes::from(payload);
        });
    }
}

/// The first batch under every number, so renumbered.
fn another_batch(store: &mut Store) {
    let first = store.sealed[&1].clone();
    for (number, batch) in &mut store.sealed {
        let mut other = SealedBatch::clone(&first);
        other.header.number = *number;
        // The first one under its own number is no lie.
        *batch = if *number == 1 {
            bent(&other, |encoded| encoded.payload = Bytes::new())
        } else {
            Arc::new(other)
        };
    }
}

async fn first_error(mut deriver: Deriver) -> DeriveError {
    let error = loop {
        match deriver.next().await {
            Ok(derived) => assert!(derived.is_some(), "believed"),
            Err(error) => break error,
        }
    };
    assert_eq!(deriver.derived(), 0);
    error
}

/// The blobs are gone: without archives an error says what to do, with liars first and an honest node last the same comes out as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_l1_forgot_comes_from_an_archive_and_no_lie_does() {
    let network = posted().await;
    let node = network.node.clone();
    let before = network.check_derivation_with(std::slice::from_ref(&node)).await;
    assert_eq!(before, vec![Source::Blobs; BATCHES as usize], "archives are not asked for what L1 has");
    expire_blobs(&network).await;

    let error = first_error(network.deriver()).await;
    let DeriveError::Unavailable { number: 1, beacon: BeaconError::Missing(_), archives } = &error else {
        panic!("{error}")
    };
    assert!(archives.is_empty());
    let text = error.to_string();
    assert!(
        text.starts_with("nobody has the payload of batch 1: ") && text.contains("Add nodes (host:port)"),
        "{text}"
    );

    let dead = "127.0.0.1:1".to_owned();
    let liars = [liar(&network, other_bytes), liar(&network, another_batch)];
    let empty = liar(&network, |store| store.sealed.clear());
    let all: Vec<String> = liars.iter().chain([&empty, &dead]).cloned().collect();
    let error = first_error(network.deriver_with(&all)).await;
    let DeriveError::Unavailable { archives, .. } = &error else { panic!("{error}") };
    let faults: Vec<String> = archives.iter().map(ToString::to_string).collect();
    let posted = |archive| format!("archive {archive} has other bytes than those that were posted");
    assert_eq!(faults[..2], [posted(&liars[0]), posted(&liars[1])]);
    assert_eq!(faults[2], format!("archive {empty} does not have it"));
    assert!(
        matches!(&archives[3], ArchiveError::Silent { archive, .. } if *archive == dead),
        "{}",
        faults[3]
    );
    assert!(faults.iter().all(|fault| error.to_string().contains(fault)), "{error}");

    let with_one: Vec<String> = liars.into_iter().chain([empty, node.clone()]).collect();
    let after = network.check_derivation_with(&with_one).await;
    assert_eq!(after, vec![Source::Archive(node.clone()); BATCHES as usize]);
    let mut deriver = network.deriver_with(&with_one);
    let batch = deriver.next().await.unwrap().unwrap().batch().unwrap();
    assert_eq!(batch.archive_faults.len(), 3, "{:?}", batch.archive_faults);
    assert_eq!(batch.payload_bytes, network.sealed(1).encoded.payload.len());
}

/// A beacon node that nobody reaches is asked first, and does not stand in the way; nor is an error for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_comes_back_lets_derivation_go_on() {
    let network = posted().await;
    expire_blobs(&network).await;
    let half = Arc::new(Mutex::new(network.store.lock().unwrap().clone()));
    half.lock().unwrap().sealed.retain(|number, _| *number < 2);
    let archive = serve(Arc::clone(&half));
    let mut deriver = network.deriver_without_beacon(std::slice::from_ref(&archive));
    let batch = deriver.next().await.unwrap().unwrap().batch().unwrap();
    assert_eq!((batch.header.number, batch.source), (1, Source::Archive(archive.clone())));
    for _ in 0..2 {
        let error = deriver.next().await.unwrap_err();
        assert!(
            matches!(
                error,
                DeriveError::Unavailable { number: 2, beacon: BeaconError::Unreachable { .. }, .. }
            ),
            "{error}"
        );
    }
    *half.lock().unwrap() = network.store.lock().unwrap().clone();
    for number in 2..=BATCHES {
        let batch = deriver.next().await.unwrap().unwrap().batch().unwrap();
        assert_eq!((batch.header.number, batch.source), (number, Source::Archive(archive.clone())));
    }
    assert!(deriver.next().await.unwrap().is_none());
}
