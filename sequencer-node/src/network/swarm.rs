//! The parts of libp2p that the mesh is made of, and its port.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, SwarmBuilder};
use ordering_types::SecretKey;

use super::address;
use super::handle::NetworkError;
use super::identity;
use super::roster::Peers;
use super::transport::{Quic, QuicError};
use crate::quic::reset;

/// Connections on their way into the mesh at once. Handshakes have a limit of their own, in the transport.
const MAX_PENDING_INCOMING: u32 = 64;
/// Connections with one peer at once: both may dial, and both may restart.
const MAX_PER_PEER: u32 = 4;

/// What libp2p does for the mesh: nobody comes in whom [`Behaviour::allow`] does not know.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
}

impl Behaviour {
    /// Lets a peer connect, and be connected to.
    pub(super) fn allow(&mut self, peer: PeerId) {
        self.allowed.allow_peer(peer);
        self.resize();
    }

    /// Closes all connections with a peer, and takes no more.
    pub(super) fn disallow(&mut self, peer: PeerId) {
        self.allowed.disallow_peer(peer);
        self.resize();
    }

    fn resize(&mut self) {
        *self.limits.limits_mut() = limits(self.allowed.allowed_peers().len());
    }
}

fn limits(peers: usize) -> ConnectionLimits {
    let peers = u32::try_from(peers).unwrap_or(u32::MAX);
    ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_established(Some(MAX_PER_PEER.saturating_mul(peers).saturating_add(MAX_PENDING_INCOMING)))
}

/// A swarm that knows nobody yet; `peers` says who gets through the transport.
pub(super) fn build(key: &SecretKey, peers: Arc<Peers>) -> Result<Swarm<Behaviour>, QuicError> {
    let reset = reset::endpoint_config(reset::key("mpc-sequencer/network-reset/1", key));
    let keypair = identity::keypair(key);
    let transport = Quic::new(&keypair, reset, peers)?;
    Ok(SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .expect("the transport above is made already")
        .with_behaviour(|_| Behaviour {
            allowed: allow_block_list::Behaviour::default(),
            limits: connection_limits::Behaviour::new(limits(0)),
            streams: libp2p_stream::Behaviour::new(),
        })
        .expect("the behaviour above cannot fail")
        // Streams are opened again on the same connection; an idle one is kept.
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build())
}

/// Opens the port.
pub(super) async fn listen_on(
    swarm: &mut Swarm<Behaviour>,
    listen: SocketAddr,
) -> Result<SocketAddr, NetworkError> {
    let failed = |why: String| NetworkError::Listen { address: listen, why };
    // The library hides the system's reason, so the port is tried first.
    UdpSocket::bind(listen).map_err(|e| failed(e.to_string()))?;
    swarm.listen_on(address::to_multiaddr(listen)).map_err(|e| failed(format!("{e:?}")))?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                return address::to_socket(&address).ok_or_else(|| failed("unexpected address".to_owned()));
            }
            SwarmEvent::ListenerError { error, .. } => return Err(failed(error.to_string())),
            SwarmEvent::ListenerClosed { reason, .. } => return Err(failed(format!("{reason:?}"))),
            _ => {}
        }
    }
}
