//! Derivation from an L1 that withholds, lies or is another one: each is told, and nothing false comes out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::{U256, hex};
use alloy::sol_types::SolEvent;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use batcher_format::blob;
use ordering_types::{ChainSpec, GroupKey, SecretKey};
use rollup::derive::{DeriveConfig, DeriveError, Deriver, Finality, KeyError};
use rollup::inbox::ISequencerInbox::{Initialised, Rotated};
use rollup::l1::{BeaconError, HttpError};
use serde_json::{Value, json};
use support::{Network, until};

/// What an L1 endpoint answers to a method, bent.
type Bend = fn(&mut Value);

/// An L1 endpoint that passes questions on to the network's own, and bends the answers to one method.
async fn endpoint(network: &Network, method: &'static str, bend: Bend) -> String {
    let (client, url) = (reqwest::Client::new(), network.l1.url());
    let answer = move |body: String| async move {
        let answer = client.post(url).header("content-type", "application/json").body(body.clone()).send();
        let mut answer: Value =
            serde_json::from_slice(&answer.await.unwrap().bytes().await.unwrap()).unwrap();
        if body.contains(method) {
            bend(&mut answer["result"]);
        }
        Json(answer)
    };
    listen(Router::new().route("/", post(answer))).await
}

async fn listen(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}")
}

/// A beacon node that serves the same blobs for every block.
async fn beacon(blobs: Value) -> String {
    let routes = Router::new()
        .route("/eth/v1/beacon/genesis", get(|| async { Json(json!({ "data": { "genesis_time": "0" } })) }))
        .route("/eth/v1/config/spec", get(|| async { Json(json!({ "data": { "SECONDS_PER_SLOT": "12" } })) }))
        .route("/eth/v1/beacon/blobs/{slot}", get(|State(blobs): State<Value>| async { Json(blobs) }))
        .with_state(blobs);
    listen(routes).await
}

fn deriver(network: &Network, beacon: String, spec: ChainSpec) -> Deriver {
    let rpc = vec!["http://127.0.0.1:1".to_owned(), network.l1.url()];
    let finality = Finality::Latest;
    let (archives, spec) = (Vec::new(), Arc::new(spec));
    Deriver::new(DeriveConfig { rpc, beacon, archives, spec, first_l1_block: 0, finality }).unwrap()
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
        let error = match lied_to.next().await {
            Err(DeriveError::Beacon(error) | DeriveError::Unavailable { beacon: error, .. }) => error,
            other => panic!("a lie was believed: {other:?}"),
        };
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
    assert!(
        matches!(error, DeriveError::Key(KeyError::Quorum(_))),
        "another committee's key was taken: {error}"
    );

    let mut spec = (*network.spec).clone();
    spec.network = "another".to_owned();
    let error = deriver(&network, network.l1.beacon_url(), spec).next().await.unwrap_err();
    assert!(matches!(error, DeriveError::Payload { number: 1, .. }), "headers of another network: {error}");
}

/// Changes one word (32 bytes) of the data of the log with this first topic.
fn word(logs: &mut Value, topic: &str, place: usize, change: impl Fn(U256) -> U256) {
    let log = logs.as_array_mut().unwrap().iter_mut().find(|log| log["topics"][0] == topic).unwrap();
    let mut data = hex::decode(log["data"].as_str().unwrap()).unwrap();
    let bytes = &mut data[32 * place..32 * (place + 1)];
    let word = change(U256::from_be_slice(bytes));
    bytes.copy_from_slice(&word.to_be_bytes::<32>());
    log["data"] = json!(hex::encode_prefixed(data));
}

fn rotated() -> String {
    Rotated::SIGNATURE_HASH.to_string()
}

/// Hides the logs with this first topic.
fn hide(logs: &mut Value, topic: &str) {
    logs.as_array_mut().unwrap().retain(|log| log["topics"][0] != topic);
}

