//! The making of one epoch's key, as one validator sees it: attempt after attempt from the ordered log, each without those whom the one
//! before convicted, until there is a key.
//!
//! Everything follows from the log and one secret seed, so a restarted node replays both and is where it was. Nothing that is in the log
//! already is said again.

use std::collections::{BTreeMap, BTreeSet};

use mpc::ceremony::{
    Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Failure, Patience, Setup, SetupError, Status,
    ceremony_of,
};
use mpc::{GroupPublic, KeyMaterial, KeyShare, MemberId};
use ordering_types::chain_spec::Committee;
use ordering_types::cut::SystemMessage;
use ordering_types::preimage::Domain;
use ordering_types::{ChainSpec, Epoch, GroupKey, ValidatorId};
use zeroize::Zeroizing;

use crate::StartError;
use crate::api::LoggedBlock;
use crate::wire::LogPayload;

/// What the making asks for or reports.
#[derive(Debug)]
pub(crate) enum MakingEvent {
    /// Say this to the committee through the log.
    Publish(Vec<u8>),
    /// There is a key.
    Made(Made),
    /// A member said what no honest member says.
    Fault { peer: ValidatorId, what: String },
    /// This node cannot take part.
    Failed(String),
}

/// The key, as this node has it.
#[derive(Debug)]
pub(crate) enum Made {
    /// With its share of it.
    Share(Box<KeyMaterial>),
    /// Without.
    Observed(GroupKey),
}

impl Made {
    pub(crate) fn key(&self) -> GroupKey {
        match self {
            Self::Share(material) => group_key(&material.public().key()),
            Self::Observed(key) => *key,
        }
    }
}

fn group_key(bytes: &[u8; 33]) -> GroupKey {
    GroupKey::from_bytes(*bytes).expect("a completed ceremony makes a point")
}

/// One validator's part in them.
pub(crate) struct Part {
    /// Who it is.
    pub(crate) me: ValidatorId,
    /// Seed of its secrets.
    pub(crate) seed: Zeroizing<[u8; 32]>,
    /// Its share of the key that is shared anew.
    pub(crate) old: Option<KeyShare>,
}

/// How the ceremonies for one epoch's key begin.
#[derive(Default)]
pub(crate) struct Beginning {
    /// So many were begun for this key before.
    pub(crate) nth: u16,
    /// In the first attempt, who has not announced itself is waited for so long; in others, as long as the genesis file says.
    pub(crate) announce_ms: u64,
    /// What was announced before.
    pub(crate) announced: BTreeMap<ValidatorId, Vec<u8>>,
    /// The key that is shared anew; none if they make another.
    pub(crate) old: Option<GroupPublic>,
}

/// What a member of the ceremonies for this epoch's key says before they begin.
pub(crate) fn announcement(domain: &Domain, epoch: Epoch, (me, seed): (ValidatorId, &[u8; 32])) -> Vec<u8> {
    let member = MemberId::new(me.get()).expect("a validator's number is not zero");
    mpc::ceremony::announcement(
        ceremony_id(domain, epoch, CeremonyKind::Fresh, 0),
        member,
        &CeremonySeed::new(*seed),
    )
}

/// The ceremonies for one epoch's key.
pub(crate) struct KeyMaking {
    threshold: u16,
    patience: Patience,
    /// None for who only follows.
    part: Option<Part>,
    announced: BTreeMap<MemberId, Vec<u8>>,
    old: Option<GroupPublic>,
    ceremony: Ceremony,
    /// Why the attempt before this one had no key.
    last_failure: Option<String>,
}

impl KeyMaking {
    /// What it publishes first comes from [`Self::start`]. Who is no member of `committee` follows without a seed.
    pub(crate) fn new(
        spec: &ChainSpec,
        epoch: Epoch,
        committee: &Committee,
        part: Option<Part>,
        beginning: Beginning,
    ) -> Result<Self, StartError> {
        let Beginning { nth, announce_ms, announced, old } = beginning;
        let (domain, patience) = (spec.domain(), patience(spec));
        let threshold = u16::try_from(committee.threshold()).expect("a committee has at most 100 members");
        let members = committee.ids().filter_map(|v| MemberId::new(v.get())).collect();
        let id = ceremony_id(&domain, epoch, kind_of(old.as_ref()), u32::from(nth) << 16);
        let first = Patience {
            announce: announce_ms,
            attempt: patience.attempt.saturating_add(announce_ms.saturating_sub(patience.announce)),
            ..patience
        };
        let of_member = |(id, bytes): (ValidatorId, Vec<u8>)| Some((MemberId::new(id.get())?, bytes));
        let announced: BTreeMap<_, _> = announced.into_iter().filter_map(of_member).collect();
        let setup =
            Setup { id, members, threshold, old: old.clone(), announced: announced.clone(), patience: first };
        let ceremony = begin(&setup, part.as_ref()).map_err(|e| StartError::Ceremony(e.to_string()))?;
        Ok(Self { threshold, patience, part, announced, old, ceremony, last_failure: None })
    }

    /// What to say first. It begins with the first block that [`Self::on_time`] hears of.
    pub(crate) fn start(&mut self) -> Vec<MakingEvent> {
        let first = self.ceremony.start();
        self.translate(0, first)
    }

    /// The next block of the log begins.
    pub(crate) fn on_time(&mut self, time_ms: u64) -> Vec<MakingEvent> {
        let events = self.ceremony.on_time(time_ms);
        self.translate(time_ms, events)
    }

