//! The event loop: one clock, one queue, n nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node_core::api::{Class, Input, JobResult, Output, Recipient};
use node_core::{Config, NodeCore, Settings};
use ordering_types::{ChainSpec, Digest, RollupId, SecretKey, Time, Transaction, ValidatorId};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::disk::Disk;
use super::network::{Counts, Network};
use super::oracle::{Oracle, Violation};
use super::plan::{Plan, START, below};
use super::prover;

/// Events of one run at the most: a network that talks to itself for ever is a bug, not a long run.
const MAX_EVENTS: u64 = 20_000_000;

/// Alarms in a row that a node may ask for in the past before that counts as spinning.
const MAX_OVERDUE: u32 = 64;

/// What came of a run.
#[derive(Clone, Debug)]
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
    /// Crashes of single nodes.
    pub crashes: u64,
    /// Records lost in crashes.
    pub records_lost: u64,
    /// What the network did.
    pub network: Counts,
    /// Broken promises.
    pub violations: Vec<Violation>,
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
        node: usize,
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
    },
    Start {
        node: usize,
    },
}

struct Node {
    id: ValidatorId,
    key: SecretKey,
    core: Option<NodeCore>,
    disk: Disk,
    /// Counts starts; events of an earlier life are void.
    life: u64,
    /// A sync occupies the node until then.
    busy_until: Time,
    wake_at: Option<Time>,
    /// Alarms in a row that were due when they were asked for.
    overdue: u32,
    /// Transactions taken up to here may have died in a crash.
    lost_before: Time,
}

