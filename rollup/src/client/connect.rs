//! Opening connections to nodes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::wire::{ALPN, MAX_DATAGRAM_BYTES};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is dead after this long; keep-alives prevent it.
const IDLE_TIMEOUT_MS: u32 = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Most bytes that a node may have in flight to us unread.
const RECEIVE_WINDOW: u32 = 32 << 20;
/// Nodes do not check the name: their certificates are self-signed and identity is proven in the session.
const SERVER_NAME: &str = "mpc-seq";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No such host.
    #[error("{endpoint}: {source}")]
    Resolve {
        /// As given.
        endpoint: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name without an address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// No UDP socket.
    #[error("UDP socket: {0}")]
    Socket(std::io::Error),
    /// No TLS configuration.
    #[error("TLS: {0}")]
    Tls(String),
    /// The address cannot be connected to.
    #[error("{endpoint}: {source}")]
    Start {
        /// As given.
        endpoint: String,
        /// Why.
        source: quinn::ConnectError,
    },
    /// The handshake failed.
    #[error("{endpoint}: {source}")]
    Handshake {
        /// As given.
        endpoint: String,
        /// Why.
        source: quinn::ConnectionError,
    },
    /// The handshake took too long.
    #[error("{0} does not answer")]
    Timeout(String),
}

/// Makes connections to nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    config: ClientConfig,
}

impl Connector {
    /// One set of TLS and transport settings for many connections.
    pub fn new() -> Result<Self, ConnectError> {
        let quic = client_tls(ALPN)?;
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MAX_DATAGRAM_BYTES);
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
            .keep_alive_interval(Some(KEEP_ALIVE))
            .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
            .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
            .mtu_discovery_config(Some(discovery))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0));
        let mut config = ClientConfig::new(Arc::new(quic));
        config.transport_config(Arc::new(transport));
        Ok(Self { config })
    }

    /// Connects to `host:port`. The socket lives as long as the connection.
    pub async fn connect(&self, endpoint: &str) -> Result<Connection, ConnectError> {
        let named = || endpoint.to_owned();
        let address = tokio::net::lookup_host(endpoint)
            .await
            .map_err(|source| ConnectError::Resolve { endpoint: named(), source })?
            .next()
            .ok_or_else(|| ConnectError::NoAddress(named()))?;
        let socket = open(local(address)).map_err(ConnectError::Socket)?;
        let connecting = socket
            .connect_with(self.config.clone(), address, SERVER_NAME)
            .map_err(|source| ConnectError::Start { endpoint: named(), source })?;
        tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting)
            .await
            .map_err(|_| ConnectError::Timeout(named()))?
            .map_err(|source| ConnectError::Handshake { endpoint: named(), source })
    }
}

/// The client's side of TLS 1.3 without early data. Any certificate will do, if its holder has the key: who that is must be
/// proven inside the connection (see [`crate::wire`], Identity).
pub fn client_tls(alpn: &[u8]) -> Result<QuicClientConfig, ConnectError> {
    let tls = |error: &dyn std::fmt::Display| ConnectError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut crypto = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| tls(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    crypto.alpn_protocols = vec![alpn.to_vec()];
    crypto.enable_early_data = false;
    QuicClientConfig::try_from(crypto).map_err(|e| tls(&e))
}

fn open(address: SocketAddr) -> std::io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(MAX_DATAGRAM_BYTES).expect("within the protocol's bounds");
    Endpoint::new(config, None, UdpSocket::bind(address)?, Arc::new(TokioRuntime))
}

/// Where to send from: loopback stays on loopback.
fn local(remote: SocketAddr) -> SocketAddr {
    match (remote, remote.ip().is_loopback()) {
        (SocketAddr::V4(_), true) => (Ipv4Addr::LOCALHOST, 0).into(),
        (SocketAddr::V4(_), false) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        (SocketAddr::V6(_), true) => (Ipv6Addr::LOCALHOST, 0).into(),
        (SocketAddr::V6(_), false) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Accepts every certificate, but checks that the peer holds its key: that is what makes the exported keying material
/// (and with it the identity proof in the session's welcome) belong to this peer alone.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
