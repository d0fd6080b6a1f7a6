//! Signatures: accepting, keeping, handing out, forgetting.

use super::config::MAX_RETAINED;
use super::fault::{FaultKind, Refused};
use super::item::ItemId;
use super::machine::{Done, Output, Signing};
use super::message::Message;
use crate::keys::SignatureBytes;
use crate::member::MemberId;

impl Signing {
    pub(super) fn on_signature(&mut self, from: MemberId, item: ItemId, signature: SignatureBytes) {
        if self.finished(item).is_some() {
            return;
        }
        let Some(running) = self.running.get(&item) else {
            let floor = self.floor(item.kind);
            if let Some(peer) = self.peers.get_mut(&from)
                && item.number >= floor
            {
                peer.held.signature(item, signature);
            }
            return;
        };
        match self.public.verify(&running.digest, &signature) {
            Ok(()) => self.settle(item, signature),
            Err(_) => self.accuse(from, FaultKind::BadSignature { item }),
        }
    }

    pub(super) fn on_known_signature(
        &mut self,
        item: ItemId,
        signature: SignatureBytes,
    ) -> Result<(), Refused> {
        if self.finished(item).is_some() {
            return Ok(());
        }
        let running = self.running.get(&item).ok_or(Refused::Unknown(item))?;
        self.public.verify(&running.digest, &signature).map_err(|_| Refused::BadSignature(item))?;
        self.settle(item, signature);
        Ok(())
    }

    pub(super) fn on_request(&mut self, from: MemberId, item: ItemId) {
        if let Some(signature) = self.finished(item).map(|done| done.signature) {
            self.send(from, &Message::Signature { item, signature });
        }
    }

    /// Takes a verified signature of an item being signed.
    pub(super) fn settle(&mut self, item: ItemId, signature: SignatureBytes) {
        let Some(running) = self.running.remove(&item) else { return };
        let digest = running.digest;
        self.outputs.push_back(Output::Signed { item, digest, signature });
        for peer in self.peers.values_mut() {
            peer.held.take(item);
        }
        let done = self.done.entry(item.kind).or_default();
        done.insert(item.number, Done { digest, signature });
        if done.len() > MAX_RETAINED
            && let Some((number, _)) = done.pop_first()
        {
            self.raise_floor(item.kind, number.saturating_add(1));
        }
    }

    pub(super) fn finished(&self, item: ItemId) -> Option<&Done> {
        self.done.get(&item.kind)?.get(&item.number)
    }

    pub(super) fn floor(&self, kind: u8) -> u64 {
        self.floors.get(&kind).copied().unwrap_or(0)
    }

    /// Below the floor digests are not remembered, so nothing new is signed there. What is being signed goes on.
    pub(super) fn raise_floor(&mut self, kind: u8, floor: u64) {
        let floor = self.floor(kind).max(floor);
        self.floors.insert(kind, floor);
        self.pinned.retain(|item, _| item.kind != kind || item.number >= floor);
        for peer in self.peers.values_mut() {
            peer.held.forget(kind, floor);
        }
    }

    pub(super) fn forget(&mut self, kind: u8, below: u64) {
        self.raise_floor(kind, below);
        self.running.retain(|item, _| item.kind != kind || item.number >= below);
        if let Some(done) = self.done.get_mut(&kind) {
            done.retain(|number, _| *number >= below);
        }
    }
}
