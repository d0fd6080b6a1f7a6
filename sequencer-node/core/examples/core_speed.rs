//! Measures what the pure core costs: n cores in one thread, a perfect network, a virtual clock and real cryptography.
//!
//! What it prints is CPU time of the cores alone, without sockets, disks and threads: the part of a transaction's price
//! that no faster network brings down. Profile it with `perf record` to see where that goes.

#![allow(clippy::disallowed_methods, reason = "a stopwatch around the core, not in it")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use node_core::api::{Class, Input, JobResult, Output, Recipient};
use node_core::{Config, NodeCore, Settings};
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::{Address, ChainSpec, RollupId, SecretKey, Time, Transaction, ValidatorId};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// When the virtual clock starts.
const START: Time = Time::from_millis(1_700_000_000_000);
/// Founding takes a few blocks; the load begins after it.
const WARM_UP: Duration = Duration::from_secs(3);
/// A message takes so long, and so does a sync.
const HOP: Duration = Duration::from_micros(150);
/// Transactions come in groups, as they do from sockets.
const GROUP: Duration = Duration::from_millis(1);

/// Measures the CPU time of the pure cores.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  cargo run --release -p node-core --example core_speed -- --rate 60000\n  cargo run --release -p node-core --example core_speed -- --nodes 10 --rate 5000 --seconds 5 --json"
)]
struct Arguments {
    /// Number of nodes.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=100))]
    nodes: u16,
    /// Transactions a second of virtual time, over all nodes.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Seconds of virtual time under load.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Bytes of a transaction.
    #[arg(long, default_value_t = 512)]
    tx_bytes: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

enum Event {
    Message { to: usize, from: ValidatorId, class: Class, bytes: Bytes },
    Wake { node: usize },
    Done { node: usize, result: JobResult },
    Submit,
}

#[derive(Default)]
struct Spent {
    submitting: Duration,
    handling: BTreeMap<Class, Duration>,
    waking: Duration,
}

struct Bench {
    nodes: Vec<NodeCore>,
    /// The alarm that each node has set; others are void.
    wake_at: Vec<Option<Time>>,
    spec: Arc<ChainSpec>,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    rng: ChaCha8Rng,
    spent: Spent,
    bytes: u64,
    messages: u64,
    blocks: u64,
    ordered: u64,
    refused: u64,
    /// When each transaction was submitted, by its number.
    submitted: Vec<Time>,
    latency: Vec<Duration>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut bench = Bench::new(arguments.nodes);
    bench.run_until(START + WARM_UP);
    bench.forget();
    let end = START + WARM_UP + Duration::from_secs(arguments.seconds);
    bench.load(&arguments, end);
    bench.print(&arguments);
    ExitCode::SUCCESS
}

impl Bench {
    fn new(nodes: u16) -> Self {
        let (spec, keys) = chain_spec(nodes);
        let spec = Arc::new(spec);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let nodes: Vec<NodeCore> = keys
            .into_iter()
            .zip(&spec.validators)
            .map(|(key, validator)| {
                let mut entropy = [0; 32];
                rng.fill_bytes(&mut entropy);
                let (me, settings) = (validator.id, Settings::default());
                let config = Config { spec: Arc::clone(&spec), me, incarnation: 1, settings };
                NodeCore::new(config, key, entropy, Default::default(), START).expect("a fresh core starts")
            })
            .collect();
        let mut bench = Self {
            wake_at: vec![None; nodes.len()],
            nodes,
            spec,
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
            rng,
            spent: Spent::default(),
            bytes: 0,
            messages: 0,
            blocks: 0,
            ordered: 0,
            refused: 0,
            submitted: Vec::new(),
            latency: Vec::new(),
        };
        (0..bench.nodes.len()).for_each(|node| bench.drain(node));
        bench
    }

