//! Founding: the committee's first key, from the ordered log.
//!
//! 1. The founding validators play their parts of the key ceremony; its messages are system messages of the log. Up to f of them may be away or
//!    lie: who has not announced itself in time gets no share of this key, and who lies is left out of the next attempt.
//! 2. Who knows the key signs it for the contract (ECDSA, `initialise`) and says so in the log.
//! 3. The first n − f such votes for one key, in log order, are the founding: any batcher can carry them to L1.
//!
//! Everything follows from the log and one secret seed, so a restarted node replays both and is where it was. Nothing
//! that is in the log already is said again.

use std::collections::{BTreeMap, BTreeSet};

use mpc::ceremony::{
    Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Failure, Patience, Setup, Status, ceremony_of,
};
use mpc::{KeyMaterial, MemberId};
use ordering_types::ChainSpec;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{Epoch, GroupKey, SecretKey, Signature, ValidatorId};
use zeroize::Zeroizing;

use crate::StartError;
use crate::api::{self, LoggedBlock};
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
    patience: Patience,
    me: ValidatorId,
    key: SecretKey,
    seed: Zeroizing<[u8; 32]>,
    ceremony: Ceremony,
    /// Why the attempt before this one had no key.
    last_failure: Option<String>,
    votes: BTreeMap<GroupKey, BTreeMap<ValidatorId, Signature>>,
    done: bool,
}

/// The epoch of the first key; there is no other yet.
pub(crate) const FOUNDING_EPOCH: Epoch = Epoch::new(0);

impl Founding {
    /// A member's part; what it publishes first comes from [`Self::start`].
    pub(crate) fn new(
        spec: &ChainSpec,
        me: ValidatorId,
        key: SecretKey,
        seed: [u8; 32],
    ) -> Result<Self, StartError> {
        let seed = Zeroizing::new(seed);
        let (domain, committee, patience) = (spec.domain(), spec.committee(), patience(spec));
        let members = committee.ids().filter_map(|v| MemberId::new(v.get())).collect();
        let member = MemberId::new(me.get()).ok_or(StartError::NotAMember(me))?;
        let setup = setup(&domain, &committee, 0, members, patience);
        let ceremony = Ceremony::new(&setup, member, CeremonySeed::new(*seed), None)
            .map_err(|e| StartError::Ceremony(e.to_string()))?;
        let votes = BTreeMap::new();
        Ok(Self {
            domain,
            committee,
            patience,
            me,
            key,
            seed,
            ceremony,
            last_failure: None,
            votes,
            done: false,
        })
    }

    /// Begins, from the blocks that the log already holds. Of what is to be published, only what the log lacks is returned.
    pub(crate) fn start(&mut self, log: &[LoggedBlock]) -> Vec<FoundingEvent> {
        let mut said = BTreeSet::new();
        let first = self.ceremony.start();
        let mut events = self.translate(0, first);
        for LoggedBlock { time_ms, messages } in log {
            events.extend(self.on_time(*time_ms));
            for message in messages {
                if message.sender == self.me {
                    said.insert(message.payload.clone());
                }
                events.extend(self.on_logged(*time_ms, message.sender, &message.payload));
            }
        }
        events.retain(|event| !matches!(event, FoundingEvent::Publish(bytes) if said.contains(bytes)));
        events
    }

    /// The next block of the log begins.
    pub(crate) fn on_time(&mut self, time_ms: u64) -> Vec<FoundingEvent> {
        if self.done {
            return Vec::new();
        }
        let events = self.ceremony.on_time(time_ms);
        self.translate(time_ms, events)
    }

    /// Takes the next system message of the log, in a block of this time.
    pub(crate) fn on_logged(
        &mut self,
        time_ms: u64,
        sender: ValidatorId,
        payload: &[u8],
    ) -> Vec<FoundingEvent> {
        if self.done {
            return Vec::new();
        }
        match LogPayload::decode(payload) {
            Some(LogPayload::Ceremony(bytes)) => match MemberId::new(sender.get()) {
                Some(_) if self.is_past(bytes) => Vec::new(),
                Some(member) => {
                    let events = self.ceremony.on_logged(time_ms, member, bytes);
                    self.translate(time_ms, events)
                }
                None => Vec::new(),
            },
            Some(LogPayload::FoundingVote { key, signature }) => {
                self.on_vote(sender, key, Signature::new(signature))
            }
            None => vec![FoundingEvent::Fault { peer: sender, what: "an unknown system message".to_owned() }],
        }
    }