/// Whatever an endpoint makes of a change of keys: no batch under a false key comes out, and the error says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_about_a_key_gets_through() {
    let network = Network::start().await;
    network.seal(200);
    network.rotate();
    network.seal(200);
    let running = support::poster::start(&network, 0, 1, 0);
    support::poster::derived(&network, 2).await;
    running.task.abort();

    // What is made of the logs, the newest batch that comes out all the same, and what is said then.
    let table: [(Bend, u64, &str); 8] = [
        (|logs| hide(logs, &rotated()), 1, "batch 2 is of epoch 1, the key in force of epoch 0"),
        (|logs| hide(logs, &Initialised::SIGNATURE_HASH.to_string()), 0, "the inbox has batches but no key"),
        // A key whose secret everybody knows.
        (
            |logs| (0..2).for_each(|place| word(logs, &rotated(), place, |_| generator()[place])),
            1,
            "the handover to epoch 1 is not signed",
        ),
        (|logs| word(logs, &rotated(), 1, |y| y ^ U256::from(2)), 1, "the key of epoch 1 is no point"),
        (|logs| word(logs, &rotated(), 4, |hash| !hash), 1, "the handover to epoch 1 is not signed"),
        (
            |logs| word(logs, &rotated(), 2, |batch| batch + U256::from(1)),
            1,
            "epoch 1 begins with batch 3 and height 4, but 2 and 4 are next",
        ),
        (
            |logs| word(logs, &rotated(), 3, |height| height - U256::from(1)),
            1,
            "epoch 1 begins with batch 2 and height 3, but 2 and 4 are next",
        ),
        (repeat, 2, "a key of epoch 1 follows that of epoch 1"),
    ];
    for (bend, good, wanted) in table {
        let rpc = vec![endpoint(&network, "eth_getLogs", bend).await];
        let (beacon, spec) = (network.l1.beacon_url(), Arc::clone(&network.spec));
        let config = DeriveConfig {
            rpc,
            beacon,
            archives: Vec::new(),
            spec,
            first_l1_block: 0,
            finality: Finality::Latest,
        };
        let mut lied_to = Deriver::new(config).unwrap();
        let error = loop {
            match lied_to.next().await {
                Ok(batch) => assert!(batch.is_some(), "believed: {wanted}"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().starts_with(wanted), "{wanted}: {error}");
        assert_eq!(lied_to.derived(), good, "{wanted}");
    }
}

/// L1 loses sight of the transaction that brought the first key, and of that which brought the second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_at_a_change_of_keys_loses_nothing() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let network = Network::start().await;
    network.seal(200);
    network.rotate();
    network.seal(200);
    let running = support::poster::start(&network, 0, 1, 0);
    support::poster::derived(&network, 2).await;
    running.task.abort();
    // The answers are: none, the founding, batch 1, none, the handover, batch 2.
    let bend: Bend = |answer| {
        if [0, 3].contains(&ASKED.fetch_add(1, Ordering::SeqCst)) {
            *answer = Value::Null;
        }
    };
    let rpc = vec![endpoint(&network, "eth_getTransactionByHash", bend).await];
    let (beacon, spec) = (network.l1.beacon_url(), Arc::clone(&network.spec));
    let config = DeriveConfig {
        rpc,
        beacon,
        archives: Vec::new(),
        spec,
        first_l1_block: 0,
        finality: Finality::Latest,
    };
    let mut deriver = Deriver::new(config).unwrap();
    for number in 1..=2 {
        assert!(matches!(deriver.next().await, Err(DeriveError::Reorganised(_))));
        let batch = deriver.next().await.unwrap().unwrap().batch().unwrap();
        assert_eq!(batch.header.number, number);
    }
    assert!(deriver.next().await.unwrap().is_none());
}

fn repeat(logs: &mut Value) {
    let again = logs.as_array().unwrap().iter().find(|log| log["topics"][0] == rotated()).cloned();
    logs.as_array_mut().unwrap().extend(again);
}

/// The coordinates of the curve's generator.
fn generator() -> [U256; 2] {
    let mut one = [0; 32];
    one[31] = 1;
    let key = SecretKey::from_bytes(one).unwrap().public_key().to_bytes();
    let (x, y) = GroupKey::from_bytes(key).unwrap().coordinates();
    [U256::from_be_bytes(x), U256::from_be_bytes(y)]
}
