//! The cut that a proposer makes: as much as fits, every lane in its turn.

use std::sync::Arc;

use ordering_types::{Cut, LaneTip, ParentCommit, SystemMessage};

use crate::expand::{bytes_on_l1, first_lane};
use crate::lane::store::Held;
use crate::load::{Load, Rules};
use crate::state::ReplayState;
use crate::window::Window;

/// What a proposer goes by that nobody else has to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Its clock.
    pub(crate) now_ms: u64,
    /// See [`Input::BlobsFullAt`](crate::api::Input::BlobsFullAt).
    pub(crate) blobs_full_at: Option<u64>,
}

/// A lane in its turn.
struct Turn<'a> {
    ready: &'a [Arc<Held>],
    taken: usize,
    load: Load,
    open: bool,
}

/// Chooses tips among `ready`, the chunks beyond the decided tip that a quorum holds, by lane in ascending order.
///
/// Chunks are added in the order in which lanes take turns, so that no lane uses up a limit before another had a turn: first of each lane what
/// is within its share of the block (of its bytes, and of every rollup's quota), as honest owners keep it; then whatever
/// else fits. So an owner that crowds a rollup's quota into its own lane does not keep the others' chunks out. A lane ends at its
/// first chunk that does not fit.
pub(crate) fn build(
    Moment { now_ms, blobs_full_at }: Moment,
    rules: &Rules,
    state: &ReplayState,
    window: &Window,
    ready: &[Vec<Arc<Held>>],
    system: Vec<SystemMessage>,
    parent_commit: Option<ParentCommit>,
) -> Cut {
    let per_lane = usize::try_from(rules.limits.chunks_per_lane_per_cut).unwrap_or(usize::MAX);
    let (before, from) = ready.split_at(first_lane(state.header, ready.len()));
    let capped = from.iter().chain(before).map(|lane| lane.get(..per_lane).unwrap_or(lane));
    let turn = |ready| Turn { ready, taken: 0, load: Load::default(), open: true };
    let mut turns: Vec<Turn<'_>> = capped.map(turn).collect();
    let intake = state.intake(&system, rules);
    let mut load = intake.load.clone();
    fill(&mut turns, &mut load, rules, state.committee().len().max(1) as u64);
    fill(&mut turns, &mut load, rules, 1);

    let covered: Vec<Arc<Held>> = turns.iter().flat_map(|t| t.ready.iter().take(t.taken)).cloned().collect();
    let newest = |turn: &Turn<'_>| {
        let chunk = &turn.ready.get(turn.taken.checked_sub(1)?)?.chunk;
        Some(LaneTip { lane: chunk.lane(), sequence: chunk.sequence(), digest: chunk.digest() })
    };
    let mut tips: Vec<LaneTip> = turns.iter().filter_map(newest).collect();
    tips.sort_unstable();

    let time_ms = now_ms.max(state.time_ms);
    let before = state.replayed.batch.on_l1.blob;
    let forced = intake.entries.len() as u64;
    let transactions = forced + covered.iter().map(|held| held.ids.len() as u64).sum::<u64>();
    let batch =
        state.replayed.batch.with(time_ms, bytes_on_l1(rules, window, &intake, &covered), transactions);
    let ends_epoch = state.tally(&system, rules).agreed.is_some();
    // Another block like this one would overflow them.
    let next = batch.on_l1.blob.saturating_mul(2).saturating_sub(before);
    let is_full = batch.on_l1.blob > before && blobs_full_at.is_some_and(|full| next > full);
    let seals_batch = ends_epoch || is_full || batch.should_seal(time_ms, &rules.limits);
    Cut {
        height: state.height.next(),
        epoch: state.epoch(),
        parent: state.header,
        parent_commit,
        time_ms,
        l1_reference: state.l1_reference(),
        seals_batch,
        tips,
        system,
    }
}

/// Adds chunks, one of each lane in its turn, while they fit the block and the lane is within one of `parts` shares of it.
fn fill(turns: &mut [Turn<'_>], load: &mut Load, rules: &Rules, parts: u64) {
    turns.iter_mut().for_each(|turn| turn.open = true);
    while turns.iter().any(|turn| turn.open) {
        for turn in turns.iter_mut().filter(|turn| turn.open) {
            let Some(held) = turn.ready.get(turn.taken) else {
                turn.open = false;
                continue;
            };
            let (lane, sum) = (turn.load.with(&held.load), load.with(&held.load));
            turn.open = lane.fits_part(rules, parts) && sum.fits(rules);
            if turn.open {
                (turn.load, *load) = (lane, sum);
                turn.taken += 1;
            }
        }
    }
}
