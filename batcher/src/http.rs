//! `/metrics`, `/status`, `/livez` and `/readyz`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use crate::status::{Board, Status};

/// Binds, so that a busy port is an error at start.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` ends.
pub async fn serve(
    listener: TcpListener,
    board: Arc<Board>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(board);
    axum::serve(listener, routes).with_graceful_shutdown(stop).await
}

async fn ready(State(board): State<Arc<Board>>) -> (StatusCode, String) {
    match board.not_ready() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn status(State(board): State<Arc<Board>>) -> Json<Status> {
    Json(board.status())
}

async fn metrics(State(board): State<Arc<Board>>) -> String {
    board.metrics()
}
