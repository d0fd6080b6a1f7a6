#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use ordering_types::chain_spec::Validator;
use ordering_types::cut::SystemMessage;
use ordering_types::{Address, Height};

use super::*;

fn keys() -> Vec<SecretKey> {
    (1..=4).map(|n| SecretKey::from_bytes([n; 32]).unwrap()).collect()
}

fn spec() -> ChainSpec {
    let validators = (1..=4).zip(keys()).map(|(n, key)| Validator {
        id: ValidatorId::new(n),
        key: key.public_key(),
        address: String::new(),
    });
    ChainSpec {
        network: "founding".to_owned(),
        l1_chain_id: 1337,
        inbox: Address::new([0xaa; 20]),
        validators: validators.collect(),
        rollups: Vec::new(),
        ..ChainSpec::default()
    }
}

fn committee() -> Committee {
    spec().committee()
}

fn member(index: usize) -> Founding {
    let id = ValidatorId::new(index as u16 + 1);
    Founding::new(&spec(), id, Some((keys()[index].clone(), [index as u8 + 1; 32]))).unwrap()
}

/// A log and those who follow it: each message in a block of its own, one millisecond after another.
struct Run {
    members: Vec<Founding>,
    queue: VecDeque<(ValidatorId, Vec<u8>)>,
    log: Vec<LoggedBlock>,
    founded: Vec<Option<api::Founding>>,
    shares: usize,
    time: u64,
}

impl Run {
    /// Begins with a block in which nobody speaks.
    fn new() -> Self {
        let time = 1_800_000_000_000;
        let members = (0..4).map(member).collect();
        let log = vec![block(time, vec![])];
        let mut run = Self { members, queue: VecDeque::new(), log, founded: vec![None; 4], shares: 0, time };
        for index in 0..4 {
            let mut events = run.members[index].start(&[]);
            events.extend(run.members[index].on_time(time));
            run.take(index, events);
        }
        run
    }

