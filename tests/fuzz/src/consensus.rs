//! Four ordering cores in memory, one of which lies, and a network that does what the input says.
//!
//! Most bytes mean "go on": deliver the oldest message, or let time pass until somebody's deadline. So a row of zeros is a healthy
//! network, and each byte that the fuzzer changes is a fault: a message lost, doubled, overtaken, garbled by the liar or made up by it, a
//! crash that loses unsynced records, a clock that jumps ahead.
//!
//! After every step:
//! - no honest core panics or gives up;
//! - an honest validator, over all its lives, signs one vote a height, round and step, and one proposal a height and round;
//! - all honest cores decide the same header at a height (one of four lies, so they must);
//! - what one input makes a core say is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering::api::{EpochEvent, Input as CoreInput, Output, Recipient};
use ordering::{Ordering, Settings};
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::preimage::Domain;
use ordering_types::{
    Address, ChainSpec, Cut, Digest, Epoch, Height, Incarnation, RollupId, Round, SecretKey, Signature,
    SignedVote, Time, Transaction, ValidatorId, Vote, VoteKind, codec,
};
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::input::Input;

/// Steps of one run.
const MAX_STEPS: usize = 3_000;
/// Messages under way; beyond that the oldest are lost.
const MAX_UNDER_WAY: usize = 512;
/// What one input may make a core say. The most that one asks for is a sync answer and a run of chunks for a slow peer.
const MAX_OUTPUTS: usize = 1_024;
const MAX_OUTPUT_BYTES: usize = 64 << 20;

const NODES: usize = 4;
const LIAR: usize = 3;
const START: Time = Time::from_millis(1_700_000_000_000);

const VOTE: u8 = 5;
const PROPOSAL: u8 = 7;

/// A proposer's claim and its cut, as they stand on the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ProposedCut {
    epoch: Epoch,
    height: Height,
    round: Round,
    valid_round: Option<Round>,
    value: Digest,
    proposer: ValidatorId,
    signature: Signature,
    cut: Bytes,
}

struct Node {
    core: Ordering,
    disk: Disk,
    lives: u64,
    /// What it signed, over all its lives.
    votes: BTreeMap<(Height, Round, VoteKind), Option<Digest>>,
    proposals: BTreeMap<(Height, Round), Digest>,
}

struct Message {
    to: usize,
    from: usize,
    bytes: Bytes,
}

/// The network.
struct World {
    spec: Arc<ChainSpec>,
    domain: Domain,
    now: Time,
    nodes: Vec<Node>,
    under_way: VecDeque<Message>,
    decided: BTreeMap<Height, Digest>,
    /// Values that somebody voted for or proposed.
    values: Vec<Digest>,
    submitted: u64,
}

fn key(node: usize) -> SecretKey {
    SecretKey::simulated([node as u8 + 1; 32])
}

fn id(node: usize) -> ValidatorId {
    ValidatorId::new(node as u16 + 1)
}

fn place(validator: ValidatorId) -> usize {
    usize::from(validator.get()) - 1
}

fn spec() -> Arc<ChainSpec> {
    let rollup = |number, data| Rollup {
        id: RollupId::new(number),
        name: format!("rollup {number}"),
        kind: RollupKind::Opaque,
        chain_id: u64::from(number),
        data,
        quota_bytes_per_block: 64 << 10,
    };
    Arc::new(ChainSpec {
        network: "fuzz".to_owned(),
        l1_chain_id: 1,
        inbox: Address::new([9; 20]),
        limits: Limits { duplicate_window_blocks: 4, blocks_per_batch: 3, ..Limits::default() },
        validators: (0..NODES)
            .map(|n| Validator { id: id(n), key: key(n).public_key(), address: String::new() })
            .collect(),
        rollups: vec![rollup(1, DataPolicy::Blob), rollup(2, DataPolicy::Committee)],
        ..ChainSpec::default()
    })
}

/// Runs the network through the input.
pub fn run(input: &[u8]) {
    height_after(input);
}

