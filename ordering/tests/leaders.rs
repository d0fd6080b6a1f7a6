//! Who leads in whole networks of cores on a virtual clock, and what a leader that is dead or unfair costs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code)] // Shared with the other tests of whole networks, each of which uses another part.
#[path = "network/mod.rs"]
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use network::{EVM, Link, Network, OPAQUE, id, spec};
use ordering_types::chain_spec::Limits;
use ordering_types::{Height, Time, TxId};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn applied(network: &Network, node: usize) -> u64 {
    network.core(node).applied_height().get()
}

/// Of a network without load, heights follow each other quickly.
fn quick(nodes: usize, seed: u64) -> Network {
    let limits = Limits { idle_block_interval_ms: 10, ..Limits::default() };
    Network::with(spec(nodes, limits), seed, Link::GOOD, false)
}

/// Rounds that failed between two heights.
fn failed_rounds(network: &Network, node: usize, heights: std::ops::Range<u64>) -> u32 {
    let of = |h: Height| heights.contains(&h.get());
    let decided = network.nodes[node].disk.decided().filter(|d| of(d.block.header.height));
    decided.map(|d| d.certificate.round.get()).sum()
}

#[test]
fn dead_leaders_cost_a_few_rounds_in_a_thousand_heights() {
    for (nodes, dead, most) in [(4, vec![2], 2), (7, vec![5], 2), (7, vec![1, 4], 4)] {
        let mut network = quick(nodes, 31);
        network.run(SECOND);
        dead.iter().for_each(|node| network.kill(*node));
        let from = applied(&network, 0);
        network.wait(60 * SECOND, "a thousand heights", |n| applied(n, 0) >= from + 1_000);
        let failed = failed_rounds(&network, 0, from..from + 1_000);
        // The height that was open when they died may have failed a round more.
        assert!((1..=most + 1).contains(&failed), "{failed} rounds failed with {dead:?} of {nodes} dead");
        network.check();
    }
}

/// How long a transaction that comes at any time waits for the end of a block, on average.
fn mean_wait(blocks: &[Time]) -> f64 {
    let gaps: Vec<f64> = blocks.windows(2).map(|w| w[1].since(w[0]).as_secs_f64()).collect();
    gaps.iter().map(|gap| gap * gap / 2.0).sum::<f64>() / gaps.iter().sum::<f64>()
}

#[test]
fn a_dead_leader_of_four_costs_little_at_first_and_hardly_anything_later() {
    let mut network = Network::new(4, 32, Link::GOOD);
    let load = |network: &mut Network, name: u32, count: u32| {
        for i in 0..count {
            network.submit(0, EVM, [name.to_be_bytes(), i.to_be_bytes()].concat());
            network.run(5 * MILLISECOND);
        }
    };
    load(&mut network, 1, 1_000);
    let healthy = network.nodes[0].decided_at.len();
    network.kill(2);
    load(&mut network, 2, 6_000);
    let times: Vec<Time> = network.nodes[0].decided_at.iter().map(|(at, _)| *at).collect();
    let (before, after) = times.split_at(healthy);
    let longest = after.windows(2).map(|w| w[1].since(w[0])).max().unwrap();
    assert!(longest < SECOND, "a pause of {longest:?}");
    let extra = mean_wait(after) - mean_wait(before);
    assert!(extra < 0.05, "{extra} s more on average");
    network.check();
}

/// Where nothing is decided, everybody is told what everybody holds. Whoever knew enough by that began the height and spoke no more, and
/// sometimes one of the three did not: it began 400 ms later, by the others' votes, and all waited for it.
#[test]
fn all_begin_a_height_at_once_whose_leader_is_dead() {
    for seed in 0..24 {
        let mut network = Network::new(4, 300 + seed, Link::GOOD);
        let load = |network: &mut Network, name: u64, count: u64| {
            for i in 0..count {
                let node = [0, 1, 3][(i % 3) as usize];
                network.submit(node, EVM, [name.to_be_bytes(), i.to_be_bytes()].concat());
                network.run((5 + i * (7 + name) % 53) as u32 * MILLISECOND);
            }
        };
        load(&mut network, 1, 20 + seed);
        network.kill(2);
        let killed = network.now;
        load(&mut network, seed + 2, 40);
        let times: Vec<Time> = network.nodes[0].decided_at.iter().map(|(at, _)| *at).collect();
        let longest = times.windows(2).filter(|w| w[1] > killed).map(|w| w[1].since(w[0])).max().unwrap();
        assert!(longest < 520 * MILLISECOND, "seed {seed}: a pause of {longest:?}");
        network.check();
    }
}

#[test]
fn one_that_returns_leads_again() {
    let mut network = quick(4, 33);
    network.run(SECOND);
    network.kill(3);
    let from = applied(&network, 0);
    network.wait(20 * SECOND, "its failure is known", |n| failed_rounds(n, 0, from..u64::MAX) > 0);
    network.start(3);
    let back = applied(&network, 0);
    network.wait(60 * SECOND, "its time is over", |n| applied(n, 0) >= back + 270);
    network.wait(2 * SECOND, "it leads", |n| n.core(0).proposer() == id(3));
    let now = applied(&network, 0);
    network.run(SECOND);
    assert_eq!(failed_rounds(&network, 0, now..u64::MAX), 0, "and well");
    network.check();
}

