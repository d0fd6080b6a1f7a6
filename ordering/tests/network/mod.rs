//! A network of cores in memory: virtual clock, seeded faults, and disks that lose what was not synced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering::api::{
    Checkpoint, Decided, EpochEvent, Evidence, Input, Output, Recipient, Record, Recovered, StoreRequest, Tip,
};
use ordering::{Ordering, Settings, wire};
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::{
    Address, ChainSpec, Chunk, Cut, Digest, Height, Incarnation, LaneId, LaneSequence, LaneTip, RollupId,
    Round, SecretKey, SignedVote, Time, Transaction, TxId, ValidatorId, VoteKind, codec,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What the network does to messages.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
}

impl Link {
    pub(crate) const GOOD: Self =
        Self { delay: Duration::from_millis(1), jitter: Duration::from_millis(1), loss: 0.0, duplicate: 0.0 };

    pub(crate) const BAD: Self = Self {
        delay: Duration::from_millis(2),
        jitter: Duration::from_millis(30),
        loss: 0.2,
        duplicate: 0.1,
    };
}

/// What a node has on disk: everything persisted, of which the first `synced` survive a crash.
#[derive(Default, Clone)]
pub(crate) struct Disk {
    pub(crate) records: Vec<Record>,
    pub(crate) synced: usize,
    pub(crate) replaced: bool,
}

impl Disk {
    /// In the place of one that is lost.
    pub(crate) fn replacement() -> Self {
        Self { replaced: true, ..Self::default() }
    }

    /// The blocks since the newest checkpoint, if any.
    pub(crate) fn decided(&self) -> impl Iterator<Item = &Arc<Decided>> {
        let first = self.records.iter().rposition(|r| matches!(r, Record::Checkpoint(_))).unwrap_or(0);
        self.records[first..].iter().filter_map(|r| match r {
            Record::Decided(decided) => Some(decided),
            _ => None,
        })
    }

    pub(crate) fn checkpoint(&self) -> Option<&Arc<Checkpoint>> {
        self.records.iter().rev().find_map(|r| match r {
            Record::Checkpoint(checkpoint) => Some(checkpoint),
            _ => None,
        })
    }

    pub(crate) fn chunk(&self, digest: Digest) -> Option<&Chunk> {
        self.records.iter().find_map(|r| match r {
            Record::Chunk(chunk) if chunk.digest() == digest => Some(chunk),
            _ => None,
        })
    }

    pub(crate) fn recovered(&self, window: u64) -> Recovered {
        let tip = self.decided().last().map(|d| Tip {
            header: d.block.header.clone(),
            certificate: d.certificate.clone(),
            snapshot: d.snapshot.clone(),
        });
        let checkpoint = self.checkpoint().map(|c| Tip {
            header: c.header.clone(),
            certificate: c.certificate.clone(),
            snapshot: c.snapshot.clone(),
        });
        let tip = tip.or(checkpoint);
        let tip_height = tip.as_ref().map_or(Height::ZERO, |tip| tip.header.height);
        let mut covered = std::collections::BTreeMap::new();
        let recent = self
            .decided()
            .inspect(|d| {
                for tip in &d.cut.tips {
                    covered.insert(tip.lane, tip.sequence);
                }
            })
            .filter(|d| d.block.header.height.get() + window > tip_height.get())
            .map(|d| {
                let ids = d.block.sections.iter().flat_map(|s| {
                    d.tree.leaves(s.rollup).unwrap().iter().map(|id| (s.rollup, *id)).collect::<Vec<_>>()
                });
                (d.block.header.height, ids.collect())
            })
            .collect();
        let (mut wal, mut chunks) = (vec![], vec![]);
        for record in &self.records {
            match record {
                Record::Wal { height, entry } if *height > tip_height => wal.push((*height, entry.clone())),
                Record::Chunk(c) if covered.get(&c.lane()).is_none_or(|to| c.sequence() > *to) => {
                    chunks.push(c.clone());
                }
                _ => {}
            }
        }
        Recovered { tip, recent, wal, chunks, replaced: self.replaced }
    }
}

