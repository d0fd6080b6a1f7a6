//! The canonical chain: blocks, recent states, blobs, and what happened to them.
//!
//! One state per recent block is kept (they share structure), so a reorg is dropping the newest
//! entries. Everything is in memory and bounded: old blocks, states, blobs and events are pruned.

pub(crate) mod block;
pub(crate) mod build;
pub(crate) mod execute;
pub(crate) mod fees;
pub(crate) mod genesis;
pub(crate) mod spike;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};

use block::{Block, BlockBlobs};
use build::{Candidate, Plan, build, open_header};
use execute::ExecutionError;
use spike::{Spike, SpikeOrder};

use crate::pool::Selection;
use crate::state::{State, StateError};
use crate::transaction::SignedTx;

/// States kept behind the head, as geth does: older ones cannot be queried.
pub(crate) const MAX_STATES: usize = 128;

/// The deepest reorg that `dev_reorg` performs, in blocks.
pub(crate) const MAX_REORG_DEPTH: u64 = 64;

/// Chain events kept for pollers of filters; who falls further behind must start over.
const MAX_EVENTS: usize = 4096;

/// What never changes while the chain runs.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) chain_id: u64,
    pub(crate) gas_limit: u64,
    /// Whole seconds between two timestamps, at least 1.
    pub(crate) slot_seconds: u64,
    pub(crate) safe_lag: u64,
    pub(crate) finalized_lag: u64,
    pub(crate) block_history: u64,
    pub(crate) blob_retention: u64,
    pub(crate) blob_limit: usize,
}

/// Something that a filter may have to report.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A block became the head.
    Added(Arc<Block>),
    /// A block left the chain in a reorg.
    Removed(Arc<Block>),
    /// A transaction entered the pool.
    Pending(B256),
}

/// Why a reorg was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReorgError {
    /// Nothing to do, or more than is kept.
    #[error("depth must be between 1 and {MAX_REORG_DEPTH} and leave the genesis block")]
    Depth,
    /// A real chain never reverts what it finalized.
    #[error("depth {depth} would revert finalized block {finalized}; pass pastFinalized to force it")]
    Finalized {
        /// Blocks that were to be reverted.
        depth: u64,
        /// The finalized height.
        finalized: u64,
    },
    /// A replacement block could not be built.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

/// The chain. Never empty: block zero exists from the start. A clone shares its blocks and states.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) params: Params,
    head: Arc<Block>,
    head_state: State,
    blocks: BTreeMap<u64, Arc<Block>>,
    states: BTreeMap<u64, State>,
    blobs: BTreeMap<u64, Vec<BlockBlobs>>,
    /// Blobs in `blobs`.
    blob_count: usize,
    numbers: HashMap<B256, u64>,
    /// Beacon block root to number.
    roots: HashMap<B256, u64>,
    txs: HashMap<B256, (u64, usize)>,
    events: VecDeque<Event>,
    /// Events that ever happened; `events` holds the newest of them.
    event_count: u64,
    genesis_time: u64,
    fork: u64,
    finalized: u64,
    safe: u64,
    next_base_fee: Option<u64>,
    next_excess_blob_gas: Option<u64>,
    spike: Option<Spike>,
}

impl Chain {
    /// A chain of one block.
    ///
    /// # Errors
    /// The genesis state cannot be built.
    pub(crate) fn new(
        params: Params,
        accounts: &[Address],
        balance: U256,
        genesis_time: u64,
    ) -> Result<Self, StateError> {
        let (block, state) = genesis::genesis(accounts, balance, params.gas_limit, genesis_time)?;
        let head = Arc::new(block);
        let mut chain = Self {
            params,
            head: head.clone(),
            head_state: state.clone(),
            blocks: BTreeMap::new(),
            states: BTreeMap::new(),
            blobs: BTreeMap::new(),
            blob_count: 0,
            numbers: HashMap::new(),
            roots: HashMap::new(),
            txs: HashMap::new(),
            events: VecDeque::new(),
            event_count: 0,
            genesis_time,
            fork: 0,
            finalized: 0,
            safe: 0,
            next_base_fee: None,
            next_excess_blob_gas: None,
            spike: None,
        };
        chain.append(head, state, Vec::new());
        Ok(chain)
    }

