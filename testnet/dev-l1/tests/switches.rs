//! What `dev_*` methods do to the chain and its pool, seen over HTTP.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::eips::eip7840::BlobParams;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, U64, U256};
use alloy::providers::Provider;
use alloy::rpc::types::Header;
use dev_l1::Options;
use serde_json::{Value, json};
use support::{GWEI, blob_tx, call, chain, chain_with, from, message, mine, receipt, send, signer};

async fn head(provider: &impl Provider) -> Header {
    provider.get_block_by_number(BlockNumberOrTag::Latest).await.unwrap().unwrap().header
}

/// The blob base fee as wallets compute it, from the header alone.
fn blob_fee(header: &Header) -> u128 {
    header.inner.blob_fee(BlobParams::osaka()).unwrap()
}

async fn refusal(provider: &impl Provider, method: &'static str, params: Value) -> (i64, String) {
    message(provider.raw_request::<_, Value>(method.into(), params).await)
}

#[tokio::test]
async fn a_fee_spike_lasts_its_blocks_and_headers_add_up() {
    let (l1, provider) = chain().await;
    call(&provider, "dev_setBlobBaseFee", json!([GWEI])).await;
    mine(&provider, 1).await;
    let before = head(&provider).await;
    let history = provider.get_fee_history(1, BlockNumberOrTag::Latest, &[]).await.unwrap();
    let (gas, blob) = (history.base_fee_per_gas[1], history.base_fee_per_blob_gas[1]);
    assert!(blob > GWEI / 2, "{blob}");

    call(&provider, "dev_feeSpike", json!([{ "factor": 50, "blocks": 3 }])).await;
    // Whoever asks beforehand is told, in each of the places.
    let foretold = provider.get_fee_history(1, BlockNumberOrTag::Latest, &[]).await.unwrap();
    assert_eq!(foretold.base_fee_per_gas[1], 50 * gas);
    assert_eq!(foretold.base_fee_per_blob_gas[1], provider.get_blob_base_fee().await.unwrap());
    let waiting = send(&provider, blob_tx(1, 0, b"cheap", 2 * GWEI)).await;
    let paying = send(&provider, blob_tx(2, 0, b"dear", 200 * GWEI)).await;
    for number in 1..=3 {
        mine(&provider, 1).await;
        let spiked = head(&provider).await;
        assert_eq!(spiked.number, before.number + number);
        assert_eq!(u128::from(spiked.base_fee_per_gas.unwrap()), 50 * gas);
        let fee = blob_fee(&spiked);
        assert!(fee >= 50 * blob && fee < 51 * blob, "{fee} {blob}");
        assert_eq!(fee, foretold.base_fee_per_blob_gas[1]);
    }
    let paid = receipt(&provider, paying).await;
    assert_eq!(paid.blob_gas_price, Some(foretold.base_fee_per_blob_gas[1]));
    // The contract's view is the header's: BLOBBASEFEE (EIP-7516), returned by init code.
    let opcode = vec![0x4a, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];
    let seen = provider.call(from(0).with_deploy_code(opcode)).block(BlockId::latest()).await.unwrap();
    assert_eq!(U256::from_be_slice(&seen), U256::from(foretold.base_fee_per_blob_gas[1]));
    assert!(provider.get_transaction_receipt(waiting).await.unwrap().is_none());

    mine(&provider, 1).await;
    let after = head(&provider).await;
    assert_eq!((u128::from(after.base_fee_per_gas.unwrap()), blob_fee(&after)), (gas, blob));
    assert!(receipt(&provider, waiting).await.status(), "affordable again");
    mine(&provider, 1).await;
    let later = head(&provider).await;
    assert_eq!(
        later.base_fee_per_gas,
        after.inner.next_block_base_fee(alloy::eips::eip1559::BaseFeeParams::ethereum())
    );
    l1.stop().await;
}

