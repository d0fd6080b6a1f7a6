//! Who comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use libp2p::{PeerId, tls};
use quinn::{Connection, Endpoint, Incoming, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::network::peer::HANDSHAKE_TIMEOUT;
use crate::network::roster::Peers;
use crate::quic;

/// Handshakes under way at once, of addresses that have proven themselves; more are refused. A validator that is refused tries again, and
/// is dialled by the others besides.
const MAX_HANDSHAKES: usize = 64;

/// A validator's connection.
pub(super) struct Arrival {
    pub(super) peer: PeerId,
    pub(super) connection: Connection,
    pub(super) from: SocketAddr,
}

/// Takes connections until its endpoint closes.
pub(super) struct Acceptor {
    endpoint: Endpoint,
    peers: Arc<Peers>,
    arrivals: mpsc::Sender<Arrival>,
}

impl Acceptor {
    pub(super) fn new(endpoint: Endpoint, peers: Arc<Peers>) -> (Self, mpsc::Receiver<Arrival>) {
        let (arrivals, receiver) = mpsc::channel(MAX_HANDSHAKES);
        (Self { endpoint, peers, arrivals }, receiver)
    }

    pub(super) async fn run(self) {
        let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => {
                    let Some(incoming) = incoming else { return };
                    if let Some((incoming, place)) = quic::admit(incoming, &places) {
                        let (peers, arrivals) = (Arc::clone(&self.peers), self.arrivals.clone());
                        handshakes.spawn(shake_hands(incoming, place, peers, arrivals));
                    }
                }
                Some(_) = handshakes.join_next() => {}
            }
        }
    }
}

async fn shake_hands(
    incoming: Incoming,
    _place: OwnedSemaphorePermit,
    peers: Arc<Peers>,
    arrivals: mpsc::Sender<Arrival>,
) {
    let from = incoming.remote_address();
    let Ok(connecting) = incoming.accept() else { return };
    let Ok(Ok(connection)) = timeout(HANDSHAKE_TIMEOUT, connecting).await else { return };
    match peer_of(&connection).filter(|peer| peers.now().with_key(peer).is_some()) {
        // The receiver ends with the node.
        Some(peer) => _ = arrivals.send(Arrival { peer, connection, from }).await,
        None => {
            tracing::debug!(%from, "refused a connection of no validator");
            connection.close(VarInt::from_u32(0), b"no validator");
        }
    }
}

/// Whose certificate the other end showed; TLS has checked that it holds the key.
pub(super) fn peer_of(connection: &Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    Some(tls::certificate::parse(chain.first()?).ok()?.peer_id())
}
