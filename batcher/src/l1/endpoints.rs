//! Several endpoints of one L1: a call goes to the one that was good last, and at once to the next when it fails.
//!
//! | an endpoint | is left for |
//! |---|---|
//! | refuses the connection, breaks off, HTTP status other than 200 (429 among them) | [`AWAY`] |
//! | says nothing for [`HANGS_AFTER`] ([`SEND_HANGS_AFTER`] for a transaction with its blobs, and where there is no other endpoint) | [`AWAY`] |
//! | answers with what is no answer | [`AWAY`] |
//! | says "internal error" or "limit exceeded" where another one answers | [`AWAY`] |
//! | has a head that is behind, ahead of or beside the others' ([`heads`](super::heads)) | as long as that is so |
//!
//! A refusal in any other words is an answer. When all are away, all are tried: a client that knows no good endpoint has nothing to lose.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::{B256, U64};
use rollup::l1::{EndpointError, HttpError, Rpc, RpcError, endpoint_name};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::heads::{Head, Verdict, common_height, judge};

/// Most endpoints that are used.
pub const MAX_ENDPOINTS: usize = 8;
/// Without an answer for so long an endpoint counts as failed.
pub const HANGS_AFTER: Duration = Duration::from_millis(1_500);
/// As [`HANGS_AFTER`], for a transaction: six blobs are 1.7 MB, and the pool checks their proofs.
pub const SEND_HANGS_AFTER: Duration = Duration::from_secs(8);
/// An endpoint that failed is not asked for so long, unless no other is left; twice as long after each failure that follows.
pub const AWAY: Duration = Duration::from_secs(5);
/// Most of it: one that hangs holds a survey up for [`HANGS_AFTER`] each time.
pub const LONGEST_AWAY: Duration = Duration::from_secs(60);
/// JSON-RPC: "limit exceeded" (EIP-1474) and "internal error".
const OWN_TROUBLE: [i64; 2] = [-32_005, -32_603];
/// Most bytes of an answer: a receipt of a batch in calldata, and all its logs.
const MAX_ANSWER_BYTES: usize = 4 << 20;

#[derive(Debug)]
struct Endpoint {
    rpc: Rpc,
    name: String,
    /// There is no other to go to.
    is_alone: bool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// In a row.
    failures: u32,
    away_until: Option<Instant>,
    /// By the last survey.
    verdict: Verdict,
}

impl Endpoint {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_away(&self) -> bool {
        self.state().away_until.is_some_and(|until| until > Instant::now())
    }

    fn is_good(&self) -> bool {
        !self.is_away() && matches!(self.state().verdict, Verdict::Good)
    }

    fn failed(&self, error: &RpcError) {
        let mut state = self.state();
        let away = AWAY.saturating_mul(1 << state.failures.min(31)).min(LONGEST_AWAY);
        (state.away_until, state.failures) = (Some(Instant::now() + away), state.failures.saturating_add(1));
        if state.failures == 1 {
            tracing::warn!(%error, "L1 endpoint failed: another one is asked, if there is one");
        }
    }

    fn judged(&self, verdict: Verdict) {
        let before = std::mem::replace(&mut self.state().verdict, verdict);
        if before != verdict && !matches!(verdict, Verdict::Good | Verdict::Silent) {
            tracing::warn!(
                endpoint = self.name,
                ?verdict,
                "L1 endpoint contradicts the others: it is not believed"
            );
        }
    }

    async fn call<T: DeserializeOwned>(&self, method: &'static str, params: &Value) -> Result<T, RpcError> {
        let long = self.is_alone || method == "eth_sendRawTransaction";
        let patience = if long { SEND_HANGS_AFTER } else { HANGS_AFTER };
        let asked = tokio::time::timeout(patience, self.rpc.call(method, params.clone())).await;
        let answer = asked.unwrap_or_else(|_| {
            let error = HttpError::Transport(format!("no answer to {method} for {patience:?}"));
            Err(RpcError::Unreachable { endpoint: self.name.clone(), error })
        });
        if answer.is_ok() {
            let mut state = self.state();
            (state.away_until, state.failures) = (None, 0);
        }
        answer
    }
}

/// One or more endpoints of one L1.
#[derive(Clone, Debug)]
pub struct Endpoints {
    all: Arc<[Endpoint]>,
    current: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct Block {
    number: U64,
    hash: B256,
}

impl Endpoints {
    /// In order of preference, the first [`MAX_ENDPOINTS`] of them.
    ///
    /// # Errors
    /// None, or one that is no URL.
    pub fn new(urls: &[String]) -> Result<Self, EndpointError> {
        if urls.is_empty() {
            return Err(EndpointError::NoEndpoint);
        }
        let endpoint = |url: &String| {
            let rpc = Rpc::new(std::slice::from_ref(url))?.answers_up_to(MAX_ANSWER_BYTES);
            let state = Mutex::new(State { failures: 0, away_until: None, verdict: Verdict::Good });
            Ok(Endpoint { rpc, name: endpoint_name(url)?, is_alone: urls.len() == 1, state })
        };
        let all = urls.iter().take(MAX_ENDPOINTS).map(endpoint).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { all: all.into(), current: Arc::default() })
    }

