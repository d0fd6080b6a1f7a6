//! The development L1 is ours, so it must not be the only judge of what we do on L1: here anvil, which others wrote,
//! gets the same contract, founding and batches beside it. Both must come to the same results.
//!
//! Needs anvil: `ANVIL` names the program, otherwise it is looked for on the path; without one the tests are skipped, or
//! fail if `REQUIRE_ANVIL=1`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::io::Write;
use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U64, hex};
use alloy::rpc::types::Log;
use alloy::sol_types::{SolCall, SolError, SolEvent};
use batcher::http::Shown;
use batcher::l1::{L1, Simulation, Task};
use batcher::status::Status;
use batcher_format::kzg::Kzg;
use batcher_format::{BatchHeader, SealedBatch, signing_digest};
use ordering_types::{Epoch, GroupSignature};
use rollup::inbox::ISequencerInbox::{AlreadyInitialised, BatchPosted, InvalidGroupSignature, WrongNumber};
use rollup::inbox::ISequencerInbox::{initialiseCall, postCall};
use rollup::inbox::{digest, post_call, word};
use rollup::l1::{RpcError, RpcRefusal};
use serde_json::{Value, json};
use support::anvil::Anvil;
use support::chain::Chain;
use support::poster::{Running, derived, start};
use support::shape::{self, alike};
use support::{Network, until};

/// Most gas that posting a batch may cost.
const MOST_GAS: u64 = 100_000;
/// Who pays for what is sent past the batcher.
const OTHER_PAYER: u32 = 1;

/// To the terminal even when the test passes.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The same network on the development L1 and on anvil; `None` where there is no anvil.
async fn twins(test: &str) -> Option<[Network; 2]> {
    let Some(program) = Anvil::find() else {
        say(&format!("{test}: SKIPPED, anvil is not installed (set ANVIL to its program)"));
        return None;
    };
    let ours = Network::start().await;
    let theirs = ours.again_on(Chain::Anvil(Anvil::start(&program).await)).await;
    Some([ours, theirs])
}

/// The batcher founds the network and posts batches of one and of several blobs on both chains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_batches_have_the_same_effect_on_both() {
    let Some(networks) = twins("the_same_batches_have_the_same_effect_on_both").await else { return };
    let [ours, theirs] = &networks;
    let batchers = [start(ours, 0, 1, 0), start(theirs, 0, 1, 0)];
    // 300 KB of noise: three blobs.
    for (number, bytes) in [(1, 100), (2, 50_000), (3, 1_000)] {
        ours.seal(bytes);
        derived(ours, number).await;
        derived(theirs, number).await;
    }
    for (network, batcher) in networks.iter().zip(&batchers) {
        network.check_derivation().await;
        check_events(network).await;
        let status = until("status", async || Some(batcher.board.status()).filter(|s| s.posted == 3)).await;
        assert_eq!((status.reverted, status.lost_races), (0, 0), "{}", network.l1.name());
    }
    for batcher in batchers {
        batcher.task.abort();
    }
    let gas = check_receipts(ours, theirs).await;
    assert_eq!(gas.len(), 4, "initialise and three batches");
    say(&format!("gas on anvil and dev-l1 alike: initialise {}, post {:?}", gas[0], &gas[1..]));
    assert!(gas[1..].iter().all(|gas| *gas < MOST_GAS), "{gas:?}");
    check_state(ours, theirs).await;
    check_shapes(ours, theirs).await;
}

/// Two handovers between batches, one of them seen together with what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_take_handovers_in_sequence_with_batches() {
    let Some(networks) = twins("both_take_handovers_in_sequence_with_batches").await else { return };
    let [ours, theirs] = &networks;
    let batchers = [start(ours, 0, 1, 0), start(theirs, 0, 1, 0)];
    ours.seal(100);
    ours.rotate();
    for batcher in &batchers {
        until("a rotation", async || Some(batcher.board.status()).filter(|s| s.rotations == 1)).await;
    }
    ours.seal(100);
    ours.rotate();
    ours.seal(100);
    for (network, batcher) in networks.iter().zip(&batchers) {
        derived(network, 3).await;
        network.check_derivation().await;
        let status = until("status", async || Some(batcher.board.status()).filter(|s| s.posted == 3)).await;
        assert_eq!((status.rotations, status.reverted, status.epoch), (2, 0, 2), "{}", network.l1.name());
        let mut deriver = network.deriver();
        while deriver.next().await.unwrap().is_some() {}
        let epoch = Epoch::new(2);
        assert_eq!(deriver.key(), Some((epoch, network.committee.key(epoch))), "{}", network.l1.name());
    }
    for batcher in batchers {
        batcher.task.abort();
    }
    let gas = check_receipts(ours, theirs).await;
    assert_eq!(gas.len(), 6, "initialise, three batches and two handovers");
    say(&format!("gas on anvil and dev-l1 alike: handovers {} and {}", gas[2], gas[4]));
    check_state(ours, theirs).await;
}

