//! JSON-RPC over HTTP, with failover: a request goes to the endpoint that answered last, and to the next ones only if
//! that one fails. What a node *refuses* is an answer, not a failure.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::http::{EndpointError, HttpError, client, exchange, name, parse_url};

/// Most bytes of an answer, unless a caller expects less.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// An error that the node itself answers with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("L1 refuses ({code}): {message}")]
pub struct RpcRefusal {
    /// JSON-RPC error code.
    pub code: i64,
    /// In the node's words.
    pub message: String,
    /// Revert data, in hexadecimal, if any.
    pub data: Option<String>,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The node answered with an error.
    #[error(transparent)]
    Refused(#[from] RpcRefusal),
    /// No endpoint answered; the last one's reason.
    #[error("L1 endpoint {endpoint}: {error}")]
    Unreachable {
        /// The endpoint, as `host:port`.
        endpoint: String,
        /// Why.
        error: HttpError,
    },
    /// An answer that is no answer to the call.
    #[error("L1 endpoint {endpoint} answers {method} with something else: {why}")]
    Malformed {
        /// The endpoint, as `host:port`.
        endpoint: String,
        /// The call.
        method: &'static str,
        /// What does not fit.
        why: String,
    },
}

/// One or more endpoints of the same L1.
#[derive(Debug)]
pub struct Rpc {
    client: Client,
    endpoints: Vec<Url>,
    preferred: AtomicUsize,
    next_id: AtomicU64,
    max_answer_bytes: usize,
}

impl Rpc {
    /// Endpoints in order of preference.
    pub fn new(endpoints: &[String]) -> Result<Self, EndpointError> {
        let endpoints: Vec<Url> = endpoints.iter().map(|text| parse_url(text)).collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(EndpointError::NoEndpoint);
        }
        let client = client(&endpoints)?;
        let (preferred, next_id) = (AtomicUsize::new(0), AtomicU64::new(1));
        Ok(Self { client, endpoints, preferred, next_id, max_answer_bytes: MAX_ANSWER_BYTES })
    }

    /// With answers of no more than so many bytes; longer ones are failures.
    #[must_use]
    pub const fn answers_up_to(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Calls `method`; every endpoint is tried once.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let start = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for offset in 0..self.endpoints.len() {
            let index = (start + offset) % self.endpoints.len();
            let Some(url) = self.endpoints.get(index) else { continue };
            match self.call_one(url, method, &params).await {
                Err(error @ (RpcError::Unreachable { .. } | RpcError::Malformed { .. })) => {
                    tracing::debug!(%error, "L1 endpoint failed");
                    failure = Some(error);
                }
                answered => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(failure.expect("there is at least one endpoint"))
    }

    async fn call_one<T: DeserializeOwned>(
        &self,
        url: &Url,
        method: &'static str,
        params: &Value,
    ) -> Result<T, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answer = exchange(self.client.post(url.clone()).json(&body), self.max_answer_bytes)
            .await
            .map_err(|error| RpcError::Unreachable { endpoint: name(url), error })?;
        let malformed = |why: String| RpcError::Malformed { endpoint: name(url), method, why };
        Ok(read_answer(&answer).map_err(malformed)??)
    }
}

/// The result in an answer, or the node's refusal; what is neither is an error in words.
pub(crate) fn read_answer<T: DeserializeOwned>(answer: &[u8]) -> Result<Result<T, RpcRefusal>, String> {
    let mut answer: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return Ok(Err(refusal(error)));
    }
    let result = answer.get_mut("result").ok_or("no result")?.take();
    serde_json::from_value(result).map(Ok).map_err(|error| error.to_string())
}

fn refusal(error: &Value) -> RpcRefusal {
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    RpcRefusal {
        code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
        message: text("message").unwrap_or_else(|| error.to_string()),
        data: text("data"),
    }
}
