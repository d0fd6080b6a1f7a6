//! What befalls an L1, and the batcher on it: reorganisations, spikes, forgetful pools, endpoints that fail or lie, no money. Each ends with
//! everything on L1, once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use alloy::primitives::{U64, U256};
use batcher::http::Shown;
use batcher::l1::{Endpoints, HANGS_AFTER, L1};
use batcher::turn::Rotation;
use rollup::l1::Rpc;
use serde_json::{Value, json};
use support::chain::Chain;
use support::poster::{Running, derived, start, start_on, start_patient};
use support::{Network, SLOT, account};

/// Whatever a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(60);
const ETHER: u64 = 1_000_000_000_000_000_000;

async fn dev(network: &Network, method: &'static str, params: Value) -> Value {
    network.rpc.call(method, params).await.unwrap()
}

async fn status(batcher: &Running, what: &str, done: impl Fn(&batcher::status::Status) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = batcher.board.status();
        if done(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "never happened: {what}: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One more batch, in the pool of an L1 that makes no blocks.
async fn held_in_the_pool(network: &Network, batcher: &Running) {
    status(batcher, "all is mined", |status| status.in_flight == 0).await;
    dev(network, "dev_setAutomine", json!([false])).await;
    network.seal(200);
    status(batcher, "it flies", |status| status.in_flight == 1).await;
}

/// With an account of its own for calldata.
fn start_with_both(network: &Network) -> Running {
    let l1 = network.as_seen_by(0).with_calldata_account(account(1)).unwrap();
    start_on(network, l1, std::slice::from_ref(&network.node), Rotation::new(0, 1, Duration::ZERO).unwrap())
}

/// What L1 loses it gets again, whether or not its pool kept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reorganisations_of_one_to_ten_blocks_lose_nothing() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    let mut number = 0;
    for (depth, keeps) in [(1, true), (1, false), (3, true), (6, false), (10, false), (10, true)] {
        for _ in 0..2 {
            number += 1;
            network.seal(200);
            derived(&network, number).await;
        }
        let head: U64 = network.rpc.call("eth_blockNumber", json!([])).await.unwrap();
        let short = depth + 2 - head.to::<u64>().min(depth + 2);
        dev(&network, "dev_mine", json!([short.max(1)])).await;
        // Nothing before the contract, which is there since the first blocks.
        let depth = depth.min(head.to::<u64>().saturating_sub(3));
        let switch = json!([{
            "depth": depth, "keepTransactions": keeps, "keepBlobs": keeps, "pastFinalized": true
        }]);
        dev(&network, "dev_reorg", switch).await;
        derived(&network, number).await;
        network.check_derivation().await;
    }
    status(&batcher, "reorganisations are counted", |status| status.reorganised > 0).await;
    batcher.task.abort();
}

/// Base fee and blob base fee jump beyond what the waiting transaction offers; it is replaced at twice the fees or more, as geth's pool wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fee_spike_is_outbid() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    for (gas, blob, factor) in [(true, false, 30), (false, true, 1_000_000), (true, true, 30)] {
        held_in_the_pool(&network, &batcher).await;
        dev(&network, "dev_feeSpike", json!([{ "factor": factor, "blocks": 30, "gas": gas, "blob": blob }]))
            .await;
        dev(&network, "dev_setAutomine", json!([true])).await;
        let number = network.store.lock().unwrap().sealed.len() as u64;
        derived(&network, number).await;
        dev(&network, "dev_feeSpike", json!([{ "blocks": 0 }])).await;
    }
    assert!(network.receipts().await.iter().all(|(_, success, _)| *success));
    assert!(!batcher.board.metrics().contains("batcher_fee_bumps 0\n"), "{}", batcher.board.metrics());
    batcher.task.abort();
}

/// Above the operator's ceiling nothing is sent; below it posting goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_ceiling_nothing_is_sent() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    dev(&network, "dev_feeSpike", json!([{ "factor": 100_000, "blocks": 1_000, "blob": false }])).await;
    dev(&network, "dev_mine", json!([1])).await;
    network.seal(200);
    status(&batcher, "the price is named", |status| {
        status.trouble.as_ref().is_some_and(|why| why.contains("max_fee_gwei"))
    })
    .await;
    assert_eq!(network.receipts().await.len(), 2);
    dev(&network, "dev_feeSpike", json!([{ "blocks": 0 }])).await;
    derived(&network, 2).await;
    status(&batcher, "the trouble is over", |status| status.trouble.is_none()).await;
    batcher.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_pool_forgets_is_sent_again() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    held_in_the_pool(&network, &batcher).await;
    assert_eq!(dev(&network, "dev_dropMempool", json!([])).await, json!(1));
    dev(&network, "dev_setAutomine", json!([true])).await;
    derived(&network, 2).await;
    assert!(network.receipts().await.iter().all(|(_, success, _)| *success));
    batcher.task.abort();
}