/// anvil drops the transactions of the blocks that it undoes, blobs and all: the batcher posts again what they held. Its prices jump, too, and
/// its pool forgets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvils_reorganisations_spikes_and_forgetful_pool_lose_nothing() {
    let Some([_, network]) = twins("anvils_reorganisations_spikes_and_forgetful_pool_lose_nothing").await
    else {
        return;
    };
    let batcher = start(&network, 0, 1, 0);
    let ask = async |method: &'static str, params: Value| -> Value {
        network.rpc.call(method, params).await.unwrap()
    };
    let mut number = 0;
    let mut next = async || {
        number += 1;
        network.seal(100);
        derived(&network, number).await;
        number
    };
    for depth in [1, 3, 10] {
        let posted = next().await;
        ask("anvil_mine", json!([U64::from(depth)])).await;
        let undone = next().await;
        // What was not seen on L1 is not missed there.
        status_of(&batcher, |status| status.next_number > undone && status.in_flight == 0).await;
        ask("anvil_reorg", json!([depth, []])).await;
        derived(&network, posted + 1).await;
        network.check_derivation().await;
    }
    status_of(&batcher, |status| status.reorganised > 0).await;
    ask("evm_setIntervalMining", json!([0])).await;
    network.seal(100);
    status_of(&batcher, |status| status.in_flight == 1).await;
    ask("anvil_dropAllTransactions", json!([])).await;
    ask("anvil_setNextBlockBaseFeePerGas", json!(["0x6fc23ac00"])).await;
    ask("evm_setIntervalMining", json!([1])).await;
    derived(&network, 7).await;
    network.check_derivation().await;
    assert_eq!(batcher.board.status().reverted, 0);
    batcher.task.abort();
}

async fn status_of(batcher: &Running, done: impl Fn(&Status) -> bool) {
    until("a status", async || done(&batcher.board.status()).then_some(())).await;
}

/// Every event says what was sealed.
async fn check_events(network: &Network) {
    let sealed = network.store.lock().unwrap().sealed.clone();
    let logs: Vec<Log> = network.rpc.call("eth_getLogs", logs_filter(network)).await.unwrap();
    assert_eq!(logs.len(), sealed.len(), "{}", network.l1.name());
    for (log, batch) in logs.iter().zip(sealed.values()) {
        let event = BatchPosted::decode_log(&log.inner).unwrap().data;
        assert_eq!(BatchHeader::from(&event.header), batch.header);
        assert_eq!((event.number, digest(event.id)), (batch.header.number, batch.header.id()));
        assert_eq!(digest(event.calldataHash), batch.encoded.calldata_hash());
        let hashes: Vec<_> = event.blobHashes.iter().map(|hash| digest(*hash)).collect();
        assert_eq!(hashes, batch.encoded.blob_hashes());
        assert_eq!(hashes.len(), if batch.header.number == 2 { 3 } else { 1 });
    }
}

fn inbox(network: &Network) -> Address {
    Address::from(*network.spec.inbox.as_bytes())
}

fn logs_filter(network: &Network) -> Value {
    let topics = [BatchPosted::SIGNATURE_HASH];
    json!([{ "address": inbox(network), "fromBlock": "0x0", "toBlock": "latest", "topics": topics }])
}