/// Every node names the same leader of every height, whether it voted all along, restarted or came late.
#[test]
fn a_restarted_or_late_node_names_the_same_leader() {
    let mut network = quick(7, 34);
    network.run(SECOND);
    network.kill(6);
    network.wait(20 * SECOND, "its failure is known", |n| failed_rounds(n, 0, 1..u64::MAX) > 0);
    for round in 0..6 {
        let victim = round % 5;
        network.kill(victim);
        network.run(40 * MILLISECOND);
        network.start(victim);
        // Those that stand at the same height agree; soon all do.
        network.wait(5 * SECOND, "all at one height", |n| {
            let heights: Vec<_> = (0..6).map(|i| (n.core(i).height(), n.core(i).round())).collect();
            heights.iter().all(|h| *h == heights[0])
        });
        let leaders: Vec<_> = (0..6).map(|i| network.core(i).proposer()).collect();
        assert!(leaders.iter().all(|l| *l == leaders[0]), "{leaders:?}");
        assert_ne!(leaders[0], id(6), "the dead one is skipped");
    }
    network.check();
}

/// The height at which a node ordered each transaction.
fn heights(network: &Network, node: usize) -> BTreeMap<TxId, u64> {
    let blocks = network.nodes[node].disk.decided();
    blocks
        .flat_map(|d| {
            let height = d.block.header.height.get();
            d.block.sections.iter().flat_map(|s| s.leaves()).map(move |id| (id, height)).collect::<Vec<_>>()
        })
        .collect()
}

/// Leaders that leave out a lane delay it by their own blocks and no more: whoever leads next takes it in.
#[test]
fn a_lane_that_leaders_leave_out_is_ordered_by_the_next() {
    for (nodes, censors, most) in [(4, vec![1], 2), (7, vec![2, 5], 2), (7, vec![2, 3], 3)] {
        let mut network = Network::new(nodes, 35, Link::GOOD);
        (network.censors, network.censored) = (censors.clone(), id(0));
        network.run(SECOND);
        let mut submitted: Vec<(TxId, u64)> = Vec::new();
        for i in 0..400_u32 {
            // The others' load keeps every leader busy.
            network.submit(nodes - 1, EVM, [b"other", &i.to_be_bytes()[..]].concat());
            let open = applied(&network, 0) + 1;
            submitted.push((network.submit(0, EVM, i.to_be_bytes().to_vec()), open));
            network.run(10 * MILLISECOND);
        }
        network.wait(5 * SECOND, "everything ordered", Network::all_ordered);
        let ordered = heights(&network, 0);
        let late = submitted.iter().map(|(id, open)| ordered[id] - open).max().unwrap();
        // Spreading the chunk may already take the rest of the open height.
        assert!(late <= most, "{late} blocks late with {censors:?} of {nodes}");
        let spare = |d: &&std::sync::Arc<ordering::api::Decided>| {
            let leader = (d.block.header.height.get() + u64::from(d.certificate.round.get())) % nodes as u64;
            censors.contains(&usize::try_from(leader).unwrap())
        };
        let led: Vec<_> = network.nodes[0].disk.decided().filter(spare).collect();
        assert!(led.len() > 20, "censors led only {} heights", led.len());
        assert!(led.iter().all(|d| d.cut.tips.iter().all(|tip| tip.lane.validator != id(0))), "they censor");
        network.check();
    }
}

/// One rollup sends ten times what a block may hold of it, through the node that another uses as well.
#[test]
fn a_rollup_over_its_quota_does_not_delay_another() {
    let late = |flood: u32| {
        let limits = Limits { blob_bytes_per_block: 4_000, blob_bytes_per_batch: 8_000, ..Limits::default() };
        let mut network = Network::with(spec(4, limits), 36, Link::GOOD, false);
        network.run(SECOND);
        let mut submitted = Vec::new();
        for i in 0..200_u32 {
            for j in 0..flood {
                network.submit(0, EVM, [i.to_be_bytes(), j.to_be_bytes()].concat().repeat(50));
            }
            let start = network.now;
            submitted.push((network.submit(0, OPAQUE, i.to_be_bytes().to_vec()), start));
            network.run(10 * MILLISECOND);
        }
        network.run(SECOND);
        network.check();
        // Under the flood's last block there is more of the flood, but all of the other rollup is ordered.
        let (ordered, times) = (heights(&network, 0), &network.nodes[0].decided_at);
        let at = |id: &TxId| times[usize::try_from(ordered[id]).unwrap() - 1].0;
        let mut waits: Vec<Duration> = submitted.iter().map(|(id, start)| at(id).since(*start)).collect();
        waits.sort_unstable();
        waits[waits.len() * 99 / 100]
    };
    // Ten transactions of 408 bytes are a block's fill; 33 of them come in the time of a block.
    let (alone, flooded) = (late(0), late(33));
    assert!(flooded <= alone + alone / 5, "99 % wait {alone:?} alone, {flooded:?} beside a flood");
}

/// Far apart, honest leaders are not suspected: the timeouts leave a proposal the time that it needs.
#[test]
fn no_round_fails_over_slow_links() {
    let far = Link { delay: 140 * MILLISECOND, jitter: 20 * MILLISECOND, ..Link::GOOD };
    for nodes in [4, 7] {
        let mut network = Network::new(nodes, 37, far);
        network.run(3 * SECOND);
        for i in 0..500_u32 {
            let node = usize::try_from(i).unwrap() % nodes;
            network.submit(node, OPAQUE, i.to_be_bytes().to_vec());
            network.run(40 * MILLISECOND);
        }
        network.wait(3 * SECOND, "everything ordered", Network::all_ordered);
        assert!(applied(&network, 0) > 20);
        assert_eq!(failed_rounds(&network, 0, 0..u64::MAX), 0, "{nodes} nodes");
        network.check();
    }
}
