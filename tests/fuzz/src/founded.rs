//! Four whole node cores, run without any fault until they have founded a key, ordered transactions and sealed a batch. What they said
//! and wrote on the way is what fuzzing begins from.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use batcher_format::{Encoded, EncodedBatch, Policies, SealedBatch, payload};
use bytes::Bytes;
use node_core::api::{Class, Founding, Input, Job, JobResult, Output, Recipient, Record, Recovered};
use node_core::{Config, NodeCore, Settings};
use ordering_types::chain_spec::{DataPolicy, Limits, Rollup, RollupKind, Validator};
use ordering_types::{
    Address, ChainSpec, Digest, Epoch, RollupId, SecretKey, Time, Transaction, ValidatorId,
};
use zeroize::Zeroizing;

use crate::disk::Disk;

const NODES: usize = 4;
/// Steps before the network must have sealed a batch.
const MAX_STEPS: usize = 200_000;
/// Commitments that a member keeps at each coordinator: fewer than a real node's, each costs curve maths.
const NONCE_POOL: usize = 4;
const START: Time = Time::from_millis(1_700_000_000_000);

/// What one node wrote beside the ordering core's records.
#[derive(Default)]
struct Kept {
    disk: Disk,
    key_material: BTreeMap<Epoch, Vec<Zeroizing<Vec<u8>>>>,
    burns: Vec<Vec<u8>>,
    founding: Option<Founding>,
    sealed: Option<Arc<SealedBatch>>,
}

/// The network after its run.
pub struct Founded {
    /// Its genesis file.
    pub spec: Arc<ChainSpec>,
    /// When it stopped.
    pub now: Time,
    /// Every message, by class.
    pub messages: Vec<(Class, ValidatorId, Bytes)>,
    /// Every record of the first node.
    pub records: Vec<Record>,
    kept: Kept,
}

struct Run {
    spec: Arc<ChainSpec>,
    now: Time,
    cores: Vec<NodeCore>,
    queue: VecDeque<(usize, ValidatorId, Class, Bytes)>,
    messages: Vec<(Class, ValidatorId, Bytes)>,
    records: Vec<Record>,
    kept: Kept,
}

fn key(node: usize) -> SecretKey {
    SecretKey::simulated([node as u8 + 1; 32])
}

fn id(node: usize) -> ValidatorId {
    ValidatorId::new(node as u16 + 1)
}

/// The genesis file of these four.
pub fn spec() -> Arc<ChainSpec> {
    let rollup = |number: u32, kind, data| Rollup {
        id: RollupId::new(number),
        name: format!("rollup {number}"),
        kind,
        chain_id: 1_000 + u64::from(number),
        data,
        quota_bytes_per_block: 64 << 10,
    };
    Arc::new(ChainSpec {
        network: "fuzz".to_owned(),
        l1_chain_id: 1_337,
        inbox: Address::new([9; 20]),
        limits: Limits { batch_interval_ms: 300, ..Limits::default() },
        validators: (0..NODES)
            .map(|n| Validator { id: id(n), key: key(n).public_key(), address: String::new() })
            .collect(),
        rollups: vec![
            rollup(1, RollupKind::Opaque, DataPolicy::Blob),
            rollup(2, RollupKind::Opaque, DataPolicy::Committee),
            rollup(3, RollupKind::Evm, DataPolicy::Blob),
            rollup(4, RollupKind::Opaque, DataPolicy::Calldata),
        ],
        ..ChainSpec::default()
    })
}

fn core(spec: &Arc<ChainSpec>, node: usize, life: u64, recovered: Recovered, now: Time) -> NodeCore {
    let mut settings = Settings::default();
    settings.signing.pool_target = NONCE_POOL;
    let config = Config { spec: Arc::clone(spec), me: id(node), incarnation: life, settings };
    let entropy = [node as u8 + 10 * life as u8; 32];
    NodeCore::new(config, key(node), entropy, recovered, now).expect("a core starts from what it wrote")
}

impl Founded {
    /// Runs the network; panics if it does not get there.
    pub fn new() -> Self {
        let spec = spec();
        let cores = (0..NODES).map(|node| core(&spec, node, 1, Recovered::default(), START)).collect();
        let mut run = Run {
            spec,
            now: START,
            cores,
            queue: VecDeque::new(),
            messages: Vec::new(),
            records: Vec::new(),
            kept: Kept::default(),
        };
        (0..NODES).for_each(|node| run.drain(node));
        for step in 0..MAX_STEPS {
            if run.kept.sealed.is_some() {
                return run.done();
            }
            run.step(step);
        }
        panic!("the network does not seal a batch");
    }

