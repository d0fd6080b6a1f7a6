//! Founding: the committee's first key, from the ordered log.
//!
//! 1. Every founding validator plays its part of the key ceremony; its messages are system messages of the log.
//! 2. Who holds its share signs the key for the contract (ECDSA, `initialise`) and says so in the log.
//! 3. The first n − f such votes for one key, in log order, are the founding: any batcher can carry them to L1.
//!
//! Everything follows from the log and one secret seed, so a restarted node replays both and is where it was. Nothing
//! that is in the log already is said again.

use std::collections::{BTreeMap, BTreeSet};

use mpc::ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Status};
use mpc::{KeyMaterial, MemberId};
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Epoch, GroupKey, SecretKey, Signature, ValidatorId};

use crate::StartError;
use crate::api;
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
    /// The ceremony cannot complete.
    Failed(String),
}

/// The founding of one network, as one member sees it.
pub(crate) struct Founding {
    domain: Domain,
    committee: Committee,
    me: ValidatorId,
    key: SecretKey,
    ceremony: Ceremony,
    votes: BTreeMap<GroupKey, BTreeMap<ValidatorId, Signature>>,
    done: bool,
}

/// The epoch of the first key; there is no other yet.
pub(crate) const FOUNDING_EPOCH: Epoch = Epoch::new(0);

impl Founding {
    /// A member's part; what it publishes first comes from [`Self::start`].
    pub(crate) fn new(
        domain: Domain,
        committee: Committee,
        me: ValidatorId,
        key: SecretKey,
        seed: [u8; 32],
    ) -> Result<Self, StartError> {
        let id = CeremonyId {
            l1_chain_id: domain.l1_chain_id,
            contract: *domain.inbox.as_bytes(),
            epoch: FOUNDING_EPOCH.get(),
            kind: CeremonyKind::Fresh,
            attempt: 0,
        };
        let members: BTreeSet<MemberId> = committee.ids().filter_map(|v| MemberId::new(v.get())).collect();
        let threshold = u16::try_from(committee.threshold()).expect("a committee has at most 100 members");
        let member = MemberId::new(me.get()).ok_or(StartError::NotAMember(me))?;
        let ceremony = Ceremony::new(id, members, threshold, member, CeremonySeed::new(seed))
            .map_err(|e| StartError::Ceremony(e.to_string()))?;
        Ok(Self { domain, committee, me, key, ceremony, votes: BTreeMap::new(), done: false })
    }

    /// Begins, from the system messages that the log already holds. Of what is to be published, only what the log
    /// lacks is returned.
    pub(crate) fn start<'a>(
        &mut self,
        log: impl IntoIterator<Item = (ValidatorId, &'a [u8])>,
    ) -> Vec<FoundingEvent> {
        let mut said = BTreeSet::new();
        let mut events = self.translate(|ceremony| ceremony.start());
        for (sender, payload) in log {
            if sender == self.me {
                said.insert(payload.to_vec());
            }
            events.extend(self.on_logged(sender, payload));
        }
        events.retain(|event| !matches!(event, FoundingEvent::Publish(bytes) if said.contains(bytes)));
        events
    }

    /// Takes the next system message of the log.
    pub(crate) fn on_logged(&mut self, sender: ValidatorId, payload: &[u8]) -> Vec<FoundingEvent> {
        if self.done {
            return Vec::new();
        }
        match LogPayload::decode(payload) {
            Some(LogPayload::Ceremony(bytes)) => match MemberId::new(sender.get()) {
                Some(member) => self.translate(|ceremony| ceremony.on_logged(member, bytes)),
                None => Vec::new(),
            },
            Some(LogPayload::FoundingVote { key, signature }) => {
                self.on_vote(sender, key, Signature::new(signature))
            }
            None => vec![FoundingEvent::Fault { peer: sender, what: "an unknown system message".to_owned() }],
        }
    }

    /// Where the ceremony stands, in words.
    pub(crate) fn stage(&self) -> String {
        if self.done {
            return "founded".to_owned();
        }
        let missing = |who: BTreeSet<MemberId>| {
            who.iter().map(|m| m.number().to_string()).collect::<Vec<_>>().join(", ")
        };
        match self.ceremony.status() {
            Status::Announcing(who) => format!("waiting for encryption keys of {}", missing(who)),
            Status::Dealing(who) => format!("waiting for dealings of {}", missing(who)),
            Status::Acknowledging(who) => format!("waiting for acknowledgements of {}", missing(who)),
            Status::Completed => "waiting for signatures of the key".to_owned(),
            Status::Failed(why) => format!("failed: {why}"),
        }
    }

    fn translate(&mut self, step: impl FnOnce(&mut Ceremony) -> Vec<Event>) -> Vec<FoundingEvent> {
        let mut events = Vec::new();
        for event in step(&mut self.ceremony) {
            match event {
                Event::Publish(bytes) => {
                    events.push(FoundingEvent::Publish(LogPayload::Ceremony(&bytes).encode()));
                }
                Event::Fault(fault) => events.push(FoundingEvent::Fault {
                    peer: ValidatorId::new(fault.culprit.number()),
                    what: fault.to_string(),
                }),
                Event::Completed(material) => {
                    let vote = self.vote(material.public().key());
                    events.push(FoundingEvent::Share(material));
                    events.push(FoundingEvent::Publish(vote));
                }
                Event::Observed(_) => {}
                Event::Failed(why) => events.push(FoundingEvent::Failed(why.to_string())),
            }
        }
        events
    }

    fn vote(&self, key: [u8; 33]) -> Vec<u8> {
        let (x, y) = GroupKey::from_bytes(key).expect("a completed ceremony makes a point").coordinates();
        let signature = self.key.sign(self.domain.initialise(FOUNDING_EPOCH, x, y));
        LogPayload::FoundingVote { key, signature: *signature.as_bytes() }.encode()
    }

    fn on_vote(&mut self, sender: ValidatorId, key: [u8; 33], signature: Signature) -> Vec<FoundingEvent> {
        let fault = |what: &str| vec![FoundingEvent::Fault { peer: sender, what: what.to_owned() }];
        let Ok(group) = GroupKey::from_bytes(key) else { return fault("a founding vote for no key") };
        let (x, y) = group.coordinates();
        let digest = self.domain.initialise(FOUNDING_EPOCH, x, y);
        if !self.committee.key(sender).is_some_and(|k| k.verify(digest, &signature)) {
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
