//! What is going on, polled from the outside as any operator could: JSON-RPC, health, L1, `/proc`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

use crate::contract::{Batch, L1};
use crate::layout::{BATCHERS, Ports};
use crate::load::{Book, Counts};
use crate::network::{Condition, Network};
use crate::node_api::{NodeApi, NodeStatus};
use crate::procfs::{ProcessId, Usage};
use crate::role::Role;

/// Most batches remembered; a network that runs for ever forgets the oldest.
const MAX_BATCHES: usize = 100_000;
/// Most epochs whose committees are remembered.
const MAX_EPOCHS: usize = 10_000;
/// Bytes of one blob, which is what a batch pays for.
pub const BLOB_BYTES: u64 = 131_072;

/// One look at everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Since the load began, seconds.
    pub elapsed_s: f64,
    /// Newest ordered height of any node.
    pub height: u64,
    /// Newest softly confirmed height of any node.
    pub certified: u64,
    /// Newest sealed batch of any node.
    pub sealed: u64,
    /// Epoch.
    pub epoch: u64,
    /// Ids of the committee's members.
    pub committee: Vec<u16>,
    /// Who proposes, if a node says.
    pub leader: Option<u16>,
    /// What clients see.
    pub load: LoadView,
    /// What L1 has.
    pub l1: L1View,
    /// Every node.
    pub nodes: Vec<NodeView>,
    /// Every batcher.
    pub batchers: Vec<BatcherView>,
    /// Processes that ended by themselves.
    pub alarms: Vec<String>,
}

/// What clients see.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct LoadView {
    /// Counters since the load began.
    pub counts: Counts,
    /// Told ordered per second, of late.
    pub tps: f64,
    /// Median from schedule to ordered.
    pub ordered_p50_ms: f64,
    /// Median from schedule to soft confirmation.
    pub certified_p50_ms: f64,
    /// Without an answer now.
    pub pending: usize,
}

/// What L1 has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct L1View {
    /// Newest block; `None` when it does not answer.
    pub block: Option<u64>,
    /// Batch recorded last.
    pub last_batch: Option<Batch>,
    /// Number of batches.
    pub batches: usize,
    /// Blob bytes per transaction, over all batches.
    pub bytes_per_tx: Option<f64>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// Which.
    pub role: Role,
    /// Its process, in a word.
    pub process: String,
    /// Whether it is in the committee.
    pub member: bool,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// Why not, in its own words.
    pub why: String,
    /// Its newest ordered height.
    pub height: u64,
    /// Members of the committee that it is connected to.
    pub peers: u64,
    /// Share of one core, of late.
    pub cpu_percent: f64,
    /// Resident memory.
    pub rss_mb: f64,
}

/// One batcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatcherView {
    /// Which.
    pub role: Role,
    /// Its process, in a word.
    pub process: String,
    /// Whether that runs.
    pub runs: bool,
    /// Whether it posted the last batch.
    pub active: bool,
    /// Gas money, in ETH.
    pub balance_eth: Option<f64>,
    /// Resident memory.
    pub rss_mb: f64,
}

/// What is remembered between looks.
#[derive(Default)]
struct Memory {
    cpu: BTreeMap<ProcessId, (Instant, Duration)>,
    batches: Vec<Batch>,
    next_l1_block: u64,
    /// L1's newest block when each batch was first seen sealed.
    sealed: BTreeMap<u64, u64>,
    /// Each epoch's committee, as far as it was seen.
    committees: BTreeMap<u64, Vec<u16>>,
    last: Snapshot,
}

impl Memory {
    /// Several batches may be sealed between two looks: all of them are first seen now. What was sealed before the
    /// first look was seen by nobody.
    fn note_sealed(&mut self, newest: u64, l1_block: Option<u64>) {
        let (Some(l1_block), true) = (l1_block, newest > 0) else { return };
        let known = self.sealed.last_key_value().map_or(newest - 1, |(number, _)| *number);
        self.sealed.extend((known + 1..=newest).map(|number| (number, l1_block)));
        while self.sealed.len() > MAX_BATCHES {
            self.sealed.pop_first();
        }
    }

    /// As the first node says that is there; that all say the same, their blocks prove.
    fn note_committee(&mut self, status: &NodeStatus) {
        if !status.committee.is_empty() {
            self.committees.entry(status.epoch).or_insert_with(|| status.committee.clone());
        }
        while self.committees.len() > MAX_EPOCHS {
            self.committees.pop_first();
        }
    }
}

