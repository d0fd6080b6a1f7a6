//! The peers of now. One list, which all parts of the network look at, and which changes at once for all of them.
//!
//! ```text
//!   change() ─▶ roster ─┬─ send: looked up for each message
//!                       ├─ transport, streams, chunks: looked up for each that comes in
//!                       └─ mesh: follows, and dials, closes, starts and ends writers
//! ```
//!
//! A [`Peer`] stays the same object while its number and key do. One that is removed ends whatever is done for it
//! ([`Peer::while_here`]); under the same number and key again it is a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use libp2p::PeerId;
use ordering_types::{PublicKey, ValidatorId};
use tokio::sync::watch;

use super::address::AddressError;
use super::directory::{Directory, MAX_PEERS};
use super::peer::{Peer, PeerStatus};

/// All peers at one time.
#[derive(Debug, Default)]
pub(super) struct Roster {
    peers: BTreeMap<ValidatorId, Arc<Peer>>,
    by_key: BTreeMap<PeerId, Arc<Peer>>,
    committee: Vec<Arc<Peer>>,
    /// Named by the directory, and not taken.
    left_out: usize,
}

impl Roster {
    /// All of them.
    pub(super) fn peers(&self) -> impl ExactSizeIterator<Item = &Arc<Peer>> {
        self.peers.values()
    }

    /// Those of the committee.
    pub(super) fn committee(&self) -> &[Arc<Peer>] {
        &self.committee
    }

    /// The one with this number.
    pub(super) fn of(&self, validator: ValidatorId) -> Option<&Arc<Peer>> {
        self.peers.get(&validator)
    }

    /// The one with this key.
    pub(super) fn with_key(&self, id: &PeerId) -> Option<&Arc<Peer>> {
        self.by_key.get(id)
    }

    /// Whether this very peer is one of them.
    pub(super) fn has(&self, peer: &Arc<Peer>) -> bool {
        self.of(peer.validator).is_some_and(|now| Arc::ptr_eq(now, peer))
    }

    /// What is known of each.
    pub(super) fn statuses(&self) -> Vec<PeerStatus> {
        let member = |peer| self.committee.iter().any(|member| Arc::ptr_eq(member, peer));
        self.peers().map(|peer| peer.status(member(peer))).collect()
    }
}

/// The peers, now and later.
#[derive(Debug)]
pub(super) struct Peers {
    me: ValidatorId,
    own: PublicKey,
    newest: watch::Sender<Arc<Roster>>,
}

impl Peers {
    /// Of the node with this number and key.
    pub(super) fn new(me: ValidatorId, own: PublicKey, directory: &Directory) -> Self {
        let (newest, _) = watch::channel(Arc::default());
        let peers = Self { me, own, newest };
        peers.change(directory);
        peers
    }

    /// Those of now.
    pub(super) fn now(&self) -> Arc<Roster> {
        Arc::clone(&self.newest.borrow())
    }

    /// Tells of each change; of several at once, the last.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Roster>> {
        self.newest.subscribe()
    }

    /// Takes a directory in place of the one before. Never waits for anything but another change.
    pub(super) fn change(&self, directory: &Directory) {
        let mut doubts = Vec::new();
        self.newest.send_modify(|newest| {
            let next = self.next(newest, directory, &mut doubts);
            newest.peers().filter(|old| !next.has(old)).for_each(|old| old.remove());
            *newest = Arc::new(next);
        });
        doubts.iter().for_each(Doubt::log);
    }

    fn next(&self, before: &Roster, directory: &Directory, doubts: &mut Vec<Doubt>) -> Roster {
        let admitted = directory.admitted(self.me, self.own);
        let mut next = Roster::default();
        for (validator, info) in admitted {
            let same = before.of(validator).filter(|peer| peer.key == info.key);
            let peer = same.map_or_else(|| Arc::new(Peer::new(validator, info.key)), Arc::clone);
            if let Err(why) = peer.place.list(&info.address, &peer.id) {
                doubts.push(Doubt::Address { validator, address: info.address.clone(), why });
            }
            if directory.committee.contains(&validator) {
                next.committee.push(Arc::clone(&peer));
            }
            next.by_key.insert(peer.id, Arc::clone(&peer));
            next.peers.insert(validator, peer);
        }
        let others = directory.peers.len() - usize::from(directory.peers.contains_key(&self.me));
        next.left_out = others - next.peers.len();
        if next.left_out > 0 && next.left_out != before.left_out {
            doubts.push(Doubt::LeftOut(next.left_out));
        }
        next
    }
}

/// What an operator should know of a directory.
enum Doubt {
    Address { validator: ValidatorId, address: String, why: AddressError },
    LeftOut(usize),
}

impl Doubt {
    fn log(&self) {
        match self {
            Self::Address { validator, address, why } => {
                // Anybody's text.
                let address: String =
                    address.chars().take(MAX_LOGGED_CHARS).flat_map(char::escape_debug).collect();
                tracing::warn!(%validator, "the address `{address}` of this validator {why}; it has to dial us");
            }
            Self::LeftOut(count) => {
                tracing::warn!(
                    count,
                    "validators share a key, or are more than {MAX_PEERS}; these are left out"
                );
            }
        }
    }
}

/// Of a strange address, so much is logged.
const MAX_LOGGED_CHARS: usize = 256;
