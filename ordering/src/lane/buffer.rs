//! Transactions that wait to be cut into chunks of this validator's lane, and whose turn it is.
//!
//! # Fairness among rollups
//! Each rollup waits in a queue of its own, and each is bounded by a *share*, so that a rollup that floods a node finds its own queue
//! full and nobody else's:
//! - *In chunks:* of one rollup no more than its share of a block, divided by the committee's size, is in undecided chunks of the lane. So the lanes
//!   of all validators together never hold more than one block may cover, and what comes after a flood waits for one block at
//!   most. The share is the quota; when the quotas of the rollups that are active here add up to more than a block
//!   holds, it is the quota's part of the block.
//! - *In a chunk:* the next transaction is of the rollup that was served least, in bytes by quota (start-time fair queueing: Goyal, Vin,
//!   Cheng 1996). Who was idle begins where the others stand.
//! - *In the buffer:* of one rollup no more waits than its quota's part among the active ones, and a quarter of the buffer is always left for
//!   those that come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::chain_spec::DataPolicy;
use ordering_types::chunk::{MAX_CHUNK_BYTES, MAX_CHUNK_TRANSACTIONS};
use ordering_types::{Chunk, Epoch, RollupId, Time, Transaction, TxId};

use crate::ids::{IdHasher, IdSet};
use crate::lane::store::Held;
use crate::load::{Load, OnL1, Rules};
use crate::settings::Settings;

/// A rollup may have so many of its quotas waiting in one node.
const QUOTAS_WAITING: u64 = 8;
/// Room for a chunk's head.
const CHUNK_HEAD_BYTES: usize = 64;

/// Why a transaction is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No such rollup in the chain specification.
    #[error("unknown rollup {0}")]
    UnknownRollup(RollupId),
    /// Zero bytes.
    #[error("the transaction is empty")]
    Empty,
    /// Larger than this rollup's transactions may be.
    #[error("transaction of {bytes} bytes, at most {limit} allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit: of any transaction, or of the rollup's share of a block.
        limit: usize,
    },
    /// This validator is in no committee now.
    #[error("this validator is not in the committee of epoch {0}: send it to one that is")]
    NotInCommittee(Epoch),
    /// It waits here already.
    #[error("transaction {0} is already waiting")]
    Pending(TxId),
    /// It was ordered within the duplicate window.
    #[error("transaction {0} is already ordered")]
    Ordered(TxId),
    /// Too much of this rollup waits here.
    #[error("rollup {rollup} has {waiting} bytes waiting, its quota allows {limit}")]
    OverQuota {
        /// The rollup.
        rollup: RollupId,
        /// Bytes waiting.
        waiting: u64,
        /// Most bytes that may.
        limit: u64,
    },
    /// Too much of all rollups waits here.
    #[error("{transactions} transactions of {bytes} bytes are waiting: this node takes no more now")]
    Full {
        /// Transactions waiting.
        transactions: usize,
        /// Their bytes.
        bytes: usize,
    },
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(TxId, Bytes)>,
    waiting_bytes: u64,
    /// Weight in undecided chunks.
    in_flight: u64,
    /// Virtual time up to which it was served.
    served: u128,
    /// Whether its quota is counted as active.
    counted: bool,
}

/// Quotas of the rollups that have something waiting or in undecided chunks.
#[derive(Clone, Copy, Debug, Default)]
struct Active {
    all: u64,
    on_l1: OnL1,
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Buffer {
    queues: BTreeMap<RollupId, Queue>,
    active: Active,
    known: IdSet,
    bytes: usize,
    transactions: usize,
    /// Since when the oldest cut is owed.
    since: Option<Time>,
    /// Virtual time of the last transaction taken.
    clock: u128,
    members: u64,
}

impl Buffer {
    /// A committee of so many shares the limits from now on.
    pub(crate) const fn shared_by(&mut self, members: usize) {
        self.members = members as u64;
    }

    pub(crate) fn new(members: usize, hasher: IdHasher) -> Self {
        Self {
            queues: BTreeMap::new(),
            active: Active::default(),
            known: IdSet::new(hasher),
            bytes: 0,
            transactions: 0,
            since: None,
            clock: 0,
            members: members as u64,
        }
    }

