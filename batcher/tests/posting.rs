//! Batchers against the development L1 with the real contract: everything that is sealed gets onto L1 once, in order, and
//! comes back out of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use alloy::sol_types::SolCall;
use batcher::carrier::Load;
use batcher::http::Shown;
use batcher::l1::{Simulation, Task};
use batcher_format::SealedBatch;
use batcher_format::kzg::Kzg;
use rollup::inbox::post_calldata_call;
use serde_json::json;
use support::poster::{derived, start, start_patient};
use support::{INLINE_BYTES, Network, SLOT, account, until};

/// What the choice of a carrier reckons with is within a tenth of what the contract takes.
fn near(gas: u64, reckoned: u64) {
    assert!(gas.abs_diff(reckoned) * 10 < gas, "{reckoned} of {gas}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_batcher_founds_posts_and_everything_is_derived_again() {
    let network = Network::start().await;
    network.seal(100);
    let batcher = start(&network, 0, 1, 0);
    derived(&network, 1).await;
    // 300 KB of noise: three blobs.
    network.seal(50_000);
    derived(&network, 2).await;
    network.check_derivation().await;

    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    let gas: Vec<u64> = receipts.iter().map(|(.., gas)| *gas).collect();
    assert_eq!(gas.len(), 3, "initialise and two batches");
    near(gas[2], Load::in_blobs(1, 0, 0, INLINE_BYTES).gas);
    assert!(gas[1..].iter().all(|gas| *gas < 100_000), "{gas:?}");
    let status = until("status", async || Some(batcher.board.status()).filter(|s| s.posted == 2)).await;
    assert_eq!((status.reverted, status.lost_races), (0, 0));
    assert_eq!(batcher.board.not_ready(), None);
    assert!(batcher.board.metrics().contains("batcher_posted_total 2"));
    batcher.task.abort();
}

/// L1 was away while batches were sealed: what waits goes out together, as many blobs as one transaction carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_l1_is_posted_together() {
    let network = Network::start().await;
    // One blob each, then one of three, which does not fit beside four others.
    for bytes in [200, 300, 400, 500, 50_000, 100] {
        network.seal(bytes);
    }
    let batcher = start(&network, 0, 1, 0);
    derived(&network, 6).await;
    network.check_derivation().await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    assert_eq!(receipts.len(), 3, "initialise, batches 1 to 4, batches 5 and 6: {receipts:?}");
    near(receipts[2].2, Load::in_blobs(2, 0, 0, 2 * INLINE_BYTES).gas);
    let status = until("status", async || Some(batcher.board.status()).filter(|s| s.posted == 6)).await;
    assert_eq!((status.reverted, status.lost_races), (0, 0));
    batcher.task.abort();
}

/// Another batcher posts the first of them alone; the rest still counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_goes_on_after_what_another_batcher_posted_of_it() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 1).await;
    batcher.task.abort();
    for _ in 0..3 {
        network.seal(100);
    }
    let post = async |payer: u32, batches: Vec<Arc<SealedBatch>>| {
        let l1 = network.as_seen_by(payer);
        let made = tokio::task::spawn_blocking(move || Task::post(&batches, Kzg::shared()).unwrap());
        let task = made.await.unwrap().unwrap();
        let Simulation::Succeeds(gas) = network.simulate(&l1, &task).await else {
            panic!("{task} is not wanted")
        };
        let hash = l1.send(&task, &network.signed(&l1, &task, gas, false).await).await.unwrap();
        network.mined(&l1, hash).await
    };
    let sealed = |numbers: std::ops::RangeInclusive<u64>| numbers.map(|n| network.sealed(n)).collect();
    assert!(post(1, sealed(2..=2)).await);
    assert!(post(0, sealed(2..=4)).await, "the series was refused");
    assert_eq!(network.receipts().await.len(), 4);
    derived(&network, 4).await;
    network.check_derivation().await;
}

