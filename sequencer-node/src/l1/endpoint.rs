//! The L1 endpoint: does it answer, and for the right chain?
//!
//! A wrong chain refuses to start: batches would be watched where they never arrive. A dead endpoint does not: ordering
//! needs no L1, so the node says so once, goes on, and tries again.

use std::time::Duration;

use alloy::providers::{Provider, ProviderBuilder};
use alloy::transports::http::reqwest::{Client, Url};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks: while it answers, and first and longest while it does not.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is known of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum L1State {
    /// None is configured.
    NotConfigured,
    /// It answers for the right chain.
    Ok {
        /// The chain.
        chain_id: u64,
    },
    /// It does not answer.
    Unreachable {
        /// Why.
        why: String,
    },
    /// It answers for another chain (after a start with the right one).
    WrongChain {
        /// What it serves now.
        got: u64,
    },
}

/// Why an endpoint is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum L1Error {
    /// Another chain.
    #[error(
        "L1 endpoint {endpoint} serves chain {got}, the genesis file names chain {expected}; set l1.endpoint to a node \
         of chain {expected}"
    )]
    WrongChain {
        /// The endpoint.
        endpoint: String,
        /// What it serves.
        got: u64,
        /// What it should serve.
        expected: u64,
    },
    /// No answer.
    #[error("L1 endpoint {endpoint} does not answer: {why}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        why: String,
    },
}

/// Asks once.
pub(crate) async fn check(endpoint: &str, expected: u64) -> Result<(), L1Error> {
    let url = Url::parse(endpoint).map_err(|e| L1Error::Unreachable {
        endpoint: "(l1.endpoint)".to_owned(),
        why: format!("not a URL: {e}"),
    })?;
    let name = name(&url);
    // The HTTP client's errors repeat the URL, without user and password.
    let mut repeated = url.clone();
    let stripped = repeated.set_username("").and_then(|()| repeated.set_password(None));
    let unreachable = |why: String| L1Error::Unreachable {
        endpoint: name.clone(),
        why: if stripped.is_ok() { why.replace(repeated.as_str(), &name) } else { "no answer".to_owned() },
    };
    // The provider's own client panics where it cannot be made, such as on a machine without CA certificates.
    let client = Client::builder().build().map_err(|e| unreachable(with_causes(&e)))?;
    let provider = ProviderBuilder::new().connect_reqwest(client, url.clone());
    let answer = timeout(ANSWER_TIMEOUT, provider.get_chain_id()).await;
    let got = answer
        .map_err(|_| unreachable(format!("nothing within {} s", ANSWER_TIMEOUT.as_secs())))?
        .map_err(|e| unreachable(e.to_string()))?;
    if got == expected { Ok(()) } else { Err(L1Error::WrongChain { endpoint: name, got, expected }) }
}

/// Scheme, host and port: the path of an endpoint often is a key.
fn name(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// An error that does not repeat its causes, with them.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The state that a check leads to.
pub(crate) fn state_of(outcome: &Result<(), L1Error>, expected: u64) -> L1State {
    match outcome {
        Ok(()) => L1State::Ok { chain_id: expected },
        Err(L1Error::WrongChain { got, .. }) => L1State::WrongChain { got: *got },
        Err(L1Error::Unreachable { why, .. }) => L1State::Unreachable { why: why.clone() },
    }
}

/// Looks again and again, and says when something changed.
pub(crate) async fn watch_endpoint(endpoint: String, expected: u64, state: watch::Sender<L1State>) {
    let mut backoff = BACKOFF.0;
    loop {
        let fine = matches!(*state.borrow(), L1State::Ok { .. });
        tokio::time::sleep(if fine { LOOK_INTERVAL } else { backoff }).await;
        backoff = if fine { BACKOFF.0 } else { (backoff * 2).min(BACKOFF.1) };
        let outcome = check(&endpoint, expected).await;
        let new = state_of(&outcome, expected);
        let changed = std::mem::discriminant(&new) != std::mem::discriminant(&*state.borrow());
        if changed {
            match &outcome {
                Ok(()) => tracing::info!("the L1 endpoint answers again"),
                Err(error) => report(error),
            }
        }
        state.send_replace(new);
    }
}

/// Says what is wrong, and what to do.
pub(crate) fn report(error: &L1Error) {
    match error {
        L1Error::WrongChain { .. } => tracing::error!("{error}"),
        L1Error::Unreachable { .. } => tracing::warn!(
            "{error}. Ordering goes on and the node tries again; if it stays so, check the endpoint or set another one \
             in l1.endpoint"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_path_of_an_endpoint_stays_out_of_errors() {
        let dead = check("http://user:secret@127.0.0.1:1/v3/secret?key=secret", 1).await;
        let said = dead.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("http://127.0.0.1:1 ") && !said.contains("secret"), "{said}");
        let bad = check("secret", 1).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(bad.contains("not a URL") && !bad.contains("secret"), "{bad}");
    }
}