    /// Of an attempt that has failed since: late, which is no fault.
    fn is_past(&self, payload: &[u8]) -> bool {
        let now = self.ceremony.id();
        ceremony_of(payload)
            .is_ok_and(|id| id.attempt < now.attempt && CeremonyId { attempt: now.attempt, ..id } == now)
    }

    /// Where the ceremony stands, in words.
    pub(crate) fn stage(&self) -> String {
        if self.done {
            return "founded".to_owned();
        }
        let missing = |who: BTreeSet<MemberId>| {
            who.iter().map(|m| m.number().to_string()).collect::<Vec<_>>().join(", ")
        };
        let stage = match self.ceremony.status() {
            Status::Announcing(who) => format!("waiting for encryption keys of {}", missing(who)),
            Status::Dealing(who) => format!("waiting for dealings of {}", missing(who)),
            Status::Acknowledging(who) => format!("waiting for acknowledgements of {}", missing(who)),
            Status::Completed => "waiting for signatures of the key".to_owned(),
            Status::Failed(why) => format!("failed: {why}"),
        };
        match (&self.last_failure, self.ceremony.id().attempt) {
            (Some(why), attempt) => format!("attempt {}, {stage} (the last failed: {why})", attempt + 1),
            (None, _) => stage,
        }
    }

    fn translate(&mut self, time_ms: u64, from: Vec<Event>) -> Vec<FoundingEvent> {
        let mut events = Vec::new();
        for event in from {
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
                // Without a share it knows the key all the same.
                Event::Observed(public) => events.push(FoundingEvent::Publish(self.vote(public.key()))),
                Event::Failed(why @ Failure::ForeignSeed) => {
                    events.push(FoundingEvent::Failed(why.to_string()));
                }
                Event::Failed(why) => events.extend(self.try_again(time_ms, &why)),
            }
        }
        events
    }

    /// Without those who were convicted, if enough are left; else with nobody. From this block on: if the log stood still for long, all have the
    /// whole time again.
    fn try_again(&mut self, time_ms: u64, why: &Failure) -> Vec<FoundingEvent> {
        self.last_failure = Some(why.to_string());
        let attempt = self.ceremony.id().attempt + 1;
        let convicted = self.ceremony.convicted();
        let members = self.ceremony.members().iter().filter(|m| !convicted.contains(m)).copied().collect();
        let setup = setup(&self.domain, &self.committee, attempt, members, self.patience);
        let own = MemberId::new(self.me.get()).filter(|me| setup.members.contains(me));
        let next = match own {
            Some(me) => Ceremony::new(&setup, me, CeremonySeed::new(*self.seed), None),
            None => Ceremony::observer(&setup),
        };
        match next {
            Ok(next) => {
                self.ceremony = next;
                let mut events = self.ceremony.start();
                events.extend(self.ceremony.on_time(time_ms));
                self.translate(time_ms, events)
            }
            Err(error) => {
                vec![FoundingEvent::Failed(format!("{why}; and no other attempt can be made: {error}"))]
            }
        }
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

fn patience(spec: &ChainSpec) -> Patience {
    let agreed = spec.ceremony;
    Patience {
        announce: agreed.announce_ms.into(),
        acknowledge: agreed.acknowledge_ms.into(),
        attempt: agreed.attempt_ms.into(),
    }
}

fn setup(
    domain: &Domain,
    committee: &Committee,
    attempt: u32,
    members: BTreeSet<MemberId>,
    patience: Patience,
) -> Setup {
    let id = CeremonyId {
        l1_chain_id: domain.l1_chain_id,
        contract: *domain.inbox.as_bytes(),
        epoch: FOUNDING_EPOCH.get(),
        kind: CeremonyKind::Fresh,
        attempt,
    };
    let threshold = u16::try_from(committee.threshold()).expect("a committee has at most 100 members");
    Setup { id, members, threshold, old: None, patience }
}

#[cfg(test)]
mod tests;
