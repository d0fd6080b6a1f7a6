//! Every row of `docs/errors.md` that has an id is provoked against real processes, and what the document quotes must be
//! seen. In the end the network that took all this still orders, confirms and posts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod batcher_cases;
mod client_cases;
mod document;
mod hostile_cases;
mod node_cases;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;
mod testnet_cases;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use document::Row;
use support::{Network, call, until};
use world::World;

type Case = fn(&World) -> String;

/// Cases that run at once.
const WORKERS: usize = 4;
/// What was sent at the end is confirmed and posted within this time.
const AFTERMATH: Duration = Duration::from_secs(60);
/// Resident memory of a process after all of it, MB. Untouched, a batcher holds about 130 (tables for proofs), a node 40.
const MOST_RESIDENT_MB: f64 = 300.0;

/// Those that need no network come first, while it comes up.
const CASES: &[(&str, Case)] = &[
    ("E-CLI-USAGE", node_cases::usage),
    ("E-CONFIG-MISSING", node_cases::config_missing),
    ("E-CONFIG-SYNTAX", node_cases::config_syntax),
    ("E-CONFIG-UNKNOWN-KEY", node_cases::config_unknown_key),
    ("E-CONFIG-VALUE", node_cases::config_value),
    ("E-CONFIG-ENVIRONMENT", node_cases::config_environment),
    ("E-GENESIS-MISSING", node_cases::genesis_missing),
    ("E-GENESIS-BAD", node_cases::genesis_bad),
    ("E-GENESIS-COMMITTEE", node_cases::genesis_too_small),
    ("E-GENESIS-MISMATCH", node_cases::genesis_mismatch),
    ("E-INIT-TWICE", node_cases::init_twice),
    ("E-KEY-MISSING", node_cases::key_missing),
    ("E-KEY-READABLE", node_cases::key_readable),
    ("E-KEY-DAMAGED", node_cases::key_damaged),
    ("E-KEY-OF-NOBODY", node_cases::key_of_nobody),
    ("E-PASSWORD-WRONG", node_cases::password_wrong),
    ("E-PASSWORD-READABLE", node_cases::password_readable),
    ("E-PASSWORD-EMPTY", node_cases::password_empty),
    ("E-PASSWORD-NOWHERE", node_cases::password_nowhere),
    ("E-STORE-MISSING", node_cases::store_missing),
    ("E-STORE-NO-WAL", node_cases::wal_missing),
    ("E-STORE-BAD-WAL", node_cases::wal_damaged),
    ("E-STORE-DAMAGED", node_cases::segment_damaged),
    ("E-STORE-OTHER", node_cases::store_of_another),
    ("E-STORE-LOCKED", node_cases::store_locked),
    ("E-EVIDENCE-NONE", node_cases::evidence_of_nothing),
    ("E-PORT-BUSY", node_cases::port_busy),
    ("E-L1-DEAD", node_cases::l1_dead),
    ("E-L1-NO-CERTIFICATES", node_cases::l1_without_certificates),
    ("E-L1-OTHER-CHAIN", node_cases::l1_of_another_chain),
    ("E-TX-ROLLUP-SIZE", client_cases::tx_over_rollup_size),
    ("E-TX-QUOTA", client_cases::tx_over_quota),
    ("E-TX-FULL", client_cases::tx_buffers_full),
    ("E-RPC-CROWDED", hostile_cases::rpc_crowded),
    ("E-WIRE-CROWDED", hostile_cases::wire_crowded),
    ("E-DEV-L1-PORT-BUSY", testnet_cases::l1_port_busy),
    ("E-TESTNET-USAGE", testnet_cases::usage),
    ("E-TESTNET-NOTHING-THERE", testnet_cases::nothing_there),
    ("E-TESTNET-PORT-BASE", testnet_cases::port_base),
    ("E-TESTNET-FOLDER", testnet_cases::folder_of_somebody),
    ("E-TESTNET-PLAN", testnet_cases::bad_plan),
    ("E-TESTNET-NOTHING-RUNS", testnet_cases::nothing_runs),
    ("E-TESTNET-RUNS", testnet_cases::runs_already),
    ("E-TESTNET-PORT-BUSY", testnet_cases::port_busy),
    ("E-TESTNET-NO-NAME", testnet_cases::not_a_name),
    ("E-TESTNET-NO-NODE", testnet_cases::no_such_node),
    ("E-TX-MALFORMED", client_cases::tx_malformed),
    ("E-TX-SIZE", client_cases::tx_oversized),
    ("E-TX-CHAIN", client_cases::tx_wrong_chain),
    ("E-TX-SIGNATURE", client_cases::tx_bad_signature),
    ("E-TX-ROLLUP", client_cases::tx_unknown_rollup),
    ("E-TX-DUPLICATE", client_cases::tx_duplicate),
    ("E-RPC-NOT-JSON", client_cases::rpc_not_json),
    ("E-RPC-NOT-HEX", client_cases::rpc_not_hex),
    ("E-RPC-PARAMETERS", client_cases::rpc_bad_parameters),
    ("E-RPC-METHOD", client_cases::rpc_unknown_method),
    ("E-RPC-CHAIN", client_cases::rpc_unknown_chain),
    ("E-RPC-EXECUTION", client_cases::rpc_execution),
    ("E-RPC-PATH", client_cases::rpc_unknown_path),
    ("E-RPC-NOT-FOUND", client_cases::rpc_not_found),
    ("E-RPC-TOO-LARGE", client_cases::rpc_too_large),
    ("E-RPC-BATCH", client_cases::rpc_too_many_in_a_batch),
    ("E-WIRE-VERSION", client_cases::wire_version),
    ("E-WIRE-NETWORK", client_cases::wire_other_network),
    ("E-WIRE-CLIENT", client_cases::client_other_network),
    ("E-WIRE-CURSOR", client_cases::wire_cursor),
    ("E-WIRE-MALFORMED", client_cases::wire_malformed),
    ("E-WIRE-TOO-LONG", client_cases::wire_too_long),
    ("E-WIRE-HALF-OPEN", client_cases::wire_half_open),
    ("E-WIRE-SECOND", client_cases::wire_second_session),
    ("E-BATCHER-USAGE", batcher_cases::usage),
    ("E-BATCHER-UNKNOWN-KEY", batcher_cases::unknown_key),
    ("E-BATCHER-ENVIRONMENT", batcher_cases::unknown_variable),
    ("E-BATCHER-VALUE", batcher_cases::bad_value),
    ("E-BATCHER-URL", batcher_cases::bad_url),
    ("E-BATCHER-NO-CERTIFICATES", batcher_cases::no_certificates),
    ("E-BATCHER-NOT-SET", batcher_cases::missing_value),
    ("E-BATCHER-ROTATION", batcher_cases::bad_rotation),
    ("E-BATCHER-PASSWORD", batcher_cases::wrong_password),
    ("E-BATCHER-READABLE", batcher_cases::readable_key),
    ("E-BATCHER-KEY", batcher_cases::damaged_key),
    ("E-BATCHER-PORT-BUSY", batcher_cases::busy_port),
    ("E-BATCHER-L1-DEAD", batcher_cases::dead_l1),
    ("E-BATCHER-L1-CHAIN", batcher_cases::l1_of_another_chain),
    ("E-BATCHER-NODES", batcher_cases::dead_nodes),
    ("E-BYTES-P2P", hostile_cases::bytes_p2p),
    ("E-BYTES-INGRESS", hostile_cases::bytes_ingress),
    ("E-BYTES-RPC", hostile_cases::bytes_rpc),
    ("E-BYTES-METRICS", hostile_cases::bytes_metrics),
    ("E-BYTES-BATCHER", hostile_cases::bytes_batcher),
    ("E-BYTES-L1", hostile_cases::bytes_l1),
    ("E-OPEN-P2P", hostile_cases::open_p2p),
    ("E-OPEN-INGRESS", hostile_cases::open_ingress),
    ("E-OPEN-RPC", hostile_cases::open_rpc),
    ("E-OPEN-METRICS", hostile_cases::open_metrics),
    ("E-OPEN-BATCHER", hostile_cases::open_batcher),
    ("E-OPEN-L1", hostile_cases::open_l1),
];

