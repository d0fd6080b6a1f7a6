//! The event loop: one clock, one queue, n nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node_core::api::{Class, Input, JobResult, L1Sight, Output, Recipient, Record};
use node_core::planted::PlantedBug as NodeBug;
use node_core::{Config, NodeCore, Settings, Status};
use ordering_types::{
    ChainSpec, Digest, Epoch, ForcedEntry, ForcedMessage, Header, QueueMark, RollupId, SecretKey, Time,
    Transaction, ValidatorId,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::Serialize;

use super::byzantine::{Scene, Sent};
use super::disk::Disk;
use super::faults::Faults;
use super::genesis::{ROLLUPS, genesis, id, sight};
use super::l1::{L1, L1_BLOCK};
use super::network::Network;
use super::node::Node;
use super::oracle::{Oracle, Standing, Violation};
use super::plan::{Fall, Plan, START, Sight, below};
use super::prover;
use super::wire;

/// Events of one run at the most: a network that talks to itself for ever is a bug, not a long run.
const MAX_EVENTS: u64 = 5_000_000;

/// Alarms in a row that a node may ask for in the past before that counts as spinning.
const MAX_OVERDUE: u32 = 64;

/// Once calm, how often it is asked whether the network owes anything still.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long a network with too many liars runs on once calm: nothing is owed by it.
const BEYOND_RUNS: Duration = Duration::from_secs(3);

/// Commitments that a member keeps at each coordinator. Fewer than a real node's: each costs curve maths, and the machine that spends
/// and refills them is the same.
const NONCE_POOL: usize = 4;

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The plan's seed.
    pub seed: u64,
    /// SHA-256 over every event, in order: equal for equal seeds.
    pub event_hash: Digest,
    /// Events handled.
    pub events: u64,
    /// Blocks ordered.
    pub blocks: u64,
    /// Transactions ordered.
    pub transactions: u64,
    /// Batches signed.
    pub batches: u64,
    /// Epochs that ended.
    pub epochs: u64,
    /// What was done to the network.
    pub faults: Faults,
    /// How many milliseconds after the last fault nothing was owed any more; `None` where more than f lie and nothing is.
    pub recovered_after_ms: Option<u64>,
    /// Whether the chain forked while more than f validators voted twice, which no protocol survives.
    pub forked_beyond: bool,
    /// The L1 block that the newest block refers to, and the longest time for which the reference stood still, milliseconds.
    pub l1_reference: (u64, u64),
    /// Broken promises.
    pub violations: Vec<Violation>,
}

/// How the L1 reference moves.
#[derive(Default)]
struct Reference {
    number: u64,
    since: Option<Time>,
    longest: Duration,
}

impl Reference {
    /// A block refers to this L1 block.
    fn look(&mut self, now: Time, number: u64) {
        let since = *self.since.get_or_insert(now);
        self.longest = self.longest.max(now.since(since));
        if number > self.number {
            (self.number, self.since) = (number, Some(now));
        }
    }
}

enum Event {
    Deliver {
        to: usize,
        from: usize,
        class: Class,
        bytes: Bytes,
    },
    /// The alarm set for `due`; void when the node has set another since.
    Wake {
        node: usize,
        life: u64,
        due: Time,
    },
    Submit {
        nodes: Vec<usize>,
        number: u64,
    },
    JobDone {
        node: usize,
        life: u64,
        result: JobResult,
    },
    Crash {
        nodes: Vec<usize>,
        away: Duration,
        fall: Fall,
    },
    SetClock {
        node: usize,
        offset_ms: i64,
    },
    Stall {
        node: usize,
        length: Duration,
    },
    Start {
        node: usize,
    },
    /// The next finalized block of L1, seen by everybody who looks.
    L1 {
        number: u64,
    },
    /// One of them sees it.
    Sight {
        node: usize,
        life: u64,
        sight: L1Sight,
    },
    /// A node's endpoint answers what is in the queue.
    Queue {
        node: usize,
        life: u64,
        message: ForcedMessage,
    },
    Calm,
    Ask,
}

struct World<'a> {
    plan: &'a Plan,
    spec: Arc<ChainSpec>,
    keys: Vec<SecretKey>,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    nodes: Vec<Node>,
    network: Network,
    oracle: Oracle,
    l1: L1,
    reference: Reference,
    rng: ChaCha8Rng,
    hash: Digest,
    events: u64,
    faults: Faults,
    done: bool,
    trace: Option<&'a mut dyn FnMut(String)>,
}

