//! The ceremony as a machine over the ordered log.

use std::collections::{BTreeMap, BTreeSet};

use k256::{ProjectivePoint, Scalar};
use zeroize::Zeroizing;

use super::ack;
use super::announce::{self, DecryptionKey};
use super::context::Context;
use super::dealer::Dealer;
use super::dealing::Dealing;
use super::fault::{Failure, Fault, FaultKind, SetupError};
use super::id::{CeremonyId, CeremonyKind};
use super::payload::{Envelope, MAX_PAYLOAD, Step, wrap};
use super::polynomial::Commitment;
use super::seed::CeremonySeed;
use super::share_encryption::{Route, SharedPoint};
use crate::keys::{GroupPublic, KeyMaterial, KeyShare};
use crate::member::MemberId;

/// What a ceremony asks for or reports, in order.
#[derive(Debug)]
pub enum Event {
    /// Put these bytes into the log under this node's name. Emitted again after a replay: putting the same bytes in twice
    /// is harmless.
    Publish(Vec<u8>),
    /// A member's message was refused.
    Fault(Fault),
    /// Every member acknowledged the key; here is this node's share of it.
    Completed(Box<KeyMaterial>),
    /// Every member acknowledged the key; an observer learns its public half.
    Observed(Box<GroupPublic>),
    /// This attempt cannot complete; start the next one under its own id.
    Failed(Failure),
}

/// How far a ceremony is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Encryption keys are missing from these members.
    Announcing(BTreeSet<MemberId>),
    /// Dealings are missing from these members.
    Dealing(BTreeSet<MemberId>),
    /// Acknowledgements are missing from these members.
    Acknowledging(BTreeSet<MemberId>),
    /// Done.
    Completed,
    /// Over without a key.
    Failed(Failure),
}

/// One member's (or an observer's) part in one key generation. See the [module documentation](super).
pub struct Ceremony {
    context: Context,
    role: Role,
    stage: Stage,
    /// Which members have used their one message of each step.
    spoken: BTreeSet<(Step, MemberId)>,
    encryption_keys: BTreeMap<MemberId, ProjectivePoint>,
    dealings: BTreeMap<MemberId, Commitment>,
}

enum Role {
    Member(Box<Member>),
    Observer,
}

/// The secrets of one who takes part.
struct Member {
    me: MemberId,
    seed: CeremonySeed,
    decryption: DecryptionKey,
    dealer: Dealer,
    /// What each dealer gave us, decrypted but not yet checked.
    received: BTreeMap<MemberId, Zeroizing<Scalar>>,
}

enum Stage {
    Announcing,
    Dealing,
    Acknowledging { public: Box<GroupPublic>, share: Option<KeyShare> },
    Completed,
    Failed(Failure),
}

impl Ceremony {
    /// A member's part. All of its randomness comes from `seed`.
    pub fn new(
        id: CeremonyId,
        members: BTreeSet<MemberId>,
        threshold: u16,
        me: MemberId,
        seed: CeremonySeed,
    ) -> Result<Self, SetupError> {
        if id.kind != CeremonyKind::Fresh {
            return Err(SetupError::NotFresh);
        }
        let context = Context::new(id, members, threshold)?;
        if !context.members.contains(&me) {
            return Err(SetupError::NotAMember(me));
        }
        let decryption = DecryptionKey::derive(&context, &seed);
        let dealer = Dealer::fresh(&context, me, &seed);
        let member = Member { me, seed, decryption, dealer, received: BTreeMap::new() };
        Ok(Self::with_role(context, Role::Member(Box::new(member))))
    }

    /// The part of one who only follows the log and learns the public half of the key.
    pub fn observer(id: CeremonyId, members: BTreeSet<MemberId>, threshold: u16) -> Result<Self, SetupError> {
        if id.kind != CeremonyKind::Fresh {
            return Err(SetupError::NotFresh);
        }
        Ok(Self::with_role(Context::new(id, members, threshold)?, Role::Observer))
    }

    fn with_role(context: Context, role: Role) -> Self {
        Self {
            context,
            role,
            stage: Stage::Announcing,
            spoken: BTreeSet::new(),
            encryption_keys: BTreeMap::new(),
            dealings: BTreeMap::new(),
        }
    }

    /// The ceremony's name.
    #[must_use]
    pub fn id(&self) -> CeremonyId {
        self.context.id
    }

