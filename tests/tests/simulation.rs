//! The simulator's own promises, and a few seeds under `cargo test`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use tests::sim::campaign::{Totals, campaign};
use tests::sim::scale::{Setup, measure};
use tests::sim::{Plan, Planted, run};

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
fn promises_hold_under_faults_and_liars() {
    let mut totals = Totals::default();
    campaign(&mut totals, 16, 2, |seed| Plan::from_seed(seed, None), |_, _| true);
    assert_eq!(totals.failures, []);
    assert!(totals.transactions > 100 && totals.batches > 10, "nothing happened: {totals:?}");
    let kinds = [
        "crash",
        "message lost",
        "partition",
        "liar",
        "clock set wrong",
        "clock stepped forward",
        "clock stepped back",
        "failed sync",
        "torn record: cut",
        "torn record: sectors missing",
        "torn record: bits flipped",
    ];
    for kind in kinds {
        assert!(totals.faults.of(kind) > 0, "no {kind} in {totals:?}");
    }
}

#[test]
fn real_signatures_keep_the_same_promises() {
    let real = Plan { real_signatures: true, ..Plan::from_seed(3, Some(4)) };
    let fast = Plan { real_signatures: false, ..real.clone() };
    for plan in [real, fast] {
        let report = run(&plan, None);
        assert_eq!(report.violations, []);
        assert!(report.transactions > 0 && report.batches > 0, "{report:?}");
    }
}

#[test]
fn a_stopped_campaign_goes_on_to_the_same_end() {
    let plan = |seed| Plan::from_seed(seed, Some(4));
    let mut whole = Totals::default();
    campaign(&mut whole, 4, 1, plan, |_, _| true);
    let mut halves = Totals::default();
    campaign(&mut halves, 4, 1, plan, |totals, _| totals.seeds < 2);
    assert_eq!(halves.seeds, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    assert_eq!(Totals::load(&path), Ok(None));
    halves.save(&path).unwrap();
    let mut halves = Totals::load(&path).unwrap().unwrap();
    campaign(&mut halves, 4, 2, plan, |_, _| true);
    (whole.cpu_ms, halves.cpu_ms) = (0, 0);
    assert_eq!(whole, halves);
}

/// The tests are tested: each rule that is taken out must be missed.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "some hundred runs: minutes with `--release`, as `sim --planted all` in .ci/run"
)]
fn every_planted_bug_is_found() {
    let missed: Vec<&str> = Planted::all()
        .into_iter()
        .filter(|(_, bug)| bug.hunt(None, 2).is_none())
        .map(|(name, _)| name)
        .collect();
    assert!(missed.is_empty(), "nothing broke without these rules: {missed:?}");
}

/// Latency over slow links is a few of their delays, and what is counted adds up. Of the hops, chunk and report are two, a height of three
/// steps to the slowest of a quorum three and a half, and half a height is waited for the next proposal.
#[test]
fn honest_networks_order_within_eight_hops() {
    for nodes in [4, 10] {
        let setup = Setup { seconds: 10, ..Setup::new(nodes) };
        let mut last = 0.0;
        let figures = measure(setup, |done| {
            assert!(done > last && done <= 1.0);
            last = done;
        });
        // Chunk, report, proposal and two votes are the least; with luck the nearest quorum is faster than the mean.
        assert!((3.0..=8.0).contains(&figures.hops), "{nodes} nodes: {figures:?}");
        assert!(figures.p50_ms <= figures.p99_ms && (25.0..150.0).contains(&figures.mean_link_ms));
        let expected = nodes as f64 * f64::from(setup.rate) * 10.0;
        assert!((figures.transactions as f64 - expected).abs() < expected / 4.0, "{figures:?}");
        assert!((figures.blocks_per_second * 10.0 - figures.blocks as f64).abs() < 1e-6);
        let sum = |of: fn(&tests::sim::scale::Traffic) -> f64| figures.sent.values().map(of).sum::<f64>();
        assert!((sum(|t| t.messages) - figures.total.messages).abs() < 1e-6);
        assert!((sum(|t| t.bytes) - figures.total.bytes).abs() < 1e-3);
        // Two votes to every peer, and each block's proposal by one of n to all others; over the slowest links some ask for it again.
        let peers = nodes as f64 - 1.0;
        assert!((figures.sent["votes"].messages / (2.0 * peers) - 1.0).abs() < 0.2, "{figures:?}");
        let proposals = figures.sent["proposals"].messages / (peers / nodes as f64);
        assert!((0.9..2.5).contains(&proposals), "{figures:?}");
        let bytes = figures.sent["chunks"].bytes * figures.blocks as f64 * nodes as f64;
        assert!(bytes > figures.transactions as f64 * peers * 200.0, "each transaction goes to every peer");
        assert_eq!(measure(setup, |_| ()).sent, figures.sent, "the same seed gives the same");
        assert!(figures.cpu_ms > 0.0);
    }
}
