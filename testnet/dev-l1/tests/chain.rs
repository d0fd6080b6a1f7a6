//! The chain as its users see it: through alloy's provider and plain HTTP, with real blocks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::Duration;

use alloy::consensus::{SidecarBuilder, SimpleCoder};
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::{EthereumWallet, TransactionBuilder, TransactionBuilder4844};
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::{Filter, TransactionRequest};
use dev_l1::{DevL1, Options};
use serde_json::{Value, json};
use support::{GWEI, blob_tx, call, chain, chain_with, deploy, from, message, mine, receipt, send, signer};

#[tokio::test]
async fn deploy_call_estimate_and_logs() {
    let (l1, provider) = chain().await;
    let contract = deploy(&provider).await;
    let word = B256::with_last_byte(42);
    let tx = from(0).with_to(contract).with_input(word.to_vec());

    assert_eq!(provider.call(tx.clone()).await.unwrap(), word.to_vec(), "a call leaves no trace");
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::ZERO);
    let estimate = provider.estimate_gas(tx.clone()).await.unwrap();
    let hash = send(&provider, tx.with_gas_limit(estimate)).await;
    assert!(provider.get_transaction_receipt(hash).await.unwrap().is_none());
    mine(&provider, 1).await;
    let mined = receipt(&provider, hash).await;
    assert!(mined.status());
    assert!(
        mined.gas_used <= estimate && estimate < mined.gas_used * 11 / 10,
        "{estimate} {}",
        mined.gas_used
    );
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::from(42));

    let filter = Filter::new().address(contract).from_block(0).event_signature(B256::with_last_byte(7));
    let logs = provider.get_logs(&filter).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(logs[0].data().data, word.to_vec());
    assert_eq!((logs[0].transaction_hash, logs[0].log_index), (Some(hash), Some(0)));
    assert_eq!(mined.inner.logs(), logs);
    let other = filter.event_signature(B256::with_last_byte(8));
    assert!(provider.get_logs(&other).await.unwrap().is_empty());

    // Reverts: code 3 and the data, from call and from estimate.
    let empty = from(0).with_to(contract);
    for failed in [provider.call(empty.clone()).await.map(drop), provider.estimate_gas(empty).await.map(drop)]
    {
        let data = failed.as_ref().unwrap_err().as_error_resp().unwrap().as_revert_data().unwrap();
        assert_eq!(data[..4], [0x08, 0xc3, 0x79, 0xa0]);
        assert_eq!(message(failed), (3, "execution reverted: empty".into()));
    }
    let poor =
        TransactionRequest::default().from(Address::repeat_byte(9)).with_to(contract).with_value(U256::ONE);
    assert!(message(provider.call(poor).await).1.starts_with("insufficient funds for gas * price + value"));
    l1.stop().await;
}