/// The observer of one network; cheap to clone.
#[derive(Clone)]
pub struct Observer {
    network: Arc<AsyncMutex<Network>>,
    book: Arc<Mutex<Book>>,
    nodes: Arc<Mutex<Vec<(u16, NodeApi)>>>,
    ports: Ports,
    batchers: Vec<(u16, Address)>,
    l1: L1,
    l1_url: String,
    inbox: Address,
    began: Instant,
    memory: Arc<Mutex<Memory>>,
}

/// Locks although a panic elsewhere poisoned it: every lock here guards plain data.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer {
    /// Of a network that is up.
    pub fn new(
        network: Arc<AsyncMutex<Network>>,
        book: Arc<Mutex<Book>>,
        ports: Ports,
        nodes: u16,
        batchers: Vec<Address>,
        inbox: Address,
    ) -> Self {
        Self {
            network,
            book,
            nodes: Arc::new(Mutex::new(
                (1..=nodes).map(|number| (number, NodeApi::new(ports, number))).collect(),
            )),
            ports,
            batchers: (1..=BATCHERS).zip(batchers).collect(),
            l1: L1::new(&ports.l1_url()),
            l1_url: ports.l1_url(),
            inbox,
            began: Instant::now(),
            memory: Arc::default(),
        }
    }

    /// The last look.
    pub fn last(&self) -> Snapshot {
        locked(&self.memory).last.clone()
    }

    /// Batches on L1, in order.
    pub fn batches(&self) -> Vec<Batch> {
        locked(&self.memory).batches.clone()
    }

    /// L1's newest block when each batch was first seen sealed.
    pub fn sealed(&self) -> BTreeMap<u64, u64> {
        locked(&self.memory).sealed.clone()
    }

    /// The books of the load.
    pub fn book(&self) -> &Arc<Mutex<Book>> {
        &self.book
    }

    /// Ways to ask each node, by number.
    pub fn nodes(&self) -> Vec<(u16, NodeApi)> {
        locked(&self.nodes).clone()
    }

    /// One more node.
    pub(crate) fn add_node(&self, number: u16) {
        locked(&self.nodes).push((number, NodeApi::new(self.ports, number)));
    }

    /// Which committee each epoch had, as the nodes say.
    pub fn committees(&self) -> BTreeMap<u64, Vec<u16>> {
        locked(&self.memory).committees.clone()
    }

    /// L1 and the inbox on it.
    pub const fn l1(&self) -> (&L1, Address) {
        (&self.l1, self.inbox)
    }

    /// URL of the L1.
    pub fn l1_url(&self) -> &str {
        &self.l1_url
    }

    /// Looks at everything now.
    pub async fn look(&self) -> Snapshot {
        let nodes = self.nodes();
        let (l1, statuses, balances, conditions) = tokio::join!(
            self.look_at_l1(),
            join_all(nodes.iter().map(|(_, api)| api.status())),
            join_all(self.batchers.iter().map(|(_, account)| self.l1.balance(*account))),
            async { self.network.lock().await.conditions() },
        );
        let balances = balances.into_iter().map(|balance| balance.ok().map(eth)).collect();
        let statuses = nodes.iter().map(|(number, _)| *number).zip(statuses).collect();
        let snapshot = self.assemble(l1, statuses, balances, &conditions);
        locked(&self.memory).last = snapshot.clone();
        snapshot
    }

    async fn look_at_l1(&self) -> Option<u64> {
        let from = locked(&self.memory).next_l1_block;
        let block = self.l1.block_number().await.ok()?;
        if let Ok((batches, to)) = self.l1.batches(self.inbox, from).await {
            let mut memory = locked(&self.memory);
            // Two looks at once may both have read the same blocks.
            if memory.next_l1_block == from {
                memory.next_l1_block = to + 1;
                memory.batches.extend(batches);
                let excess = memory.batches.len().saturating_sub(MAX_BATCHES);
                memory.batches.drain(..excess);
            }
        }
        Some(block)
    }

    fn assemble(
        &self,
        l1_block: Option<u64>,
        statuses: Vec<(u16, NodeStatus)>,
        balances: Vec<Option<f64>>,
        conditions: &BTreeMap<Role, Condition>,
    ) -> Snapshot {
        let now = Instant::now();
        let mut memory = locked(&self.memory);
        let newest = |field: fn(&NodeStatus) -> u64| {
            statuses.iter().map(|(_, status)| field(status)).max().unwrap_or_default()
        };
        let sealed = newest(|status| status.sealed);
        memory.note_sealed(sealed, l1_block);
        statuses.iter().for_each(|(_, status)| memory.note_committee(status));
        let (_, best) = statuses.iter().max_by_key(|(_, status)| status.height).cloned().unwrap_or_default();
        let last_batch = memory.batches.last().cloned();
        let view = |(number, status): &(u16, NodeStatus)| {
            let is_member = best.committee.contains(number);
            node_view((*number, is_member), status, conditions, &mut memory.cpu, now)
        };
        let nodes: Vec<NodeView> = statuses.iter().map(view).collect();
        let poster = last_batch.as_ref().map(|batch| batch.poster);
        let batchers = self.batchers.iter().zip(balances);
        let batchers = batchers
            .map(|((number, account), balance)| {
                batcher_view(*number, poster == Some(*account), balance, conditions)
            })
            .collect();
        let alarms = conditions.values().filter_map(|condition| match condition {
            Condition::Died(text) => Some(text.clone()),
            _ => None,
        });
        Snapshot {
            elapsed_s: now.duration_since(self.began).as_secs_f64(),
            height: best.height,
            certified: newest(|status| status.certified),
            sealed,
            epoch: best.epoch,
            committee: best.committee,
            leader: best.leader,
            load: self.load_view(now),
            l1: L1View {
                block: l1_block,
                last_batch,
                batches: memory.batches.len(),
                bytes_per_tx: self.bytes_per_tx(&memory.batches),
            },
            nodes,
            batchers,
            alarms: alarms.collect(),
        }
    }

    fn load_view(&self, now: Instant) -> LoadView {
        let book = locked(&self.book);
        LoadView {
            counts: book.counts(),
            tps: book.rate(now),
            ordered_p50_ms: book.ordered_ms().p50,
            certified_p50_ms: book.certified_ms().p50,
            pending: book.pending(),
        }
    }

    /// Blob bytes paid for, over the transactions that these batches hold.
    fn bytes_per_tx(&self, batches: &[Batch]) -> Option<f64> {
        let (first, last) = (batches.first()?.first_height, batches.last()?.last_height);
        let transactions = locked(&self.book).transactions_within(first..=last);
        let bytes: u64 = batches.iter().map(|batch| batch.blobs.saturating_mul(BLOB_BYTES)).sum();
        (transactions > 0).then(|| bytes as f64 / transactions as f64)
    }
}