/// What both chains' receipts of the same calls must have in common; returns the gas of each.
async fn check_receipts(ours: &Network, theirs: &Network) -> Vec<u64> {
    let (left, right) = (ours.raw_receipts().await, theirs.raw_receipts().await);
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(&right) {
        for field in
            ["type", "status", "gasUsed", "blobGasUsed", "from", "to", "contractAddress", "logsBloom"]
        {
            assert_eq!(left.get(field), right.get(field), "{field}: {left} {right}");
        }
        let logs = |receipt: &Value| {
            let logs = receipt["logs"].as_array().unwrap().clone();
            let told = |log: &Value| ["address", "topics", "data"].map(|field| log[field].clone());
            logs.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(logs(left), logs(right));
    }
    left.iter()
        .map(|receipt| serde_json::from_value::<U64>(receipt["gasUsed"].clone()).unwrap().to())
        .collect()
}

/// The contract's code and storage (its README names the slots).
async fn check_state(ours: &Network, theirs: &Network) {
    let mut reads = vec![("eth_getCode", json!([inbox(ours), "latest"]))];
    reads.extend([4, 6, 7, 8, 9].map(|slot| ("eth_getStorageAt", slot_of(ours, slot))));
    for (method, params) in reads {
        let left: Bytes = ours.rpc.call(method, params.clone()).await.unwrap();
        let right: Bytes = theirs.rpc.call(method, params.clone()).await.unwrap();
        assert!(left.iter().any(|byte| *byte != 0), "{method} {params} is empty");
        assert_eq!(left, right, "{method} {params}");
    }
    assert_eq!(check_tip(ours).await, check_tip(theirs).await, "the tip's slot but for its time");
}

/// The tip's slot has the time of the last post in its highest seven bytes, which is each chain's own: it must be that block's.
/// Returns the rest.
async fn check_tip(network: &Network) -> Bytes {
    let slot: Bytes = network.rpc.call("eth_getStorageAt", slot_of(network, 5)).await.unwrap();
    let (time, rest) = slot.split_at(7);
    let logs: Vec<Value> = network.rpc.call("eth_getLogs", logs_filter(network)).await.unwrap();
    let at = json!([logs.last().unwrap()["blockNumber"], false]);
    let block: Value = network.rpc.call("eth_getBlockByNumber", at).await.unwrap();
    let mined: U64 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    assert_eq!(time, &mined.to_be_bytes::<8>()[1..], "{}", network.l1.name());
    Bytes::copy_from_slice(rest)
}

fn slot_of(network: &Network, slot: u64) -> Value {
    json!([inbox(network), format!("{slot:#x}"), "latest"])
}

/// One call that the batcher or a rollup makes, and the fields of the answer that they read.
struct Asked {
    method: &'static str,
    params: fn(&Network, &Posted) -> Value,
    read: &'static [&'static str],
}

/// Where one chain has batch 2.
struct Posted {
    block_hash: Value,
    block_number: Value,
    transaction: Value,
}

const ASKED: [Asked; 15] = [
    Asked { method: "eth_chainId", params: |_, _| json!([]), read: &[] },
    Asked { method: "eth_blockNumber", params: |_, _| json!([]), read: &[] },
    Asked { method: "eth_maxPriorityFeePerGas", params: |_, _| json!([]), read: &[] },
    Asked {
        method: "eth_feeHistory",
        params: |_, _| json!(["0x1", "latest", []]),
        read: &["baseFeePerGas", "baseFeePerBlobGas", "oldestBlock"],
    },
    Asked { method: "eth_getBlockByNumber", params: |_, at| json!([at.block_number, false]), read: BLOCK },
    Asked { method: "eth_getBlockByNumber", params: |_, _| json!(["latest", false]), read: BLOCK },
    Asked { method: "eth_getBlockByNumber", params: |_, _| json!(["safe", false]), read: BLOCK },
    Asked { method: "eth_getBlockByNumber", params: |_, _| json!(["finalized", false]), read: BLOCK },
    Asked { method: "eth_getBlockByHash", params: |_, at| json!([at.block_hash, false]), read: BLOCK },
    Asked {
        method: "eth_getTransactionByHash",
        params: |_, at| json!([at.transaction]),
        read: &["hash", "to", "input", "from", "blobVersionedHashes", "maxFeePerBlobGas", "blockHash"],
    },
    Asked {
        method: "eth_getTransactionReceipt",
        params: |_, at| json!([at.transaction]),
        read: &[
            "status",
            "gasUsed",
            "blobGasUsed",
            "blobGasPrice",
            "effectiveGasPrice",
            "blockNumber",
            "logs",
        ],
    },
    Asked { method: "eth_getLogs", params: |network, _| logs_filter(network), read: &[] },
    Asked { method: "eth_getTransactionCount", params: |_, _| json!([payer(), "latest"]), read: &[] },
    Asked { method: "eth_getBalance", params: |_, _| json!([payer(), "latest"]), read: &[] },
    Asked { method: "eth_getTransactionCount", params: |_, _| json!([payer(), "pending"]), read: &[] },
];

