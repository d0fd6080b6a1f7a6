//! Judges a finished run from the outside: L1 against what clients were told, node against node, promise by promise.

mod agreement;
mod committees;
mod compare;
mod from_l1;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordering_types::ChainSpec;
use ordering_types::merkle;
use rollup::verify::Network;

pub use committees::Committees;
pub use compare::{Difference, Placed, compare};
pub use from_l1::{FromL1, Load, read};

use crate::contract::Batch;
use crate::load::{Counts, Ledger};
use crate::report::Check;

/// Share of the offered load that must be ordered.
pub const MIN_ORDERED: f64 = 0.95;
/// While epochs change, blocks are no further apart.
const MOST_PAUSE_MS: u64 = 2_000;
/// Share of the batchers' gas that may be spent on nothing.
const MAX_WASTED: f64 = 0.02;
/// Differences listed one by one; beyond it they are counted.
const SHOWN: usize = 5;
/// How long a node may take to tell its whole history.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(60);

/// What the judge gets to see: nothing that an outsider could not.
pub struct Evidence<'a> {
    /// The genesis file.
    pub spec: Arc<ChainSpec>,
    /// What clients were told.
    pub ledger: &'a Ledger,
    /// How many of what.
    pub counts: Counts,
    /// Heights at which nodes told different things while the load ran.
    pub conflicts: Vec<String>,
    /// What L1 says.
    pub from_l1: &'a FromL1,
    /// The batches as L1's log has them.
    pub batches: &'a [Batch],
    /// Ingress of the nodes that are alive.
    pub endpoints: Vec<String>,
    /// Processes that ended by themselves.
    pub died: Vec<String>,
    /// Entries of the forced-inclusion queue on L1.
    pub forced: u64,
    /// Where epochs are short: so many that must have ended by now.
    pub epochs: Option<u64>,
    /// Where epochs are short: who was in which.
    pub committees: Option<Committees>,
}

/// Judges everything.
pub async fn judge(evidence: &Evidence<'_>) -> Vec<Check> {
    let mut checks = vec![
        offered(evidence.counts),
        confirmed(evidence.counts),
        agreement(evidence).await,
        derived(evidence),
        committed(evidence),
        headers(evidence),
        contiguous(evidence.batches),
        forced(evidence.forced, evidence.from_l1),
        alive(&evidence.died),
    ];
    if let Some(least) = evidence.epochs {
        checks.extend([rotated(evidence.from_l1.epoch, least), unpaused(evidence.from_l1.longest_pause)]);
    }
    checks.extend(evidence.committees.iter().flat_map(Committees::checks));
    checks
}

/// The share of the batchers' gas that was spent on nothing.
pub fn thrifty((wasted, all): (u64, u64)) -> Check {
    let share = share(wasted, all.max(1));
    let found = format!("{wasted} of {all} gas ({:.2} %)", share * 100.0);
    Check::new("batchers waste less than 2 % of their gas", share < MAX_WASTED, found)
}

/// What goes through L1's queue is ordered by the committee, before it must escape.
fn forced(entries: u64, from_l1: &FromL1) -> Check {
    let FromL1 { forced, omitted, escaped, .. } = from_l1;
    let found = format!("{forced} of {entries} ordered, {omitted} left out, {escaped} escaped");
    // One more may have been mined since they were counted.
    let held = *forced as u64 >= entries && *omitted == 0 && *escaped == 0;
    Check::new("what is put into L1's queue is ordered", held, found)
}

/// Derivation has seen that each key signed the next, and only batches of its own epoch.
fn rotated(epoch: u64, least: u64) -> Check {
    let found = format!("{epoch} rotations on L1, {least} expected at least");
    Check::new("every epoch the committee hands over on L1", epoch >= least, found)
}

fn unpaused((pause_ms, height): (u64, u64)) -> Check {
    let found = format!("longest pause {pause_ms} ms, before height {height}");
    Check::new("ordering never pauses for more than two seconds", pause_ms <= MOST_PAUSE_MS, found)
}

