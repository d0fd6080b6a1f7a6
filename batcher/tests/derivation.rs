//! Derivation from an L1 that withholds, lies or is another one: each is told, and nothing false comes out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::Arc;

use alloy::primitives::hex;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use batcher_format::blob;
use ordering_types::{ChainSpec, SecretKey};
use rollup::derive::{DeriveConfig, DeriveError, Deriver, Finality};
use rollup::l1::{BeaconError, HttpError};
use serde_json::{Value, json};
use support::{Network, until};

/// A beacon node that serves the same blobs for every block.
async fn beacon(blobs: Value) -> String {
    let routes = Router::new()
        .route("/eth/v1/beacon/genesis", get(|| async { Json(json!({ "data": { "genesis_time": "0" } })) }))
        .route("/eth/v1/config/spec", get(|| async { Json(json!({ "data": { "SECONDS_PER_SLOT": "12" } })) }))
        .route("/eth/v1/beacon/blobs/{slot}", get(|State(blobs): State<Value>| async { Json(blobs) }))
        .with_state(blobs);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

fn deriver(network: &Network, beacon: String, spec: ChainSpec) -> Deriver {
    let rpc = vec!["http://127.0.0.1:1".to_owned(), network.l1.url()];
    let finality = Finality::Latest;
    Deriver::new(DeriveConfig { rpc, beacon, spec: Arc::new(spec), first_l1_block: 0, finality }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_gets_through() {
    let network = Network::start().await;
    network.seal(200);
    let running = support::poster::start(&network, 0, 1, 0);
    // The first endpoint is dead: the second one answers.
    let mut honest = deriver(&network, network.l1.beacon_url(), (*network.spec).clone());
    until("the batch", async || honest.next().await.unwrap()).await;
    running.task.abort();

    let other = hex::encode_prefixed(blob::pack(b"something else").unwrap()[0].as_bytes());
    let none = json!({ "data": [] });
    let wrong = json!({ "data": [other] });
    let short = json!({ "data": ["0x00"] });
    let endless = json!({ "data": vec!["00".repeat(100_000); 400] });
    type Expected = fn(&BeaconError) -> bool;
    let table: [(Value, Expected); 5] = [
        (none, |e| matches!(e, BeaconError::Missing(_))),
        (wrong, |e| matches!(e, BeaconError::Missing(_))),
        (short, |e| matches!(e, BeaconError::Malformed(_))),
        (json!([]), |e| matches!(e, BeaconError::Malformed(_))),
        (endless, |e| matches!(e, BeaconError::Unreachable { error: HttpError::TooLong(_), .. })),
    ];
    for (blobs, expected) in table {
        let mut lied_to = deriver(&network, beacon(blobs).await, (*network.spec).clone());
        let Err(DeriveError::Beacon(error)) = lied_to.next().await else { panic!("a lie was believed") };
        assert!(expected(&error), "{error}");
        assert_eq!(lied_to.derived(), 0);
    }

    let mut spec = (*network.spec).clone();
    spec.l1_chain_id = 5;
    let error = deriver(&network, network.l1.beacon_url(), spec).next().await.unwrap_err();
    assert!(matches!(error, DeriveError::WrongChain { expected: 5, got: 1337 }), "{error}");

    let mut spec = (*network.spec).clone();
    for (validator, byte) in spec.validators.iter_mut().zip(100..) {
        validator.key = SecretKey::from_bytes([byte; 32]).unwrap().public_key();
    }
    let error = deriver(&network, network.l1.beacon_url(), spec).next().await.unwrap_err();
    assert!(matches!(error, DeriveError::Founding), "another committee's key was taken: {error}");

    let mut spec = (*network.spec).clone();
    spec.network = "another".to_owned();
    let error = deriver(&network, network.l1.beacon_url(), spec).next().await.unwrap_err();
    assert!(matches!(error, DeriveError::Payload { number: 1, .. }), "headers of another network: {error}");
}
