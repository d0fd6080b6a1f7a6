//! The committee's keys: shares that come, signatures that are asked for and made.

use std::collections::BTreeMap;

use mpc::KeyMaterial;
use mpc::signing::{BootId, BurnRecord, Fault, FaultKind, ItemId, NonceSeed};
use ordering_types::{
    Digest, Epoch, GroupKey, GroupSignature, Height, Incarnation, SharedKey, Signature, Time, ValidatorId,
};
use zeroize::Zeroizing;

use super::NodeCore;
use crate::api::{Class, Founding, Output, Recipient, Record};
use crate::entropy::Entropy;
use crate::evidence::{Evidence, WrongShare};
use crate::founding::FOUNDING_EPOCH;
use crate::key_material;
use crate::keyring::{KeyEvent, Named};
use crate::planted::PlantedBug;
use crate::sealing::Ticket;
use crate::settings::StartError;

/// Kinds of items in the signing machine. Its numbers mean what these say.
pub(super) const ITEM_BLOCK: u8 = 1;
pub(super) const ITEM_BATCH: u8 = 2;
pub(super) const ITEM_HANDOVER: u8 = 3;
pub(super) const ITEM_READINESS: u8 = 4;

pub(super) const fn block(height: Height) -> ItemId {
    ItemId { kind: ITEM_BLOCK, number: height.get() }
}

pub(super) const fn batch(ticket: Ticket) -> ItemId {
    ItemId { kind: ITEM_BATCH, number: ticket.to_session() }
}

/// To this epoch, by the one before.
pub(super) const fn handover(epoch: Epoch) -> ItemId {
    ItemId { kind: ITEM_HANDOVER, number: epoch.get() }
}

/// Of this epoch's key.
pub(super) const fn readiness(epoch: Epoch) -> ItemId {
    ItemId { kind: ITEM_READINESS, number: epoch.get() }
}

impl NodeCore {
    /// The keys of all epochs that are remembered, as the log has them, and the shares that are on the disk.
    pub(super) fn recover_keys(
        &mut self,
        shares: &BTreeMap<Epoch, Vec<Zeroizing<Vec<u8>>>>,
        founding: Option<&Founding>,
        burns: &[BurnRecord],
        now: Time,
    ) -> Result<(), StartError> {
        // What a key signs as its test follows from the key; another that was made for the epoch signs something else under that name.
        let burns: Vec<BurnRecord> =
            burns.iter().filter(|burn| burn.item.kind != ITEM_READINESS).cloned().collect();
        for (epoch, bytes) in shares.iter().flat_map(|(epoch, all)| all.iter().map(move |one| (epoch, one))) {
            let decoded = key_material::decode(bytes);
            let (sharing, material) = decoded.map_err(|e| StartError::KeyMaterial(e.to_string()))?;
            let key = shared_key(sharing, &material);
            // Of an epoch that has begun only its own key matters, whatever else was made for it.
            let settled = self.start_of(*epoch).and_then(|start| start.key);
            if settled.is_none_or(|settled| settled == key) {
                self.install(Named { epoch: *epoch, key }, &material, &burns, now);
            }
        }
        if let Some(founding) = founding {
            self.know_key(FOUNDING_EPOCH, SharedKey::fresh(founding.key), now);
        }
        self.settle_keys(now);
        Ok(())
    }

    /// Of all epochs that are remembered, as the log has them; answers which.
    pub(super) fn settle_keys(&mut self, now: Time) -> Vec<(Epoch, SharedKey)> {
        let settled: Vec<_> =
            self.epochs.iter().filter_map(|start| Some((start.epoch, start.key?))).collect();
        settled.iter().for_each(|(epoch, key)| self.settle_key(*epoch, *key, now));
        settled
    }

    /// Whether this node has a share of the present key.
    pub(super) fn holds_share(&self) -> bool {
        self.keys.signs(self.present().epoch)
    }

    /// A ceremony gave this node its share, of this sharing of the key.
    pub(super) fn take_share(&mut self, (epoch, sharing): (Epoch, u32), material: &KeyMaterial, now: Time) {
        let named = Named { epoch, key: shared_key(sharing, material) };
        if self.keys.has_share(named) {
            return self.know_key(epoch, named.key, now);
        }
        let bytes = key_material::encode(sharing, material);
        let record = Record::KeyMaterial { epoch, key: named.key, material: bytes };
        if !self.settings.lacks(PlantedBug::ShareNotStored) {
            self.outputs.push_back(Output::Persist(record));
        }
        self.install(named, material, &[], now);
    }

    fn install(&mut self, named: Named, material: &KeyMaterial, burns: &[BurnRecord], now: Time) {
        let nonces = NonceSeed::new(*self.entropy.draw(b"nonces"));
        let boot = boot_id(self.incarnation, &mut self.entropy);
        self.keys.install(now, named, material, (boot, nonces), burns);
        self.key_is_known(named.epoch, named.key.key, now);
    }

    /// A committee's key: with it alone a node can check what the others sign, and encode batches for them.
    pub(super) fn know_key(&mut self, epoch: Epoch, key: SharedKey, now: Time) {
        let is_news = self.keys.key(epoch) != Some(key.key);
        self.keys.know(Named { epoch, key });
        if is_news {
            self.key_is_known(epoch, key.key, now);
        }
    }

