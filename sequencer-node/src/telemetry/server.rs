//! `/metrics`, `/livez`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::health::Readiness;
use super::logging::Telemetry;
use super::metrics;
use crate::connections::{self, Crowded, Limits};
use crate::front::Front;
use crate::l1::L1Status;

/// Clients here are few and poll: one that has its answer may connect again, one that says nothing is in the way.
const LIMITS: Limits = Limits {
    connections: 64,
    crowded: Crowded::Wait,
    request: Duration::from_secs(5),
    stall: Duration::from_secs(5),
    lifetime: Some(Duration::from_secs(15)),
};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address}: {source}")]
pub(crate) struct HealthError {
    address: SocketAddr,
    source: std::io::Error,
}

/// What the answers come from.
#[derive(Clone)]
pub(crate) struct Health {
    /// The node.
    pub(crate) front: Arc<Front>,
    /// The L1.
    pub(crate) l1: L1Status,
}

/// The running server; it stops when dropped.
pub(crate) struct HealthServer {
    task: AbortHandle,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Answers {
    health: Health,
    registry: prometheus::Registry,
}

impl HealthServer {
    /// Makes the instruments, listens and serves.
    pub(crate) async fn start(
        listen: SocketAddr,
        telemetry: &Telemetry,
        health: Health,
    ) -> Result<Self, HealthError> {
        let failed = |source| HealthError { address: listen, source };
        metrics::register(&telemetry.meters, &health.front);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let answers = Answers { health, registry: telemetry.registry.clone() };
        let router = axum::Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(numbers))
            .with_state(answers);
        // Serving ends with the task only.
        let never = std::future::pending();
        let serving = tokio::spawn(connections::serve(listener, LIMITS, move |_| router.clone(), never));
        Ok(Self { task: serving.abort_handle(), address })
    }
}

async fn ready(State(answers): State<Answers>) -> Response {
    let Health { front, l1 } = &answers.health;
    let connected = (front.peers)().iter().filter(|peer| peer.connected && peer.committee).count();
    let told = (l1.endpoint.borrow().clone(), l1.registry.borrow().clone());
    let readiness = Readiness::of(&front.status(), connected, told, front.valve.stopped());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn numbers(State(answers): State<Answers>) -> Response {
    match metrics::render(&answers.registry) {
        Ok(text) => ([("content-type", "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