enum Event {
    Deliver { to: usize, from: ValidatorId, bytes: Bytes },
    Wake { node: usize },
}

pub(crate) struct Node {
    pub(crate) core: Option<Ordering>,
    pub(crate) disk: Disk,
    pub(crate) incarnation: u64,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) epochs: Vec<EpochEvent>,
    /// When each block was decided here, and how many transactions it had.
    pub(crate) decided_at: Vec<(Time, u32)>,
    /// The block that the core's host believes to be the newest.
    told: Digest,
    wake: Option<Time>,
    /// Every vote that ever left it, over all restarts.
    pub(crate) votes: BTreeMap<(Height, Round, VoteKind), Option<Digest>>,
    /// The last of them, and when it left.
    pub(crate) last_vote: Option<(Time, Height)>,
    durable: Durable,
}

/// What is surely on a node's disk: it grows with every sync.
#[derive(Default)]
struct Durable {
    records: usize,
    /// Each chunk's parent.
    chunks: BTreeMap<Digest, Digest>,
    /// The tips of each cut voted on, by the header hash that it stands for.
    cuts: BTreeMap<Digest, Vec<LaneTip>>,
    decided: BTreeSet<Digest>,
}

impl Durable {
    fn grow(&mut self, disk: &Disk) {
        for record in &disk.records[self.records..disk.synced] {
            match record {
                Record::Chunk(chunk) => {
                    self.chunks.insert(chunk.digest(), chunk.parent());
                }
                Record::Decided(decided) => {
                    self.decided.extend(decided.cut.tips.iter().map(|tip| tip.digest));
                }
                // An entry's first byte tells its kind; a cut's is followed by its header hash.
                Record::Wal { entry, .. } if entry[0] == 1 => {
                    let value = Digest::new(entry[1..33].try_into().unwrap());
                    self.cuts.insert(value, Cut::decode(&entry[33..]).unwrap().tips);
                }
                Record::Wal { .. } => {}
                Record::Checkpoint(checkpoint) => {
                    let (_, _, tips, ..): Snapshot = codec::decode(&checkpoint.snapshot, 1 << 20).unwrap();
                    self.decided.extend(tips.into_values().map(|(_, digest)| digest));
                }
            }
        }
        self.records = disk.synced;
    }

    /// Whether the cut behind a value, and every chunk that it adds, is on disk.
    fn holds(&self, value: Digest) -> bool {
        let Some(tips) = self.cuts.get(&value) else { return false };
        tips.iter().all(|tip| {
            let mut digest = tip.digest;
            while digest != Digest::ZERO && !self.decided.contains(&digest) {
                match self.chunks.get(&digest) {
                    Some(parent) => digest = *parent,
                    None => return false,
                }
            }
            true
        })
    }
}

/// The state after a block, as it is stored.
type Snapshot = (
    ordering::epoch::EpochBook,
    ordering::l1::L1Book,
    BTreeMap<LaneId, (LaneSequence, Digest)>,
    BTreeMap<ValidatorId, u64>,
    (u64, Height, u64, u32, [u64; 2], u64),
    Digest,
    (BTreeMap<ValidatorId, (u8, Height)>, BTreeSet<ValidatorId>),
);

/// What somebody on the way (sender, receiver) makes of a message; `None` withholds it.
pub(crate) type Tamper = Box<dyn FnMut(usize, usize, &Bytes) -> Option<Bytes>>;

/// What this host adds to checkpoints.
const CONTEXT: &[u8] = b"genuine";
/// What a node is made to hear, so that it believes in chunks that their owners never cut.
#[derive(Default)]
pub(crate) struct Forger {
    /// The forged chunk in place of each true one.
    forged: BTreeMap<Digest, Digest>,
}

