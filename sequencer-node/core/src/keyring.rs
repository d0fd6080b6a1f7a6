//! The committee's keys of all epochs that still matter, and this node's part in signing with each: it signs where it holds a share,
//! and elsewhere hears what the others have signed.

use std::collections::{BTreeMap, VecDeque};

use mpc::signing::{BootId, BurnRecord, Fault, Input, ItemId, NonceSeed, Output, Signing, SigningConfig};
use mpc::{GroupPublic, KeyMaterial, KeyShare, MemberId};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, GroupKey, GroupSignature, SecretKey, SharedKey, Time, ValidatorId};

use crate::identity::Vouching;
use crate::wire::{KeyTag, PeerMessage};
use crate::witness::{Heard, Witness};

/// What comes of it, in order.
#[derive(Debug)]
pub(crate) enum KeyEvent {
    /// Must be on disk before any later event is carried out.
    Burn(BurnRecord),
    /// Send to one member.
    Send { to: ValidatorId, message: PeerMessage },
    /// Send to all who hold, or were to hold, shares of this key.
    Broadcast { key: Named, message: PeerMessage },
    /// This is signed with this key.
    Signed { key: Named, item: ItemId, signature: GroupSignature },
    /// A signing machine accuses somebody.
    Fault { key: Named, fault: Box<Fault> },
    /// Somebody said what no honest member says.
    Odd { peer: ValidatorId, what: String },
}

/// A shared key and its epoch. Several may be made for one epoch, until one of them is taken into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) epoch: Epoch,
    pub(crate) key: SharedKey,
}

enum Part {
    Signs(Box<Signing>),
    Hears(Witness),
}

/// Keys that were made for one epoch: the oldest goes. Each took an attempt, of which an epoch has hardly more than one.
const MAX_KEYS_AN_EPOCH: usize = 32;

/// See the [module's documentation](self).
pub(crate) struct Keyring {
    domain: Domain,
    me: ValidatorId,
    key: SecretKey,
    config: SigningConfig,
    parts: BTreeMap<Named, Part>,
    /// Of each epoch, in the order made; the last is in use, or may be next.
    made: BTreeMap<Epoch, Vec<SharedKey>>,
    events: VecDeque<KeyEvent>,
}

impl Keyring {
    pub(crate) fn new(domain: Domain, me: ValidatorId, key: SecretKey, config: SigningConfig) -> Self {
        let (parts, made) = (BTreeMap::new(), BTreeMap::new());
        Self { domain, me, key, config, parts, made, events: VecDeque::new() }
    }

    /// An epoch's key, of which this node may get a share later, or never.
    pub(crate) fn know(&mut self, named: Named) {
        let Named { epoch, key } = named;
        self.parts.entry(named).or_insert_with(|| Part::Hears(Witness::new(key.key, epoch.get())));
        let made = self.made.entry(epoch).or_default();
        made.retain(|other| *other != key);
        made.push(key);
        if made.len() > MAX_KEYS_AN_EPOCH {
            let key = made.remove(0);
            self.parts.remove(&Named { epoch, key });
        }
    }

    /// From now on this node signs with its share. `burns` are the nonces used before a restart: their items keep their digests.
    pub(crate) fn install(
        &mut self,
        now: Time,
        named: Named,
        material: &KeyMaterial,
        (boot, nonces): (BootId, NonceSeed),
        burns: &[BurnRecord],
    ) {
        let epoch = named.epoch;
        let config = SigningConfig { epoch: epoch.get(), ..self.config.clone() };
        let identity = Vouching::new(self.domain, epoch, material.public(), self.key.clone());
        let mut signing = Signing::new(config, material, Box::new(identity), boot, nonces);
        burns.iter().filter(|burn| burn.epoch == epoch.get()).for_each(|burn| signing.pin(burn));
        self.parts.insert(named, Part::Signs(Box::new(signing)));
        self.know(named);
        self.feed(now, named, Input::Tick);
    }

    /// This key of its epoch is the one that is taken into use; there are no others from now on.
    pub(crate) fn settle(&mut self, named: Named) {
        self.know(named);
        self.made.insert(named.epoch, vec![named.key]);
        self.parts.retain(|other, _| other.epoch != named.epoch || *other == named);
    }

    /// An epoch's key, if it is known.
    pub(crate) fn key(&self, epoch: Epoch) -> Option<GroupKey> {
        self.named(epoch).map(|named| named.key.key)
    }

    fn named(&self, epoch: Epoch) -> Option<Named> {
        let key = *self.made.get(&epoch)?.last()?;
        Some(Named { epoch, key })
    }

    /// Whether this node has a share of this very key.
    pub(crate) fn has_share(&self, named: Named) -> bool {
        matches!(self.parts.get(&named), Some(Part::Signs(_)))
    }

    /// A key's public data, if this node has a share.
    pub(crate) fn public(&self, named: Named) -> Option<&GroupPublic> {
        match self.parts.get(&named)? {
            Part::Signs(signing) => Some(signing.public()),
            Part::Hears(_) => None,
        }
    }

    /// This node's share of an epoch's key, if it has one.
    pub(crate) fn share(&self, epoch: Epoch) -> Option<KeyShare> {
        match self.parts.get(&self.named(epoch)?)? {
            Part::Signs(signing) => Some(signing.key_share()),
            Part::Hears(_) => None,
        }
    }

    /// The public data of an epoch's key, if this node has a share.
    pub(crate) fn data(&self, epoch: Epoch) -> Option<&GroupPublic> {
        self.public(self.named(epoch)?)
    }

