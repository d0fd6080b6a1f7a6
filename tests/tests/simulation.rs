//! The simulator's own promises, and a few seeds under `cargo test`.
#![allow(clippy::unwrap_used, missing_docs)]

use tests::sim::{Plan, run};

#[test]
fn the_same_seed_twice_gives_the_same_events() {
    let plan = Plan::from_seed(7, Some(4));
    let (first, second) = (run(&plan, None), run(&plan, None));
    assert_eq!(first.event_hash, second.event_hash);
    assert!(first.events > 1_000, "a run of {} events tests nothing", first.events);
    let other = run(&Plan::from_seed(8, Some(4)), None);
    assert_ne!(first.event_hash, other.event_hash);
}

#[test]
fn promises_hold_under_loss_crashes_and_partitions() {
    let mut crashes = 0;
    for seed in 0..6 {
        let report = run(&Plan::from_seed(seed, None), None);
        assert!(report.violations.is_empty(), "seed {seed}: {:?}", report.violations);
        assert!(report.transactions > 0 && report.batches > 0, "seed {seed} did nothing: {report:?}");
        crashes += report.crashes;
    }
    assert!(crashes > 0, "no seed of these crashes anybody");
}