    pub(crate) fn head(&self) -> &Arc<Block> {
        &self.head
    }

    /// The state after the newest block.
    pub(crate) fn head_state(&self) -> &State {
        &self.head_state
    }

    pub(crate) fn genesis_time(&self) -> u64 {
        self.genesis_time
    }

    pub(crate) fn finalized(&self) -> u64 {
        self.finalized
    }

    pub(crate) fn safe(&self) -> u64 {
        self.safe
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Block>> {
        self.blocks.get(&number)
    }

    pub(crate) fn block_by_hash(&self, hash: &B256) -> Option<&Arc<Block>> {
        self.block(*self.numbers.get(hash)?)
    }

    /// The block that the beacon API knows by `root`.
    pub(crate) fn block_by_root(&self, root: &B256) -> Option<&Arc<Block>> {
        self.block(*self.roots.get(root)?)
    }

    /// The oldest block still kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.blocks.keys().next().copied().unwrap_or_default()
    }

    /// The state after block `number`, if it is still kept.
    pub(crate) fn state(&self, number: u64) -> Option<&State> {
        self.states.get(&number)
    }

    /// The block that contains transaction `hash`, and its index there.
    pub(crate) fn transaction(&self, hash: &B256) -> Option<(&Arc<Block>, usize)> {
        let (number, index) = self.txs.get(hash)?;
        Some((self.block(*number)?, *index))
    }

    /// The blobs of block `number`; `None` once they expired.
    pub(crate) fn blobs(&self, number: u64) -> Option<&[BlockBlobs]> {
        self.blobs.get(&number).map(Vec::as_slice)
    }

    /// The slot of a block: seconds since genesis over the slot length.
    pub(crate) fn slot(&self, block: &Block) -> u64 {
        (block.header.timestamp - self.genesis_time) / self.params.slot_seconds
    }

    /// The block in `slot`; `None` for a missed one.
    pub(crate) fn block_in_slot(&self, slot: u64) -> Option<&Arc<Block>> {
        let (mut low, mut high) = (self.oldest(), self.head.number());
        while low <= high {
            let middle = low + (high - low) / 2;
            let block = self.block(middle)?;
            match self.slot(block).cmp(&slot) {
                std::cmp::Ordering::Equal => return Some(block),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle.checked_sub(1)?,
            }
        }
        None
    }

    /// The timestamp of the next block when the clock shows `now`: on the slot grid and never at or
    /// before the parent's, so a chain that is mined faster than its slots runs ahead of the clock.
    pub(crate) fn next_timestamp(&self, now: u64) -> u64 {
        let slot = self.params.slot_seconds;
        let grid = now.saturating_sub(self.genesis_time) / slot * slot + self.genesis_time;
        grid.max(self.head.header.timestamp + slot)
    }

    /// What the next block will look like before its transactions are chosen.
    pub(crate) fn plan(&self, timestamp: u64) -> Plan {
        let number = self.head.number() + 1;
        Plan {
            timestamp,
            fork: self.fork,
            base_fee: self.next_base_fee.or_else(|| self.spike?.base_fee(number)),
            excess_blob_gas: self.next_excess_blob_gas.or_else(|| self.spike?.excess_blob_gas(number)),
            balances: Vec::new(),
        }
    }

    /// Header of the next block before execution.
    pub(crate) fn open_header(&self, plan: &Plan) -> alloy::consensus::Header {
        open_header(&self.head.header, self.head.hash, self.params.gas_limit, plan)
    }

    /// Builds the next block without adding it.
    pub(crate) fn candidate(
        &self,
        plan: &Plan,
        selection: Selection<'_>,
    ) -> Result<Candidate, ExecutionError> {
        build(self.open_header(plan), self.params.chain_id, self.head_state.clone(), plan, selection)
    }