fn list(all: &[String]) -> String {
    let mut text = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > SHOWN {
        text.push_str(&format!("; and {} more", all.len() - SHOWN));
    }
    text
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn offered(counts: Counts) -> Check {
    let share = share(counts.ordered, counts.offered);
    let found = format!("{} of {} ({:.2} %)", counts.ordered, counts.offered, share * 100.0);
    Check::new("at least 95 % of the offered load is ordered", share >= MIN_ORDERED, found)
}

fn confirmed(counts: Counts) -> Check {
    let share = share(counts.certified, counts.ordered);
    let found = format!("{} of {} ({:.2} %)", counts.certified, counts.ordered, share * 100.0);
    Check::new("what is ordered is softly confirmed", share >= MIN_ORDERED, found)
}

async fn agreement(evidence: &Evidence<'_>) -> Check {
    let network = Network::new(Arc::clone(&evidence.spec));
    let deadline = Instant::now() + AGREEMENT_PATIENCE;
    let mut all = evidence.conflicts.clone();
    all.extend(
        agreement::differences(&network, &evidence.endpoints, &evidence.ledger.headers, deadline).await,
    );
    let found = if all.is_empty() {
        format!("{} nodes, {} heights", evidence.endpoints.len(), evidence.ledger.headers.len())
    } else {
        list(&all)
    };
    Check::new("no two nodes order differently", all.is_empty(), found)
}

fn last_told(ledger: &Ledger) -> u64 {
    ledger.headers.last_key_value().map_or(0, |(height, _)| *height)
}

/// The last height with a transaction in it: what L1 must reach before anything is judged.
pub fn last_with_transactions(ledger: &Ledger) -> u64 {
    let last = |placed: &Vec<Placed>| placed.last().map_or(0, |(height, _)| *height);
    ledger.ordered.values().map(last).max().unwrap_or_default()
}

fn derived(evidence: &Evidence<'_>) -> Check {
    let promise = "everything told ordered is on L1, in that order, exactly once";
    let Evidence { ledger, from_l1, spec, .. } = evidence;
    let on_l1 = |rollup: &ordering_types::RollupId| {
        spec.rollup(*rollup).is_some_and(|r| r.data != ordering_types::chain_spec::DataPolicy::Committee)
    };
    let mut told = ledger.ordered.clone();
    told.retain(|rollup, _| on_l1(rollup));
    let mut problems: Vec<String> =
        from_l1.error.iter().map(|error| format!("L1 cannot be read: {error}")).collect();
    problems.extend(from_l1.broken.iter().cloned());
    let all = compare(&told, &from_l1.ordered, 1..=last_told(ledger));
    problems.extend(all.iter().map(ToString::to_string));
    let count: usize = told.values().map(Vec::len).sum();
    let found = if problems.is_empty() {
        format!("{count} transactions of {} rollups in {} batches", told.len(), from_l1.batches.len())
    } else {
        list(&problems)
    };
    Check::new(promise, problems.is_empty(), found)
}

/// Rollups with data policy `committee`: L1 has a count and a root for every block.
fn committed(evidence: &Evidence<'_>) -> Check {
    let promise = "what is kept by the committee is committed to on L1";
    let Evidence { ledger, from_l1, spec, .. } = evidence;
    let mut problems = Vec::new();
    let mut blocks = 0;
    for (rollup, placed) in &ledger.ordered {
        let policy = spec.rollup(*rollup).map(|r| r.data);
        if policy != Some(ordering_types::chain_spec::DataPolicy::Committee) {
            continue;
        }
        let on_l1 = from_l1.commitments.get(rollup).map(Vec::as_slice).unwrap_or_default();
        for block in placed.chunk_by(|(a, _), (b, _)| a == b) {
            let height = block.first().map_or(0, |(height, _)| *height);
            let ids: Vec<_> = block.iter().map(|(_, id)| *id).collect();
            let expected = (height, u32::try_from(ids.len()).unwrap_or(u32::MAX), merkle::root(&ids));
            blocks += 1;
            if on_l1.binary_search_by_key(&height, |(height, ..)| *height).ok().and_then(|at| on_l1.get(at))
                != Some(&expected)
            {
                problems.push(format!(
                    "rollup {rollup}, height {height}: L1 does not commit to its transactions"
                ));
            }
        }
    }
    let found = if problems.is_empty() { format!("{blocks} blocks") } else { list(&problems) };
    Check::new(promise, problems.is_empty(), found)
}

fn headers(evidence: &Evidence<'_>) -> Check {
    let told = &evidence.ledger.headers;
    let derived = &evidence.from_l1.headers;
    let differs = |(height, header): (&u64, &ordering_types::Digest)| {
        told.get(height).is_some_and(|known| known != header).then(|| format!("height {height}"))
    };
    let all: Vec<String> = derived.iter().filter_map(differs).collect();
    let found = if all.is_empty() { format!("{} headers", derived.len()) } else { list(&all) };
    Check::new("headers derived from L1 are those that were told", all.is_empty(), found)
}

fn contiguous(batches: &[Batch]) -> Check {
    let mut problems = Vec::new();
    let (mut parent, mut height) = (format!("0x{}", "0".repeat(64)), 0);
    for (batch, number) in batches.iter().zip(1_u64..) {
        let Batch { first_height, last_height, .. } = batch;
        if batch.number != number || batch.parent != parent {
            problems.push(format!("batch {number} is {} with parent {}", batch.number, batch.parent));
        }
        if *first_height != height + 1 || last_height < first_height {
            problems.push(format!("batch {number} covers {first_height}-{last_height} after {height}"));
        }
        parent.clone_from(&batch.id);
        height = *last_height;
    }
    let found = if problems.is_empty() {
        format!("{} batches, heights 1-{height}", batches.len())
    } else {
        list(&problems)
    };
    Check::new("batches on L1 are contiguous", problems.is_empty() && !batches.is_empty(), found)
}

fn alive(died: &[String]) -> Check {
    let found = if died.is_empty() { "none did".to_owned() } else { list(died) };
    Check::new("no process ended by itself", died.is_empty(), found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use alloy::primitives::Address;

    use super::*;

    fn batch(number: u64, parent: &str, id: &str, heights: (u64, u64)) -> Batch {
        Batch {
            number,
            id: id.to_owned(),
            parent: parent.to_owned(),
            first_height: heights.0,
            last_height: heights.1,
            last_time_ms: 0,
            l1_block: number,
            poster: Address::ZERO,
            blobs: 1,
            gas: 1,
        }
    }

    #[test]
    fn a_gap_a_wrong_parent_and_no_batch_at_all_are_broken_promises() {
        let zero = format!("0x{}", "0".repeat(64));
        let good = [batch(1, &zero, "a", (1, 4)), batch(2, "a", "b", (5, 5))];
        assert!(contiguous(&good).held);
        for bad in [
            vec![],
            vec![batch(2, &zero, "a", (1, 4))],
            vec![good[0].clone(), batch(2, "x", "b", (5, 5))],
            vec![good[0].clone(), batch(2, "a", "b", (6, 7))],
            vec![good[0].clone(), batch(2, "a", "b", (5, 4))],
        ] {
            assert!(!contiguous(&bad).held, "{bad:?}");
        }
    }

    #[test]
    fn too_few_rotations_and_a_long_pause_are_broken_promises() {
        assert!(rotated(4, 4).held && !rotated(3, 4).held);
        assert!(unpaused((2_000, 9)).held && !unpaused((2_001, 9)).held);
    }

    #[test]
    fn nineteen_of_twenty_are_enough_and_eighteen_are_not() {
        let counts = |ordered| Counts { offered: 20, ordered, certified: ordered, ..Counts::default() };
        assert!(offered(counts(19)).held && !offered(counts(18)).held);
        assert!(offered(Counts::default()).held);
    }
}