    /// The first node, restarted from what it wrote.
    pub fn restarted(&self) -> NodeCore {
        let ordering = self.kept.disk.recovered(u64::from(self.spec.limits.duplicate_window_blocks));
        let recovered = Recovered {
            ordering,
            key_material: self.kept.key_material.clone(),
            burns: self.kept.burns.clone(),
            founding: self.kept.founding.clone(),
            last_sealed: self.kept.sealed.as_ref().map(|batch| batch.header.clone()),
            ..Recovered::default()
        };
        core(&self.spec, 0, 2, recovered, self.now)
    }

    /// What signed batches there are.
    pub fn sealed(&self) -> Option<&Arc<SealedBatch>> {
        self.kept.sealed.as_ref()
    }

    /// The ordering core's records of the first node.
    pub fn disk(&self) -> &Disk {
        &self.kept.disk
    }
}

impl Default for Founded {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    fn done(self) -> Founded {
        let Self { spec, now, messages, records, kept, .. } = self;
        Founded { spec, now, messages, records, kept }
    }

    fn step(&mut self, step: usize) {
        if let Some((to, from, class, bytes)) = self.queue.pop_front() {
            self.cores[to].handle(self.now, Input::Message { from, class, bytes });
            self.drain(to);
            return;
        }
        let due = self
            .cores
            .iter()
            .filter_map(NodeCore::next_deadline)
            .min()
            .expect("somebody waits for something");
        self.now = self.now.max(due);
        let data = (step as u64).to_be_bytes().repeat(1 + step % 5).into();
        let transaction = Transaction { rollup: RollupId::new([1, 2, 4][step % 3]), data };
        let _ = self.cores[step % NODES].submit(self.now, transaction);
        self.drain(step % NODES);
        for node in 0..NODES {
            self.cores[node].handle(self.now, Input::Wake);
            self.drain(node);
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(output) = self.cores[at].next_output() {
            match output {
                Output::Persist(record) if at == 0 => self.keep(record),
                Output::Send { to, class, bytes, .. } => self.send(at, to, class, &bytes),
                Output::Job(job) => {
                    let result = work(job, &Policies::of(&self.spec));
                    self.cores[at].handle(self.now, Input::JobDone(result));
                }
                Output::Fatal(why) => panic!("node {at} gives up: {why}"),
                _ => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: Recipient, class: Class, bytes: &Bytes) {
        self.messages.push((class, id(from), bytes.clone()));
        for to in (0..NODES)
            .filter(|node| *node != from && (to == Recipient::All || to == Recipient::One(id(*node))))
        {
            self.queue.push_back((to, id(from), class, bytes.clone()));
        }
    }

    fn keep(&mut self, record: Record) {
        match record.clone() {
            Record::Ordering(record) => self.kept.disk.write(record),
            Record::KeyMaterial { epoch, material, .. } => {
                self.kept.key_material.entry(epoch).or_default().push(material);
            }
            Record::NonceBurn { value, .. } => self.kept.burns.push(value),
            Record::Founded(founding) => self.kept.founding = Some((*founding).clone()),
            Record::Sealed(batch) => self.kept.sealed = Some(batch),
            Record::CeremonySeed { .. }
            | Record::SettleKey { .. }
            | Record::ForgetKeys { .. }
            | Record::Handover(_)
            | Record::Certified { .. } => {}
        }
        self.records.push(record);
    }
}

/// The work of [`Job::run`] with a hash in place of the KZG commitment, which takes a second.
pub fn work(job: Job, policies: &Policies) -> JobResult {
    match job {
        Job::Encode { id, header, blocks } => {
            let result = payload::encode(&header, &blocks, policies).map_err(|why| why.to_string());
            JobResult::Encoded { id, result: result.map(|encoded| Arc::new(carrier(encoded))) }
        }
        Job::Check { id, .. } => JobResult::Checked { id, result: Ok(()) },
    }
}

fn carrier(Encoded { payload, inline }: Encoded) -> EncodedBatch {
    let digest = Digest::sha256(&[&payload]);
    let point = Bytes::from([digest.as_ref(), &[0; 16]].concat());
    EncodedBatch { payload, inline, commitments: vec![point.clone()], proofs: vec![point] }
}