/// L1 was away for long: several full transactions wait for the same block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_transactions_fly_when_l1_is_behind() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    dev(&network, "dev_setAutomine", json!([false])).await;
    for _ in 0..18 {
        network.seal(200);
    }
    status(&batcher, "three fly", |status| status.in_flight >= 3).await;
    dev(&network, "dev_setAutomine", json!([true])).await;
    derived(&network, 19).await;
    network.check_derivation().await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    // How many are seen at a time is the nodes' pace; most go out together.
    assert!(receipts.len() <= 2 + 18 / 2, "{receipts:?}");
    batcher.task.abort();
}

/// Two batchers come back from the same outage: neither burns gas in the other's way, though cell proofs of fifteen batches take a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batchers_catch_up_without_burning_gas() {
    let network = Network::start().await;
    let running = [0, 1].map(|index| start_patient(&network, index, 2, index as u32, SLOT * 5));
    network.seal(200);
    derived(&network, 1).await;
    dev(&network, "dev_outage", json!([600])).await;
    for batcher in &running {
        status(batcher, "the outage is seen", |status| status.trouble.is_some()).await;
    }
    for _ in 0..15 {
        network.seal(200);
    }
    dev(&network, "dev_outage", json!([0])).await;
    derived(&network, 16).await;
    network.check_derivation().await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    running.iter().for_each(|batcher| batcher.task.abort());
}

/// Who could send at once what follows on its own transaction leaves it to whose turn it is, who has to see that one mined first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_on_what_flies_is_another_ones_turn() {
    let takeover = SLOT * 2;
    let network = Network::start().await;
    let running = [0, 1].map(|index| start_patient(&network, index, 2, index as u32, takeover));
    network.seal(200);
    network.seal(200);
    derived(&network, 2).await;
    for batcher in &running {
        status(batcher, "all is mined", |status| status.in_flight == 0).await;
    }
    dev(&network, "dev_setAutomine", json!([false])).await;
    network.seal(200);
    status(&running[1], "it flies", |status| status.in_flight == 1).await;
    network.seal(200);
    status(&running[1], "it waits", |status| status.activity == "another batcher's turn: batch 4").await;
    tokio::time::sleep(takeover * 2 + Rotation::preparation(2)).await;
    assert_eq!(running[1].board.status().in_flight, 1);
    dev(&network, "dev_setAutomine", json!([true])).await;
    derived(&network, 4).await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    assert_eq!(receipts.last().unwrap().0, account(0).address());
    running.iter().for_each(|batcher| batcher.task.abort());
}

/// Dear blobs: small batches go in calldata, from the other account; cheap ones: in blobs again. Never the same batch in both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cheaper_carrier_is_taken_and_each_has_its_account() {
    let network = Network::start().await;
    let batcher = start_with_both(&network);
    let blob_fee = async |wei: u64| {
        dev(&network, "dev_setBlobBaseFee", json!([U256::from(wei)])).await;
        dev(&network, "dev_mine", json!([1])).await;
    };
    let mut payers = Vec::new();
    for (number, wei, bytes) in
        [(1, 1, 200), (2, 400_000_000_000, 200), (3, 400_000_000_000, 2_000), (4, 1, 20_000)]
    {
        blob_fee(wei).await;
        network.seal(bytes);
        derived(&network, number).await;
        payers.push(network.receipts().await.last().unwrap().0);
    }
    network.check_derivation().await;
    let (blobs, calldata) = (account(0).address(), account(1).address());
    assert_eq!(payers, [blobs, calldata, calldata, blobs]);
    let receipts = network.raw_receipts().await;
    for receipt in &receipts {
        let wanted = if receipt["from"] == json!(blobs) { "0x3" } else { "0x2" };
        assert_eq!(receipt["type"], wanted, "{receipt}");
        assert_eq!(receipt["status"], "0x1");
    }
    assert_eq!(receipts.len(), 5, "the first key, and each batch once");
    status(&batcher, "what calldata carried", |status| status.in_calldata == 2).await;
    batcher.task.abort();
}

