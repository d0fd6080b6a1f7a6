//! Epochs that begin and end: the next key made, tested and voted for, the switch, and the handover that the outgoing committee signs.

use std::collections::BTreeMap;

use ordering_types::{Epoch, EpochVote, GroupSignature, Handover, Height, NextEpoch, SignedHandover, Time};
use zeroize::Zeroizing;

use super::{NodeCore, keys};
use crate::api::{
    CeremonyStart, EpochBook, EpochEvent, EpochStart, LoggedBlock, Output, REMEMBERED_EPOCHS, Record,
};
use crate::keyring::Named;
use crate::making::KeyMaking;
use crate::planted::PlantedBug;
use crate::rotation::{Rotation, RotationEvent};
use crate::settings::StartError;
use crate::wire::LogPayload;

impl NodeCore {
    pub(super) fn present(&self) -> EpochStart {
        *self.epochs.back().expect("there is always a present epoch")
    }

    /// The epoch of a block; the oldest that is remembered, if it is older.
    pub(super) fn epoch_of(&self, height: Height) -> Epoch {
        let start = self.epochs.iter().rev().find(|start| start.first_height <= height);
        start.or(self.epochs.front()).map_or(Epoch::default(), |start| start.epoch)
    }

    pub(super) fn start_of(&self, epoch: Epoch) -> Option<EpochStart> {
        self.epochs.iter().find(|start| start.epoch == epoch).copied()
    }

    /// Goes on where the disk says.
    pub(super) fn recover_rotation(
        &mut self,
        book: &EpochBook,
        seeds: &BTreeMap<Epoch, Zeroizing<Vec<u8>>>,
        log: &[LoggedBlock],
        now: Time,
    ) -> Result<(), StartError> {
        if let Some(start) = book.ceremony() {
            let CeremonyStart { after, time_ms, .. } = start;
            let log: Vec<LoggedBlock> = log.iter().filter(|block| block.height > after).cloned().collect();
            let forgetful = self.settings.lacks(PlantedBug::CeremonyForgotten);
            let held = log
                .first()
                .map_or(self.ordering.applied_height() == after, |first| first.height == after.next());
            let stored = seeds.get(&self.present().epoch.next());
            self.rotation = Some(if held { self.making(start, stored)? } else { self.missed() });
            self.recover_votes(book);
            self.start_rotation(time_ms, if forgetful { &[] } else { &log }, now);
        }
        self.ask_for_handovers(now);
        Ok(())
    }

    /// Ordering may be some blocks ahead of what it told: what more than f say by then is proven as well.
    fn take_backed(&mut self, vote: Option<EpochVote>) {
        if let Some((rotation, vote)) = self.rotation.as_mut().zip(vote)
            && vote.next.epoch == rotation.epoch()
        {
            rotation.back(vote);
        }
    }

    fn recover_votes(&mut self, book: &EpochBook) {
        self.take_backed(book.backed(self.ordering.committee().len()));
        let Some(rotation) = &mut self.rotation else { return };
        if let Some(time_ms) = book.due() {
            rotation.due(time_ms);
        }
        if let Some(next) = book.vote_of(self.me) {
            rotation.has_voted(next.key);
        }
    }

    pub(super) fn on_epoch(&mut self, event: EpochEvent, now: Time) {
        match event {
            EpochEvent::MakeKey(start) => match self.making(start, None) {
                Ok(rotation) => {
                    self.rotation = Some(rotation);
                    self.start_rotation(start.time_ms, &[], now);
                }
                Err(error) => self.outputs.push_back(Output::Fatal(error.to_string())),
            },
            EpochEvent::Due { time_ms } => {
                if let Some(rotation) = &mut self.rotation {
                    rotation.due(time_ms);
                }
            }
            EpochEvent::Backed => {
                let members = self.ordering.committee().len();
                self.take_backed(self.ordering.epochs().backed(members));
            }
            EpochEvent::Ended(handover) => self.switch(handover, now),
        }
        self.vote(now);
    }

