//! Runs the core: one thread feeds it, one writes its records, the rest of the node talks to both through channels.
//!
//! ```text
//!   peers, votes ───▶┐              ┌─ sends that wait for nothing ──▶ network
//!   job results ────▶│              │
//!   submissions ────▶├── core ──────┼─ records, sends after sync,
//!   peers, bulk ────▶│   thread     │  events ──▶ disk thread ── sync ──▶ network, subscribers
//!   peers, signing ─▶│              │
//!   the clock ──────▶┘              ├─ jobs ──▶ job threads ──▶ results
//!                                   └─ questions of peers ──▶ answering thread ──▶ network
//! ```
//!
//! **Rule.** What must not leave before a sync goes through the disk thread, in the core's order: it takes everything that
//! waits, writes the records, syncs once, and then lets the sends go. While one sync runs, the next
//! group gathers; that is the group commit. Records that no send waits for are synced with the next that one does.
//!
//! **Bounds.** Every queue has a limit in bytes or messages. A slow disk stops the core thread, which stops reading
//! from peers (their streams push back) and from clients (who are told `Full`).

mod answer;
mod clock;
mod core;
mod disk;
mod engine;
mod events;
mod handle;
mod jobs;

pub(crate) use self::core::Core;
pub(crate) use clock::Clock;
pub(crate) use engine::{Pump, PumpError, PumpOptions, start};
pub(crate) use events::Event;
pub(crate) use handle::Handle;

use bytes::Bytes;
use ordering_types::chain_spec::Validator;

use crate::core_api::{Class, Peers, Recipient};
use crate::network::{Directory, PeerInfo};

/// Takes the core's messages to peers. Never waits.
pub(crate) trait Outbound: Clone + Send + 'static {
    /// Queues one message.
    fn send(&self, to: Recipient, class: Class, bytes: &Bytes);
    /// From now on these are the peers.
    fn change(&self, peers: &Peers);
}

impl Outbound for crate::network::Sender {
    fn send(&self, to: Recipient, class: Class, bytes: &Bytes) {
        Self::send(self, to, class, bytes);
    }

    fn change(&self, peers: &Peers) {
        let info = |v: &Validator| (v.id, PeerInfo { key: v.key, address: v.address.clone() });
        let committee = peers.committee.iter().copied().collect();
        Self::change(self, &Directory { peers: peers.known.iter().map(info).collect(), committee });
    }
}
