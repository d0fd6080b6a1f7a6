//! The coordinator's side: attempts, sessions, aggregation, blame.

use std::collections::BTreeMap;

use super::fault::FaultKind;
use super::item::{ItemId, Time};
use super::machine::{Coordination, Output, Session, Signing};
use super::message::{Message, Share};
use super::nonces::NoncePair;
use super::package::{Entry, Package, PackageHash};
use super::round::{self, AggregateError};
use super::voucher::Accusation;
use crate::keys::SignatureBytes;
use crate::member::MemberId;

/// Most doublings of the attempt timeout.
const MAX_DOUBLINGS: u64 = 16;

impl Signing {
    /// Begins the present attempt of an item; coordinates it if it is this node's turn.
    pub(super) fn start_attempt(&mut self, now: Time, item: ItemId) {
        let Some(attempt) = self.running.get(&item).map(|running| running.attempt) else { return };
        let coordinator = self.coordinator_of(item, attempt);
        let deadline = now + self.attempt_ms(now, attempt, coordinator);
        let Some(running) = self.running.get_mut(&item) else { return };
        running.deadline = deadline;
        if coordinator == self.me {
            running.coordination = Some(Coordination {
                opened: 0,
                next_session_at: None,
                starved: false,
                latest: None,
                sessions: BTreeMap::new(),
            });
            self.open_session(now, item);
        }
    }

    fn attempt_ms(&self, now: Time, attempt: u32, coordinator: MemberId) -> u64 {
        let is_suspect = self.peers.get(&coordinator).is_some_and(|peer| peer.standing.is_avoided(now));
        let base = if is_suspect { self.config.suspect_ms } else { self.config.attempt_ms };
        let doublings = (u64::from(attempt) / self.members.len() as u64).min(MAX_DOUBLINGS);
        (base << doublings).min(self.config.attempt_cap_ms).max(1)
    }

    /// The attempt's time is over without a signature: the next coordinator's turn.
    pub(super) fn lapse(&mut self, now: Time, item: ItemId) {
        let Some(running) = self.running.get_mut(&item) else { return };
        let lapsed = running.attempt;
        running.attempt = lapsed.saturating_add(1);
        if let Some(coordination) = &mut running.coordination {
            coordination.next_session_at = None;
            coordination.starved = false;
        }
        let coordinator = self.coordinator_of(item, lapsed);
        if let Some(peer) = self.peers.get_mut(&coordinator) {
            peer.standing.missed(now, &self.config);
        }
        // The signature may exist already and only have been lost on its way here.
        let others = self.members.len().saturating_sub(1) as u32;
        let second = self.coordinator_of(item, lapsed.wrapping_add(2 + lapsed % others.max(1)));
        for member in [coordinator, second] {
            if member != self.me {
                self.send(member, &Message::Request(item));
            }
        }
        self.start_attempt(now, item);
    }

    /// A session has been waited for long enough: note who is silent, try others beside it.
    pub(super) fn hedge(&mut self, now: Time, item: ItemId) {
        let Some(running) = self.running.get_mut(&item) else { return };
        let Some(coordination) = &mut running.coordination else { return };
        coordination.next_session_at = None;
        let latest = coordination.latest.and_then(|hash| coordination.sessions.get(&hash));
        let silent: Vec<_> = latest
            .map(|session| {
                let signers = session.package.signers.keys();
                signers.filter(|member| !session.shares.contains_key(member)).copied().collect()
            })
            .unwrap_or_default();
        for member in silent {
            if let Some(peer) = self.peers.get_mut(&member) {
                peer.standing.missed(now, &self.config);
            }
        }
        self.open_session(now, item);
    }

    /// Commitments have arrived: coordinators that lacked some go on.
    pub(super) fn feed_starved(&mut self, now: Time) {
        let starved: Vec<_> = self
            .running
            .iter()
            .filter(|(_, running)| {
                running.coordination.as_ref().is_some_and(|coordination| coordination.starved)
            })
            .map(|(item, _)| *item)
            .collect();
        for item in starved {
            self.open_session(now, item);
        }
    }

    /// While its turn lasts: late shares of an earlier attempt may complete a session or show who lied, but open no other.
    fn open_session(&mut self, now: Time, item: ItemId) {
        let Some(attempt) = self.running.get(&item).map(|running| running.attempt) else { return };
        if self.coordinator_of(item, attempt) != self.me {
            return;
        }
        let limit = self.sessions_per_attempt();
        let signers = self.choose_signers(now, item);
        let Some(running) = self.running.get_mut(&item) else { return };
        let Some(coordination) = &mut running.coordination else { return };
        coordination.starved = signers.is_none();
        let Some(signers) = signers else { return };
        if coordination.opened >= limit {
            return;
        }
        let session = coordination.opened;
        coordination.opened += 1;
        coordination.next_session_at = (coordination.opened < limit).then(|| now + self.config.hedge_ms);
        let digest = running.digest;

        let coordinator_boot = self.boot;
        let (pair, mine) = self.own_entry();
        let mut entries = BTreeMap::from([(self.me, mine)]);
        for member in signers {
            let Some(peer) = self.peers.get_mut(&member) else { continue };
            let Some((boot, offer)) = peer.pool.take() else { continue };
            entries.insert(member, Entry { boot, index: offer.index, commitment: offer.commitment });
        }
        let package = Package { coordinator_boot, item, digest, attempt, session, signers: entries };
        self.launch(package, pair);
    }

