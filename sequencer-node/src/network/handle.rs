//! What the rest of the node holds of the network: the whole, and a sender.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use libp2p::StreamProtocol;
use ordering_types::{ChainSpec, SecretKey, ValidatorId};
use tokio::task::JoinSet;

use super::address::AddressError;
use super::chunks::{Chunks, ChunksOptions, Congestion, Identity};
use super::directory::Directory;
use super::frame::{self, Frame};
use super::inbox::{self, Inbox, InboxSender};
use super::mesh::Mesh;
use super::peer::{Direct, Peer, PeerStatus, Ways};
use super::roster::Peers;
use super::{streams, swarm};
use crate::core_api::{Class, Recipient};

/// What the network is made from.
pub(crate) struct NetworkOptions {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Chunks on connections of their own, if wanted.
    pub(crate) chunks: Option<ChunksPort>,
    /// This validator.
    pub(crate) me: ValidatorId,
    /// Its key.
    pub(crate) key: SecretKey,
    /// Which network it is.
    pub(crate) spec: Arc<ChainSpec>,
    /// Who else there is at first, and where; [`Sender::change`] says it later.
    pub(crate) directory: Directory,
}

/// Where chunks are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunksPort {
    /// Address and UDP port; port 0 is any free one.
    pub(crate) listen: SocketAddr,
    /// The port that peers are told, if it is another one: behind a NAT or a relay.
    pub(crate) announce: Option<u16>,
    /// How the sending rate is found.
    pub(crate) congestion: Congestion,
}

/// Why the network does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// The port cannot be bound.
    #[error("cannot listen on UDP {address}: {why}")]
    Listen {
        /// Address and port.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// A validator's address in the genesis file is of no use.
    #[error("genesis file: address `{address}` of validator {validator} {why}")]
    Address {
        /// Whose.
        validator: ValidatorId,
        /// The address.
        address: String,
        /// Why.
        why: AddressError,
    },
}

/// The running network; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) peers: Arc<Peers>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it takes chunks.
    pub(crate) chunks: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

/// Sends to peers, and says who they are, from any thread. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Peers>);

impl Sender {
    /// Queues a message. One for somebody who is no peer is dropped.
    pub(crate) fn send(&self, to: Recipient, class: Class, bytes: &Bytes) {
        let push = |peer: &Arc<Peer>| peer.queue(class).push(Frame::Message(bytes.clone()));
        let roster = self.0.now();
        match to {
            Recipient::All => roster.committee().iter().for_each(push),
            Recipient::One(id) => roster.of(id).into_iter().for_each(push),
        }
    }

    /// Takes other peers in place of those of now. What is sent from now on goes to the new ones, and what removed ones said and the core
    /// has not read is [late](super::PeerMessage::is_late); connections follow. Who stays under the same number and key keeps
    /// connections and queues, and is dialled at its new address when it has no connection.
    ///
    /// More than [`MAX_PEERS`](super::directory::MAX_PEERS), and all but one of those who share a key, are left out: members of the committee last.
    pub(crate) fn change(&self, directory: &Directory) {
        self.0.change(directory);
    }

    /// What is known of each peer.
    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        self.0.now().statuses()
    }
}

impl Network {
    /// Listens, starts to dial, and gives the inbox. Must be called on a runtime.
    pub(crate) async fn start(options: NetworkOptions) -> Result<(Self, Inbox), NetworkError> {
        let NetworkOptions { listen, chunks, me, key, spec, directory } = options;
        let peers = Arc::new(Peers::new(me, key.public_key(), &directory));
        let mut swarm = swarm::build(&key, Arc::clone(&peers))
            .map_err(|e| NetworkError::Listen { address: listen, why: e.to_string() })?;
        let address = swarm::listen_on(&mut swarm, listen).await?;
        let (inbox, inbox_out) = inbox::channel();
        let mut tasks = JoinSet::new();
        let identity = Identity::new(&spec, me, key, Arc::clone(&peers));
        let direct = chunks.map(|port| open_chunks(port, identity, &inbox, &mut tasks)).transpose()?;
        let chunks = direct.as_ref().map(|direct| direct.chunks.address);
        let ours = spec.hash();
        let mut control = swarm.behaviour().streams.new_control();
        for class in Class::ALL {
            let incoming = control
                .accept(StreamProtocol::new(frame::protocol(class)))
                .expect("each protocol is accepted once");
            tasks.spawn(streams::accept(class, incoming, Arc::clone(&peers), ours, inbox.clone()));
        }
        tasks.spawn(Mesh::new(swarm, &peers, Ways { control, ours, direct }).run());
        Ok((Self { peers, address, chunks, _tasks: tasks }, inbox_out))
    }

    /// For sending.
    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.peers))
    }
}

fn open_chunks(
    port: ChunksPort,
    identity: Identity,
    inbox: &InboxSender,
    tasks: &mut JoinSet<()>,
) -> Result<Direct, NetworkError> {
    let ChunksPort { listen, announce, congestion } = port;
    let options = ChunksOptions { listen, congestion, identity: Arc::new(identity), inbox: inbox.clone() };
    let chunks = Chunks::start(options, tasks)
        .map_err(|e| NetworkError::Listen { address: listen, why: e.to_string() })?;
    let announce = announce.unwrap_or_else(|| chunks.address.port());
    Ok(Direct { chunks, announce })
}
