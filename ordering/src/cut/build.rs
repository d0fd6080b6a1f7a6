//! The cut that a proposer makes: as much as fits, every lane in its turn.

use std::sync::Arc;

use ordering_types::{Cut, LaneTip, ParentCommit, SystemMessage};

use crate::expand::{blob_bytes, first_lane};
use crate::lane::store::Held;
use crate::load::{Load, Rules};
use crate::state::{ReplayState, Window};

/// Chooses tips among `ready`, the chunks beyond the decided tip that a quorum holds, by lane in ascending order.
///
/// Chunks are added in the order in which lanes take turns, so that no lane uses up a limit before another had a turn. A lane ends at its
/// first chunk that does not fit.
pub(crate) fn build(
    now_ms: u64,
    rules: &Rules,
    state: &ReplayState,
    window: &Window,
    ready: &[Vec<Arc<Held>>],
    system: Vec<SystemMessage>,
    parent_commit: Option<ParentCommit>,
) -> Cut {
    let per_lane = usize::try_from(rules.limits.chunks_per_lane_per_cut).unwrap_or(usize::MAX);
    let start = first_lane(state.header, ready.len());
    let mut load = Load::default();
    let mut covered: Vec<Arc<Held>> = Vec::new();
    let (before, from) = ready.split_at(start);
    let mut open: Vec<(&[Arc<Held>], Option<LaneTip>)> =
        from.iter().chain(before).map(|lane| (lane.as_slice(), None)).collect();
    for place in 0..per_lane {
        let mut advanced = false;
        for (lane, tip) in &mut open {
            let Some(held) = lane.get(place) else { continue };
            if !load.fits_with(&held.load, rules) {
                *lane = &[];
                continue;
            }
            load.add(&held.load);
            covered.push(Arc::clone(held));
            let chunk = &held.chunk;
            let newest = LaneTip { lane: chunk.lane(), sequence: chunk.sequence(), digest: chunk.digest() };
            *tip = Some(newest);
            advanced = true;
        }
        if !advanced {
            break;
        }
    }
    let mut tips: Vec<LaneTip> = open.into_iter().filter_map(|(_, tip)| tip).collect();
    tips.sort_unstable();

    let time_ms = now_ms.max(state.time_ms);
    let transactions = covered.iter().map(|held| held.ids.len() as u64).sum();
    let batch = state.replayed.batch.with(time_ms, blob_bytes(rules, window, &covered), transactions);
    Cut {
        height: state.height.next(),
        epoch: state.replayed.epoch,
        parent: state.header,
        parent_commit,
        time_ms,
        l1_reference: state.l1_reference,
        seals_batch: batch.should_seal(time_ms, &rules.limits),
        tips,
        system,
    }
}