fn documented() -> Vec<Row> {
    document::rows(include_str!("../../../docs/errors.md"))
}

#[test]
fn every_row_has_a_case_and_every_case_a_row() {
    let mut rows: Vec<String> = documented().into_iter().map(|row| row.id).collect();
    let mut cases: Vec<String> = CASES.iter().map(|(id, _)| (*id).to_owned()).collect();
    rows.sort();
    cases.sort();
    assert_eq!(rows, cases);
    rows.dedup();
    assert_eq!(rows, cases, "an id is used twice");
}

/// The document for operators names every key that `init` writes, also those that stand there commented out.
#[test]
fn the_operators_document_lists_every_key() {
    let document = include_str!("../../../docs/operations.md");
    let config = world::Folders::new(1).read(1);
    let (mut section, mut keys) = (String::new(), 0);
    for line in config.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !key.contains(' ')
        {
            keys += 1;
            assert!(document.contains(&format!("| `{section}{key}` |")), "{section}{key} is not documented");
        }
    }
    assert!(keys >= 14, "only {keys} keys found in {config}");
}

#[test]
fn every_error_is_as_documented_and_the_network_survives_all_of_them() {
    let world = World::default();
    let rows: BTreeMap<String, Row> = documented().into_iter().map(|row| (row.id.clone(), row)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| world.live());
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((id, case)) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = std::time::Instant::now();
                    if let Err(failure) = provoke(&world, &rows[*id], *case) {
                        failures.lock().unwrap().push(failure);
                    }
                    println!("{id}: {:.1} s", began.elapsed().as_secs_f64());
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} rows:\n\n{}", failures.len(), CASES.len(), failures.join("\n\n"));
    survives(world.into_live());
}

