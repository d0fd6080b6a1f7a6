//! A validator whose disk is lost comes back to a network that is far ahead.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use jsonrpsee::core::client::ClientT;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};

use crate::network::{load, until};
use crate::node::{Folders, Running};

const LIMITS: &str = "[limits]\nduplicate_window_blocks = 48\nblocks_per_batch = 48\nbatch_interval_ms = 1500\n\
                      idle_block_interval_ms = 30\n";

fn client(node: &Running) -> HttpClient {
    HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap()
}

fn height(status: &Value) -> u64 {
    status["durable_height"].as_u64().unwrap()
}

async fn height_of(client: &HttpClient) -> u64 {
    height(&until(client, "seq_status", json!([]), |_| true).await)
}

fn get(node: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(node.address("metrics")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// It leaves out what is long past, replays what it needs, and votes: without it there would be no quorum any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_is_replaced_by_an_empty_one_and_the_node_votes_again() {
    let folders = Folders::new();
    let genesis = folders.path("genesis.toml");
    fs::write(&genesis, fs::read_to_string(&genesis).unwrap() + LIMITS).unwrap();
    let mut nodes: Vec<Running> = (1..=4).map(|id| Running::start(&folders.config(id))).collect();
    for node in &nodes {
        until(&client(node), "seq_status", json!([]), |s| s["core"]["key_ready"] == true).await;
    }
    let refused = folders.command(4, &["data", "new"], &[]);
    assert_eq!(refused.status.code(), Some(5), "its folder is there");

    nodes[3].kill();
    fs::remove_dir_all(folders.path("n4/data")).unwrap();
    let made = folders.command(4, &["data", "new"], &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(folders.path("n4/data/replaced").exists(), "for ever: its votes are lost");
    let one = client(&nodes[0]);
    let load = load(&nodes[0]);
    let far = |batch: &Value| batch["header"]["last_height"].as_u64() > Some(100);
    let sealed = until(&one, "seq_sealedBatch", json!(["latest"]), far).await;
    // Before it has heard how far it is behind it asks each of three for 64 blocks, and they come at once.
    let ahead = sealed["header"]["last_height"].as_u64().unwrap() + 400;
    until(&one, "seq_status", json!([]), |s| height(s) > ahead).await;

    nodes[3] = Running::start(&folders.config(4));
    let late = client(&nodes[3]);
    let votes = |s: &Value| {
        s["core"]["checkpoint"].is_u64() && s["core"]["syncing"] == false && s["core"]["silence"].is_null()
    };
    let status = until(&late, "seq_status", json!([]), votes).await;
    let checkpoint = status["core"]["checkpoint"].as_u64().unwrap();
    assert!(checkpoint + 48 <= height(&status), "not before it holds a whole window");
    assert_eq!((&status["core"]["founded"], &status["core"]["key_ready"]), (&json!(true), &json!(false)));
    says_what_it_lacks(&nodes[3], &late, checkpoint).await;

    // Three of four order on; with the fourth gone, the late one's votes are needed.
    nodes[2].kill();
    let before = height_of(&one).await;
    until(&one, "seq_status", json!([]), |s| height(s) > before + 20).await;

    // What it holds now is enough for any restart.
    nodes[3].kill();
    nodes[3] = Running::start(&folders.config(4));
    let late = client(&nodes[3]);
    let before = height_of(&one).await;
    until(&late, "seq_status", json!([]), |s| height(s) > before + 20 && s["core"]["silence"].is_null())
        .await;
    drop(load);
}

async fn says_what_it_lacks(node: &Running, client: &HttpClient, checkpoint: u64) {
    let old = client.request::<Value, _>("seq_block", rpc_params![checkpoint]).await.unwrap_err();
    let first = checkpoint + 1;
    assert!(old.to_string().contains(&format!("this node has blocks from height {first} on")), "{old}");
    until(client, "seq_block", json!([first]), |block| block["header"]["height"] == first).await;
    assert!(
        get(node, "/readyz").contains("key share: founded, but this node's key share is not on its disk")
    );
    assert!(get(node, "/metrics").contains("sequencer_key_share 0"));
    // Batches that the committee signed while it was away or catching up come from the others.
    let after = |batch: &Value| batch["header"]["first_height"].as_u64() > Some(checkpoint);
    until(client, "seq_sealedBatch", json!(["latest"]), after).await;
}
