//! `status`: what the registry says of this node's validator, and what the node itself says if it runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use alloy::primitives::Address;
use ordering_types::{L1Reference, ValidatorId};
use rollup::l1::Rpc;
use rollup::registry::IValidatorRegistry::{Validator, activeCall, idOfCall, minimumStakeCall};
use serde::Serialize;
use serde_json::{Value, json};

use super::MembershipError;
use super::desk::{Desk, Told, ether, finish, status_name, stretch, until};
use super::endpoint::endpoint;
use crate::cli::StatusArgs;
use crate::exit::Failure;
use crate::l1::{At, ReadError};

/// Longest wait for the node's own answers.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of each.
const MAX_NODE_BYTES: usize = 1 << 20;

/// This node's validator by the registry.
#[derive(Debug, Serialize)]
pub(crate) struct Standing {
    /// The contract.
    registry: Address,
    /// The newest block that cannot be reverted.
    finalized: L1Reference,
    /// The address of the node key.
    node: Address,
    /// Whether the genesis file names the key.
    founder: bool,
    /// Active validators.
    active: usize,
    minimum_stake_wei: String,
    /// `None`: the key was never registered.
    validator: Option<Registration>,
}

#[derive(Debug, Serialize)]
struct Registration {
    id: ValidatorId,
    status: &'static str,
    owner: Address,
    stake_wei: String,
    /// While unbonding: when the stake is free, seconds since 1970 by L1's clock, and how long that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    release_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bonded_s: Option<u64>,
    endpoint: String,
    /// Whether that is where the config listens; `None` if the config's address cannot be dialed from elsewhere.
    endpoint_as_configured: Option<bool>,
    /// Whether the registration itself cannot be reverted any more.
    is_final: bool,
}

impl Standing {
    /// Asks L1.
    pub(crate) async fn ask(desk: &Desk) -> Result<Self, MembershipError> {
        let contract = &desk.contract;
        contract.check_chain().await?;
        let node = desk.address();
        let finalized = contract.finalized().await?;
        let is_final = match contract.read(idOfCall { node }, At::Block(finalized.hash)).await {
            Err(ReadError::NoContract(_)) => false,
            id => id? != 0,
        };
        let (registered, now) = (desk.validator().await?, contract.time().await?);
        Ok(Self {
            registry: contract.address,
            finalized,
            node,
            founder: desk.spec.validators.iter().any(|v| v.key == desk.node.public_key),
            active: contract.read(activeCall {}, At::Latest).await?.len(),
            minimum_stake_wei: contract.read(minimumStakeCall {}, At::Latest).await?.to_string(),
            validator: registered.map(|validator| Registration::of(&validator, desk, is_final, now)),
        })
    }
}

impl Registration {
    fn of(validator: &Validator, desk: &Desk, is_final: bool, now: u64) -> Self {
        let release_at = Some(validator.releaseAt).filter(|time| *time > 0);
        let configured = endpoint(desk.config.network.listen, None, &desk.node.public_key);
        Self {
            id: ValidatorId::new(validator.id),
            status: status_name(&validator.status),
            owner: validator.owner,
            stake_wei: validator.stake.to_string(),
            release_at,
            bonded_s: release_at.map(|time| until(time, now).unwrap_or_default().as_secs()),
            endpoint: validator.endpoint.clone(),
            endpoint_as_configured: configured.ok().map(|configured| configured == validator.endpoint),
            is_final,
        }
    }

    fn lines(&self) -> Vec<String> {
        let final_or_not = if self.is_final { "" } else { ", not final on L1 yet" };
        let mut lines = vec![
            format!("validator {}     {}{final_or_not}", self.id, self.status),
            format!("owner           {}", self.owner),
            format!("stake           {}", ether(self.stake_wei.parse().unwrap_or_default())),
        ];
        let endpoint = match self.endpoint_as_configured {
            Some(true) => "as in the config",
            Some(false) => {
                "NOT where the config listens; if they do not lead to the same port, `join --endpoint` moves it"
            }
            None => "the config listens on all addresses",
        };
        lines.push(format!("endpoint        {} ({endpoint})", self.endpoint));
        if let Some(bonded) = self.bonded_s {
            let free = if bonded == 0 {
                "now".to_owned()
            } else {
                format!("in {}", stretch(Duration::from_secs(bonded)))
            };
            lines.push(format!("stake is free   {free}; `sequencer-node leave --withdraw` pays it out"));
        }
        lines
    }
}

