//! What the tests of both machines share: committees, an in-memory log, finished keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event};
use crate::keys::KeyMaterial;
use crate::member::MemberId;

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

/// A log with all members behind it. Every published message is ordered once and given to all.
pub(crate) struct Log {
    pub(crate) nodes: BTreeMap<MemberId, Ceremony>,
    pub(crate) observer: Ceremony,
    pub(crate) queue: VecDeque<(MemberId, Vec<u8>)>,
    pub(crate) entries: Vec<(MemberId, Vec<u8>)>,
    pub(crate) events: Vec<(Option<MemberId>, Event)>,
}

impl Log {
    pub(crate) fn new(n: u16, t: u16) -> Self {
        let members = committee(n);
        let make =
            |me: &MemberId| (*me, Ceremony::new(ceremony_id(), members.clone(), t, *me, seed(*me)).unwrap());
        let mut log = Self {
            nodes: members.iter().map(make).collect(),
            observer: Ceremony::observer(ceremony_id(), members.clone(), t).unwrap(),
            queue: VecDeque::new(),
            entries: Vec::new(),
            events: Vec::new(),
        };
        for me in members {
            let events = log.nodes.get_mut(&me).unwrap().start();
            log.take(me, events);
        }
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

    pub(crate) fn append(&mut self, sender: MemberId, payload: Vec<u8>) {
        let members: Vec<_> = self.nodes.keys().copied().collect();
        for me in members {
            let events = self.nodes.get_mut(&me).unwrap().on_logged(sender, &payload);
            self.take(me, events);
        }
        let events = self.observer.on_logged(sender, &payload);
        self.events.extend(events.into_iter().map(|event| (None, event)));
        self.entries.push((sender, payload));
    }

    /// Orders everything that is published, each message passed through `alter` first.
    pub(crate) fn run(&mut self, mut alter: impl FnMut(MemberId, Vec<u8>) -> Vec<Vec<u8>>) {
        while let Some((sender, payload)) = self.queue.pop_front() {
            for payload in alter(sender, payload) {
                self.append(sender, payload);
            }
        }
    }

    pub(crate) fn completed(self) -> BTreeMap<MemberId, KeyMaterial> {
        let completed = self.events.into_iter().filter_map(|(me, event)| match event {
            Event::Completed(material) => Some((me.unwrap(), *material)),
            _ => None,
        });
        completed.collect()
    }
}

/// Keys made by an honest ceremony.
pub(crate) fn keys(n: u16, t: u16) -> BTreeMap<MemberId, KeyMaterial> {
    let mut log = Log::new(n, t);
    log.run(|_, payload| vec![payload]);
    log.completed()
}
