//! A committee on a virtual clock, joined by a network that delays, loses, repeats and reorders, with liars in it.
//!
//! It watches every record and every share on its way: no nonce pair may ever serve two packages, and no share may travel
//! before its record was asked for.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::keys::{KeyMaterial, SignatureBytes};
use crate::member::MemberId;
use crate::signing::commitment::CommitmentBytes;
use crate::signing::message::Message;
use crate::signing::{
    BootId, BurnRecord, Fault, FaultKind, Identity, Input, ItemId, NonceSeed, Output, Signing, SigningConfig,
    Time,
};
use crate::testing::{Stamp, keys, threshold};

pub(super) const EPOCH: u64 = 4;

/// How a member departs from the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nature {
    Honest,
    /// Receives and says nothing.
    Silent,
    /// Its shares are wrong.
    WrongShare,
    /// Sends noise besides.
    Garbage,
}

enum Happening {
    Deliver { from: MemberId, to: MemberId, bytes: Vec<u8> },
    Sign { at: MemberId, item: ItemId },
    Wake(MemberId),
}

#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) min_ms: u64,
    pub(super) max_ms: u64,
    pub(super) loss_percent: u64,
    pub(super) repeat_percent: u64,
}

pub(super) const GOOD: Link = Link { min_ms: 1, max_ms: 3, loss_percent: 0, repeat_percent: 0 };
pub(super) const BAD: Link = Link { min_ms: 1, max_ms: 40, loss_percent: 20, repeat_percent: 20 };

pub(super) struct Network {
    pub(super) keys: BTreeMap<MemberId, KeyMaterial>,
    pub(super) nodes: BTreeMap<MemberId, Signing>,
    pub(super) natures: BTreeMap<MemberId, Nature>,
    pub(super) now: Time,
    pub(super) signed: BTreeMap<(MemberId, ItemId), (Time, SignatureBytes)>,
    pub(super) faults: Vec<(MemberId, Fault)>,
    pub(super) records: BTreeMap<MemberId, Vec<BurnRecord>>,
    pub(super) crash: Option<Crash>,
    /// What each member's node has asked to be signed.
    asked: BTreeMap<MemberId, BTreeSet<ItemId>>,
    pub(super) detector: Detector,
    link: Link,
    rng: ChaCha8Rng,
    agenda: BTreeMap<(Time, u64), Happening>,
    counter: u64,
}

/// A member crashes once it has carried out so many outputs, and starts again at once.
#[derive(Clone, Copy)]
pub(super) struct Crash {
    pub(super) member: MemberId,
    pub(super) after: usize,
    /// Whether the last output, if it is a record, was written and not synced yet.
    pub(super) loses_last: bool,
}

/// Finds a nonce pair that served twice. Knows nothing of the machine but its records and the messages.
#[derive(Default)]
pub(super) struct Detector {
    /// Owner, boot and index of each used pair.
    uses: BTreeSet<(MemberId, BootId, u64)>,
    /// The commitments under each package's hash.
    packages: BTreeMap<[u8; 32], BTreeMap<MemberId, CommitmentBytes>>,
    /// For which package the owner of a commitment gave a share.
    answers: BTreeMap<(MemberId, CommitmentBytes), [u8; 32]>,
    /// Owner, package and share of each record.
    recorded: BTreeSet<(MemberId, [u8; 32], [u8; 32])>,
    pub(super) shares_seen: usize,
}

impl Detector {
    pub(super) fn record(&mut self, member: MemberId, record: &BurnRecord) -> Result<(), String> {
        if !self.uses.insert((member, record.boot, record.index)) {
            return Err(format!("{member} used nonce pair {} of {:?} twice", record.index, record.boot));
        }
        self.recorded.insert((member, record.package, record.share));
        Ok(())
    }