    /// How far it is and whom it waits for.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.stage {
            Stage::Announcing => Status::Announcing(self.silent(Step::Announce)),
            Stage::Dealing => Status::Dealing(self.silent(Step::Dealing)),
            Stage::Acknowledging { .. } => Status::Acknowledging(self.silent(Step::Ack)),
            Stage::Completed => Status::Completed,
            Stage::Failed(failure) => Status::Failed(failure.clone()),
        }
    }

    fn silent(&self, step: Step) -> BTreeSet<MemberId> {
        self.context
            .members
            .iter()
            .copied()
            .filter(|member| !self.spoken.contains(&(step, *member)))
            .collect()
    }

    /// What to do first. The seed must be durable before any of it leaves the node.
    pub fn start(&mut self) -> Vec<Event> {
        let Role::Member(member) = &self.role else { return Vec::new() };
        let body = member.decryption.announcement(&self.context, member.me, &member.seed);
        vec![Event::Publish(wrap(Step::Announce, self.context.id, &body))]
    }

    /// The next message of the log, its sender authenticated by the log. Own messages come this way too.
    pub fn on_logged(&mut self, sender: MemberId, payload: &[u8]) -> Vec<Event> {
        if matches!(self.stage, Stage::Completed | Stage::Failed(_)) {
            return Vec::new();
        }
        let envelope = match self.admit(sender, payload) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Vec::new(),
            Err(kind) => return vec![Event::Fault(Fault { culprit: sender, kind })],
        };
        // From here on this was the sender's one message of the step, whatever is in it.
        self.spoken.insert((envelope.step, sender));
        let taken = match envelope.step {
            Step::Announce => self.on_announcement(sender, envelope.body),
            Step::Dealing => self.on_dealing(sender, envelope.body),
            Step::Ack => self.on_ack(envelope.body),
        };
        taken.unwrap_or_else(|kind| {
            let mut events = vec![Event::Fault(Fault { culprit: sender, kind })];
            events.extend(self.fail(Failure::Disqualified(sender)));
            events
        })
    }

    /// `None` for a member's second message of a step: the first one counts.
    fn admit<'a>(&self, sender: MemberId, payload: &'a [u8]) -> Result<Option<Envelope<'a>>, FaultKind> {
        if !self.context.members.contains(&sender) {
            return Err(FaultKind::NotAMember);
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(FaultKind::Oversized { len: payload.len() });
        }
        let envelope = Envelope::parse(payload)?;
        if envelope.id != self.context.id {
            return Err(FaultKind::WrongCeremony);
        }
        if self.spoken.contains(&(envelope.step, sender)) {
            return Ok(None);
        }
        let open = match self.stage {
            Stage::Announcing => Step::Announce,
            Stage::Dealing => Step::Dealing,
            _ => Step::Ack,
        };
        if envelope.step == open { Ok(Some(envelope)) } else { Err(FaultKind::OutOfTurn) }
    }

    fn on_announcement(&mut self, sender: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        let key = announce::verify(&self.context, sender, body)?;
        if let Role::Member(member) = &self.role
            && member.me == sender
            && member.decryption.public() != key
        {
            return Ok(self.fail(Failure::ForeignSeed));
        }
        self.encryption_keys.insert(sender, key);
        if self.encryption_keys.len() < self.context.members.len() {
            return Ok(Vec::new());
        }
        self.stage = Stage::Dealing;
        let Role::Member(member) = &self.role else { return Ok(Vec::new()) };
        let body = member.dealer.deal(&self.context, &self.encryption_keys, &member.seed);
        Ok(vec![Event::Publish(wrap(Step::Dealing, self.context.id, &body))])
    }

    fn on_dealing(&mut self, dealer: MemberId, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        let dealing = Dealing::verify(&self.context, dealer, body)?;
        let mut events = Vec::new();
        if let Role::Member(member) = &mut self.role {
            if member.me == dealer && member.dealer.commitment() != dealing.commitment {
                return Ok(self.fail(Failure::ForeignSeed));
            }
            if !member.receive(&self.context, dealer, &dealing) {
                events.push(Event::Fault(Fault { culprit: dealer, kind: FaultKind::UndecryptableShare }));
            }
        }
        self.dealings.insert(dealer, dealing.commitment);
        if self.dealings.len() == self.context.members.len() {
            events.extend(self.conclude());
        }
        Ok(events)
    }

    /// All dealings are in: sums the commitments once, derives the public data, checks the own total share.
    fn conclude(&mut self) -> Vec<Event> {
        let Some(sum) = self.dealings.values().cloned().reduce(|sum, next| sum + &next) else {
            return self.fail(Failure::DegenerateKey);
        };
        let Some(public) = derive_public(&self.context, &sum) else {
            return self.fail(Failure::DegenerateKey);
        };
        let Role::Member(member) = &self.role else {
            self.stage = Stage::Acknowledging { public: Box::new(public), share: None };
            return Vec::new();
        };
        if let Some(share) = member.total_share(&self.context, &sum) {
            let ack = wrap(Step::Ack, self.context.id, &ack::body(&public));
            self.stage = Stage::Acknowledging { public: Box::new(public), share: Some(share) };
            return vec![Event::Publish(ack)];
        }
        let (bad, undecryptable) = member.bad_dealers(&self.dealings);
        let faults =
            bad.iter().map(|culprit| Event::Fault(Fault { culprit: *culprit, kind: FaultKind::BadShare }));
        let mut events: Vec<Event> = faults.collect();
        let culprits = bad.into_iter().chain(undecryptable).collect();
        events.extend(self.fail(Failure::BadShares(culprits)));
        events
    }

    fn on_ack(&mut self, body: &[u8]) -> Result<Vec<Event>, FaultKind> {
        let Stage::Acknowledging { public, .. } = &self.stage else { return Err(FaultKind::OutOfTurn) };
        ack::verify(public, body)?;
        if !self.silent(Step::Ack).is_empty() {
            return Ok(Vec::new());
        }
        let Stage::Acknowledging { public, share } = std::mem::replace(&mut self.stage, Stage::Completed)
        else {
            return Err(FaultKind::OutOfTurn);
        };
        Ok(vec![match share {
            Some(share) => match KeyMaterial::new(share, *public) {
                Ok(material) => Event::Completed(Box::new(material)),
                Err(_) => return Ok(self.fail(Failure::DegenerateKey)),
            },
            None => Event::Observed(public),
        }])
    }

    fn fail(&mut self, failure: Failure) -> Vec<Event> {
        self.stage = Stage::Failed(failure.clone());
        vec![Event::Failed(failure)]
    }
}