#[tokio::test]
async fn a_fee_spike_of_one_kind_ends_on_command_and_survives_reorgs() {
    let (l1, provider) = chain().await;
    mine(&provider, 2).await;
    let calm = head(&provider).await;
    call(&provider, "dev_feeSpike", json!([{ "factor": 10, "blocks": 1000, "blob": false }])).await;
    mine(&provider, 2).await;
    let spiked = head(&provider).await;
    assert!(spiked.base_fee_per_gas.unwrap() > 8 * calm.base_fee_per_gas.unwrap());
    assert_eq!((spiked.excess_blob_gas, blob_fee(&spiked)), (Some(0), 1), "gas alone");
    call(&provider, "dev_reorg", json!([{ "depth": 2 }])).await;
    let again = head(&provider).await;
    assert_ne!(again.hash, spiked.hash);
    assert_eq!(again.base_fee_per_gas, spiked.base_fee_per_gas, "the same blocks are dear");
    call(&provider, "dev_feeSpike", json!([{ "blocks": 0 }])).await;
    mine(&provider, 1).await;
    assert!(head(&provider).await.base_fee_per_gas.unwrap() < calm.base_fee_per_gas.unwrap());

    for (params, expected) in [
        (json!([]), "missing value"),
        (json!([{ "factor": 50 }]), "missing field `blocks`"),
        (json!([{ "factor": 0, "blocks": 1 }]), "factor must be between"),
        (json!([{ "factor": -3, "blocks": 1 }]), "factor must be between"),
        (json!([{ "factor": 1e9, "blocks": 1 }]), "factor must be between"),
        (json!([{ "factor": 2, "blocks": 1025 }]), "at most 1024 blocks"),
        (json!([{ "factor": 2, "blocks": 1, "gas": false, "blob": false }]), "nothing would change"),
        (json!([{ "factor": 2, "blocks": 1, "glob": true }]), "unknown field"),
    ] {
        let (_, text) = refusal(&provider, "dev_feeSpike", params.clone()).await;
        assert!(text.contains(expected), "{params}: {text}");
    }
    l1.stop().await;
}

#[tokio::test]
async fn expired_blobs_are_gone_from_the_beacon_api_for_good() {
    let (l1, provider) = chain().await;
    for nonce in 0..4 {
        send(&provider, blob_tx(1, nonce, &[nonce as u8 + 1], 10 * GWEI)).await;
        mine(&provider, 1).await;
    }
    // Slots and blocks have the same numbers here: every slot has a block.
    let served = async || {
        let mut found = Vec::new();
        for slot in 1..=4 {
            let answer =
                reqwest::get(format!("{}/eth/v1/beacon/blobs/{slot}", l1.beacon_url())).await.unwrap();
            match answer.status().as_u16() {
                200 => found.push(slot),
                404 => assert_eq!(answer.json::<Value>().await.unwrap()["code"], 404),
                status => panic!("{status}"),
            }
        }
        found
    };
    assert_eq!(served().await, [1, 2, 3, 4]);
    assert_eq!(call(&provider, "dev_expireBlobs", json!([{ "before": 2 }])).await, json!(1));
    assert_eq!(served().await, [2, 3, 4]);
    // 12 seconds a slot: block 2 is 24 seconds older than the head.
    assert_eq!(call(&provider, "dev_expireBlobs", json!([{ "olderThanSeconds": 24 }])).await, json!(0));
    assert_eq!(call(&provider, "dev_expireBlobs", json!([{ "olderThanSeconds": 23 }])).await, json!(1));
    assert_eq!(served().await, [3, 4]);
    assert_eq!(call(&provider, "dev_expireBlobs", json!([{ "before": "latest" }])).await, json!(1));
    assert_eq!(served().await, [4]);
    assert_eq!(call(&provider, "dev_expireBlobs", json!([])).await, json!(1));
    mine(&provider, 1).await;
    assert_eq!(served().await, Vec::<u64>::new());
    // Blobs that come later are served.
    send(&provider, blob_tx(1, 4, b"later", 10 * GWEI)).await;
    mine(&provider, 1).await;
    let answer = reqwest::get(format!("{}/eth/v1/beacon/blobs/head", l1.beacon_url())).await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["data"].as_array().unwrap().len(), 1);
    let (code, _) = refusal(&provider, "dev_expireBlobs", json!([{ "before": -1 }])).await;
    assert_eq!(code, -32602);
    l1.stop().await;
}

