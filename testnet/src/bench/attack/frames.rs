//! What no honest client sends, on connections that were properly opened: wrong lengths, cut and over-long frames, bodies of noise, streams
//! that are opened and left, streams that are reset; and the same on HTTP and WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ordering_types::Digest;
use quinn::{Connection, SendStream, VarInt};
use rand_core::{OsRng, RngCore};
use rollup::wire::{self, Hello, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::handshakes::Dialler;

/// Between two of one client's.
const PAUSE: Duration = Duration::from_millis(50);
/// An answer is waited for this long, then the connection is left.
const PATIENCE: Duration = Duration::from_millis(500);
/// Malformed things of one connection; then a new one is opened.
const PER_CONNECTION: u64 = 20;

/// A WebSocket's opening (RFC 6455, section 4.1).
pub(super) const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn framed(length: u32, body: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), body].concat()
}

/// One client of a QUIC door, for ever.
pub(super) async fn quic(dialler: Dialler, chain_spec: Digest, number: u64, sent: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(connection) = dialler.connect(number).await else { continue };
        for turn in 0..PER_CONNECTION {
            if timeout(PATIENCE, misbehave(&connection, chain_spec, number + turn)).await.is_err() {
                // A stream that is not given is an answer, too.
                tokio::time::sleep(PAUSE).await;
            }
            sent.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
            if connection.close_reason().is_some() {
                break;
            }
        }
    }
}

/// One malformed thing, each in its turn.
async fn misbehave(connection: &Connection, chain_spec: Digest, turn: u64) -> Option<()> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    match turn % 9 {
        // A length beyond every limit.
        0 => send.write_all(&framed(u32::MAX, &[])).await.ok()?,
        // A frame that ends early.
        1 => {
            send.write_all(&framed(1_000, &noise(10))).await.ok()?;
            let _ = send.finish();
        }
        // A frame that is reset half way.
        2 => {
            send.write_all(&framed(1_000, &noise(500))).await.ok()?;
            let _ = send.reset(VarInt::from_u32(7));
        }
        // Noise.
        3 => send.write_all(&noise(4_096)).await.ok()?,
        // A whole frame of noise.
        4 => send.write_all(&framed(64, &noise(64))).await.ok()?,
        // A stream that is opened, begun and left.
        5 => {
            send.write_all(&[0]).await.ok()?;
            std::mem::forget((send, receive));
            return Some(());
        }
        // Answers that nobody wants.
        6 => {
            hello(&mut send, chain_spec).await?;
            let _ = receive.stop(VarInt::from_u32(1));
        }
        // A proper session that goes on with noise.
        7 => {
            hello(&mut send, chain_spec).await?;
            send.write_all(&framed(2_000, &noise(2_000))).await.ok()?;
        }
        // A proper session that claims a frame of the greatest length and sends some of it.
        _ => {
            hello(&mut send, chain_spec).await?;
            send.write_all(&framed(1 << 20, &noise(30_000))).await.ok()?;
        }
    }
    // The answer, if there is one.
    let mut buffer = [0; 512];
    let _ = timeout(PATIENCE / 4, receive.read(&mut buffer)).await;
    Some(())
}

async fn hello(send: &mut SendStream, chain_spec: Digest) -> Option<()> {
    let hello = Hello { version: wire::VERSION, chain_spec, subscription: None };
    send.write_all(&wire::encode(&Opening::Session(hello))).await.ok()
}

/// One client of a TCP door, for ever.
pub(super) async fn tcp(door: SocketAddr, number: u64, sent: Arc<AtomicU64>) {
    for turn in number.. {
        tokio::time::sleep(PAUSE).await;
        let Ok(mut stream) = TcpStream::connect(door).await else { continue };
        for bytes in malformed(turn) {
            if stream.write_all(&bytes).await.is_err() {
                break;
            }
            let mut buffer = [0; 4_096];
            let _ = timeout(PATIENCE, stream.read(&mut buffer)).await;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is written, piece by piece.
fn malformed(turn: u64) -> Vec<Vec<u8>> {
    let post = |length: usize, body: &[u8]| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    match turn % 9 {
        0 => vec![noise(2_000)],
        1 => vec![b"GET / HTTP/9.9\r\n\r\n".to_vec()],
        2 => vec![post(usize::MAX, b"{")],
        3 => vec![post(100, b"{\"jsonrpc\"")],
        4 => vec![post(40_000, "[".repeat(40_000).as_bytes())],
        5 => {
            let call = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"seq_block\",\"params\":[{}]},";
            let batch = format!("[{}1]", call.repeat(99));
            vec![post(batch.len(), batch.as_bytes())]
        }
        // Unmasked, of a reserved kind, and with a length of 2^63.
        6 => vec![UPGRADE.into(), vec![0x83, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0]],
        7 => vec![UPGRADE.into(), noise(500)],
        _ => vec![format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(20_000)).into_bytes()],
    }
}
