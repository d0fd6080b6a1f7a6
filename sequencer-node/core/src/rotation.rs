//! Rotation: the next epoch, from the making of its key to this validator's word that it may begin.
//!
//! # Rules
//! 1. In the last part of an epoch the members of the next make a fresh key ([`crate::making`]), in ceremonies that begin after a block that all agree on.
//!    The present members follow them, whether they are among those or not.
//! 2. Who has a share of the key has it sign a test: a key that nobody can use is none. The others take the test from the first vote.
//! 3. Once the epoch is due, who knows the key and its test says so in the log, with the test for everybody to check. What a quorum says
//!    ends the epoch: see [`ordering::epoch`].
//! 4. A key that is made and due, and not taken into use in the time that the genesis file gives for acknowledgements, is given up (too many of
//!    its holders may be gone): the next attempt begins, by the times of blocks, so for all at the same place. Votes for the old key may still be on
//!    their way, so its shares are kept until the epoch ends.
//! 5. What more than f say is proven, so who missed the ceremony, or gave the key up, says the same.

use mpc::KeyMaterial;
use ordering_types::{Epoch, EpochVote, GroupSignature, NextEpoch, SharedKey, ValidatorId};

use crate::api::{LoggedBlock, Members};
use crate::making::{KeyMaking, Made, MakingEvent, replay};
use crate::wire::LogPayload;

/// What rotation asks for or reports.
#[derive(Debug)]
pub(crate) enum RotationEvent {
    /// Say this to the committee through the log.
    Publish(Vec<u8>),
    /// This node holds its share of a key that may be next, of this sharing of it.
    Share(u32, Box<KeyMaterial>),
    /// There is a key that may be next, without a share for this node.
    Known(SharedKey),
    /// A member said what no honest member says.
    Fault { peer: ValidatorId, what: String },
}

/// A key that may be next.
struct Candidate {
    key: SharedKey,
    test: Option<GroupSignature>,
    /// Since when it is known, by the times of blocks.
    made_ms: u64,
}

/// The next epoch, as far as this node has prepared it.
pub(crate) struct Rotation {
    epoch: Epoch,
    members: Members,
    /// None if this node takes no part.
    making: Option<KeyMaking>,
    /// Why it takes none.
    apart: Option<String>,
    candidate: Option<Candidate>,
    /// What more than f others vote for.
    backed: Option<EpochVote>,
    /// Since when the present epoch may end.
    due_ms: Option<u64>,
    patience_ms: u64,
    /// What this validator voted for last.
    voted: Option<SharedKey>,
}

impl Rotation {
    /// The ceremony is about to begin.
    pub(crate) fn making(epoch: Epoch, members: Members, making: KeyMaking, patience_ms: u64) -> Self {
        Self { making: Some(making), patience_ms, ..Self::apart(epoch, members, None) }
    }

    /// Another ceremony is about to begin in the same epoch.
    pub(crate) fn again(self, members: Members, making: KeyMaking, patience_ms: u64) -> Self {
        let Self { epoch, due_ms, voted, backed, .. } = self;
        let backed = backed.filter(|vote| vote.next.committee == members.hash());
        Self { due_ms, voted, backed, ..Self::making(epoch, members, making, patience_ms) }
    }

    /// This node does not know how the ceremony began.
    pub(crate) fn missed(epoch: Epoch, members: Members) -> Self {
        let why = "this node went on from a checkpoint after the ceremony had begun";
        Self::apart(epoch, members, Some(why.to_owned()))
    }