    fn forget(&mut self) {
        self.spent = Spent::default();
        (self.bytes, self.messages, self.blocks, self.ordered) = (0, 0, 0, 0);
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    fn run_until(&mut self, end: Time) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                return;
            }
            self.now = at;
            self.step(event, 0, 0);
        }
    }

    fn load(&mut self, arguments: &Arguments, end: Time) {
        let group = arguments.rate * GROUP.as_micros() as u64 / 1_000_000;
        self.schedule(self.now, Event::Submit);
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                return;
            }
            self.now = at;
            self.step(event, group.max(1), arguments.tx_bytes);
        }
    }

    fn step(&mut self, event: Event, group: u64, tx_bytes: usize) {
        let node = match event {
            Event::Submit => {
                self.submit(group, tx_bytes);
                return self.schedule(self.now + GROUP, Event::Submit);
            }
            Event::Message { to, from, class, bytes } => {
                self.timed(to, Some(class), |core, now| {
                    core.handle(now, Input::Message { from, class, bytes })
                });
                to
            }
            Event::Wake { node } => {
                let Some(alarm) = self.wake_at.get_mut(node).filter(|alarm| **alarm == Some(self.now)) else {
                    return;
                };
                *alarm = None;
                self.timed(node, None, |core, now| core.handle(now, Input::Wake));
                node
            }
            Event::Done { node, result } => {
                self.timed(node, None, |core, now| core.handle(now, Input::JobDone(result)));
                node
            }
        };
        self.drain(node);
    }

    fn timed(&mut self, node: usize, class: Option<Class>, run: impl FnOnce(&mut NodeCore, Time)) {
        let now = self.now;
        let Some(core) = self.nodes.get_mut(node) else { return };
        let start = Instant::now();
        run(core, now);
        let spent = start.elapsed();
        match class {
            Some(class) => *self.spent.handling.entry(class).or_default() += spent,
            None => self.spent.waking += spent,
        }
    }

    fn submit(&mut self, group: u64, tx_bytes: usize) {
        let now = self.now;
        for _ in 0..group {
            let number = self.submitted.len();
            let mut data = vec![0; tx_bytes.max(8)];
            self.rng.fill_bytes(&mut data);
            for (byte, count) in data.iter_mut().zip((number as u64).to_be_bytes()) {
                *byte = count;
            }
            self.submitted.push(now);
            let transaction = Transaction { rollup: RollupId::new(1), data: data.into() };
            let node = number % self.nodes.len();
            let Some(core) = self.nodes.get_mut(node) else { return };
            let start = Instant::now();
            let outcome = core.submit(now, transaction);
            self.spent.submitting += start.elapsed();
            self.refused += u64::from(outcome.is_err());
        }
        (0..self.nodes.len()).for_each(|node| self.drain(node));
    }

    fn drain(&mut self, node: usize) {
        let mut after_sync = Vec::new();
        loop {
            let Some(core) = self.nodes.get_mut(node) else { return };
            let Some(output) = core.next_output() else { break };
            match output {
                Output::Send { to, class, bytes, after_sync: true } => after_sync.push((to, class, bytes)),
                Output::Send { to, class, bytes, .. } => self.send(node, HOP, to, class, &bytes),
                Output::Job(job) => {
                    let result = job.run(&self.spec);
                    self.schedule(self.now + Duration::from_millis(50), Event::Done { node, result });
                }
                Output::Ordered(decided) if node == 0 => {
                    self.blocks += 1;
                    for transaction in decided.block.sections.iter().flat_map(|s| &s.transactions) {
                        let number = transaction.first_chunk().map_or(0, |b| u64::from_be_bytes(*b) as usize);
                        self.ordered += 1;
                        let at = self.submitted.get(number).copied().unwrap_or(self.now);
                        self.latency.push(self.now.since(at));
                    }
                }
                Output::Fatal(why) => panic!("node {node}: {why}"),
                _ => {}
            }
        }
        for (to, class, bytes) in after_sync {
            self.send(node, HOP * 2, to, class, &bytes);
        }
        let deadline = self.nodes.get(node).and_then(NodeCore::next_deadline);
        let Some(deadline) = deadline.map(|at| at.max(self.now + Duration::from_micros(1))) else { return };
        if let Some(alarm) = self.wake_at.get_mut(node).filter(|alarm| alarm.is_none_or(|at| deadline < at)) {
            *alarm = Some(deadline);
            self.schedule(deadline, Event::Wake { node });
        }
    }

    fn send(&mut self, from: usize, delay: Duration, to: Recipient, class: Class, bytes: &Bytes) {
        let me = self.spec.validators.get(from).map(|v| v.id);
        let Some(me) = me else { return };
        let targets: Vec<usize> = self
            .spec
            .validators
            .iter()
            .enumerate()
            .filter(|(_, v)| v.id != me && (to == Recipient::All || to == Recipient::One(v.id)))
            .map(|(index, _)| index)
            .collect();
        for to in targets {
            self.bytes += bytes.len() as u64;
            self.messages += 1;
            self.schedule(self.now + delay, Event::Message { to, from: me, class, bytes: bytes.clone() });
        }
    }

    fn print(&mut self, arguments: &Arguments) {
        self.latency.sort_unstable();
        let percentile = |share: usize| {
            let index = self.latency.len().saturating_sub(1) * share / 100;
            self.latency.get(index).map_or(0.0, |l| l.as_secs_f64() * 1e3)
        };
        let nodes = self.nodes.len() as f64;
        let micros = |spent: Duration| spent.as_secs_f64() * 1e6;
        let per = |spent: Duration, count: u64| micros(spent) / count.max(1) as f64 / nodes;
        let classes: BTreeMap<String, f64> = self
            .spent
            .handling
            .iter()
            .map(|(class, spent)| (format!("{class:?}").to_lowercase(), per(*spent, self.ordered)))
            .collect();
        let total = self.spent.submitting
            + self.spent.waking
            + self.spent.handling.values().copied().sum::<Duration>();
        let object = serde_json::json!({
            "nodes": self.nodes.len(), "rate": arguments.rate, "seconds": arguments.seconds,
            "ordered": self.ordered, "refused": self.refused, "blocks": self.blocks,
            "latency_ms": { "p50": percentile(50), "p99": percentile(99) },
            "us_per_tx_and_node": per(total, self.ordered),
            "us_per_block_and_node": per(total, self.blocks),
            "of_it": { "submit": per(self.spent.submitting, self.ordered),
                       "timers_and_jobs": per(self.spent.waking, self.ordered), "messages": classes },
            "messages_per_block_and_node": self.messages as f64 / self.blocks.max(1) as f64 / nodes,
            "bytes_per_tx": self.bytes as f64 / self.ordered.max(1) as f64,
        });
        if arguments.json {
            println!("{object}");
        } else {
            println!("{object:#}");
        }
    }
}

fn chain_spec(nodes: u16) -> (ChainSpec, Vec<SecretKey>) {
    let keys: Vec<SecretKey> = (1..=nodes)
        .map(|number| {
            let mut bytes = [7; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            SecretKey::from_bytes(bytes).expect("far below the group order")
        })
        .collect();
    let validators = (1..).zip(&keys).map(|(number, key)| Validator {
        id: ValidatorId::new(number),
        key: key.public_key(),
        address: format!("/ip4/127.0.0.1/udp/{}/quic-v1", 9_100 + number),
    });
    let limits = Limits::default();
    let rollup = Rollup {
        id: RollupId::new(1),
        name: "bulk".to_owned(),
        kind: RollupKind::Opaque,
        chain_id: 1,
        data: DataPolicy::Committee,
        quota_bytes_per_block: limits.block_bytes,
    };
    let spec = ChainSpec {
        network: "core speed".to_owned(),
        l1_chain_id: 1337,
        inbox: Address::new([0xaa; 20]),
        limits,
        validators: validators.collect(),
        rollups: vec![rollup],
        ..ChainSpec::default()
    };
    (spec, keys)
}