    /// Takes the next ceremony message of the log, in a block of this time.
    pub(crate) fn on_logged(&mut self, time_ms: u64, sender: ValidatorId, bytes: &[u8]) -> Vec<MakingEvent> {
        let Some(member) = MemberId::new(sender.get()).filter(|_| !self.is_other(bytes)) else {
            return Vec::new();
        };
        let events = self.ceremony.on_logged(time_ms, member, bytes);
        self.translate(time_ms, events)
    }

    /// Of another epoch's key, or of an attempt that is over: late, or not for us, which is no fault.
    fn is_other(&self, payload: &[u8]) -> bool {
        let now = self.ceremony.id();
        ceremony_of(payload).is_ok_and(|id| {
            let here = CeremonyId { attempt: now.attempt, epoch: now.epoch, kind: now.kind, ..id };
            here == now && (id.epoch != now.epoch || id.attempt < now.attempt)
        })
    }

    /// How many attempts this ceremony took so far.
    pub(crate) fn tries(&self) -> u64 {
        u64::from(self.ceremony.id().attempt & 0xffff) + 1
    }

    /// Names what the present ceremony shares, if that is a key that is kept: [`ordering_types::SharedKey::sharing`].
    pub(crate) fn sharing(&self) -> u32 {
        self.old.as_ref().map_or(0, |_| self.ceremony.id().attempt + 1)
    }

    /// Where it stands, in words.
    pub(crate) fn stage(&self) -> String {
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
            (Some(why), attempt) => {
                format!("attempt {}, {stage} (the last failed: {why})", (attempt & 0xffff) + 1)
            }
            (None, _) => stage,
        }
    }

    fn translate(&mut self, time_ms: u64, from: Vec<Event>) -> Vec<MakingEvent> {
        let mut events = Vec::new();
        for event in from {
            match event {
                Event::Publish(bytes) => {
                    events.push(MakingEvent::Publish(LogPayload::Ceremony(&bytes).encode()));
                }
                Event::Fault(fault) => events.push(MakingEvent::Fault {
                    peer: ValidatorId::new(fault.culprit.number()),
                    what: fault.to_string(),
                }),
                Event::Completed(material) => events.push(MakingEvent::Made(Made::Share(material))),
                Event::Observed(public) => {
                    events.push(MakingEvent::Made(Made::Observed(group_key(&public.key()))));
                }
                Event::Failed(why @ Failure::ForeignSeed) => {
                    events.push(MakingEvent::Failed(why.to_string()));
                }
                Event::Failed(why) => events.extend(self.again(time_ms, &why.to_string())),
            }
        }
        events
    }

    /// The next attempt, without those who were convicted, if enough are left; else with nobody. From this block on: if the log stood still for
    /// long, all have the whole time again.
    pub(crate) fn again(&mut self, time_ms: u64, why: &str) -> Vec<MakingEvent> {
        self.last_failure = Some(why.to_owned());
        let before = self.ceremony.id();
        let id = CeremonyId { attempt: before.attempt + 1, ..before };
        let convicted = self.ceremony.convicted();
        let members: BTreeSet<_> =
            self.ceremony.members().iter().filter(|m| !convicted.contains(m)).copied().collect();
        let setup = Setup {
            id,
            members,
            threshold: self.threshold,
            old: self.old.clone(),
            announced: self.announced.clone(),
            patience: self.patience,
        };
        match begin(&setup, self.part.as_ref()) {
            Ok(next) => {
                self.ceremony = next;
                let mut events = self.start();
                events.extend(self.on_time(time_ms));
                events
            }
            Err(error) => {
                vec![MakingEvent::Failed(format!("{why}; and no other attempt can be made: {error}"))]
            }
        }
    }
}

/// Replays blocks through a machine and leaves out what its node has said in them already. `first` are the events of its start.
pub(crate) fn replay<E>(
    me: ValidatorId,
    first: Vec<E>,
    log: &[LoggedBlock],
    mut step: impl FnMut(u64, Option<&SystemMessage>) -> Vec<E>,
    published: impl Fn(&E) -> Option<&Vec<u8>>,
) -> Vec<E> {
    let mut said = BTreeSet::new();
    let mut events = first;
    for LoggedBlock { time_ms, messages, .. } in log {
        events.extend(step(*time_ms, None));
        for message in messages {
            if message.sender == me {
                said.insert(message.payload.clone());
            }
            events.extend(step(*time_ms, Some(message)));
        }
    }
    events.retain(|event| published(event).is_none_or(|bytes| !said.contains(bytes)));
    events
}

/// Who is to hold no share, and has none to deal, follows.
fn begin(setup: &Setup, part: Option<&Part>) -> Result<Ceremony, SetupError> {
    let me = part.and_then(|part| Some((MemberId::new(part.me.get())?, part)));
    match me {
        Some((me, Part { seed, old, .. })) if setup.members.contains(&me) || old.is_some() => {
            Ceremony::new(setup, me, CeremonySeed::new(**seed), old.as_ref())
        }
        _ => Ceremony::observer(setup),
    }
}

const fn kind_of(old: Option<&GroupPublic>) -> CeremonyKind {
    match old {
        Some(_) => CeremonyKind::Reshare,
        None => CeremonyKind::Fresh,
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

fn ceremony_id(domain: &Domain, epoch: Epoch, kind: CeremonyKind, attempt: u32) -> CeremonyId {
    CeremonyId {
        l1_chain_id: domain.l1_chain_id,
        contract: *domain.inbox.as_bytes(),
        epoch: epoch.get(),
        kind,
        attempt,
    }
}