impl Forger {
    fn hear(&mut self, sender: ValidatorId, bytes: Bytes) -> Bytes {
        match bytes[0] {
            CHUNK => {
                let chunk = Chunk::decode(bytes.slice(1..)).unwrap();
                // Not each: what follows a forged chunk hangs on the true one.
                if !chunk.digest().as_bytes()[0].is_multiple_of(4) {
                    return bytes;
                }
                let data = Bytes::from(format!("forged for {sender}: {:?}", chunk.digest()));
                let transaction = Transaction { rollup: OPAQUE, data };
                let forged =
                    Chunk::new(chunk.lane(), chunk.sequence(), chunk.parent(), &[transaction]).unwrap();
                self.forged.insert(chunk.digest(), forged.digest());
                [&[CHUNK], forged.bytes().as_ref()].concat().into()
            }
            REPORT => {
                let (stamp, heights, whole, mut lanes): (
                    (Incarnation, Time),
                    [Height; 2],
                    bool,
                    Vec<LaneTip>,
                ) = codec::decode(&bytes[1..], 1 << 20).unwrap();
                for tip in &mut lanes {
                    tip.digest = self.forged.get(&tip.digest).copied().unwrap_or(tip.digest);
                }
                [&[REPORT], &codec::encode(&(stamp, heights, whole, lanes))[..]].concat().into()
            }
            _ => bytes,
        }
    }
}

/// The kinds of messages that the tests look into or make up.
const CHUNK: u8 = 1;
const REPORT: u8 = 2;
const VOTE: u8 = 5;
const FETCHED_VOTE: u8 = 13;

pub(crate) struct Network {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) link: Link,
    pub(crate) submitted: BTreeMap<TxId, RollupId>,
    /// Nodes that leave one validator's lane out when they lead: they hear of it only what others' cuts make them fetch.
    pub(crate) censors: Vec<usize>,
    pub(crate) censored: ValidatorId,
    pub(crate) tamper: Option<Tamper>,
    /// For nodes that start from now on.
    pub(crate) replay_first: bool,
    /// Nodes whose cores believe in chunks of other content in the lanes of everybody else, so that they propose those when they lead.
    pub(crate) forgers: BTreeMap<usize, Forger>,
    /// Batches that end here or later are not signed.
    pub(crate) unsealed_from: Option<Height>,
    /// Nodes that only hear each other.
    pub(crate) island: Vec<usize>,
    /// How far each node's clock is ahead.
    pub(crate) skew: Vec<Duration>,
    /// How many messages each node sent.
    pub(crate) sent: Vec<u64>,
    rng: ChaCha8Rng,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
    trace: Digest,
    /// The last node runs with the key of the first: twins that equivocate without knowing.
    twin: bool,
}

pub(crate) fn key(node: usize) -> SecretKey {
    SecretKey::from_bytes([u8::try_from(node).unwrap() + 1; 32]).unwrap()
}

pub(crate) fn id(node: usize) -> ValidatorId {
    ValidatorId::new(u16::try_from(node).unwrap() + 1)
}

pub(crate) const EVM: RollupId = RollupId::new(1);
pub(crate) const OPAQUE: RollupId = RollupId::new(2);

pub(crate) fn spec(nodes: usize, limits: Limits) -> Arc<ChainSpec> {
    let rollup = |id: RollupId, kind, data| Rollup {
        id,
        name: format!("rollup {id}"),
        kind,
        chain_id: u64::from(id.get()) + 1_000,
        data,
        quota_bytes_per_block: 1 << 20,
    };
    Arc::new(ChainSpec {
        network: "test".into(),
        l1_chain_id: 1,
        inbox: Address::new([9; 20]),
        limits,
        validators: (0..nodes)
            .map(|n| Validator { id: id(n), key: key(n).public_key(), address: String::new() })
            .collect(),
        rollups: vec![
            rollup(EVM, RollupKind::Evm, DataPolicy::Blob),
            rollup(OPAQUE, RollupKind::Opaque, DataPolicy::Committee),
        ],
        ..ChainSpec::default()
    })
}

impl Network {
    pub(crate) fn new(nodes: usize, seed: u64, link: Link) -> Self {
        Self::with(spec(nodes, Limits::default()), seed, link, false)
    }