    fn own_entry(&mut self) -> (Option<NoncePair>, Entry) {
        let offer = self.nonces.offer(self.me);
        let pair = self.nonces.take(self.me, offer.index, &offer.commitment);
        (pair, Entry { boot: self.boot, index: offer.index, commitment: offer.commitment })
    }

    /// Signs the own share and sends the package to the other signers.
    fn launch(&mut self, package: Package, pair: Option<NoncePair>) {
        let hash = package.hash(self.config.epoch);
        let own_index = package.signers.get(&self.me).map(|entry| entry.index);
        let (Some(pair), Some(index), Ok(commitments)) = (pair, own_index, package.commitments()) else {
            return;
        };
        let Some(share) = self.burn(&package, hash, index, pair, &commitments) else { return };

        let others: Vec<_> = package.signers.keys().filter(|member| **member != self.me).copied().collect();
        let bytes = Message::Package(package.clone()).to_bytes(self.config.epoch);
        for to in others {
            self.outputs.push_back(Output::Send { to, bytes: bytes.clone() });
        }
        let shares = BTreeMap::from([(self.me, share)]);
        let running = self.running.get_mut(&package.item);
        if let Some(coordination) = running.and_then(|running| running.coordination.as_mut()) {
            coordination.latest = Some(hash);
            let vouchers = BTreeMap::new();
            coordination.sessions.insert(hash, Session { package, commitments, shares, vouchers });
        }
    }

    /// The `t − 1` others to ask: not those who lied about this item, those in good standing first, else by rotation, and
    /// only who has a commitment here. `None` if there are too few.
    fn choose_signers(&self, now: Time, item: ItemId) -> Option<Vec<MemberId>> {
        let running = self.running.get(&item)?;
        let wanted = self.public.threshold().count() - 1;
        let rotation = item.number.wrapping_add(u64::from(running.attempt)) % self.members.len() as u64;
        let mut candidates: Vec<_> = self
            .peers
            .iter()
            .enumerate()
            .filter(|(_, (member, peer))| !peer.pool.is_empty() && !running.liars.contains(member))
            .map(|(position, (member, peer))| {
                let others = self.peers.len() as u64;
                let distance = (position as u64 + others - rotation % others) % others;
                (peer.standing.rank(now), distance, *member)
            })
            .collect();
        if candidates.len() < wanted {
            return None;
        }
        candidates.sort_unstable();
        Some(candidates.into_iter().take(wanted).map(|(_, _, member)| member).collect())
    }

    pub(super) fn on_share(&mut self, now: Time, from: MemberId, share: &Share) {
        if !self.sight(now, from, share.supply.boot) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if let Err(error) = peer.pool.add(&share.supply) {
            return self.accuse(from, error.into());
        }
        let session = self
            .running
            .get_mut(&share.item)
            .and_then(|running| running.coordination.as_mut())
            .and_then(|coordination| coordination.sessions.get_mut(&share.package));
        if let Some(session) = session
            && session.package.signers.contains_key(&from)
            && !session.shares.contains_key(&from)
        {
            session.shares.insert(from, share.share);
            session.vouchers.insert(from, share.voucher);
            peer.standing.answered();
            if session.shares.len() == session.package.signers.len() {
                self.aggregate(now, share.item, share.package);
            }
        }
        self.feed_starved(now);
    }

    fn aggregate(&mut self, now: Time, item: ItemId, hash: PackageHash) {
        let Some(running) = self.running.get_mut(&item) else { return };
        let Some(coordination) = &mut running.coordination else { return };
        let Some(session) = coordination.sessions.remove(&hash) else { return };
        let digest = running.digest;
        match round::aggregate(&digest, &session.commitments, &session.shares, &self.public) {
            Ok(signature) => self.announce(item, signature),
            Err(AggregateError::Cheaters(cheaters)) => {
                cheaters.into_iter().for_each(|culprit| self.blame(item, culprit, &session));
                self.open_session(now, item);
            }
            Err(AggregateError::Unusable) => self.open_session(now, item),
        }
    }

    fn blame(&mut self, item: ItemId, culprit: MemberId, session: &Session) {
        if let Some(running) = self.running.get_mut(&item) {
            running.liars.insert(culprit);
        }
        if let Some(peer) = self.peers.get_mut(&culprit) {
            peer.standing.convict();
        }
        let (share, voucher) = (session.shares.get(&culprit), session.vouchers.get(&culprit));
        // A machine never finds its own share wrong.
        let (Some(share), Some(voucher)) = (share, voucher) else { return };
        let epoch = self.config.epoch;
        let accusation = Accusation { culprit, epoch, package: session.package.to_bytes(), share: *share };
        self.accuse(culprit, FaultKind::InvalidShare { item, accusation, voucher: *voucher });
    }

    fn announce(&mut self, item: ItemId, signature: SignatureBytes) {
        let message = Message::Signature { item, signature };
        self.outputs.push_back(Output::Broadcast(message.to_bytes(self.config.epoch)));
        self.settle(item, signature);
    }
}
