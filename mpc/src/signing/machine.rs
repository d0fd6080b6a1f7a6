//! The signing machine's face: inputs, outputs, time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use frost_secp256k1::keys::KeyPackage;
use frost_secp256k1::round1::SigningCommitments;
use zeroize::Zeroizing;

use super::burn::BurnRecord;
use super::config::{MAX_PINNED, MAX_POOL, SigningConfig};
use super::fault::{Fault, FaultKind, Refused};
use super::held::Held;
use super::item::{BootId, ItemId, Time};
use super::message::Message;
use super::nonces::NonceStore;
use super::package::{Package, PackageHash};
use super::pool::{Pool, Standing};
use super::voucher::{Identity, Voucher};
use crate::keys::{GroupPublic, KeyMaterial, KeyShare, SignatureBytes};
use crate::member::MemberId;
use crate::secret_stream::SecretStream;

/// 32 secret bytes for nonces, from the operating system's generator, fresh at every start and never stored.
///
/// Nonces made twice from one seed reveal the key share. Taken by value, not copyable.
pub struct NonceSeed(Zeroizing<[u8; 32]>);

impl NonceSeed {
    /// Takes over the secret bytes; the caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// What goes into the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// This node has verified what the digest stands for and wants it signed.
    Sign {
        /// What.
        item: ItemId,
        /// Its 32-byte digest, the message of RFC 9591.
        digest: [u8; 32],
    },
    /// A message from another member, authenticated by the channel.
    Message {
        /// From whom.
        from: MemberId,
        /// The bytes, as the other's [`Output::Send`] or [`Output::Broadcast`] gave them.
        bytes: Vec<u8>,
    },
    /// Time has passed. Also the first input after a start.
    Tick,
    /// A signature of an item being signed, learned elsewhere (from a block that carries it, say).
    Signature {
        /// What it signs.
        item: ItemId,
        /// The signature.
        signature: SignatureBytes,
    },
    /// Nobody needs items of this kind below this number any more.
    Forget {
        /// The kind.
        kind: u8,
        /// The lowest number still needed.
        below: u64,
    },
}

/// What comes out of the machine, to be carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Must be on disk (synced) before any later output is carried out.
    Persist(BurnRecord),
    /// Send to one member.
    Send {
        /// To whom.
        to: MemberId,
        /// At most [`MAX_MESSAGE`](super::MAX_MESSAGE) bytes.
        bytes: Vec<u8>,
    },
    /// Send to all other members.
    Broadcast(Vec<u8>),
    /// An item is signed; the signature is verified.
    Signed {
        /// What.
        item: ItemId,
        /// Its digest.
        digest: [u8; 32],
        /// The group's signature.
        signature: SignatureBytes,
    },
    /// A member did something that no honest member does.
    Fault(Fault),
}

/// One member's part in signing with one key. See the [module documentation](super).
pub struct Signing {
    pub(super) config: SigningConfig,
    pub(super) me: MemberId,
    pub(super) identity: Box<dyn Identity>,
    pub(super) boot: BootId,
    pub(super) key: KeyPackage,
    pub(super) public: GroupPublic,
    pub(super) members: Vec<MemberId>,
    pub(super) nonces: NonceStore,
    pub(super) peers: BTreeMap<MemberId, Peer>,
    pub(super) running: BTreeMap<ItemId, Running>,
    pub(super) done: BTreeMap<u8, BTreeMap<u64, Done>>,
    pub(super) pinned: BTreeMap<ItemId, [u8; 32]>,
    pub(super) floors: BTreeMap<u8, u64>,
    pub(super) outputs: VecDeque<Output>,
}

/// What this node knows of another member.
pub(super) struct Peer {
    pub(super) pool: Pool,
    pub(super) standing: Standing,
    pub(super) held: Held,
    /// When it may be supplied again: bounds the nonces that it can make us compute.
    pub(super) supply_after: Time,
}

/// An item that this node wants signed.
pub(super) struct Running {
    pub(super) digest: [u8; 32],
    pub(super) attempt: u32,
    pub(super) deadline: Time,
    pub(super) coordination: Option<Coordination>,
    pub(super) liars: BTreeSet<MemberId>,
    pub(super) answered: BTreeMap<MemberId, Answered>,
}

/// This node's latest turn as coordinator of an item.
pub(super) struct Coordination {
    pub(super) opened: u16,
    pub(super) next_session_at: Option<Time>,
    /// Too few commitments are held; goes on as soon as some arrive.
    pub(super) starved: bool,
    pub(super) latest: Option<PackageHash>,
    pub(super) sessions: BTreeMap<PackageHash, Session>,
}

pub(super) struct Session {
    pub(super) package: Package,
    pub(super) commitments: BTreeMap<MemberId, SigningCommitments>,
    pub(super) shares: BTreeMap<MemberId, [u8; 32]>,
    /// Of the others' shares.
    pub(super) vouchers: BTreeMap<MemberId, Voucher>,
}

/// This node's latest answer to one coordinator about one item.
pub(super) struct Answered {
    pub(super) boot: BootId,
    pub(super) turn: (u32, u16),
    pub(super) package: PackageHash,
    pub(super) reply: Vec<u8>,
    pub(super) count: u64,
}

pub(super) struct Done {
    pub(super) digest: [u8; 32],
    pub(super) signature: SignatureBytes,
}

