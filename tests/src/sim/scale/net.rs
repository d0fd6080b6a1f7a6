//! The event loop of a measured network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use node_core::api::{Class, Founding, Input, JobResult, Output, Recipient, Recovered};
use node_core::{Config, NodeCore, Settings};
use ordering_types::{ChainSpec, Epoch, RollupId, Time, Transaction, ValidatorId};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::dealer::deal;
use super::{DRAIN, Figures, Setup, TX_BYTES, Traffic, WARM_UP};
use crate::sim::genesis::genesis;
use crate::sim::plan::{START, below};
use crate::sim::{Plan, prover, wire};

/// How long a sync takes.
const SYNC: Duration = Duration::from_micros(200);
/// How long a job takes on another thread.
const JOB: Duration = Duration::from_millis(100);
/// Commitments that a member keeps at each coordinator: each costs curve maths before anything is measured, and a coordinator has its
/// turn once in n blocks.
const NONCE_POOL: usize = 4;

enum Event {
    Message { to: usize, from: ValidatorId, class: Class, bytes: Bytes },
    Wake { node: usize },
    Done { node: usize, result: JobResult },
    Submit { node: usize },
}

/// A transaction: when and where it came.
struct Submitted {
    node: usize,
    at: Time,
}

pub(super) struct Net {
    setup: Setup,
    spec: Arc<ChainSpec>,
    nodes: Vec<NodeCore>,
    /// The alarm that each node has set; others are void.
    wake_at: Vec<Option<Time>>,
    delays: Vec<Vec<Duration>>,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    rng: ChaCha8Rng,
    submitted: Vec<Submitted>,
    /// Of those submitted while it is measured, by number.
    latencies: BTreeMap<u64, Duration>,
    sent: BTreeMap<&'static str, (u64, u64)>,
    blocks: u64,
    cpu: Duration,
}

