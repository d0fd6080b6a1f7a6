//! The mesh: listening, dialing, admitting, and the streams that come in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder};
use libp2p_stream::IncomingStreams;
use ordering_types::{ChainSpec, Digest, SecretKey, ValidatorId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, timeout};

use super::address;
use super::chunks::{Chunks, ChunksOptions, Congestion, Identity};
use super::frame::{self, Frame, StreamError};
use super::identity;
use super::peer::{Direct, HANDSHAKE_TIMEOUT, Peer, PeerStatus, Ways};
use super::transport::{Quic, QuicError};
use crate::core_api::{Class, Recipient};
use crate::quic::reset;

/// How often missing connections are dialed and pings sent.
const TICK: Duration = Duration::from_millis(500);
/// Of two peers the one with the smaller id dials at once, the other after so many ticks without a connection.
const PATIENCE_TICKS: u32 = 2;
/// A peer that connects again after so long has restarted: its older connections are dead, though QUIC does not know yet.
const REPLACED_AFTER: Duration = Duration::from_secs(2);
/// Connections on their way into the mesh at once. Handshakes have a limit of their own, in the transport.
const MAX_PENDING_INCOMING: u32 = 64;
/// Connections with one peer at once: both may dial, and both may restart.
const MAX_PER_PEER: u32 = 4;
/// Bytes of one stream's messages that may wait for the core. Then QUIC's flow control stops the sender.
const MAX_WAITING_BYTES: u32 = 8 << 20;
/// Messages of one queue that may wait for the core.
const MAX_WAITING_MESSAGES: usize = 4_096;
/// Cost of a small message in the budget, so that their number is bounded, too.
const MIN_MESSAGE_COST: u32 = 2_048;

/// One message of a peer. Its share of the stream's budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct PeerMessage {
    /// The authenticated sender.
    pub(crate) from: ValidatorId,
    /// The stream it came on.
    pub(crate) class: Class,
    /// The message.
    pub(crate) bytes: Bytes,
    _budget: OwnedSemaphorePermit,
}

/// Where messages of peers arrive.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Votes and proposals.
    pub(crate) urgent: mpsc::Receiver<PeerMessage>,
    /// Signing: it follows what is ordered, and nothing ordered waits for it.
    pub(crate) signing: mpsc::Receiver<PeerMessage>,
    /// Chunks and catching up.
    pub(crate) bulk: mpsc::Receiver<PeerMessage>,
}

#[derive(Clone, Debug)]
pub(super) struct InboxSender {
    urgent: mpsc::Sender<PeerMessage>,
    signing: mpsc::Sender<PeerMessage>,
    bulk: mpsc::Sender<PeerMessage>,
}

/// What the mesh is made from.
pub(crate) struct NetworkOptions {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Chunks on connections of their own, if wanted.
    pub(crate) chunks: Option<ChunksPort>,
    /// This validator.
    pub(crate) me: ValidatorId,
    /// Its key.
    pub(crate) key: SecretKey,
    /// Who else there is, and where.
    pub(crate) spec: Arc<ChainSpec>,
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

/// Why the mesh does not start.
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
    #[error(
        "genesis file: address `{address}` of validator {validator} is not like /ip4/127.0.0.1/udp/9101/quic-v1"
    )]
    Address {
        /// Whose.
        validator: ValidatorId,
        /// The address.
        address: String,
    },
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// The running mesh; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    peers: Arc<BTreeMap<ValidatorId, Arc<Peer>>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it takes chunks.
    pub(crate) chunks: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

/// Sends to peers from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<BTreeMap<ValidatorId, Arc<Peer>>>);

impl Sender {
    /// Queues a message. Never waits.
    pub(crate) fn send(&self, to: Recipient, class: Class, bytes: &Bytes) {
        let push = |peer: &Arc<Peer>| peer.queue(class).push(Frame::Message(bytes.clone()));
        match to {
            Recipient::All => self.0.values().for_each(push),
            Recipient::One(id) => {
                self.0.get(&id).into_iter().for_each(push);
            }
        }
    }

