//! The registry as nodes read it, on a real L1, and at endpoints that lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use axum::extract::State;
use axum::{Json, Router, routing::post};
use ordering_types::chain_spec::L1View;
use ordering_types::{
    ChainSpec, Digest, ForcedEntry, ForcedMessage, QueueMark, Registered, RollupId, ValidatorId,
};
use rollup::inbox::ISequencerInbox::enqueueCall;
use rollup::registry::IValidatorRegistry::{activeCall, exitCall, joinCall, rootCall, setEndpointCall};
use rollup::registry::registration;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::chain::{CHAIN_ID, Chain, STAKE, account, endpoint, key, to_l1};
use super::contract::Contract;
use super::finalized::RegistryState;
use super::reader::{At, ReadError, Reader};
use super::{L1Feed, follow};
use crate::core_api::L1Sight;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where the two contracts are.
type Contracts = (Address, Address);

/// Of a network whose members report the blocks that this number divides.
fn spec((inbox, registry): Contracts, report_blocks: u64) -> ChainSpec {
    let [inbox, registry] = [inbox, registry].map(|at| ordering_types::Address::new(at.into_array()));
    let l1 = L1View { report_blocks };
    ChainSpec { l1_chain_id: CHAIN_ID, inbox, registry: Some(registry), l1, ..ChainSpec::default() }
}

fn followed(
    url: &str,
    contracts: Contracts,
    report_blocks: u64,
) -> (mpsc::Receiver<L1Sight>, watch::Receiver<RegistryState>) {
    let (L1Feed { sights, .. }, state) = follow(url, &spec(contracts, report_blocks)).unwrap();
    (sights, state)
}

fn active(sight: &L1Sight) -> &[Registered] {
    sight.registry.as_ref().unwrap().active()
}

fn root(sight: &L1Sight) -> Digest {
    sight.registry.as_ref().unwrap().root()
}

async fn next(views: &mut mpsc::Receiver<L1Sight>) -> L1Sight {
    tokio::time::timeout(PATIENCE, views.recv()).await.unwrap().unwrap()
}

/// Four founders on a chain; its inbox and its registry.
async fn founded(chain: &Chain) -> Contracts {
    let founders: Vec<_> = (1..=4_u8)
        .map(|seed| {
            let public = key(seed).public_key();
            (public, endpoint(&public, 9_100 + u16::from(seed)))
        })
        .collect();
    chain.found(&founders).await
}

/// Validator `seed` is registered by account `owner`, with a proof by its key.
async fn join(chain: &Chain, registry: Address, seed: u8, owner: u32) {
    let (secret, owner) = (key(seed), account(owner));
    let public = secret.public_key();
    let endpoint = endpoint(&public, 9_100 + u16::from(seed));
    let proof = secret.sign(registration(CHAIN_ID, registry, owner.address(), &endpoint));
    let proof = Bytes::copy_from_slice(proof.as_bytes());
    let call = joinCall { node: to_l1(public.address()), endpoint, proof };
    let request = TransactionRequest::default().with_to(registry).with_input(call.abi_encode());
    let receipt = chain.send(&owner, request.with_value(U256::from(STAKE))).await;
    assert!(receipt.status(), "the contract refuses the proof");
}

