//! Whole networks of cores on a virtual clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "network/mod.rs"]
mod network;

use std::time::Duration;

use network::{EVM, Link, Network, OPAQUE};

const SECOND: Duration = Duration::from_secs(1);

fn load(network: &mut Network, count: usize, gap: Duration) {
    for i in 0..count {
        let node = i % network.nodes.len();
        let rollup = if i % 3 == 0 { EVM } else { OPAQUE };
        if network.nodes[node].core.is_some() {
            network.submit(node, rollup, format!("transaction {i} of seed and more").into_bytes());
        }
        network.run(gap);
    }
}

#[test]
fn everything_submitted_is_ordered_identically() {
    for nodes in [4, 5, 7] {
        let mut network = Network::new(nodes, 1, Link::GOOD);
        load(&mut network, 200, Duration::from_millis(1));
        network.wait(2 * SECOND, "everything ordered", Network::all_ordered);
        network.check();
        assert_eq!(network.ordered(0).len(), 200);
    }
}
