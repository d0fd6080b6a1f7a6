#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing ends a connection but the client.
const PATIENT: Limits =
    Limits { connections: 2, crowded: Crowded::Close, request: LONG, stall: LONG, lifetime: None };

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const UPGRADE: &[u8] = b"GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// A service that echoes a byte once upgraded.
async fn upgrade(mut request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgraded.await.unwrap());
        while let Ok(byte) = stream.read_u8().await {
            stream.write_u8(byte).await.unwrap();
        }
    });
    let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    response.header("connection", "upgrade").header("upgrade", "echo").body("".into()).unwrap()
}

async fn start(limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/body", post(|body: String| async { body }))
        .route("/upgrade", get(upgrade));
    tokio::spawn(serve(listener, limits, move |_| router.clone(), std::future::pending()));
    address
}

/// A connection that has sent `request` and stays open.
async fn open(to: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // It may have been closed already.
    let _ = stream.write_all(request).await;
    stream
}

/// The first bytes that come; none if the connection is closed.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1_024];
    let read = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("neither answered nor closed");
    String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    answer(stream).await.is_empty()
}

/// Tries until there is a place.
async fn finds_a_place(address: SocketAddr) {
    timeout(PATIENCE, async { while is_closed(&mut open(address, REQUEST).await).await {} }).await.unwrap();
}

/// Only requests were counted once: a thousand connections that had sent one each and stayed used up all file handles.
#[tokio::test]
async fn connections_without_a_request_under_way_count() {
    let address = start(PATIENT).await;
    let mut first = open(address, REQUEST).await;
    let mut second = open(address, REQUEST).await;
    assert!(answer(&mut first).await.contains("here"));
    assert!(answer(&mut second).await.contains("here"));
    for _ in 0..100 {
        assert!(is_closed(&mut open(address, REQUEST).await).await);
    }
    first.write_all(REQUEST).await.unwrap();
    assert!(answer(&mut first).await.contains("here"), "those inside go on");
    drop(second);
    finds_a_place(address).await;
}

#[tokio::test]
async fn silence_before_within_and_after_a_request_ends_a_connection() {
    let address = start(Limits { request: SOON, stall: SOON, ..PATIENT }).await;
    let body = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
    for (request, answered) in [(&b""[..], false), (b"GET / HT", false), (body, false), (REQUEST, true)] {
        let mut stream = open(address, request).await;
        let mut all = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("closed").unwrap();
        assert_eq!(String::from_utf8_lossy(&all).contains("here"), answered);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let limits = Limits { connections: 1, stall: SOON, ..PATIENT };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(|| async { vec![0_u8; 32 << 20] }));
    tokio::spawn(serve(listener, limits, move |_| router.clone(), std::future::pending()));
    let _deaf = open(address, REQUEST).await;
    finds_a_place(address).await;
}

#[tokio::test]
async fn what_a_connection_turned_into_keeps_its_place_and_outlives_it() {
    let limits = Limits { connections: 1, request: SOON, lifetime: Some(SOON), ..PATIENT };
    let address = start(limits).await;
    let mut session = open(address, UPGRADE).await;
    assert!(answer(&mut session).await.contains("101"));
    // Longer than any HTTP connection would be kept.
    let start = Instant::now();
    while start.elapsed() < 4 * SOON {
        session.write_all(b"x").await.unwrap();
        assert_eq!(answer(&mut session).await, "x");
        assert!(is_closed(&mut open(address, REQUEST).await).await, "the session has the only place");
    }
    drop(session);
    finds_a_place(address).await;
}

#[tokio::test]
async fn a_busy_connection_ends_too_and_the_next_in_the_queue_is_served() {
    let limits =
        Limits { connections: 1, crowded: Crowded::Wait, lifetime: Some(Duration::from_secs(1)), ..PATIENT };
    let address = start(limits).await;
    let mut first = open(address, REQUEST).await;
    assert!(answer(&mut first).await.contains("here"));
    let mut second = open(address, REQUEST).await;
    assert!(answer(&mut second).await.contains("here"), "its turn came");
    assert!(is_closed(&mut first).await);
}