#[tokio::test]
async fn reorgs_of_1_to_10_blocks() {
    let (l1, provider) = chain_with(Options { finalized_lag: 12, ..Options::default() }).await;
    mine(&provider, 12).await;
    let mut nonces = 0;
    for depth in 1..=10u64 {
        let mut hashes = Vec::new();
        for _ in 0..depth {
            hashes.push(send(&provider, from(0).with_to(Address::ZERO).with_nonce(nonces)).await);
            nonces += 1;
            mine(&provider, 1).await;
        }
        let old = head(&provider).await;
        let answer = call(&provider, "dev_reorg", json!([{ "depth": depth }])).await;
        assert_eq!(answer["orphaned"], depth);
        let new = head(&provider).await;
        assert_eq!((new.number, answer["head"].clone()), (old.number, json!(new.hash)));
        assert!(provider.get_block_by_hash(old.hash).await.unwrap().is_none());
        let root = provider.get_block_by_number((old.number - depth).into()).await.unwrap().unwrap();
        let first = provider.get_block_by_number((old.number - depth + 1).into()).await.unwrap().unwrap();
        assert_eq!(first.header.parent_hash, root.header.hash);
        mine(&provider, 1).await;
        for hash in hashes {
            assert!(receipt(&provider, hash).await.status(), "depth {depth}");
        }
    }
    l1.stop().await;
}

/// geth keeps the blobs of mined transactions that were in its own pool until they are final, and pools them again
/// after a reorg; a node that never had them cannot, and nobody can once they are final.
#[tokio::test]
async fn blob_transactions_come_back_only_where_the_blobs_are() {
    let (l1, provider) = chain().await;
    let known = async |hash: B256| provider.get_transaction_by_hash(hash).await.unwrap().is_some();
    let blob = send(&provider, blob_tx(1, 0, b"kept", 10 * GWEI)).await;
    mine(&provider, 1).await;
    call(&provider, "dev_reorg", json!([{ "depth": 1 }])).await;
    assert!(known(blob).await, "as on the node that had it");
    mine(&provider, 1).await;

    let plain = send(&provider, from(0).with_to(Address::ZERO)).await;
    let next = send(&provider, blob_tx(1, 1, b"pooled behind it", 10 * GWEI)).await;
    call(&provider, "dev_reorg", json!([{ "depth": 1, "keepBlobs": false }])).await;
    assert!(known(plain).await && !known(blob).await);
    assert!(!known(next).await, "no blob transaction may wait behind a gap");
    mine(&provider, 1).await;
    assert!(receipt(&provider, plain).await.status());
    assert_eq!(provider.get_transaction_count(signer(1).address()).pending().await.unwrap(), 0);
    // Sent again, it is taken again.
    let blob = send(&provider, blob_tx(1, 0, b"once more", 10 * GWEI)).await;
    mine(&provider, 6).await;
    assert!(receipt(&provider, blob).await.status());
    call(&provider, "dev_reorg", json!([{ "depth": 6, "pastFinalized": true }])).await;
    assert!(!known(blob).await, "final blobs are no longer kept for a reorg");
    l1.stop().await;
}