    pub(crate) fn with(spec: Arc<ChainSpec>, seed: u64, link: Link, twin: bool) -> Self {
        let count = spec.validators.len() + usize::from(twin);
        let mut network = Self {
            spec,
            now: Time::from_millis(1_700_000_000_000),
            nodes: (0..count)
                .map(|_| Node {
                    core: None,
                    disk: Disk::default(),
                    incarnation: 0,
                    evidence: vec![],
                    epochs: vec![],
                    decided_at: vec![],
                    told: Digest::ZERO,
                    wake: None,
                    votes: BTreeMap::new(),
                    last_vote: None,
                    durable: Durable::default(),
                })
                .collect(),
            link,
            submitted: BTreeMap::new(),
            censors: vec![],
            censored: id(0),
            tamper: None,
            replay_first: false,
            forgers: BTreeMap::new(),
            unsealed_from: None,
            island: vec![],
            skew: vec![Duration::ZERO; count],
            sent: vec![0; count],
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next: 0,
            trace: Digest::ZERO,
            twin,
        };
        for node in 0..count {
            network.start(node);
        }
        network
    }

    fn chance(&mut self, probability: f64) -> bool {
        f64::from(self.rng.next_u32()) < probability * f64::from(u32::MAX)
    }

    /// Starts or restarts a node from its disk.
    pub(crate) fn start(&mut self, node: usize) {
        self.start_silent(node);
        self.drain(node);
    }

    fn start_silent(&mut self, node: usize) {
        let validator = self.validator(node);
        let now = self.clock(node);
        let n = &mut self.nodes[node];
        n.incarnation += 1;
        let settings = Settings {
            replay_first: self.replay_first,
            ..Settings::new(Incarnation::new(n.incarnation * 100 + node as u64))
        };
        let window = u64::from(self.spec.limits.duplicate_window_blocks);
        let recovered = n.disk.recovered(window);
        n.told = recovered.tip.as_ref().map_or(Digest::ZERO, |tip| tip.header.hash());
        let core =
            Ordering::new(self.spec.clone(), settings, (id(validator), key(validator)), recovered, now)
                .unwrap();
        n.core = Some(core);
        n.wake = None;
        n.durable = Durable::default();
    }

    /// Starts a node from its disk, tells it that nobody knows a vote of it, and runs it alone until its first deadline; nothing it says
    /// is heard.
    pub(crate) fn restart_mute(&mut self, node: usize) {
        self.start_silent(node);
        let now = self.now;
        let peers: Vec<ValidatorId> = self.spec.validators.iter().map(|v| v.id).collect();
        let core = self.nodes[node].core.as_mut().unwrap();
        for from in peers {
            let answer = codec::encode(&(now, None::<SignedVote>, Height::ZERO));
            core.handle(now, Input::Message { from, bytes: [&[FETCHED_VOTE], &answer[..]].concat().into() });
        }
        assert_eq!(core.silence(), None);
        core.handle(now + Duration::from_secs(1), Input::Wake);
        while let Some(output) = core.next_output() {
            assert!(!matches!(output, Output::Fatal(_)), "{output:?}");
        }
        self.nodes[node].core = None;
    }

    /// Kills a node; of what it had not synced, a random end is gone.
    pub(crate) fn kill(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        let unsynced = disk.records.len() - disk.synced;
        let survive = usize::try_from(self.rng.next_u64() % (unsynced as u64 + 1)).unwrap();
        disk.records.truncate(disk.synced + survive);
        disk.synced = disk.records.len();
        self.nodes[node].core = None;
    }

    /// The validator that a node runs as.
    fn validator(&self, node: usize) -> usize {
        if self.twin && node + 1 == self.nodes.len() { 0 } else { node }
    }

    /// A node's own clock.
    fn clock(&self, node: usize) -> Time {
        self.now + self.skew[node]
    }

    pub(crate) fn core(&self, node: usize) -> &Ordering {
        self.nodes[node].core.as_ref().unwrap()
    }

