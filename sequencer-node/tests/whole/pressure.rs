//! Back-pressure: L1 is away, or the disk is full.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use alloy::network::{EthereumWallet, TransactionBuilder};
use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use ordering_types::ChainSpec;
use ordering_types::chain_spec::DataPolicy;
use rand_core::{OsRng, RngCore};
use rollup::client::Nodes;
use rollup::inbox::ISequencerInbox::{initialiseCall, lastBatchCall};
use rollup::inbox::post_calldata_call;
use rollup::verify::Network;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::chain::{CHAIN_ID, Chain, account, endpoint};
use crate::network::{transfer, until};
use crate::node::{Folders, Running};

/// What admission being slow says in JSON-RPC.
const SLOWED: i32 = -32_020;
/// Thresholds of the node under test: some seconds of load, and far above what an idle network has on its way to L1.
const SLOW: u64 = 100_000;
const STOP: u64 = 250_000;

fn client(node: &Running) -> HttpClient {
    HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap()
}

async fn submit(client: &HttpClient, rollup: u32, data: &[u8]) -> Result<String, Error> {
    let parameters = rpc_params![rollup, format!("0x{}", hex::encode(data))];
    let answer: Value = client.request("seq_submit", parameters).await?;
    Ok(answer["id"].as_str().unwrap().to_owned())
}

/// A kilobyte that does not compress.
fn noise() -> [u8; 1_000] {
    let mut data = [0; 1_000];
    OsRng.fill_bytes(&mut data);
    data
}

async fn admission(client: &HttpClient) -> Value {
    until(client, "seq_status", json!([]), |_| true).await["admission"].clone()
}

