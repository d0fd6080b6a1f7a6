//! What the tests of both machines share: committees, an in-memory log, finished keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Patience, Setup};
use crate::keys::{GroupPublic, KeyMaterial};
use crate::member::MemberId;
use crate::signing::{Identity, Voucher};

pub(crate) fn member(number: u16) -> MemberId {
    MemberId::new(number).unwrap()
}

/// Member numbers with gaps: nothing may depend on them being 1 to n.
pub(crate) fn committee(n: u16) -> BTreeSet<MemberId> {
    (0..n).map(|i| member(3 * i + 2)).collect()
}

/// `2f + 1` for the largest `f` with `3f < n`.
pub(crate) fn threshold(n: u16) -> u16 {
    2 * ((n - 1) / 3) + 1
}

pub(crate) fn ceremony_id() -> CeremonyId {
    CeremonyId { l1_chain_id: 31337, contract: [0xaa; 20], epoch: 4, kind: CeremonyKind::Fresh, attempt: 0 }
}

pub(crate) fn seed(member: MemberId) -> CeremonySeed {
    CeremonySeed::new([member.number() as u8; 32])
}

/// Of tests: long enough for everybody who is there.
pub(crate) const PATIENCE: Patience = Patience { announce: 50, acknowledge: 60, attempt: 500 };

/// A fresh key among `n`.
pub(crate) fn fresh(n: u16, t: u16) -> Setup {
    Setup {
        id: ceremony_id(),
        members: committee(n),
        threshold: t,
        old: None,
        announced: BTreeMap::new(),
        patience: PATIENCE,
    }
}

/// The same key for `members`.
pub(crate) fn reshare(old: &GroupPublic, members: BTreeSet<MemberId>, t: u16) -> Setup {
    let id = CeremonyId { kind: CeremonyKind::Reshare, epoch: 5, ..ceremony_id() };
    Setup {
        id,
        members,
        threshold: t,
        old: Some(old.clone()),
        announced: BTreeMap::new(),
        patience: PATIENCE,
    }
}

/// A log with nodes behind it. Every published message is ordered once, in a block of its own, and given to all.
pub(crate) struct Log {
    pub(crate) nodes: BTreeMap<MemberId, Ceremony>,
    pub(crate) observer: Ceremony,
    pub(crate) queue: VecDeque<(MemberId, Vec<u8>)>,
    pub(crate) entries: Vec<(u64, MemberId, Vec<u8>)>,
    pub(crate) events: Vec<(Option<MemberId>, Event)>,
    pub(crate) time: u64,
}

impl Log {
    pub(crate) fn new(n: u16, t: u16) -> Self {
        Self::of(&fresh(n, t), &BTreeMap::new())
    }

    /// With the holders of an old key's shares.
    pub(crate) fn of(setup: &Setup, old: &BTreeMap<MemberId, KeyMaterial>) -> Self {
        let all: BTreeSet<MemberId> = setup.members.iter().chain(old.keys()).copied().collect();
        let make = |me: MemberId| {
            let share = old.get(&me).map(KeyMaterial::share);
            (me, Ceremony::new(setup, me, seed(me), share).unwrap())
        };
        let mut log = Self {
            nodes: all.iter().copied().map(make).collect(),
            observer: Ceremony::observer(setup).unwrap(),
            queue: VecDeque::new(),
            entries: Vec::new(),
            events: Vec::new(),
            time: 100,
        };
        log.all(Ceremony::start);
        log.all(|node| node.on_time(100));
        log
    }

    fn take(&mut self, me: MemberId, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Publish(payload) => self.queue.push_back((me, payload)),
                other => self.events.push((Some(me), other)),
            }
        }
    }

    fn all(&mut self, mut give: impl FnMut(&mut Ceremony) -> Vec<Event>) {
        let members: Vec<_> = self.nodes.keys().copied().collect();
        for me in members {
            let events = give(self.nodes.get_mut(&me).unwrap());
            self.take(me, events);
        }
        let events = give(&mut self.observer);
        self.events.extend(events.into_iter().map(|event| (None, event)));
    }

    pub(crate) fn append(&mut self, sender: MemberId, payload: Vec<u8>) {
        let time = self.time;
        self.all(|node| node.on_logged(time, sender, &payload));
        self.entries.push((time, sender, payload));
        self.time += 1;
    }

    /// Time passes, and nobody says anything.
    pub(crate) fn idle(&mut self, millis: u64) {
        for _ in 0..millis {
            let time = self.time;
            self.all(|node| node.on_time(time));
            self.time += 1;
        }
    }

    /// Orders everything that is published, each message passed through `alter` first.
    pub(crate) fn run(&mut self, mut alter: impl FnMut(MemberId, Vec<u8>) -> Vec<Vec<u8>>) {
        while let Some((sender, payload)) = self.queue.pop_front() {
            for payload in alter(sender, payload) {
                self.append(sender, payload);
            }
        }
    }

    /// The keys, once everybody has said everything.
    pub(crate) fn finished(mut self) -> BTreeMap<MemberId, KeyMaterial> {
        self.run(|_, payload| vec![payload]);
        self.completed()
    }

    pub(crate) fn completed(self) -> BTreeMap<MemberId, KeyMaterial> {
        let completed = self.events.into_iter().filter_map(|(me, event)| match event {
            Event::Completed(material) => Some((me.unwrap(), *material)),
            _ => None,
        });
        completed.collect()
    }
}

/// An identity that everybody can check, and forge.
pub(crate) struct Stamp(pub(crate) MemberId);

impl Identity for Stamp {
    fn vouch(&self, package: &[u8; 32], share: &[u8; 32]) -> Voucher {
        let mut voucher = [0; 65];
        voucher[..2].copy_from_slice(&self.0.number().to_be_bytes());
        voucher[2..34].copy_from_slice(&Sha256::digest([package.as_slice(), share].concat()));
        voucher
    }
}

/// Keys made by an honest ceremony.
pub(crate) fn keys(n: u16, t: u16) -> BTreeMap<MemberId, KeyMaterial> {
    Log::new(n, t).finished()
}