/// Runs the network through the input; how far it came.
pub fn height_after(input: &[u8]) -> u64 {
    let mut world = World::new();
    let mut input = Input::new(input);
    for _ in 0..MAX_STEPS {
        let Some(choice) = input.byte() else { break };
        world.step(choice, &mut input);
    }
    world.decided.keys().next_back().map_or(0, |height| height.get())
}

impl World {
    fn new() -> Self {
        let spec = spec();
        let nodes = (0..NODES).map(|node| Node {
            core: core(&spec, node, 1, &Disk::default(), START),
            disk: Disk::default(),
            lives: 1,
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
        });
        let mut world = Self {
            domain: spec.domain(),
            nodes: nodes.collect(),
            spec,
            now: START,
            under_way: VecDeque::new(),
            decided: BTreeMap::new(),
            values: Vec::new(),
            submitted: 0,
        };
        (0..NODES).for_each(|node| world.drain(node));
        world
    }

    fn step(&mut self, choice: u8, input: &mut Input<'_>) {
        match choice {
            0..=159 => self.go_on(),
            160..=175 => self.with_message(input, |world, message| world.deliver(message)),
            176..=183 => self.with_message(input, |_, _| ()),
            184..=191 => self.with_message(input, |world, message| {
                world.send(message.from, message.to, message.bytes.clone());
                world.deliver(message);
            }),
            192..=199 => self.pass(Duration::from_millis(10 * input.small() as u64)),
            200..=207 => self.submit(input),
            208..=215 => self.garble(input),
            216..=223 => self.vote_again(input),
            224..=229 => self.make_up(input),
            230..=235 => self.propose_again(input),
            236..=239 => self.crash(input),
            240..=243 => self.say(input),
            244..=255 => self.next_deadline(),
        }
    }

    fn go_on(&mut self) {
        match self.under_way.pop_front() {
            Some(message) => self.deliver(message),
            None => self.next_deadline(),
        }
    }

    /// Takes any message out of the network.
    fn with_message(&mut self, input: &mut Input<'_>, then: impl FnOnce(&mut Self, Message)) {
        let at = input.wide() % self.under_way.len().max(1);
        if let Some(message) = self.under_way.remove(at) {
            then(self, message);
        }
    }

    fn deliver(&mut self, message: Message) {
        let Message { to, from, bytes } = message;
        self.nodes[to].core.handle(self.now, CoreInput::Message { from: id(from), bytes });
        self.drain(to);
    }