    /// Takes a transaction. The caller checked the duplicate window.
    pub(crate) fn push(
        &mut self,
        now: Time,
        transaction: Transaction,
        rules: &Rules,
        settings: &Settings,
    ) -> Result<TxId, SubmitError> {
        let Transaction { rollup, data } = &transaction;
        let (rollup, cost) = (*rollup, Chunk::cost(data.len()));
        if !rules.knows(rollup) {
            return Err(SubmitError::UnknownRollup(rollup));
        }
        if data.is_empty() {
            return Err(SubmitError::Empty);
        }
        let limit = rules.largest_transaction(rollup);
        if data.len() > limit {
            return Err(SubmitError::TooLarge { bytes: data.len(), limit });
        }
        self.check_room(rollup, cost, rules, settings)?;
        let id = transaction.id();
        if !self.known.insert(rollup, id) {
            return Err(SubmitError::Pending(id));
        }
        let queue = self.queues.entry(rollup).or_default();
        if queue.waiting.is_empty() {
            queue.served = queue.served.max(self.clock);
        }
        queue.waiting_bytes += cost as u64;
        queue.waiting.push_back((id, transaction.data));
        self.bytes += cost;
        self.transactions += 1;
        self.since.get_or_insert(now);
        self.count(rollup, rules);
        Ok(id)
    }

    /// Whether `cost` bytes more of a rollup may wait.
    fn check_room(
        &self,
        rollup: RollupId,
        cost: usize,
        rules: &Rules,
        settings: &Settings,
    ) -> Result<(), SubmitError> {
        let full = SubmitError::Full { transactions: self.transactions, bytes: self.bytes };
        if self.bytes + cost > settings.pending_bytes || self.transactions >= settings.pending_transactions {
            return Err(full);
        }
        let queue = self.queues.get(&rollup);
        let (waiting, count) = queue.map_or((0, 0), |q| (q.waiting_bytes, q.waiting.len()));
        let quota = rules.quota(rollup);
        let active = if queue.is_some_and(|q| q.counted) { self.active.all } else { self.active.all + quota };
        let part = |whole: usize| part(whole as u64 / 4 * 3, quota, active);
        let limit = quota.saturating_mul(QUOTAS_WAITING).min(part(settings.pending_bytes));
        if waiting + cost as u64 > limit.max(cost as u64) {
            return Err(SubmitError::OverQuota { rollup, waiting, limit });
        }
        if count as u64 >= part(settings.pending_transactions).max(1) {
            return Err(full);
        }
        Ok(())
    }

    /// Brings the sum of active quotas up to date after a queue changed.
    fn count(&mut self, rollup: RollupId, rules: &Rules) {
        let Some(queue) = self.queues.get_mut(&rollup) else { return };
        let active = !queue.waiting.is_empty() || queue.in_flight > 0;
        if active == queue.counted {
            return;
        }
        queue.counted = active;
        let quota = rules.quota(rollup);
        let change = |sum: u64, by: u64| if active { sum.saturating_add(by) } else { sum.saturating_sub(by) };
        let (sum, by) = (self.active.on_l1, OnL1::of(rules.policy(rollup), quota));
        self.active.all = change(self.active.all, quota);
        self.active.on_l1 =
            OnL1 { blob: change(sum.blob, by.blob), calldata: change(sum.calldata, by.calldata) };
    }

    /// How much of a rollup may be in undecided chunks of this lane.
    fn share(&self, rollup: RollupId, rules: &Rules) -> u64 {
        let quota = rules.quota(rollup);
        let mut share = quota.min(part(u64::from(rules.limits.block_bytes), quota, self.active.all));
        let (limits, active) = (rules.on_l1_per_block(), self.active.on_l1);
        match rules.policy(rollup) {
            Some(DataPolicy::Blob) => share = share.min(part(limits.blob, quota, active.blob)),
            Some(DataPolicy::Calldata) => share = share.min(part(limits.calldata, quota, active.calldata)),
            Some(DataPolicy::Committee) | None => {}
        }
        share / self.members.max(1)
    }

    /// Whether the first of a queue may go into a chunk that holds `load` already.
    fn admits(&self, rollup: RollupId, queue: &Queue, load: &Load, rules: &Rules) -> bool {
        let Some((_, data)) = queue.waiting.front() else { return false };
        let taken = load.rollups.get(&rollup).copied().unwrap_or_default();
        let in_flight = queue.in_flight + taken;
        let cost = Chunk::cost(data.len()) as u64;
        // One at a time passes however small the share is.
        if in_flight > 0 && in_flight + cost > self.share(rollup, rules) {
            return false;
        }
        load.fits_transaction(rollup, data.len(), rules)
    }

