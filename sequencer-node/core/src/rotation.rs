//! Rotation: the next epoch, from the making of its key to this validator's word that it may begin.
//!
//! 1. In the last part of an epoch the members make a fresh key ([`crate::making`]), in ceremonies that begin after a block that all agree on.
//! 2. Who knows the key has it sign a test: a key that nobody can use is none.
//! 3. Once the epoch is due, who knows the key and its test says so in the log, with the test for everybody to check. What a quorum says
//!    ends the epoch: see [`ordering::epoch`].
//!
//! A member that missed the beginning of the ceremony (it went on from a checkpoint after it) says nothing: it learns the key from what the
//! others say.

use mpc::KeyMaterial;
use ordering_types::{Digest, Epoch, EpochVote, GroupKey, GroupSignature, NextEpoch, ValidatorId};

use crate::api::LoggedBlock;
use crate::making::{KeyMaking, Made, MakingEvent, replay};
use crate::wire::LogPayload;

/// What rotation asks for or reports.
#[derive(Debug)]
pub(crate) enum RotationEvent {
    /// Say this to the committee through the log.
    Publish(Vec<u8>),
    /// This node holds its share of the next key.
    Share(Box<KeyMaterial>),
    /// There is a next key, without a share for this node.
    Known(GroupKey),
    /// A member said what no honest member says.
    Fault { peer: ValidatorId, what: String },
}

enum Stage {
    Making(Box<KeyMaking>),
    Made(GroupKey),
    /// This node takes no part, for this reason.
    Apart(String),
}

/// The next epoch, as far as this node has prepared it.
pub(crate) struct Rotation {
    epoch: Epoch,
    committee: Digest,
    stage: Stage,
    test: Option<GroupSignature>,
    voted: bool,
}

impl Rotation {
    const fn at(epoch: Epoch, committee: Digest, stage: Stage) -> Self {
        Self { epoch, committee, stage, test: None, voted: false }
    }

    /// The ceremony is about to begin.
    pub(crate) fn making(epoch: Epoch, committee: Digest, making: KeyMaking) -> Self {
        Self::at(epoch, committee, Stage::Making(Box::new(making)))
    }

    /// The key was made before a restart.
    pub(crate) const fn made(epoch: Epoch, committee: Digest, key: GroupKey) -> Self {
        Self::at(epoch, committee, Stage::Made(key))
    }

    /// This node does not know how the ceremony began.
    pub(crate) fn missed(epoch: Epoch, committee: Digest) -> Self {
        let why = "this node went on from a checkpoint after the ceremony had begun";
        Self::at(epoch, committee, Stage::Apart(why.to_owned()))
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Begins after a block of this time, and replays the blocks that the log already holds after it. Of what is to be published,
    /// only what the log lacks is returned.
    pub(crate) fn start(&mut self, me: ValidatorId, time_ms: u64, log: &[LoggedBlock]) -> Vec<RotationEvent> {
        let Stage::Making(making) = &mut self.stage else { return Vec::new() };
        let mut first = making.start();
        first.extend(making.on_time(time_ms));
        let first = self.translate(first);
        let step = |time_ms, message: Option<&ordering_types::SystemMessage>| match message {
            None => self.on_time(time_ms),
            Some(message) => match LogPayload::decode(&message.payload) {
                Some(LogPayload::Ceremony(bytes)) => self.on_ceremony(time_ms, message.sender, bytes),
                _ => Vec::new(),
            },
        };
        replay(me, first, log, step, |event| match event {
            RotationEvent::Publish(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// The next block of the log begins.
    pub(crate) fn on_time(&mut self, time_ms: u64) -> Vec<RotationEvent> {
        let Stage::Making(making) = &mut self.stage else { return Vec::new() };
        let events = making.on_time(time_ms);
        self.translate(events)
    }

    /// The next ceremony message of the log.
    pub(crate) fn on_ceremony(
        &mut self,
        time_ms: u64,
        sender: ValidatorId,
        bytes: &[u8],
    ) -> Vec<RotationEvent> {
        let Stage::Making(making) = &mut self.stage else { return Vec::new() };
        let events = making.on_logged(time_ms, sender, bytes);
        self.translate(events)
    }

    /// What the new key has to sign, once there is one.
    pub(crate) const fn next(&self) -> Option<NextEpoch> {
        match self.stage {
            Stage::Made(key) => Some(NextEpoch { epoch: self.epoch, key, committee: self.committee }),
            Stage::Making(_) | Stage::Apart(_) => None,
        }
    }

    /// The new key signed its test.
    pub(crate) const fn tested(&mut self, test: GroupSignature) {
        self.test = Some(test);
    }

    /// It is in the log already.
    pub(crate) const fn has_voted(&mut self) {
        self.voted = true;
    }

    /// This validator's vote, once, if it has all that it takes.
    pub(crate) fn take_vote(&mut self) -> Option<Vec<u8>> {
        let (next, test) = (self.next()?, self.test?);
        (!std::mem::replace(&mut self.voted, true))
            .then(|| LogPayload::EpochVote(EpochVote { next, test }).encode())
    }

    /// Where it stands, in words.
    pub(crate) fn stage(&self) -> String {
        match &self.stage {
            Stage::Making(making) => making.stage(),
            Stage::Made(_) if self.test.is_none() => "waiting for the test of the new key".to_owned(),
            Stage::Made(_) if self.voted => "ready: waiting for the others' votes".to_owned(),
            Stage::Made(_) => "ready: waiting for the end of the epoch".to_owned(),
            Stage::Apart(why) => format!("apart: {why}"),
        }
    }

    fn translate(&mut self, from: Vec<MakingEvent>) -> Vec<RotationEvent> {
        let mut events = Vec::new();
        for event in from {
            match event {
                MakingEvent::Publish(bytes) => events.push(RotationEvent::Publish(bytes)),
                MakingEvent::Made(made) => {
                    self.stage = Stage::Made(made.key());
                    events.push(match made {
                        Made::Share(material) => RotationEvent::Share(material),
                        Made::Observed(key) => RotationEvent::Known(key),
                    });
                }
                MakingEvent::Fault { peer, what } => events.push(RotationEvent::Fault { peer, what }),
                MakingEvent::Failed(why) => self.stage = Stage::Apart(why),
            }
        }
        events
    }
}

#[cfg(test)]
mod tests;