    fn next_deadline(&mut self) {
        let due = self.nodes.iter().filter_map(|node| node.core.next_deadline()).min();
        if let Some(due) = due {
            self.now = self.now.max(due);
            self.wake();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wake();
    }

    fn wake(&mut self) {
        for node in 0..NODES {
            if self.nodes[node].core.next_deadline().is_some_and(|due| due <= self.now) {
                self.nodes[node].core.handle(self.now, CoreInput::Wake);
                self.drain(node);
            }
        }
    }

    fn submit(&mut self, input: &mut Input<'_>) {
        let (node, choice, length) = (input.small() % NODES, input.small(), input.wide());
        // Every fourth one was there before, and one of four rollups does not exist.
        self.submitted += u64::from(!choice.is_multiple_of(4));
        let mut data = self.submitted.to_be_bytes().to_vec();
        data.resize(8 + length % 40_000, choice as u8);
        let transaction = Transaction { rollup: RollupId::new(1 + choice as u32 % 3), data: data.into() };
        let _ = self.nodes[node].core.submit(self.now, transaction);
        self.drain(node);
    }

    /// A system message, such as ceremonies are made of.
    fn say(&mut self, input: &mut Input<'_>) {
        let node = input.small() % NODES;
        let length = input.small();
        let payload = input.bytes(length).to_vec();
        self.nodes[node].core.handle(self.now, CoreInput::System(payload));
        self.drain(node);
    }

    /// A message under way, changed: only the liar can send such a thing.
    fn garble(&mut self, input: &mut Input<'_>) {
        let (to, at, from_end) =
            (input.small() % LIAR, input.wide(), input.byte().is_some_and(|b| b & 1 == 1));
        let index = input.wide() % self.under_way.len().max(1);
        let Some(message) = self.under_way.get(index) else { return };
        let mut bytes = message.bytes.to_vec();
        let place = at % bytes.len().max(1);
        let place = if from_end { bytes.len() - 1 - place } else { place };
        bytes[place] ^= input.byte().unwrap_or(1);
        self.deliver(Message { to, from: LIAR, bytes: bytes.into() });
    }

    /// Any bytes, from the liar.
    fn make_up(&mut self, input: &mut Input<'_>) {
        let (to, length) = (input.small() % LIAR, input.wide() % 4_096);
        let bytes = Bytes::copy_from_slice(input.bytes(length));
        self.deliver(Message { to, from: LIAR, bytes });
    }

    fn value(&self, choice: usize) -> Option<Digest> {
        match choice {
            0..=63 => None,
            64..=239 => self.values.get(choice % self.values.len().max(1)).copied(),
            _ => Some(Digest::new([choice as u8; 32])),
        }
    }

    /// A vote of the liar's, for anything, to one node: the others may be told something else.
    fn vote_again(&mut self, input: &mut Input<'_>) {
        let (to, choice, ahead) = (input.small() % LIAR, input.small(), input.small());
        let newest = self.decided.keys().next_back().map_or(0, |height| height.get());
        let vote = Vote {
            kind: if ahead & 1 == 0 { VoteKind::Prevote } else { VoteKind::Precommit },
            epoch: Epoch::new(u64::from(ahead & 128 != 0)),
            height: Height::new(newest + (ahead as u64 >> 1 & 3)),
            round: Round::new(ahead as u32 >> 3 & 3),
            value: self.value(choice),
            validator: id(LIAR),
        };
        let signed = vote.sign(&self.domain, &key(LIAR));
        let bytes = [&[VOTE], codec::encode(&signed).as_slice()].concat().into();
        self.deliver(Message { to, from: LIAR, bytes });
    }

    /// A proposal under way, changed and signed by the liar.
    fn propose_again(&mut self, input: &mut Input<'_>) {
        let (to, choice, round, by) =
            (input.small() % LIAR, input.small(), input.small(), input.small() as u64);
        let found = self.under_way.iter().find(|m| m.bytes.first() == Some(&PROPOSAL));
        let Some(mut proposed) =
            found.and_then(|m| codec::decode::<ProposedCut>(&m.bytes[1..], 16 << 20).ok())
        else {
            return;
        };
        let Ok(mut cut) = Cut::decode(&proposed.cut) else { return };
        match choice % 8 {
            0 => cut.time_ms = cut.time_ms.saturating_add(by),
            1 => cut.time_ms = cut.time_ms.saturating_sub(by),
            2 => cut.seals_batch = !cut.seals_batch,
            3 => _ = cut.tips.pop(),
            4 => cut.height = Height::new(cut.height.get() ^ by),
            5 => cut.parent_commit = None,
            6 => proposed.valid_round = Some(Round::new(by as u32 & 3)),
            _ => proposed.value = self.value(by as usize).unwrap_or_default(),
        }
        proposed.cut = cut.encode().into();
        proposed.round = Round::new(round as u32 & 7);
        proposed.proposer = id(LIAR);
        let p = &proposed;
        let signed = self.domain.proposal(p.epoch, p.height, p.round, p.valid_round, p.value);
        proposed.signature = key(LIAR).sign(signed);
        let bytes = [&[PROPOSAL], codec::encode(&proposed).as_slice()].concat().into();
        self.deliver(Message { to, from: LIAR, bytes });
    }

    fn crash(&mut self, input: &mut Input<'_>) {
        let (at, survivors) = (input.small() % NODES, input.small());
        let node = &mut self.nodes[at];
        node.disk.crash(survivors);
        node.lives += 1;
        node.core = core(&self.spec, at, node.lives, &node.disk, self.now);
        self.drain(at);
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) {
        if to != from && to < NODES {
            self.under_way.push_back(Message { to, from, bytes });
        }
        if self.under_way.len() > MAX_UNDER_WAY {
            self.under_way.pop_front();
        }
    }

    fn drain(&mut self, at: usize) {
        let (mut outputs, mut said) = (0, 0);
        while let Some(output) = self.nodes[at].core.next_output() {
            outputs += 1;
            match output {
                Output::Persist(record) => self.nodes[at].disk.write(record),
                Output::Send { to, bytes, after_sync, .. } => {
                    said += bytes.len();
                    if after_sync {
                        self.nodes[at].disk.sync();
                    }
                    self.note(at, &bytes, after_sync);
                    match to {
                        Recipient::All => (0..NODES).for_each(|to| self.send(at, to, bytes.clone())),
                        Recipient::One(to) => self.send(at, place(to), bytes),
                    }
                }
                Output::Serve { to, request } => {
                    if let Some(bytes) = self.nodes[at].disk.serve(request) {
                        said += bytes.len();
                        self.send(at, place(to), bytes);
                    }
                }
                Output::Decided(decided) => {
                    let (height, header) = (decided.block.header.height, decided.block.header.hash());
                    let first = *self.decided.entry(height).or_insert(header);
                    assert!(at == LIAR || first == header, "a fork at height {height}");
                }
                Output::Epoch(event) => {
                    assert!(!matches!(event, EpochEvent::Ended { .. }), "nobody votes for another epoch");
                }
                Output::JudgeCheckpoint(checkpoint) | Output::Jumped(checkpoint) => {
                    panic!("nobody was asked for {checkpoint:?}")
                }
                Output::Evidence(evidence) => {
                    assert_eq!(evidence.culprit, id(LIAR), "an honest validator is accused: {evidence:?}");
                }
                Output::Fatal(why) => panic!("node {at} gives up: {why}"),
            }
        }
        assert!(outputs <= MAX_OUTPUTS && said <= MAX_OUTPUT_BYTES, "{outputs} outputs of {said} bytes");
    }

    /// What honest nodes sign is signed once, and on disk first.
    fn note(&mut self, at: usize, bytes: &Bytes, after_sync: bool) {
        match bytes.split_first() {
            Some((&VOTE, body)) => {
                let SignedVote { vote, .. } = codec::decode(body, 1_024).expect("a core's own vote decodes");
                if let Some(value) = vote.value {
                    self.learn(value);
                }
                if vote.validator == id(at) && at != LIAR {
                    let place = (vote.height, vote.round, vote.kind);
                    let known = self.nodes[at].votes.contains_key(&place);
                    let first = *self.nodes[at].votes.entry(place).or_insert(vote.value);
                    assert_eq!(first, vote.value, "node {at} votes twice at {place:?}");
                    assert!(known || after_sync, "node {at} votes at {place:?} before it is on disk");
                }
            }
            Some((&PROPOSAL, body)) => {
                let p: ProposedCut = codec::decode(body, 16 << 20).expect("a core's own proposal decodes");
                self.learn(p.value);
                if p.proposer == id(at) && at != LIAR {
                    let first = *self.nodes[at].proposals.entry((p.height, p.round)).or_insert(p.value);
                    assert_eq!(first, p.value, "node {at} proposes twice at {}/{}", p.height, p.round);
                }
            }
            _ => {}
        }
    }

    fn learn(&mut self, value: Digest) {
        if !self.values.contains(&value) && self.values.len() < 64 {
            self.values.push(value);
        }
    }
}

fn core(spec: &Arc<ChainSpec>, node: usize, lives: u64, disk: &Disk, now: Time) -> Ordering {
    let window = u64::from(spec.limits.duplicate_window_blocks);
    let settings = Settings::new(Incarnation::new(lives));
    Ordering::new(Arc::clone(spec), settings, (id(node), key(node)), disk.recovered(window), now)
        .expect("a node starts from its own disk")
}