    /// A message on its way.
    pub(super) fn message(&mut self, from: MemberId, bytes: &[u8]) -> Result<(), String> {
        match Message::parse(bytes, EPOCH) {
            Ok(Some(Message::Package(package))) => {
                let commitments = package.signers.iter().map(|(member, entry)| (*member, entry.commitment));
                self.packages.insert(package.hash(EPOCH), commitments.collect());
                // Its coordinator has signed it, too.
                self.answered(from, package.hash(EPOCH))
            }
            Ok(Some(Message::Share(share))) => {
                self.shares_seen += 1;
                if !self.recorded.contains(&(from, share.package, share.share)) {
                    return Err(format!("a share of {from} leaves without a record"));
                }
                self.answered(from, share.package)
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, member: MemberId, package: [u8; 32]) -> Result<(), String> {
        let commitment = self.packages.get(&package).and_then(|commitments| commitments.get(&member));
        let Some(commitment) = commitment else { return Ok(()) };
        let before = *self.answers.entry((member, *commitment)).or_insert(package);
        if before == package {
            Ok(())
        } else {
            Err(format!("{member} answered two packages with one nonce pair"))
        }
    }
}

pub(super) fn digest(item: ItemId) -> [u8; 32] {
    let mut digest = [item.kind; 32];
    digest[..8].copy_from_slice(&item.number.to_be_bytes());
    digest
}

pub(super) fn block(number: u64) -> ItemId {
    ItemId { kind: 1, number }
}

impl Network {
    pub(super) fn new(n: u16, seed: u64, link: Link, natures: &[(usize, Nature)]) -> Self {
        let keys = keys(n, threshold(n));
        let members: Vec<_> = keys.keys().copied().collect();
        let natures: BTreeMap<_, _> =
            natures.iter().map(|(position, nature)| (members[*position], *nature)).collect();
        let mut network = Self {
            keys,
            nodes: BTreeMap::new(),
            natures,
            now: Time::from_millis(1_000),
            signed: BTreeMap::new(),
            faults: Vec::new(),
            records: BTreeMap::new(),
            crash: None,
            asked: BTreeMap::new(),
            detector: Detector::default(),
            link,
            rng: ChaCha8Rng::seed_from_u64(seed),
            agenda: BTreeMap::new(),
            counter: 0,
        };
        for member in members {
            network.boot(member);
        }
        network
    }

    pub(super) fn members(&self) -> Vec<MemberId> {
        self.keys.keys().copied().collect()
    }

    pub(super) fn nature(&self, member: MemberId) -> Nature {
        self.natures.get(&member).copied().unwrap_or(Nature::Honest)
    }

    pub(super) fn honest(&self) -> Vec<MemberId> {
        self.members().into_iter().filter(|member| self.nature(*member) == Nature::Honest).collect()
    }

    /// Starts a member, or starts it again with nothing but its key and its records.
    pub(super) fn boot(&mut self, member: MemberId) {
        let mut boot = [0; 16];
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut boot);
        boot[..8].copy_from_slice(&self.now.as_millis().to_be_bytes());
        self.rng.fill_bytes(&mut seed);
        let config = SigningConfig::new(EPOCH);
        let (identity, nonces) = (Box::new(Stamp(member)), NonceSeed::new(seed));
        let mut node = Signing::new(config, &self.keys[&member], identity, BootId(boot), nonces);
        for record in self.records.get(&member).into_iter().flatten() {
            node.pin(record);
        }
        self.nodes.insert(member, node);
        self.input(member, Input::Tick);
        // In a node, replay of the log asks for what is not signed yet.
        for item in self.asked.get(&member).cloned().unwrap_or_default() {
            self.input(member, Input::Sign { item, digest: digest(item) });
        }
    }

    fn plan(&mut self, at: Time, happening: Happening) {
        self.counter += 1;
        self.agenda.insert((at, self.counter), happening);
    }

    /// All members come to want the item within `spread_ms` from `at`.
    pub(super) fn sign_at(&mut self, at: Time, item: ItemId, spread_ms: u64) {
        for member in self.members() {
            let delay = self.rng.next_u64() % (spread_ms + 1);
            self.plan(at + delay, Happening::Sign { at: member, item });
        }
    }

    pub(super) fn input(&mut self, member: MemberId, input: Input) {
        if let Input::Sign { item, .. } = &input {
            self.asked.entry(member).or_default().insert(*item);
        }
        let Some(node) = self.nodes.get_mut(&member) else { return };
        node.handle(self.now, input).unwrap();
        while let Some(output) = self.nodes.get_mut(&member).unwrap().next_output() {
            self.carry_out(member, output.clone());
            if self.crashes(member, &output) {
                return self.boot(member);
            }
        }
        if let Some(at) = self.nodes[&member].next_deadline() {
            self.plan(at.max(self.now), Happening::Wake(member));
        }
    }

    /// Whether this is where the member crashes. What it still had to do is never done.
    fn crashes(&mut self, member: MemberId, last: &Output) -> bool {
        let Some(crash) = self.crash.as_mut().filter(|crash| crash.member == member) else { return false };
        if crash.after > 0 {
            crash.after -= 1;
            return false;
        }
        let loses = crash.loses_last && matches!(last, Output::Persist(_));
        self.crash = None;
        if loses {
            self.records.get_mut(&member).unwrap().pop();
        }
        true
    }

    fn carry_out(&mut self, member: MemberId, output: Output) {
        match output {
            Output::Persist(record) => {
                assert_eq!(BurnRecord::from_bytes(&record.to_bytes()).as_ref(), Ok(&record));
                self.detector.record(member, &record).unwrap();
                self.records.entry(member).or_default().push(record);
            }
            Output::Send { to, bytes } => {
                self.detector.message(member, &bytes).unwrap();
                self.transmit(member, to, bytes);
            }
            Output::Broadcast(bytes) => {
                for to in self.members().into_iter().filter(|to| *to != member) {
                    self.transmit(member, to, bytes.clone());
                }
            }
            Output::Signed { item, digest: of, signature } => {
                assert_eq!(of, digest(item));
                self.keys[&member].public().verify(&of, &signature).unwrap();
                self.signed.entry((member, item)).or_insert((self.now, signature));
            }
            Output::Fault(fault) => self.faults.push((member, fault)),
        }
    }

    fn transmit(&mut self, from: MemberId, to: MemberId, mut bytes: Vec<u8>) {
        assert!(bytes.len() <= crate::signing::MAX_MESSAGE);
        match self.nature(from) {
            Nature::Honest => {}
            Nature::Silent => return,
            Nature::WrongShare => bytes = falsify(from, bytes),
            Nature::Garbage => self.garbage(from, to, &bytes),
        }
        let copies = 1 + u64::from(self.chance(self.link.repeat_percent));
        for _ in 0..copies {
            if self.chance(self.link.loss_percent) {
                continue;
            }
            let delay = self.link.min_ms + self.rng.next_u64() % (self.link.max_ms - self.link.min_ms + 1);
            self.plan(self.now + delay, Happening::Deliver { from, to, bytes: bytes.clone() });
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    /// Noise, and real messages with a byte changed.
    fn garbage(&mut self, from: MemberId, to: MemberId, bytes: &[u8]) {
        let mut noise = vec![0; (self.rng.next_u64() % 300) as usize];
        self.rng.fill_bytes(&mut noise);
        let mut altered = bytes.to_vec();
        let position = self.rng.next_u64() as usize % altered.len();
        altered[position] ^= 1 + (self.rng.next_u64() % 255) as u8;
        for bytes in [noise, altered] {
            self.plan(self.now + 1, Happening::Deliver { from, to, bytes });
        }
    }

    /// Lets time pass until `end`.
    pub(super) fn run_until(&mut self, end: Time) {
        while let Some(entry) = self.agenda.first_entry() {
            let (at, _) = *entry.key();
            if at > end {
                break;
            }
            let happening = entry.remove();
            self.now = self.now.max(at);
            match happening {
                Happening::Deliver { from, to, bytes } => self.input(to, Input::Message { from, bytes }),
                Happening::Sign { at, item } => self.input(at, Input::Sign { item, digest: digest(item) }),
                Happening::Wake(member) => {
                    let due = self.nodes.get(&member).and_then(Signing::next_deadline);
                    if due.is_some_and(|due| due <= self.now) {
                        self.input(member, Input::Tick);
                    }
                }
            }
        }
        self.now = self.now.max(end);
    }

    /// Milliseconds after `since` at which the last honest member had the item's signature.
    pub(super) fn latency(&self, item: ItemId, since: Time) -> Option<u64> {
        let times = self.honest().into_iter().map(|member| {
            let (at, _) = self.signed.get(&(member, item))?;
            Some(at.as_millis() - since.as_millis())
        });
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    pub(super) fn convicted(&self) -> BTreeSet<MemberId> {
        let wrong = |fault: &&(MemberId, Fault)| matches!(fault.1.kind, FaultKind::InvalidShare { .. });
        self.faults.iter().filter(wrong).map(|(_, fault)| fault.culprit).collect()
    }
}

/// Vouches for what it sends: without that it is not convicted before others.
fn falsify(liar: MemberId, bytes: Vec<u8>) -> Vec<u8> {
    match Message::parse(&bytes, EPOCH) {
        Ok(Some(Message::Share(mut share))) => {
            share.share[31] ^= 1;
            share.voucher = Stamp(liar).vouch(&share.package, &share.share);
            Message::Share(share).to_bytes(EPOCH)
        }
        _ => bytes,
    }
}
