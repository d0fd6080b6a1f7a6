//! Epochs that begin and end: the next key made, tested and voted for, the switch, and the handover that the outgoing committee signs.

use std::sync::Arc;

use bytes::Bytes;
use mpc::GroupPublic;
use ordering_types::chain_spec::{Committee, KeyPolicy};
use ordering_types::{
    Epoch, EpochVote, GroupSignature, Handover, Height, SharedKey, SignedHandover, Succession, Time,
    ValidatorId,
};

use super::{NodeCore, keys};
use crate::api::{
    CeremonyStart, Class, EpochBook, EpochEvent, EpochStart, LoggedBlock, Members, Output, REMEMBERED_EPOCHS,
    Recipient, Record,
};
use crate::keyring::Named;
use crate::making::{Beginning, KeyMaking, Part, announcement};
use crate::planted::PlantedBug;
use crate::rotation::{Rotation, RotationEvent};
use crate::settings::StartError;
use crate::wire::LogPayload;

impl NodeCore {
    pub(super) fn present(&self) -> &EpochStart {
        self.epochs.back().expect("there is always a present epoch")
    }

    /// The epoch of a block; the oldest that is remembered, if it is older.
    pub(super) fn epoch_of(&self, height: Height) -> Epoch {
        let start = self.epochs.iter().rev().find(|start| start.first_height <= height);
        start.or(self.epochs.front()).map_or(Epoch::default(), |start| start.epoch)
    }

    pub(super) fn start_of(&self, epoch: Epoch) -> Option<&EpochStart> {
        self.epochs.iter().find(|start| start.epoch == epoch)
    }

    /// The members of an epoch: one that is remembered, or the next, whose key they make.
    fn members_of(&self, epoch: Epoch) -> Option<&Arc<Committee>> {
        let next = || self.rotation.as_ref().filter(|next| next.epoch() == epoch).map(Rotation::members);
        self.start_of(epoch).map(|start| &start.members).or_else(next).map(Members::committee)
    }

    /// To all other members of an epoch, about signatures and batches.
    pub(super) fn send_to_epoch(&mut self, epoch: Epoch, bytes: Bytes) {
        let present = self.ordering.committee();
        let Some(members) = self.members_of(epoch).filter(|members| *members != present) else {
            return self.send(Recipient::All, Class::Ceremony, bytes, false);
        };
        let others: Vec<ValidatorId> = members.ids().filter(|id| *id != self.me).collect();
        others
            .into_iter()
            .for_each(|to| self.send(Recipient::One(to), Class::Ceremony, bytes.clone(), false));
    }