#[tokio::test]
async fn headers_commit_to_transactions_receipts_and_state() {
    use alloy::consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
    use alloy::consensus::{Block, BlockBody};
    use alloy::eips::eip4895::Withdrawals;

    let (l1, provider) = chain().await;
    let contract = deploy(&provider).await;
    send(&provider, from(0).with_to(contract).with_input(vec![1; 32])).await;
    send(&provider, from(1).with_to(Address::repeat_byte(5)).with_value(U256::from(77))).await;
    mine(&provider, 1).await;

    let block = provider.get_block(BlockId::latest()).full().await.unwrap().unwrap();
    let parent = provider.get_block_by_number((block.header.number - 1).into()).await.unwrap().unwrap();
    assert_eq!(block.header.parent_hash, parent.header.hash);
    assert_eq!(block.header.hash, block.header.inner.hash_slow());
    let txs: Vec<_> = block.transactions.txns().map(|tx| tx.inner.clone_inner()).collect();
    assert_eq!(txs.len(), 2);
    let body =
        BlockBody { transactions: txs.clone(), ommers: vec![], withdrawals: Some(Withdrawals::default()) };
    let whole = Block::new(block.header.inner.clone(), body);
    assert_eq!(block.header.size, Some(U256::from(alloy::rlp::encode(&whole).len())));
    assert_eq!(block.header.transactions_root, calculate_transaction_root(&txs));
    let receipts = provider.get_block_receipts(BlockId::latest()).await.unwrap().unwrap();
    assert_eq!(receipts[1].inner.cumulative_gas_used(), block.header.gas_used);
    let envelopes: Vec<_> =
        receipts.iter().map(|receipt| receipt.inner.clone().map_logs(|log| log.inner)).collect();
    assert_eq!(block.header.receipts_root, calculate_receipt_root(&envelopes));
    let bloom = envelopes
        .iter()
        .fold(Default::default(), |bloom: alloy::primitives::Bloom, r| bloom | *r.logs_bloom());
    assert_eq!(block.header.logs_bloom, bloom);

    // The state root, through Merkle proofs of an account and of a storage slot.
    let proof = provider.get_proof(contract, vec![B256::ZERO]).await.unwrap();
    let account = alloy::rlp::encode(alloy_trie::TrieAccount {
        nonce: proof.nonce,
        balance: proof.balance,
        storage_root: proof.storage_hash,
        code_hash: proof.code_hash,
    });
    let path = |key: B256| alloy_trie::Nibbles::unpack(key);
    let root = block.header.state_root;
    alloy_trie::proof::verify_proof(root, path(keccak256(contract)), Some(account), &proof.account_proof)
        .unwrap();
    let slot = alloy::rlp::encode(U256::from_be_bytes([1; 32]));
    let slots = &proof.storage_proof[0].proof;
    alloy_trie::proof::verify_proof(proof.storage_hash, path(keccak256(B256::ZERO)), Some(slot), slots)
        .unwrap();

    // EIP-4788 and EIP-2935 see the parent.
    let history = alloy::eips::eip2935::HISTORY_STORAGE_ADDRESS;
    let query = U256::from(parent.header.number).to_be_bytes_vec();
    let seen = provider.call(TransactionRequest::default().to(history).with_input(query)).await.unwrap();
    assert_eq!(seen, parent.header.hash.to_vec());
    let roots = alloy::eips::eip4788::BEACON_ROOTS_ADDRESS;
    let query = U256::from(block.header.timestamp).to_be_bytes_vec();
    let seen = provider.call(TransactionRequest::default().to(roots).with_input(query)).await.unwrap();
    assert_eq!(Some(B256::from_slice(&seen)), block.header.parent_beacon_block_root);
    l1.stop().await;
}

#[tokio::test]
async fn blobs_travel_from_the_wallet_to_the_beacon_api() {
    let (l1, provider) = chain_with(Options { blob_retention: 3, ..Options::default() }).await;
    // No two blobs alike: they are told apart by their hashes.
    let data: Vec<u8> = (0..700_000u32).map(|n| (n >> 12) as u8).collect();
    let tx = blob_tx(1, 0, &data, 10 * GWEI);
    let sidecar = tx.blob_sidecar_7594().unwrap().clone();
    assert_eq!(sidecar.blobs.len(), 6, "as many as a transaction may carry");
    let hash = send(&provider, tx).await;
    mine(&provider, 1).await;
    let mined = receipt(&provider, hash).await;
    assert!(mined.status());
    assert_eq!(mined.blob_gas_used, Some(6 * 131_072));
    assert!(mined.blob_gas_price.unwrap() >= 1);
    let block = provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    assert_eq!(block.header.blob_gas_used, Some(6 * 131_072));

    let beacon = |path: String| {
        let url = format!("{}{path}", l1.beacon_url());
        async move {
            let answer = reqwest::get(url).await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        }
    };
    // A follower maps the block to its slot by time.
    let (_, spec) = beacon("/eth/v1/config/spec".into()).await;
    let (_, genesis) = beacon("/eth/v1/beacon/genesis".into()).await;
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let elapsed = block.header.timestamp - number(&genesis["data"]["genesis_time"]);
    let slot = elapsed / number(&spec["data"]["SECONDS_PER_SLOT"]);
    let (status, blobs) = beacon(format!("/eth/v1/beacon/blobs/{slot}")).await;
    assert_eq!(status, 200);
    let expected: Vec<_> =
        sidecar.blobs.iter().map(|blob| json!(alloy::hex::encode_prefixed(blob))).collect();
    // Not assert_eq: it would print megabytes.
    assert!(blobs["data"] == json!(expected), "all blobs, in order");
    let second = sidecar.versioned_hashes().nth(1).unwrap();
    let (_, filtered) = beacon(format!("/eth/v1/beacon/blobs/head?versioned_hashes={second}")).await;
    assert!(filtered["data"] == json!([expected[1]]), "only the one asked for");
    let (_, header) = beacon("/eth/v1/beacon/headers/head".into()).await;
    assert_eq!(number(&header["data"]["header"]["message"]["slot"]), slot);
    let root = header["data"]["root"].as_str().unwrap().to_owned();
    assert!(beacon(format!("/eth/v1/beacon/blobs/{root}")).await.1["data"] == json!(expected), "by root");

    for (path, expected) in [
        (format!("/eth/v1/beacon/blobs/{}", slot + 1), 404),
        ("/eth/v1/beacon/blobs/nonsense".into(), 400),
        ("/eth/v1/beacon/blobs/0xzz".into(), 400),
        ("/eth/v1/beacon/blobs/head?versioned_hashes=0x12".into(), 400),
    ] {
        assert_eq!(beacon(path.clone()).await.0, expected, "{path}");
    }
    mine(&provider, 3).await;
    assert_eq!(beacon(format!("/eth/v1/beacon/blobs/{slot}")).await.0, 404, "blobs expire");
    l1.stop().await;
}

