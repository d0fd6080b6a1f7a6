//! The ceremony as a machine over the ordered log.

use std::collections::{BTreeMap, BTreeSet};

use k256::ProjectivePoint;

use super::ack;
use super::announce;
use super::candidate::Candidate;
use super::complaint::{self, Case, Verdict};
use super::context::Context;
use super::dealing::Dealing;
use super::fault::{Failure, Fault, FaultKind, SetupError};
use super::id::CeremonyId;
use super::participant::Participant;
use super::payload::{Envelope, MAX_PAYLOAD, Step, wrap};
use super::seed::CeremonySeed;
use super::setup::{Patience, Setup};
use crate::keys::{GroupPublic, KeyMaterial, KeyShare};
use crate::member::MemberId;

/// What a ceremony asks for or reports, in order.
#[derive(Debug)]
pub enum Event {
    /// Put these bytes into the log under this node's name. Emitted again after a replay: putting the same bytes in twice
    /// is harmless.
    Publish(Vec<u8>),
    /// A member's message was refused, or convicted another. What the log holds proves it.
    Fault(Fault),
    /// There is a key; here is this node's share of it.
    Completed(Box<KeyMaterial>),
    /// There is a key, of which this node has no share: it is no member, announced too late, or was dealt none that is any good.
    Observed(Box<GroupPublic>),
    /// This attempt cannot complete; start the next one under its own id.
    Failed(Failure),
}

/// How far a ceremony is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Encryption keys are missing from these members.
    Announcing(BTreeSet<MemberId>),
    /// There are too few dealings for a key; these may still deal.
    Dealing(BTreeSet<MemberId>),
    /// Acknowledgements are missing from these members.
    Acknowledging(BTreeSet<MemberId>),
    /// Done.
    Completed,
    /// Over without a key.
    Failed(Failure),
}

/// One node's part in one ceremony, or that of one who only follows. See the [module documentation](super).
pub struct Ceremony {
    context: Context,
    patience: Patience,
    participant: Option<Participant>,
    /// What was announced before; taken in by the start.
    announced: BTreeMap<MemberId, Vec<u8>>,
    stage: Stage,
    /// The first time of the log that it was given.
    begun: Option<u64>,
    /// The newest.
    time: Option<u64>,
    /// Since when a quorum has said what this step waits for.
    quorum_since: Option<u64>,
    /// Which members have used their one announcement and their one dealing.
    spoken: BTreeSet<(Step, MemberId)>,
    encryption_keys: BTreeMap<MemberId, ProjectivePoint>,
    /// In log order.
    dealings: Vec<(MemberId, Dealing)>,
    /// Who complained of whom.
    complaints: BTreeSet<(MemberId, MemberId)>,
    convicted: BTreeSet<MemberId>,
    candidate: Option<Candidate>,
    /// Digests of all candidates there were: who acknowledged one that was given up meanwhile did nothing wrong.
    candidates: BTreeSet<[u8; 32]>,
    /// Who acknowledged the present one.
    acks: BTreeSet<MemberId>,
    /// Our share of the present one.
    material: Option<KeyMaterial>,
}

enum Stage {
    Announcing,
    Dealing,
    Completed,
    Failed(Failure),
}

/// Who is late is waited for this part of a step's patience, once a quorum has spoken.
const GRACE_SHARE: u64 = 10;

/// What happens by itself.
#[derive(Clone, Copy)]
enum Due {
    Dealing,
    Completion,
    Expiry,
}

impl Ceremony {
    /// The part of a node that deals or is to hold a share. All of its randomness comes from `seed`; to reshare, it deals `old`.
    pub fn new(
        setup: &Setup,
        me: MemberId,
        seed: CeremonySeed,
        old: Option<&KeyShare>,
    ) -> Result<Self, SetupError> {
        let context = Context::new(setup)?;
        if !context.members.contains(&me) && old.is_none() {
            return Err(SetupError::NotAMember(me));
        }
        let deals = context.old.as_ref().zip(old);
        if deals.is_some_and(|(public, share)| share.member() != me || !share.is_of(public)) {
            return Err(SetupError::OldShare(me));
        }
        let participant = Participant::new(&context, me, seed, old);
        Ok(Self::with(context, setup, Some(participant)))
    }

