//! One signature after another, by the least number of members.

use std::collections::BTreeMap;
use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, WallTime};
use mpc::MemberId;
use mpc::signing::{
    BootId, Identity, Input, ItemId, NonceSeed, Output, Signing, SigningConfig, Time, Voucher,
};

use crate::{MEMBERS, THRESHOLD, key};

fn now() -> Time {
    Time::from_millis(0)
}

/// Signatures of a node's identity are not of this crate.
struct Nobody;

impl Identity for Nobody {
    fn vouch(&self, _: &[u8; 32], _: &[u8; 32]) -> Voucher {
        [0; 65]
    }
}

/// What one signature cost.
struct Spent {
    /// A signer, on average.
    sign: Duration,
    /// The coordinator, with the last share.
    aggregate: Duration,
}

/// Those who sign, connected without delay. The first of them coordinates.
struct Signers {
    nodes: BTreeMap<MemberId, Signing>,
    coordinator: MemberId,
    next: u64,
}

impl Signers {
    fn new() -> Self {
        let nodes: BTreeMap<MemberId, Signing> = key::make()
            .iter()
            .take(usize::from(THRESHOLD))
            .map(|(me, material)| {
                let number = u8::try_from(me.number()).unwrap();
                let config = SigningConfig { pool_target: 2, ..SigningConfig::new(1) };
                let seed = NonceSeed::new([number; 32]);
                (*me, Signing::new(config, material, Box::new(Nobody), BootId([number; 16]), seed))
            })
            .collect();
        let coordinator = *nodes.keys().next().unwrap();
        let mut signers = Self { nodes, coordinator, next: 0 };
        signers.give(coordinator, Input::Tick);
        let wants = signers.sent_by(coordinator);
        let supplies = signers.answers(wants).0;
        supplies.into_iter().for_each(|supply| signers.give(coordinator, supply));
        signers
    }

    fn give(&mut self, to: MemberId, input: Input) {
        if let Some(node) = self.nodes.get_mut(&to) {
            node.handle(now(), input).unwrap();
        }
    }

    fn sent_by(&mut self, member: MemberId) -> Vec<(MemberId, Vec<u8>)> {
        let node = self.nodes.get_mut(&member).unwrap();
        let outputs = std::iter::from_fn(|| node.next_output());
        outputs
            .filter_map(|output| match output {
                Output::Send { to, bytes } => Some((to, bytes)),
                Output::Fault(fault) => panic!("{fault}"),
                _ => None,
            })
            .collect()
    }

    /// What the others say to the coordinator's messages, and how long it took them.
    fn answers(&mut self, messages: Vec<(MemberId, Vec<u8>)>) -> (Vec<Input>, Duration) {
        let from = self.coordinator;
        let mut answers = Vec::new();
        let mut spent = Duration::ZERO;
        for (to, bytes) in messages {
            if !self.nodes.contains_key(&to) {
                continue;
            }
            let begun = WallTime.start();
            self.give(to, Input::Message { from, bytes });
            spent += WallTime.end(begun);
            let sent = self.sent_by(to).into_iter().filter(|(to, _)| *to == from);
            answers.extend(sent.map(|(_, bytes)| Input::Message { from: to, bytes }));
        }
        (answers, spent)
    }

    fn sign(&mut self) -> Spent {
        // Of these numbers, the first member coordinates the first attempt.
        let item = ItemId { kind: 1, number: self.next * u64::from(MEMBERS) };
        self.next += 1;
        let members: Vec<MemberId> = self.nodes.keys().copied().collect();
        for member in members.into_iter().rev() {
            self.give(member, Input::Sign { item, digest: [9; 32] });
        }
        let packages = self.sent_by(self.coordinator);
        let (mut shares, signing) = self.answers(packages);
        assert_eq!(shares.len(), usize::from(THRESHOLD) - 1);
        let last = shares.pop().unwrap();
        shares.into_iter().for_each(|share| self.give(self.coordinator, share));
        let begun = WallTime.start();
        self.give(self.coordinator, last);
        let aggregate = WallTime.end(begun);
        self.finish(item);
        Spent { sign: signing / u32::from(THRESHOLD - 1), aggregate }
    }

    fn finish(&mut self, item: ItemId) {
        let node = self.nodes.get_mut(&self.coordinator).unwrap();
        let signed = std::iter::from_fn(|| node.next_output()).find_map(|output| match output {
            Output::Signed { signature, .. } => Some(signature),
            _ => None,
        });
        let signature = signed.expect("one round makes a signature");
        for node in self.nodes.values_mut() {
            node.handle(now(), Input::Signature { item, signature }).unwrap();
            while node.next_output().is_some() {}
        }
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut signers = Signers::new();
    let mut group = criterion.benchmark_group(format!("({THRESHOLD}, {MEMBERS})"));
    group.sample_size(10);
    for (name, cost) in
        [("sign", (|spent| spent.sign) as fn(Spent) -> Duration), ("aggregate", |spent| spent.aggregate)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| cost(signers.sign())).sum());
        });
    }
    group.finish();
}
