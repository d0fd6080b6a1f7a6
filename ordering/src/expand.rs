//! From a cut to a block, by a pure function: the same cut, chunks and state give the same header everywhere.
//!
//! # Order
//! The lanes of a cut take turns, one chunk each, oldest first, until all are used up. The turn starts at the lane that the parent's
//! header hash points at, and goes on in ascending order: no proposer chooses it, because the parent is decided before.
//!
//! Before them come entries of the forced-inclusion queue, if the cut has some: see [`forced`](crate::forced).
//!
//! # What is left out
//! A transaction of an unknown rollup, and one that the duplicate window (or this block, earlier) has already. Nothing else:
//! a cut that covers more than the limits is invalid as a whole, so nothing that honest validators took in is lost to them. Forced entries are left out
//! by rules of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ordering_types::block::TxTree;
use ordering_types::header::PROTOCOL_VERSION;
use ordering_types::transaction::tx_id;
use ordering_types::{Chunk, Cut, Digest, ForcedEntry, Header, LaneTip, RollupId, RollupSection, TxId};

use crate::api::Covered;
use crate::epoch::{ClosedBlock, EpochEvent};
use crate::forced::Intake;
use crate::ids::IdSet;
use crate::lane::store::Held;
use crate::load::Rules;
use crate::state::ReplayState;
use crate::window::Window;
use crate::wire::LeftOut;

/// What a cut stands for.
#[derive(Debug)]
pub(crate) struct Expansion {
    pub(crate) header: Header,
    pub(crate) hash: Digest,
    pub(crate) cut: Cut,
    pub(crate) cut_bytes: Bytes,
    pub(crate) sections: Vec<RollupSection>,
    pub(crate) tree: TxTree,
    /// Entries of the forced-inclusion queue that it begins with.
    pub(crate) forced: Vec<ForcedEntry>,
    /// Ids of the block's transactions.
    pub(crate) ids: Vec<(RollupId, TxId)>,
    /// Chunks that the cut covers.
    pub(crate) covered: Vec<Arc<Held>>,
    /// The same, for whoever stores the block.
    pub(crate) places: Vec<Covered>,
    /// The state after it.
    pub(crate) state: ReplayState,
    /// What it means for the epochs.
    pub(crate) epochs: Vec<EpochEvent>,
}

/// Order of the chunks of `lanes`, which stand in ascending order of lane.
pub(crate) fn interleave(parent: Digest, lanes: &[Vec<Arc<Held>>]) -> Vec<Arc<Held>> {
    let start = first_lane(parent, lanes.len());
    let longest = lanes.iter().map(Vec::len).max().unwrap_or(0);
    let (before, from) = lanes.split_at(start);
    let mut order = Vec::new();
    for place in 0..longest {
        order.extend(from.iter().chain(before).filter_map(|lane| lane.get(place)).cloned());
    }
    order
}

/// The lane that has the first turn.
pub(crate) fn first_lane(parent: Digest, lanes: usize) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *parent.as_bytes();
    let raw = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    usize::try_from(raw % (lanes.max(1) as u64)).unwrap_or(0)
}

/// How it is known what a block leaves out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Past<'a> {
    /// From the blocks before.
    Window(&'a Window),
    /// A peer says so of a proven block: if it lies, the block gets another hash than the proven one.
    Told(&'a LeftOut, &'a Window),
}

/// A block's transactions, as they are put together.
struct Filling<'a> {
    rules: &'a Rules,
    past: Past<'a>,
    seen: IdSet,
    sections: BTreeMap<RollupId, (Vec<Bytes>, Vec<TxId>)>,
    blob_bytes: u64,
}

impl<'a> Filling<'a> {
    fn new(rules: &'a Rules, past: Past<'a>, covered: &[Arc<Held>]) -> Self {
        let (Past::Window(window) | Past::Told(_, window)) = past;
        let count = covered.iter().map(|held| held.ids.len()).sum();
        let seen = IdSet::with_capacity(window.hasher(), count);
        Self { rules, past, seen, sections: BTreeMap::new(), blob_bytes: 0 }
    }

    fn begin_with(&mut self, forced: &[ForcedEntry], blob_bytes: u64) {
        for ForcedEntry { rollup, data } in forced {
            let id = tx_id(data);
            self.push(*rollup, data, id);
            let _ = self.seen.insert(*rollup, id);
        }
        self.blob_bytes = blob_bytes;
    }

    /// Adds what the block has of a chunk.
    fn add(&mut self, chunk: u32, held: &Held) -> Covered {
        let mut left_out = Vec::new();
        for (place, (transaction, id)) in (0..).zip(held.chunk.transactions().iter().zip(&held.ids)) {
            let rollup = transaction.rollup;
            if self.leaves_out((chunk, place), rollup, *id) {
                left_out.push(place);
                continue;
            }
            if self.rules.is_blob(rollup) {
                self.blob_bytes += Chunk::cost(transaction.data.len()) as u64;
            }
            self.push(rollup, &transaction.data, *id);
        }
        Covered { digest: held.chunk.digest(), left_out }
    }

