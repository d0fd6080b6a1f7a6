//! libp2p's connections over QUIC, on an endpoint of our own.
//!
//! libp2p's own transport answers every first packet with a whole handshake, whoever sends it from wherever: a thousand of them a second cost
//! a node most of a core and hundreds of megabytes. Here an address proves itself first (Retry, RFC 9000, section 8.1.2), handshakes under
//! way are bounded, and who turns out to be no peer is gone before the mesh hears of it. On the wire it is the same: TLS 1.3 with
//! libp2p's certificates, whose key is the validator's (libp2p's specifications, `quic` and `tls`).
//!
//! ```text
//!   endpoint ─▶ first packet ─▶ Retry ─▶ handshake, at most MAX_HANDSHAKES ─▶ a peer's? ─▶ swarm
//! ```

mod accept;
mod connection;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Ready, ready};
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, tls};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::{to_multiaddr, to_socket};
use super::peer::HANDSHAKE_TIMEOUT;
use super::roster::Peers;
use accept::{Acceptor, Arrival, peer_of};
use connection::Connection;

/// A peer that is silent for so long is gone; keep-alives come more often.
const IDLE_TIMEOUT_MS: u32 = 5_000;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Streams that a peer may have open: one a class, and new ones beside old ones after a restart.
const MAX_STREAMS: u32 = 64;
/// Unread bytes of one stream and of one connection.
const STREAM_WINDOW: u32 = 10_000_000;
const CONNECTION_WINDOW: u32 = 15_000_000;
/// First packets that wait to be looked at, and bytes buffered for one and for all of them.
const MAX_FIRST_PACKETS: usize = 128;
const MAX_FIRST_BYTES: (u64, u64) = (16 << 10, 1 << 20);
/// A name is needed where certificates have none.
const SERVER_NAME: &str = "l";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuicError {
    /// The port cannot be bound.
    #[error("{0}")]
    Listen(#[from] io::Error),
    /// The address cannot be connected to.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The other end's certificate is none of libp2p's.
    #[error("the other end shows no identity")]
    Identity,
    /// Nobody answers.
    #[error("no handshake in time")]
    Timeout,
    /// Dialling before listening: connections share the port.
    #[error("nothing listens yet")]
    NotListening,
    /// No TLS settings.
    #[error("TLS: {0}")]
    Tls(String),
}

/// The transport; it listens at most at one port.
pub(super) struct Quic {
    client: ClientConfig,
    server: ServerConfig,
    endpoint: EndpointConfig,
    peers: Arc<Peers>,
    listening: Option<Listening>,
    waker: Option<Waker>,
}

/// The open port.
struct Listening {
    id: ListenerId,
    endpoint: Endpoint,
    address: Multiaddr,
    announced: bool,
    arrivals: mpsc::Receiver<Arrival>,
    _tasks: JoinSet<()>,
}

impl Quic {
    /// For one validator; `endpoint` says how it resets what it no longer knows, `peers` who may come in.
    pub(super) fn new(
        keypair: &Keypair,
        endpoint: EndpointConfig,
        peers: Arc<Peers>,
    ) -> Result<Self, QuicError> {
        let failed = |error: &dyn std::fmt::Display| QuicError::Tls(error.to_string());
        let transport = Arc::new(transport());
        let tls = tls::make_server_config(keypair).map_err(|e| failed(&e))?;
        let tls = QuicServerConfig::try_from(tls).map_err(|e| failed(&e))?;
        let mut server = ServerConfig::with_crypto(Arc::new(tls));
        let (each, all) = MAX_FIRST_BYTES;
        server
            .transport_config(Arc::clone(&transport))
            .migration(false)
            .max_incoming(MAX_FIRST_PACKETS)
            .incoming_buffer_size(each)
            .incoming_buffer_size_total(all);
        let tls = tls::make_client_config(keypair, None).map_err(|e| failed(&e))?;
        let tls = QuicClientConfig::try_from(tls).map_err(|e| failed(&e))?;
        let mut client = ClientConfig::new(Arc::new(tls));
        client.transport_config(transport);
        Ok(Self { client, server, endpoint, peers, listening: None, waker: None })
    }

    fn listen(&self, id: ListenerId, listen: SocketAddr) -> Result<Listening, QuicError> {
        let socket = UdpSocket::bind(listen)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(self.endpoint.clone(), Some(self.server.clone()), socket, runtime)?;
        let address = to_multiaddr(endpoint.local_addr()?);
        let (acceptor, arrivals) = Acceptor::new(endpoint.clone(), Arc::clone(&self.peers));
        let mut tasks = JoinSet::new();
        tasks.spawn(acceptor.run());
        Ok(Listening { id, endpoint, address, announced: false, arrivals, _tasks: tasks })
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .allow_spin(false)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    transport
}

type Output = (PeerId, Connection);

impl Transport for Quic {
    type Output = Output;
    type Error = QuicError;
    type ListenerUpgrade = Ready<Result<Output, QuicError>>;
    type Dial = BoxFuture<'static, Result<Output, QuicError>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<QuicError>> {
        let listen = to_socket(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        self.listening = Some(self.listen(id, listen).map_err(TransportError::Other)?);
        self.waker.take().into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listening.take_if(|listening| listening.id == id).is_some()
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let socket = to_socket(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let listening = self.listening.as_ref().ok_or(TransportError::Other(QuicError::NotListening))?;
        let (endpoint, client) = (listening.endpoint.clone(), self.client.clone());
        Ok(async move {
            let connecting = endpoint.connect_with(client, socket, SERVER_NAME)?;
            let connection =
                timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| QuicError::Timeout)??;
            Ok((peer_of(&connection).ok_or(QuicError::Identity)?, Connection::new(connection)))
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, QuicError>> {
        let Some(listening) = &mut self.listening else {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let (listener_id, local_addr) = (listening.id, listening.address.clone());
        if !std::mem::replace(&mut listening.announced, true) {
            return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr: local_addr });
        }
        listening.arrivals.poll_recv(context).map(|arrival| match arrival {
            Some(Arrival { peer, connection, from }) => TransportEvent::Incoming {
                listener_id,
                upgrade: ready(Ok((peer, Connection::new(connection)))),
                local_addr,
                send_back_addr: to_multiaddr(from),
            },
            None => {
                self.listening = None;
                TransportEvent::ListenerClosed { listener_id, reason: Ok(()) }
            }
        })
    }
}
