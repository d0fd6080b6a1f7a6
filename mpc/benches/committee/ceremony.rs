//! A ceremony as one member sees it.

use std::collections::BTreeMap;

use criterion::{BatchSize, Criterion};
use mpc::ceremony::{Ceremony, CeremonyId, CeremonyKind, CeremonySeed, Event, Patience, Setup};
use mpc::{GroupPublic, KeyMaterial, MemberId};

use crate::key::{self, members};
use crate::{MEMBERS, THRESHOLD};

fn setup(old: Option<GroupPublic>) -> Setup {
    let kind = if old.is_some() { CeremonyKind::Reshare } else { CeremonyKind::Fresh };
    Setup {
        id: CeremonyId { l1_chain_id: 1, contract: [7; 20], epoch: 1, kind, attempt: 0 },
        members: members().collect(),
        threshold: THRESHOLD,
        old,
        announced: BTreeMap::new(),
        patience: Patience { announce: 1_000, acknowledge: 1_000, attempt: 10_000 },
    }
}

/// One ceremony's log so far.
struct Log {
    setup: Setup,
    old: BTreeMap<MemberId, KeyMaterial>,
    announcements: Vec<(MemberId, Vec<u8>)>,
    dealings: Vec<(MemberId, Vec<u8>)>,
}

impl Log {
    fn new(old: BTreeMap<MemberId, KeyMaterial>) -> Self {
        let setup = setup(old.values().next().map(|material| material.public().clone()));
        let mut log = Self { setup, old, announcements: Vec::new(), dealings: Vec::new() };
        log.announcements = members().map(|me| (me, published(log.member(me).start()).remove(0))).collect();
        log.dealings =
            members().map(|me| (me, published(log.deal(&mut log.undealt(me))).remove(0))).collect();
        log
    }

    fn member(&self, me: MemberId) -> Ceremony {
        let seed = CeremonySeed::new([u8::try_from(me.number()).unwrap(); 32]);
        Ceremony::new(&self.setup, me, seed, self.old.get(&me).map(KeyMaterial::share)).unwrap()
    }

    /// A member that has seen all announcements but the last.
    fn undealt(&self, me: MemberId) -> Ceremony {
        let mut ceremony = self.member(me);
        let (_, all_but_last) = self.announcements.split_last().unwrap();
        all_but_last.iter().for_each(|(sender, bytes)| drop(ceremony.on_logged(1, *sender, bytes)));
        ceremony
    }

    fn deal(&self, ceremony: &mut Ceremony) -> Vec<Event> {
        let (sender, bytes) = self.announcements.last().unwrap();
        ceremony.on_logged(1, *sender, bytes)
    }

    /// A member that has dealt.
    fn dealt(&self, me: MemberId) -> Ceremony {
        let mut ceremony = self.undealt(me);
        self.deal(&mut ceremony);
        ceremony
    }

    fn process(&self, ceremony: &mut Ceremony) {
        let events: Vec<_> =
            self.dealings.iter().flat_map(|(sender, bytes)| ceremony.on_logged(2, *sender, bytes)).collect();
        assert_eq!(published(events).len(), 1, "the acknowledgement");
    }
}

fn published(events: Vec<Event>) -> Vec<Vec<u8>> {
    let payload = |event| match event {
        Event::Publish(payload) => payload,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(payload).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("({THRESHOLD}, {MEMBERS})"));
    group.sample_size(10);
    let me = members().next().unwrap();
    for (kind, old) in [("fresh", BTreeMap::new()), ("reshare", key::make())] {
        let log = Log::new(old);
        group.bench_function(format!("{kind}: deal"), |bencher| {
            bencher.iter_batched_ref(|| log.undealt(me), |node| log.deal(node), BatchSize::PerIteration);
        });
        group.bench_function(format!("{kind}: process"), |bencher| {
            bencher.iter_batched_ref(|| log.dealt(me), |node| log.process(node), BatchSize::PerIteration);
        });
    }
    group.finish();
}
