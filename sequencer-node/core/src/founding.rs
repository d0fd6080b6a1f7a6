//! Founding: the committee's first key, from the ordered log.
//!
//! 1. The founding validators play their parts of the key ceremony ([`crate::making`]). Up to f of them may be away or
//!    lie: who has not announced itself in time gets no share of this key, and who lies is left out of the next attempt.
//! 2. Who knows the key signs it for the contract (ECDSA, `initialise`) and says so in the log.
//! 3. The first n − f such votes for one key, in log order, are the founding: any batcher can carry them to L1.

use std::collections::BTreeMap;

use mpc::KeyMaterial;
use ordering_types::ChainSpec;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Epoch, GroupKey, SecretKey, Signature, ValidatorId};
use zeroize::Zeroizing;

use crate::StartError;
use crate::api::{self, LoggedBlock};
use crate::making::{Beginning, KeyMaking, Made, MakingEvent, Part, replay};
use crate::wire::LogPayload;

/// What founding asks for or reports.
#[derive(Debug)]
pub(crate) enum FoundingEvent {
    /// Say this to the committee through the log.
    Publish(Vec<u8>),
    /// This node holds its share.
    Share(Box<KeyMaterial>),
    /// A quorum signed the key for the contract.
    Founded(api::Founding),
    /// A member said what no honest member says.
    Fault { peer: ValidatorId, what: String },
    /// This node cannot take part in the ceremony.
    Failed(String),
}

/// The founding of one network, as one member sees it.
pub(crate) struct Founding {
    domain: Domain,
    committee: Committee,
    /// A founder has a key to sign with.
    me: ValidatorId,
    key: Option<SecretKey>,
    making: KeyMaking,
    votes: BTreeMap<GroupKey, BTreeMap<ValidatorId, Signature>>,
    done: bool,
}

/// The epoch of the first key.
pub(crate) const FOUNDING_EPOCH: Epoch = Epoch::new(0);

impl Founding {
    /// A founder's part; what it publishes first comes from [`Self::start`]. Who came later follows without a part.
    pub(crate) fn new(
        spec: &ChainSpec,
        me: ValidatorId,
        part: Option<(SecretKey, [u8; 32])>,
    ) -> Result<Self, StartError> {
        let (domain, committee) = (spec.domain(), spec.committee());
        let announce_ms = spec.ceremony.announce_ms.into();
        let (key, seed) = part.unzip();
        let part = seed.map(|seed| Part { me, seed: Zeroizing::new(seed), old: None });
        let making = KeyMaking::new(
            spec,
            FOUNDING_EPOCH,
            &committee,
            part,
            Beginning { announce_ms, ..Beginning::default() },
        )?;
        Ok(Self { domain, committee, me, key, making, votes: BTreeMap::new(), done: false })
    }

    /// Begins, from the blocks that the log already holds. Of what is to be published, only what the log lacks is returned.
    pub(crate) fn start(&mut self, log: &[LoggedBlock]) -> Vec<FoundingEvent> {
        let me = self.me;
        let first = self.making.start();
        let first = self.translate(first);
        let step = |time_ms, message: Option<&ordering_types::SystemMessage>| match message {
            None => self.on_time(time_ms),
            Some(message) => match LogPayload::decode(&message.payload) {
                Some(payload) => self.on_logged(time_ms, message.sender, &payload),
                None => Vec::new(),
            },
        };
        replay(me, first, log, step, |event| match event {
            FoundingEvent::Publish(bytes) => Some(bytes),
            _ => None,
        })
    }

    /// The next block of the log begins.
    pub(crate) fn on_time(&mut self, time_ms: u64) -> Vec<FoundingEvent> {
        if self.done {
            return Vec::new();
        }
        let events = self.making.on_time(time_ms);
        self.translate(events)
    }

    /// Takes the next system message of the log, in a block of this time.
    pub(crate) fn on_logged(
        &mut self,
        time_ms: u64,
        sender: ValidatorId,
        payload: &LogPayload<'_>,
    ) -> Vec<FoundingEvent> {
        match payload {
            _ if self.done => Vec::new(),
            LogPayload::Ceremony(bytes) => {
                let events = self.making.on_logged(time_ms, sender, bytes);
                self.translate(events)
            }
            LogPayload::FoundingVote { key, signature } => {
                self.on_vote(sender, *key, Signature::new(*signature))
            }
            LogPayload::EpochVote(_)
            | LogPayload::Handover { .. }
            | LogPayload::L1Report(_)
            | LogPayload::Registry(_)
            | LogPayload::Forced(_)
            | LogPayload::Ready { .. }
            | LogPayload::KeyData { .. } => Vec::new(),
        }
    }

    /// Where it stands, in words.
    pub(crate) fn stage(&self) -> String {
        if self.done { "founded".to_owned() } else { self.making.stage() }
    }

    fn translate(&self, from: Vec<MakingEvent>) -> Vec<FoundingEvent> {
        let mut events = Vec::new();
        for event in from {
            match event {
                MakingEvent::Publish(bytes) => events.push(FoundingEvent::Publish(bytes)),
                // Without a share it knows the key all the same.
                MakingEvent::Made(made) => {
                    let vote = self.vote(&made.key());
                    if let Made::Share(material) = made {
                        events.push(FoundingEvent::Share(material));
                    }
                    events.extend(vote.map(FoundingEvent::Publish));
                }
                MakingEvent::Fault { peer, what } => events.push(FoundingEvent::Fault { peer, what }),
                MakingEvent::Failed(why) => events.push(FoundingEvent::Failed(why)),
            }
        }
        events
    }

    fn vote(&self, key: &GroupKey) -> Option<Vec<u8>> {
        let (x, y) = key.coordinates();
        let signature = self.key.as_ref()?.sign(self.domain.initialise(FOUNDING_EPOCH, x, y));
        Some(LogPayload::FoundingVote { key: *key.as_bytes(), signature: *signature.as_bytes() }.encode())
    }

    fn on_vote(&mut self, sender: ValidatorId, key: [u8; 33], signature: Signature) -> Vec<FoundingEvent> {
        let fault = |what: &str| vec![FoundingEvent::Fault { peer: sender, what: what.to_owned() }];
        let Ok(group) = GroupKey::from_bytes(key) else { return fault("a founding vote for no key") };
        let (x, y) = group.coordinates();
        let digest = self.domain.initialise(FOUNDING_EPOCH, x, y);
        // One that the contract refuses would spoil all the others'.
        if !self.committee.key(sender).is_some_and(|k| k.verify_as_l1(digest, &signature)) {
            return fault("a founding vote with a bad signature");
        }
        // One vote each: a liar who signs many keys only fills its own place.
        if self.votes.values().any(|votes| votes.contains_key(&sender)) {
            return Vec::new();
        }
        let votes = self.votes.entry(group).or_default();
        votes.insert(sender, signature);
        if votes.len() < self.committee.quorum() {
            return Vec::new();
        }
        self.done = true;
        vec![FoundingEvent::Founded(api::Founding { key: group, signatures: votes.clone() })]
    }
}

#[cfg(test)]
mod tests;