    /// What is known of each peer.
    pub(crate) fn peers(&self) -> Vec<PeerStatus> {
        self.0.values().map(|peer| peer.status()).collect()
    }
}

impl Network {
    /// Listens, starts to dial, and gives the inbox. Must be called on a runtime.
    pub(crate) async fn start(options: NetworkOptions) -> Result<(Self, Inbox), NetworkError> {
        let NetworkOptions { listen, chunks, me, key, spec } = options;
        let (peers, dials) = directory(&spec, me, &key)?;
        let mut swarm = build_swarm(&key, peers.values().map(|p| p.id).collect())
            .map_err(|e| NetworkError::Listen { address: listen, why: e.to_string() })?;
        let (urgent, urgent_out) = mpsc::channel(MAX_WAITING_MESSAGES);
        let (signing, signing_out) = mpsc::channel(MAX_WAITING_MESSAGES);
        let (bulk, bulk_out) = mpsc::channel(MAX_WAITING_MESSAGES);
        let inbox = InboxSender { urgent, signing, bulk };
        let peers = Arc::new(peers);
        let ours = spec.hash();
        let address = listen_on(&mut swarm, listen).await?;
        let mut tasks = JoinSet::new();
        let direct = chunks
            .map(|port| {
                let identity = Arc::new(Identity::new(&spec, me, key.clone()));
                let (peers, inbox) = (Arc::clone(&peers), inbox.clone());
                let (listen, congestion) = (port.listen, port.congestion);
                let options = ChunksOptions { listen, congestion, identity, peers, inbox };
                let chunks = Chunks::start(options, &mut tasks)
                    .map_err(|e| NetworkError::Listen { address: listen, why: e.to_string() })?;
                let announce = port.announce.unwrap_or_else(|| chunks.address.port());
                Ok(Direct { chunks, announce })
            })
            .transpose()?;
        let mut control = swarm.behaviour().streams.new_control();
        for class in Class::ALL {
            let incoming = control
                .accept(StreamProtocol::new(frame::protocol(class)))
                .expect("each protocol is accepted once");
            tasks.spawn(accept(class, incoming, Arc::clone(&peers), ours, inbox.clone()));
            for peer in peers.values() {
                let ways = Ways { control: control.clone(), ours, direct: direct.clone() };
                tasks.spawn(Arc::clone(peer).write_class(class, ways));
            }
        }
        tasks.spawn(run(swarm, Arc::clone(&peers), dials));
        let chunks = direct.map(|direct| direct.chunks.address);
        let inbox = Inbox { urgent: urgent_out, signing: signing_out, bulk: bulk_out };
        Ok((Self { peers, address, chunks, _tasks: tasks }, inbox))
    }

    /// For sending.
    pub(crate) fn sender(&self) -> Sender {
        Sender(Arc::clone(&self.peers))
    }
}

/// Address, and ticks to wait before each dial.
type Dials = BTreeMap<ValidatorId, (Multiaddr, u32)>;

/// All other validators, and where to dial them.
fn directory(
    spec: &ChainSpec,
    me: ValidatorId,
    key: &SecretKey,
) -> Result<(BTreeMap<ValidatorId, Arc<Peer>>, Dials), NetworkError> {
    let own = identity::peer_id(&key.public_key());
    let (mut peers, mut dials) = (BTreeMap::new(), BTreeMap::new());
    for validator in spec.validators.iter().filter(|v| v.id != me) {
        let id = identity::peer_id(&validator.key);
        let address: Option<Multiaddr> = validator.address.parse().ok();
        let Some(address) = address.filter(|a| address::to_socket(a).is_some()) else {
            return Err(NetworkError::Address {
                validator: validator.id,
                address: validator.address.clone(),
            });
        };
        let Some(socket) = address::to_socket(&address) else { continue };
        dials.insert(validator.id, (address, if own < id { 0 } else { PATIENCE_TICKS }));
        peers.insert(validator.id, Arc::new(Peer::new(validator.id, id, socket.ip())));
    }
    Ok((peers, dials))
}