/// Runs one plan to its end; `trace` gets a line an event.
pub fn run<'a>(plan: &'a Plan, trace: Option<&'a mut dyn FnMut(String)>) -> Report {
    let mut world = World::new(plan, trace);
    world.schedule_plan();
    while world.step() {}
    world.report()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, trace: Option<&'a mut dyn FnMut(String)>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed);
        let (spec, keys) = genesis(plan);
        let oracle = Oracle::new(plan, &spec, &keys);
        let network = Network::new(plan, ChaCha8Rng::seed_from_u64(rng.next_u64()));
        let node = |validator: usize| {
            let (me, key) = (id(validator), keys.get(validator)?);
            let peers: Vec<ValidatorId> = (0..keys.len()).map(id).filter(|id| *id != me).collect();
            let lies = plan.liars.iter().find(|(liar, _)| *liar == validator).map(|(_, lies)| lies.clone());
            let byzantine = plan.is_byzantine(validator);
            Some(Node::new(me, key.clone(), peers.into(), lies.unwrap_or_default(), byzantine))
        };
        let nodes = plan.slots().into_iter().filter_map(node).collect();
        Self {
            plan,
            spec: Arc::new(spec),
            keys,
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes,
            network,
            oracle,
            l1: L1::default(),
            reference: Reference::default(),
            rng,
            hash: Digest::ZERO,
            events: 0,
            faults: Faults::default(),
            done: false,
            trace,
        }
    }

    fn schedule_plan(&mut self) {
        let plan = self.plan;
        for node in (0..self.nodes.len()).filter(|node| !plan.absent.contains(node)) {
            let at = START + Duration::from_millis(below(&mut self.rng, 200) as u64);
            self.schedule(at, Event::Start { node });
        }
        for jump in &plan.clocks {
            let event = Event::SetClock { node: jump.node, offset_ms: jump.offset_ms };
            self.schedule(START + jump.at, event);
        }
        for crash in &plan.crashes {
            let event = Event::Crash { nodes: crash.nodes.clone(), away: crash.away, fall: crash.fall };
            self.schedule(START + crash.at, event);
        }
        for stall in &plan.stalls {
            self.schedule(START + stall.at, Event::Stall { node: stall.node, length: stall.length });
        }
        for cut in &plan.cuts {
            self.faults.count(if cut.one_way { "one-way cut" } else { "partition" });
        }
        self.faults.add("twin", plan.twins.len() as u64);
        self.faults.add("liar", plan.liars.len() as u64);
        self.faults.add("registered and absent", plan.absent.len() as u64);
        for (number, at) in plan.submit_times(&mut self.rng).into_iter().enumerate() {
            // Some clients send to two nodes at once.
            let count = if below(&mut self.rng, 4) == 0 { 2 } else { 1 };
            let nodes = (0..count).map(|_| below(&mut self.rng, plan.validators())).collect();
            self.schedule(at, Event::Submit { nodes, number: number as u64 });
        }
        self.schedule(START, Event::L1 { number: 0 });
        self.schedule(plan.calm(), Event::Calm);
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    /// One event; false when the run is over.
    fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.queue.pop_first() else { return false };
        if at > self.plan.end() || self.done || self.events > MAX_EVENTS {
            return false;
        }
        self.now = at;
        self.events += 1;
        if let Some(node) = self.busy(&event) {
            // The pump waits for its disk: the input waits for the pump.
            let until = self.nodes.get(node).map_or(at, |n| n.busy_until);
            self.schedule(until, event);
            return true;
        }
        self.note(&event);
        self.handle(event);
        true
    }

    fn busy(&self, event: &Event) -> Option<usize> {
        let node = match event {
            Event::Deliver { to, .. } => *to,
            Event::Wake { node, .. } | Event::JobDone { node, .. } => *node,
            _ => return None,
        };
        self.nodes.get(node).is_some_and(|n| n.core.is_some() && n.busy_until > self.now).then_some(node)
    }

    /// Chains the event into the hash and tells the trace.
    fn note(&mut self, event: &Event) {
        let line = match event {
            Event::Deliver { to, from, class, bytes } => {
                let digest = Digest::sha256(&[bytes]);
                format!("{from} -> {to} {class:?} {} bytes {digest:?}", bytes.len())
            }
            Event::Wake { node, .. } => format!("{node} wakes"),
            Event::Submit { nodes, number } => format!("transaction {number} to {nodes:?}"),
            Event::JobDone { node, .. } => format!("{node} job done"),
            Event::Crash { nodes, away, fall } => {
                format!("{nodes:?} crash ({fall:?}) for {} ms", away.as_millis())
            }
            Event::SetClock { node, offset_ms } => format!("{node}'s clock is set {offset_ms} ms off"),
            Event::Stall { node, length } => format!("{node}'s disk stalls for {} ms", length.as_millis()),
            Event::Start { node } => format!("{node} starts"),
            Event::L1 { number } => format!("L1 finalizes block {number}"),
            Event::Sight { .. } | Event::Queue { .. } => return,
            Event::Calm => "calm".to_owned(),
            Event::Ask => return,
        };
        let title = match event {
            Event::Deliver { class, bytes, .. } if self.trace.is_some() => wire::title(*class, bytes),
            _ => None,
        };
        self.tell_titled(line, title);
    }

    fn tell(&mut self, line: String) {
        self.tell_titled(line, None);
    }

    /// The title is for people: the hash has the bytes that it is of.
    fn tell_titled(&mut self, line: String, title: Option<String>) {
        self.hash =
            Digest::sha256(&[self.hash.as_ref(), &self.now.as_micros().to_be_bytes(), line.as_bytes()]);
        if let Some(trace) = &mut self.trace {
            let seconds = self.now.since(START).as_secs_f64();
            trace(format!("{seconds:>12.6} {line} {}", title.unwrap_or_default()));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, class, bytes } => {
                let Some(from) = self.nodes.get(from).map(|n| n.id) else { return };
                let bytes = self.heard(to, bytes);
                self.feed(to, Input::Message { from, class, bytes });
            }
            Event::Wake { node, life, due } => {
                let Some(state) = self.nodes.get_mut(node) else { return };
                if state.life == life && state.wake_at == Some(due) {
                    state.wake_at = None;
                    state.woke = true;
                    self.feed(node, Input::Wake);
                }
            }
            Event::JobDone { node, life, result } => {
                if self.nodes.get(node).is_some_and(|n| n.life == life) {
                    self.feed(node, Input::JobDone(result));
                }
            }
            Event::Submit { nodes, number } => self.submit(&nodes, number),
            Event::Crash { nodes, away, fall } => {
                for node in nodes {
                    self.fell(node, away, fall);
                }
            }
            Event::SetClock { node, offset_ms } => {
                let Some(state) = self.nodes.get_mut(node) else { return };
                let ahead = offset_ms > state.clock.offset_ms();
                state.clock.set(offset_ms);
                self.faults.count(match (state.core.is_some(), ahead) {
                    (false, _) => "clock set wrong",
                    (true, true) => "clock stepped forward",
                    (true, false) => "clock stepped back",
                });
                self.arm(node);
            }
            Event::Stall { node, length } => {
                if let Some(state) = self.nodes.get_mut(node) {
                    state.stall = Some(length);
                }
            }
            Event::Start { node } => self.start(node),
            Event::L1 { number } => self.finalize(number),
            Event::Sight { node, life, sight } => {
                if self.nodes.get(node).is_some_and(|n| n.life == life) {
                    self.feed(node, Input::L1(sight));
                }
            }
            Event::Queue { node, life, message } => {
                if self.nodes.get(node).is_some_and(|n| n.life == life) {
                    self.feed(node, Input::Queue(message));
                }
            }
            Event::Calm => {
                self.oracle.calm();
                self.nodes.iter_mut().for_each(|n| (n.trap, n.stall) = (None, None));
                self.schedule(self.now, Event::Ask);
            }
            Event::Ask => self.ask(),
        }
    }

    /// Endpoints are not equally fast, and one in ten misses a block. Those of liars show them something else.
    fn finalize(&mut self, number: u64) {
        self.schedule(self.now + L1_BLOCK, Event::L1 { number: number + 1 });
        if self.plan.is_l1_down(self.now.since(START)) {
            return self.faults.count("L1 block missing");
        }
        self.enqueue();
        let (epoch, queue) = (self.l1.block(self.oracle.posted_epoch()), self.l1.queue());
        let sight = sight(self.plan, &self.keys, number, (epoch, queue));
        for node in 0..self.nodes.len() {
            let late = Duration::from_millis(below(&mut self.rng, 300) as u64);
            let missed = below(&mut self.rng, 10) == 0;
            let Some(state) = self.nodes.get(node).filter(|_| !missed) else { continue };
            let (life, mut sight) = (state.life, sight.clone());
            match self.plan.wrong_sight(node, self.now.since(START)) {
                Some(Sight::Nothing) => continue,
                Some(Sight::OtherFork) => sight.block.hash = other_fork(number),
                None => {}
            }
            if state.byzantine {
                sight.block.hash = other_fork(number);
                (sight.registry, sight.epoch) = (Some(Arc::default()), Epoch::new(u64::MAX));
                sight.queue = sight.queue.with(&forged_entry().leaf());
                self.faults.count("lying L1 endpoint");
            }
            self.schedule(self.now + late, Event::Sight { node, life, sight });
        }
    }

    /// Some entries for the queue of L1; at last there are no more. One in eight is for a rollup that nobody serves, and one in four has the bytes of a
    /// transaction that clients send.
    fn enqueue(&mut self) {
        if self.now >= self.plan.calm() {
            return;
        }
        for _ in 0..below(&mut self.rng, 12).saturating_sub(9) {
            let entry = if below(&mut self.rng, 4) == 0 {
                let number = below(&mut self.rng, self.plan.transactions as usize) as u64;
                ForcedEntry { rollup: rollup_of(number), data: self.transaction(number).into() }
            } else {
                let rollup = RollupId::new(if below(&mut self.rng, 8) == 0 { 9 } else { 1 });
                let name = format!("forced {}", self.l1.queue().count).into_bytes();
                let length = name.len() + below(&mut self.rng, 3_000);
                let mut data = name;
                data.resize(length, 0xfe);
                ForcedEntry { rollup, data: data.into() }
            };
            self.oracle.enqueued(&entry);
            self.l1.enqueue(entry);
            self.faults.count("forced entry");
        }
    }

    /// A node asks its endpoint for a part of the queue. One in five questions is not answered, and liars' endpoints show what is not there.
    fn read_queue(&mut self, node: usize, from: QueueMark, to: QueueMark) {
        let after = self.now.since(START);
        let sees_nothing = self.plan.wrong_sight(node, after) == Some(Sight::Nothing);
        if sees_nothing || self.plan.is_l1_down(after) || below(&mut self.rng, 5) == 0 {
            return;
        }
        let Some(state) = self.nodes.get(node) else { return };
        let (life, lies) = (state.life, state.byzantine);
        let message = if lies {
            self.faults.count("forged entry of the queue");
            Some(ForcedMessage { from, entries: vec![forged_entry()], leaves: Vec::new() })
        } else {
            self.l1.telling(from, to)
        };
        let late = Duration::from_millis(5 + below(&mut self.rng, 200) as u64);
        if let Some(message) = message {
            self.schedule(self.now + late, Event::Queue { node, life, message });
        }
    }

    fn standings(&self) -> Vec<Standing> {
        let expected = |(slot, n): &(usize, &Node)| !n.byzantine && !self.plan.absent.contains(slot);
        let honest = self.nodes.iter().enumerate().filter(expected);
        let follows = |node: &Node| node.core.as_ref().is_some_and(|core| !is_member(&core.status()));
        honest.map(|(slot, n)| Standing { slot, runs: n.core.is_some(), follows: follows(n) }).collect()
    }

    /// What the network owes, the first key only if `takes_part` is true of every validator.
    fn owed(&self, takes_part: impl Fn(&Status) -> bool) -> Option<Violation> {
        let lost = |slot: usize| self.nodes.get(slot).map_or(START, |n| n.lost_before);
        let takes_part = |core: &NodeCore| takes_part(&core.status());
        let is_founder = |node: &&Node| self.spec.validators.iter().any(|v| v.id == node.id);
        let mut founders = self.nodes.iter().filter(is_founder);
        let all_take_part = founders.all(|node| node.core.as_ref().is_some_and(takes_part));
        self.oracle.owed(&self.standings(), lost, all_take_part)
    }

    fn ask(&mut self) {
        self.done = if self.plan.is_beyond() {
            self.now >= self.plan.calm() + BEYOND_RUNS
        } else {
            self.owed(may_speak).is_none()
        };
        self.schedule(self.now + ASK_EVERY, Event::Ask);
    }

    fn submit(&mut self, nodes: &[usize], number: u64) {
        let (rollup, data) = (rollup_of(number), self.transaction(number));
        for node in nodes {
            let Some(state) = self.nodes.get_mut(*node) else { continue };
            let local = state.clock.read(self.now);
            let Some(core) = state.core.as_mut() else { continue };
            match core.submit(local, Transaction { rollup, data: data.clone().into() }) {
                Ok(_) => self.oracle.submitted(self.now, (*node, !state.byzantine), rollup, &data),
                Err(why) => self.tell(format!("{node} refuses transaction {number}: {why}")),
            }
            self.drain(*node);
        }
    }

    /// The bytes of a client's transaction.
    fn transaction(&self, number: u64) -> Vec<u8> {
        let mut data = number.to_be_bytes().to_vec();
        data.resize(8 + (number.wrapping_mul(0x9e37_79b9) % 300) as usize, number as u8);
        data
    }

    fn feed(&mut self, node: usize, input: Input) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        let local = state.clock.read(self.now);
        if let Some(core) = state.core.as_mut() {
            core.handle(local, input);
            self.drain(node);
        }
    }

    /// Carries out what the node wants: writes, then sends that need no sync, then one sync and the rest.
    fn drain(&mut self, node: usize) {
        let mut after = Vec::new();
        while let Some(output) =
            self.nodes.get_mut(node).and_then(|n| n.core.as_mut()).and_then(NodeCore::next_output)
        {
            self.carry_out(node, output, &mut after);
        }
        let dirty = self.nodes.get(node).is_some_and(|n| n.disk.is_dirty());
        let mut leave = self.now;
        if dirty && !after.is_empty() {
            match self.sync(node) {
                Some(done) => leave = done,
                None => return,
            }
        }
        for (to, class, bytes) in after {
            self.transmit(leave, node, to, class, bytes);
        }
        self.arm(node);
    }

    /// When the sync is done; `None` if the node did not survive it.
    fn sync(&mut self, node: usize) -> Option<Time> {
        // Mostly a fifth of a millisecond, at times more.
        let usual = if below(&mut self.rng, 50) == 0 { 20_000 } else { 200 };
        let state = self.nodes.get_mut(node)?;
        if let Some((fall, away)) = state.trap.take() {
            if fall == Fall::AfterSync {
                state.disk.sync();
            }
            self.faults.count(match fall {
                Fall::SyncFails => "failed sync",
                Fall::AfterSync => "crash between sync and send",
                Fall::BeforeSync | Fall::Power | Fall::DiskLost => "crash before sync",
            });
            self.crash(node, away);
            return None;
        }
        state.disk.sync();
        let stalled = state.stall.take();
        let done = self.now + stalled.unwrap_or(Duration::from_micros(usual));
        state.busy_until = done;
        self.faults.add("disk stall", u64::from(stalled.is_some()));
        Some(done)
    }

    fn carry_out(&mut self, node: usize, output: Output, after: &mut Vec<(Recipient, Class, Bytes)>) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        match output {
            Output::Persist(record) => {
                let is_honest = !state.byzantine;
                if is_honest {
                    self.oracle.persisted(node, &record);
                }
                let jumped_to = checkpoint_header(&record).filter(|_| is_honest);
                let erased = match record {
                    Record::ForgetKeys { up_to } => Some(up_to),
                    _ => None,
                };
                let life = state.life;
                state.disk.write(record);
                if let Some(up_to) = erased {
                    // Without a registry nobody watches L1.
                    if is_honest && !self.plan.registry.is_empty() {
                        self.oracle.erased(node, up_to, self.l1.epoch());
                    }
                    self.tell(format!("{node} erases its shares up to epoch {up_to}"));
                }
                if let Some(header) = jumped_to {
                    self.tell(format!("{node} goes on after checkpoint {}", header.height));
                    self.faults.count("went on from a checkpoint");
                    self.oracle.jumped(node, life, &header);
                }
            }
            Output::Send { to, class, bytes, after_sync: true } => after.push((to, class, bytes)),
            Output::Send { to, class, bytes, after_sync: false } => {
                self.transmit(self.now, node, to, class, bytes);
            }
            Output::Serve { to, request } => {
                if let Some(bytes) = state.disk.serve(request) {
                    self.transmit(self.now, node, Recipient::One(to), Class::Sync, bytes);
                }
            }
            Output::ServeSealed { to, number } => {
                if let Some(batch) = state.disk.sealed(number) {
                    let bytes = node_core::wire::sealed_answer(&batch);
                    self.transmit(self.now, node, Recipient::One(to), Class::Ceremony, bytes);
                }
            }
            Output::ReadQueue { from, to } => self.read_queue(node, from, to),
            Output::Peers(peers) => {
                if let Some(state) = self.nodes.get_mut(node) {
                    state.committee = peers.committee.iter().copied().collect();
                }
            }
            Output::Job(job) => {
                let (life, lies) = (state.life, state.lies.clone());
                let mut result = prover::run(job, &self.spec);
                for lie in lies {
                    let Some(mut scene) = self.scene(node) else { return };
                    result = lie.work(&mut scene, result);
                }
                let takes = Duration::from_millis(20 + below(&mut self.rng, 300) as u64);
                self.schedule(self.now + takes, Event::JobDone { node, life, result });
            }
            seen => self.observe(node, seen),
        }
    }

    fn observe(&mut self, node: usize, output: Output) {
        let Some(state) = self.nodes.get(node) else { return };
        if state.byzantine {
            return;
        }
        let life = state.life;
        match output {
            Output::Ordered(decided) => {
                let header = &decided.block.header;
                let (height, count) = (header.height, header.tx_count);
                self.tell(format!("{node} ordered {height} {:?} with {count}", header.hash()));
                self.reference.look(self.now, decided.block.header.l1_reference.number);
                self.oracle.ordered(self.now, node, life, &decided);
            }
            Output::Certified { height, signature } => self.oracle.certified(node, height, &signature),
            Output::Sealed(batch) => {
                self.tell(format!("{node} sealed batch {}", batch.header.number));
                self.oracle.sealed(node, &batch);
            }
            Output::Founded(founding) => {
                self.tell(format!("{node} founded"));
                self.oracle.founded(node, &founding);
            }
            Output::Switched { handover, members } => {
                let ids: Vec<u16> = members.ids().map(ValidatorId::get).collect();
                self.tell(format!("{node} begins epoch {} of {ids:?}", handover.next.epoch));
                self.oracle.switched(node, &handover, &members);
            }
            Output::Handover(succession) => {
                let signed = &succession.signed;
                self.tell(format!("{node} has the handover to epoch {}", signed.handover.next.epoch));
                self.oracle.handed_over(node, signed);
            }
            Output::Evidence(evidence) => {
                self.faults.count("evidence found");
                self.oracle.blamed(node, &evidence);
            }
            Output::PeerFault { peer, what } => {
                self.tell(format!("{node} finds fault with {peer}: {what}"));
                self.oracle.accused(node, peer, &what);
            }
            Output::Fatal(why) => self.oracle.broken("no fatal end", format!("node {node}: {why}")),
            _ => {}
        }
    }

    /// What a node's core hears of a message: a liar's may hear something else.
    fn heard(&mut self, node: usize, mut bytes: Bytes) -> Bytes {
        let Some(state) = self.nodes.get_mut(node).filter(|n| n.byzantine) else { return bytes };
        let mut forgeries = std::mem::take(&mut state.forgeries);
        for lie in state.lies.clone() {
            let Some(mut scene) = self.scene(node) else { break };
            let (heard, forged) = lie.hear(&mut scene, &mut forgeries, bytes);
            bytes = heard;
            forged.into_iter().for_each(|chunk| self.oracle.forged(chunk));
        }
        if let Some(state) = self.nodes.get_mut(node) {
            state.forgeries = forgeries;
        }
        bytes
    }

    fn scene(&mut self, node: usize) -> Option<Scene<'_>> {
        let state = self.nodes.get(node)?;
        Some(Scene {
            me: state.id,
            key: &state.key,
            domain: self.spec.domain(),
            groups: state.disk.groups(),
            peers: &state.peers,
            rng: &mut self.rng,
            faults: &mut self.faults,
        })
    }

    fn transmit(&mut self, at: Time, from: usize, to: Recipient, class: Class, bytes: Bytes) {
        let Some(state) = self.nodes.get(from) else { return };
        let mut messages = vec![Sent { to, class, bytes, delay: Duration::ZERO }];
        if state.byzantine {
            for lie in state.lies.clone() {
                messages.iter().for_each(|m| self.oracle.lied(m.class, &m.bytes));
                let Some(mut scene) = self.scene(from) else { return };
                messages = messages.into_iter().flat_map(|m| lie.speak(&mut scene, m)).collect();
            }
        }
        for message in messages {
            self.leave(at, from, message);
        }
    }

    fn leave(&mut self, at: Time, from: usize, message: Sent) {
        let Some(state) = self.nodes.get(from) else { return };
        let Sent { to, class, bytes, delay } = message;
        if state.byzantine {
            self.oracle.lied(class, &bytes);
        } else {
            self.oracle.left(from, state.id, class, &bytes, &state.disk);
        }
        let me = state.id;
        let hears = |id: ValidatorId| match to {
            Recipient::All => id != me && state.committee.contains(&id),
            Recipient::One(one) => id == one && id != me,
        };
        let targets: Vec<usize> =
            self.nodes.iter().enumerate().filter(|(_, n)| hears(n.id)).map(|(slot, _)| slot).collect();
        for to in targets {
            for arrival in self.network.arrivals(at + delay, from, to, &mut self.faults) {
                self.schedule(arrival, Event::Deliver { to, from, class, bytes: bytes.clone() });
            }
        }
    }

    fn arm(&mut self, node: usize) {
        let now = self.now;
        let Some(state) = self.nodes.get_mut(node) else { return };
        let local = state.clock.read(now);
        let Some(deadline) = state.core.as_ref().and_then(NodeCore::next_deadline) else { return };
        // After a stall many messages come before the alarm that was due meanwhile; only an alarm that asks for the next at
        // once is one too many.
        if std::mem::take(&mut state.woke) {
            state.overdue = if deadline <= local { state.overdue + 1 } else { 0 };
            if state.overdue == MAX_OVERDUE {
                self.oracle
                    .broken("bounded cost", format!("node {node} spins: its deadline stays in the past"));
            }
        }
        let deadline = state.clock.when(deadline).max(now + Duration::from_micros(1));
        if state.wake_at.is_none_or(|at| deadline < at) {
            state.wake_at = Some(deadline);
            let life = state.life;
            self.schedule(deadline, Event::Wake { node, life, due: deadline });
        }
    }

    /// A planned crash: at once, or at the node's next sync.
    fn fell(&mut self, node: usize, away: Duration, fall: Fall) {
        let Some(state) = self.nodes.get_mut(node) else { return };
        match fall {
            Fall::Power => self.crash(node, away),
            Fall::DiskLost => {
                let may_go = state.core.is_some() && state.disk.is_founded();
                self.crash(node, away);
                self.lose_disk(node, may_go);
            }
            _ if state.core.is_some() => state.trap = Some((fall, away)),
            _ => {}
        }
    }

    fn crash(&mut self, node: usize, away: Duration) {
        let now = self.now;
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.core.take().is_none() {
            return;
        }
        let (lost, tear) = state.disk.crash(&mut self.rng);
        state.life += 1;
        state.wake_at = None;
        state.trap = None;
        state.lost_before = now;
        self.faults.count("crash");
        self.faults.add("unsynced record lost", lost as u64);
        tear.fault().into_iter().for_each(|kind| self.faults.count(kind));
        self.schedule(now + away, Event::Start { node });
    }

    fn lose_disk(&mut self, node: usize, may_go: bool) {
        if let Some(state) = self.nodes.get_mut(node).filter(|_| may_go) {
            state.disk = Disk::replacement();
            self.oracle.lost_disk(node);
            self.faults.count("disk lost");
        }
    }

    fn start(&mut self, node: usize) {
        if self.plan.absent.contains(&node) {
            return;
        }
        let now = self.now;
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.core.is_some() {
            return;
        }
        state.life += 1;
        state.clock.restart();
        let mut settings = Settings::default();
        settings.signing.pool_target = NONCE_POOL;
        if let Some(bug) = self.plan.planted {
            bug.plant(&mut settings);
        }
        if state.byzantine {
            settings.planted.get_or_insert(NodeBug::QueueUnchecked);
        }
        let config = Config { spec: Arc::clone(&self.spec), me: state.id, incarnation: state.life, settings };
        let recovered = state.disk.recover(&self.spec);
        let local = state.clock.read(now);
        match NodeCore::new(config, state.key.clone(), entropy, recovered, local) {
            Ok(core) => {
                state.core = Some(core);
                state.busy_until = now;
                self.drain(node);
            }
            Err(_) if state.byzantine => {}
            Err(why) => self.oracle.broken("restart", format!("node {node} cannot start: {why}")),
        }
    }

    /// What each node would say of itself, at the end of a trace.
    fn tell_states(&mut self) {
        let state = |(slot, node): (usize, &Node)| match &node.core {
            Some(core) => {
                let s = core.status();
                let silence = s.silence.unwrap_or_else(|| "none".to_owned());
                format!(
                    "{slot} stands at {} of {}, round {}, silence: {silence}, {} open batches, founding: {}, epoch {}, next key: {:?}",
                    s.height, s.heard_height, s.round, s.open_batches, s.founding, s.epoch, s.next_key
                )
            }
            None => format!("{slot} is down"),
        };
        let lines: Vec<String> = self.nodes.iter().enumerate().map(state).collect();
        lines.into_iter().for_each(|line| self.tell(line));
    }

    fn report(mut self) -> Report {
        if self.events > MAX_EVENTS {
            self.oracle.broken("bounded cost", format!("more than {MAX_EVENTS} events"));
        }
        match self.owed(|status| may_speak(status) && keeps_up(status)) {
            // A bug on purpose is no excuse.
            Some(owed)
                if !self.plan.is_beyond()
                    && self.plan.planted.is_none()
                    && self.oracle.is_beyond_holders(&owed) =>
            {
                self.faults.count("key that too few hold");
            }
            Some(Violation { promise, seen }) if !self.plan.is_beyond() => self.oracle.broken(promise, seen),
            _ => {}
        }
        self.tell_states();
        for (slot, node) in self.nodes.iter().enumerate().filter(|(_, n)| !n.byzantine) {
            let (base, headers) = node.disk.headers();
            self.oracle.kept(slot, base, headers.iter());
        }
        let (blocks, transactions, batches, epochs) = self.oracle.figures();
        let mut violations = self.oracle.violations().to_vec();
        let forked_beyond = self.plan.may_fork() && !violations.is_empty();
        if self.plan.may_fork() {
            violations.clear();
        }
        Report {
            seed: self.plan.seed,
            event_hash: self.hash,
            events: self.events,
            blocks,
            transactions,
            batches,
            epochs,
            faults: self.faults,
            recovered_after_ms: (!self.plan.is_beyond())
                .then(|| self.now.since(self.plan.calm()).as_millis() as u64),
            forked_beyond,
            l1_reference: (self.reference.number, self.reference.longest.as_millis() as u64),
            violations,
        }
    }
}

/// The hash of a block that the others do not have.
fn other_fork(number: u64) -> Digest {
    Digest::sha256(&[b"another fork", &number.to_be_bytes()])
}

fn rollup_of(number: u64) -> RollupId {
    RollupId::new(1 + (number % ROLLUPS.len() as u64) as u32)
}

/// What no queue has.
fn forged_entry() -> ForcedEntry {
    ForcedEntry { rollup: RollupId::new(1), data: Bytes::from_static(b"forged") }
}

fn is_member(status: &Status) -> bool {
    status.committee.contains(&status.validator)
}

/// Whether it does not ask in vain what it voted: of those that lie, some never get an answer that they do not spoil.
fn may_speak(status: &Status) -> bool {
    status.silence.is_none() || !is_member(status)
}

/// Whether it hears what it is told: nor does a silent liar always get the heights that it asks for.
fn keeps_up(status: &Status) -> bool {
    status.heard_height.get() <= status.height.get() + 2 || !is_member(status)
}

/// The block after which a node goes on, if it wrote that it does.
fn checkpoint_header(record: &Record) -> Option<Header> {
    match record {
        Record::Ordering(ordering::api::Record::Checkpoint(checkpoint)) => Some(checkpoint.header.clone()),
        _ => None,
    }
}
