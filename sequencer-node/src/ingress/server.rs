//! The QUIC endpoint: who gets in, and how much each may hold.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quinn::{
    Connection, Endpoint, IdleTimeout, Incoming, MtuDiscoveryConfig, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use rollup::wire::{self, ALPN, CloseReason, Closed, NodeMessage, Opening, Response};
use tokio::io::BufReader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{request, session};
use crate::front::Front;
use crate::quic::{self, TlsError, reset};

/// Handshakes under way at once. More Initials are dropped.
const MAX_HANDSHAKES: usize = 256;
/// Bytes buffered for all of them.
const MAX_HANDSHAKE_BYTES: u64 = 4 << 20;
/// A handshake takes one round trip; a client that needs longer does not come in.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection ends; clients send keep-alives.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// A session and a few questions at once.
const MAX_STREAMS: u32 = 16;
/// Unread bytes of one stream and of one connection: one frame and what arrives while it is read.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes sent to one client that it has not acknowledged.
const SEND_WINDOW: u64 = 4 << 20;
/// An opening frame comes with the stream.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// A client that does not take an answer for so long is cut.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of all clients answered at once; the next is told `Busy`.
const MAX_REQUESTS: usize = 64;
/// Read ahead of the frames.
pub(super) const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why the endpoint does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngressError {
    /// The port cannot be bound.
    #[error("cannot listen on UDP {address}: {source}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No certificate or TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The running endpoint; it stops when dropped.
pub(crate) struct Ingress {
    endpoint: Endpoint,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Ingress {
    /// Listens and serves. `reset_key` is secret and the same at every start of one node: with it a restarted node can
    /// tell clients at once that their old connections are gone (RFC 9000, section 10.3).
    pub(crate) fn start(
        listen: SocketAddr,
        max_connections: u32,
        reset_key: [u8; 32],
        front: Arc<Front>,
    ) -> Result<Self, IngressError> {
        let failed = |source| IngressError::Listen { address: listen, source };
        let socket = std::net::UdpSocket::bind(listen).map_err(failed)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint =
            Endpoint::new(reset::endpoint_config(reset_key), Some(server_config()?), socket, runtime)
                .map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?;
        let (stopping, stopped) = watch::channel(false);
        let server = Server {
            front,
            stopped,
            connections: Arc::new(Semaphore::new(max_connections as usize)),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(server.accept(endpoint.clone()));
        Ok(Self { endpoint, address, stopping, tasks })
    }

    /// Tells every session that the node stops, and closes.
    pub(crate) async fn stop(mut self) {
        self.stopping.send_replace(true);
        // Sessions write their last frame and close; nobody waits long for a client that does not read it.
        let _ = timeout(Duration::from_millis(500), self.endpoint.wait_idle()).await;
        self.endpoint.close(VarInt::from_u32(0), b"the node stops");
        self.tasks.shutdown().await;
    }
}

pub(super) fn server_config() -> Result<quinn::ServerConfig, IngressError> {
    let quic = quic::server_tls(ALPN)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(wire::MAX_DATAGRAM_BYTES);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .mtu_discovery_config(Some(discovery));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_HANDSHAKES)
        .incoming_buffer_size(64 << 10)
        .incoming_buffer_size_total(MAX_HANDSHAKE_BYTES);
    Ok(config)
}

#[derive(Clone)]
struct Server {
    front: Arc<Front>,
    stopped: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Server {
    async fn accept(self, endpoint: Endpoint) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => {
                    let Some(incoming) = incoming else { return };
                    if let Some((incoming, permit)) = quic::admit(incoming, &self.connections) {
                        connections.spawn(self.clone().connection(incoming, permit));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn connection(self, incoming: Incoming, _permit: OwnedSemaphorePermit) {
        let Ok(connecting) = incoming.accept() else { return };
        let Ok(Ok(connection)) = timeout(HANDSHAKE_TIMEOUT, connecting).await else { return };
        let session_open = Arc::new(AtomicBool::new(false));
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return };
                    let (server, connection) = (self.clone(), connection.clone());
                    let session_open = Arc::clone(&session_open);
                    streams.spawn(async move {
                        server.stream(connection, send, receive, &session_open).await;
                    });
                }
                Some(_) = streams.join_next() => {}
            }
        }
    }

    async fn stream(
        &self,
        connection: Connection,
        mut send: SendStream,
        mut receive: RecvStream,
        session_open: &AtomicBool,
    ) {
        // Not read ahead yet: whoever opens streams and says nothing gets no buffers for it.
        let opening = match timeout(OPENING_TIMEOUT, wire::read::<Opening>(&mut receive)).await {
            Ok(Ok(Some(opening))) => opening,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                return close(&mut send, CloseReason::Malformed, &error.to_string()).await;
            }
            Err(_) => return close(&mut send, CloseReason::Malformed, "no opening frame in time").await,
        };
        match opening {
            Opening::Request(request) => self.request(&mut send, request).await,
            Opening::Session(_) if session_open.swap(true, Ordering::Relaxed) => {
                close(&mut send, CloseReason::Malformed, "one session a connection").await;
            }
            Opening::Session(hello) => {
                let receive = BufReader::with_capacity(READ_BUFFER_BYTES, receive);
                let stopped = self.stopped.clone();
                session::serve(&self.front, &connection, send, receive, hello, stopped).await;
                session_open.store(false, Ordering::Relaxed);
            }
        }
    }

    async fn request(&self, send: &mut SendStream, request: rollup::wire::Request) {
        let response = match self.requests.try_acquire() {
            Err(_) => Response::Busy,
            Ok(_permit) => request::answer(&self.front, request).await.unwrap_or_else(|error| {
                tracing::error!(%error, "cannot read the store to answer a client; check the disk");
                Response::Busy
            }),
        };
        if matches!(timeout(WRITE_TIMEOUT, wire::write(send, &response)).await, Ok(Ok(()))) {
            finish(send).await;
        }
    }
}

/// Sends the last frame of a session; it says why.
pub(super) async fn close(send: &mut SendStream, reason: CloseReason, text: &str) {
    let text: String = text.chars().take(wire::MAX_TEXT_BYTES / 4).collect();
    let last = NodeMessage::Closed(Closed { reason, text });
    if matches!(timeout(WRITE_TIMEOUT, wire::write(send, &last)).await, Ok(Ok(()))) {
        finish(send).await;
    }
}

async fn finish(send: &mut SendStream) {
    // An error here means that the client is gone.
    let _ = send.finish();
    let _ = timeout(WRITE_TIMEOUT, send.stopped()).await;
}