    /// The part of one who only follows the log and learns the public half of the key.
    pub fn observer(setup: &Setup) -> Result<Self, SetupError> {
        Ok(Self::with(Context::new(setup)?, setup, None))
    }

    fn with(context: Context, setup: &Setup, participant: Option<Participant>) -> Self {
        let mut announced = setup.announced.clone();
        announced.retain(|member, _| context.members.contains(member));
        Self {
            context,
            patience: setup.patience,
            participant,
            announced,
            stage: Stage::Announcing,
            begun: None,
            time: None,
            quorum_since: None,
            spoken: BTreeSet::new(),
            encryption_keys: BTreeMap::new(),
            dealings: Vec::new(),
            complaints: BTreeSet::new(),
            convicted: BTreeSet::new(),
            candidate: None,
            candidates: BTreeSet::new(),
            acks: BTreeSet::new(),
            material: None,
        }
    }

    /// The ceremony's name.
    #[must_use]
    pub fn id(&self) -> CeremonyId {
        self.context.id
    }

    /// Who is to hold the shares.
    #[must_use]
    pub fn members(&self) -> &BTreeSet<MemberId> {
        &self.context.members
    }

    /// Who has been convicted so far: nobody that should be asked to the next attempt.
    #[must_use]
    pub fn convicted(&self) -> &BTreeSet<MemberId> {
        &self.convicted
    }