    /// Makes `candidate`, which was built on the present head, the new head.
    pub(crate) fn commit(&mut self, candidate: Candidate) {
        assert_eq!(candidate.block.header.parent_hash, self.head.hash, "candidates extend the head");
        (self.next_base_fee, self.next_excess_blob_gas) = (None, None);
        self.append(candidate.block, candidate.state, candidate.blobs);
    }

    fn append(&mut self, block: Arc<Block>, state: State, blobs: Vec<BlockBlobs>) {
        let number = block.number();
        for (index, tx) in block.txs.iter().enumerate() {
            self.txs.insert(tx.hash, (number, index));
        }
        self.numbers.insert(block.hash, number);
        self.roots.insert(block.beacon_root(), number);
        self.blocks.insert(number, block.clone());
        self.states.insert(number, state.clone());
        self.blob_count += count(&blobs);
        self.blobs.insert(number, blobs);
        self.push_event(Event::Added(block.clone()));
        (self.head, self.head_state) = (block, state);
        self.finalized = self.finalized.max(number.saturating_sub(self.params.finalized_lag));
        self.safe = self.safe.max(number.saturating_sub(self.params.safe_lag));
        self.prune();
    }

    fn prune(&mut self) {
        while self.states.len() > MAX_STATES {
            self.states.pop_first();
        }
        while self.blobs.len() as u64 > self.params.blob_retention || self.blob_count > self.params.blob_limit
        {
            let Some((_, expired)) = self.blobs.pop_first() else { break };
            self.blob_count -= count(&expired);
        }
        while self.blocks.len() as u64 > self.params.block_history {
            if let Some((_, block)) = self.blocks.pop_first() {
                self.forget(&block);
            }
        }
    }

    fn forget(&mut self, block: &Block) {
        self.numbers.remove(&block.hash);
        self.roots.remove(&block.beacon_root());
        for tx in &block.txs {
            self.txs.remove(&tx.hash);
        }
    }

    /// Replaces the newest `depth` blocks by as many empty ones and returns the transactions that
    /// lost their place, oldest first.
    ///
    /// # Errors
    /// See [`ReorgError`].
    pub(crate) fn reorg(&mut self, depth: u64, past_finalized: bool) -> Result<Vec<SignedTx>, ReorgError> {
        let head = self.head.number();
        let ancestor = head.checked_sub(depth).ok_or(ReorgError::Depth)?;
        let reachable = self.blocks.contains_key(&ancestor) && self.states.contains_key(&ancestor);
        if depth == 0 || depth > MAX_REORG_DEPTH || !reachable {
            return Err(ReorgError::Depth);
        }
        if ancestor < self.finalized && !past_finalized {
            return Err(ReorgError::Finalized { depth, finalized: self.finalized });
        }
        let timestamps: Vec<_> =
            self.blocks.range(ancestor + 1..).map(|(_, block)| block.header.timestamp).collect();
        // geth keeps blobs for a reorg only until they are final.
        let last_final = self.finalized.max(ancestor);
        let mut orphans = self.transactions(ancestor, last_final);
        orphans.iter_mut().for_each(|tx| tx.sidecar = None);
        orphans.extend(self.transactions(last_final, head));
        self.drop_above(ancestor);
        self.fork += 1;
        for timestamp in timestamps {
            self.append_empty(timestamp)?;
        }
        Ok(orphans)
    }

    /// The transactions of the blocks above `ancestor` up to `last` as they were in the pool, oldest first.
    pub(crate) fn transactions(&self, ancestor: u64, last: u64) -> Vec<SignedTx> {
        let mut found = Vec::new();
        for (number, block) in self.blocks.range(ancestor + 1..).take_while(|(number, _)| **number <= last) {
            let blobs = self.blobs(*number).unwrap_or_default();
            found.extend(block.txs.iter().map(|tx| {
                let kept = blobs.iter().find(|blob| blob.tx_hash == tx.hash);
                tx.to_signed(kept.map(|blob| blob.sidecar.clone()))
            }));
        }
        found
    }