fn provoke(world: &World, row: &Row, case: Case) -> Result<(), String> {
    let id = &row.id;
    // A case that gives up must not end the other ones; the panic itself is printed where it happens.
    let seen = catch_unwind(AssertUnwindSafe(|| case(world)))
        .map_err(|panic| format!("{id}: {:?}", panic.downcast_ref::<String>()))?;
    let missing: Vec<&String> = row.sees.iter().filter(|quoted| !document::is_in(quoted, &seen)).collect();
    if seen.contains("panicked at") {
        return Err(format!("{id}: a panic:\n{seen}"));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("{id}: {missing:?} not in:\n{seen}")) }
}

fn status(network: &Network) -> Value {
    let said = network.command(&["status", "--json"]);
    serde_json::from_str(said.lines().next().unwrap()).unwrap_or_else(|error| panic!("{said}: {error}"))
}

/// What every node is sent now is ordered, confirmed and posted; nobody died, restarted or grew.
fn survives(network: Network) {
    let before = status(&network);
    assert_eq!(before["alarms"], json!([]), "a process ended by itself: {}", network.said());
    for node in 1..=4_u16 {
        let data = client_cases::signed(900_001, 1_000 + u64::from(node));
        let at = network.node_rpc(node);
        let sent = call(at, "/rollup/900001", "eth_sendRawTransaction", &json!([client_cases::hex(&data)]));
        assert!(sent["result"].is_string(), "node {node}: {sent}");
        until("a confirmed proof", AFTERMATH, || {
            let proof = call(at, "/", "seq_proof", &json!([1, {"hash": sent["result"]}]));
            proof["result"]["confirmation"].is_object().then_some(())
        });
    }
    let after = until("another batch on L1", AFTERMATH, || {
        let now = status(&network);
        (now["l1"]["batches"].as_u64() > before["l1"]["batches"].as_u64()).then_some(now)
    });
    assert_eq!(after["alarms"], json!([]), "a process ended by itself: {}", network.said());
    for kind in ["nodes", "batchers"] {
        for (was, is) in before[kind].as_array().unwrap().iter().zip(after[kind].as_array().unwrap()) {
            assert_eq!(was["process"], is["process"]);
            let resident = is["rss_mb"].as_f64().unwrap();
            assert!(resident < MOST_RESIDENT_MB, "{} holds {resident} MB", is["role"]);
            println!("{} holds {resident:.0} MB", is["role"]);
        }
    }
    for log in std::fs::read_dir(network.data().join("logs")).unwrap() {
        let log = log.unwrap().path();
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(!text.contains("panicked at"), "{}: {text}", log.display());
    }
    let down = network.command(&["down"]);
    assert!(down.contains("none is left") && down.ends_with("exit 0"), "{down}");
    let end = network.transcript(AFTERMATH);
    assert!(end.ends_with("exit 0"), "{end}");
}
