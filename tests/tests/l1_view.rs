//! What the committee sees of L1, while L1 or some of the endpoints are wrong: ordering goes on, the reference stands still or does not, nothing forks, and
//! what stands in the queue is ordered in the end.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use tests::sim::plan::{Sight, View};
use tests::sim::{Plan, Report, run};

const BEGIN: Duration = Duration::from_secs(3);
const LENGTH: Duration = Duration::from_secs(4);
/// Without trouble the reference moves every third of a second; with it, it stands still for about [`LENGTH`].
const STANDS_STILL_MS: std::ops::Range<u64> = 3_500..6_000;
const MOVES_MS: u64 = 1_500;

/// Four honest nodes on a good network, in which nothing else goes wrong.
fn quiet() -> Plan {
    Plan {
        liars: Vec::new(),
        twins: Vec::new(),
        loss_per_mille: 0,
        duplicates_per_mille: 0,
        delay: (Duration::from_millis(1), Duration::from_millis(5)),
        slow_links: Vec::new(),
        crashes: Vec::new(),
        cuts: Vec::new(),
        clocks: Vec::new(),
        stalls: Vec::new(),
        short_window: false,
        rotates: false,
        ..Plan::from_seed(1, Some(4))
    }
}

fn with(nodes: &[usize], (at, length): (Duration, Duration), sight: Sight) -> Report {
    let view = View { nodes: nodes.iter().copied().collect(), at, length, sight };
    run(&Plan { views: vec![view], ..quiet() }, None)
}

/// All promises hold, the forced entries are ordered, and the reference has come to where L1 is.
fn assert_fine(report: &Report) {
    assert_eq!(report.violations, []);
    assert!(report.transactions > 20 && report.blocks > 50, "{report:?}");
    assert!(report.l1_reference.0 > 55, "{report:?}");
}

fn assert_stood_still(report: &Report) {
    assert_fine(report);
    assert!(STANDS_STILL_MS.contains(&report.l1_reference.1), "{:?}", report.l1_reference);
}

fn assert_moved(report: &Report) {
    assert_fine(report);
    assert!(report.l1_reference.1 < MOVES_MS, "{:?}", report.l1_reference);
}

#[test]
fn without_trouble_the_reference_moves() {
    assert_moved(&run(&quiet(), None));
}

#[test]
fn while_l1_is_down_ordering_goes_on_and_the_reference_stands_still() {
    assert_stood_still(&run(&Plan { outages: vec![(BEGIN, LENGTH)], ..quiet() }, None));
}

#[test]
fn of_two_views_neither_has_a_quorum() {
    assert_stood_still(&with(&[2, 3], (BEGIN, LENGTH), Sight::OtherFork));
}

#[test]
fn one_endpoint_that_lies_or_is_dead_for_ever_holds_up_nobody() {
    let for_ever = (Duration::ZERO, Duration::from_secs(3_600));
    assert_moved(&with(&[3], for_ever, Sight::OtherFork));
    assert_moved(&with(&[3], for_ever, Sight::Nothing));
}

#[test]
fn with_more_than_f_dead_endpoints_the_reference_waits_for_them() {
    assert_stood_still(&with(&[1, 2], (BEGIN, LENGTH), Sight::Nothing));
}