impl Net {
    pub(super) fn new(setup: Setup) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(setup.seed);
        let plan = Plan { real_signatures: false, ..Plan::from_seed(setup.seed, Some(setup.nodes)) };
        let (spec, keys) = genesis(&plan);
        let spec = Arc::new(spec);
        let members = spec.validators.len() as u16;
        let (key, materials) = deal(members, 2 * plan.faulty() as u16 + 1, setup.seed);
        let founding = Founding { key, signatures: BTreeMap::new() };
        let nodes = keys
            .into_iter()
            .zip(materials)
            .zip(&spec.validators)
            .map(|((key, material), validator)| {
                let mut entropy = [0; 32];
                rng.fill_bytes(&mut entropy);
                let mut settings = Settings::default();
                settings.signing.pool_target = NONCE_POOL;
                let config = Config { spec: Arc::clone(&spec), me: validator.id, incarnation: 1, settings };
                let key_material = BTreeMap::from([(Epoch::new(0), vec![material.into()])]);
                let founding = Some(founding.clone());
                let recovered = Recovered { key_material, founding, ..Recovered::default() };
                NodeCore::new(config, key, entropy, recovered, START).expect("a fresh core starts")
            })
            .collect();
        Self {
            delays: delays(&mut rng, setup.nodes, setup.links),
            setup,
            spec,
            nodes,
            wake_at: vec![None; setup.nodes],
            now: START,
            queue: BTreeMap::new(),
            sequence: 0,
            rng,
            submitted: Vec::new(),
            latencies: BTreeMap::new(),
            sent: BTreeMap::new(),
            blocks: 0,
            cpu: Duration::ZERO,
        }
    }

    fn begin(&self) -> Time {
        START + WARM_UP
    }

    fn end(&self) -> Time {
        self.begin() + Duration::from_secs(self.setup.seconds)
    }

    fn is_measured(&self, at: Time) -> bool {
        (self.begin()..self.end()).contains(&at)
    }

    pub(super) fn run(mut self, mut progress: impl FnMut(f64)) -> Figures {
        for node in 0..self.nodes.len() {
            self.drain(node);
            let at = START + WARM_UP / 2 + self.gap();
            self.schedule(at, Event::Submit { node });
        }
        let whole = self.end().since(START).as_secs_f64();
        let mut told = 0;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if (at > self.end() && self.owed() == 0) || at > self.end() + DRAIN {
                break;
            }
            self.now = at;
            self.step(event);
            let seconds = at.since(START).as_secs();
            if seconds > told {
                told = seconds;
                progress((seconds as f64 / whole).min(1.0));
            }
        }
        self.figures()
    }

    /// Measured transactions that are not ordered.
    fn owed(&self) -> usize {
        self.submitted.iter().filter(|s| self.is_measured(s.at)).count() - self.latencies.len()
    }

    /// Until the next transaction at a node: uniform, of the mean that the rate says.
    fn gap(&mut self) -> Duration {
        let mean = 1_000_000 / self.setup.rate.max(1) as usize;
        Duration::from_micros(below(&mut self.rng, 2 * mean) as u64)
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    fn step(&mut self, event: Event) {
        let node = match event {
            Event::Submit { node } => {
                self.submit(node);
                node
            }
            Event::Message { to, from, class, bytes } => {
                self.timed(to, |core, now| core.handle(now, Input::Message { from, class, bytes }));
                to
            }
            Event::Wake { node } => {
                let alarm = self.wake_at.get_mut(node).filter(|alarm| **alarm == Some(self.now));
                let Some(alarm) = alarm else { return };
                *alarm = None;
                self.timed(node, |core, now| core.handle(now, Input::Wake));
                node
            }
            Event::Done { node, result } => {
                self.timed(node, |core, now| core.handle(now, Input::JobDone(result)));
                node
            }
        };
        self.drain(node);
    }

    fn timed<T>(&mut self, node: usize, run: impl FnOnce(&mut NodeCore, Time) -> T) -> Option<T> {
        let (now, measured) = (self.now, self.is_measured(self.now));
        let core = self.nodes.get_mut(node)?;
        let start = Instant::now();
        let answer = run(core, now);
        if measured {
            self.cpu += start.elapsed();
        }
        Some(answer)
    }

    fn submit(&mut self, node: usize) {
        let number = self.submitted.len() as u64;
        let mut data = vec![0; TX_BYTES];
        self.rng.fill_bytes(&mut data);
        data.splice(..8, number.to_be_bytes());
        let rollup = RollupId::new(1 + (number % 2) as u32);
        let transaction = Transaction { rollup, data: data.into() };
        let taken = self.timed(node, |core, now| core.submit(now, transaction));
        assert!(taken.is_some_and(|taken| taken.is_ok()), "an idle node takes a transaction");
        self.submitted.push(Submitted { node, at: self.now });
        let next = self.now + self.gap();
        if next < self.end() {
            self.schedule(next, Event::Submit { node });
        }
    }

    fn drain(&mut self, node: usize) {
        let mut after_sync = Vec::new();
        while let Some(Some(output)) = self.timed(node, |core, _| core.next_output()) {
            match output {
                Output::Send { to, class, bytes, after_sync: true } => after_sync.push((to, class, bytes)),
                Output::Send { to, class, bytes, .. } => self.send(node, self.now, to, class, &bytes),
                Output::Job(job) => {
                    let result = prover::run(job, &self.spec);
                    self.schedule(self.now + JOB, Event::Done { node, result });
                }
                Output::Ordered(decided) => self.ordered(node, &decided),
                Output::Fatal(why) => panic!("node {node}: {why}"),
                _ => {}
            }
        }
        for (to, class, bytes) in after_sync {
            self.send(node, self.now + SYNC, to, class, &bytes);
        }
        let deadline = self.nodes.get(node).and_then(NodeCore::next_deadline);
        let Some(deadline) = deadline.map(|at| at.max(self.now + Duration::from_micros(1))) else { return };
        if let Some(alarm) = self.wake_at.get_mut(node).filter(|alarm| alarm.is_none_or(|at| deadline < at)) {
            *alarm = Some(deadline);
            self.schedule(deadline, Event::Wake { node });
        }
    }

    fn ordered(&mut self, node: usize, decided: &node_core::api::Decided) {
        self.blocks += u64::from(node == 0 && self.is_measured(self.now));
        for transaction in decided.block.sections.iter().flat_map(|section| &section.transactions) {
            let number = transaction.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
            let submitted = usize::try_from(number).ok().and_then(|number| self.submitted.get(number));
            let Some(submitted) = submitted.filter(|s| s.node == node && self.is_measured(s.at)) else {
                continue;
            };
            self.latencies.insert(number, self.now.since(submitted.at));
        }
    }

    fn send(&mut self, from: usize, at: Time, to: Recipient, class: Class, bytes: &Bytes) {
        let targets: Vec<(usize, ValidatorId)> = self
            .spec
            .validators
            .iter()
            .enumerate()
            .filter(|(index, v)| *index != from && (to == Recipient::All || to == Recipient::One(v.id)))
            .map(|(index, v)| (index, v.id))
            .collect();
        if self.is_measured(self.now) {
            let (messages, sum) = self.sent.entry(kind(class, bytes)).or_default();
            *messages += targets.len() as u64;
            *sum += (targets.len() * bytes.len()) as u64;
        }
        let Some(me) = self.spec.validators.get(from).map(|v| v.id) else { return };
        for (to, _) in targets {
            let delay = self.delays.get(from).and_then(|row| row.get(to)).copied().unwrap_or_default();
            self.schedule(at + delay, Event::Message { to, from: me, class, bytes: bytes.clone() });
        }
    }

    fn figures(&self) -> Figures {
        assert_eq!(self.owed(), 0, "a network without faults orders everything");
        let mut latencies: Vec<f64> = self.latencies.values().map(|l| l.as_secs_f64() * 1e3).collect();
        latencies.sort_by(f64::total_cmp);
        let percentile = |share: usize| {
            let index = latencies.len().saturating_sub(1) * share / 100;
            latencies.get(index).copied().unwrap_or_default()
        };
        let links: Vec<f64> = self
            .delays
            .iter()
            .enumerate()
            .flat_map(|(from, row)| row.iter().enumerate().filter(move |(to, _)| *to != from))
            .map(|(_, delay)| delay.as_secs_f64() * 1e3)
            .collect();
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
        let shares = (self.blocks.max(1) * self.nodes.len() as u64) as f64;
        let sent: BTreeMap<&'static str, Traffic> = self
            .sent
            .iter()
            .map(|(kind, (messages, bytes))| {
                (*kind, Traffic { messages: *messages as f64 / shares, bytes: *bytes as f64 / shares })
            })
            .collect();
        Figures {
            nodes: self.nodes.len(),
            seconds: self.setup.seconds,
            mean_link_ms: mean(&links),
            transactions: latencies.len() as u64,
            blocks: self.blocks,
            blocks_per_second: self.blocks as f64 / self.setup.seconds as f64,
            hops: mean(&latencies) / mean(&links),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            total: Traffic {
                messages: sent.values().map(|t| t.messages).sum(),
                bytes: sent.values().map(|t| t.bytes).sum(),
            },
            sent,
            cpu_ms: self.cpu.as_secs_f64() * 1e3 / shares,
        }
    }
}

