//! Keeping each other supplied with nonce commitments.

use super::commitment::Supply;
use super::item::{BootId, Time};
use super::machine::Signing;
use super::message::Message;
use super::pool::Sighting;
use crate::member::MemberId;

impl Signing {
    /// Asks every member whose commitments run low.
    pub(super) fn ask_for_commitments(&mut self, now: Time) {
        let low = |at: Option<Time>| at.is_some_and(|at| at <= now);
        let low: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| low(peer.pool.want_at(&self.config)))
            .map(|(member, peer)| (*member, peer.pool.known()))
            .collect();
        for (member, known) in low {
            self.send(member, &Message::Want { boot: self.boot, known });
            if let Some(peer) = self.peers.get_mut(&member) {
                peer.pool.asked(now, &self.config);
            }
        }
    }

    /// Notes which boot a member is in; false if the message comes from a life that is over.
    pub(super) fn sight(&mut self, now: Time, from: MemberId, boot: BootId) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        match peer.pool.sight(boot, now) {
            Sighting::Same => true,
            Sighting::Retired => false,
            Sighting::New => {
                peer.standing.answered();
                self.nonces.withdraw(from);
                true
            }
        }
    }

    pub(super) fn on_want(&mut self, now: Time, from: MemberId, boot: BootId, known: Option<(BootId, u64)>) {
        if self.sight(now, from, boot) {
            let floor = known.filter(|(boot, _)| *boot == self.boot).map_or(0, |(_, floor)| floor);
            self.supply(now, from, floor);
        }
    }

    /// Sends a member its commitments, at most twice in each interval in which an honest member asks once.
    pub(super) fn supply(&mut self, now: Time, to: MemberId, floor: u64) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if now < peer.supply_after {
            return;
        }
        peer.supply_after = now + self.config.refill_ms / 2;
        let supply = self.nonces.supply(to, floor);
        self.send(to, &Message::Supply(supply));
    }

    pub(super) fn on_supply(&mut self, now: Time, from: MemberId, supply: &Supply) {
        if !self.sight(now, from, supply.boot) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if let Err(error) = peer.pool.add(supply) {
            return self.accuse(from, error.into());
        }
        self.feed_starved(now);
    }
}