    /// Forgets the newest `depth` blocks, or as many as there are states for, as if they had not come yet.
    pub(crate) fn rewind(&mut self, depth: u64) {
        let head = self.head.number();
        let ancestor = head - depth.min(head - self.states.keys().next().copied().unwrap_or(head));
        self.drop_above(ancestor);
        self.finalized = self.finalized.min(ancestor.saturating_sub(self.params.finalized_lag));
        self.safe = self.safe.min(ancestor.saturating_sub(self.params.safe_lag));
    }

    /// From here on empty blocks differ from those that this chain's twin would make.
    pub(crate) fn diverge(&mut self) {
        self.fork ^= 1 << 63;
    }

    /// Adds an empty block with this timestamp.
    ///
    /// # Errors
    /// A system contract is broken; the chain is unchanged.
    pub(crate) fn append_empty(&mut self, timestamp: u64) -> Result<(), ExecutionError> {
        let candidate = self.candidate(&self.plan(timestamp), Selection::empty())?;
        self.commit(candidate);
        Ok(())
    }

    /// Takes the blocks above `ancestor` off.
    fn drop_above(&mut self, ancestor: u64) {
        let dropped = self.blocks.split_off(&(ancestor + 1));
        for (number, block) in &dropped {
            let blobs = self.blobs.remove(number).unwrap_or_default();
            self.blob_count -= count(&blobs);
            self.states.remove(number);
            self.forget(block);
        }
        for block in dropped.into_values().rev() {
            self.push_event(Event::Removed(block));
        }
        if let (Some(block), Some(state)) = (self.blocks.get(&ancestor), self.states.get(&ancestor)) {
            (self.head, self.head_state) = (block.clone(), state.clone());
        }
    }

    /// Sets the base fee of the next block only, in wei.
    pub(crate) fn set_next_base_fee(&mut self, fee: u64) {
        self.next_base_fee = Some(fee.min(fees::MAX_BASE_FEE));
    }

    /// Sets the blob base fee of the next block, in wei; from there the protocol's rule moves it.
    pub(crate) fn set_next_blob_base_fee(&mut self, fee: u128) {
        self.next_excess_blob_gas = Some(fees::excess_for_blob_base_fee(fee));
    }

    /// Multiplies fees from the next block on.
    pub(crate) fn start_spike(&mut self, order: SpikeOrder) {
        let next = self.open_header(&self.plan(self.head.header.timestamp + 1));
        self.spike = Some(Spike::new(order, &next, self.spike));
    }

    /// The next block has the fees of before the spike.
    pub(crate) fn end_spike(&mut self) {
        let next = self.head.number() + 1;
        if let Some(spike) = &mut self.spike {
            spike.end(next);
        }
    }

    /// Drops the blobs of all blocks that `old` selects, for good; says how many blobs there were.
    pub(crate) fn expire_blobs(&mut self, old: impl Fn(&Block) -> bool) -> usize {
        let (blocks, before) = (&self.blocks, self.blob_count);
        let mut left = 0;
        self.blobs.retain(|number, blobs| {
            let keep = blocks.get(number).is_some_and(|block| !old(block));
            left += if keep { count(blobs) } else { 0 };
            keep
        });
        self.blob_count = left;
        before - left
    }

    /// Records that a transaction entered the pool.
    pub(crate) fn push_pending(&mut self, hash: B256) {
        self.push_event(Event::Pending(hash));
    }

    fn push_event(&mut self, event: Event) {
        self.events.push_back(event);
        self.event_count += 1;
        if self.events.len() > MAX_EVENTS {
            self.events.pop_front();
        }
    }

    /// The cursor after the newest event.
    pub(crate) fn event_cursor(&self) -> u64 {
        self.event_count
    }

    /// Events from `cursor` on; `None` if some of them are already forgotten.
    pub(crate) fn events_since(&self, cursor: u64) -> Option<impl Iterator<Item = &Event>> {
        let behind = usize::try_from(self.event_count.checked_sub(cursor)?).ok()?;
        Some(self.events.iter().skip(self.events.len().checked_sub(behind)?))
    }
}

fn count(blobs: &[BlockBlobs]) -> usize {
    blobs.iter().map(|blobs| blobs.sidecar.blobs.len()).sum()
}