    /// Of all that waits.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When a chunk is due: at once if one could be filled, else when `patience` ends for the oldest. What waits for its share does
    /// not count, or each transaction of another rollup would become a chunk of its own.
    pub(crate) fn deadline(
        &self,
        rules: &Rules,
        settings: &Settings,
        patience: impl FnOnce(Time) -> Time,
    ) -> Option<Time> {
        let since = self.since?;
        let empty = Load::default();
        let mut ready = 0u64;
        for (rollup, queue) in self.queues.iter().filter(|(r, q)| self.admits(**r, q, &empty, rules)) {
            let room = self.share(*rollup, rules).saturating_sub(queue.in_flight).max(1);
            ready = ready.saturating_add(queue.waiting_bytes.min(room));
        }
        let full = ready >= settings.chunk_bytes as u64;
        (ready > 0).then(|| if full { since } else { patience(since) })
    }

    /// Takes out the transactions of the next chunk, always one of the rollup that was served least, until nothing more fits.
    pub(crate) fn take(&mut self, now: Time, rules: &Rules, settings: &Settings) -> Vec<Transaction> {
        let room = settings.chunk_bytes.min(MAX_CHUNK_BYTES - CHUNK_HEAD_BYTES) as u64;
        let waiting = self.queues.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        let mut open: BTreeSet<(u128, RollupId)> = waiting.map(|(id, queue)| (queue.served, *id)).collect();
        let mut load = Load::default();
        let mut taken = Vec::new();
        while taken.len() < MAX_CHUNK_TRANSACTIONS
            && let Some((served, rollup)) = open.pop_first()
        {
            let admitted = self.queues.get(&rollup).is_some_and(|q| self.admits(rollup, q, &load, rules));
            let Some(queue) = self.queues.get_mut(&rollup).filter(|_| admitted) else { continue };
            let length = queue.waiting.front().map_or(0, |(_, data)| data.len());
            let cost = Chunk::cost(length);
            if !taken.is_empty() && load.bytes + cost as u64 > room {
                continue;
            }
            let Some((_, data)) = queue.waiting.pop_front() else { continue };
            self.clock = self.clock.max(served);
            queue.served = served + service(cost as u64, rules.quota(rollup));
            queue.waiting_bytes -= cost as u64;
            if !queue.waiting.is_empty() {
                open.insert((queue.served, rollup));
            }
            self.bytes -= cost;
            self.transactions -= 1;
            load.add_transaction(rollup, length, rules);
            taken.push(Transaction { rollup, data });
        }
        for (rollup, bytes) in &load.rollups {
            self.queues.entry(*rollup).or_default().in_flight += bytes;
        }
        self.since = (self.transactions > 0).then_some(now);
        taken
    }

    /// A chunk that was [taken](Self::take) from here is decided.
    pub(crate) fn decided(&mut self, held: &Held, rules: &Rules) {
        for (transaction, id) in held.chunk.transactions().iter().zip(&held.ids) {
            self.known.remove(transaction.rollup, id);
        }
        self.land(&held.load, rules);
    }

    /// Chunks that were taken from here, oldest first, can never be decided: what of them is not ordered waits again, before all that came
    /// later. It was counted against the limits when it came, so it passes them now; nothing more is taken until there is room again.
    pub(crate) fn take_back(
        &mut self,
        now: Time,
        chunks: &[Arc<Held>],
        ordered: impl Fn(RollupId, TxId) -> bool,
        rules: &Rules,
    ) {
        for held in chunks.iter().rev() {
            for (transaction, id) in held.chunk.transactions().iter().zip(&held.ids).rev() {
                let rollup = transaction.rollup;
                if ordered(rollup, *id) {
                    self.known.remove(rollup, id);
                    continue;
                }
                let cost = Chunk::cost(transaction.data.len());
                let queue = self.queues.entry(rollup).or_default();
                queue.waiting_bytes += cost as u64;
                queue.waiting.push_front((*id, transaction.data.clone()));
                self.bytes += cost;
                self.transactions += 1;
                self.since.get_or_insert(now);
            }
            self.land(&held.load, rules);
        }
    }

    /// A chunk is not in flight any more.
    fn land(&mut self, load: &Load, rules: &Rules) {
        for (rollup, bytes) in &load.rollups {
            if let Some(queue) = self.queues.get_mut(rollup) {
                queue.in_flight = queue.in_flight.saturating_sub(*bytes);
            }
            self.count(*rollup, rules);
        }
    }

    /// Transactions waiting, and their bytes.
    pub(crate) const fn waiting(&self) -> (usize, usize) {
        (self.transactions, self.bytes)
    }
}

/// The part of `whole` that a quota is among all active ones.
fn part(whole: u64, quota: u64, active: u64) -> u64 {
    let part = u128::from(whole) * u128::from(quota) / u128::from(active.max(quota).max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// Virtual time that serving so many bytes takes: the smaller the quota, the longer.
fn service(bytes: u64, quota: u64) -> u128 {
    (u128::from(bytes) << 32) / u128::from(quota.max(1))
}

#[cfg(test)]
mod tests;
