//! The opener's side: one connection and one stream to a peer.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ClientConfig, Connection, Endpoint, SendStream, VarInt};
use tokio::time::{Instant, sleep_until, timeout};

use super::Identity;
use super::greeting::{self, GreetingError, HELLO_BYTES};
use super::path::Path;
use super::repair;
use crate::network::frame::Frame;
use crate::network::peer::{HANDSHAKE_TIMEOUT, Peer};

/// The certificate proves nothing, whatever its name.
const SERVER_NAME: &str = "mpc-seq";

/// Parity follows what it repairs after so long: what takes datagrams often takes the next ones, too, and what is written
/// together should not be in one datagram with its parity.
const PARITY_DELAY: Duration = Duration::from_millis(3);
/// Datagrams of parity that wait for their time; more are not sent.
const MAX_PARITY: usize = 256;

/// Why there is no link, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The address cannot be connected to.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The other end is not who it should be.
    #[error("{0}")]
    Greeting(#[from] GreetingError),
    /// The stream failed.
    #[error("{0}")]
    Write(#[from] quinn::WriteError),
    /// Nobody answers.
    #[error("no answer at {0}")]
    Timeout(SocketAddr),
}

/// An open link to one peer. Dropping it closes the connection.
pub(in crate::network) struct Link {
    connection: Connection,
    stream: SendStream,
    /// Bytes written to the stream.
    written: u64,
    path: Path,
    parity: VecDeque<(Instant, Bytes)>,
}

pub(super) async fn open(
    endpoint: &Endpoint,
    config: ClientConfig,
    address: SocketAddr,
    identity: &Identity,
    other: &Peer,
) -> Result<Link, LinkError> {
    let open = async {
        let connection = endpoint.connect_with(config, address, SERVER_NAME)?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        greeting::greet(&connection, (&mut send, &mut receive), identity, other).await?;
        let path = Path::new(Instant::now());
        Ok(Link { connection, stream: send, written: HELLO_BYTES as u64, path, parity: VecDeque::new() })
    };
    timeout(HANDSHAKE_TIMEOUT, open).await.unwrap_or(Err(LinkError::Timeout(address)))
}

impl Link {
    /// Writes frames without copying their bytes.
    pub(in crate::network) async fn write(&mut self, frames: Vec<Frame>) -> Result<(), LinkError> {
        let mut pieces: Vec<Bytes> = Vec::with_capacity(2 * frames.len());
        for frame in frames {
            let (head, body) = frame.into_pieces();
            pieces.push(head);
            pieces.push(body);
        }
        let now = Instant::now();
        let loses = self.path.loses(now, || self.connection.stats().path);
        let copy = if loses { pieces.clone() } else { Vec::new() };
        let offset = self.written;
        self.written += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        self.stream.write_all_chunks(&mut pieces).await?;
        if let Some(room) = self.connection.max_datagram_size().filter(|_| loses) {
            let due = Instant::now() + PARITY_DELAY;
            let datagram = usize::from(self.connection.stats().path.current_mtu);
            let parity = repair::parity(offset, &copy, datagram, room);
            let free = MAX_PARITY.saturating_sub(self.parity.len());
            self.parity.extend(parity.into_iter().take(free).map(|part| (due, part)));
        }
        Ok(())
    }

    /// Waits until the connection ends: a stream tells only who writes.
    pub(in crate::network) fn closed(&self) -> impl Future<Output = LinkError> + use<> {
        let connection = self.connection.clone();
        async move { connection.closed().await.into() }
    }

    /// Sends parity when its time has come; completes when some was sent.
    pub(in crate::network) async fn send_parity(&mut self) {
        match self.parity.front() {
            Some((due, _)) => sleep_until(*due).await,
            None => std::future::pending().await,
        }
        let now = Instant::now();
        while self.parity.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, part)) = self.parity.pop_front() else { return };
            // The path may have become narrower, and the peer may be gone: the next write says so.
            let _ = self.connection.send_datagram(part);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
    }
}