impl Signing {
    /// A member's machine for one key. `boot` and `seed` are fresh from the operating system at every start.
    #[must_use]
    pub fn new(
        mut config: SigningConfig,
        material: &KeyMaterial,
        identity: Box<dyn Identity>,
        boot: BootId,
        seed: NonceSeed,
    ) -> Self {
        config.pool_target = config.pool_target.clamp(1, MAX_POOL / 2);
        let public = material.public().clone();
        let key = material.key_package();
        let me = material.member();
        let info = [b"nonces".as_slice(), &boot.0, &config.epoch.to_be_bytes(), &public.key()];
        let stream = SecretStream::derive(&seed.0, &info);
        let nonces = NonceStore::new(boot, *key.signing_share(), stream, config.pool_target);
        let members: Vec<_> = public.members().collect();
        let peers =
            members.iter().filter(|member| **member != me).map(|member| (*member, Peer::new())).collect();
        Self {
            config,
            me,
            identity,
            boot,
            key,
            public,
            members,
            nonces,
            peers,
            running: BTreeMap::new(),
            done: BTreeMap::new(),
            pinned: BTreeMap::new(),
            floors: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Tells a new machine of a share that left before the restart: its item keeps its digest.
    pub fn pin(&mut self, record: &BurnRecord) {
        self.pinned.insert(record.item, record.digest);
        while self.pinned.len() > MAX_PINNED {
            if let Some((item, _)) = self.pinned.pop_first() {
                self.raise_floor(item.kind, item.number.saturating_add(1));
            }
        }
    }

    /// Takes one input. Afterwards drain [`Self::next_output`].
    pub fn handle(&mut self, now: Time, input: Input) -> Result<(), Refused> {
        let result = match input {
            Input::Sign { item, digest } => self.on_sign(now, item, digest),
            Input::Message { from, bytes } => {
                self.on_message(now, from, &bytes);
                Ok(())
            }
            Input::Tick => Ok(()),
            Input::Signature { item, signature } => self.on_known_signature(item, signature),
            Input::Forget { kind, below } => {
                self.forget(kind, below);
                Ok(())
            }
        };
        self.fire(now);
        result
    }

    /// The next thing to carry out.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let attempts = self.running.values().map(|running| running.deadline);
        let sessions =
            self.running.values().filter_map(|running| running.coordination.as_ref()?.next_session_at);
        let wants = self.peers.values().filter_map(|peer| peer.pool.want_at(&self.config));
        attempts.chain(sessions).chain(wants).min()
    }

    /// The public half of the key.
    #[must_use]
    pub fn public(&self) -> &GroupPublic {
        &self.public
    }

    /// This member's share, to share the key anew with it.
    #[must_use]
    pub fn key_share(&self) -> KeyShare {
        KeyShare::new(self.me, Zeroizing::new(self.key.signing_share().to_scalar()))
    }

    fn fire(&mut self, now: Time) {
        self.ask_for_commitments(now);
        let due = |running: &Running| running.deadline <= now;
        let lapsed: Vec<_> =
            self.running.iter().filter(|(_, running)| due(running)).map(|(id, _)| *id).collect();
        for item in lapsed {
            self.lapse(now, item);
        }
        let due = |running: &Running| {
            let at = running.coordination.as_ref().and_then(|coordination| coordination.next_session_at);
            at.is_some_and(|at| at <= now)
        };
        let hedged: Vec<_> =
            self.running.iter().filter(|(_, running)| due(running)).map(|(id, _)| *id).collect();
        for item in hedged {
            self.hedge(now, item);
        }
    }

    fn on_message(&mut self, now: Time, from: MemberId, bytes: &[u8]) {
        if from == self.me {
            return;
        }
        if !self.peers.contains_key(&from) {
            return self.accuse(from, FaultKind::NotAMember);
        }
        match Message::parse(bytes, self.config.epoch) {
            Ok(None) => {}
            Ok(Some(Message::Want { boot, known })) => self.on_want(now, from, boot, known),
            Ok(Some(Message::Supply(supply))) => self.on_supply(now, from, &supply),
            Ok(Some(Message::Package(package))) => self.on_package(now, from, package),
            Ok(Some(Message::Share(share))) => self.on_share(now, from, &share),
            Ok(Some(Message::Signature { item, signature })) => self.on_signature(from, item, signature),
            Ok(Some(Message::Request(item))) => self.on_request(from, item),
            Err(error) => self.accuse(from, error.into()),
        }
    }

    pub(super) fn accuse(&mut self, culprit: MemberId, kind: FaultKind) {
        self.outputs.push_back(Output::Fault(Fault { culprit, kind }));
    }

    pub(super) fn send(&mut self, to: MemberId, message: &Message) {
        let bytes = message.to_bytes(self.config.epoch);
        self.outputs.push_back(Output::Send { to, bytes });
    }

    /// Whose turn an attempt is: the members in order, starting at the item's number.
    pub(super) fn coordinator_of(&self, item: ItemId, attempt: u32) -> MemberId {
        let turn = item.number.wrapping_add(u64::from(attempt)) % self.members.len() as u64;
        let turn = usize::try_from(turn).unwrap_or_default();
        self.members.get(turn).copied().unwrap_or(self.me)
    }

    /// Sessions that one coordinator may open in one attempt: enough to meet each of `n − t` faulty signers once.
    pub(super) fn sessions_per_attempt(&self) -> u16 {
        let spare = self.members.len().saturating_sub(self.public.threshold().count());
        u16::try_from(spare + 1).unwrap_or(u16::MAX)
    }
}

impl Peer {
    fn new() -> Self {
        let start = Time::default();
        Self {
            pool: Pool::new(start),
            standing: Standing::default(),
            held: Held::default(),
            supply_after: start,
        }
    }
}
