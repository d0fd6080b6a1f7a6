//! What a seed stands for.

use std::collections::BTreeSet;
use std::time::Duration;

use ordering_types::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::byzantine::Lie;
use super::l1::Outage;
use super::planted::Planted;

/// When every simulated network begins, by a clock that is right.
pub const START: Time = Time::from_millis(1_700_000_000_000);

/// Faults end here; from then on the network has [`RECOVERY`] to come round.
const FAULTS_LAST: Duration = Duration::from_secs(10);

/// How long the network has after the last fault.
pub const RECOVERY: Duration = Duration::from_secs(20);

/// Sizes that seeds choose from. For 5, 6, 8 and others n − f is not 2f + 1.
const SIZES: [usize; 12] = [4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 10];

/// One in so many seeds runs with the real signature scheme.
const REAL_EVERY: u64 = 20;

/// Of plans in which validators join: with how many they begin, and how many there are at the most.
const FOUNDERS: usize = 4;
const MOST_REGISTERED: usize = 10;

/// One in so many seeds has short epochs.
const ROTATES_EVERY: u64 = 4;
/// Of plans with short epochs, in one of so many the key is kept.
const KEEPS_EVERY: u64 = 3;
/// And in one in so many validators join and leave.
const REGISTRY_EVERY: u64 = 8;

/// How nodes go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// At once, whatever they are at.
    Power,
    /// At their next sync, before it.
    BeforeSync,
    /// At their next sync, after it and before anything that waited for it is sent.
    AfterSync,
    /// Their next sync fails: what was written may or may not be there, and the node must not go on.
    SyncFails,
    /// At once, and the disk is gone: they come back with an empty one, if the committee has its key by then.
    DiskLost,
}

/// How an endpoint shows L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Not at all.
    Nothing,
    /// On another fork than the others'.
    OtherFork,
}

/// What the endpoints of some nodes show for a while.
#[derive(Clone, Debug)]
pub struct View {
    /// Whose.
    pub nodes: BTreeSet<usize>,
    /// When, after [`START`].
    pub at: Duration,
    /// For how long.
    pub length: Duration,
    /// What.
    pub sight: Sight,
}

/// Nodes that go down, and when they come back.
#[derive(Clone, Debug)]
pub struct Crash {
    /// Who.
    pub nodes: Vec<usize>,
    /// When, after [`START`].
    pub at: Duration,
    /// How long they stay away.
    pub away: Duration,
    /// How.
    pub fall: Fall,
}

/// A time in which messages from some nodes do not reach some others.
#[derive(Clone, Debug)]
pub struct Cut {
    /// When, after [`START`].
    pub at: Duration,
    /// How long.
    pub length: Duration,
    /// Nodes on one side; the rest are on the other.
    pub side: BTreeSet<usize>,
    /// Whether messages still pass from the rest to the side.
    pub one_way: bool,
}

/// A node's clock is set.
#[derive(Clone, Copy, Debug)]
pub struct ClockJump {
    /// Whose.
    pub node: usize,
    /// When, after [`START`].
    pub at: Duration,
    /// Milliseconds by which it is wrong from then on.
    pub offset_ms: i64,
}

/// A disk that takes long over everything for a while.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// Whose.
    pub node: usize,
    /// When, after [`START`].
    pub at: Duration,
    /// How long its next sync takes.
    pub length: Duration,
}

