//! `/metrics`, `/status`, `/livez` and `/readyz`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::connections::Limited;

/// A program is not ready that has not heard for this long from one that it needs.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(30);

/// What an operator sees of a program.
pub trait Shown: Send + Sync + 'static {
    /// What `/status` shows as JSON.
    type Status: Serialize;

    /// The status now.
    fn status(&self) -> Self::Status;

    /// Why the program cannot work now, if so.
    fn not_ready(&self) -> Option<String>;

    /// Prometheus' text format.
    fn metrics(&self) -> String;
}

/// Binds, so that a busy port is an error at start.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` ends: so many connections at once, each for a short time.
pub async fn serve<B: Shown>(
    listener: TcpListener,
    board: Arc<B>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready::<B>))
        .route("/status", get(status::<B>))
        .route("/metrics", get(metrics::<B>))
        .with_state(board);
    axum::serve(Limited::new(listener), routes).with_graceful_shutdown(stop).await
}

async fn ready<B: Shown>(State(board): State<Arc<B>>) -> (StatusCode, String) {
    match board.not_ready() {
        None => (StatusCode::OK, "ok".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn status<B: Shown>(State(board): State<Arc<B>>) -> Json<B::Status> {
    Json(board.status())
}

async fn metrics<B: Shown>(State(board): State<Arc<B>>) -> String {
    board.metrics()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy::primitives::Address;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;
    use crate::connections::MAX_CONNECTIONS;
    use crate::status::Board;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Connections were not counted, and a silent one was kept for ever.
    #[tokio::test]
    async fn silent_connections_end_and_whoever_waits_is_answered() {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let board = Arc::new(Board::new(Address::ZERO).unwrap());
        let server = tokio::spawn(serve(listener, board, std::future::pending()));
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, client.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer.ends_with("ok"), "{answer}");
        for mut stream in silent {
            let end = timeout(PATIENCE, stream.read(&mut [0])).await.expect("closed");
            assert_eq!(end.unwrap_or(0), 0);
        }
        server.abort();
    }
}