/// A call that carries its payload itself is as good as blobs, and derivation reads it from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_in_calldata_is_derived_from_the_log() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 1).await;
    batcher.task.abort();
    network.seal(2_000);
    let call = post_calldata_call(&network.sealed(2)).unwrap();
    let receipt = network.call_inbox(1, call.abi_encode()).await;
    assert!(receipt.status());
    // A transaction of the floor's price: 21,000 and 10 a token (EIP-7623), which the log is free under.
    let tokens: u64 = call.abi_encode().iter().map(|byte| if *byte == 0 { 1 } else { 4 }).sum();
    assert_eq!(receipt.gas_used, 21_000 + 10 * tokens);
    let input = call.abi_encode();
    assert_eq!(
        Load::in_calldata(&input, call.payload.len()).gas,
        receipt.gas_used,
        "what the choice reckons with"
    );
    let again = start(&network, 0, 1, 0);
    network.seal(100);
    derived(&network, 3).await;
    network.check_derivation().await;
    again.task.abort();
}

/// Two batchers with the same work: each batch has one transaction, and nobody burns gas. (They are patient, so that a
/// busy machine that delays one of them is not taken for its death.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batchers_keep_out_of_each_others_way() {
    let network = Network::start().await;
    let running = [start_patient(&network, 0, 2, 0, SLOT * 5), start_patient(&network, 1, 2, 1, SLOT * 5)];
    for number in 1..=4 {
        network.seal(200);
        derived(&network, number).await;
    }
    network.check_derivation().await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "gas was burnt: {receipts:?}");
    assert_eq!(receipts.len(), 5, "{receipts:?}");
    for batcher in running {
        batcher.task.abort();
    }
}

/// The batcher whose turn it is dies: the other posts within two slots. It comes back with nothing but its key and
/// goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_batcher_costs_less_than_two_slots() {
    let network = Network::start().await;
    let first = start(&network, 0, 2, 0);
    let second = start(&network, 1, 2, 1);
    network.seal(200);
    derived(&network, 1).await;

    // Batch 2 is the first one's turn.
    first.task.abort();
    network.seal(200);
    let sealed = tokio::time::Instant::now();
    derived(&network, 2).await;
    // Two slots, and what a poll and a busy machine add.
    assert!(sealed.elapsed() < SLOT * 2 + Duration::from_secs(2), "{:?}", sealed.elapsed());

    assert_eq!(network.receipts().await.last().unwrap().0, account(1).address());

    second.task.abort();
    let again = start(&network, 0, 2, 0);
    network.seal(200);
    network.seal(200);
    derived(&network, 4).await;
    network.check_derivation().await;
    again.task.abort();
}

/// A batcher is killed after its transaction went out; the pool's memory of it must not stop its successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_a_transaction_in_the_pool_goes_on() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    let _: serde_json::Value = network.rpc.call("dev_setAutomine", json!([false])).await.unwrap();
    network.seal(200);
    until("a transaction in the pool", async || {
        let pool: serde_json::Value = network.rpc.call("txpool_status", json!([])).await.unwrap();
        (pool["pending"] != json!("0x0")).then_some(())
    })
    .await;
    batcher.task.abort();
    let again = start(&network, 0, 1, 0);
    let _: serde_json::Value = network.rpc.call("dev_setAutomine", json!([true])).await.unwrap();
    network.seal(200);
    derived(&network, 3).await;
    network.check_derivation().await;
    assert!(network.receipts().await.iter().all(|(_, success, _)| *success));
    again.task.abort();
}

/// Out of money is said, harms nothing, and is over as soon as there is some.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_wallet_is_named_and_refilled() {
    let network = Network::start().await;
    network.seal(200);
    let payer = account(0).address();
    let set = async |wei: U256| {
        let _: serde_json::Value = network.rpc.call("dev_setBalance", json!([payer, wei])).await.unwrap();
    };
    set(U256::from(1_000)).await;
    let batcher = start(&network, 0, 1, 0);
    until("the trouble", async || batcher.board.status().trouble.filter(|why| why.contains("out of money")))
        .await;
    set(U256::from(10_u64.pow(18))).await;
    derived(&network, 1).await;
    until("the trouble is over", async || batcher.board.status().trouble.is_none().then_some(())).await;
    batcher.task.abort();
}