const BLOCK: &[&str] = &["hash", "parentHash", "number", "timestamp", "baseFeePerGas", "excessBlobGas"];
const LOG: &[&str] =
    &["address", "topics", "data", "blockHash", "blockNumber", "transactionHash", "logIndex", "removed"];

fn payer() -> Address {
    support::account(0).address()
}

/// Where both chains answer with a field, it must have one type; what we read must be there.
async fn check_shapes(ours: &Network, theirs: &Network) {
    let places = [posted(ours).await, posted(theirs).await];
    for Asked { method, params, read } in ASKED {
        let left: Value = ours.rpc.call(method, params(ours, &places[0])).await.unwrap();
        let right: Value = theirs.rpc.call(method, params(theirs, &places[1])).await.unwrap();
        for field in read {
            assert!(
                !left[field].is_null() && !right[field].is_null(),
                "{method} lacks {field}: {left} {right}"
            );
        }
        if method == "eth_getLogs" {
            for (log, field) in
                [&left[1], &right[1]].into_iter().flat_map(|log| LOG.iter().map(move |f| (log, f)))
            {
                assert!(!log[field].is_null(), "a log lacks {field}: {log}");
            }
        }
        let mut one_sided = Vec::new();
        if let Err(difference) = alike(&left, &right, &mut one_sided) {
            panic!("{method}: {difference}\n dev-l1 {left}\n anvil  {right}");
        }
        // anvil may say more (what geth has dropped, for one); a field of the development L1 alone is its own invention.
        assert!(
            one_sided.iter().all(|name| name.starts_with('>')),
            "{method}: only dev-l1 has {one_sided:?}"
        );
    }
}

async fn posted(network: &Network) -> Posted {
    let logs: Vec<Value> = network.rpc.call("eth_getLogs", logs_filter(network)).await.unwrap();
    let [block_hash, block_number, transaction] =
        ["blockHash", "blockNumber", "transactionHash"].map(|field| logs[1][field].clone());
    Posted { block_hash, block_number, transaction }
}

/// A forged signature, the true one, the same batch once more, and a second founding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_refuse_forgeries_and_repetitions() {
    let Some(networks) = twins("both_refuse_forgeries_and_repetitions").await else { return };
    let [ours, theirs] = &networks;
    let batchers = [start(ours, 0, 1, 0), start(theirs, 0, 1, 0)];
    ours.seal(100);
    derived(ours, 1).await;
    derived(theirs, 1).await;
    for batcher in batchers {
        batcher.task.abort();
    }
    ours.seal(100);
    let good = Arc::clone(&ours.store.lock().unwrap().sealed[&2]);
    let forged = forge(&good);
    let (good_task, forged_task) = (task(&good).await, task(&forged).await);
    for network in &networks {
        let l1 = network.as_seen_by(OTHER_PAYER);
        let Simulation::Succeeds(gas) = network.simulate(&l1, &good_task).await else {
            panic!("the true signature is refused")
        };
        let refused = network.simulate(&l1, &forged_task).await;
        assert!(matches!(refused, Simulation::Rejected(why) if why.contains("InvalidGroup")));
        check_forgery(network, &good, &forged).await;
        let nonce = network.signed(&l1, &good_task, gas, false).await.nonce;
        assert_eq!(mine(network, &l1, &forged_task, gas).await, (false, nonce));
        assert_eq!(mine(network, &l1, &good_task, gas).await, (true, nonce + 1));
        derived(network, 2).await;

        let refusal = simulate(network, &good).await.unwrap_err();
        let error = WrongNumber::abi_decode(&revert_data(&refusal)).unwrap();
        assert_eq!((error.expected, error.got), (3, 2));
        assert_eq!(network.simulate(&l1, &good_task).await, Simulation::Past);
        assert_eq!(mine(network, &l1, &good_task, gas).await, (false, nonce + 2));
        network.check_derivation().await;
    }
    let gas = check_receipts(ours, theirs).await;
    say(&format!("gas on anvil and dev-l1 alike: forged {}, true {}, repeated {}", gas[2], gas[3], gas[4]));
    assert_eq!(gas.len(), 5, "initialise, the batcher's batch, and three of the other payer");

    let again =
        initialiseCall { keyX: 1.try_into().unwrap(), keyY: 2.try_into().unwrap(), signatures: vec![] };
    let mut refusals = Vec::new();
    for network in &networks {
        let call = json!({ "to": inbox(network), "input": Bytes::from(again.abi_encode()) });
        let answer = network.rpc.call::<Bytes>("eth_call", json!([call, "latest"])).await;
        let refusal = refused(answer.unwrap_err());
        assert_eq!(revert_data(&refusal), AlreadyInitialised::SELECTOR);
        refusals.push((refusal.code, refusal.data));
    }
    assert_eq!(refusals[0], refusals[1]);
}