    fn making(
        &mut self,
        start: CeremonyStart,
        stored: Option<&Zeroizing<Vec<u8>>>,
    ) -> Result<Rotation, StartError> {
        let EpochStart { epoch, committee, .. } = self.present();
        let next = epoch.next();
        let seed = self.ceremony_seed(next, stored)?;
        // There is time: who restarts meanwhile gets its share all the same.
        let announce_ms = self.spec.epochs.ceremony_ms / 4 * 3;
        let committee_now = self.ordering.committee();
        let part = (self.me, *seed);
        let making = KeyMaking::new(&self.spec, next, committee_now, part, (start.nth, announce_ms))?;
        let patience_ms = self.spec.ceremony.acknowledge_ms.into();
        Ok(match self.rotation.take() {
            Some(before) => before.again(making, patience_ms),
            None => Rotation::making(next, committee, making, patience_ms),
        })
    }

    fn missed(&self) -> Rotation {
        let EpochStart { epoch, committee, .. } = self.present();
        Rotation::missed(epoch.next(), committee)
    }

    /// The ceremony begins after a block of this time.
    fn start_rotation(&mut self, time_ms: u64, log: &[LoggedBlock], now: Time) {
        let Some(rotation) = &mut self.rotation else { return };
        let events = rotation.start(self.me, time_ms, log);
        self.on_rotation(events, now);
        self.vote(now);
    }

    pub(super) fn on_rotation(&mut self, events: Vec<RotationEvent>, now: Time) {
        for event in events {
            let Some(next) = self.rotation.as_ref().map(Rotation::epoch) else { return };
            match event {
                RotationEvent::Publish(payload) => self.publish(payload, now),
                RotationEvent::Share(material) => {
                    self.take_share(next, &material, now);
                    self.ask_for_test(now);
                }
                RotationEvent::Known(key) => {
                    self.know_key(next, key, now);
                    self.ask_for_test(now);
                }
                RotationEvent::Fault { peer, what } => {
                    self.outputs.push_back(Output::PeerFault { peer, what });
                }
            }
        }
    }

    pub(super) fn publish(&mut self, payload: Vec<u8>, now: Time) {
        self.ordering.handle(now, ordering::api::Input::System(payload));
    }

    fn ask_for_test(&mut self, now: Time) {
        let Some(next) = self.rotation.as_ref().and_then(Rotation::to_test) else { return };
        // After a replay the key of which this node has just got its share may be one that was given up since.
        let named = Named { epoch: next.epoch, key: next.key };
        self.keys.sign_with(now, named, keys::readiness(next.epoch), self.domain.readiness(&next));
    }

    pub(super) fn on_tested(&mut self, key: Named, test: GroupSignature, now: Time) {
        if let Some(rotation) = self.rotation.as_mut().filter(|rotation| rotation.epoch() == key.epoch) {
            rotation.tested(key.key, test);
            self.vote(now);
        }
    }

    /// Says that the next epoch may begin, if it may. Only a founded network goes on to another key: the first has to sign that.
    pub(super) fn vote(&mut self, now: Time) {
        if !self.founded {
            return;
        }
        if let Some(vote) = self.rotation.as_mut().and_then(Rotation::take_vote) {
            self.publish(vote, now);
        }
    }

    /// A quorum's votes are in the log: committee and key change after the block that brought them.
    fn switch(&mut self, handover: Handover, now: Time) {
        let NextEpoch { epoch, key, .. } = handover.next;
        self.epochs.push_back(EpochStart::from(&handover));
        self.rotation = None;
        self.forget_old_epochs();
        if self.settings.lacks(PlantedBug::OldKeyKept)
            && let Some(old) = epoch.get().checked_sub(1).and_then(|old| self.keys.key(Epoch::new(old)))
        {
            return self.settle_key(epoch, old, now);
        }
        self.settle_key(epoch, key, now);
        self.outputs.push_back(Output::Persist(Record::SettleKey { epoch, key }));
        self.outputs.push_back(Output::Switched(handover));
        self.ask_for_handover(epoch, now);
    }