fn build_swarm(key: &SecretKey, committee: BTreeSet<PeerId>) -> Result<Swarm<Behaviour>, QuicError> {
    let mut allowed = allow_block_list::Behaviour::<AllowedPeers>::default();
    committee.iter().for_each(|id| _ = allowed.allow_peer(*id));
    let count = u32::try_from(committee.len()).unwrap_or(u32::MAX);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_established(Some(MAX_PER_PEER * count + MAX_PENDING_INCOMING));
    let reset = reset::endpoint_config(reset::key("mpc-sequencer/network-reset/1", key));
    let keypair = identity::keypair(key);
    let transport = Quic::new(&keypair, reset, committee)?;
    Ok(SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| transport)
        .expect("the transport above is made already")
        .with_behaviour(|_| Behaviour {
            allowed,
            limits: connection_limits::Behaviour::new(limits),
            streams: libp2p_stream::Behaviour::new(),
        })
        .expect("the behaviour above cannot fail")
        // Streams are opened again on the same connection; an idle one is kept.
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build())
}

async fn listen_on(swarm: &mut Swarm<Behaviour>, listen: SocketAddr) -> Result<SocketAddr, NetworkError> {
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

/// Drives the connections.
async fn run(mut swarm: Swarm<Behaviour>, peers: Arc<BTreeMap<ValidatorId, Arc<Peer>>>, dials: Dials) {
    let by_id: BTreeMap<PeerId, Arc<Peer>> = peers.values().map(|p| (p.id, Arc::clone(p))).collect();
    let mut waited: BTreeMap<ValidatorId, u32> = BTreeMap::new();
    let mut connections: Connections = BTreeMap::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                for (validator, (address, patience)) in &dials {
                    let waited = waited.entry(*validator).or_default();
                    if peers.get(validator).is_some_and(|peer| *peer.connected.borrow()) {
                        *waited = 0;
                    } else if *waited >= *patience {
                        dial(&mut swarm, &peers, *validator, address);
                    } else {
                        *waited += 1;
                    }
                }
                for peer in peers.values().filter(|peer| *peer.connected.borrow()) {
                    peer.queue(Class::Consensus).push(Frame::Ping(clock_micros()));
                }
            }
            event = swarm.select_next_some() => {
                on_event(&event, &by_id);
                for (peer, old) in track(&mut connections, &event) {
                    by_id.get(&peer).inspect(|peer| peer.connection_ended());
                    swarm.close_connection(old);
                }
            }
        }
    }
}

/// Open connections of each peer, and since when.
type Connections = BTreeMap<PeerId, Vec<(ConnectionId, Instant)>>;

/// Notes connections that open and close; gives those that a newer one replaces.
fn track(connections: &mut Connections, event: &SwarmEvent<BehaviourEvent>) -> Vec<(PeerId, ConnectionId)> {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
            let open = connections.entry(*peer_id).or_default();
            let dead = open
                .iter()
                .filter(|(_, since)| since.elapsed() > REPLACED_AFTER)
                .map(|(id, _)| (*peer_id, *id))
                .collect();
            open.push((*connection_id, Instant::now()));
            dead
        }
        SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
            if let Some(open) = connections.get_mut(peer_id) {
                open.retain(|(id, _)| id != connection_id);
            }
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn dial(
    swarm: &mut Swarm<Behaviour>,
    peers: &BTreeMap<ValidatorId, Arc<Peer>>,
    validator: ValidatorId,
    address: &Multiaddr,
) {
    let Some(peer) = peers.get(&validator).filter(|peer| !*peer.connected.borrow()) else { return };
    let options = DialOpts::peer_id(peer.id)
        .addresses(vec![address.clone()])
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .build();
    if let Err(error) = swarm.dial(options) {
        tracing::debug!(%validator, %error, "dial");
    }
}