fn eth(wei: U256) -> f64 {
    wei.to_string().parse::<f64>().unwrap_or_default() / 1e18
}

fn process_word(condition: Option<&Condition>) -> (String, Option<ProcessId>) {
    match condition {
        Some(Condition::Running(id)) => (format!("pid {}", id.pid), Some(*id)),
        Some(Condition::Killed) => ("killed".into(), None),
        Some(Condition::Died(_)) => ("DIED".into(), None),
        None => ("not started".into(), None),
    }
}

fn node_view(
    (number, member): (u16, bool),
    status: &NodeStatus,
    conditions: &BTreeMap<Role, Condition>,
    cpu: &mut BTreeMap<ProcessId, (Instant, Duration)>,
    now: Instant,
) -> NodeView {
    let role = Role::Node(number);
    let (process, id) = process_word(conditions.get(&role));
    let usage = id.and_then(ProcessId::usage);
    let cpu_percent = id.zip(usage).map_or(0.0, |(id, usage)| {
        let before = cpu.insert(id, (now, usage.cpu));
        before.map_or(0.0, |(then, used)| {
            let wall = now.duration_since(then).as_secs_f64();
            if wall > 0.0 { usage.cpu.saturating_sub(used).as_secs_f64() / wall * 100.0 } else { 0.0 }
        })
    });
    NodeView {
        role,
        process,
        member,
        ready: status.ready,
        why: status.why.clone(),
        height: status.height,
        peers: status.peers,
        cpu_percent,
        rss_mb: megabytes(usage),
    }
}

fn batcher_view(
    number: u16,
    active: bool,
    balance_eth: Option<f64>,
    conditions: &BTreeMap<Role, Condition>,
) -> BatcherView {
    let role = Role::Batcher(number);
    let (process, id) = process_word(conditions.get(&role));
    let rss_mb = megabytes(id.and_then(ProcessId::usage));
    BatcherView { role, process, runs: id.is_some(), active, balance_eth, rss_mb }
}

fn megabytes(usage: Option<Usage>) -> f64 {
    usage.map_or(0.0, |usage| usage.rss as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two batches between two looks: the first once counted as waiting since the beginning of time.
    #[test]
    fn every_batch_is_first_seen_sealed_at_some_block() {
        let mut memory = Memory::default();
        memory.note_sealed(0, Some(5));
        memory.note_sealed(3, Some(7));
        memory.note_sealed(3, Some(8));
        memory.note_sealed(6, None);
        memory.note_sealed(6, Some(9));
        // All nodes are down and say nothing.
        memory.note_sealed(0, Some(10));
        assert_eq!(memory.sealed, BTreeMap::from([(3, 7), (4, 9), (5, 9), (6, 9)]));
    }
}