impl Standing {
    /// Lines for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("registry        {}, {} active validators", self.registry, self.active),
            format!("L1              block {} is final", self.finalized.number),
            format!("node key        {}{}", self.node, if self.founder { ", a founder" } else { "" }),
        ];
        match &self.validator {
            Some(registration) => lines.extend(registration.lines()),
            None => lines.push(format!(
                "validator       not registered; `sequencer-node join` registers it, with a stake of {} or more",
                ether(self.minimum_stake_wei.parse().unwrap_or_default())
            )),
        }
        lines
    }
}

/// What the node says of itself.
#[derive(Debug, Serialize)]
struct Node {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    standing: Option<Standing>,
    /// Why L1 says nothing.
    #[serde(skip_serializing_if = "Option::is_none", rename = "error", serialize_with = "in_words")]
    failure: Option<Failure>,
    running_node: Node,
}

fn in_words<S: serde::Serializer>(failure: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&failure.as_ref().map(ToString::to_string).unwrap_or_default())
}

impl Told for Whole {
    fn lines(&self) -> Vec<String> {
        let mut lines = self.standing.as_ref().map_or_else(Vec::new, Standing::lines);
        lines.extend(self.running_node.lines());
        lines
    }

    fn failure(self) -> Option<Failure> {
        self.failure
    }
}

impl Node {
    fn lines(&self) -> Vec<String> {
        if !self.running {
            return vec!["node            does not answer on its ports; it may not run".to_owned()];
        }
        let of = |value: &Option<Value>, pointer: &str| {
            value.as_ref().and_then(|value| value.pointer(pointer)).cloned().unwrap_or_default()
        };
        let missing: Vec<String> =
            serde_json::from_value(of(&self.readiness, "/missing")).unwrap_or_default();
        let ready = if missing.is_empty() {
            "ready".to_owned()
        } else {
            format!("not ready: {}", missing.join("; "))
        };
        vec![
            format!("node            {ready}, height {}", of(&self.readiness, "/height")),
            format!("epoch           {}", of(&self.status, "/core/epoch")),
        ]
    }

    async fn ask(metrics: SocketAddr, rpc: SocketAddr) -> Self {
        let (readiness, status) = tokio::join!(readiness(metrics), seq_status(rpc));
        Self { running: readiness.is_some() || status.is_some(), readiness, status }
    }
}

/// Where a server on this machine is reached that listens on all its addresses.
fn local(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr =
        if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let ip = if listen.ip().is_unspecified() { loopback } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

/// `/readyz`: its JSON comes with 503 as well.
async fn readiness(metrics: SocketAddr) -> Option<Value> {
    let client = reqwest::Client::builder().timeout(NODE_TIMEOUT).no_proxy().build().ok()?;
    let mut response = client.get(format!("http://{}/readyz", local(metrics))).send().await.ok()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MAX_NODE_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}

async fn seq_status(rpc: SocketAddr) -> Option<Value> {
    let rpc = Rpc::new(&[format!("http://{}", local(rpc))]).ok()?.answers_up_to(MAX_NODE_BYTES);
    tokio::time::timeout(NODE_TIMEOUT, rpc.call("seq_status", json!([]))).await.ok()?.ok()
}

/// Asks L1 and the node.
pub(crate) fn run(args: &StatusArgs) -> Result<(), Failure> {
    finish(args.json, async {
        let desk = Desk::open(&args.config)?;
        // A dead L1 is no reason not to say how the node is.
        let (standing, failure) = match Standing::ask(&desk).await {
            Ok(standing) => (Some(standing), None),
            Err(error) => (None, Some(Failure::from(error))),
        };
        let running_node = Node::ask(desk.config.metrics.listen, desk.config.rpc.listen).await;
        Ok(Whole { standing, failure, running_node })
    })
}
