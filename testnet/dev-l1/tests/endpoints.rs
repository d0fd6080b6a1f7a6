//! Several endpoints of one chain, of which one fails or lies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::Duration;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, U256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use dev_l1::{DevL1, Handle, Options};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use support::{GWEI, blob_tx, call, chain_with, from, mine, receipt, send, signer};

/// Three endpoints, and a provider for the first.
async fn three() -> (Handle, impl Provider + Clone) {
    let any = ([127, 0, 0, 1], 0).into();
    chain_with(Options { also_listen: vec![any, any], ..Options::default() }).await
}

async fn post(url: &str, method: &str, params: Value) -> Response {
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    Client::new().post(url).json(&call).send().await.unwrap()
}

async fn ask(url: &str, method: &str, params: Value) -> Value {
    let answer: Value = post(url, method, params).await.json().await.unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

async fn status(url: &str) -> u16 {
    post(url, "eth_chainId", json!([])).await.status().as_u16()
}

async fn height(url: &str) -> u64 {
    let answer = ask(url, "eth_blockNumber", json!([])).await;
    u64::from_str_radix(answer.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test]
async fn one_chain_behind_all_and_an_outage_of_one() {
    let (l1, provider) = three().await;
    let urls = l1.urls();
    assert_eq!((urls.len(), &urls[0]), (3, &l1.url()));
    mine(&provider, 2).await;
    for url in &urls {
        assert_eq!(height(url).await, 2);
    }
    ask(&urls[1], "dev_outage", json!([{ "seconds": 600 }])).await;
    assert_eq!([status(&urls[0]).await, status(&urls[1]).await, status(&urls[2]).await], [200, 503, 200]);
    let beacon = async |url: &str| {
        reqwest::get(format!("{url}/eth/v1/beacon/genesis")).await.unwrap().status().as_u16()
    };
    assert_eq!([beacon(&urls[0]).await, beacon(&urls[1]).await], [200, 503]);
    let faults = ask(&urls[1], "dev_faults", json!([])).await;
    assert_eq!(faults[1]["outage"]["mode"], "refuse");
    assert_eq!((&faults[1]["url"], &faults[0]["outage"]), (&json!(urls[1]), &Value::Null));
    // What it does to the chain is not part of the outage.
    assert_eq!(ask(&urls[1], "dev_mine", json!([])).await, "0x3");
    ask(&urls[0], "dev_outage", json!([{ "seconds": 600, "all": true }])).await;
    assert_eq!([status(&urls[0]).await, status(&urls[1]).await, status(&urls[2]).await], [503, 503, 503]);
    ask(&urls[2], "dev_outage", json!([{ "seconds": 0, "all": true }])).await;
    assert_eq!([status(&urls[0]).await, status(&urls[1]).await, status(&urls[2]).await], [200, 200, 200]);
    l1.stop().await;
    for url in urls {
        assert!(reqwest::get(url).await.is_err(), "all ports are free");
    }
}

#[tokio::test]
async fn a_stale_head_is_stale_in_every_answer() {
    let (l1, provider) = three().await;
    let [truth, liar, _] = <[String; 3]>::try_from(l1.urls()).unwrap();
    mine(&provider, 8).await;
    let payer = signer(0).address();
    let to = Address::repeat_byte(0x77);
    let hash = send(&provider, from(0).with_to(to).with_value(U256::from(5))).await;
    mine(&provider, 2).await;
    ask(&liar, "dev_lie", json!([{ "kind": "staleHead", "seconds": 600, "blocks": 3 }])).await;
    assert_eq!((height(&truth).await, height(&liar).await), (10, 7));
    assert_eq!(ask(&liar, "eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    assert!(ask(&truth, "eth_getTransactionReceipt", json!([hash])).await.is_object());
    let pooled = ask(&liar, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&pooled["hash"], &pooled["blockHash"]), (&json!(hash), &Value::Null), "still pending there");
    for (tag, expected) in [("latest", "0x0"), ("pending", "0x1")] {
        assert_eq!(ask(&liar, "eth_getTransactionCount", json!([payer, tag])).await, expected, "{tag}");
    }
    assert_eq!(ask(&liar, "eth_getBalance", json!([to, "latest"])).await, "0x0");
    assert_eq!(ask(&truth, "eth_getBalance", json!([to, "latest"])).await, "0x5");
    // eth_call at latest: NUMBER, returned by init code.
    let number = json!([{ "input": "0x435f5260205ff3" }, "latest"]);
    let seen = ask(&liar, "eth_call", number).await;
    assert_eq!(seen.as_str().unwrap().trim_start_matches("0x").trim_start_matches('0'), "7");
    assert_eq!(ask(&liar, "eth_getBlockByNumber", json!(["0x8", false])).await, Value::Null);
    let finalized = ask(&liar, "eth_getBlockByNumber", json!(["finalized", false])).await;
    assert_eq!(finalized["number"], "0x3");
    // It moves on with the truth, and passes transactions on.
    mine(&provider, 1).await;
    assert_eq!(height(&liar).await, 8);
    let other = ProviderBuilder::new()
        .wallet(alloy::network::EthereumWallet::from(signer(1)))
        .connect_http(liar.parse().unwrap());
    let tx = TransactionRequest::default().from(signer(1).address()).with_to(to).with_value(U256::ONE);
    let sent = send(&other, tx).await;
    assert!(other.get_transaction_by_hash(sent).await.unwrap().is_some());
    mine(&provider, 1).await;
    assert!(receipt(&provider, sent).await.status());
    ask(&liar, "dev_lie", json!([{ "seconds": 0 }])).await;
    assert_eq!(height(&liar).await, 12);
    l1.stop().await;
}

#[tokio::test]
async fn stuck_future_and_forked_heads() {
    let (l1, provider) = three().await;
    let [truth, liar, other] = <[String; 3]>::try_from(l1.urls()).unwrap();
    mine(&provider, 10).await;
    let block =
        async |url: &str, number: &str| ask(url, "eth_getBlockByNumber", json!([number, false])).await;
    ask(&liar, "dev_lie", json!([{ "kind": "stuckHead", "seconds": 600 }])).await;
    ask(&other, "dev_lie", json!([{ "kind": "futureHead", "seconds": 600, "blocks": 6 }])).await;
    let hash = send(&provider, from(0).with_to(Address::ZERO)).await;
    mine(&provider, 2).await;
    assert_eq!([height(&truth).await, height(&liar).await, height(&other).await], [12, 10, 18]);
    let waits = ask(&liar, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&waits["hash"], &waits["blockHash"]), (&json!(hash), &Value::Null), "mined, but not there");
    assert_eq!(ask(&other, "eth_getTransactionByHash", json!([hash])).await["blockNumber"], "0xb");
    assert_eq!(block(&other, "finalized").await["number"], "0xe", "final where there is nothing yet");
    assert_eq!(block(&truth, "0xe").await, Value::Null);
    assert_eq!(block(&other, "0xd").await["parentHash"], block(&truth, "0xc").await["hash"]);

    ask(&liar, "dev_lie", json!([{ "kind": "forkedHead", "seconds": 600, "blocks": 5 }])).await;
    assert_eq!(height(&liar).await, 12);
    assert_eq!(block(&liar, "0x7").await["hash"], block(&truth, "0x7").await["hash"]);
    let forked = block(&liar, "0x8").await;
    assert_ne!(forked["hash"], block(&truth, "0x8").await["hash"]);
    assert_eq!(block(&liar, "finalized").await["hash"], forked["hash"], "final, and not true");
    mine(&provider, 3).await;
    assert_eq!(block(&liar, "0x8").await["hash"], forked["hash"], "its blocks stay");
    assert_eq!(ask(&liar, "eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    assert_eq!(ask(&liar, "eth_getTransactionByHash", json!([hash])).await["hash"], json!(hash));
    assert_eq!(block(&liar, "0xd").await["parentHash"], block(&liar, "0xc").await["hash"]);
    assert_eq!(height(&liar).await, 15);
    l1.stop().await;
}

#[tokio::test]
async fn answers_that_are_none() {
    let (l1, _) = three().await;
    let [truth, liar, _] = <[String; 3]>::try_from(l1.urls()).unwrap();
    let lie = async |params: Value| ask(&liar, "dev_lie", json!([params])).await;

    lie(json!({ "kind": "rateLimit", "seconds": 600, "retryAfter": 4 })).await;
    let limited = post(&liar, "eth_chainId", json!([])).await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "4"));
    assert_eq!(limited.json::<Value>().await.unwrap()["error"]["code"], -32005);
    let beacon = reqwest::get(format!("{liar}/eth/v1/beacon/genesis")).await.unwrap();
    assert_eq!(beacon.status().as_u16(), 429);

    for (given, code) in [(json!(null), -32603), (json!(-32005), -32005)] {
        lie(json!({ "kind": "error", "seconds": 600, "code": given })).await;
        let batch = json!([
            { "id": 1, "method": "eth_chainId" }, { "method": "eth_chainId" }, { "id": "b", "method": "eth_call" },
        ]);
        let answer = Client::new().post(&liar).json(&batch).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!([&answer[0]["error"]["code"], &answer[1]["error"]["code"]], [code, code]);
        assert_eq!((&answer[1]["id"], answer.as_array().unwrap().len()), (&json!("b"), 2));
    }

    lie(json!({ "kind": "garbage", "seconds": 600 })).await;
    for _ in 0..6 {
        let body = post(&liar, "eth_chainId", json!([])).await.bytes().await.unwrap();
        let meant = serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.get("result").is_some());
        assert!(!meant, "{}", String::from_utf8_lossy(&body));
    }

    lie(json!({ "kind": "hang", "seconds": 600 })).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let silent = Client::new().post(&liar).json(&call).timeout(Duration::from_millis(300)).send().await;
    assert!(silent.unwrap_err().is_timeout());
    let faults = ask(&truth, "dev_faults", json!([])).await;
    assert_eq!((&faults[1]["lie"]["kind"], &faults[0]["lie"]), (&json!("hang"), &Value::Null));
    assert_eq!(status(&truth).await, 200, "the others answer");
    // A request that hangs is let go when the lie ends.
    let (answer, _) = tokio::join!(post(&liar, "eth_chainId", json!([])), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lie(json!({ "seconds": 0 })).await
    });
    assert_eq!(answer.status().as_u16(), 503);

    // A lie ends by itself.
    lie(json!({ "kind": "rateLimit", "seconds": 0.2 })).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while status(&liar).await != 200 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    l1.stop().await;
}