    fn leaves_out(&mut self, (chunk, place): (u32, u32), rollup: RollupId, id: TxId) -> bool {
        match self.past {
            Past::Window(window) => {
                !self.rules.knows(rollup) || window.contains(rollup, id) || !self.seen.insert(rollup, id)
            }
            Past::Told(told, _) => told.has(chunk, place),
        }
    }

    fn push(&mut self, rollup: RollupId, data: &Bytes, id: TxId) {
        let (all, ids) = self.sections.entry(rollup).or_default();
        all.push(data.clone());
        ids.push(id);
    }
}

/// Expands a cut whose static rules hold. `lanes` are the chunks of each of its tips.
pub(crate) fn expand(
    spec: Digest,
    rules: &Rules,
    state: &ReplayState,
    past: Past<'_>,
    (cut, cut_bytes): (Cut, Bytes),
    lanes: &[Vec<Arc<Held>>],
) -> Expansion {
    let Intake { entries: forced, load, book } = state.intake(&cut.system, rules);
    let covered = interleave(cut.parent, lanes);
    let mut filling = Filling::new(rules, past, &covered);
    filling.begin_with(&forced, load.blob_bytes);
    let places = (0..).zip(&covered).map(|(chunk, held)| filling.add(chunk, held)).collect();
    let Filling { sections, blob_bytes, .. } = filling;
    let tree = TxTree::new(sections.iter().map(|(rollup, (_, ids))| (*rollup, ids.clone())).collect());
    let ids: Vec<_> =
        sections.iter().flat_map(|(rollup, (_, ids))| ids.iter().map(|id| (*rollup, *id))).collect();
    let sections = sections
        .into_iter()
        .map(|(rollup, (transactions, _))| RollupSection { rollup, transactions })
        .collect();

    let tx_root = tree.root();
    let mut after = apply_cut(state, &cut);
    let forced_cursor = book.done().count;
    after.replayed.l1.set_forced(book);
    let batch = state.replayed.batch.with(cut.time_ms, blob_bytes, ids.len() as u64);
    let tally = state.tally(&cut.system, rules);
    after.close_block(batch, cut.height, cut.seals_batch, tx_root);
    let next_batch = after.replayed.batch.number;
    let closed = ClosedBlock { height: cut.height, time_ms: cut.time_ms, next_batch, messages: &cut.system };
    let epochs = after.close_epoch(closed, tally, rules);
    let header = Header {
        version: PROTOCOL_VERSION,
        chain_spec: spec,
        epoch: cut.epoch,
        height: cut.height,
        parent: cut.parent,
        time_ms: cut.time_ms,
        l1_reference: cut.l1_reference,
        forced_cursor,
        cut: Digest::sha256(&[&cut_bytes]),
        tx_root,
        tx_count: tree.count(),
        state_root: after.root(),
        seals_batch: cut.seals_batch,
    };
    let hash = header.hash();
    after.header = hash;
    Expansion {
        header,
        hash,
        cut,
        cut_bytes,
        sections,
        tree,
        forced,
        ids,
        covered,
        places,
        state: after,
        epochs,
    }
}

/// Blob bytes that a block of this intake and over these chunks adds to its batch; decides whether it must seal.
pub(crate) fn blob_bytes(rules: &Rules, window: &Window, intake: &Intake, covered: &[Arc<Held>]) -> u64 {
    let mut seen = IdSet::new(window.hasher());
    for ForcedEntry { rollup, data } in &intake.entries {
        let _ = seen.insert(*rollup, tx_id(data));
    }
    let mut bytes = intake.load.blob_bytes;
    for held in covered {
        for (transaction, id) in held.chunk.transactions().iter().zip(&held.ids) {
            let rollup = transaction.rollup;
            if rules.is_blob(rollup) && !window.contains(rollup, *id) && seen.insert(rollup, *id) {
                bytes += Chunk::cost(transaction.data.len()) as u64;
            }
        }
    }
    bytes
}

fn apply_cut(state: &ReplayState, cut: &Cut) -> ReplayState {
    let mut after = state.clone();
    after.height = cut.height;
    after.decided_in = cut.epoch;
    after.time_ms = cut.time_ms;
    for LaneTip { lane, sequence, digest } in &cut.tips {
        after.advance(*lane, *sequence, *digest);
    }
    let parent_round = cut.parent_commit.as_ref().map(|commit| commit.round);
    let deciders: Vec<_> = state.deciders().ids().collect();
    after.replayed.reputation.learn((&deciders, &state.ids()), cut.height, parent_round);
    for message in &cut.system {
        after.replayed.system.insert(message.sender, message.sequence);
    }
    after
}

#[cfg(test)]
mod tests;
