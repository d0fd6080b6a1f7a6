//! A node asked from outside: JSON-RPC and health, as an operator's tools do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::layout::Ports;

/// A node that does not answer within this time counts as not answering.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node says of itself; zero and empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it answers at all.
    pub answers: bool,
    /// Whether `/readyz` says yes: synced, voting, share loaded.
    pub ready: bool,
    /// What `/readyz` says.
    pub why: String,
    /// Newest ordered height.
    pub height: u64,
    /// Newest softly confirmed height.
    pub certified: u64,
    /// Newest sealed batch.
    pub sealed: u64,
    /// Epoch.
    pub epoch: u64,
    /// Connected peers.
    pub peers: u64,
    /// Ids of the committee's members.
    pub committee: Vec<u16>,
    /// Who proposes.
    pub leader: Option<u16>,
}

/// Ways to ask one node.
#[derive(Clone, Debug)]
pub struct NodeApi {
    client: reqwest::Client,
    rpc: String,
    health: String,
}

impl NodeApi {
    /// Of node `number`.
    pub fn new(ports: Ports, number: u16) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        Self {
            client: client.unwrap_or_default(),
            rpc: ports.rpc_url(number),
            health: format!("http://127.0.0.1:{}", ports.metrics(number)),
        }
    }

    /// One JSON-RPC call; `None` if there is no answer or an error.
    pub async fn call(&self, method: &str, params: Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = self.client.post(&self.rpc).json(&body).send().await.ok()?.json().await.ok()?;
        answer.get("result").cloned()
    }

    /// Whether `/readyz` says yes, and what it says.
    pub async fn ready(&self) -> (bool, String) {
        match self.client.get(format!("{}/readyz", self.health)).send().await {
            Ok(response) => {
                let ready = response.status().is_success();
                let text = response.text().await.unwrap_or_default();
                (ready, text.trim().chars().take(200).collect())
            }
            Err(_) => (false, "no answer".into()),
        }
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Option<String> {
        let response = self.client.get(format!("{}/metrics", self.health)).send().await.ok()?;
        response.text().await.ok()
    }

    /// Everything it says of itself.
    pub async fn status(&self) -> NodeStatus {
        let ((ready, why), status) = tokio::join!(self.ready(), self.call("seq_status", json!([])));
        let answers = status.is_some();
        let status = status.unwrap_or_default();
        NodeStatus { answers, ready, why, ..parse(&status) }
    }
}

/// Numbers arrive as JSON numbers or as Ethereum's hexadecimal quantities.
fn number(value: &Value) -> Option<u64> {
    let hexadecimal = || u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(hexadecimal)
}

fn parse(status: &Value) -> NodeStatus {
    let field = |name: &str| status.get(name).and_then(number);
    let committee = status.get("committee").and_then(Value::as_array);
    let member = |value: &Value| u16::try_from(number(value)?).ok();
    NodeStatus {
        height: field("height").unwrap_or_default(),
        certified: field("certified").unwrap_or_default(),
        sealed: field("sealed").unwrap_or_default(),
        epoch: field("epoch").unwrap_or_default(),
        peers: field("peers").unwrap_or_default(),
        committee: committee.map(|all| all.iter().filter_map(member).collect()).unwrap_or_default(),
        leader: status.get("leader").and_then(member),
        ..NodeStatus::default()
    }
}