#[tokio::test]
async fn an_emptied_wallet_loses_what_it_cannot_pay_and_a_refilled_one_goes_on() {
    let (l1, provider) = chain().await;
    let known = async |hash: B256| provider.get_transaction_by_hash(hash).await.unwrap().is_some();
    let plain = |nonce: u64, value: u128| {
        let tx = from(0).with_to(Address::ZERO).with_nonce(nonce).with_gas_limit(21_000);
        tx.with_value(U256::from(value)).with_max_fee_per_gas(2 * GWEI).with_max_priority_fee_per_gas(GWEI)
    };
    let gas = 21_000 * 2 * GWEI;
    let mut hashes = Vec::new();
    // Unaffordable for now: a block cannot take them, so the pool keeps them.
    call(&provider, "dev_setNextBaseFee", json!([400 * GWEI])).await;
    mine(&provider, 1).await;
    for (nonce, value) in [(0, 0), (1, 5 * gas), (2, 0)] {
        hashes.push(send(&provider, plain(nonce, value)).await);
    }
    // Enough for the first and the third, each by itself: geth judges each alone. The second goes, the third waits.
    call(&provider, "dev_setBalance", json!([signer(0).address(), U256::from(gas)])).await;
    assert_eq!([known(hashes[0]).await, known(hashes[1]).await, known(hashes[2]).await], [true, false, true]);
    let status = call(&provider, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x1", "queued": "0x1" }));
    call(&provider, "dev_setBalance", json!([signer(0).address(), "0x0"])).await;
    assert_eq!(
        call(&provider, "txpool_status", json!([])).await,
        json!({ "pending": "0x0", "queued": "0x0" })
    );
    let (_, text) = message(provider.send_transaction(plain(0, 0)).await);
    assert!(text.starts_with("insufficient funds for gas * price + value: balance 0"), "{text}");
    call(&provider, "dev_setBalance", json!([signer(0).address(), U256::from(100 * gas)])).await;
    let hash = send(&provider, plain(0, 0)).await;
    mine(&provider, 60).await;
    assert!(receipt(&provider, hash).await.status());
    l1.stop().await;
}

/// Blob transactions are judged together: the last ones go until the rest can be paid.
#[tokio::test]
async fn an_emptied_blob_wallet_loses_its_last_transactions_first() {
    let (l1, provider) = chain().await;
    call(&provider, "dev_setNextBaseFee", json!([400 * GWEI])).await;
    mine(&provider, 1).await;
    let cost = (21_000 + 131_072) * 10 * GWEI;
    let mut hashes = Vec::new();
    for nonce in 0..3 {
        hashes.push(send(&provider, blob_tx(1, nonce, &[nonce as u8 + 1], 10 * GWEI)).await);
    }
    call(&provider, "dev_setBalance", json!([signer(1).address(), U256::from(2 * cost + 1)])).await;
    let mut known = Vec::new();
    for hash in &hashes {
        known.push(provider.get_transaction_by_hash(*hash).await.unwrap().is_some());
    }
    assert_eq!(known, [true, true, false]);
    call(&provider, "dev_setBalance", json!([signer(1).address(), "0x0"])).await;
    let status = call(&provider, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
    l1.stop().await;
}

#[tokio::test]
async fn a_dropped_mempool_is_empty_and_takes_the_same_again() {
    let (l1, provider) = chain().await;
    let plain = send(&provider, from(0).with_to(Address::ZERO)).await;
    let blob = blob_tx(1, 0, b"dropped", 10 * GWEI);
    let hash = send(&provider, blob.clone()).await;
    assert_eq!(call(&provider, "dev_dropMempool", json!([])).await, json!(2));
    for hash in [plain, hash] {
        assert!(provider.get_transaction_by_hash(hash).await.unwrap().is_none());
    }
    mine(&provider, 1).await;
    assert_eq!(head(&provider).await.gas_used, 0);
    assert_eq!(send(&provider, blob).await, hash, "not \"already known\"");
    mine(&provider, 1).await;
    assert!(receipt(&provider, hash).await.status());
    let count: U64 = serde_json::from_value(call(&provider, "dev_mine", json!([3])).await).unwrap();
    assert_eq!(count.to::<u64>(), 5);
    l1.stop().await;
}
