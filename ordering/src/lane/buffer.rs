//! Transactions that wait to be cut into chunks of this validator's lane.
//!
//! Each rollup waits in a queue of its own, and chunks take from the queues in turn. Of one rollup, no more than its
//! *share* is in undecided chunks of a lane: its quota divided by the committee's size. So the lanes together never hold more of it
//! than one block may cover, and a rollup that floods its queue never stands before another in a chunk; the flood
//! itself is refused when its queue is full.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use ordering_types::chunk::{MAX_CHUNK_BYTES, MAX_CHUNK_TRANSACTIONS};
use ordering_types::{Chunk, RollupId, Time, Transaction, TxId};

use crate::load::{Load, Rules};
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
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Buffer {
    queues: BTreeMap<RollupId, Queue>,
    known: BTreeSet<(RollupId, TxId)>,
    bytes: usize,
    transactions: usize,
    /// Since when the oldest cut is owed.
    since: Option<Time>,
    turn: RollupId,
    members: u64,
}

impl Buffer {
    pub(crate) fn new(members: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            known: BTreeSet::new(),
            bytes: 0,
            transactions: 0,
            since: None,
            turn: RollupId::new(0),
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
        let queue = self.queues.entry(rollup).or_default();
        let waiting = queue.waiting_bytes;
        let limit = rules.quota(rollup).saturating_mul(QUOTAS_WAITING);
        if waiting + cost as u64 > limit {
            return Err(SubmitError::OverQuota { rollup, waiting, limit });
        }
        if self.bytes + cost > settings.pending_bytes || self.transactions >= settings.pending_transactions {
            return Err(SubmitError::Full { transactions: self.transactions, bytes: self.bytes });
        }
        let id = transaction.id();
        if !self.known.insert((rollup, id)) {
            return Err(SubmitError::Pending(id));
        }
        queue.waiting_bytes += cost as u64;
        queue.waiting.push_back((id, transaction.data));
        self.bytes += cost;
        self.transactions += 1;
        self.since.get_or_insert(now);
        Ok(id)
    }

    fn share(&self, rollup: RollupId, rules: &Rules) -> u64 {
        rules.quota(rollup) / self.members.max(1)
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
        let mut more = Load::default();
        more.add_transaction(rollup, data.len(), rules);
        load.fits_with(&more, rules)
    }

    /// When a chunk is due.
    pub(crate) fn deadline(&self, rules: &Rules, settings: &Settings) -> Option<Time> {
        let since = self.since?;
        let empty = Load::default();
        let any = self.queues.iter().any(|(rollup, queue)| self.admits(*rollup, queue, &empty, rules));
        let delay =
            if self.bytes >= settings.chunk_bytes { std::time::Duration::ZERO } else { settings.chunk_delay };
        any.then(|| since + delay)
    }

    /// Takes out the transactions of the next chunk: one of each rollup in turn, until nothing more fits.
    pub(crate) fn take(&mut self, now: Time, rules: &Rules, settings: &Settings) -> Vec<Transaction> {
        let limit = settings.chunk_bytes.min(MAX_CHUNK_BYTES - CHUNK_HEAD_BYTES);
        let mut load = Load::default();
        let mut taken = Vec::new();
        while taken.len() < MAX_CHUNK_TRANSACTIONS {
            let Some(rollup) = self.next_in_turn(&load, limit, taken.is_empty(), rules) else { break };
            let Some(queue) = self.queues.get_mut(&rollup) else { break };
            let Some((_, data)) = queue.waiting.pop_front() else { break };
            let cost = Chunk::cost(data.len());
            queue.waiting_bytes -= cost as u64;
            self.bytes -= cost;
            self.transactions -= 1;
            load.add_transaction(rollup, data.len(), rules);
            self.turn = rollup.next();
            taken.push(Transaction { rollup, data });
        }
        for (rollup, bytes) in &load.rollups {
            self.queues.entry(*rollup).or_default().in_flight += bytes;
        }
        self.since = (self.transactions > 0).then_some(now);
        taken
    }

    fn next_in_turn(&self, load: &Load, limit: usize, first: bool, rules: &Rules) -> Option<RollupId> {
        let fits = |(rollup, queue): &(&RollupId, &Queue)| {
            let length = queue.waiting.front().map_or(0, |(_, data)| Chunk::cost(data.len()) as u64);
            (first || load.bytes + length <= limit as u64) && self.admits(**rollup, queue, load, rules)
        };
        let later = self.queues.range(self.turn..).find(fits);
        later.or_else(|| self.queues.range(..self.turn).find(fits)).map(|(rollup, _)| *rollup)
    }

    /// A chunk of the own lane is decided.
    pub(crate) fn decided(&mut self, ids: impl IntoIterator<Item = (RollupId, TxId)>, load: &Load) {
        for id in ids {
            self.known.remove(&id);
        }
        for (rollup, bytes) in &load.rollups {
            if let Some(queue) = self.queues.get_mut(rollup) {
                queue.in_flight = queue.in_flight.saturating_sub(*bytes);
            }
        }
    }

    /// Transactions waiting, and their bytes.
    pub(crate) const fn waiting(&self) -> (usize, usize) {
        (self.transactions, self.bytes)
    }
}

#[cfg(test)]
mod tests;
