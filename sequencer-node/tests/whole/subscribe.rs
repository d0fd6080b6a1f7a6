//! `seq_subscribe` over WebSocket: what a follower hears, what it may not ask, and what a slow one costs.

use std::time::Duration;

use jsonrpsee::core::client::{ClientT, Error, Subscription, SubscriptionClientT};
use jsonrpsee::http_client::HttpClientBuilder;
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::network::{code, load, transfer, until, within};
use crate::node::{Folders, Running};

/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 16;
/// What a client can send that takes no answers: the kernel's buffers on both sides, and a window.
const MAX_UNANSWERED_BYTES: usize = 32 << 20;
/// What it may cost in memory.
const MAX_GROWTH_BYTES: u64 = 64 << 20;
/// Far more than may wait for one subscriber.
const MANY_BLOCKS: u64 = 250;

/// A subscription, and what it promises: every height in order, each confirmed after it was ordered.
struct Follower {
    subscription: Subscription<Value>,
    /// Height and hash of the newest block.
    newest: Option<(u64, String)>,
}

impl Follower {
    async fn new(client: &WsClient) -> Self {
        let subscription = client.subscribe("seq_subscribe", rpc_params![], "seq_unsubscribe").await.unwrap();
        Self { subscription, newest: None }
    }

    /// The next notification, checked.
    async fn next(&mut self) -> Value {
        let news = within("a notification", self.subscription.next()).await.expect("it goes on").unwrap();
        let hash = news["hash"].as_str().unwrap().to_owned();
        match (news["kind"].as_str().unwrap(), &self.newest) {
            ("ordered", newest) => {
                let height = news["header"]["height"].as_u64().unwrap();
                if let Some((before, parent)) = newest {
                    assert_eq!(height, before + 1, "a gap");
                    assert_eq!(news["header"]["parent"].as_str().unwrap(), parent);
                }
                self.newest = Some((height, hash));
            }
            ("certified", Some((newest, newest_hash))) => {
                let height = news["height"].as_u64().unwrap();
                assert!(height <= *newest, "{news} before its block");
                assert!(height < *newest || hash == *newest_hash, "{news}");
            }
            ("certified", None) => {}
            (other, _) => panic!("{other}"),
        }
        news
    }

    /// Until the block with a transaction is ordered and confirmed; gives its height.
    async fn confirmed(&mut self, client: &WsClient, rollup: u64, id: &str) -> u64 {
        let mut found = None;
        loop {
            let news = self.next().await;
            if news["kind"] == "certified"
                && let Some(height) = found.filter(|height| news["height"].as_u64() >= Some(*height))
            {
                return height;
            }
            if news["kind"] == "ordered" && news["header"]["tx_count"].as_u64() > Some(0) {
                let height = news["header"]["height"].as_u64().unwrap();
                let block: Value = client.request("seq_block", rpc_params![height]).await.unwrap();
                assert_eq!(block["hash"], news["hash"]);
                let mut sections = block["sections"].as_array().unwrap().iter();
                let ours = sections.find(|section| section["rollup"].as_u64() == Some(rollup));
                if ours.is_some_and(|section| section["ids"].as_array().unwrap().contains(&json!(id))) {
                    found = Some(height);
                }
            }
        }
    }
}

