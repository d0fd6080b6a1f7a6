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
    /// Connected members of the committee.
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
        // Only plain HTTP on loopback: no certificates are needed, and the machine may have none.
        let client = reqwest::Client::builder().timeout(PATIENCE).tls_certs_only([]).build();
        Self {
            client: client.expect("a client without certificates takes nothing from the machine"),
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
                (ready, missing(&response.text().await.unwrap_or_default()))
            }
            Err(_) => (false, "no answer".into()),
        }
    }

    /// The body of `/readyz`, whatever it says.
    pub async fn health(&self) -> Option<Value> {
        self.client.get(format!("{}/readyz", self.health)).send().await.ok()?.json().await.ok()
    }

    /// Whether it votes, or follows if it is no member. A share of this epoch's key it may lack all the same: who is away while a key is made, has none.
    pub async fn takes_part(&self) -> bool {
        let Some(health) = self.health().await else { return false };
        let says = |name: &str| health.get(name).and_then(Value::as_bool).unwrap_or_default();
        says("voting") || (says("ready") && !says("member"))
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

/// What `/readyz` misses, in its own words.
fn missing(body: &str) -> String {
    const SHOWN: usize = 200;
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let list = value.get("missing").and_then(Value::as_array);
    let text = list.map_or_else(
        || body.trim().to_owned(),
        |all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
    );
    text.chars().take(SHOWN).collect()
}

fn parse(status: &Value) -> NodeStatus {
    let core = status.get("core").unwrap_or(&Value::Null);
    let newest = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
    let member = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let committee = core.get("committee").and_then(Value::as_array);
    let peers = status.get("peers").and_then(Value::as_array);
    let says = |peer: &Value, what: &str| peer.get(what).and_then(Value::as_bool).unwrap_or(true);
    let connected = |peer: &&Value| says(peer, "connected") && says(peer, "committee");
    NodeStatus {
        height: newest(status, "durable_height"),
        certified: newest(status, "certified_height"),
        sealed: newest(core, "last_sealed"),
        epoch: newest(core, "epoch"),
        peers: peers.map_or(0, |all| all.iter().filter(connected).count() as u64),
        committee: committee.map(|all| all.iter().filter_map(member).collect()).unwrap_or_default(),
        leader: core.get("proposer").and_then(member),
        ..NodeStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_the_nodes_words() {
        assert_eq!(
            missing("{\"ready\":false,\"missing\":[\"peers: 0\",\"key share: dealing\"]}"),
            "peers: 0; key share: dealing"
        );
        assert_eq!(missing("starting\n"), "starting");
        assert_eq!(missing(&"x".repeat(1_000)).len(), 200);
    }

    #[test]
    fn a_status_is_read_and_nonsense_is_all_zero() {
        let status = parse(&json!({
            "core": {"epoch": 0, "last_sealed": 3, "proposer": 2, "committee": [1, 2, 3, 4]},
            "durable_height": 40,
            "certified_height": 39,
            "peers": [
                {"connected": true, "committee": true},
                {"connected": false, "committee": true},
                {"connected": true, "committee": false},
                {"connected": true, "committee": true},
            ],
        }));
        assert_eq!((status.height, status.certified, status.sealed, status.peers), (40, 39, 3, 2));
        assert_eq!((status.leader, status.committee.as_slice()), (Some(2), [1, 2, 3, 4].as_slice()));
        for nonsense in [Value::Null, json!([1]), json!({"core": 7, "peers": "many", "durable_height": -1})] {
            assert_eq!(parse(&nonsense), NodeStatus::default());
        }
    }
}