#[tokio::test]
async fn lies_that_make_no_sense_are_refused() {
    let (l1, _) = three().await;
    for (params, expected) in [
        (json!({ "seconds": 5 }), "kind is missing"),
        (json!({ "kind": "staleHead" }), "missing field `seconds`"),
        (json!({ "kind": "politics", "seconds": 5 }), "unknown variant"),
        (json!({ "kind": "hang", "seconds": 3601 }), "seconds must be between"),
        (json!({ "kind": "hang", "seconds": -1 }), "seconds must be between"),
        (json!({ "kind": "hang", "seconds": 1, "blocks": 3 }), "this kind has no blocks"),
        (json!({ "kind": "stuckHead", "seconds": 1, "blocks": 3 }), "this kind has no blocks"),
        (json!({ "kind": "staleHead", "seconds": 1, "blocks": 0 }), "blocks must be between"),
        (json!({ "kind": "futureHead", "seconds": 1, "blocks": 65 }), "blocks must be between"),
        (json!({ "kind": "rateLimit", "seconds": 1, "retryAfter": 9999 }), "retryAfter must be at most"),
        (json!({ "kind": "error", "seconds": 1, "code": 7 }), "code must be between"),
        (json!({ "kind": "error", "seconds": 1, "retryAfter": 7 }), "this kind has no retryAfter"),
    ] {
        let answer: Value = post(&l1.url(), "dev_lie", json!([params])).await.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(expected), "{params}: {answer}");
    }
    assert_eq!(status(&l1.url()).await, 200);
    l1.stop().await;
    let any = ([127, 0, 0, 1], 0).into();
    let many = Options { listen: any, also_listen: vec![any; 16], ..Options::default() };
    assert!(DevL1::spawn(many).await.unwrap_err().to_string().contains("17 addresses are too many"));
}

/// Blobs are served by the endpoints that are well, while one of them is not.
#[tokio::test]
async fn the_beacon_api_is_behind_every_endpoint() {
    let (l1, provider) = three().await;
    let urls = l1.urls();
    send(&provider, blob_tx(1, 0, b"everywhere", 10 * GWEI)).await;
    mine(&provider, 1).await;
    ask(&urls[1], "dev_lie", json!([{ "kind": "error", "seconds": 600 }])).await;
    // A lie about the head is the execution layer's: the beacon API keeps to the truth.
    ask(&urls[2], "dev_lie", json!([{ "kind": "staleHead", "seconds": 600, "blocks": 1 }])).await;
    let mut answers = Vec::new();
    for url in &urls {
        let answer = reqwest::get(format!("{url}/eth/v1/beacon/blobs/head")).await.unwrap();
        answers.push(answer.status().as_u16());
    }
    assert_eq!(answers, [200, 500, 200]);
    assert_eq!(height(&urls[2]).await, 0);
    call(&provider, "dev_lie", json!([{ "seconds": 0, "all": true }])).await;
    assert_eq!(height(&urls[2]).await, 1);
    l1.stop().await;
}