/// Everything about one run. *Slots* are running instances: validator `i` is slot `i`, and the second instance of a twinned
/// validator is one of the slots from [`Plan::nodes`] on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed itself.
    pub seed: u64,
    /// Number of validators.
    pub nodes: usize,
    /// Whether validators sign with real keys.
    pub real_signatures: bool,
    /// Validators that lie, and how.
    pub liars: Vec<(usize, Vec<Lie>)>,
    /// Validators that run twice with one key.
    pub twins: Vec<usize>,
    /// Messages lost of each 1,000 while faults last.
    pub loss_per_mille: u64,
    /// Messages delivered twice of each 1,000.
    pub duplicates_per_mille: u64,
    /// Shortest and longest one-way delay.
    pub delay: (Duration, Duration),
    /// Links that take so much longer in one direction.
    pub slow_links: Vec<(usize, usize, Duration)>,
    /// Crashes, ascending by time.
    pub crashes: Vec<Crash>,
    /// Partitions and one-way cuts.
    pub cuts: Vec<Cut>,
    /// Clocks that are set.
    pub clocks: Vec<ClockJump>,
    /// Disks that stall.
    pub stalls: Vec<Stall>,
    /// Transactions submitted.
    pub transactions: u64,
    /// Whether blocks come fast and are forgotten soon, so that who was away goes on from a checkpoint.
    pub short_window: bool,
    /// Whether epochs are short: then keys are made all the time.
    pub rotates: bool,
    /// Whether the epochs keep their key.
    pub keeps: bool,
    /// Validators that join and leave, in a plan with short epochs: those active from each time on. Empty if the committee stays the same.
    pub registry: Vec<(Duration, BTreeSet<usize>)>,
    /// When L1 is down.
    pub outages: Vec<Outage>,
    /// Endpoints of honest nodes that go wrong.
    pub views: Vec<View>,
    /// Those that are registered and never run.
    pub absent: BTreeSet<usize>,
    /// A bug on purpose in every node.
    pub planted: Option<Planted>,
}

impl Plan {
    /// Derives a plan from a seed; `nodes` overrides the size that the seed would choose. In one of eight validators join and leave.
    pub fn from_seed(seed: u64, nodes: Option<usize>) -> Self {
        if nodes.is_none() && seed % REGISTRY_EVERY == 5 {
            return Self::with_registry(seed);
        }
        Self::of_founders(seed, nodes)
    }

    /// The same, with short epochs in any case; in one of two validators join and leave, and in one of three the key is kept.
    pub fn rotating(seed: u64, nodes: Option<usize>) -> Self {
        let keeps = (seed / 2).is_multiple_of(KEEPS_EVERY);
        if nodes.is_none() && seed % 2 == 1 {
            return Self { keeps, ..Self::with_registry(seed) };
        }
        Self { rotates: true, keeps, ..Self::of_founders(seed, nodes) }
    }

    fn of_founders(seed: u64, nodes: Option<usize>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nodes = nodes.unwrap_or(SIZES.get(below(&mut rng, SIZES.len())).copied().unwrap_or(4));
        let faulty = (nodes - 1) / 3;
        let (liars, twins) = choose_liars(&mut rng, nodes, faulty);
        let slots = nodes + twins.len();
        let longest = [2, 5, 20, 60, 120].get(below(&mut rng, 5)).copied().unwrap_or(5);
        let mut plan = Self {
            seed,
            nodes,
            real_signatures: seed.is_multiple_of(REAL_EVERY),
            liars,
            twins,
            loss_per_mille: pick(&mut rng, [0, 0, 20, 100, 200, 300]),
            duplicates_per_mille: pick(&mut rng, [0, 10, 50]),
            delay: (Duration::from_micros(300), Duration::from_millis(longest)),
            slow_links: Vec::new(),
            crashes: Vec::new(),
            cuts: Vec::new(),
            clocks: Vec::new(),
            stalls: Vec::new(),
            transactions: 20 + below(&mut rng, 40) as u64,
            short_window: false,
            rotates: seed % ROTATES_EVERY == 1,
            keeps: false,
            registry: Vec::new(),
            outages: Vec::new(),
            views: Vec::new(),
            absent: BTreeSet::new(),
            planted: None,
        };
        for _ in 0..below(&mut rng, 4) {
            let link = (below(&mut rng, slots), below(&mut rng, slots), millis(&mut rng, 20, 400));
            plan.slow_links.push(link);
        }
        plan.plan_cuts(&mut rng, slots);
        plan.plan_crashes(&mut rng, slots, faulty);
        plan.plan_clocks(&mut rng, faulty);
        for _ in 0..below(&mut rng, 3) {
            let (node, at) = (below(&mut rng, slots), millis(&mut rng, 300, 9_000));
            plan.stalls.push(Stall { node, at, length: millis(&mut rng, 50, 2_000) });
        }
        plan.plan_absence(&mut rng);
        plan.crashes.sort_by_key(|c| c.at);
        plan
    }