fn on_event(event: &SwarmEvent<BehaviourEvent>, by_id: &BTreeMap<PeerId, Arc<Peer>>) {
    match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. } => {
            if let Some(peer) = by_id.get(peer_id) {
                peer.connected.send_replace(true);
            }
        }
        SwarmEvent::ConnectionClosed { peer_id, num_established, .. } => {
            if let Some(peer) = by_id.get(peer_id) {
                peer.connection_ended();
                peer.connected.send_replace(*num_established > 0);
            }
        }
        SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
            tracing::debug!(from = %send_back_addr, %error, "refused a connection");
        }
        SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
            let validator = peer_id.and_then(|id| by_id.get(&id)).map(|p| p.validator.get());
            tracing::debug!(validator, %error, "dial failed");
        }
        SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
        SwarmEvent::ListenerClosed { reason, .. } => {
            tracing::error!(?reason, "the port towards the validators is closed; restart the node");
        }
        _ => {}
    }
}

/// Microseconds of a clock that only measures intervals here.
fn clock_micros() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Takes incoming streams of one class at once (the library drops those that wait) and keeps the newest of each peer.
async fn accept(
    class: Class,
    mut incoming: IncomingStreams,
    peers: Arc<BTreeMap<ValidatorId, Arc<Peer>>>,
    ours: Digest,
    inbox: InboxSender,
) {
    let mut readers: BTreeMap<PeerId, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            next = incoming.next() => {
                let Some((id, stream)) = next else { return };
                let Some(peer) = peers.values().find(|peer| peer.id == id) else { continue };
                let reader = read_stream(class, stream, Arc::clone(peer), ours, inbox.clone());
                if let Some(old) = readers.insert(id, tasks.spawn(reader)) {
                    old.abort();
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn read_stream(class: Class, mut stream: Stream, peer: Arc<Peer>, ours: Digest, inbox: InboxSender) {
    let validator = peer.validator;
    let greeting = timeout(HANDSHAKE_TIMEOUT, frame::welcome(&mut stream, ours, class));
    let outcome = match greeting.await.unwrap_or(Err(StreamError::Timeout)) {
        Ok(()) => read_frames(class, &mut stream, &peer, &inbox).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) | Err(StreamError::Io(_)) => {}
        Err(error) => {
            tracing::warn!(%validator, class = frame::class_name(class), "closed a stream of this validator: {error}");
        }
    }
}

async fn read_frames(
    class: Class,
    stream: &mut Stream,
    peer: &Peer,
    inbox: &InboxSender,
) -> Result<(), StreamError> {
    let mut intake = Intake::new(class, peer, inbox);
    while let Some(frame) = Frame::read(stream, class).await? {
        match frame {
            Frame::Message(bytes) => {
                if !intake.take(bytes).await {
                    return Ok(());
                }
            }
            Frame::Ping(number) => peer.queue(Class::Consensus).push(Frame::Pong(number)),
            Frame::Pong(number) => peer.record_rtt(number, clock_micros()),
            Frame::ChunksAt(port) => peer.takes_chunks_at(port),
        }
    }
    Ok(())
}

/// Hands one stream's messages to the core, as fast as it takes them.
pub(super) struct Intake {
    class: Class,
    from: ValidatorId,
    queue: mpsc::Sender<PeerMessage>,
    budget: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(class: Class, peer: &Peer, inbox: &InboxSender) -> Self {
        let queue = match class {
            Class::Consensus => &inbox.urgent,
            Class::Ceremony => &inbox.signing,
            Class::Chunks | Class::Sync => &inbox.bulk,
        };
        let budget = Arc::new(Semaphore::new(MAX_WAITING_BYTES as usize));
        Self { class, from: peer.validator, queue: queue.clone(), budget }
    }

    /// Waits for room. False: the node is stopping.
    pub(super) async fn take(&mut self, bytes: Bytes) -> bool {
        let cost = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(MIN_MESSAGE_COST, MAX_WAITING_BYTES);
        let Ok(_budget) = Arc::clone(&self.budget).acquire_many_owned(cost).await else { return false };
        let message = PeerMessage { from: self.from, class: self.class, bytes, _budget };
        self.queue.send(message).await.is_ok()
    }
}