    /// As [`Self::know_key`]; and the epoch has no other.
    pub(super) fn settle_key(&mut self, epoch: Epoch, key: SharedKey, now: Time) {
        self.know_key(epoch, key, now);
        self.keys.settle(Named { epoch, key });
    }

    /// Blocks and batches that wait for it can be signed.
    fn key_is_known(&mut self, epoch: Epoch, key: GroupKey, now: Time) {
        if epoch == self.present().epoch
            && let Some((height, hash)) = self.confirmations.newest()
        {
            self.ask_block_signature(height, hash, now);
        }
        let events = self.sealing.key_ready(epoch, key, now);
        self.on_sealing(events, now);
    }

    pub(super) fn forget_blocks(&mut self, below: Height, now: Time) {
        self.keys.forget(now, ITEM_BLOCK, below.get());
    }

    pub(super) fn ask_block_signature(&mut self, height: Height, hash: Digest, now: Time) {
        let epoch = self.epoch_of(height);
        let digest = self.domain.block(epoch, height, hash);
        self.keys.sign(now, epoch, block(height), digest);
    }

    pub(super) fn on_key_event(&mut self, event: KeyEvent, now: Time) {
        match event {
            KeyEvent::Burn(_) if self.settings.lacks(PlantedBug::NonceNotBurnt) => {}
            KeyEvent::Burn(burn) => {
                let (key, value) = (burn_key(&burn), burn.to_bytes());
                self.outputs.push_back(Output::Persist(Record::NonceBurn { key, value }));
            }
            KeyEvent::Send { to, message } => {
                let after_sync = !self.settings.lacks(PlantedBug::ShareBeforeSync);
                self.send(Recipient::One(to), Class::Ceremony, message.encode(), after_sync);
            }
            KeyEvent::Broadcast { key, message } => self.send_to_epoch(key.epoch, message.encode()),
            KeyEvent::Signed { key, item, signature } => self.on_signed(key, item, signature, now),
            KeyEvent::Fault { key, fault } => self.on_signing_fault(key, &fault),
            KeyEvent::Odd { peer, what } => self.outputs.push_back(Output::PeerFault { peer, what }),
        }
    }

    fn on_signing_fault(&mut self, key: Named, fault: &Fault) {
        let peer = ValidatorId::new(fault.culprit.number());
        self.outputs.push_back(Output::PeerFault { peer, what: fault.to_string() });
        let FaultKind::InvalidShare { accusation, voucher, .. } = &fault.kind else { return };
        let Some(public) = self.keys.public(key) else { return };
        let evidence = Evidence::Share(WrongShare {
            validator: peer,
            epoch: key.epoch,
            group: public.to_bytes(),
            package: accusation.package.clone(),
            share: accusation.share,
            voucher: Signature::new(*voucher),
        });
        self.show(evidence);
    }

    /// Only what convinces others: a liar that did not vouch for its lie, say, convinces nobody but us.
    pub(super) fn show(&mut self, evidence: Evidence) {
        let committee = self.ordering.epochs().committee_of(evidence.epoch());
        if committee.is_some_and(|committee| evidence.verify(&self.domain, committee).is_ok()) {
            self.outputs.push_back(Output::Evidence(Box::new(evidence)));
        }
    }

    fn on_signed(&mut self, key: Named, item: ItemId, signature: GroupSignature, now: Time) {
        match item.kind {
            ITEM_BLOCK => {
                let height = Height::new(item.number);
                if let Some(before) = self.confirmations.on_signed(height) {
                    self.forget_blocks(before, now);
                    self.outputs.push_back(Output::Persist(Record::Certified { height, signature }));
                    self.outputs.push_back(Output::Certified { height, signature });
                }
            }
            ITEM_BATCH => {
                let events = self.sealing.signed(Ticket::from_session(item.number), signature);
                self.on_sealing(events, now);
            }
            ITEM_HANDOVER => self.on_signed_handover(Epoch::new(item.number), signature, now),
            ITEM_READINESS => self.on_tested(key, signature, now),
            _ => {}
        }
    }
}

/// The key of which this is a share, of this sharing of it.
fn shared_key(sharing: u32, material: &KeyMaterial) -> SharedKey {
    let key = GroupKey::from_bytes(material.public().key()).expect("key material holds a valid group key");
    SharedKey { key, sharing }
}

/// The number of this start, and eight bytes that nobody knows beforehand.
fn boot_id(incarnation: Incarnation, entropy: &mut Entropy) -> BootId {
    let mut boot = [0; 16];
    let (start, random) = boot.split_at_mut(8);
    start.copy_from_slice(&incarnation.get().to_be_bytes());
    random.copy_from_slice(entropy.draw(b"boot id").first_chunk::<8>().expect("32 bytes hold 8"));
    BootId(boot)
}

/// Names a nonce pair for ever: epoch, boot, index.
fn burn_key(burn: &BurnRecord) -> Vec<u8> {
    [&burn.epoch.to_be_bytes(), burn.boot.0.as_slice(), &burn.index.to_be_bytes()].concat()
}
