//! Clients that take their time: heads of requests a byte a second, bodies that never end, WebSockets that read nothing, QUIC streams that
//! never finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ordering_types::Digest;
use rollup::wire::{self, Hello, Opening, Rollups, Subscription};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::frames::UPGRADE;
use super::handshakes::Dialler;

/// Between two bytes.
const TRICKLE: Duration = Duration::from_secs(1);
/// Streams of one connection that never finish.
const STREAMS: usize = 8;
/// Before a door that closed the connection is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// A masked text frame with a call (RFC 6455, section 5.2); the mask is zero.
fn call(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap_or(125).min(125);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// One slow client of a TCP door, for ever.
pub(super) async fn tcp(door: SocketAddr, number: u64, held: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Ok(stream) = TcpStream::connect(door).await else { continue };
        held.fetch_add(1, Ordering::Relaxed);
        match number % 3 {
            0 => trickle(stream, b"GET / HTTP/1.1\r\n", b"X-Slow: 1\r\n").await,
            1 => {
                let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
                trickle(stream, head, b"[").await;
            }
            _ => deaf(stream).await,
        }
        held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes `first`, then `rest` again and again, one byte at a time, until the other end has had enough.
async fn trickle(mut stream: TcpStream, first: &[u8], rest: &[u8]) {
    if stream.write_all(first).await.is_err() {
        return;
    }
    for byte in rest.iter().cycle() {
        tokio::time::sleep(TRICKLE).await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

/// Subscribes to everything, asks for blocks, and reads none of it.
async fn deaf(mut stream: TcpStream) {
    let subscribe = call("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"seq_subscribe\",\"params\":[]}");
    let ask = call("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"seq_block\",\"params\":[\"latest\"]}");
    if stream.write_all(UPGRADE.as_bytes()).await.is_err() {
        return;
    }
    tokio::time::sleep(TRICKLE).await;
    if stream.write_all(&subscribe).await.is_err() {
        return;
    }
    loop {
        if stream.write_all(&ask.repeat(20)).await.is_err() {
            return;
        }
        tokio::time::sleep(TRICKLE).await;
    }
}

/// One slow client of a QUIC door, for ever.
pub(super) async fn quic(dialler: Dialler, chain_spec: Digest, number: u64, held: Arc<AtomicU64>) {
    let subscription = Subscription { rollups: Rollups::All, from: None, data: true, certified: true };
    let hello = Hello { version: wire::VERSION, chain_spec, subscription: Some(subscription) };
    let hello = wire::encode(&Opening::Session(hello));
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(connection) = dialler.connect(number).await else { continue };
        held.fetch_add(1, Ordering::Relaxed);
        let mut streams = Vec::new();
        for place in 0..STREAMS {
            let opened = tokio::time::timeout(TRICKLE, connection.open_bi()).await;
            let Ok(Ok((mut send, receive))) = opened else { break };
            // The first is a subscriber that reads nothing; the others begin a frame.
            let begun =
                if place == 0 { send.write_all(&hello).await } else { send.write_all(&[0, 0, 1]).await };
            if begun.is_err() {
                break;
            }
            streams.push((send, receive));
        }
        while connection.close_reason().is_none() {
            tokio::time::sleep(TRICKLE).await;
            for (send, _) in streams.iter_mut().skip(1) {
                // One that the node closed stays closed.
                let _ = send.write_all(&[0]).await;
            }
        }
        held.fetch_sub(1, Ordering::Relaxed);
    }
}
