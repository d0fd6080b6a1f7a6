//! Settings of the endpoint.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ordering_types::SecretKey;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::{
    ClientConfig, Endpoint, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TokioRuntime, TransportConfig,
    VarInt,
};
use rollup::wire::MAX_DATAGRAM_BYTES;
use serde::{Deserialize, Serialize};

use crate::quic::{TlsError, reset, server_tls};

/// Application protocol in TLS.
const ALPN: &[u8] = b"mpc-sequencer-chunks/1";
/// A peer that is silent for so long is gone; keep-alives come more often.
const IDLE_TIMEOUT_MS: u32 = 5_000;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Unread bytes of a peer: some chunks, so that a long path stays full.
const RECEIVE_WINDOW: u32 = 16 << 20;
/// Bytes towards a peer that it has not acknowledged.
const SEND_WINDOW: u64 = 16 << 20;
/// Parity that waits to be sent, or to be read.
const DATAGRAM_BUFFER: usize = 256 << 10;
/// Handshakes under way at once. More are dropped.
const MAX_HANDSHAKES: usize = 128;
/// Bytes buffered for one of them, and for all.
const MAX_HANDSHAKE_BYTES: (u64, u64) = (16 << 10, 1 << 20);

/// How the sending rate of chunks is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Congestion {
    /// Loss-based (RFC 9438): slow on long paths that lose packets, a little cheaper within a machine or a rack.
    Cubic,
    /// Model-based: keeps long paths full although they lose some packets.
    #[default]
    Bbr,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The port cannot be bound.
    #[error("{0}")]
    Listen(std::io::Error),
    /// No TLS settings.
    #[error(transparent)]
    Server(#[from] TlsError),
    /// No TLS settings.
    #[error(transparent)]
    Client(#[from] rollup::client::ConnectError),
}

/// Listens, and gives the settings for connections to peers.
pub(super) fn open(
    listen: SocketAddr,
    congestion: Congestion,
    key: &SecretKey,
) -> Result<(Endpoint, ClientConfig), EndpointError> {
    let transport = Arc::new(transport(congestion));
    let mut server = ServerConfig::with_crypto(Arc::new(server_tls(ALPN)?));
    let (each, all) = MAX_HANDSHAKE_BYTES;
    server
        .transport_config(Arc::clone(&transport))
        .max_incoming(MAX_HANDSHAKES)
        .incoming_buffer_size(each)
        .incoming_buffer_size_total(all);
    let mut client = ClientConfig::new(Arc::new(rollup::client::client_tls(ALPN)?));
    client.transport_config(transport);
    let socket = UdpSocket::bind(listen).map_err(EndpointError::Listen)?;
    let config = reset::endpoint_config(reset::key("mpc-sequencer/chunks-reset/1", key));
    let endpoint =
        Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime)).map_err(EndpointError::Listen)?;
    Ok((endpoint, client))
}

fn transport(congestion: Congestion) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MAX_DATAGRAM_BYTES);
    let controller: Arc<dyn ControllerFactory + Send + Sync> = match congestion {
        Congestion::Cubic => Arc::new(CubicConfig::default()),
        Congestion::Bbr => Arc::new(BbrConfig::default()),
    };
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(controller);
    transport
}