#[tokio::test]
async fn memory_for_blobs_is_bounded() {
    let (l1, provider) = chain_with(Options { blob_limit: 2, ..Options::default() }).await;
    for nonce in 0..3 {
        send(&provider, blob_tx(1, nonce, b"one blob", 10 * GWEI)).await;
        mine(&provider, 1).await;
    }
    for (slot, expected) in [(1, 404), (2, 200), (3, 200)] {
        let answer = reqwest::get(format!("{}/eth/v1/beacon/blobs/{slot}", l1.beacon_url())).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "slot {slot}");
    }
    l1.stop().await;
}

#[tokio::test]
async fn blob_transactions_are_held_to_geths_rules() {
    let (l1, provider) = chain().await;
    send(&provider, blob_tx(1, 0, b"first", 10 * GWEI)).await;
    let refusals = [
        (blob_tx(1, 2, b"gap", 10 * GWEI), "nonce too high: tx nonce 2, gapped nonce 1"),
        (blob_tx(1, 0, b"cheap", 19 * GWEI), "replacement transaction underpriced"),
        (from(1).with_to(Address::ZERO).with_nonce(1), "address already reserved"),
    ];
    for (tx, expected) in refusals {
        let (code, text) = message(provider.send_transaction(tx).await);
        assert!(code == -32000 && text.starts_with(expected), "{text}");
    }
    // The proofs are really checked: one of them is another's.
    let mut forged = blob_tx(2, 0, b"forged", 10 * GWEI);
    let mut sidecar = forged.blob_sidecar_7594().unwrap().clone();
    sidecar.cell_proofs.swap(3, 4);
    forged = forged.with_blob_sidecar_7594(sidecar);
    let text = message(provider.send_transaction(forged).await).1;
    assert!(text.starts_with("KZG verification error"), "{text}");
    // The wrapper from before Osaka.
    let old = SidecarBuilder::<SimpleCoder>::from_slice(b"old").build_4844().unwrap();
    let mut tx = blob_tx(2, 0, b"", 10 * GWEI);
    tx.sidecar = Some(old.into());
    tx.blob_versioned_hashes = None;
    let text = message(provider.send_transaction(tx).await).1;
    assert_eq!(text, "unexpected sidecar version, want: 1, got: 0");

    let replacement = send(&provider, blob_tx(1, 0, b"second", 20 * GWEI)).await;
    mine(&provider, 1).await;
    assert!(receipt(&provider, replacement).await.status());
    l1.stop().await;
}

