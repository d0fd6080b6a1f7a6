//! Clients that complete a handshake, hold the connection for a second, say nothing and go.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint};
use rollup::client::{ConnectError, client_tls};

/// Source ports.
const SOCKETS: usize = 8;
/// How long a connection that nobody uses is held.
const HELD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Certificates of doors prove nothing, whatever their name.
const SERVER_NAME: &str = "mpc-seq";

/// How handshakes ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) completed: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// Opens connections to one door.
#[derive(Clone)]
pub(super) struct Dialler {
    endpoints: Vec<Endpoint>,
    config: ClientConfig,
    door: SocketAddr,
    pub(super) ended: Arc<Ended>,
}

impl Dialler {
    pub(super) fn new(door: SocketAddr, alpn: &[u8]) -> Result<Self, DiallerError> {
        let endpoints = (0..SOCKETS).map(|_| Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()));
        Ok(Self {
            endpoints: endpoints.collect::<io::Result<_>>()?,
            config: ClientConfig::new(Arc::new(client_tls(alpn)?)),
            door,
            ended: Arc::default(),
        })
    }

    /// A completed handshake. `None`: refused, or nobody answers in time.
    pub(super) async fn connect(&self, number: u64) -> Option<Connection> {
        let endpoint = self.endpoints.get((number % SOCKETS as u64) as usize)?;
        let connecting = endpoint.connect_with(self.config.clone(), self.door, SERVER_NAME).ok()?;
        let connection = tokio::time::timeout(PATIENCE, connecting).await;
        let counter =
            if matches!(connection, Ok(Ok(_))) { &self.ended.completed } else { &self.ended.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        connection.ok()?.ok()
    }

    /// One client that comes and goes.
    pub(super) async fn come_and_go(self, number: u64) {
        let connection = self.connect(number).await;
        tokio::time::sleep(HELD).await;
        drop(connection);
    }
}

/// Why there is no dialler.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiallerError {
    /// No socket.
    #[error("UDP: {0}")]
    Socket(#[from] io::Error),
    /// No TLS settings.
    #[error(transparent)]
    Tls(#[from] ConnectError),
}