struct World<'a> {
    plan: &'a Plan,
    spec: Arc<ChainSpec>,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    nodes: Vec<Node>,
    network: Network,
    oracle: Oracle,
    rng: ChaCha8Rng,
    hash: Digest,
    events: u64,
    crashes: u64,
    records_lost: u64,
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
        let (spec, keys) = plan.chain_spec();
        let oracle = Oracle::new(spec.domain(), plan.nodes);
        let network = Network::new(plan, ChaCha8Rng::seed_from_u64(rng.next_u64()));
        let nodes = spec
            .validators
            .iter()
            .zip(keys)
            .map(|(validator, key)| Node {
                id: validator.id,
                key,
                core: None,
                disk: Disk::default(),
                life: 0,
                busy_until: START,
                wake_at: None,
                overdue: 0,
                lost_before: Time::default(),
            })
            .collect();
        Self {
            plan,
            spec: Arc::new(spec),
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes,
            network,
            oracle,
            rng,
            hash: Digest::ZERO,
            events: 0,
            crashes: 0,
            records_lost: 0,
            trace,
        }
    }

    fn schedule_plan(&mut self) {
        for node in 0..self.plan.nodes {
            let at = START + Duration::from_millis(below(&mut self.rng, 200) as u64);
            self.schedule(at, Event::Start { node });
        }
        for crash in &self.plan.crashes {
            self.schedule(START + crash.at, Event::Crash { nodes: crash.nodes.clone(), away: crash.away });
        }
        for (number, at) in self.plan.submit_times(&mut self.rng).into_iter().enumerate() {
            let node = below(&mut self.rng, self.plan.nodes);
            self.schedule(at, Event::Submit { node, number: number as u64 });
        }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    /// One event; false when the run is over.
    fn step(&mut self) -> bool {
        let Some(((at, _), event)) = self.queue.pop_first() else { return false };
        let recovered = at > self.plan.calm() + Duration::from_secs(6) && self.is_complete();
        if at > self.plan.end() || recovered || self.events > MAX_EVENTS {
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

    fn is_complete(&self) -> bool {
        self.oracle.is_complete(|node| self.nodes.get(node).map_or(START, |n| n.lost_before))
    }

    fn busy(&self, event: &Event) -> Option<usize> {
        let node = match event {
            Event::Deliver { to, .. } => *to,
            Event::Wake { node, .. } | Event::Submit { node, .. } | Event::JobDone { node, .. } => *node,
            Event::Crash { .. } | Event::Start { .. } => return None,
        };
        self.nodes.get(node).is_some_and(|n| n.core.is_some() && n.busy_until > self.now).then_some(node)
    }

    /// Chains the event into the hash and tells the trace.
    fn note(&mut self, event: &Event) {
        let line = match event {
            Event::Deliver { to, from, class, bytes } => {
                format!("{from} -> {to} {class:?} {} bytes {:?}", bytes.len(), Digest::sha256(&[bytes]))
            }
            Event::Wake { node, .. } => format!("{node} wakes"),
            Event::Submit { node, number } => format!("transaction {number} to {node}"),
            Event::JobDone { node, .. } => format!("{node} job done"),
            Event::Crash { nodes, away } => format!("{nodes:?} crash for {} ms", away.as_millis()),
            Event::Start { node } => format!("{node} starts"),
        };
        self.tell(line);
    }

    fn tell(&mut self, line: String) {
        self.hash =
            Digest::sha256(&[self.hash.as_ref(), &self.now.as_micros().to_be_bytes(), line.as_bytes()]);
        if let Some(trace) = &mut self.trace {
            trace(format!("{:>12.6} {line}", self.now.since(START).as_secs_f64()));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, class, bytes } => {
                let Some(from) = self.nodes.get(from).map(|n| n.id) else { return };
                self.feed(to, Input::Message { from, class, bytes });
            }
            Event::Wake { node, life, due } => {
                let Some(state) = self.nodes.get_mut(node) else { return };
                if state.life == life && state.wake_at == Some(due) {
                    state.wake_at = None;
                    self.feed(node, Input::Wake);
                }
            }
            Event::JobDone { node, life, result } => {
                if self.nodes.get(node).is_some_and(|n| n.life == life) {
                    self.feed(node, Input::JobDone(result));
                }
            }
            Event::Submit { node, number } => self.submit(node, number),
            Event::Crash { nodes, away } => {
                for node in nodes {
                    self.crash(node, away);
                }
            }
            Event::Start { node } => self.start(node),
        }
    }

    fn submit(&mut self, node: usize, number: u64) {
        let now = self.now;
        let rollup = RollupId::new(1 + (number % 2) as u32);
        let mut data = number.to_be_bytes().to_vec();
        data.resize(8 + below(&mut self.rng, 300), number as u8);
        let Some(core) = self.nodes.get_mut(node).and_then(|n| n.core.as_mut()) else { return };
        match core.submit(now, Transaction { rollup, data: data.into() }) {
            Ok(id) => self.oracle.submitted(now, node, id),
            Err(why) => self.tell(format!("{node} refuses transaction {number}: {why}")),
        }
        self.drain(node);
    }

    fn feed(&mut self, node: usize, input: Input) {
        let now = self.now;
        if let Some(core) = self.nodes.get_mut(node).and_then(|n| n.core.as_mut()) {
            core.handle(now, input);
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
        let mut leave = self.now;
        let dirty = self.nodes.get(node).is_some_and(|n| n.disk.is_dirty());
        if dirty && !after.is_empty() {
            // Mostly a fifth of a millisecond, at times a stall.
            let micros = if below(&mut self.rng, 50) == 0 { 20_000 } else { 200 };
            leave = self.now + Duration::from_micros(micros);
            if let Some(state) = self.nodes.get_mut(node) {
                state.disk.sync();
                state.busy_until = leave;
            }
        }
        for (to, class, bytes) in after {
            self.transmit(leave, node, to, class, &bytes);
        }
        self.arm(node);
    }

    fn carry_out(&mut self, node: usize, output: Output, after: &mut Vec<(Recipient, Class, Bytes)>) {
        match output {
            Output::Persist(record) => {
                self.oracle.persisted(node, &record);
                if let Some(state) = self.nodes.get_mut(node) {
                    state.disk.write(record);
                }
            }
            Output::Send { to, class, bytes, after_sync: true } => after.push((to, class, bytes)),
            Output::Send { to, class, bytes, after_sync: false } => {
                self.transmit(self.now, node, to, class, &bytes);
            }
            Output::Serve { to, request } => {
                let answer = self.nodes.get(node).and_then(|n| n.disk.serve(request));
                if let Some(bytes) = answer {
                    self.transmit(self.now, node, Recipient::One(to), Class::Sync, &bytes);
                }
            }
            Output::ServeSealed { to, number } => {
                let batch = self.nodes.get(node).and_then(|n| n.disk.sealed(number));
                if let Some(batch) = batch {
                    let bytes = node_core::wire::sealed_answer(&batch);
                    self.transmit(self.now, node, Recipient::One(to), Class::Ceremony, &bytes);
                }
            }
            Output::Job(job) => {
                let result = prover::run(job, &self.spec);
                let life = self.nodes.get(node).map_or(0, |n| n.life);
                let takes = Duration::from_millis(20 + below(&mut self.rng, 300) as u64);
                self.schedule(self.now + takes, Event::JobDone { node, life, result });
            }
            seen => self.observe(node, seen),
        }
    }

    fn observe(&mut self, node: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Ordered(decided) => {
                let header = &decided.block.header;
                self.tell(format!(
                    "{node} ordered {} {:?} with {}",
                    header.height,
                    header.hash(),
                    header.tx_count
                ));
                self.oracle.ordered(now, node, &decided);
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
            // Nobody lies in these runs, so whoever is accused is innocent.
            Output::Evidence(evidence) => {
                self.oracle.broken("no false blame", format!("node {node} blames {}", evidence.culprit));
            }
            Output::PeerFault { peer, what } => self.tell(format!("{node} finds fault with {peer}: {what}")),
            Output::Fatal(why) => self.oracle.broken("no fatal end", format!("node {node}: {why}")),
            _ => {}
        }
    }

    fn transmit(&mut self, at: Time, from: usize, to: Recipient, class: Class, bytes: &Bytes) {
        let targets: Vec<usize> = match to {
            Recipient::All => (0..self.nodes.len()).filter(|n| *n != from).collect(),
            Recipient::One(id) => self.nodes.iter().position(|n| n.id == id).into_iter().collect(),
        };
        for to in targets {
            for arrival in self.network.arrivals(at, from, to) {
                self.schedule(arrival, Event::Deliver { to, from, class, bytes: bytes.clone() });
            }
        }
    }

    fn arm(&mut self, node: usize) {
        let now = self.now;
        let Some(state) = self.nodes.get_mut(node) else { return };
        let Some(deadline) = state.core.as_ref().and_then(NodeCore::next_deadline) else { return };
        state.overdue = if deadline <= now { state.overdue + 1 } else { 0 };
        if state.overdue == MAX_OVERDUE {
            self.oracle.broken("bounded cost", format!("node {node} spins: its deadline stays in the past"));
        }
        let deadline = deadline.max(now + Duration::from_micros(1));
        if state.wake_at.is_none_or(|at| deadline < at) {
            state.wake_at = Some(deadline);
            let life = state.life;
            self.schedule(deadline, Event::Wake { node, life, due: deadline });
        }
    }

    fn crash(&mut self, node: usize, away: Duration) {
        let now = self.now;
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.core.take().is_none() {
            return;
        }
        let unsynced = state.disk.unsynced();
        let survivors = below(&mut self.rng, unsynced + 1);
        state.disk.crash(survivors);
        state.life += 1;
        state.wake_at = None;
        state.lost_before = now;
        self.crashes += 1;
        self.records_lost += (unsynced - survivors) as u64;
        self.schedule(now + away, Event::Start { node });
    }

    fn start(&mut self, node: usize) {
        let now = self.now;
        let mut entropy = [0; 32];
        self.rng.fill_bytes(&mut entropy);
        let Some(state) = self.nodes.get_mut(node) else { return };
        if state.core.is_some() {
            return;
        }
        state.life += 1;
        let config = Config {
            spec: Arc::clone(&self.spec),
            me: state.id,
            incarnation: state.life,
            settings: Settings::default(),
        };
        let recovered = state.disk.recover(&self.spec);
        match NodeCore::new(config, state.key.clone(), entropy, recovered, now) {
            Ok(core) => {
                state.core = Some(core);
                state.busy_until = now;
                self.drain(node);
            }
            Err(why) => self.oracle.broken("restart", format!("node {node} cannot start: {why}")),
        }
    }

    fn report(mut self) -> Report {
        let alive: Vec<usize> =
            (0..self.nodes.len()).filter(|n| self.nodes.get(*n).is_some_and(|s| s.core.is_some())).collect();
        if self.events > MAX_EVENTS {
            self.oracle.broken("bounded cost", format!("more than {MAX_EVENTS} events"));
        }
        let lost: Vec<Time> = self.nodes.iter().map(|n| n.lost_before).collect();
        self.oracle.judge(&alive, |node| lost.get(node).copied().unwrap_or_default());
        let (blocks, transactions, batches) = self.oracle.figures();
        Report {
            seed: self.plan.seed,
            event_hash: self.hash,
            events: self.events,
            blocks,
            transactions,
            batches,
            crashes: self.crashes,
            records_lost: self.records_lost,
            network: self.network.counts,
            violations: self.oracle.violations().to_vec(),
        }
    }
}