#[tokio::test]
async fn fees_follow_use_and_can_be_spiked() {
    let (l1, provider) = chain().await;
    mine(&provider, 4).await;
    let history = provider.get_fee_history(3, BlockNumberOrTag::Latest, &[50.0]).await.unwrap();
    assert_eq!((history.oldest_block, history.base_fee_per_gas.len()), (2, 4));
    assert_eq!(history.base_fee_per_blob_gas, [1, 1, 1, 1]);
    assert!(history.base_fee_per_gas.is_sorted_by(|a, b| a > b), "empty blocks get cheaper");

    call(&provider, "dev_setNextBaseFee", json!([500 * GWEI])).await;
    call(&provider, "dev_setBlobBaseFee", json!([300 * GWEI])).await;
    assert!(provider.get_blob_base_fee().await.unwrap() >= 300 * GWEI);
    assert!(provider.get_gas_price().await.unwrap() > 500 * GWEI);
    // Underpaid now: it waits while blocks pass.
    let waiting = send(&provider, blob_tx(1, 0, b"cheap", 200 * GWEI)).await;
    mine(&provider, 1).await;
    let spiked = provider.get_block(BlockId::latest()).await.unwrap().unwrap();
    assert_eq!(u128::from(spiked.header.base_fee_per_gas.unwrap()), 500 * GWEI);
    assert!(provider.get_transaction_receipt(waiting).await.unwrap().is_none());
    // 7/8 a block for gas, about -8 % for blobs: affordable after a dozen.
    mine(&provider, 12).await;
    assert!(receipt(&provider, waiting).await.status());

    let bad = provider.get_fee_history(3, BlockNumberOrTag::Latest, &[50.0, 20.0]).await;
    assert_eq!(message(bad).1, "invalid reward percentile");
    l1.stop().await;
}

#[tokio::test]
async fn a_reorg_takes_blocks_back_and_keeps_what_it_should() {
    let (l1, provider) = chain().await;
    let contract = deploy(&provider).await;
    let blocks: String = provider.raw_request("eth_newBlockFilter".into(), ()).await.unwrap();
    let filter = json!({ "address": contract });
    let logs: String = provider.raw_request("eth_newFilter".into(), [filter]).await.unwrap();
    let hash = send(&provider, from(0).with_to(contract).with_input(vec![9; 32])).await;
    let blob = send(&provider, blob_tx(1, 0, b"again", 10 * GWEI)).await;
    mine(&provider, 2).await;
    let before = provider.get_block(BlockId::latest()).await.unwrap().unwrap().header;
    let old = receipt(&provider, hash).await.block_hash.unwrap();

    let result = call(&provider, "dev_reorg", json!([{ "depth": 2 }])).await;
    assert_eq!(result["orphaned"], 2);
    let after = provider.get_block(BlockId::latest()).await.unwrap().unwrap().header;
    assert_eq!((after.number, after.timestamp), (before.number, before.timestamp));
    assert_ne!(after.hash, before.hash);
    assert!(provider.get_block_by_hash(old).await.unwrap().is_none());
    assert!(provider.get_transaction_receipt(hash).await.unwrap().is_none());
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::ZERO);
    // Both are pending again, the blob transaction with its blobs, and are mined next.
    let pooled = provider.get_transaction_by_hash(blob).await.unwrap().unwrap();
    assert_eq!(pooled.block_hash, None);
    mine(&provider, 1).await;
    assert!(receipt(&provider, hash).await.status() && receipt(&provider, blob).await.status());

    let changes = call(&provider, "eth_getFilterChanges", json!([blocks])).await;
    assert_eq!(changes.as_array().unwrap().len(), 2 + 2 + 1);
    let changes = call(&provider, "eth_getFilterChanges", json!([logs])).await;
    let removed: Vec<_> = changes.as_array().unwrap().iter().map(|log| log["removed"].clone()).collect();
    assert_eq!(removed, [json!(false), json!(true), json!(false)]);
    assert_eq!(call(&provider, "eth_uninstallFilter", json!([logs])).await, json!(true));

    // Dropped for good, if so asked.
    let lost = send(&provider, from(2).with_to(Address::ZERO)).await;
    mine(&provider, 1).await;
    call(&provider, "dev_reorg", json!([{ "depth": 1, "keepTransactions": false }])).await;
    assert!(provider.get_transaction_by_hash(lost).await.unwrap().is_none());

    // Never below finality, unless forced.
    mine(&provider, 10).await;
    let refused = provider.raw_request::<_, Value>("dev_reorg".into(), [json!({ "depth": 5 })]).await;
    assert!(message(refused).1.contains("would revert finalized block"));
    call(&provider, "dev_reorg", json!([{ "depth": 5, "pastFinalized": true }])).await;
    l1.stop().await;
}

