//! OTLP over HTTP, on the node's own runtime: the exporters' threads have none.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use reqwest::redirect;
use tokio::runtime::Handle;

use super::variables::{Destination, Signal};

/// Longest answer of a collector that is read: it says no more than how many items it refused.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Runs requests of one exporter on a runtime, and says once when the collector stops taking them.
#[derive(Debug)]
pub(super) struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
    taken: Taken,
}

impl OnRuntime {
    pub(super) fn new(runtime: Handle, to: &Destination) -> Result<Self, reqwest::Error> {
        // The headers of a request may hold a token, which is for the collector alone.
        let client =
            reqwest::Client::builder().timeout(to.timeout).redirect(redirect::Policy::none()).build()?;
        Ok(Self { client, runtime, taken: Taken { signal: to.signal, failing: Arc::default() } })
    }
}

/// Written out as the trait's macro would.
impl HttpClient for OnRuntime {
    fn send_bytes<'this, 'future>(
        &'this self,
        request: Request<Bytes>,
    ) -> BoxFuture<'future, Result<Response<Bytes>, HttpError>>
    where
        'this: 'future,
        Self: 'future,
    {
        let (client, taken) = (self.client.clone(), self.taken.clone());
        let sent = self.runtime.spawn(async move {
            let outcome = post(&client, request).await;
            taken.note(&outcome);
            outcome
        });
        Box::pin(async move { sent.await? })
    }
}

async fn post(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    // The endpoint may hold a password.
    let bare = reqwest::Error::without_url;
    let mut answer = client.execute(request.try_into().map_err(bare)?).await.map_err(bare)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(bare)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ResponseBodyTooLarge::new().into());
        }
        body.extend_from_slice(&chunk);
    }
    // The exporter looks at the status and at Retry-After.
    let mut response = Response::new(body.into());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    Ok(response)
}

/// Whether the collector takes one signal, as last heard.
#[derive(Clone, Debug)]
struct Taken {
    signal: Signal,
    failing: Arc<AtomicBool>,
}

impl Taken {
    /// Logs only what is new.
    fn note(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let signal = self.signal.name();
        let why = match outcome {
            Ok(response) if response.status().is_success() => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(signal, "the OpenTelemetry collector takes them again");
                }
                return;
            }
            Ok(response) => format!("it answers {}", response.status()),
            Err(error) => chain(error.as_ref()),
        };
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                signal,
                why,
                "the OpenTelemetry collector does not take them: they are lost until it does; the node goes on"
            );
        }
    }
}

/// The error and its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