    fn forget_old_epochs(&mut self) {
        while self.epochs.len() > REMEMBERED_EPOCHS + 1 {
            let Some(EpochStart { epoch: up_to, .. }) = self.epochs.pop_front() else { return };
            self.keys.retire(up_to);
            self.handovers.remove(&up_to);
            self.outputs.push_back(Output::Persist(Record::ForgetKeys { up_to }));
        }
    }

    fn ask_for_handovers(&mut self, now: Time) {
        let epochs: Vec<Epoch> = self.epochs.iter().map(|start| start.epoch).collect();
        epochs.into_iter().for_each(|epoch| self.ask_for_handover(epoch, now));
    }

    /// The outgoing committee's signature for this epoch is wanted, if it is not held.
    fn ask_for_handover(&mut self, epoch: Epoch, now: Time) {
        if let Some((outgoing, handover)) = self.unsigned(epoch) {
            self.keys.sign(now, outgoing, keys::handover(epoch), handover.digest(&self.domain));
        }
    }

    /// Signed here, or heard: the log tells it to those who missed it.
    pub(super) fn on_signed_handover(&mut self, epoch: Epoch, signature: GroupSignature, now: Time) {
        if self.take_handover(epoch, signature) {
            self.publish(LogPayload::Handover { epoch, signature }.encode(), now);
        }
    }

    pub(super) fn on_logged_handover(&mut self, epoch: Epoch, signature: GroupSignature, now: Time) {
        let Some((outgoing, handover)) = self.unsigned(epoch) else { return };
        let digest = handover.digest(&self.domain);
        if self.keys.key(outgoing).is_some_and(|key| key.verify(digest, &signature).is_ok())
            && self.take_handover(epoch, signature)
        {
            self.keys.learn(now, outgoing, keys::handover(epoch), signature);
        }
    }

    /// The handover to a remembered epoch, and who signs it; none if its signature is held.
    fn unsigned(&self, epoch: Epoch) -> Option<(Epoch, Handover)> {
        let outgoing = Epoch::new(epoch.get().checked_sub(1)?);
        let handover = self.start_of(epoch)?.handover()?;
        (!self.handovers.contains_key(&epoch)).then_some((outgoing, handover))
    }

    /// False: it is held already, or of no epoch that is remembered.
    fn take_handover(&mut self, epoch: Epoch, signature: GroupSignature) -> bool {
        let Some((_, handover)) = self.unsigned(epoch) else { return false };
        let signed = SignedHandover { handover, signature };
        self.handovers.insert(epoch, signed);
        self.outputs.push_back(Output::Persist(Record::Handover(signed)));
        self.outputs.push_back(Output::Handover(signed));
        true
    }

    /// Goes on with the epochs of a checkpoint.
    pub(super) fn jump_epochs(&mut self, book: &EpochBook, handovers: Vec<SignedHandover>, now: Time) {
        let before = self.present().epoch;
        self.epochs = book.starts().copied().collect();
        for (epoch, key) in self.settle_keys(now) {
            self.outputs.push_back(Output::Persist(Record::SettleKey { epoch, key }));
        }
        for SignedHandover { handover, signature } in handovers {
            self.take_handover(handover.next.epoch, signature);
        }
        let oldest = self.epochs.front().and_then(|start| start.epoch.get().checked_sub(1)).map(Epoch::new);
        if let Some(up_to) = oldest.filter(|_| before < self.present().epoch) {
            self.keys.retire(up_to);
            self.outputs.push_back(Output::Persist(Record::ForgetKeys { up_to }));
        }
        // What the blocks that were left out said of the ceremony is not known, nor how many attempts there were.
        self.rotation = book.ceremony().map(|_| self.missed());
        self.recover_votes(book);
        self.vote(now);
        self.ask_for_handovers(now);
    }
}