#[tokio::test]
async fn tags_and_old_states() {
    let (l1, provider) = chain().await;
    mine(&provider, 10).await;
    let height = |tag: BlockNumberOrTag| {
        let provider = provider.clone();
        async move { provider.get_block_by_number(tag).await.unwrap().unwrap().header.number }
    };
    assert_eq!(height(BlockNumberOrTag::Latest).await, 10);
    assert_eq!(height(BlockNumberOrTag::Safe).await, 8);
    assert_eq!(height(BlockNumberOrTag::Finalized).await, 6);
    assert_eq!(height(BlockNumberOrTag::Pending).await, 11);
    assert_eq!(height(BlockNumberOrTag::Earliest).await, 0);

    let who = Address::repeat_byte(0x77);
    let hash = send(&provider, from(0).with_to(who).with_value(U256::from(5))).await;
    let pooled = call(&provider, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(pooled["gasPrice"], pooled["maxFeePerGas"], "what it may pay at most, until it is mined");
    assert!(pooled["gasPrice"].is_string());
    assert_eq!(provider.get_balance(who).await.unwrap(), U256::ZERO);
    assert_eq!(provider.get_balance(who).pending().await.unwrap(), U256::from(5));
    assert_eq!(provider.get_transaction_count(signer(0).address()).pending().await.unwrap(), 1);
    assert_eq!(provider.get_transaction_count(signer(0).address()).await.unwrap(), 0);
    mine(&provider, 1).await;
    assert_eq!(provider.get_balance(who).number(10).await.unwrap(), U256::ZERO);
    assert_eq!(provider.get_balance(who).await.unwrap(), U256::from(5));
    call(&provider, "dev_setBalance", json!([who, "0x9"])).await;
    assert_eq!(provider.get_balance(who).await.unwrap(), U256::from(9));

    mine(&provider, 200).await;
    let (code, text) = message(provider.get_balance(who).number(10).await);
    assert!(code == -32000 && text.starts_with("missing trie node"), "{text}");
    l1.stop().await;
}

#[tokio::test]
async fn an_outage_is_an_outage_and_ends() {
    let (l1, provider) = chain().await;
    let client = reqwest::Client::new();
    let ask = |method: &'static str, params: Value| {
        let request = client
            .post(l1.url())
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(ask("dev_outage", json!([3000])).await, 200);
    assert_eq!(ask("eth_chainId", json!([])).await, 503);
    let beacon = reqwest::get(format!("{}/eth/v1/beacon/genesis", l1.url())).await.unwrap();
    assert_eq!(beacon.status().as_u16(), 503);
    assert_eq!(ask("dev_outage", json!([{ "seconds": 3000, "mode": "hang" }])).await, 200);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let hanging = client.post(l1.url()).json(&call).timeout(Duration::from_millis(300)).send().await;
    assert!(hanging.unwrap_err().is_timeout());
    assert_eq!(ask("dev_outage", json!([0])).await, 200);
    assert_eq!(provider.get_chain_id().await.unwrap(), 1337);
    l1.stop().await;
}

/// Raw bodies, and the code that answers them (0: none).
#[tokio::test]
async fn hostile_bodies_get_answers() {
    let (l1, _) = chain().await;
    let client = reqwest::Client::new();
    let deep = "[".repeat(100_000);
    let bodies: Vec<(Vec<u8>, i64)> = vec![
        (b"".to_vec(), -32700),
        (b"\xff\xfe".to_vec(), -32700),
        (deep.into_bytes(), -32700),
        (b"[]".to_vec(), -32600),
        (b"7".to_vec(), -32600),
        (br#"{"id":1}"#.to_vec(), -32600),
        (br#"{"id":1,"method":"eth_nothing"}"#.to_vec(), -32601),
        (br#"{"id":1,"method":"eth_call","params":{}}"#.to_vec(), -32602),
        (br#"{"id":1,"method":"eth_getBalance","params":[]}"#.to_vec(), -32602),
        (br#"{"id":1,"method":"eth_getBalance","params":["0x12"]}"#.to_vec(), -32602),
        (br#"{"id":1,"method":"eth_getBlockByNumber","params":["0xffffffffffffffff",true]}"#.to_vec(), 0),
        (br#"{"id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000000","0xffff"]}"#.to_vec(), -32000),
        (br#"{"id":1,"method":"eth_sendRawTransaction","params":["0x03"]}"#.to_vec(), -32000),
        (br#"{"id":1,"method":"eth_sendRawTransaction","params":["0x"]}"#.to_vec(), -32000),
        (br#"{"id":1,"method":"eth_feeHistory","params":["0xffffffffffffffff","latest",[]]}"#.to_vec(), 0),
        (br#"{"id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x5","toBlock":"0x1"}]}"#.to_vec(), -32602),
        (br#"{"id":1,"method":"eth_getFilterChanges","params":["0x99"]}"#.to_vec(), -32000),
        (br#"{"id":1,"method":"dev_mine","params":["0xffffffff"]}"#.to_vec(), -32005),
        (br#"{"id":1,"method":"dev_outage","params":[-1]}"#.to_vec(), -32602),
        (br#"{"id":1,"method":"dev_reorg","params":[{"depth":0}]}"#.to_vec(), -32000),
        (br#"{"id":1,"method":"dev_reorg","params":[{"depth":18446744073709551615}]}"#.to_vec(), -32000),
    ];
    for (body, expected) in bodies {
        let shown = String::from_utf8_lossy(&body).chars().take(90).collect::<String>();
        let answer = client.post(l1.url()).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{shown}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), expected, "{shown}: {answer}");
    }
    let batch = json!([
        { "id": 1, "method": "eth_chainId" },
        { "method": "eth_chainId" },
        { "id": "b", "method": "nothing" },
    ]);
    let answer: Value = client.post(l1.url()).json(&batch).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer[0], json!({ "jsonrpc": "2.0", "id": 1, "result": "0x539" }));
    assert_eq!((answer[1]["id"].clone(), answer.as_array().unwrap().len()), (json!("b"), 2));
    let huge = client.post(l1.url()).body(vec![b' '; 5 * 1024 * 1024 + 1]).send().await.unwrap();
    assert_eq!(huge.status().as_u16(), 413);
    l1.stop().await;
}

#[tokio::test]
async fn the_timer_makes_blocks_and_the_switch_stops_them() {
    let listen = ([127, 0, 0, 1], 0).into();
    let block_time = Duration::from_millis(20);
    let l1 = DevL1::spawn(Options { listen, block_time, ..Options::default() }).await.unwrap();
    let wallet = EthereumWallet::from(signer(0));
    let provider = ProviderBuilder::new().wallet(wallet).connect_http(l1.url().parse().unwrap());
    // alloy's own way of waiting: it polls.
    let pending =
        provider.send_transaction(from(0).with_to(Address::ZERO).with_value(U256::ONE)).await.unwrap();
    let receipt =
        tokio::time::timeout(Duration::from_secs(30), pending.get_receipt()).await.unwrap().unwrap();
    assert!(receipt.status());

    call(&provider, "dev_setAutomine", json!([false])).await;
    // A block may be under way; two of this one's own are not.
    let height = provider.get_block_number().await.unwrap();
    mine(&provider, 1).await;
    assert!(provider.get_block_number().await.unwrap() <= height + 2);
    let url = l1.url();
    l1.stop().await;
    assert!(reqwest::get(url).await.is_err(), "the port is free again");
}
