//! Keeps one connection with each peer of now: dials, replaces, closes, and runs the writers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, Swarm};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::address;
use super::frame::Frame;
use super::pace::Pace;
use super::peer::{Peer, Ways};
use super::roster::{Peers, Roster};
use super::streams::clock_micros;
use super::swarm::{Behaviour, BehaviourEvent};
use crate::core_api::Class;

/// How often missing connections are dialed and pings sent.
const TICK: Duration = Duration::from_millis(500);
/// A peer that connects again after so long has restarted: its older connections are dead, though QUIC does not know yet.
const REPLACED_AFTER: Duration = Duration::from_secs(2);

/// The mesh, as one task drives it.
pub(super) struct Mesh {
    swarm: Swarm<Behaviour>,
    roster: watch::Receiver<Arc<Roster>>,
    ways: Ways,
    contacts: BTreeMap<PeerId, Contact>,
    writers: JoinSet<()>,
}

/// A peer that may connect, and its connections.
struct Contact {
    peer: Arc<Peer>,
    pace: Pace,
    /// Open connections, and since when.
    open: Vec<(ConnectionId, Instant)>,
}

impl Mesh {
    /// Starts the writers. Must be called on a runtime.
    pub(super) fn new(swarm: Swarm<Behaviour>, peers: &Peers, ways: Ways) -> Self {
        let (contacts, writers) = (BTreeMap::new(), JoinSet::new());
        let mut mesh = Self { swarm, roster: peers.follow(), ways, contacts, writers };
        mesh.follow();
        mesh
    }

    /// Drives it, for ever.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.tick(),
                changed = self.roster.changed() => match changed {
                    Ok(()) => self.follow(),
                    // Nobody is left to send to them.
                    Err(_) => return,
                },
                event = self.swarm.select_next_some() => self.on_event(&event),
                Some(_) = self.writers.join_next() => {}
            }
        }
    }

    /// Makes the contacts those of the newest roster.
    fn follow(&mut self) {
        let roster = Arc::clone(&self.roster.borrow_and_update());
        let swarm = &mut self.swarm;
        self.contacts.retain(|id, contact| {
            let stays = roster.has(&contact.peer);
            if !stays {
                tracing::info!(validator = %contact.peer.validator, "not a peer any more");
                swarm.behaviour_mut().disallow(*id);
            }
            stays
        });
        for peer in roster.peers() {
            if !self.contacts.contains_key(&peer.id) {
                self.meet(peer);
            }
        }
    }

    fn meet(&mut self, peer: &Arc<Peer>) {
        tracing::debug!(validator = %peer.validator, "a peer");
        self.swarm.behaviour_mut().allow(peer.id);
        let pace = Pace::new(*self.swarm.local_peer_id() < peer.id);
        let contact = Contact { peer: Arc::clone(peer), pace, open: Vec::new() };
        self.contacts.insert(peer.id, contact);
        for class in Class::ALL {
            let (peer, ways) = (Arc::clone(peer), self.ways.clone());
            self.writers.spawn(async move { peer.while_here(peer.write_class(class, ways)).await });
        }
    }

    fn tick(&mut self) {
        for contact in self.contacts.values_mut() {
            if *contact.peer.connected.borrow() {
                contact.peer.queue(Class::Consensus).push(Frame::Ping(clock_micros()));
            } else if contact.pace.tick() {
                dial(&mut self.swarm, &contact.peer);
            }
        }
    }

    fn on_event(&mut self, event: &SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, *connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                let Some(contact) = self.contacts.get_mut(peer_id) else { return };
                contact.closed(*connection_id, *num_established > 0);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "refused a connection");
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => {
                let contact = peer_id.and_then(|id| self.contacts.get(&id));
                let validator = contact.map(|contact| contact.peer.validator.get());
                tracing::debug!(validator, %error, "dial failed");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            SwarmEvent::ListenerClosed { reason, .. } => {
                tracing::error!(?reason, "the port towards the validators is closed; restart the node");
            }
            _ => {}
        }
    }

    /// Notes a connection, and closes those that it replaces.
    fn on_established(&mut self, id: &PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        // A peer that was removed meanwhile: its connections are being closed.
        let Some(contact) = self.contacts.get_mut(id) else { return };
        if let Some(socket) = address::to_socket(endpoint.get_remote_address()) {
            contact.peer.place.see(socket.ip());
        }
        contact.peer.connected.send_replace(true);
        for (dead, _) in contact.open.iter().filter(|(_, since)| since.elapsed() > REPLACED_AFTER) {
            contact.peer.connection_ended();
            self.swarm.close_connection(*dead);
        }
        contact.open.push((connection, Instant::now()));
    }
}

impl Contact {
    /// Notes the end of a connection; `others` are there, or not.
    fn closed(&mut self, connection: ConnectionId, others: bool) {
        let known = self.open.extract_if(.., |(id, _)| *id == connection).next();
        // Of a connection from before the peer was removed and added again, nothing is known here.
        if let Some((_, since)) = known
            && !others
        {
            self.pace.ended(since.elapsed());
        }
        self.peer.connection_ended();
        self.peer.connected.send_replace(others);
    }
}

fn dial(swarm: &mut Swarm<Behaviour>, peer: &Peer) {
    let Some(socket) = peer.place.listed() else { return };
    let options = DialOpts::peer_id(peer.id)
        .addresses(vec![address::to_multiaddr(socket)])
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .build();
    if let Err(error) = swarm.dial(options) {
        tracing::debug!(validator = %peer.validator, %error, "dial");
    }
}