    /// Goes on where the disk says.
    pub(super) fn recover_rotation(
        &mut self,
        book: &EpochBook,
        log: &[LoggedBlock],
        now: Time,
    ) -> Result<(), StartError> {
        self.due_ms = book.due();
        if let Some(start) = book.ceremony() {
            let CeremonyStart { after, time_ms, .. } = *start;
            let log: Vec<LoggedBlock> = log.iter().filter(|block| block.height > after).cloned().collect();
            let forgetful = self.settings.lacks(PlantedBug::CeremonyForgotten);
            let held = log
                .first()
                .map_or(self.ordering.applied_height() == after, |first| first.height == after.next());
            self.rotation = Some(if held { self.making(start)? } else { self.missed(start) });
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
        self.take_backed(book.backed());
        let Some(rotation) = &mut self.rotation else { return };
        if let Some(time_ms) = book.due() {
            rotation.due(time_ms);
        }
        if let Some(vote) = book.vote_of(self.me) {
            rotation.has_voted(vote.shared_key());
        }
    }

    pub(super) fn on_epoch(&mut self, event: EpochEvent, now: Time) {
        match event {
            EpochEvent::Gather(_) => {
                self.ready_for = None;
                self.say_ready(now);
            }
            EpochEvent::MakeKey(start) => match self.making(&start) {
                Ok(rotation) => {
                    self.rotation = Some(rotation);
                    self.start_rotation(start.time_ms, &[], now);
                }
                Err(error) => self.outputs.push_back(Output::Fatal(error.to_string())),
            },
            EpochEvent::Due { time_ms } => {
                self.due_ms = Some(time_ms);
                if let Some(rotation) = &mut self.rotation {
                    rotation.due(time_ms);
                }
            }
            EpochEvent::Backed => {
                self.take_backed(self.ordering.epochs().backed());
            }
            EpochEvent::Ended { handover, key } => self.switch(handover, key, now),
        }
        self.vote(now);
    }

    /// This node's announcement for the ceremonies for an epoch's key.
    pub(super) fn own_announcement(&mut self, epoch: Epoch) -> Vec<u8> {
        let seed = self.seed_of(epoch);
        announcement(&self.domain, epoch, (self.me, &seed))
    }

    fn making(&mut self, start: &CeremonyStart) -> Result<Rotation, StartError> {
        let next = self.present().epoch.next();
        let committee = Arc::clone(start.members.committee());
        // Whose seed is gone cannot open what is encrypted to the key that it announced: it follows like one that was not drawn.
        let announced = start.announced.get(&self.me).cloned();
        let is_drawn = committee.key(self.me).is_some();
        let is_own = announced.is_none_or(|announced| announced == self.own_announcement(next));
        let old = start.old.as_deref().map(GroupPublic::from_bytes).transpose();
        let old = old.map_err(|error| StartError::Ceremony(format!("the present key's data: {error}")))?;
        let share = old.as_ref().and_then(|_| self.keys.share(self.present().epoch));
        let takes_part = is_own && (is_drawn || share.is_some());
        let part = takes_part.then(|| Part { me: self.me, seed: self.seed_of(next), old: share });
        // There is time: who restarts meanwhile gets its share all the same.
        // With a registry, the first quarter of the part that is for it has gone by.
        let quarters = if self.spec.registry.is_some() { 2 } else { 3 };
        let announce_ms = self.spec.epochs.ceremony_ms / 4 * quarters;
        let beginning = Beginning { nth: start.nth, announce_ms, announced: start.announced.clone(), old };
        let making = KeyMaking::new(&self.spec, next, &committee, part, beginning)?;
        let patience_ms = self.spec.ceremony.acknowledge_ms.into();
        let members = start.members.clone();
        let mut rotation = match self.rotation.take() {
            Some(before) => before.again(members, making, patience_ms),
            None => Rotation::making(next, members, making, patience_ms),
        };
        // A key that is kept is shared anew once its public data is known, which may be after that.
        if let Some(time_ms) = self.due_ms {
            rotation.due(time_ms);
        }
        Ok(rotation)
    }

    fn missed(&self, start: &CeremonyStart) -> Rotation {
        Rotation::missed(self.present().epoch.next(), start.members.clone())
    }

    /// Where the key is kept, those who hold shares of it tell its public data, once an epoch: what is dealt anew is checked against that.
    pub(super) fn tell_key_data(&mut self, now: Time) {
        let epoch = self.present().epoch;
        let is_told = self.key_data_told == Some(epoch);
        if is_told || self.spec.epochs.key == KeyPolicy::Fresh || !self.founded {
            return;
        }
        let Some(data) = self.keys.data(epoch).map(GroupPublic::to_bytes) else { return };
        self.key_data_told = Some(epoch);
        if self.ordering.epochs().lacks_key_data_of(self.me) {
            self.publish(LogPayload::KeyData { epoch, data: &data }.encode(), now);
        }
    }

    /// What somebody says may come next, with the new key's test: those who hold no share of it cannot make one.
    pub(super) fn on_logged_vote(&mut self, vote: &EpochVote, now: Time) {
        let Some(rotation) = self.rotation.as_mut().filter(|rotation| rotation.lacks_test_of(vote)) else {
            return;
        };
        if vote.verify(&self.domain).is_ok() {
            rotation.tested(vote.shared_key(), vote.test);
            self.vote(now);
        }
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
                RotationEvent::Share(sharing, material) => {
                    self.take_share((next, sharing), &material, now);
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
        let Some((next, sharing)) = self.rotation.as_ref().and_then(Rotation::to_test) else { return };
        // After a replay the key of which this node has just got its share may be one that was given up since.
        let named = Named { epoch: next.epoch, key: SharedKey { key: next.key, sharing } };
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
    fn switch(&mut self, handover: Handover, key: SharedKey, now: Time) {
        let epoch = handover.next.epoch;
        self.due_ms = None;
        let members = self.rotation.take().map(|rotation| rotation.members().clone());
        let members = members.filter(|members| members.hash() == handover.next.committee);
        // What this node missed of the ceremony, ordering knows.
        let known = || self.ordering.epochs().starts().find(|start| start.epoch == epoch);
        let Some(members) = members.or_else(|| known().map(|start| start.members.clone())) else {
            return self
                .outputs
                .push_back(Output::Fatal(format!("the members of epoch {epoch} are not known")));
        };
        self.sealing.begin_epoch(epoch, members.committee().ids().collect());
        self.epochs.push_back(EpochStart::of(&handover, key, members.clone()));
        let members = Arc::clone(members.committee());
        self.forget_old_epochs();
        self.seeds.forget_before(epoch);
        if self.settings.lacks(PlantedBug::OldKeyKept)
            && let Some(old) = epoch.get().checked_sub(1).and_then(|old| self.keys.key(Epoch::new(old)))
        {
            return self.settle_key(epoch, SharedKey::fresh(old), now);
        }
        self.settle_key(epoch, key, now);
        self.outputs.push_back(Output::Persist(Record::SettleKey { epoch, key }));
        self.outputs.push_back(Output::Switched { handover, members });
        self.ask_for_handover(epoch, now);
    }

    /// Shares of epochs whose successors have taken over on L1 for good sign nothing any more: they are erased, but not while a block of theirs waits for
    /// its signature.
    pub(super) fn erase_confirmed(&mut self) {
        let early = self.settings.lacks(PlantedBug::SharesErasedEarly);
        let confirmed = if early { self.present().epoch } else { self.ordering.l1().confirmed() };
        let confirmed = confirmed.min(self.present().epoch);
        let waiting = self.confirmations.oldest().map_or(confirmed, |height| self.epoch_of(height));
        let Some(up_to) = confirmed.min(waiting).get().checked_sub(1).map(Epoch::new) else { return };
        if self.keys.erase_shares(up_to) {
            self.outputs.push_back(Output::Persist(Record::ForgetKeys { up_to }));
        }
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
        let Some(members) = self.start_of(epoch).map(|start| Committee::clone(start.members.committee()))
        else {
            return false;
        };
        self.keep_handover(Succession { signed: SignedHandover { handover, signature }, members });
        true
    }

    fn keep_handover(&mut self, succession: Succession) {
        let succession = Arc::new(succession);
        self.handovers.insert(succession.signed.handover.next.epoch, Arc::clone(&succession));
        self.outputs.push_back(Output::Persist(Record::Handover(Arc::clone(&succession))));
        self.outputs.push_back(Output::Handover(succession));
    }

    /// Goes on with the epochs of a checkpoint.
    pub(super) fn jump_epochs(&mut self, book: &EpochBook, handovers: Vec<Succession>, now: Time) {
        let before = self.present().epoch;
        self.epochs = book.starts().cloned().collect();
        for start in &self.epochs {
            self.sealing.begin_epoch(start.epoch, start.members.committee().ids().collect());
        }
        for (epoch, key) in self.settle_keys(now) {
            self.outputs.push_back(Output::Persist(Record::SettleKey { epoch, key }));
        }
        // Also those to epochs that are not remembered: others that are far behind will ask for them.
        for succession in handovers {
            if !self.handovers.contains_key(&succession.signed.handover.next.epoch) {
                self.keep_handover(succession);
            }
        }
        let first = self.epochs.front().map_or(Epoch::default(), |start| start.epoch);
        self.handovers.retain(|epoch, _| *epoch >= first);
        let oldest = self.epochs.front().and_then(|start| start.epoch.get().checked_sub(1)).map(Epoch::new);
        if let Some(up_to) = oldest.filter(|_| before < self.present().epoch) {
            self.keys.retire(up_to);
            self.outputs.push_back(Output::Persist(Record::ForgetKeys { up_to }));
        }
        // What the blocks that were left out said of the ceremony is not known, nor how many attempts there were.
        self.rotation = book.ceremony().map(|start| self.missed(start));
        self.due_ms = book.due();
        self.recover_votes(book);
        self.vote(now);
        self.ask_for_handovers(now);
    }
}
