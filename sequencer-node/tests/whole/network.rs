//! Four node processes, from an empty folder to softly confirmed transactions, through both front doors.

use std::future::Future;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::Encodable2718;
use alloy::primitives::{Address, TxKind};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use bytes::Bytes;
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use ordering_types::block::InclusionProof;
use ordering_types::{Height, RollupId, TxId};
use rollup::client::Connector;
use rollup::wire::{
    self, ClientMessage, Hello, NodeMessage, Opening, Refusal, Rollups, Submit, Subscription,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::node::{Folders, Running};

/// How long a machine that is busy with other things may take over anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: too late"))
}

/// Asks until there is an answer that is `good`.
pub(crate) async fn until(
    client: &HttpClient,
    method: &str,
    params: Value,
    good: impl Fn(&Value) -> bool,
) -> Value {
    let list = params.as_array().unwrap().clone();
    let started = Instant::now();
    loop {
        let mut params = jsonrpsee::core::params::ArrayParams::new();
        list.iter().for_each(|value| params.insert(value).unwrap());
        match within(method, client.request::<Value, _>(method, params)).await {
            Ok(answer) if good(&answer) => return answer,
            other => assert!(started.elapsed() < PATIENCE, "{method}: too late, at last {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Transactions one after another, so that blocks come as fast as the nodes make them; ends when dropped.
pub(crate) fn load(node: &Running) -> JoinSet<()> {
    let client = HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap();
    let mut load = JoinSet::new();
    load.spawn(async move {
        for number in 0_u64.. {
            // A node that stops refuses.
            let _ = client.request::<Value, _>("seq_submit", rpc_params![2, format!("{number:#018x}")]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    load
}

pub(crate) fn transfer(chain_id: u64, nonce: u64) -> Vec<u8> {
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

pub(crate) fn code(error: Error) -> i32 {
    match error {
        Error::Call(object) => {
            assert!(object.data().is_some(), "{object:?} says neither why nor what to do");
            object.code()
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_order_and_confirm_and_survive_a_crash() {
    let folders = Folders::new();
    let mut nodes: Vec<Running> = (1..=4).map(|id| Running::start(&folders.config(id))).collect();
    let url = |node: &Running| format!("http://{}", node.address("rpc"));
    let root = HttpClientBuilder::default().build(url(&nodes[0])).unwrap();
    let other = HttpClientBuilder::default().build(url(&nodes[1])).unwrap();
    until(&root, "seq_status", json!([]), |s| s["core"]["founded"] == true && s["core"]["key_ready"] == true)
        .await;
    wallet(&url(&nodes[0]), &root).await;
    client_of_quic(&nodes[0]).await;
    half_open(&nodes[0]);
    crowd(&nodes[0]);
    // A crash: no warning to anyone, and back from what the disk has.
    nodes[3].kill();
    let before = until(&other, "seq_status", json!([]), |_| true).await["durable_height"].as_u64().unwrap();
    nodes[3] = Running::start(&folders.config(4));
    let back = HttpClientBuilder::default().build(url(&nodes[3])).unwrap();
    until(&back, "seq_status", json!([]), |s| {
        s["core"]["syncing"] == false
            && s["durable_height"].as_u64().unwrap() > before
            && s["peers"].as_array().unwrap().iter().all(|peer| peer["connected"] == true)
    })
    .await;
    assert_eq!(nodes[3].close_stdin(), Some(0));
}

async fn wallet(url: &str, root: &HttpClient) {
    let wallet = HttpClientBuilder::default().build(format!("{url}/rollup/901")).unwrap();
    let chain: String = wallet.request("eth_chainId", rpc_params![]).await.unwrap();
    let version: String = wallet.request("net_version", rpc_params![]).await.unwrap();
    assert_eq!((chain.as_str(), version.as_str()), ("0x385", "901"));
    let raw = |bytes: &[u8]| rpc_params![format!("0x{}", hex::encode(bytes))];
    let hash: String = wallet.request("eth_sendRawTransaction", raw(&transfer(901, 0))).await.unwrap();
    let again = wallet.request::<String, _>("eth_sendRawTransaction", raw(&transfer(901, 0))).await;
    assert_eq!(code(again.unwrap_err()), -32_000);
    for (bytes, expected) in [(transfer(902, 0), -32_012), (vec![1, 2, 3], -32_014), (vec![], -32_010)] {
        let refused = wallet.request::<String, _>("eth_sendRawTransaction", raw(&bytes)).await;
        assert_eq!(code(refused.unwrap_err()), expected);
    }
    let receipt = wallet.request::<Value, _>("eth_getTransactionReceipt", rpc_params![&hash]).await;
    assert_eq!(code(receipt.unwrap_err()), -32_601);
    assert_eq!(code(root.request::<Value, _>("eth_chainId", rpc_params![]).await.unwrap_err()), -32_601);
    let found =
        until(root, "seq_proof", json!([1, { "hash": hash }]), |p| !p["confirmation"].is_null()).await;
    let id: TxId = found["id"].as_str().unwrap().parse().unwrap();
    let proof: InclusionProof = serde_json::from_value(found["proof"].clone()).unwrap();
    assert!(proof.verify(id, found["header"]["tx_root"].as_str().unwrap().parse().unwrap()));
    let block = until(root, "seq_block", json!([found["header"]["height"]]), |_| true).await;
    assert_eq!(block["sections"][0]["transactions"][0], format!("0x{}", hex::encode(transfer(901, 0))));
    until(root, "seq_founding", json!([]), |f| f["signatures"].as_object().unwrap().len() >= 3).await;
    until(root, "seq_sealedBatch", json!(["latest"]), |b| b["header"]["number"].as_u64() >= Some(1)).await;
    payload_of_a_batch(root).await;
}

/// What is served makes the blobs that the committee signed.
async fn payload_of_a_batch(root: &HttpClient) {
    let bare = until(root, "seq_sealedBatch", json!([1]), |_| true).await;
    assert!(bare.get("payload").is_none());
    let mut whole = until(root, "seq_sealedBatch", json!([1, { "payload": true }]), |_| true).await;
    let payload = whole.as_object_mut().unwrap().remove("payload").unwrap();
    assert_eq!(whole, bare);
    let payload = hex::decode(payload.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap();
    assert_eq!(whole["payload_bytes"], payload.len());
    let kzg = batcher_format::kzg::Kzg::shared();
    let blobs = batcher_format::blob::pack(&payload).unwrap();
    let hash = |blob| batcher_format::batch::versioned_hash(&kzg.commit(blob).unwrap());
    let hashes: Vec<_> = blobs.iter().map(hash).collect();
    assert_eq!(whole["blob_hashes"], json!(hashes));
    for bad in [json!([1, { "paylod": true }]), json!([1, true]), json!(["newest"]), json!([])] {
        let params = bad.as_array().unwrap().iter().fold(
            jsonrpsee::core::params::ArrayParams::new(),
            |mut all, one| {
                all.insert(one).unwrap();
                all
            },
        );
        assert_eq!(code(root.request::<Value, _>("seq_sealedBatch", params).await.unwrap_err()), -32_602);
    }
}

/// A session with a cursor before the transaction: every height comes, and with it the transaction.
async fn client_of_quic(node: &Running) {
    let spec = {
        let root = HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap();
        let status = until(&root, "seq_status", json!([]), |_| true).await;
        status["chain_spec"].as_str().unwrap().parse().unwrap()
    };
    let connection = Connector::new().unwrap().connect(&node.address("ingress")).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let subscription =
        Subscription { rollups: Rollups::All, from: Some(Height::new(1)), data: true, certified: true };
    let hello = Hello { version: wire::VERSION, chain_spec: spec, subscription: Some(subscription) };
    wire::write(&mut send, &Opening::Session(hello)).await.unwrap();
    let data = Bytes::from_static(b"opaque bytes");
    let submit =
        |tag, rollup, data: &Bytes| Submit { tag, rollup: RollupId::new(rollup), data: data.clone() };
    let all = vec![submit(1, 2, &data), submit(2, 9, &data), submit(3, 1, &data)];
    wire::write(&mut send, &ClientMessage::SubmitMany(all)).await.unwrap();
    let (mut next, mut refused, mut ordered, mut certified) = (1, Vec::new(), None, 0);
    within("the subscription", async {
        while refused.len() < 2 || ordered.is_none_or(|height| certified < height) {
            match wire::read::<NodeMessage>(&mut receive).await.unwrap().unwrap() {
                NodeMessage::Welcome(welcome) => assert_eq!(welcome.validator.get(), 1),
                NodeMessage::Refused(refusal) => refused.push((refusal.tag, refusal.code)),
                NodeMessage::Ordered(block) => {
                    assert_eq!(block.header.height.get(), next, "a gap");
                    assert!(block.is_consistent());
                    next += 1;
                    let ours =
                        |s: &wire::OrderedSection| s.content == wire::Content::Data(vec![data.clone()]);
                    if block.sections.iter().any(ours) {
                        ordered = Some(block.header.height.get());
                    }
                }
                NodeMessage::Certified(signed) => certified = certified.max(signed.height.get()),
                NodeMessage::Closed(closed) => panic!("{closed:?}"),
            }
        }
    })
    .await;
    refused.sort_unstable();
    assert_eq!(refused, [(2, Refusal::UnknownRollup), (3, Refusal::Malformed)]);
}

/// Connections that say nothing, or nonsense, cost the others nothing.
fn half_open(node: &Running) {
    let mut silent: Vec<TcpStream> = Vec::new();
    for door in ["rpc", "metrics"] {
        for _ in 0..32 {
            let mut stream = TcpStream::connect(node.address(door)).unwrap();
            stream.write_all(b"POST / HT").unwrap();
            silent.push(stream);
        }
    }
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for door in ["network", "ingress"] {
        for length in 1..400 {
            udp.send_to(&vec![0xc3; length], node.address(door)).unwrap();
        }
    }
    let mut stream = TcpStream::connect(node.address("metrics")).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains("\"ready\":true"), "{answer}");
}

/// Clients that ask once and stay: beyond `rpc.max_connections` they are closed, whatever they ask for, and the node
/// keeps the file handles that it needs for all else.
fn crowd(node: &Running) {
    const LIMIT: usize = 512;
    const MORE: usize = 100;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"seq_status","params":[]}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut open = Vec::new();
    for _ in 0..LIMIT + MORE {
        let mut stream = TcpStream::connect(node.address("rpc")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may have been closed already.
        let _ = stream.write_all(request.as_bytes());
        open.push(stream);
    }
    let mut answered = 0;
    for mut stream in &open {
        let mut start = [0; 12];
        answered += usize::from(std::io::Read::read(&mut stream, &mut start).is_ok_and(|read| read > 0));
    }
    assert!((1..=LIMIT).contains(&answered), "{answered} connections at once");
}