    /// Whether this node has a share of an epoch's key.
    pub(crate) fn signs(&self, epoch: Epoch) -> bool {
        self.named(epoch).is_some_and(|named| self.has_share(named))
    }

    /// The committee's signature of this is wanted, with the key of this epoch.
    pub(crate) fn sign(&mut self, now: Time, epoch: Epoch, item: ItemId, digest: Digest) {
        if let Some(named) = self.named(epoch) {
            self.sign_with(now, named, item, digest);
        }
    }

    /// The same, with this very key.
    pub(crate) fn sign_with(&mut self, now: Time, key: Named, item: ItemId, digest: Digest) {
        match self.parts.get_mut(&key) {
            Some(Part::Signs(_)) => self.feed(now, key, Input::Sign { item, digest: digest.to_bytes() }),
            Some(Part::Hears(witness)) => {
                if let Some(signature) = witness.want(item, digest) {
                    self.events.push_back(KeyEvent::Signed { key, item, signature });
                }
            }
            None => {}
        }
    }

    /// It is signed, as this node has it from elsewhere.
    pub(crate) fn learn(&mut self, now: Time, epoch: Epoch, item: ItemId, signature: GroupSignature) {
        if let Some(named) = self.named(epoch) {
            self.feed(now, named, Input::Signature { item, signature: *signature.as_bytes() });
        }
    }

    /// Nobody needs items of this kind below this number any more.
    pub(crate) fn forget(&mut self, now: Time, kind: u8, below: u64) {
        for named in self.all() {
            match self.parts.get_mut(&named) {
                Some(Part::Hears(witness)) => witness.forget(kind, below),
                _ => self.feed(now, named, Input::Forget { kind, below }),
            }
        }
    }

    fn all(&self) -> Vec<Named> {
        self.parts.keys().copied().collect()
    }

    /// From now on this node signs nothing with keys of this epoch and those before, and hears what others sign. Whether it held a share of any.
    pub(crate) fn erase_shares(&mut self, up_to: Epoch) -> bool {
        let mut erased = false;
        for (named, part) in self.parts.iter_mut().filter(|(named, _)| named.epoch <= up_to) {
            if matches!(part, Part::Signs(_)) {
                *part = Part::Hears(Witness::new(named.key.key, named.epoch.get()));
                erased = true;
            }
        }
        erased
    }

    /// Nobody needs signatures of this epoch and those before any more.
    pub(crate) fn retire(&mut self, up_to: Epoch) {
        self.parts.retain(|named, _| named.epoch > up_to);
        self.made.retain(|epoch, _| *epoch > up_to);
    }

    /// What signing machines say to each other. What is about a key that is not known here (yet, or any more) is said again if it matters.
    pub(crate) fn hear(&mut self, now: Time, from: ValidatorId, tag: KeyTag, bytes: &[u8]) {
        let Some(key) = self.parts.keys().copied().find(|named| KeyTag::of(*named) == tag) else {
            return;
        };
        if let Some(Part::Hears(witness)) = self.parts.get_mut(&key) {
            let event = match witness.hear(from, bytes) {
                Ok(Heard::Nothing) => return,
                Ok(Heard::Signed(item, signature)) => KeyEvent::Signed { key, item, signature },
                Ok(Heard::BadSignature(item)) => {
                    KeyEvent::Odd { peer: from, what: format!("sent an invalid signature of {item:?}") }
                }
                Err(error) => {
                    KeyEvent::Odd { peer: from, what: format!("sent a malformed message: {error}") }
                }
            };
            self.events.push_back(event);
        } else if let Some(from) = MemberId::new(from.get()) {
            self.feed(now, key, Input::Message { from, bytes: bytes.to_vec() });
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) {
        self.all().into_iter().for_each(|named| self.feed(now, named, Input::Tick));
    }

    pub(crate) fn next_event(&mut self) -> Option<KeyEvent> {
        self.events.pop_front()
    }

    /// When [`Self::tick`] is due at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let deadline = |part: &Part| match part {
            Part::Signs(signing) => signing.next_deadline(),
            Part::Hears(_) => None,
        };
        self.parts.values().filter_map(deadline).min().map(|at| Time::from_millis(at.as_millis()))
    }

    fn feed(&mut self, now: Time, named: Named, input: Input) {
        let Some(Part::Signs(signing)) = self.parts.get_mut(&named) else { return };
        let now = mpc::signing::Time::from_millis(now.as_millis());
        if let Err(refused) = signing.handle(now, input) {
            // One item, one digest: two encodings of a batch whose digests begin alike. The other members, or another encoding, go on
            // without it.
            self.events.push_back(KeyEvent::Odd { peer: self.me, what: refused.to_string() });
        }
        let message = |bytes: Vec<u8>| PeerMessage::Signing { key: KeyTag::of(named), bytes: bytes.into() };
        while let Some(output) = signing.next_output() {
            self.events.push_back(match output {
                Output::Persist(burn) => KeyEvent::Burn(burn),
                Output::Send { to, bytes } => {
                    KeyEvent::Send { to: ValidatorId::new(to.number()), message: message(bytes) }
                }
                Output::Broadcast(bytes) => KeyEvent::Broadcast { key: named, message: message(bytes) },
                Output::Signed { item, signature, .. } => {
                    KeyEvent::Signed { key: named, item, signature: GroupSignature::new(signature) }
                }
                Output::Fault(fault) => KeyEvent::Fault { key: named, fault: Box::new(fault) },
            });
        }
    }
}