async fn connect(node: &Running, path: &str) -> WsClient {
    WsClientBuilder::default().build(format!("ws://{}{path}", node.address("rpc"))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_hears_all_and_others_do_not_disturb_it() {
    let folders = Folders::new();
    let nodes: Vec<Running> = (1..=4).map(|id| Running::start(&folders.config(id))).collect();
    let http = HttpClientBuilder::default().build(format!("http://{}", nodes[0].address("rpc"))).unwrap();
    let signed = |s: &Value| s["certified_height"].as_u64() >= Some(1);
    until(&http, "seq_status", json!([]), signed).await;
    let client = connect(&nodes[0], "").await;
    let mut follower = Follower::new(&client).await;
    follows(&nodes[0], &client, &mut follower).await;
    let load = load(&nodes[1]);
    bad_input(&client, &mut follower).await;
    let mut follower = resumes(&client, follower).await;
    slow(&nodes[0], &mut follower).await;
    drop(load);
}

/// Through each door, a transaction is heard of twice.
async fn follows(node: &Running, client: &WsClient, follower: &mut Follower) {
    let sent: Value = client.request("seq_submit", rpc_params![2, "0xabcd"]).await.unwrap();
    follower.confirmed(client, 2, sent["id"].as_str().unwrap()).await;
    let wallet = connect(node, "/rollup/901").await;
    let raw = format!("0x{}", hex::encode(transfer(901, 0)));
    let hash: String = wallet.request("eth_sendRawTransaction", rpc_params![raw]).await.unwrap();
    let named = json!({ "hash": hash });
    let id = within("it is ordered", async {
        loop {
            // Following goes on meanwhile, else the notification would be missed.
            match client.request::<Value, _>("seq_proof", rpc_params![1, &named]).await {
                Ok(found) => return found["id"].as_str().unwrap().to_owned(),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    follower.confirmed(client, 1, &id).await;
}

/// Each mistake is answered, and the subscription of the same connection goes on.
async fn bad_input(client: &WsClient, follower: &mut Follower) {
    for (params, expected) in [
        (json!([9, "0xabcd"]), -32_011),
        (json!([2]), -32_602),
        (json!({ "rollup": 2 }), -32_602),
        (json!([2, "xyz"]), -32_602),
    ] {
        let refused = request(client, "seq_submit", &params).await.unwrap_err();
        assert_eq!(code(refused), expected, "{params}");
    }
    // It takes no rollup and no cursor: nobody may believe that theirs was understood.
    for params in [json!([{ "rollup": 9 }]), json!(["latest"]), json!({ "from": 1 }), json!([null])] {
        let refused = request(client, "seq_subscribe", &params).await.unwrap_err();
        assert_eq!(code(refused), -32_602, "{params}");
    }
    let mut more = Vec::new();
    for _ in 1..MAX_SUBSCRIPTIONS {
        more.push(Follower::new(client).await);
    }
    let refused = client.subscribe::<Value, _>("seq_subscribe", rpc_params![], "seq_unsubscribe").await;
    match refused.err() {
        Some(Error::Call(object)) => {
            assert_eq!(object.code(), -32_006);
            let limit = object.data().unwrap().get();
            assert!(limit.contains(&MAX_SUBSCRIPTIONS.to_string()), "{limit}");
        }
        other => panic!("{other:?}"),
    }
    for other in &mut more {
        other.next().await;
    }
    drop(more);
    for _ in 0..10 {
        follower.next().await;
    }
}

async fn request(client: &WsClient, method: &str, params: &Value) -> Result<Value, Error> {
    let mut list = jsonrpsee::core::params::ArrayParams::new();
    let mut object = jsonrpsee::core::params::ObjectParams::new();
    match params {
        Value::Array(values) => {
            values.iter().for_each(|value| list.insert(value).unwrap());
            client.request(method, list).await
        }
        other => {
            other.as_object().unwrap().iter().for_each(|(key, value)| object.insert(key, value).unwrap());
            client.request(method, object).await
        }
    }
}

/// A follower that was away reads the heights between from `seq_block`.
async fn resumes(client: &WsClient, follower: Follower) -> Follower {
    let (left, mut parent) = follower.newest.clone().unwrap();
    follower.subscription.unsubscribe().await.unwrap();
    within("blocks without us", async {
        loop {
            let block: Value = client.request("seq_block", rpc_params!["latest"]).await.unwrap();
            if block["header"]["height"].as_u64() > Some(left + 5) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut follower = Follower::new(client).await;
    while follower.newest.is_none() {
        follower.next().await;
    }
    let first = follower.newest.clone().unwrap();
    assert!(first.0 > left + 5);
    for height in left + 1..=first.0 {
        let block: Value = client.request("seq_block", rpc_params![height]).await.unwrap();
        assert_eq!(block["header"]["parent"].as_str().unwrap(), parent);
        parent = block["hash"].as_str().unwrap().to_owned();
    }
    assert_eq!(parent, first.1);
    follower
}

/// A text frame of a client, with a mask that changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

async fn raw_session(node: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // What the client's kernel keeps tells nothing of the node. Much less, and reading it all takes minutes on a busy machine.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(node.address("rpc").parse().unwrap()).await.unwrap();
    let upgrade = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the answer to an upgrade", stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// A client that subscribes and asks, and reads nothing: once the library below read on and kept an answer for each
/// of its requests, as many as it sent.
async fn slow(node: &Running, follower: &mut Follower) {
    let mut stream = raw_session(node).await;
    let before = node.resident_bytes();
    for _ in 0..MAX_SUBSCRIPTIONS {
        let subscribe = frame(r#"{"jsonrpc":"2.0","id":1,"method":"seq_subscribe"}"#);
        stream.write_all(&subscribe).await.unwrap();
    }
    // An old block has a known size: the newest is the larger the busier the machine is, and all that waits is read below.
    let ask = frame(r#"{"jsonrpc":"2.0","id":2,"method":"seq_block","params":[1]}"#).repeat(64);
    let mut sent = 0;
    // The node has stopped listening when nothing more goes through.
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(2), stream.write(&ask)).await {
        sent += written.expect("the node closes nothing yet");
        assert!(sent < MAX_UNANSWERED_BYTES, "the node listens to a client that takes no answers");
    }
    // What the follower hears first may be of before: it did not listen either.
    let http = HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap();
    let status = until(&http, "seq_status", json!([]), |_| true).await;
    let far = status["durable_height"].as_u64().unwrap() + MANY_BLOCKS;
    while follower.newest.as_ref().is_none_or(|(height, _)| *height < far) {
        follower.next().await;
    }
    let growth = node.resident_bytes().saturating_sub(before);
    assert!(growth < MAX_GROWTH_BYTES, "{sent} bytes of requests cost {growth} bytes of memory");
    // Now it reads: it has been cut off, or is told so, after no more than could wait for it.
    let mut heard = Vec::new();
    let needle = b"too slow; subscribe again and fill the gap with seq_block";
    within("the end of a slow subscriber", async {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            let fresh = heard.len().saturating_sub(needle.len());
            heard.extend_from_slice(&chunk[..read]);
            if read == 0 || heard[fresh..].windows(needle.len()).any(|bytes| bytes == needle) {
                return;
            }
        }
    })
    .await;
    for _ in 0..10 {
        follower.next().await;
    }
}
