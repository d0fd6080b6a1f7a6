//! The committee's keys of all epochs that still matter, and this node's part in signing with each: it signs where it holds a share,
//! and elsewhere hears what the others have signed.

use std::collections::{BTreeMap, VecDeque};

use mpc::signing::{
    BootId, BurnRecord, Fault, Input, ItemId, NonceSeed, Output, Signing, SigningConfig, epoch_of,
};
use mpc::{GroupPublic, KeyMaterial, MemberId};
use ordering_types::preimage::Domain;
use ordering_types::{Digest, Epoch, GroupKey, GroupSignature, SecretKey, Time, ValidatorId};

use crate::identity::Vouching;
use crate::witness::{Heard, Witness};

/// What comes of it, in order.
#[derive(Debug)]
pub(crate) enum KeyEvent {
    /// Must be on disk before any later event is carried out.
    Burn(BurnRecord),
    /// Send to one member.
    Send { to: ValidatorId, bytes: Vec<u8> },
    /// Send to all members.
    Broadcast(Vec<u8>),
    /// This is signed with the key of this epoch.
    Signed { epoch: Epoch, item: ItemId, signature: GroupSignature },
    /// A signing machine accuses somebody.
    Fault { epoch: Epoch, fault: Box<Fault> },
    /// Somebody said what no honest member says.
    Odd { peer: ValidatorId, what: String },
}

enum Part {
    Signs(Box<Signing>),
    Hears(Witness),
}

struct Holder {
    key: GroupKey,
    part: Part,
}

/// See the [module's documentation](self).
pub(crate) struct Keyring {
    domain: Domain,
    me: ValidatorId,
    key: SecretKey,
    config: SigningConfig,
    boot: BootId,
    holders: BTreeMap<Epoch, Holder>,
    events: VecDeque<KeyEvent>,
}

impl Keyring {
    pub(crate) const fn new(
        domain: Domain,
        me: ValidatorId,
        key: SecretKey,
        config: SigningConfig,
        boot: BootId,
    ) -> Self {
        Self { domain, me, key, config, boot, holders: BTreeMap::new(), events: VecDeque::new() }
    }

    /// An epoch's key, of which this node may get a share later, or never.
    pub(crate) fn know(&mut self, epoch: Epoch, key: GroupKey) {
        let part = Part::Hears(Witness::new(key, epoch.get()));
        self.holders.entry(epoch).or_insert(Holder { key, part });
    }

    /// From now on this node signs with its share. `burns` are the nonces used before a restart: their items keep their digests.
    pub(crate) fn install(
        &mut self,
        now: Time,
        epoch: Epoch,
        material: &KeyMaterial,
        nonces: NonceSeed,
        burns: &[BurnRecord],
    ) -> GroupKey {
        let key =
            GroupKey::from_bytes(material.public().key()).expect("key material holds a valid group key");
        let config = SigningConfig { epoch: epoch.get(), ..self.config.clone() };
        let identity = Vouching::new(self.domain, epoch, material.public(), self.key.clone());
        let mut signing = Signing::new(config, material, Box::new(identity), self.boot, nonces);
        burns.iter().filter(|burn| burn.epoch == epoch.get()).for_each(|burn| signing.pin(burn));
        self.holders.insert(epoch, Holder { key, part: Part::Signs(Box::new(signing)) });
        self.feed(now, epoch, Input::Tick);
        key
    }

    /// An epoch's key, if it is known.
    pub(crate) fn key(&self, epoch: Epoch) -> Option<GroupKey> {
        self.holders.get(&epoch).map(|holder| holder.key)
    }

    /// Its public data, if this node has a share.
    pub(crate) fn public(&self, epoch: Epoch) -> Option<&GroupPublic> {
        match &self.holders.get(&epoch)?.part {
            Part::Signs(signing) => Some(signing.public()),
            Part::Hears(_) => None,
        }
    }

    /// The committee's signature of this is wanted, with the key of this epoch.
    pub(crate) fn sign(&mut self, now: Time, epoch: Epoch, item: ItemId, digest: Digest) {
        match self.holders.get_mut(&epoch).map(|holder| &mut holder.part) {
            Some(Part::Signs(_)) => self.feed(now, epoch, Input::Sign { item, digest: digest.to_bytes() }),
            Some(Part::Hears(witness)) => {
                if let Some(signature) = witness.want(item, digest) {
                    self.events.push_back(KeyEvent::Signed { epoch, item, signature });
                }
            }
            None => {}
        }
    }