    const fn apart(epoch: Epoch, members: Members, apart: Option<String>) -> Self {
        Self {
            epoch,
            members,
            making: None,
            apart,
            candidate: None,
            backed: None,
            due_ms: None,
            patience_ms: 0,
            voted: None,
        }
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who makes the key.
    pub(crate) const fn members(&self) -> &Members {
        &self.members
    }

    /// Whether this is the key that is known here, and its test is not.
    pub(crate) fn lacks_test_of(&self, vote: &EpochVote) -> bool {
        self.to_test().is_some_and(|to_test| to_test == (vote.next, vote.sharing))
    }

    /// The present epoch may end since a block of this time.
    pub(crate) const fn due(&mut self, time_ms: u64) {
        self.due_ms = Some(time_ms);
    }

    /// What the log has of this validator's votes.
    pub(crate) const fn has_voted(&mut self, key: SharedKey) {
        self.voted = Some(key);
    }

    /// More than f validators vote for this.
    pub(crate) const fn back(&mut self, vote: EpochVote) {
        self.backed = Some(vote);
    }

    /// Begins after a block of this time, and replays the blocks that the log already holds after it. Of what is to be published,
    /// only what the log lacks is returned.
    pub(crate) fn start(&mut self, me: ValidatorId, time_ms: u64, log: &[LoggedBlock]) -> Vec<RotationEvent> {
        let Some(making) = &mut self.making else { return Vec::new() };
        let mut first = making.start();
        first.extend(making.on_time(time_ms));
        let first = self.translate(time_ms, first);
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
        let given_up = self.is_given_up(time_ms);
        let Some(making) = &mut self.making else { return Vec::new() };
        let events = if given_up {
            self.candidate = None;
            making.again(time_ms, "its key was not taken into use in time")
        } else {
            making.on_time(time_ms)
        };
        self.translate(time_ms, events)
    }

    /// Rule 4. Each attempt has as long again as the one before: on long ways the first may be too short for a test and votes.
    fn is_given_up(&self, time_ms: u64) -> bool {
        let since = self.candidate.as_ref().map(|candidate| candidate.made_ms).zip(self.due_ms);
        let tries = self.making.as_ref().map_or(0, KeyMaking::tries);
        let patience_ms = self.patience_ms.saturating_mul(tries);
        since.is_some_and(|(made, due)| time_ms >= made.max(due).saturating_add(patience_ms))
    }

    /// The next ceremony message of the log.
    pub(crate) fn on_ceremony(
        &mut self,
        time_ms: u64,
        sender: ValidatorId,
        bytes: &[u8],
    ) -> Vec<RotationEvent> {
        let Some(making) = &mut self.making else { return Vec::new() };
        let events = making.on_logged(time_ms, sender, bytes);
        self.translate(time_ms, events)
    }

    /// What a new key has to sign, once there is one, and which sharing of it.
    pub(crate) fn to_test(&self) -> Option<(NextEpoch, u32)> {
        let candidate = self.candidate.as_ref().filter(|candidate| candidate.test.is_none())?;
        let SharedKey { key, sharing } = candidate.key;
        Some((NextEpoch { epoch: self.epoch, key, committee: self.members.hash() }, sharing))
    }

    /// This key signed its test.
    pub(crate) fn tested(&mut self, key: SharedKey, test: GroupSignature) {
        if let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.key == key) {
            candidate.test = Some(test);
        }
    }

    /// This validator's vote, if it has one to cast now.
    pub(crate) fn take_vote(&mut self) -> Option<Vec<u8>> {
        self.due_ms?;
        let vote = self.backed.or_else(|| self.own_vote())?;
        if self.voted == Some(vote.shared_key()) {
            return None;
        }
        self.voted = Some(vote.shared_key());
        Some(LogPayload::EpochVote(vote).encode())
    }

    fn own_vote(&self) -> Option<EpochVote> {
        let Candidate { key, test, .. } = self.candidate.as_ref()?;
        let next = NextEpoch { epoch: self.epoch, key: key.key, committee: self.members.hash() };
        Some(EpochVote { next, sharing: key.sharing, test: (*test)? })
    }

    /// Where it stands, in words.
    pub(crate) fn stage(&self) -> String {
        match (&self.candidate, &self.making, &self.apart) {
            (Some(candidate), ..) if self.voted == Some(candidate.key) => {
                "ready: waiting for the others' votes".to_owned()
            }
            (Some(Candidate { test: Some(_), .. }), ..) => {
                "ready: waiting for the end of the epoch".to_owned()
            }
            (Some(_), ..) => "waiting for the test of the new key".to_owned(),
            (None, Some(making), _) => making.stage(),
            (None, None, why) => format!("apart: {}", why.as_deref().unwrap_or("no part in it")),
        }
    }

    fn translate(&mut self, time_ms: u64, from: Vec<MakingEvent>) -> Vec<RotationEvent> {
        let mut events = Vec::new();
        for event in from {
            match event {
                MakingEvent::Publish(bytes) => events.push(RotationEvent::Publish(bytes)),
                MakingEvent::Made(made) => {
                    let sharing = self.making.as_ref().map_or(0, KeyMaking::sharing);
                    let key = SharedKey { key: made.key(), sharing };
                    self.candidate = Some(Candidate { key, test: None, made_ms: time_ms });
                    events.push(match made {
                        Made::Share(material) => RotationEvent::Share(sharing, material),
                        Made::Observed(_) => RotationEvent::Known(key),
                    });
                }
                MakingEvent::Fault { peer, what } => events.push(RotationEvent::Fault { peer, what }),
                MakingEvent::Failed(why) => (self.making, self.apart) = (None, Some(why)),
            }
        }
        events
    }
}

#[cfg(test)]
mod tests;