/// Too long for calldata is never carried by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_into_calldata_goes_in_blobs_at_any_price() {
    let network = Network::start().await;
    let batcher = start_with_both(&network);
    dev(&network, "dev_setBlobBaseFee", json!([U256::from(100_000_000_000_u64)])).await;
    network.seal(25_000);
    derived(&network, 1).await;
    assert_eq!(network.receipts().await.last().unwrap().0, account(0).address());
    batcher.task.abort();
}

/// It is said once at ERROR level what to do, shown, and over as soon as there is money.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_account_stops_it_and_money_starts_it_again() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    status(&batcher, "the pace is known", |status| status.days_of_funds.is_some_and(|days| days > 0.0)).await;
    let payer = account(0).address();
    dev(&network, "dev_setBalance", json!([payer, U256::from(1_000)])).await;
    network.seal(200);
    status(&batcher, "out of money", |status| status.out_of_money).await;
    let why = batcher.board.not_ready().expect("it cannot work");
    assert!(why.contains("out of money: send ether to the account of `keystore`"), "{why}");
    assert!(batcher.board.metrics().contains("batcher_out_of_money 1"));
    dev(&network, "dev_setBalance", json!([payer, U256::from(ETHER)])).await;
    derived(&network, 2).await;
    status(&batcher, "all is well", |status| !status.out_of_money && status.trouble.is_none()).await;
    batcher.task.abort();
}

/// Both wait for money with the same batch in hand, and get it at the same time: whose turn it is posts, and the other one lets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_batchers_with_money_again_do_not_both_post() {
    let network = Network::start().await;
    let running = [0, 1].map(|index| start_patient(&network, index, 2, index as u32, SLOT * 5));
    network.seal(200);
    derived(&network, 1).await;
    let fill = async |wei: u64| {
        for payer in [0, 1] {
            dev(&network, "dev_setBalance", json!([account(payer).address(), U256::from(wei)])).await;
        }
    };
    for number in [2, 3] {
        fill(1_000).await;
        network.seal(200);
        for batcher in &running {
            status(batcher, "out of money", |status| status.out_of_money).await;
        }
        fill(ETHER).await;
        derived(&network, number).await;
        for batcher in &running {
            status(batcher, "all is well", |status| status.trouble.is_none() && status.in_flight == 0).await;
        }
    }
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    running.iter().for_each(|batcher| batcher.task.abort());
}

/// One L1 with three endpoints.
async fn three() -> (Network, [String; 3]) {
    let network = Network::start_on(Chain::dev_with_endpoints(3).await).await;
    dev(&network, "dev_mine", json!([10])).await;
    let faults = dev(&network, "dev_faults", json!([])).await;
    let urls = faults.as_array().unwrap().iter().map(|one| one["url"].as_str().unwrap().to_owned());
    (network, urls.collect::<Vec<_>>().try_into().unwrap())
}

async fn lie(url: &str, kind: &str, seconds: u64) {
    let rpc = Rpc::new(&[url.to_owned()]).unwrap();
    let mut lie = json!({ "kind": kind, "seconds": seconds });
    if ["staleHead", "futureHead", "forkedHead"].contains(&kind) {
        lie["blocks"] = json!(5);
    }
    let _: Value = rpc.call("dev_lie", json!([lie])).await.unwrap();
}

const LIES: [&str; 8] =
    ["hang", "rateLimit", "garbage", "error", "staleHead", "stuckHead", "futureHead", "forkedHead"];

/// The endpoint that is asked fails in every way there is; everything is posted all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_or_lies_stops_nothing() {
    let (network, urls) = three().await;
    let spec = &network.spec;
    // The first endpoint is the test's own eyes: it does not lie, and comes last.
    let [eyes, one, two] = urls;
    let order = [one.clone(), two.clone(), eyes];
    let l1 = L1::new(&order, spec.l1_chain_id, *spec.inbox.as_bytes(), account(0)).unwrap();
    let rotation = Rotation::new(0, 1, Duration::ZERO).unwrap();
    let batcher = start_on(&network, l1, std::slice::from_ref(&network.node), rotation);
    network.seal(200);
    derived(&network, 1).await;
    for (number, kind) in (2..).zip(LIES) {
        let (liar, other) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        lie(other, kind, 0).await;
        lie(liar, kind, 600).await;
        network.seal(200);
        derived(&network, number).await;
    }
    network.check_derivation().await;
    let receipts = network.receipts().await;
    assert!(receipts.iter().all(|(_, success, _)| *success), "{receipts:?}");
    assert_eq!(receipts.len(), 2 + LIES.len(), "nothing twice: {receipts:?}");
    batcher.task.abort();
}