/// What a door for people and monitoring says.
fn get(node: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(node.address("metrics")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn metric(node: &Running, name: &str) -> f64 {
    let text = get(node, "/metrics");
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
    line.trim().parse().unwrap()
}

/// A network whose inbox is on a development L1: rollup 1 leaves its data with the committee, the data of rollup 2 goes to L1.
async fn world() -> (Folders, Chain, ChainSpec) {
    let (folders, chain) = (Folders::new(), Chain::dev(200).await);
    let path = folders.path("genesis.toml");
    let mut spec: ChainSpec = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(spec.l1_chain_id, CHAIN_ID);
    let port = |id: u16| folders.port_base + id;
    let founders: Vec<_> =
        spec.validators.iter().map(|v| (v.key, endpoint(&v.key, port(v.id.get())))).collect();
    let (inbox, _) = chain.found(&founders).await;
    spec.inbox = ordering_types::Address::new(inbox.into_array());
    spec.rollups[0].data = DataPolicy::Committee;
    spec.rollups[1].data = DataPolicy::Blob;
    spec.limits.batch_interval_ms = 1_000;
    fs::write(&path, toml::to_string(&spec).unwrap()).unwrap();
    (folders, chain, spec)
}

/// Brings batches to L1, one by one, and tries again whatever fails; ends when dropped.
fn poster(url: String, spec: &ChainSpec, ingress: String) -> JoinSet<()> {
    let inbox = Address::from(*spec.inbox.as_bytes());
    let nodes = Nodes::new(Network::new(Arc::new(spec.clone())), &[ingress]).unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let founding = loop {
            match nodes.founding().await {
                Ok(Some(founding)) => break founding.into_inner(),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let (x, y) = founding.key.coordinates();
        let call = initialiseCall {
            keyX: U256::from_be_bytes(x),
            keyY: U256::from_be_bytes(y),
            signatures: founding.signatures.values().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect(),
        };
        assert!(send(&url, inbox, call.abi_encode()).await, "the contract refuses the key");
        for number in 1.. {
            let batch = loop {
                match nodes.sealed(number).await {
                    Ok(Some(batch)) => break batch.into_inner(),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            let call = post_calldata_call(&batch).expect("batches are small").abi_encode();
            while last(&url, inbox).await.is_none_or(|last| last < number) {
                if !send(&url, inbox, call.clone()).await {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    });
    task
}

async fn last(url: &str, inbox: Address) -> Option<u64> {
    let provider = ProviderBuilder::new().connect_http(url.parse().unwrap());
    let request = TransactionRequest::default().with_to(inbox).with_input(lastBatchCall {}.abi_encode());
    let answer = provider.call(request).await.ok()?;
    Some(lastBatchCall::abi_decode_returns(&answer).unwrap().number)
}

async fn send(url: &str, inbox: Address, input: Vec<u8>) -> bool {
    let wallet = EthereumWallet::from(account(5));
    let provider = ProviderBuilder::new().wallet(wallet).connect_http(url.parse().unwrap());
    provider.client().set_poll_interval(Duration::from_millis(50));
    let request = TransactionRequest::default().with_to(inbox).with_input(input);
    let sent = async { provider.send_transaction(request).await.ok()?.get_receipt().await.ok() };
    let receipt = tokio::time::timeout(Duration::from_secs(5), sent).await;
    receipt.ok().flatten().is_some_and(|receipt| receipt.status())
}

async fn outage(url: &str, seconds: u64) {
    let l1 = HttpClientBuilder::default().build(url).unwrap();
    let done: bool = l1.request("dev_outage", rpc_params![seconds]).await.unwrap();
    assert!(done);
}

/// The error of a refusal is typed, and says when to come back.
fn check_refusal(error: Error) {
    let Error::Call(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.code(), SLOWED, "{refusal:?}");
    assert!(refusal.message().contains("not on L1"), "{refusal:?}");
    let data: Value = serde_json::from_str(refusal.data().unwrap().get()).unwrap();
    let retry = data["retry_after_ms"].as_u64().unwrap();
    assert!((100..=60_000).contains(&retry), "{data}");
}

/// L1 goes away under load. The node that sees L1 slows down and stops, and says so; another one, without an endpoint, goes on, and so do rollups of which
/// L1 gets nothing. L1 comes back: everything accepted is ordered and on L1, and admission is open.
#[tokio::test(flavor = "multi_thread")]
async fn while_l1_is_away_admission_slows_and_stops_and_nothing_accepted_is_lost() {
    let (folders, chain, spec) = world().await;
    let (url, slow, stop) = (chain.url(), SLOW.to_string(), STOP.to_string());
    let environment = [
        ("SEQUENCER_L1__ENDPOINT", url.as_str()),
        ("SEQUENCER_ADMISSION__SLOW_UNPOSTED_BYTES", slow.as_str()),
        ("SEQUENCER_ADMISSION__STOP_UNPOSTED_BYTES", stop.as_str()),
    ];
    let start = |id: u16| {
        let environment = if id == 1 { environment.as_slice() } else { &[] };
        Running::start_with(&folders.config(id), environment, Stdio::inherit())
    };
    let nodes: Vec<Running> = (1..=4).map(start).collect();
    let (seeing, other) = (client(&nodes[0]), client(&nodes[1]));
    let _poster = poster(url.clone(), &spec, nodes[2].address("ingress"));
    until(&seeing, "seq_status", json!([]), |s| {
        let admission = &s["admission"];
        s["core"]["last_sealed"].as_u64() > Some(2)
            && admission["state"] == "open"
            && admission["unposted_batches"].as_u64().is_some_and(|batches| batches < 15)
    })
    .await;
    assert_eq!(
        admission(&other).await["unposted_batches"],
        Value::Null,
        "without an endpoint it cannot know"
    );
    let inbox = Address::from(*spec.inbox.as_bytes());
    let before = last(&url, inbox).await.unwrap();
    let mut accepted = vec![(2, submit(&seeing, 2, &noise()).await.unwrap())];

    outage(&url, 600).await;
    let mut slowed = false;
    loop {
        let status = fill(&seeing, &other, &mut accepted).await;
        match status["state"].as_str().unwrap() {
            "slowed" if !slowed => {
                slowed = true;
                slows(&seeing, &status, &mut accepted).await;
            }
            "stopped" => break assert_eq!(status["rate"], 0.0),
            _ => assert!(status["unposted_bytes"].as_u64() < Some(STOP), "{status}"),
        }
    }
    assert!(slowed, "it stopped without slowing first");
    stopped(&nodes[0], &seeing, &mut accepted).await;

    outage(&url, 0).await;
    let back = until(&seeing, "seq_status", json!([]), |s| s["admission"]["state"] == "open").await;
    assert_eq!(back["admission"]["rate"], 1.0, "{back}");
    accepted.push((2, submit(&seeing, 2, &noise()).await.unwrap()));
    for (rollup, id) in &accepted {
        until(&seeing, "seq_proof", json!([rollup, { "id": id }]), |proof| !proof["header"].is_null()).await;
    }
    assert!(last(&url, inbox).await.unwrap() > before);
    assert!(accepted.len() > 150, "{}", accepted.len());
}

/// So much goes in by another node, and waits in a sealed batch for L1: less than what is between the thresholds, so none is skipped.
async fn fill(seeing: &HttpClient, other: &HttpClient, accepted: &mut Vec<(u32, String)>) -> Value {
    const STEP: u64 = 60;
    let before = admission(seeing).await["unposted_bytes"].as_u64().unwrap();
    for _ in 0..STEP {
        accepted.push((2, submit(other, 2, &noise()).await.unwrap()));
    }
    let there = |s: &Value| s["admission"]["unposted_bytes"].as_u64() >= Some(before + STEP * 1_000);
    until(seeing, "seq_status", json!([]), there).await["admission"].clone()
}

/// One passes, and overdraws; not two.
async fn slows(client: &HttpClient, status: &Value, accepted: &mut Vec<(u32, String)>) {
    let rate = status["rate"].as_f64().unwrap();
    assert!(rate > 0.0 && rate < 1.0 && status["why"].as_str().unwrap().contains("not on L1"), "{status}");
    for _ in 0..2 {
        match submit(client, 2, &noise()).await {
            Ok(id) => accepted.push((2, id)),
            Err(error) => check_refusal(error),
        }
    }
    assert!(admission(client).await["refused"].as_u64() >= Some(1));
}

/// Nothing of rollup 2 is taken; rollup 1 goes on, so the node is ready.
async fn stopped(node: &Running, client: &HttpClient, accepted: &mut Vec<(u32, String)>) {
    for _ in 0..3 {
        check_refusal(submit(client, 2, &noise()).await.unwrap_err());
    }
    accepted.push((1, submit(client, 1, &transfer(901, 0)).await.unwrap()));
    assert_eq!(metric(node, "sequencer_admission_rate{data=\"l1\"}"), 0.0);
    assert_eq!(metric(node, "sequencer_admission_rate{data=\"committee\"}"), 1.0);
    assert!(metric(node, "sequencer_unposted_bytes") >= STOP as f64);
    assert!(metric(node, "sequencer_unposted_batches") >= 1.0);
    assert!(metric(node, "sequencer_admission_refused") >= 3.0);
    assert!(get(node, "/readyz").starts_with("HTTP/1.1 200"), "it still takes some rollup's");
}

/// A disk that was full before the start: the node refuses at once, is not ready, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_nothing_is_admitted() {
    let folders = Folders::new();
    let log = folders.path("log");
    let environment = [
        ("SEQUENCER_ADMISSION__SLOW_FREE_DISK_BYTES", "4611686018427387904"),
        ("SEQUENCER_ADMISSION__STOP_FREE_DISK_BYTES", "2305843009213693952"),
    ];
    let node = Running::start_with(&folders.config(1), &environment, File::create(&log).unwrap().into());
    let client = client(&node);
    for (rollup, data) in [(1, transfer(901, 0)), (2, noise().to_vec())] {
        match submit(&client, rollup, &data).await {
            Err(Error::Call(refusal)) => {
                assert_eq!(refusal.code(), SLOWED);
                assert!(refusal.message().contains("the disk is nearly full"), "{refusal:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let status = admission(&client).await;
    assert_eq!(
        (&status["state"], &status["rate"], &status["committee_rate"]),
        (&json!("stopped"), &json!(0.0), &json!(0.0))
    );
    assert!(status["free_disk_bytes"].as_u64().is_some(), "{status}");
    let ready = get(&node, "/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 503") && ready.contains("admission: the disk is nearly full"),
        "{ready}"
    );
    let said = fs::read_to_string(&log).unwrap();
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("admission has stopped")).collect();
    assert!(
        errors.len() == 1 && errors[0].contains("ERROR") && errors[0].contains("free the disk"),
        "{said}"
    );
}
