//! What is wrong with one endpoint: outages and lies.
//!
//! The listeners of one process serve one chain, each with faults of its own, so a client with several endpoints meets
//! one that lies beside others that do not. Calls of `dev_*` methods are never disturbed: what started a fault can end
//! it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chain::execute::ExecutionError;
use crate::node::{Node, SharedNode, lock};
use crate::shadow::{HeadLie, Shadow};

/// How an outage looks from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OutageMode {
    /// HTTP 503 at once.
    #[default]
    Refuse,
    /// No answer until the outage ends.
    Hang,
}

/// How an endpoint lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// About the chain: JSON-RPC answers fit another head.
    Head(HeadLie),
    /// HTTP 429, try again after so many seconds.
    RateLimit(u64),
    /// It accepts requests and says nothing.
    Hang,
    /// Its answers are no JSON-RPC.
    Garbage,
    /// It answers every call with a JSON-RPC error of this code.
    Error(i64),
}

/// What an endpoint's HTTP side does instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Refuse,
    Hang,
    RateLimit(u64),
    Garbage,
    Error(i64),
}

#[derive(Debug)]
struct Told {
    lie: Lie,
    until: Instant,
    /// Has a lock of its own: bringing it up to date takes a while, and others only ask what kind of lie it is.
    shadow: Option<Arc<Mutex<Shadow>>>,
}

/// The faults of one listener.
#[derive(Debug)]
pub(crate) struct Faults {
    address: SocketAddr,
    outage: Mutex<Option<(Instant, OutageMode)>>,
    lie: Mutex<Option<Told>>,
    garbled: AtomicUsize,
}

/// One listener: the chain behind it and its faults.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) node: SharedNode,
    pub(crate) faults: Arc<Faults>,
    /// Those of every listener of this chain.
    pub(crate) all: Arc<[Arc<Faults>]>,
}

impl Endpoint {
    /// One endpoint for each address.
    pub(crate) fn each(node: &SharedNode, addresses: &[SocketAddr]) -> Vec<Self> {
        let all: Arc<[_]> = addresses.iter().map(|address| Arc::new(Faults::new(*address))).collect();
        let endpoint =
            |faults: &Arc<Faults>| Self { node: node.clone(), faults: faults.clone(), all: all.clone() };
        all.iter().map(endpoint).collect()
    }

    /// The listeners that a command is for: this one or all.
    pub(crate) fn meant(&self, all: bool) -> impl Iterator<Item = &Arc<Faults>> {
        let own = (!all).then_some(&self.faults);
        own.into_iter().chain(self.all.iter().filter(move |_| all))
    }

    /// The chain that answers are to fit.
    ///
    /// # Errors
    /// A lie about the head could not be kept up.
    pub(crate) fn view(&self) -> Result<SharedNode, ExecutionError> {
        self.faults.view(&self.node)
    }
}

impl Faults {
    fn new(address: SocketAddr) -> Self {
        Self { address, outage: Mutex::new(None), lie: Mutex::new(None), garbled: AtomicUsize::new(0) }
    }

    /// Starts an outage, or ends it if `length` is zero.
    pub(crate) fn set_outage(&self, length: Duration, mode: OutageMode) {
        *lock(&self.outage) = (!length.is_zero()).then(|| (Instant::now() + length, mode));
    }

    /// Starts a lie in place of any other.
    ///
    /// # Errors
    /// The claimed chain could not be built; an earlier lie goes on.
    pub(crate) fn set_lie(&self, lie: Lie, length: Duration, truth: &Node) -> Result<(), ExecutionError> {
        let shadow = match lie {
            Lie::Head(head) => Some(Arc::new(Mutex::new(Shadow::new(head, truth)?))),
            _ => None,
        };
        *lock(&self.lie) = Some(Told { lie, until: Instant::now() + length, shadow });
        Ok(())
    }

    /// Back to the truth.
    pub(crate) fn end_lie(&self) {
        *lock(&self.lie) = None;
    }

    /// What is done instead of answering, and how much longer.
    pub(crate) fn now(&self) -> Option<(Duration, Fault)> {
        if let Some((left, mode)) = self.outage() {
            return Some((left, if mode == OutageMode::Hang { Fault::Hang } else { Fault::Refuse }));
        }
        let mut told = lock(&self.lie);
        let left = told.as_ref()?.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            *told = None;
        }
        let fault = match told.as_ref()?.lie {
            Lie::Head(_) => return None,
            Lie::RateLimit(seconds) => Fault::RateLimit(seconds),
            Lie::Hang => Fault::Hang,
            Lie::Garbage => Fault::Garbage,
            Lie::Error(code) => Fault::Error(code),
        };
        Some((left, fault))
    }

    fn outage(&self) -> Option<(Duration, OutageMode)> {
        let (until, mode) = (*lock(&self.outage))?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some((left, mode))
    }

    fn view(&self, truth: &SharedNode) -> Result<SharedNode, ExecutionError> {
        let shadow = match &*lock(&self.lie) {
            Some(told) if told.until > Instant::now() => told.shadow.clone(),
            _ => None,
        };
        shadow.map_or_else(|| Ok(truth.clone()), |shadow| lock(&shadow).node(truth))
    }

    /// Spoils an answer, each time in the next of three ways: it breaks off, it is a web page, it is JSON of no meaning.
    pub(crate) fn garble(&self, answer: &[u8]) -> Vec<u8> {
        match self.garbled.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => answer.iter().take(answer.len() / 2).copied().collect(),
            1 => b"<html><body><h1>502 Bad Gateway</h1></body></html>".to_vec(),
            _ => br#"{"answer":["garbage",42]}"#.to_vec(),
        }
    }

    /// Address and faults, for people.
    pub(crate) fn to_json(&self) -> Value {
        let outage = self.outage().map(|(left, mode)| json!({ "mode": mode, "seconds": left.as_secs_f64() }));
        let told = lock(&self.lie);
        let lie = told.as_ref().and_then(|told| {
            let left = told.until.saturating_duration_since(Instant::now());
            let kind = match told.lie {
                Lie::Head(HeadLie::Stale(_)) => "staleHead",
                Lie::Head(HeadLie::Stuck) => "stuckHead",
                Lie::Head(HeadLie::Future(_)) => "futureHead",
                Lie::Head(HeadLie::Forked(_)) => "forkedHead",
                Lie::RateLimit(_) => "rateLimit",
                Lie::Hang => "hang",
                Lie::Garbage => "garbage",
                Lie::Error(_) => "error",
            };
            (!left.is_zero()).then(|| json!({ "kind": kind, "seconds": left.as_secs_f64() }))
        });
        json!({ "url": format!("http://{}", self.address), "outage": outage, "lie": lie })
    }
}