impl Member {
    /// Decrypts our share of a dealing; false if it cannot be.
    fn receive(&mut self, context: &Context, dealer: MemberId, dealing: &Dealing) -> bool {
        let encryption = self.decryption.public();
        let route = Route {
            context,
            dealer,
            recipient: self.me,
            ephemeral: &dealing.ephemeral,
            encryption: &encryption,
        };
        let share = dealing.shares.get(&self.me).and_then(|sealed| {
            let shared = SharedPoint::new(&self.decryption.0, &dealing.ephemeral)?;
            route.open(&shared, sealed)
        });
        match share {
            Some(share) => {
                self.received.insert(dealer, share);
                true
            }
            None => false,
        }
    }

    /// The sum of what we received, if it is what the summed commitments promise.
    fn total_share(&self, context: &Context, sum: &Commitment) -> Option<KeyShare> {
        if self.received.len() < context.members.len() {
            return None;
        }
        let total = self.received.values().fold(Scalar::ZERO, |total, share| total + **share);
        let total = Zeroizing::new(total);
        let promised = sum.share_of(self.me);
        (ProjectivePoint::GENERATOR * *total == promised).then(|| KeyShare::new(self.me, total))
    }

    /// Who is to blame for a wrong total: dealers whose share breaks its commitment, and dealers whose share did not open.
    fn bad_dealers(&self, dealings: &BTreeMap<MemberId, Commitment>) -> (Vec<MemberId>, Vec<MemberId>) {
        let mut bad = Vec::new();
        let mut undecryptable = Vec::new();
        for (dealer, commitment) in dealings {
            match self.received.get(dealer) {
                None => undecryptable.push(*dealer),
                Some(share) if ProjectivePoint::GENERATOR * **share != commitment.share_of(self.me) => {
                    bad.push(*dealer);
                }
                Some(_) => {}
            }
        }
        (bad, undecryptable)
    }
}

/// Group key and verifying shares; `None` if any of them is the identity.
fn derive_public(context: &Context, sum: &Commitment) -> Option<GroupPublic> {
    let key = crate::wire::compress(&sum.constant())?;
    let shares = context
        .members
        .iter()
        .map(|member| Some((*member, sum.compressed_share_of(*member)?)))
        .collect::<Option<BTreeMap<_, _>>>()?;
    GroupPublic::new(context.threshold.get(), key, shares).ok()
}