    fn take(&mut self, index: usize, events: Vec<FoundingEvent>) {
        for event in events {
            match event {
                FoundingEvent::Publish(bytes) => self.queue.push_back((id(index), bytes)),
                FoundingEvent::Founded(result) => self.founded[index] = Some(result),
                FoundingEvent::Share(_) => self.shares += 1,
                FoundingEvent::Fault { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Orders all that is said by those who are there.
    fn go_on(&mut self, is_there: impl Fn(usize, &[u8]) -> bool) {
        while let Some((sender, payload)) = self.queue.pop_front() {
            if !is_there(usize::from(sender.get()) - 1, &payload) {
                continue;
            }
            self.time += 1;
            self.log.push(block(self.time, vec![(sender, payload.clone())]));
            for index in 0..4 {
                let events = hear(&mut self.members[index], self.time, sender, &payload);
                self.take(index, events);
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.time += millis;
        self.log.push(block(self.time, vec![]));
        for index in 0..4 {
            let events = self.members[index].on_time(self.time);
            self.take(index, events);
        }
    }
}

fn hear(founding: &mut Founding, time: u64, sender: ValidatorId, payload: &[u8]) -> Vec<FoundingEvent> {
    founding.on_logged(time, sender, &LogPayload::decode(payload).unwrap())
}

fn id(index: usize) -> ValidatorId {
    ValidatorId::new(index as u16 + 1)
}

fn block(time_ms: u64, messages: Vec<(ValidatorId, Vec<u8>)>) -> LoggedBlock {
    let messages = messages.into_iter().map(|(sender, payload)| SystemMessage {
        sender,
        sequence: 1,
        payload,
        signature: Signature::new([0; 65]),
    });
    LoggedBlock { height: Height::new(1), time_ms, messages: messages.collect() }
}

/// Runs all four over one log; returns the log and what each founded.
fn run() -> (Vec<LoggedBlock>, Vec<Option<api::Founding>>) {
    let mut run = Run::new();
    run.go_on(|_, _| true);
    (run.log, run.founded)
}

fn published(events: Vec<FoundingEvent>) -> Vec<Vec<u8>> {
    events
        .into_iter()
        .filter_map(|event| match event {
            FoundingEvent::Publish(bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

fn founded(events: &[FoundingEvent]) -> Option<&api::Founding> {
    events.iter().find_map(|event| match event {
        FoundingEvent::Founded(founding) => Some(founding),
        _ => None,
    })
}

#[test]
fn all_found_the_same_key_with_signatures_that_the_contract_accepts() {
    let (_, founded) = run();
    let first = founded[0].clone().unwrap();
    assert!(founded.iter().all(|f| f.as_ref() == Some(&first)));
    assert_eq!(first.signatures.len(), committee().quorum());
    let (x, y) = first.key.coordinates();
    let digest = spec().domain().initialise(Epoch::new(0), x, y);
    for (id, signature) in &first.signatures {
        assert_eq!(signature.recover(digest).as_ref(), committee().key(*id));
    }
}

/// As the log goes on, and once more from what the log holds, wherever it is cut.
#[test]
fn a_restart_at_any_point_of_the_log_says_only_what_the_log_lacks() {
    let (log, founded) = run();
    let own = |blocks: &[LoggedBlock]| -> Vec<Vec<u8>> {
        let all = blocks.iter().flat_map(|block| &block.messages);
        all.filter(|m| m.sender == id(2)).map(|m| m.payload.clone()).collect()
    };
    for cut in 0..=log.len() {
        let (before, after) = log.split_at(cut);
        let mut again = member(2);
        for bytes in published(again.start(before)) {
            assert!(!own(before).contains(&bytes), "cut at {cut}: said twice");
            assert!(own(after).contains(&bytes), "cut at {cut}: said anew");
        }
        let mut events = Vec::new();
        for LoggedBlock { time_ms, messages, .. } in after {
            events.extend(again.on_time(*time_ms));
            events.extend(messages.iter().flat_map(|m| hear(&mut again, *time_ms, m.sender, &m.payload)));
        }
        if cut < log.len() - 1 {
            assert!(founded[2].as_ref() == super::tests::founded(&events), "cut at {cut}");
        }
    }
}

/// One of four that is away from the beginning, or from its dealing on, costs a minute, and no more.
#[test]
fn one_of_four_is_not_needed() {
    for silent_from in 1..=3 {
        let mut run = Run::new();
        let is_there =
            |index: usize, payload: &[u8]| index != 3 || payload[0] != 1 || payload[1] < silent_from;
        run.go_on(is_there);
        assert!(run.founded.iter().all(Option::is_none), "it is waited for");
        for _ in 0..2 {
            run.wait(60_000);
            run.go_on(is_there);
        }
        let first = run.founded[0].clone().unwrap();
        assert!(run.founded.iter().all(|f| f.as_ref() == Some(&first)), "silent from step {silent_from}");
        assert_eq!(run.shares, if silent_from == 1 { 3 } else { 4 });
    }
}

/// With two of four away there is no key; once they are back, the next attempt makes one.
#[test]
fn who_comes_back_takes_part_in_the_next_attempt() {
    let mut run = Run::new();
    run.go_on(|index, _| index < 2);
    for _ in 0..3 {
        run.wait(300_000);
        run.go_on(|index, _| index < 2);
    }
    assert!(run.members[0].stage().contains("attempt 2"), "{}", run.members[0].stage());
    run.wait(300_000);
    run.go_on(|_, _| true);
    assert!(run.founded.iter().all(Option::is_some), "{}", run.members[0].stage());
    assert_eq!(run.shares, 4);
    let mut late = member(1);
    let events = late.start(&run.log);
    assert!(founded(&events) == run.founded[0].as_ref(), "as from the log alone");
}

#[test]
fn votes_count_once_and_only_with_the_voters_signature() {
    let (log, founded_by) = run();
    let key = founded_by[0].clone().unwrap().key;
    let (x, y) = key.coordinates();
    let sign = |index: usize| *keys()[index].sign(spec().domain().initialise(Epoch::new(0), x, y)).as_bytes();
    let vote = |signature| LogPayload::FoundingVote { key: *key.as_bytes(), signature }.encode();
    let mut founding = member(3);
    let is_vote = |block: &LoggedBlock| block.messages.iter().any(|m| m.payload[0] != 1);
    let ceremony: Vec<LoggedBlock> = log.into_iter().filter(|block| !is_vote(block)).collect();
    founding.start(&ceremony);
    let now = ceremony.last().unwrap().time_ms;

    let forged = hear(&mut founding, now, ValidatorId::new(1), &vote(sign(1)));
    assert!(matches!(forged.as_slice(), [FoundingEvent::Fault { peer, .. }] if peer.get() == 1));
    // The right signature with a byte that recovers another key, or none: the contract would refuse all of them.
    for v in [0, 27, 28, 29] {
        let mut signature = sign(0);
        if v == signature[64] {
            continue;
        }
        signature[64] = v;
        let spoilt = hear(&mut founding, now, ValidatorId::new(1), &vote(signature));
        assert!(matches!(spoilt.as_slice(), [FoundingEvent::Fault { .. }]), "v = {v}");
    }
    for _ in 0..3 {
        assert!(founded(&hear(&mut founding, now, ValidatorId::new(2), &vote(sign(1)))).is_none());
    }
    assert!(founded(&hear(&mut founding, now, ValidatorId::new(1), &vote(sign(0)))).is_none());
    let stranger = hear(&mut founding, now, ValidatorId::new(9), &vote(sign(0)));
    assert!(matches!(stranger.as_slice(), [FoundingEvent::Fault { .. }]));
    assert!(founded(&hear(&mut founding, now, ValidatorId::new(3), &vote(sign(2)))).is_some());
}

#[test]
fn a_vote_for_no_key_is_a_fault_and_nothing_else() {
    let mut founding = member(0);
    founding.start(&[]);
    let payload = LogPayload::FoundingVote { key: [0; 33], signature: [0; 65] };
    let events = founding.on_logged(1, ValidatorId::new(2), &payload);
    assert!(matches!(events.as_slice(), [FoundingEvent::Fault { .. }]));
    assert!(!founding.stage().is_empty());
}
