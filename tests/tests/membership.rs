//! Validators that come and go, on a whole network of real processes: four found it, a fifth joins on L1, one dies and leaves, and the
//! committee is whoever is left. `testnet` measures and judges from clients' receipts, nodes and L1 alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use support::{Network, until};

/// Who says nothing at the beginning of an epoch is not drawn for the next: node 2 misses one, whenever epochs begin. The epoch after is over
/// before the load is.
const TIMETABLE: &str = "kill node 2 at 3s, restart node 2 at 25s";
const EPOCH: &str = "10s";
const DURATION: &str = "60s";
/// Until the committee that is in office on L1 is one without node 2, and node 2 is back: it names its members.
const RELIEVED_WITHIN: Duration = Duration::from_secs(58);
/// Bringing up, the load, draining to L1 and judging, by debug builds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// What holds on a machine of any speed.
const PROMISES: [&str; 9] = [
    "95 % of the offered load",
    "exactly once",
    "order differently",
    "contiguous",
    "derived from L1",
    "ended by itself",
    "hands over on L1",
    "to another key",
    "committees are validators of the registry",
];
/// What debug builds on a busy machine may miss.
const OPTIMISED: &str = "never pauses";

fn assert_held(summary: &Value, promise: &str) {
    let checks = summary["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["promise"].as_str().unwrap().contains(promise));
    let check = check.unwrap_or_else(|| panic!("nothing judges {promise:?}: {checks:#?}"));
    assert_eq!(check["held"], true, "{check}");
}

/// The operator takes the step after leaving again and again, until it can be taken: L1 has only a hash of the committee in office, which is none that the
/// genesis file names.
fn relieve(network: &Network, node: &str) {
    let first = network.as_owner(node, &["leave", "--withdraw"]);
    assert!(first.contains("still in the committee") && !first.ends_with("exit 0"), "{first}");
    let told = until("a committee without it", RELIEVED_WITHIN, || {
        let told = network.as_owner(node, &["leave", "--withdraw"]);
        let waits = told.contains("still in the committee") || told.contains("did not name its members");
        (!waits).then_some(told)
    });
    assert!(told.contains("unbonding") && told.ends_with("exit 0"), "{told}");
}

#[test]
fn who_joined_takes_the_place_of_a_dead_validator_and_nothing_is_lost() {
    let mut network = Network::start(&[
        "--registered",
        "5",
        "--committee",
        "4",
        "--epoch",
        EPOCH,
        "--for",
        DURATION,
        "--chaos",
        TIMETABLE,
        "--json",
    ]);
    network.up();
    let unknown = network.command(&["leave", "9"]);
    assert!(unknown.contains("no node 9") && unknown.ends_with("exit 1"), "{unknown}");
    let left = network.command(&["leave", "2"]);
    assert!(left.contains("4 validators stay") && left.ends_with("exit 0"), "{left}");
    let again = network.command(&["leave", "2"]);
    assert!(again.contains("has left before") && again.ends_with("exit 1"), "{again}");
    let last = network.command(&["leave", "3"]);
    assert!(last.contains("would stay for ever") && last.ends_with("exit 1"), "{last}");

    relieve(&network, "node-2");

    let transcript = network.transcript(PATIENCE);
    let line = transcript.lines().find(|line| line.starts_with('{'));
    let summary: Value =
        serde_json::from_str(line.unwrap_or_else(|| panic!("no summary: {transcript}"))).unwrap();
    println!("{summary}");
    PROMISES.iter().for_each(|promise| assert_held(&summary, promise));
    if !cfg!(debug_assertions) {
        assert_held(&summary, OPTIMISED);
    }
    let committees: BTreeMap<u64, BTreeSet<u16>> =
        serde_json::from_value(summary["committees"].clone()).unwrap();
    let newest = committees.values().next_back().unwrap();
    assert_eq!(*newest, BTreeSet::from([1, 3, 4, 5]), "{committees:?}");
    // It runs again and follows, although it has left.
    let back = summary["chaos"].as_array().unwrap().iter();
    let back = back.filter(|outcome| outcome["what"].as_str().unwrap().contains("node-2 voting again"));
    assert!(back.into_iter().all(|outcome| !outcome["measured"].is_null()), "{summary}");
}
