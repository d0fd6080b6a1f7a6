//! Chunks travel on QUIC connections of their own, beside libp2p: nearly all bytes of the network are theirs, and here the
//! datagrams can be as large as the path takes, nothing is copied on the way to the socket, and the congestion controller
//! is ours to choose.
//!
//! ```text
//!   owner ──opens──▶ connection ──▶ one stream: greeting, then frames      (one connection each way)
//!                               ──▶ datagrams: parity of the stream, over paths that lose packets
//! ```
//!
//! Each validator tells its peers on the consensus stream, which libp2p authenticates, at which UDP port it takes chunks
//! ([`Frame::ChunksAt`](super::frame::Frame)). Whoever cannot reach that port falls back to the libp2p stream, so the
//! port is a matter of speed and never of liveness.

mod endpoint;
mod frames;
mod greeting;
mod path;
mod receive;
mod repair;
mod send;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Digest, SecretKey, ValidatorId};
use quinn::Endpoint;
use tokio::task::JoinSet;

use super::inbox::InboxSender;
use super::peer::Peer;
use super::roster::Peers;
pub(crate) use endpoint::Congestion;
pub(super) use send::{Link, LinkError};

/// Who this node is towards its peers, and who they are.
pub(super) struct Identity {
    pub(super) me: ValidatorId,
    pub(super) key: SecretKey,
    pub(super) domain: Domain,
    pub(super) chain_spec: Digest,
    pub(super) peers: Arc<Peers>,
}

impl Identity {
    pub(super) fn new(spec: &ChainSpec, me: ValidatorId, key: SecretKey, peers: Arc<Peers>) -> Self {
        Self { me, key, domain: spec.domain(), chain_spec: spec.hash(), peers }
    }
}

/// What the endpoint is made from.
pub(super) struct ChunksOptions {
    pub(super) listen: SocketAddr,
    pub(super) congestion: Congestion,
    pub(super) identity: Arc<Identity>,
    pub(super) inbox: InboxSender,
}

/// The endpoint for chunks; clones share it.
#[derive(Clone)]
pub(super) struct Chunks {
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    identity: Arc<Identity>,
    pub(super) address: SocketAddr,
}

impl Chunks {
    /// Listens, and takes what peers send.
    pub(super) fn start(
        options: ChunksOptions,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, endpoint::EndpointError> {
        let ChunksOptions { listen, congestion, identity, inbox } = options;
        let (endpoint, client) = endpoint::open(listen, congestion, &identity.key)?;
        let address = endpoint.local_addr().map_err(endpoint::EndpointError::Listen)?;
        tasks.spawn(receive::accept(endpoint.clone(), Arc::clone(&identity), inbox));
        Ok(Self { endpoint, client, identity, address })
    }

    /// Opens a link to a peer that takes chunks at this port.
    pub(super) async fn link(&self, peer: &Peer, ip: IpAddr, port: u16) -> Result<Link, LinkError> {
        let address = SocketAddr::new(ip, port);
        send::open(&self.endpoint, self.client.clone(), address, &self.identity, peer).await
    }
}

/// Opens a link from a socket of its own.
#[cfg(test)]
pub(super) async fn dial(address: SocketAddr, identity: &Identity, other: &Peer) -> Result<Link, LinkError> {
    let any = SocketAddr::new(address.ip(), 0);
    let (endpoint, client) =
        endpoint::open(any, Congestion::default(), &identity.key).expect("a free port is free");
    send::open(&endpoint, client, address, identity, other).await
}