    /// How far it is and whom it waits for.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.stage {
            Stage::Announcing => Status::Announcing(self.silent(&self.context.members)),
            Stage::Dealing if self.candidate.is_some() => {
                let silent = |member: &MemberId| !self.acks.contains(member);
                Status::Acknowledging(self.recipients().filter(silent).collect())
            }
            Stage::Dealing => Status::Dealing(self.undealt()),
            Stage::Completed => Status::Completed,
            Stage::Failed(failure) => Status::Failed(failure.clone()),
        }
    }

    fn silent(&self, members: &BTreeSet<MemberId>) -> BTreeSet<MemberId> {
        let speaks = |member: &MemberId| self.spoken.contains(&(Step::Announce, *member));
        members.iter().copied().filter(|member| !speaks(member)).collect()
    }

    /// Who may still deal.
    fn undealt(&self) -> BTreeSet<MemberId> {
        let mut dealers = self.context.dealers(self.encryption_keys.keys().copied());
        dealers.retain(|dealer| {
            !self.spoken.contains(&(Step::Dealing, *dealer)) && !self.convicted.contains(dealer)
        });
        dealers
    }

    /// Who is to hold a share and was not convicted.
    fn recipients(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.encryption_keys.keys().copied().filter(|member| !self.convicted.contains(member))
    }

    /// What to do first. The seed must be durable before any of it leaves the node.
    pub fn start(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for (member, body) in std::mem::take(&mut self.announced) {
            let taken = self.on_announcement(member, &body);
            events.extend(taken.unwrap_or_else(|kind| self.convict(0, member, kind)));
        }
        events.extend(self.announce());
        events
    }

    /// This node's announcement, if it is still to be made.
    fn announce(&self) -> Option<Event> {
        let Participant { me, seed, decryption, .. } = self.participant.as_ref()?;
        let is_to_come =
            matches!(self.stage, Stage::Announcing) && !self.spoken.contains(&(Step::Announce, *me));
        let body = decryption.as_ref().filter(|_| is_to_come)?.announcement(self.context.id, *me, seed);
        Some(Event::Publish(wrap(Step::Announce, self.context.id, &body)))
    }

    /// The next message of the log, in a block of this time, its sender authenticated by the log. Own messages come this way too.
    pub fn on_logged(&mut self, time: u64, sender: MemberId, payload: &[u8]) -> Vec<Event> {
        let mut events = self.on_time(time);
        events.extend(self.on_message(time, sender, payload));
        self.quorum_since = if self.has_quorum() { self.quorum_since.or(Some(time)) } else { None };
        events
    }

    fn on_message(&mut self, time: u64, sender: MemberId, payload: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        if !matches!(self.stage, Stage::Failed(_)) {
            events.extend(match self.admit(sender, payload) {
                Ok(Some(envelope)) => self.take(time, sender, &envelope),
                Ok(None) => Vec::new(),
                Err(kind) => vec![Event::Fault(Fault { culprit: sender, kind })],
            });
        }
        events
    }

    fn take(
        &mut self,
        time: u64,
        sender: MemberId,
        Envelope { step, body, .. }: &Envelope<'_>,
    ) -> Vec<Event> {
        let taken = match step {
            Step::Announce => self.on_announcement(sender, body),
            Step::Dealing => self.on_dealing(time, sender, body),
            Step::Complaint => self.on_complaint(time, sender, body),
            Step::Ack => self.on_ack(sender, body),
        };
        taken.unwrap_or_else(|kind| self.convict(time, sender, kind))
    }

    /// What is due at this time of the log: to be called for its blocks, before their messages. Blocks without messages of the ceremony may be
    /// left out: what is due has a time of its own. Nothing becomes due amid the messages of one time, so that all of a block are heard.
    pub fn on_time(&mut self, time: u64) -> Vec<Event> {
        if self.time.is_some_and(|newest| time <= newest) {
            return Vec::new();
        }
        self.time = Some(time);
        if self.begun.is_none() {
            self.begun = Some(time);
            self.quorum_since = self.has_quorum().then_some(time);
        }
        let mut events = Vec::new();
        while let Some((_, due)) = self.next_due().filter(|(at, _)| *at <= time) {
            events.extend(match due {
                Due::Dealing => self.begin_dealing(),
                Due::Completion => self.complete(),
                Due::Expiry => self.expire(),
            });
        }
        events
    }

    /// Whether those are enough who have said what this step waits for.
    fn has_quorum(&self) -> bool {
        let there = match self.stage {
            Stage::Announcing => self.encryption_keys.len(),
            Stage::Dealing => self.acks.len(),
            Stage::Completed | Stage::Failed(_) => 0,
        };
        there >= self.context.quorum()
    }

    /// What happens next if nobody says anything, and when. The log may have stood still for long: so who is late is waited for a while also
    /// after a quorum has spoken.
    fn next_due(&self) -> Option<(u64, Due)> {
        let begun = self.begun?;
        let expiry = (begun.saturating_add(self.patience.attempt), Due::Expiry);
        let (since, patience, due) = match (&self.stage, &self.candidate) {
            (Stage::Completed | Stage::Failed(_), _) => return None,
            (Stage::Announcing, _) => (begun, self.patience.announce, Due::Dealing),
            (Stage::Dealing, Some(candidate)) => {
                (candidate.since, self.patience.acknowledge, Due::Completion)
            }
            (Stage::Dealing, None) => return Some(expiry),
        };
        let at = self.quorum_since.map(|quorum| {
            let grace = patience / GRACE_SHARE;
            since.saturating_add(patience).max(quorum.saturating_add(grace))
        });
        Some(at.map(|at| (at, due)).filter(|other| other.0 <= expiry.0).unwrap_or(expiry))
    }

    fn expire(&mut self) -> Vec<Event> {
        let missing = match self.status() {
            Status::Announcing(missing) | Status::Dealing(missing) | Status::Acknowledging(missing) => {
                missing
            }
            Status::Completed | Status::Failed(_) => BTreeSet::new(),
        };
        self.fail(Failure::Expired { missing })
    }

    /// `None` for what is of no use any more, or comes from somebody who was convicted.
    fn admit<'a>(&self, sender: MemberId, payload: &'a [u8]) -> Result<Option<Envelope<'a>>, FaultKind> {
        let is_dealer = self.context.old.as_ref().is_some_and(|old| old.members().any(|old| old == sender));
        let is_member = self.context.members.contains(&sender);
        if !is_member && !is_dealer {
            return Err(FaultKind::NotAMember);
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(FaultKind::Oversized { len: payload.len() });
        }
        let envelope = Envelope::parse(payload)?;
        if envelope.id != self.context.id {
            return Err(FaultKind::WrongCeremony);
        }
        let spoken = self.spoken.contains(&(envelope.step, sender));
        if self.convicted.contains(&sender) || spoken {
            return Ok(None);
        }
        let recipient = self.encryption_keys.contains_key(&sender);
        let deals = if self.context.old.is_some() { is_dealer } else { recipient };
        match (envelope.step, &self.stage) {
            (Step::Announce, Stage::Announcing) if is_member => Ok(Some(envelope)),
            (Step::Announce, _) if !is_member => Err(FaultKind::NotAMember),
            // Late, which is no fault.
            (Step::Announce, _) => Ok(None),
            (_, Stage::Announcing) => Err(FaultKind::OutOfTurn),
            (Step::Dealing, _) if !deals => Err(FaultKind::NotADealer),
            (Step::Dealing, Stage::Dealing) => Ok(Some(envelope)),
            (Step::Complaint | Step::Ack, _) if !recipient => Err(FaultKind::NotARecipient),
            (Step::Complaint, _) => Ok(Some(envelope)),
            (Step::Ack, Stage::Dealing) => Ok(Some(envelope)),
            (Step::Dealing | Step::Ack, _) => Ok(None),
        }
    }

    fn on_announcement(&mut self, sender: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        self.spoken.insert((Step::Announce, sender));
        let key = announce::verify(self.context.id, sender, body)?;
        let own =
            self.participant.as_ref().filter(|own| own.me == sender).and_then(|own| own.decryption.as_ref());
        if own.is_some_and(|own| own.public() != key) {
            return Ok(self.fail(Failure::ForeignSeed));
        }
        self.encryption_keys.insert(sender, key);
        Ok(self.begin_dealing_if_all_announced())
    }

    fn begin_dealing_if_all_announced(&mut self) -> Vec<Event> {
        if self.silent(&self.context.members).is_empty() { self.begin_dealing() } else { Vec::new() }
    }

    fn begin_dealing(&mut self) -> Vec<Event> {
        if self.encryption_keys.len() < self.context.quorum() {
            return Vec::new();
        }
        self.stage = Stage::Dealing;
        self.quorum_since = None;
        let Some(Participant { me, seed, dealer: Some(dealer), .. }) = &self.participant else {
            return Vec::new();
        };
        if !self.context.dealers(self.encryption_keys.keys().copied()).contains(me) {
            return Vec::new();
        }
        let body = dealer.deal(&self.context, &self.encryption_keys, seed);
        vec![Event::Publish(wrap(Step::Dealing, self.context.id, &body))]
    }

    fn on_dealing(&mut self, time: u64, dealer: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        self.spoken.insert((Step::Dealing, dealer));
        let recipients: Vec<MemberId> = self.encryption_keys.keys().copied().collect();
        let dealing = Dealing::verify(&self.context, &recipients, dealer, body)?;
        let own =
            self.participant.as_ref().filter(|own| own.me == dealer).and_then(|own| own.dealer.as_ref());
        if own.is_some_and(|own| own.commitment() != dealing.commitment) {
            return Ok(self.fail(Failure::ForeignSeed));
        }
        self.dealings.push((dealer, dealing));
        Ok(self.consider(time))
    }

    fn on_complaint(&mut self, time: u64, accuser: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        let dealer = complaint::accused(body)?;
        if self.convicted.contains(&dealer) || !self.complaints.insert((accuser, dealer)) {
            return Ok(Vec::new());
        }
        let dealing = self.dealings.iter().find(|(by, _)| *by == dealer).map(|(_, dealing)| dealing);
        let (Some(dealing), Some(encryption)) = (dealing, self.encryption_keys.get(&accuser)) else {
            return Err(FaultKind::UnprovenComplaint { dealer });
        };
        let case = Case { context: &self.context, accuser, encryption, dealer, dealing };
        match case.judge(body) {
            Verdict::Dealer(kind) => Ok(self.convict(time, dealer, kind)),
            Verdict::Accuser(kind) => Err(kind),
        }
    }

    fn on_ack(&mut self, sender: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        if self.acks.contains(&sender) {
            return Ok(Vec::new());
        }
        let digest = ack::read(body)?;
        match &self.candidate {
            Some(candidate) if candidate.digest == digest => self.acks.insert(sender),
            _ if self.candidates.contains(&digest) => return Ok(Vec::new()),
            _ => return Err(FaultKind::WrongKey),
        };
        Ok(self.complete_if_all_acknowledged())
    }

    fn complete_if_all_acknowledged(&mut self) -> Vec<Event> {
        let missing = self.recipients().any(|member| !self.acks.contains(&member));
        let enough = self.acks.len() >= self.context.quorum();
        if enough && !missing { self.complete() } else { Vec::new() }
    }

    /// A conviction stands whenever it comes; it changes the key only while there is none.
    fn convict(&mut self, time: u64, culprit: MemberId, kind: FaultKind) -> Vec<Event> {
        let mut events = vec![Event::Fault(Fault { culprit, kind })];
        self.convicted.insert(culprit);
        if matches!(self.stage, Stage::Completed | Stage::Failed(_)) {
            return events;
        }
        self.acks.remove(&culprit);
        let honest = self.context.members.iter().filter(|member| !self.convicted.contains(member)).count();
        events.extend(if honest < self.context.quorum() {
            self.fail(Failure::TooFewMembers { convicted: self.convicted.clone() })
        } else if matches!(self.stage, Stage::Dealing) {
            self.consider(time)
        } else {
            self.encryption_keys.remove(&culprit);
            self.begin_dealing_if_all_announced()
        });
        events
    }

    /// The dealings that count, in log order: as many as make a key, of dealers that were not convicted.
    fn counting(&self) -> Vec<(MemberId, &Dealing)> {
        let counts = self.dealings.iter().filter(|(dealer, _)| !self.convicted.contains(dealer));
        counts.map(|(dealer, dealing)| (*dealer, dealing)).take(self.context.dealings_needed()).collect()
    }

    /// Looks whether the dealings make another key than before.
    fn consider(&mut self, time: u64) -> Vec<Event> {
        let counting = self.counting();
        let needed = self.context.dealings_needed();
        if counting.len() < needed {
            let possible = counting.len() + self.undealt().len();
            self.stand_for(None);
            return if possible < needed {
                self.fail(Failure::TooFewDealers { convicted: self.convicted.clone() })
            } else {
                Vec::new()
            };
        }
        if self.candidate.as_ref().is_some_and(|candidate| candidate.is_of(&counting)) {
            return self.complete_if_all_acknowledged();
        }
        let Some(candidate) = Candidate::new(&self.context, &counting, time) else {
            return self.fail(Failure::DegenerateKey);
        };
        self.candidates.insert(candidate.digest);
        self.stand_for(Some(candidate));
        self.check_own()
    }

    /// Another key, or none: nobody has acknowledged it, and what we held of the one before is void.
    fn stand_for(&mut self, candidate: Option<Candidate>) {
        self.candidate = candidate;
        self.acks.clear();
        self.material = None;
    }

    /// Acknowledges the candidate, or complains of those who dealt no good share.
    fn check_own(&mut self) -> Vec<Event> {
        let id = self.context.id;
        let mut participant = self.participant.take();
        let mut events = Vec::new();
        if let (Some(own), Some(candidate)) = (&mut participant, &self.candidate)
            && let Some(encryption) = self.encryption_keys.get(&own.me)
        {
            match own.check(&self.context, candidate, &self.counting(), encryption) {
                Ok(material) => {
                    events.push(Event::Publish(wrap(Step::Ack, id, &candidate.digest)));
                    self.material = Some(material);
                }
                Err(dealers) => {
                    let dealings = self.dealings.iter().filter(|(dealer, _)| dealers.contains(dealer));
                    events.extend(dealings.filter_map(|(dealer, dealing)| {
                        let context = &self.context;
                        let case = Case { context, accuser: own.me, encryption, dealer: *dealer, dealing };
                        own.complain(&case).map(|body| Event::Publish(wrap(Step::Complaint, id, &body)))
                    }));
                }
            }
        }
        self.participant = participant;
        events
    }

    fn complete(&mut self) -> Vec<Event> {
        let Some(candidate) = &self.candidate else { return Vec::new() };
        self.stage = Stage::Completed;
        vec![match self.material.take() {
            Some(material) => Event::Completed(Box::new(material)),
            None => Event::Observed(Box::new(candidate.public.clone())),
        }]
    }

    fn fail(&mut self, why: Failure) -> Vec<Event> {
        self.stage = Stage::Failed(why.clone());
        vec![Event::Failed(why)]
    }
}