/// A delay for every pair of nodes, the same in both directions.
fn delays(rng: &mut ChaCha8Rng, nodes: usize, (least, most): (Duration, Duration)) -> Vec<Vec<Duration>> {
    let spread = most.saturating_sub(least).as_micros() as usize;
    let mut delays = vec![vec![Duration::ZERO; nodes]; nodes];
    for a in 0..nodes {
        for b in 0..a {
            let delay = least + Duration::from_micros(below(rng, spread + 1) as u64);
            for (from, to) in [(a, b), (b, a)] {
                if let Some(place) = delays.get_mut(from).and_then(|row| row.get_mut(to)) {
                    *place = delay;
                }
            }
        }
    }
    delays
}

/// What a message is counted as.
fn kind(class: Class, bytes: &[u8]) -> &'static str {
    match (class, bytes.first()) {
        (Class::Consensus, Some(&wire::VOTE)) => "votes",
        (Class::Consensus, Some(&wire::PROPOSAL)) => "proposals",
        (Class::Consensus, _) => "other consensus",
        (Class::Chunks, Some(&wire::CHUNK)) => "chunks",
        (Class::Chunks, Some(&wire::REPORT)) => "reports",
        (Class::Chunks, _) => "fetching",
        (Class::Sync, _) => "catching up",
        // The first word of a message says whether it is one of signing.
        (Class::Ceremony, _) if bytes.starts_with(&[0; 4]) => "signing",
        (Class::Ceremony, _) => "batches",
    }
}