    /// It is signed, as this node has it from elsewhere.
    pub(crate) fn learn(&mut self, now: Time, epoch: Epoch, item: ItemId, signature: GroupSignature) {
        self.feed(now, epoch, Input::Signature { item, signature: *signature.as_bytes() });
    }

    /// Nobody needs items of this kind below this number any more.
    pub(crate) fn forget(&mut self, now: Time, kind: u8, below: u64) {
        let signing: Vec<Epoch> = self.holders.keys().copied().collect();
        for epoch in signing {
            match self.holders.get_mut(&epoch).map(|holder| &mut holder.part) {
                Some(Part::Hears(witness)) => witness.forget(kind, below),
                _ => self.feed(now, epoch, Input::Forget { kind, below }),
            }
        }
    }

    /// Nobody needs signatures of this epoch and those before any more.
    pub(crate) fn retire(&mut self, up_to: Epoch) {
        self.holders = self.holders.split_off(&up_to.next());
    }

    /// What signing machines say to each other. What is about a key that is not known here (yet, or any more) is said again if it matters.
    pub(crate) fn hear(&mut self, now: Time, from: ValidatorId, bytes: &[u8]) {
        let Some(epoch) = epoch_of(bytes).map(Epoch::new) else {
            let what = "sent a signing message that names no epoch".to_owned();
            return self.events.push_back(KeyEvent::Odd { peer: from, what });
        };
        match self.holders.get_mut(&epoch).map(|holder| &mut holder.part) {
            Some(Part::Signs(_)) => {
                if let Some(from) = MemberId::new(from.get()) {
                    self.feed(now, epoch, Input::Message { from, bytes: bytes.to_vec() });
                }
            }
            Some(Part::Hears(witness)) => {
                let event = match witness.hear(from, bytes) {
                    Ok(Heard::Nothing) => return,
                    Ok(Heard::Signed(item, signature)) => KeyEvent::Signed { epoch, item, signature },
                    Ok(Heard::BadSignature(item)) => {
                        KeyEvent::Odd { peer: from, what: format!("sent an invalid signature of {item:?}") }
                    }
                    Err(error) => {
                        KeyEvent::Odd { peer: from, what: format!("sent a malformed message: {error}") }
                    }
                };
                self.events.push_back(event);
            }
            None => {}
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) {
        let epochs: Vec<Epoch> = self.holders.keys().copied().collect();
        epochs.into_iter().for_each(|epoch| self.feed(now, epoch, Input::Tick));
    }

    pub(crate) fn next_event(&mut self) -> Option<KeyEvent> {
        self.events.pop_front()
    }

    /// When [`Self::tick`] is due at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let deadline = |holder: &Holder| match &holder.part {
            Part::Signs(signing) => signing.next_deadline(),
            Part::Hears(_) => None,
        };
        self.holders.values().filter_map(deadline).min().map(|at| Time::from_millis(at.as_millis()))
    }

    fn feed(&mut self, now: Time, epoch: Epoch, input: Input) {
        let Some(Holder { part: Part::Signs(signing), .. }) = self.holders.get_mut(&epoch) else { return };
        let now = mpc::signing::Time::from_millis(now.as_millis());
        if let Err(refused) = signing.handle(now, input) {
            // One item, one digest: two encodings of a batch whose digests begin alike. The other members, or another encoding, go on
            // without it.
            self.events.push_back(KeyEvent::Odd { peer: self.me, what: refused.to_string() });
        }
        while let Some(output) = signing.next_output() {
            self.events.push_back(match output {
                Output::Persist(burn) => KeyEvent::Burn(burn),
                Output::Send { to, bytes } => KeyEvent::Send { to: ValidatorId::new(to.number()), bytes },
                Output::Broadcast(bytes) => KeyEvent::Broadcast(bytes),
                Output::Signed { item, signature, .. } => {
                    KeyEvent::Signed { epoch, item, signature: GroupSignature::new(signature) }
                }
                Output::Fault(fault) => KeyEvent::Fault { epoch, fault: Box::new(fault) },
            });
        }
    }
}