/// The digest that the contract computed is the one that the group signed, and the only thing wrong is the signature.
async fn check_forgery(network: &Network, good: &SealedBatch, forged: &SealedBatch) {
    let refusal = simulate(network, forged).await.unwrap_err();
    let by_contract = InvalidGroupSignature::abi_decode(&revert_data(&refusal)).unwrap();
    let signed = signing_digest(&network.spec.domain(), &good.header, good.encoded.carrier().hash());
    assert_eq!(by_contract.digest, word(signed));
    let key = network.committee.key(good.header.epoch);
    assert!(key.verify(signed, &good.signature).is_ok());
    assert!(key.verify(signed, &forged.signature).is_err());
    assert!(simulate(network, good).await.unwrap().is_empty());
}

fn forge(batch: &SealedBatch) -> SealedBatch {
    let mut bytes = *batch.signature.as_bytes();
    bytes[64] ^= 1;
    SealedBatch {
        header: batch.header.clone(),
        encoded: Arc::clone(&batch.encoded),
        signature: GroupSignature::new(bytes),
    }
}

async fn task(batch: &SealedBatch) -> Task {
    let batches = [Arc::new(batch.clone())];
    let made = tokio::task::spawn_blocking(move || Task::post(&batches, Kzg::shared()).unwrap());
    made.await.unwrap().unwrap()
}

/// Sends what the batcher's own checks would keep back, and waits until it is mined: whether it succeeded, and its
/// nonce.
async fn mine(network: &Network, l1: &L1, task: &Task, gas: u64) -> (bool, u64) {
    let send = network.signed(l1, task, gas, false).await;
    let hash = l1.send(task, &send).await.unwrap();
    (network.mined(l1, hash).await, send.nonce)
}

/// Calls `post` with the batch's blobs and changes nothing.
async fn simulate(network: &Network, batch: &SealedBatch) -> Result<Bytes, RpcRefusal> {
    let call: postCall = post_call(batch).unwrap();
    let hashes: Vec<B256> = batch.encoded.blob_hashes().into_iter().map(word).collect();
    let call = json!({
        "from": support::account(OTHER_PAYER).address(),
        "to": inbox(network),
        "input": Bytes::from(call.abi_encode()),
        "blobVersionedHashes": hashes,
        "maxFeePerBlobGas": "0x64",
    });
    network.rpc.call("eth_call", json!([call, "latest"])).await.map_err(refused)
}

fn refused(error: RpcError) -> RpcRefusal {
    match error {
        RpcError::Refused(refusal) => refusal,
        other => panic!("no refusal: {other}"),
    }
}

fn revert_data(refusal: &RpcRefusal) -> Vec<u8> {
    hex::decode(refusal.data.as_ref().unwrap()).unwrap()
}

/// The comparison itself can fail.
#[test]
fn shapes_that_differ_are_told_apart() {
    shape::check_itself();
}
