//! What a seed stands for.

use std::time::Duration;

use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::{Address, ChainSpec, RollupId, SecretKey, Time, ValidatorId};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// When every simulated network begins: the clock of its first event.
pub const START: Time = Time::from_millis(1_700_000_000_000);

/// Faults end here; until [`Plan::end`] the network must have recovered from all of them.
const FAULTS_LAST: Duration = Duration::from_secs(12);

/// How long the network has after the last fault.
pub const RECOVERY: Duration = Duration::from_secs(20);

/// One crash of one or all nodes, and when they come back.
#[derive(Clone, Debug)]
pub struct Crash {
    /// Who crashes.
    pub nodes: Vec<usize>,
    /// When, after [`START`].
    pub at: Duration,
    /// How long they stay away.
    pub away: Duration,
}

/// A time in which messages pass only within groups.
#[derive(Clone, Debug)]
pub struct Partition {
    /// When, after [`START`].
    pub at: Duration,
    /// How long.
    pub length: Duration,
    /// Nodes on one side; the rest are on the other.
    pub side: Vec<usize>,
}

/// Everything about one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed itself.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// Messages lost of each 1,000 while faults last.
    pub loss_per_mille: u64,
    /// Messages delivered twice of each 1,000.
    pub duplicates_per_mille: u64,
    /// Shortest and longest one-way delay.
    pub delay: (Duration, Duration),
    /// Crashes, ascending by time.
    pub crashes: Vec<Crash>,
    /// Partitions, ascending by time.
    pub partitions: Vec<Partition>,
    /// Transactions submitted while faults last.
    pub transactions: u64,
}

impl Plan {
    /// Derives a plan from a seed; `nodes` overrides the size that the seed would choose.
    pub fn from_seed(seed: u64, nodes: Option<usize>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nodes = nodes.unwrap_or(4 + below(&mut rng, 4));
        let faulty = (nodes - 1) / 3;
        let longest = 2 + below(&mut rng, 60) as u64;
        let mut crashes = Vec::new();
        for _ in 0..below(&mut rng, 4) {
            // One in six crashes takes everybody at once: nothing agreed may be lost even then.
            let everybody = below(&mut rng, 6) == 0;
            let members = if everybody { nodes } else { 1 + below(&mut rng, faulty) };
            crashes.push(Crash {
                nodes: choose(&mut rng, nodes, members),
                at: millis(&mut rng, 500, 10_000),
                away: millis(&mut rng, 50, 2_000),
            });
        }
        let mut partitions = Vec::new();
        for _ in 0..below(&mut rng, 3) {
            let members = 1 + below(&mut rng, nodes - 1);
            partitions.push(Partition {
                at: millis(&mut rng, 500, 9_000),
                length: millis(&mut rng, 200, 2_500),
                side: choose(&mut rng, nodes, members),
            });
        }
        crashes.sort_by_key(|c| c.at);
        Self {
            seed,
            nodes,
            loss_per_mille: pick(&mut rng, [0, 0, 20, 100, 200, 300]),
            duplicates_per_mille: pick(&mut rng, [0, 10, 50]),
            delay: (Duration::from_micros(300), Duration::from_millis(longest)),
            crashes,
            partitions,
            transactions: 40 + below(&mut rng, 120) as u64,
        }
    }

    /// From when on nothing goes wrong any more.
    pub fn calm(&self) -> Time {
        START + FAULTS_LAST
    }

    /// When the run is judged at the latest.
    pub fn end(&self) -> Time {
        self.calm() + RECOVERY
    }

    /// When transactions are submitted: spread over the faults, and a few after them.
    pub fn submit_times(&self, rng: &mut ChaCha8Rng) -> Vec<Time> {
        let mut times: Vec<Time> = (0..self.transactions)
            .map(|_| START + millis(rng, 200, (FAULTS_LAST.as_millis() as usize) + 2_000))
            .collect();
        times.sort();
        times
    }

    /// The network's genesis file, and each validator's key.
    pub fn chain_spec(&self) -> (ChainSpec, Vec<SecretKey>) {
        let mut keys = Vec::new();
        let mut validators = Vec::new();
        for index in 0..self.nodes {
            let number = index as u16 + 1;
            let mut bytes = [number as u8; 32];
            bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
            let key = SecretKey::from_bytes(bytes).expect("far below the group order");
            validators.push(Validator {
                id: ValidatorId::new(number),
                key: key.public_key(),
                address: format!("/ip4/127.0.0.1/udp/{}/quic-v1", 9100 + index),
            });
            keys.push(key);
        }
        let rollup = |id, data| Rollup {
            id: RollupId::new(id),
            name: format!("rollup {id}"),
            kind: RollupKind::Opaque,
            chain_id: u64::from(id),
            data,
            quota_bytes_per_block: 128 << 10,
        };
        let spec = ChainSpec {
            network: format!("simulation {}", self.seed),
            l1_chain_id: 1337,
            inbox: Address::new([0xaa; 20]),
            limits: Limits { batch_interval_ms: 3_000, ..Limits::default() },
            validators,
            rollups: vec![rollup(1, DataPolicy::Blob), rollup(2, DataPolicy::Committee)],
        };
        (spec, keys)
    }
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
