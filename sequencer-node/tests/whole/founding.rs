//! The first key, without one of four.

use std::fs;

use jsonrpsee::http_client::HttpClientBuilder;
use serde_json::json;

use crate::network::{load, until};
use crate::node::{Folders, Running};

const CEREMONY: &str = "[ceremony]\nannounce_ms = 2000\nacknowledge_ms = 2000\nattempt_ms = 20000\n";

/// Three make the key and confirm blocks with it; the fourth comes late, has no share, and follows.
#[tokio::test(flavor = "multi_thread")]
async fn three_of_four_found_the_network_and_the_fourth_follows() {
    let folders = Folders::new();
    let genesis = folders.path("genesis.toml");
    fs::write(&genesis, fs::read_to_string(&genesis).unwrap() + CEREMONY).unwrap();
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::start(&folders.config(id))).collect();
    let client = |node: &Running| {
        HttpClientBuilder::default().build(format!("http://{}", node.address("rpc"))).unwrap()
    };
    for node in &nodes {
        let holds = |s: &serde_json::Value| s["core"]["founded"] == true && s["core"]["key_ready"] == true;
        until(&client(node), "seq_status", json!([]), holds).await;
    }
    nodes.push(Running::start(&folders.config(4)));
    let load = load(&nodes[0]);
    let late = client(&nodes[3]);
    until(&late, "seq_status", json!([]), |s| {
        s["core"]["founded"] == true
            && s["core"]["syncing"] == false
            && s["core"]["certified_height"].as_u64() > Some(5)
    })
    .await;
    let status = until(&late, "seq_status", json!([]), |_| true).await;
    assert_eq!(status["core"]["key_ready"], false, "{status}");
    let said = status["core"]["founding"].as_str().unwrap().to_owned();
    assert!(said.contains("signs no blocks or batches"), "{said}");
    drop(load);
}