    pub(crate) fn submit(&mut self, node: usize, rollup: RollupId, data: Vec<u8>) -> TxId {
        let now = self.clock(node);
        let core = self.nodes[node].core.as_mut().unwrap();
        let id = core.submit(now, Transaction { rollup, data: data.into() }).unwrap();
        self.submitted.insert(id, rollup);
        self.drain(node);
        id
    }

    pub(crate) fn say(&mut self, node: usize, payload: &[u8]) {
        let now = self.clock(node);
        self.nodes[node].core.as_mut().unwrap().handle(now, Input::System(payload.to_vec()));
        self.drain(node);
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.queue.push(Reverse((at, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].core.as_mut().unwrap().next_output() {
            match output {
                Output::Persist(record) => self.nodes[node].disk.records.push(record),
                Output::Send { to, bytes, after_sync, .. } => {
                    if after_sync {
                        self.nodes[node].disk.synced = self.nodes[node].disk.records.len();
                    }
                    self.note_vote(node, &bytes);
                    let all: Vec<ValidatorId> = match to {
                        Recipient::All => self.spec.validators.iter().map(|v| v.id).collect(),
                        Recipient::One(to) => vec![to],
                    };
                    for to in all {
                        self.send_to(node, to, &bytes);
                    }
                }
                Output::Serve { to, request } => {
                    if let Some(bytes) = serve(&self.nodes[node].disk, request) {
                        self.send_to(node, to, &bytes);
                    }
                }
                Output::Decided(decided) => {
                    self.nodes[node].decided_at.push((self.now, decided.block.header.tx_count));
                    let hash = decided.block.header.hash();
                    let told = std::mem::replace(&mut self.nodes[node].told, hash);
                    assert_eq!(decided.block.header.parent, told, "told of a block without its parent");
                    let height = decided.block.header.height;
                    if decided.block.header.seals_batch && self.unsealed_from.is_none_or(|from| height < from)
                    {
                        let now = self.clock(node);
                        let core = self.nodes[node].core.as_mut().unwrap();
                        core.handle(now, Input::Sealed(height));
                    }
                    self.trace = Digest::sha256(&[
                        self.trace.as_ref(),
                        &[u8::try_from(node).unwrap()],
                        hash.as_ref(),
                        &self.now.as_micros().to_be_bytes(),
                    ]);
                }
                Output::JudgeCheckpoint(checkpoint) => {
                    let now = self.clock(node);
                    let core = self.nodes[node].core.as_mut().unwrap();
                    core.handle(now, Input::CheckpointJudged(checkpoint.context == CONTEXT));
                }
                Output::Epoch(event) => self.nodes[node].epochs.push(event),
                Output::Jumped(checkpoint) => self.nodes[node].told = checkpoint.header.hash(),
                Output::Evidence(evidence) => self.nodes[node].evidence.push(evidence),
                Output::Fatal(reason) => panic!("node {node} at {:?}: {reason}", self.now),
            }
        }
        let due = self.nodes[node].core.as_ref().unwrap().next_deadline();
        if let Some(due) = due {
            // Back from the node's clock to ours.
            let due = self.now + due.since(self.clock(node)).max(Duration::from_micros(1));
            if self.nodes[node].wake.is_none_or(|wake| due < wake || wake <= self.now) {
                self.nodes[node].wake = Some(due);
                self.schedule(due, Event::Wake { node });
            }
        }
    }

    /// No node ever sends two different votes for one place, whatever became of it and its disk in between, nor votes for what is not on its
    /// disk.
    fn note_vote(&mut self, node: usize, bytes: &Bytes) {
        if bytes[0] == VOTE {
            let SignedVote { vote, .. } = codec::decode(&bytes[1..], 1_024).unwrap();
            let place = (vote.height, vote.round, vote.kind);
            let first = *self.nodes[node].votes.entry(place).or_insert(vote.value);
            assert_eq!(first, vote.value, "node {node} votes twice: {vote:?}");
            let Node { durable, disk, .. } = &mut self.nodes[node];
            durable.grow(disk);
            assert!(
                vote.value.is_none_or(|v| durable.holds(v)),
                "node {node} votes before it synced: {vote:?}"
            );
            self.nodes[node].last_vote = Some((self.now, vote.height));
        }
    }

    /// The greatest height that a node ever voted at.
    pub(crate) fn voted_height(&self, node: usize) -> u64 {
        self.nodes[node].votes.keys().next_back().map_or(0, |(height, ..)| height.get())
    }

    fn send_to(&mut self, from: usize, to: ValidatorId, bytes: &Bytes) {
        for node in 0..self.nodes.len() {
            let validator = self.validator(node);
            if node != from && id(validator) == to && validator != self.validator(from) {
                self.send(from, node, bytes.clone());
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) {
        self.sent[from] += 1;
        // Of the twins, each speaks to one half of the others; one node hears both.
        let half = self.nodes.len() / 2;
        if self.twin && ((from == 0 && to > half) || (from + 1 == self.nodes.len() && to < half)) {
            return;
        }
        if self.island.contains(&from) != self.island.contains(&to) {
            return;
        }
        let bytes = match &mut self.tamper {
            Some(tamper) => match tamper(from, to, &bytes) {
                Some(bytes) => bytes,
                None => return,
            },
            None => bytes,
        };
        let sender = id(self.validator(from));
        let bytes = match self.forgers.get_mut(&to) {
            Some(forger) => forger.hear(sender, bytes),
            None => bytes,
        };
        let bytes = match bytes[0] {
            CHUNK if self.censors.contains(&to) && sender == self.censored => return,
            REPORT if self.censors.contains(&to) => self.without_censored(&bytes),
            _ => bytes,
        };
        let copies = if self.chance(self.link.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance(self.link.loss) {
                continue;
            }
            let jitter = u64::try_from(self.link.jitter.as_micros()).unwrap();
            let jitter = Duration::from_micros(self.rng.next_u64() % (jitter + 1));
            let at = self.now + self.link.delay + jitter;
            self.schedule(at, Event::Deliver { to, from: sender, bytes: bytes.clone() });
        }
    }

    /// A report of progress that does not speak of the censored lanes.
    fn without_censored(&self, report: &Bytes) -> Bytes {
        let (stamp, heights, whole, mut lanes): ((Incarnation, Time), [Height; 2], bool, Vec<LaneTip>) =
            codec::decode(&report[1..], 1 << 20).unwrap();
        lanes.retain(|tip| tip.lane.validator != self.censored);
        [&[REPORT], &codec::encode(&(stamp, heights, whole, lanes))[..]].concat().into()
    }

    /// Delivers bytes as if `from` had sent them.
    pub(crate) fn inject(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        self.schedule(self.now, Event::Deliver { to, from: id(from), bytes: bytes.into() });
    }

    /// Runs for a while.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until a condition holds.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration, what: &str, done: impl FnMut(&Self) -> bool) {
        let end = self.now + limit;
        let reached = self.run_until(end, done);
        if !reached {
            for (n, node) in self.nodes.iter().enumerate() {
                if let Some(core) = &node.core {
                    eprintln!(
                        "node {n}: applied {} heard {} round {} backlog {:?} faults {:?} next {:?}",
                        core.applied_height(),
                        core.heard_height(),
                        core.round(),
                        core.backlog(),
                        core.faults(),
                        core.next_deadline()
                    );
                }
            }
            panic!("not within {limit:?}: {what}");
        }
    }

    fn run_until(&mut self, end: Time, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            match self.queue.peek() {
                Some(Reverse((at, _))) if *at <= end => {}
                _ => {
                    self.now = self.now.max(end);
                    return false;
                }
            }
            let Reverse((at, number)) = self.queue.pop().unwrap();
            self.now = self.now.max(at);
            match self.events.remove(&number).unwrap() {
                Event::Deliver { to, from, bytes } => {
                    let now = self.clock(to);
                    if let Some(core) = &mut self.nodes[to].core {
                        core.handle(now, Input::Message { from, bytes });
                        self.drain(to);
                    }
                }
                Event::Wake { node } => {
                    let now = self.clock(node);
                    if let Some(core) = &mut self.nodes[node].core {
                        core.handle(now, Input::Wake);
                        self.drain(node);
                    }
                }
            }
        }
    }

    /// Hash over every decision, in the order and at the time it was made.
    pub(crate) fn trace(&self) -> Digest {
        self.trace
    }

    /// The transactions that a node ordered.
    pub(crate) fn ordered(&self, node: usize) -> Vec<(RollupId, TxId)> {
        let blocks = self.nodes[node].disk.decided();
        blocks
            .flat_map(|d| d.block.sections.iter())
            .flat_map(|s| s.leaves().into_iter().map(|id| (s.rollup, id)))
            .collect()
    }

    /// Whether every running node ordered everything submitted so far.
    pub(crate) fn all_ordered(&self) -> bool {
        let behind = |n: &Node| {
            let count: usize = n
                .disk
                .decided()
                .map(|d| d.block.sections.iter().map(|s| s.transactions.len()).sum::<usize>())
                .sum();
            count < self.submitted.len()
        };
        !self.nodes.iter().any(|n| n.core.is_some() && behind(n))
    }

    /// Every pair of nodes has the same blocks, each height is there, certificates hold, and nothing is ordered twice.
    pub(crate) fn check(&self) {
        let committee = self.spec.committee();
        let mut chain: BTreeMap<Height, Digest> = BTreeMap::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let checkpoint = node.disk.checkpoint().map(|c| (c.header.height, c.header.hash()));
            let mut parent = checkpoint.unwrap_or_default();
            if let Some((height, hash)) = checkpoint {
                assert_eq!(*chain.entry(height).or_insert(hash), hash, "node {n} went on from no block");
            }
            for decided in node.disk.decided() {
                let header = &decided.block.header;
                assert_eq!(header.height, parent.0.next(), "node {n} leaves out a height");
                assert_eq!(header.parent, parent.1, "node {n} breaks the chain");
                let hash = header.hash();
                assert_eq!(decided.certificate.header, hash);
                decided.certificate.verify(&self.spec.domain(), &committee).unwrap();
                assert_eq!(decided.block.tree().root(), header.tx_root);
                let first = *chain.entry(header.height).or_insert(hash);
                assert_eq!(first, hash, "node {n} has another block {}", header.height);
                parent = (header.height, hash);
            }
            let ordered = self.ordered(n);
            for evidence in &node.evidence {
                assert!(
                    self.twin && evidence.culprit == id(0),
                    "an honest validator is blamed: {evidence:?}"
                );
                let domain = self.spec.domain();
                for vote in [&evidence.first, &evidence.second] {
                    assert!(vote.verify(&domain, &key(0).public_key()));
                }
                assert_ne!(evidence.first.vote, evidence.second.vote);
            }
            let once: std::collections::BTreeSet<_> = ordered.iter().collect();
            assert_eq!(once.len(), ordered.len(), "node {n} ordered something twice");
        }
    }
}

fn serve(disk: &Disk, request: StoreRequest) -> Option<Bytes> {
    match request {
        StoreRequest::Chunk(digest) => disk.chunk(digest).map(wire::chunk_answer),
        StoreRequest::Decided { first, last, chunks } => {
            let asked = |d: &&Arc<Decided>| (first..=last).contains(&d.block.header.height);
            let chunks_of = |d: &Decided| {
                let covered = d.covered.iter().filter(|_| chunks);
                covered.filter_map(|c| disk.chunk(c.digest).cloned()).collect()
            };
            Some(wire::sync_answer(disk.decided().filter(asked).map(|d| d.served(chunks_of(d)))))
        }
        StoreRequest::Checkpoint { at_most, .. } => {
            let ends = disk.decided().filter(|d| d.cut.seals_batch && d.block.header.height <= at_most);
            let newest = ends.last()?;
            Some(wire::checkpoint_answer(&Checkpoint {
                header: newest.block.header.clone(),
                certificate: newest.certificate.clone(),
                snapshot: newest.snapshot.clone(),
                context: CONTEXT.into(),
            }))
        }
    }
}