    /// How many can be asked now.
    pub fn good(&self) -> usize {
        self.all.iter().filter(|endpoint| endpoint.is_good()).count()
    }

    /// The one that was good last, then the others that are good in order of preference; all of them if none is good.
    fn order(&self) -> Vec<usize> {
        let current = self.current.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by_key(|index| *index != current);
        let good = |index: &usize| self.all.get(*index).is_some_and(Endpoint::is_good);
        if order.iter().any(good) {
            order.retain(good);
        }
        order
    }

    /// Calls `method` at the first endpoint that answers.
    ///
    /// # Errors
    /// A refusal, or the last failure.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let mut failures: Vec<(&Endpoint, RpcError)> = Vec::new();
        for index in self.order() {
            let Some(endpoint) = self.all.get(index) else { continue };
            match endpoint.call(method, &params).await {
                Err(error) if is_own_failure(&error) => failures.push((endpoint, error)),
                answer => {
                    for (endpoint, error) in &failures {
                        endpoint.failed(error);
                    }
                    self.current.store(index, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        // What all of them say is no failure of one.
        for (endpoint, error) in failures.iter().filter(|(_, error)| !matches!(error, RpcError::Refused(_))) {
            endpoint.failed(error);
        }
        let (_, error) = failures.pop().expect("there is at least one endpoint, and each has failed");
        Err(error)
    }

    /// Asks all that are not away for their heads, chooses one that the others do not contradict, and returns its head.
    ///
    /// # Errors
    /// None answers.
    pub async fn survey(&self) -> Result<Head, RpcError> {
        let claims = self.ask_all(json!("latest"), |_| true).await;
        let at_common = match common_height(&claims) {
            Some(height) => {
                let answered = |index: usize| claims.get(index).is_some_and(Option::is_some);
                self.ask_all(json!(U64::from(height)), answered).await
            }
            None => claims.clone(),
        };
        let hashes: Vec<Option<B256>> = at_common.iter().map(|head| head.map(|head| head.hash)).collect();
        let verdicts = judge(&claims, &hashes);
        for (endpoint, verdict) in self.all.iter().zip(&verdicts) {
            endpoint.judged(*verdict);
        }
        let chosen = self.order().into_iter().find(|index| verdicts.get(*index) == Some(&Verdict::Good));
        match chosen.and_then(|index| Some((index, (*claims.get(index)?)?))) {
            Some((index, head)) => {
                self.current.store(index, Ordering::Relaxed);
                Ok(head)
            }
            // Nobody is good: whoever answers at all, or the reason why nobody does.
            None => {
                self.call::<Block>("eth_getBlockByNumber", json!(["latest", false])).await.map(Head::from)
            }
        }
    }

    /// The block `at` by each endpoint's word, `None` where it is away, not asked or fails.
    async fn ask_all(&self, at: Value, asked: impl Fn(usize) -> bool) -> Vec<Option<Head>> {
        let mut asking = JoinSet::new();
        for index in (0..self.all.len()).filter(|index| asked(*index)) {
            let (all, params) = (Arc::clone(&self.all), json!([at, false]));
            asking.spawn(async move {
                let endpoint = all.get(index).filter(|endpoint| !endpoint.is_away())?;
                match endpoint.call::<Block>("eth_getBlockByNumber", &params).await {
                    Ok(block) => Some((index, Head::from(block))),
                    Err(error) => {
                        if !endpoint.is_alone {
                            endpoint.failed(&error);
                        }
                        None
                    }
                }
            });
        }
        let mut heads = vec![None; self.all.len()];
        while let Some(answer) = asking.join_next().await {
            if let Ok(Some((index, head))) = answer
                && let Some(place) = heads.get_mut(index)
            {
                *place = Some(head);
            }
        }
        heads
    }
}

impl From<Block> for Head {
    fn from(block: Block) -> Self {
        Self { number: block.number.to(), hash: block.hash }
    }
}

/// Whether another endpoint may do better.
fn is_own_failure(error: &RpcError) -> bool {
    match error {
        RpcError::Unreachable { .. } | RpcError::Malformed { .. } => true,
        RpcError::Refused(refusal) => OWN_TROUBLE.contains(&refusal.code),
    }
}