    /// Makes it a plan in which validators join and leave: four become seven, seven ten, and in the end any four of them are left; five, if one of them
    /// lies. Those that lie in it are founders, and no more than one of them.
    #[must_use]
    pub fn with_registry(seed: u64) -> Self {
        let mut plan = Self { rotates: true, ..Self::of_founders(seed, Some(FOUNDERS)) };
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x10_1e4);
        plan.twins.clear();
        plan.liars.truncate(plan.faulty());
        // Whoever is alone with a liar among four cannot lose its share.
        plan.crashes.retain(|crash| crash.fall != Fall::DiskLost);
        let founders = |nodes: &Vec<usize>| nodes.iter().all(|node| *node < FOUNDERS);
        plan.crashes.retain(|crash| founders(&crash.nodes));
        plan.slow_links.retain(|(from, to, _)| *from < FOUNDERS && *to < FOUNDERS);
        plan.stalls.retain(|stall| stall.node < FOUNDERS);
        for _ in 0..below(&mut rng, 4) {
            let nodes = choose(&mut rng, MOST_REGISTERED, 1);
            let (at, away) = (millis(&mut rng, 300, 8_500), millis(&mut rng, 30, 1_200));
            plan.crashes.push(Crash { nodes, at, away, fall: Fall::Power });
        }
        plan.crashes.sort_by_key(|c| c.at);
        let upto = |n: usize| (0..n).collect::<BTreeSet<usize>>();
        // More than f of seven, and of ten, may be registered without ever running.
        let absent = below(&mut rng, 4);
        plan.absent =
            choose(&mut rng, MOST_REGISTERED - FOUNDERS, absent).into_iter().map(|i| i + FOUNDERS).collect();
        let running: Vec<usize> = (0..MOST_REGISTERED).filter(|node| !plan.absent.contains(node)).collect();
        let mut left: BTreeSet<usize> = choose(&mut rng, running.len(), FOUNDERS)
            .into_iter()
            .filter_map(|i| running.get(i).copied())
            .collect();
        if left.iter().any(|node| plan.is_byzantine(*node)) {
            // It need not say that it is ready, and fewer than four are no committee.
            left.extend(running.iter().find(|node| !left.contains(node)));
        }
        left.extend(plan.absent.first());
        plan.registry = vec![
            (Duration::ZERO, upto(FOUNDERS)),
            (millis(&mut rng, 500, 2_500), upto(7)),
            (millis(&mut rng, 3_000, 6_000), upto(MOST_REGISTERED)),
            (millis(&mut rng, 6_500, 9_500), left),
        ];
        if below(&mut rng, 3) == 0 {
            plan.outages.push((millis(&mut rng, 1_000, 8_000), millis(&mut rng, 1_000, 6_000)));
        }
        plan
    }

    /// Whether L1 is down so long after the start.
    pub fn is_l1_down(&self, after: Duration) -> bool {
        self.outages.iter().any(|(at, length)| (*at..*at + *length).contains(&after))
    }

    /// What a node's endpoint shows so long after the start, if not the truth.
    pub fn wrong_sight(&self, node: usize, after: Duration) -> Option<Sight> {
        let is_wrong =
            |view: &&View| view.nodes.contains(&node) && (view.at..view.at + view.length).contains(&after);
        self.views.iter().find(is_wrong).map(|view| view.sight)
    }

    /// Who must be the committee in the end, where members change: without those that lie, or with them.
    pub fn last_committee(&self) -> Option<BTreeSet<usize>> {
        Some(self.registry.last()?.1.difference(&self.absent).copied().collect())
    }

    /// How many validators there are in the end, members or not.
    pub fn validators(&self) -> usize {
        self.registry.iter().flat_map(|(_, active)| active).max().map_or(self.nodes, |last| last + 1)
    }

    /// The validators that are active after so long.
    pub fn active(&self, after: Duration) -> Option<&BTreeSet<usize>> {
        self.registry.iter().rev().find(|(from, _)| *from <= after).map(|(_, active)| active)
    }

    /// In one of four plans a node is away for so long that nobody replays to it what it missed.
    fn plan_absence(&mut self, rng: &mut ChaCha8Rng) {
        self.short_window = below(rng, 4) == 0;
        if !self.short_window {
            return;
        }
        self.loss_per_mille = self.loss_per_mille.min(50);
        self.delay.1 = self.delay.1.min(Duration::from_millis(5));
        // A lost share is one signer less, for good: with liars there might not be enough.
        let honest = self.is_honest();
        let fall = if honest && below(rng, 2) == 0 { Fall::DiskLost } else { Fall::Power };
        let nodes = vec![below(rng, self.nodes)];
        self.crashes.push(Crash {
            nodes,
            at: millis(rng, 1_000, 4_000),
            away: millis(rng, 2_000, 5_000),
            fall,
        });
    }

    fn plan_cuts(&mut self, rng: &mut ChaCha8Rng, slots: usize) {
        // Twins are harmless unless the network falls apart between them.
        let cuts = if self.twins.is_empty() { below(rng, 4) } else { 3 + below(rng, 4) };
        for _ in 0..cuts {
            let members = 1 + below(rng, slots - 1);
            self.cuts.push(Cut {
                at: millis(rng, 300, 8_000),
                length: millis(rng, 200, 1_900),
                side: choose(rng, slots, members).into_iter().collect(),
                one_way: below(rng, 3) == 0,
            });
        }
    }

    fn plan_crashes(&mut self, rng: &mut ChaCha8Rng, slots: usize, faulty: usize) {
        let falls = [Fall::Power, Fall::BeforeSync, Fall::AfterSync, Fall::SyncFails];
        for _ in 0..below(rng, 5) {
            // One, up to f, or everybody at once: nothing agreed may be lost even then.
            let members = match below(rng, 6) {
                0 => slots,
                1 | 2 => faulty,
                _ => 1,
            };
            self.crashes.push(Crash {
                nodes: choose(rng, slots, members),
                at: millis(rng, 300, 8_500),
                away: millis(rng, 30, 1_200),
                fall: falls.get(below(rng, falls.len())).copied().unwrap_or(Fall::Power),
            });
        }
    }

    /// All clocks are off by less than the allowed drift; those of up to f nodes step forward and back while the node runs, by up to a minute.
    /// In the end they are set right: some with a restart, others while they run. One that then goes at half speed for a minute is a fault like
    /// any other, so beside liars all restart.
    fn plan_clocks(&mut self, rng: &mut ChaCha8Rng, faulty: usize) {
        if below(rng, 2) == 0 {
            return;
        }
        for node in 0..self.nodes {
            let offset_ms = below(rng, 1_600) as i64 - 800;
            self.clocks.push(ClockJump { node, at: Duration::ZERO, offset_ms });
        }
        let wrong = below(rng, faulty + 1);
        for node in choose(rng, self.nodes, wrong) {
            for _ in 0..1 + below(rng, 3) {
                let size = 1_000 + below(rng, 59_000) as i64;
                let offset_ms = if below(rng, 2) == 0 { size } else { -size };
                self.clocks.push(ClockJump { node, at: millis(rng, 0, 8_000), offset_ms });
            }
            let at = FAULTS_LAST - Duration::from_millis(1_200);
            self.clocks.push(ClockJump { node, at, offset_ms: 0 });
            let restarts = below(rng, 2) == 0;
            if restarts || !self.is_honest() {
                let away = Duration::from_millis(100);
                self.crashes.push(Crash { nodes: vec![node], at, away, fall: Fall::Power });
            }
        }
    }

    /// Most validators that may lie without any promise but progress being at risk.
    pub fn faulty(&self) -> usize {
        (self.nodes - 1) / 3
    }

    /// Whether nobody lies or runs twice.
    fn is_honest(&self) -> bool {
        self.liars.is_empty() && self.twins.is_empty()
    }

    /// Whether a validator lies or runs twice.
    pub fn is_byzantine(&self, validator: usize) -> bool {
        self.twins.contains(&validator) || self.liars.iter().any(|(liar, _)| *liar == validator)
    }

    /// Whether more validators than f are Byzantine: then the network may stop.
    pub fn is_beyond(&self) -> bool {
        (0..self.nodes).filter(|v| self.is_byzantine(*v)).count() > self.faulty()
    }

    /// Whether more validators than f vote twice: no protocol can then promise that there is no fork.
    pub fn may_fork(&self) -> bool {
        let double = |v: &usize| {
            self.twins.contains(v)
                || self.liars.iter().any(|(liar, lies)| liar == v && lies.contains(&Lie::EquivocatingVoter))
        };
        (0..self.nodes).filter(double).count() > self.faulty()
    }

    /// The validator of each slot.
    pub fn slots(&self) -> Vec<usize> {
        (0..self.validators()).chain(self.twins.iter().copied()).collect()
    }

    /// From when on nothing goes wrong any more, but for those who lie.
    pub fn calm(&self) -> Time {
        START + FAULTS_LAST
    }

    /// When the run is judged at the latest.
    pub fn end(&self) -> Time {
        self.calm() + RECOVERY
    }

    /// When transactions are submitted: spread over the faults, and a few after them.
    pub fn submit_times(&self, rng: &mut ChaCha8Rng) -> Vec<Time> {
        // Also while the last ones leave.
        let more = if self.registry.is_empty() { 300 } else { 8_000 };
        let last = FAULTS_LAST.as_millis() as usize + more;
        let mut times: Vec<Time> = (0..self.transactions).map(|_| START + millis(rng, 200, last)).collect();
        times.sort();
        times
    }
}