async fn views_of_a_changing_registry(chain: Chain, report_blocks: u64) {
    let contracts = founded(&chain).await;
    let (_, registry) = contracts;
    let reader = Arc::new(Reader::new(&chain.url(), CHAIN_ID).unwrap());
    let contract = Contract::at(Arc::clone(&reader), ordering_types::Address::new(registry.into_array()));
    let (mut views, state) = followed(&chain.url(), contracts, report_blocks);
    let first = next(&mut views).await;
    assert_eq!(active(&first).len(), 4);
    assert_eq!(active(&first)[1].endpoint, endpoint(&key(2).public_key(), 9_102));

    join(&chain, registry, 5, 4).await;
    join(&chain, registry, 6, 5).await;
    chain.call(&account(1), registry, exitCall { id: 2 }).await;
    let moved = setEndpointCall { id: 3, endpoint: "/dns4/three.example/udp/9/quic-v1".to_owned() };
    chain.call(&account(2), registry, moved).await;

    let (mut before, mut seen) = (first.clone(), vec![first.clone()]);
    let last = loop {
        let view = next(&mut views).await;
        assert_eq!(view.block.number, before.block.number + report_blocks, "none is left out");
        seen.push(view.clone());
        let ids: Vec<u16> = active(&view).iter().map(|one| one.id.get()).collect();
        if ids == [1, 3, 4, 5, 6] && active(&view)[1].endpoint.starts_with("/dns4/three") {
            break view;
        }
        before = view;
    };
    assert_ne!(root(&last), root(&first));
    assert!(matches!(&*state.borrow(), RegistryState::Ok { active: 5, .. }));
    // The newest state is another by now: each view is of its own block, by its hash.
    for view in &seen {
        let at = At::Block(view.block.hash);
        assert_eq!(contract.root(at).await.unwrap(), root(view));
        assert_eq!(reader.block(view.block.number).await.unwrap(), view.block);
    }
    let unknown = contract.root(At::Block(Digest::new([1; 32]))).await;
    assert!(matches!(unknown, Err(ReadError::Rpc(_))), "{unknown:?}");
    assert!(contract.validator(ValidatorId::new(99), At::Latest).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reported_block_has_the_registry_of_that_block() {
    views_of_a_changing_registry(Chain::dev(200).await, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_anvil() {
    let Some(chain) = Chain::anvil().await else { return };
    views_of_a_changing_registry(chain, 2).await;
}

/// What a hostile endpoint answers to a call, with the truth at hand.
type Lie = fn(method: &str, input: &str, truth: Value) -> Value;

#[derive(Clone)]
struct Liar {
    upstream: String,
    honest: Arc<AtomicBool>,
    lie: Lie,
}

async fn answer(State(liar): State<Liar>, Json(request): Json<Value>) -> Json<Value> {
    let truth = reqwest::Client::new().post(&liar.upstream).json(&request).send().await.unwrap();
    let truth: Value = truth.json().await.unwrap();
    if liar.honest.load(Ordering::SeqCst) {
        return Json(truth);
    }
    let method = request["method"].as_str().unwrap();
    let input = request["params"][0]["input"].as_str().unwrap_or_default();
    Json((liar.lie)(method, input, truth))
}

/// An endpoint that lies until it is told to be honest.
async fn liar(upstream: String, lie: Lie) -> (String, Arc<AtomicBool>) {
    let honest = Arc::new(AtomicBool::new(false));
    let router =
        Router::new().route("/", post(answer)).with_state(Liar { upstream, honest: honest.clone(), lie });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}"), honest)
}

fn instead(mut answer: Value, result: Value) -> Value {
    answer["result"] = result;
    answer
}

fn is(input: &str, selector: [u8; 4]) -> bool {
    input.starts_with(&alloy::primitives::hex::encode_prefixed(selector))
}

/// What it says, and what is found out about it.
const LIES: [(Lie, &str); 9] = [
    (
        |method, _, truth| if method == "eth_chainId" { instead(truth, json!("0x5")) } else { truth },
        "serves chain 5, the genesis file names chain 1337",
    ),
    (
        |_, input, truth| {
            if is(input, rootCall::SELECTOR) {
                instead(truth, json!(format!("0x{}", "11".repeat(32))))
            } else {
                truth
            }
        },
        "the contract says 1111",
    ),
    (
        // Two million members in an offset and a length.
        |_, input, truth| {
            let words = format!("0x{:064x}{:064x}", 32, 2_000_000);
            if is(input, activeCall::SELECTOR) { instead(truth, json!(words)) } else { truth }
        },
        "is it the contract of the genesis file?",
    ),
    (
        |_, input, truth| {
            let one = format!("{:064x}{:064x}{:064x}", 1, 2, 3);
            let all = format!("0x{:064x}{:064x}{}", 32, 101, one.repeat(101));
            if is(input, activeCall::SELECTOR) { instead(truth, json!(all)) } else { truth }
        },
        "lists 101 active validators",
    ),
    (
        |_, input, truth| {
            let one = format!("0x{:064x}{:064x}{:064x}{:064x}{:064x}", 32, 1, 77, 2, 3);
            if is(input, activeCall::SELECTOR) { instead(truth, json!(one)) } else { truth }
        },
        "contradicts itself about validator 77",
    ),
    (
        |method, _, truth| if method == "eth_call" { instead(truth, json!("0x")) } else { truth },
        "no contract at",
    ),
    (
        |method, _, truth| {
            if method == "eth_call" { instead(truth, json!("00".repeat(2 << 20))) } else { truth }
        },
        "more than 1048576 bytes",
    ),
    (
        |method, _, truth| if method == "eth_getBlockByNumber" { instead(truth, Value::Null) } else { truth },
        "does not have block finalized",
    ),
    (
        |_, _, mut truth| {
            truth["error"] = json!({ "code": -1, "message": format!("no\u{1b}[31m{}", "!".repeat(5_000)) });
            truth
        },
        "no[31m!!!",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_endpoint_is_told_and_forgiven() {
    let chain = Chain::dev(100).await;
    let contracts = founded(&chain).await;
    for (lie, words) in LIES {
        let (url, honest) = liar(chain.url(), lie).await;
        let (mut views, mut state) = followed(&url, contracts, 1);
        let failing = state.wait_for(|state| matches!(state, RegistryState::Failing { .. }));
        let failing = tokio::time::timeout(PATIENCE, failing).await.unwrap().unwrap().clone();
        let RegistryState::Failing { why, block: None } = failing else { panic!("{failing:?}") };
        assert!(
            why.contains(words) && why.len() < 400 && !why.contains('\u{1b}'),
            "{words:?} is not in {why:?}"
        );
        honest.store(true, Ordering::SeqCst);
        // The deployment may not be final yet: then it is read as soon as it is.
        assert_eq!(active(&next(&mut views).await).len(), 4, "{words}");
    }
}

/// A block of far beyond: it is not read, and what it claimed is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_a_block_that_nobody_has_changes_nothing() {
    let chain = Chain::dev(100).await;
    let contracts = founded(&chain).await;
    let lie: Lie = |method, _, mut truth| {
        if method == "eth_getBlockByNumber" {
            truth["result"]["number"] = json!("0xffffffffffffff00");
            truth["result"]["hash"] = json!(format!("0x{}", "22".repeat(32)));
        }
        truth
    };
    let (url, honest) = liar(chain.url(), lie).await;
    let (mut views, mut state) = followed(&url, contracts, 4);
    let failing = state.wait_for(|state| matches!(state, RegistryState::Failing { .. }));
    tokio::time::timeout(PATIENCE, failing).await.unwrap().unwrap();
    honest.store(true, Ordering::SeqCst);
    let view = next(&mut views).await;
    assert!(view.block.number < 1_000_000);
    assert_eq!(view.block.number % 4, 0);
}

#[tokio::test]
async fn a_dead_endpoint_is_told_without_its_secrets() {
    let contracts = (Address::repeat_byte(1), Address::repeat_byte(2));
    let (mut views, mut state) = followed("http://user:secret@127.0.0.1:1/secret", contracts, 1);
    let failing =
        state.wait_for(|state| matches!(state, RegistryState::Failing { .. })).await.unwrap().clone();
    let RegistryState::Failing { why, block: None } = failing else { panic!("{failing:?}") };
    assert!(why.contains("127.0.0.1:1") && !why.contains("secret"), "{why}");
    assert!(views.try_recv().is_err());
}

/// Somebody puts an entry into the queue.
async fn enqueue(chain: &Chain, inbox: Address, rollup: u32, data: Vec<u8>) {
    let call = enqueueCall { rollup, data: data.into() };
    let request = TransactionRequest::default().with_to(inbox).with_input(call.abi_encode());
    let receipt = chain.send(&account(3), request.with_value(U256::from(10_u64.pow(17)))).await;
    assert!(receipt.status(), "the contract refuses the entry");
}

fn queue_of(entries: &[ForcedEntry]) -> QueueMark {
    entries.iter().fold(QueueMark::default(), |at, entry| at.with(&entry.leaf()))
}

/// Each finalized block shows the queue as it was then, by the contract's own accumulator; what is between two of them is read when it is asked for, from
/// whichever entry on.
async fn the_queue_is_read(chain: Chain) {
    let (inbox, registry) = founded(&chain).await;
    let (mut feed, _state) = follow(&chain.url(), &spec((inbox, registry), 1)).unwrap();
    assert_eq!(next(&mut feed.sights).await.queue, QueueMark::default());

    let mut entries = Vec::new();
    for (n, length) in [1_usize, 700, 16_384, 16_384, 16_384, 3, 40].into_iter().enumerate() {
        let entry =
            ForcedEntry { rollup: RollupId::new(n as u32 % 3), data: vec![n as u8 + 1; length].into() };
        enqueue(&chain, inbox, entry.rollup.get(), entry.data.to_vec()).await;
        entries.push(entry);
    }
    let all = queue_of(&entries);
    loop {
        let seen = next(&mut feed.sights).await.queue;
        assert_eq!(seen, queue_of(&entries[..seen.count as usize]));
        if seen == all {
            break;
        }
    }
    for first in [0, 5, 2, 6] {
        let from = queue_of(&entries[..first]);
        feed.questions.send_replace(Some((from, all)));
        let answer = tokio::time::timeout(PATIENCE, feed.answers.recv()).await.unwrap().unwrap();
        let told = answer.entries.len();
        assert!(told > 0);
        assert_eq!((answer.from, &answer.entries[..]), (from, &entries[first..first + told]));
        assert_eq!(answer.marks().1, all);
    }
    // What is not there is not answered; what is asked next is.
    feed.questions.send_replace(Some((QueueMark { count: 1, accumulator: Digest::ZERO }, all)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    feed.questions.send_replace(Some((queue_of(&entries[..6]), all)));
    let answer = tokio::time::timeout(PATIENCE, feed.answers.recv()).await.unwrap().unwrap();
    assert_eq!(
        answer,
        ForcedMessage { from: queue_of(&entries[..6]), entries: entries[6..].to_vec(), leaves: vec![] }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_read_as_it_was_at_each_block() {
    the_queue_is_read(Chain::dev(100).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_on_anvil() {
    let Some(chain) = Chain::anvil().await else { return };
    the_queue_is_read(chain).await;
}