/// An endpoint of another chain, far higher than ours, is told by its chain id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_another_chain_is_not_asked() {
    let network = Network::start().await;
    let options = dev_l1::Options { chain_id: 7, listen: ([127, 0, 0, 1], 0).into(), ..Default::default() };
    let other = dev_l1::DevL1::spawn(options).await.unwrap();
    let _: Value = Rpc::new(&[other.url()]).unwrap().call("dev_mine", json!([50])).await.unwrap();
    let spec = &network.spec;
    let urls = [other.url(), network.l1.url()];
    let l1 = L1::new(&urls, spec.l1_chain_id, *spec.inbox.as_bytes(), account(0)).unwrap();
    let rotation = Rotation::new(0, 1, Duration::ZERO).unwrap();
    let batcher = start_on(&network, l1, std::slice::from_ref(&network.node), rotation);
    network.seal(200);
    derived(&network, 1).await;
    batcher.task.abort();
    other.stop().await;
}

/// The next endpoint is asked less than a second after the failure is seen; what hangs is seen after [`HANGS_AFTER`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_endpoint_is_asked_at_once() {
    let (network, urls) = three().await;
    for kind in LIES {
        let endpoints = Endpoints::new(&urls, network.l1.chain_id()).unwrap();
        let truth = endpoints.survey().await.unwrap();
        lie(&urls[0], kind, 600).await;
        if kind == "stuckHead" {
            dev(&network, "dev_mine", json!([5])).await;
        }
        let asked = Instant::now();
        let head = endpoints.survey().await.unwrap();
        let number: U64 = endpoints.call("eth_blockNumber", json!([])).await.unwrap();
        let took = asked.elapsed();
        assert!(took < HANGS_AFTER + Duration::from_secs(1), "{kind}: {took:?}");
        assert!(kind == "hang" || took < Duration::from_secs(1), "{kind}: {took:?}");
        assert!((truth.number..truth.number + 8).contains(&head.number), "{kind}: {truth:?} {head:?}");
        assert!(number.to::<u64>() >= head.number && endpoints.good() == 2, "{kind}");
        // Meanwhile it is not asked again.
        let asked = Instant::now();
        let _: U64 = endpoints.call("eth_blockNumber", json!([])).await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1), "{kind}");
        lie(&urls[0], kind, 0).await;
    }
}

/// The only endpoint comes back: there was nothing else to ask, and nothing has to be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_only_endpoint_passes() {
    let network = Network::start().await;
    let batcher = start(&network, 0, 1, 0);
    network.seal(200);
    derived(&network, 1).await;
    for mode in ["refuse", "hang"] {
        dev(&network, "dev_outage", json!([{ "seconds": 600, "mode": mode }])).await;
        network.seal(200);
        status(&batcher, "the outage is seen", |status| status.trouble.is_some()).await;
        dev(&network, "dev_outage", json!([0])).await;
        let number = network.store.lock().unwrap().sealed.len() as u64;
        derived(&network, number).await;
    }
    assert!(network.receipts().await.iter().all(|(_, success, _)| *success));
    batcher.task.abort();
}

/// The protocol's bound, or the chain's if it says one (EIP-7910); an endpoint that does not know the question is no trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blob_limit_is_the_chains() {
    let network = Network::start().await;
    assert_eq!(network.as_seen_by(0).blob_limit().await.unwrap(), 6);
    let config: Value = network.rpc.call("eth_config", json!([])).await.unwrap();
    assert_eq!(config["current"]["blobSchedule"]["max"], 9);
    // "the method does not exist"
    dev(&network, "dev_lie", json!([{ "kind": "error", "code": -32_601, "seconds": 600 }])).await;
    assert_eq!(network.as_seen_by(0).blob_limit().await.unwrap(), 6);
}