/// Up to f Byzantine validators in most plans with any, f + 1 in some.
fn choose_liars(rng: &mut ChaCha8Rng, nodes: usize, faulty: usize) -> (Vec<(usize, Vec<Lie>)>, Vec<usize>) {
    let count = match below(rng, 10) {
        0..=3 => 0,
        4..=8 => 1 + below(rng, faulty),
        _ => faulty + 1,
    };
    let chosen = choose(rng, nodes, count);
    if (nodes == 4 || nodes == 7) && below(rng, 3) == 0 {
        return (Vec::new(), chosen);
    }
    let mut voters = 0;
    let mut liars = Vec::new();
    for node in chosen {
        let mut lies = vec![Lie::ALL.get(below(rng, Lie::ALL.len())).copied().unwrap_or(Lie::Silent)];
        if below(rng, 2) == 0 {
            lies.push(Lie::ALL.get(below(rng, Lie::ALL.len())).copied().unwrap_or(Lie::Silent));
        }
        // Its lie needs the luck to lead at the right moment, so more of them try.
        if below(rng, 3) == 0 {
            lies.push(Lie::ChunkForger);
        }
        // More than f that vote twice can fork any protocol: see `Plan::may_fork`.
        if lies.contains(&Lie::EquivocatingVoter) {
            voters += 1;
            if voters > faulty {
                lies = vec![Lie::WrongRoot];
            }
        }
        liars.push((node, lies));
    }
    (liars, Vec::new())
}

/// A number below `bound`, which is small and not zero.
pub(super) fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    (rng.next_u64() % bound.max(1) as u64) as usize
}

fn pick<const N: usize>(rng: &mut ChaCha8Rng, choices: [u64; N]) -> u64 {
    choices.get(below(rng, N)).copied().unwrap_or_default()
}

fn millis(rng: &mut ChaCha8Rng, least: usize, most: usize) -> Duration {
    Duration::from_millis((least + below(rng, most - least)) as u64)
}

/// `members` different numbers below `nodes`, ascending.
fn choose(rng: &mut ChaCha8Rng, nodes: usize, members: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..nodes).collect();
    while all.len() > members {
        all.remove(below(rng, all.len()));
    }
    all
}
