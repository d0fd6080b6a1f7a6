//! Whole networks of cores on a virtual clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code)] // Shared with the other tests of whole networks, each of which uses another part.
#[path = "network/mod.rs"]
mod network;

use std::collections::BTreeSet;
use std::time::Duration;

use network::{EVM, Forger, Link, Network, OPAQUE, id, spec};
use ordering::Backlog;
use ordering::api::Record;
use ordering_types::chain_spec::Limits;
use ordering_types::{Chunk, Digest, Height, Incarnation, LaneId, LaneSequence, Time, Transaction, TxId};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Submits to every running node in turn.
fn load(network: &mut Network, name: &str, count: usize, gap: Duration) {
    for i in 0..count {
        let node = i % network.nodes.len();
        let rollup = if i % 3 == 0 { EVM } else { OPAQUE };
        if network.nodes[node].core.is_some() {
            network.submit(node, rollup, format!("{name} {i}: some bytes of a transaction").into_bytes());
        }
        network.run(gap);
    }
}

fn applied(network: &Network, node: usize) -> u64 {
    network.core(node).applied_height().get()
}

#[test]
fn everything_submitted_is_ordered_identically() {
    for nodes in [4, 5, 6, 7] {
        let mut network = Network::new(nodes, 1, Link::GOOD);
        load(&mut network, "a", 200, MILLISECOND);
        network.wait(2 * SECOND, "everything ordered", Network::all_ordered);
        network.check();
        assert_eq!(network.ordered(0).len(), 200);
    }
}

#[test]
fn loss_duplication_and_reordering_delay_but_lose_nothing() {
    for (nodes, seed) in [(4, 1), (4, 2), (5, 3), (7, 4)] {
        let mut network = Network::new(nodes, seed, Link::BAD);
        load(&mut network, "a", 100, 10 * MILLISECOND);
        network.wait(20 * SECOND, "everything ordered", Network::all_ordered);
        network.check();
    }
}

#[test]
fn the_same_seed_gives_the_same_decisions_at_the_same_times() {
    let run = |seed| {
        let mut network = Network::new(4, seed, Link::BAD);
        load(&mut network, "a", 30, 10 * MILLISECOND);
        network.run(2 * SECOND);
        network.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_dead_leader_pauses_ordering_for_less_than_a_second() {
    let mut network = Network::new(4, 5, Link::GOOD);
    load(&mut network, "before", 100, 5 * MILLISECOND);
    network.kill(2);
    load(&mut network, "after", 1_000, 5 * MILLISECOND);
    let times: Vec<Time> = network.nodes[0].decided_at.iter().map(|(at, _)| *at).collect();
    let longest = times.windows(2).map(|w| w[1].since(w[0])).max().unwrap();
    assert!(longest < SECOND, "a pause of {longest:?}");
    network.check();
}

/// From the submission at one node to the decision at the same node, about 2,000 a second.
#[test]
fn transactions_are_ordered_well_within_a_tenth_of_a_second() {
    let mut network = Network::new(4, 6, Link::GOOD);
    let start = network.now;
    load(&mut network, "a", 2_000, Duration::from_micros(500));
    network.wait(SECOND, "everything ordered", Network::all_ordered);
    // The k-th transaction is submitted k half milliseconds after the start, and ordered with the k-th place or near it.
    let mut place = 0;
    let mut worst = Duration::ZERO;
    for (at, count) in &network.nodes[0].decided_at {
        place += u64::from(*count);
        if *count > 0 {
            let submitted = start + Duration::from_micros(500) * u32::try_from(place).unwrap();
            worst = worst.max(at.since(submitted));
        }
    }
    assert!(worst < Duration::from_millis(100), "{worst:?}");
    let blocks = network.nodes[0].decided_at.len();
    assert!(blocks < 60, "{blocks} blocks in a second are needlessly dear");
}

/// Two or three chunks of every lane for each height were most of what nodes sent each other; what is cut while a height runs
/// waits for the next one anyway.
#[test]
fn while_heights_follow_each_other_closely_a_lane_cuts_one_chunk_a_height() {
    let mut network = Network::new(4, 6, Link::GOOD);
    for i in 0..4_000 {
        network.submit(i % 4, OPAQUE, format!("{i} {}", "x".repeat(2_000)).into_bytes());
        network.run(Duration::from_micros(250));
    }
    network.wait(SECOND, "everything ordered", Network::all_ordered);
    let times: Vec<Time> = network.nodes[0].decided_at.iter().map(|(at, _)| *at).collect();
    let chunks = |records: &[Record]| {
        let own = |record: &&Record| matches!(record, Record::Chunk(c) if c.lane().validator == id(0));
        records.iter().filter(own).count()
    };
    let (heights, chunks) = (times.len(), chunks(&network.nodes[0].disk.records));
    assert!(heights > 50, "{heights} heights in a second do not follow each other closely");
    assert!(chunks < heights * 5 / 4, "{chunks} chunks for {heights} heights");
    network.check();
}

#[test]
fn an_idle_network_makes_a_block_a_second_and_hardly_speaks() {
    let mut network = Network::new(4, 9, Link::GOOD);
    network.run(2 * SECOND);
    let (height, sent) = (applied(&network, 0), network.sent[0]);
    network.run(20 * SECOND);
    let blocks = applied(&network, 0) - height;
    assert!((15..=21).contains(&blocks), "{blocks} blocks in 20 s");
    let sent = (network.sent[0] - sent) / 20;
    assert!(sent < 60, "{sent} messages a second");
    network.check();
}

#[test]
fn one_node_is_killed_and_restarted_again_and_again() {
    for seed in [1, 2, 3] {
        let mut network = Network::new(4, seed, Link::GOOD);
        for round in 0..6 {
            let victim = round % 4;
            load(&mut network, &format!("before {round}"), 40, 3 * MILLISECOND);
            network.kill(victim);
            load(&mut network, &format!("without {round}"), 100, 3 * MILLISECOND);
            network.start(victim);
            let target = applied(&network, (victim + 1) % 4);
            network.wait(5 * SECOND, "caught up", |n| applied(n, victim) >= target);
        }
        network.run(2 * SECOND);
        network.check();
        assert_eq!(network.ordered(0), network.ordered(1));
    }
}

#[test]
fn all_nodes_are_killed_at_once_and_resume_by_themselves() {
    for seed in 0..6 {
        let mut network = Network::new(4, seed, if seed % 2 == 0 { Link::GOOD } else { Link::BAD });
        for round in 0..4 {
            load(&mut network, &format!("round {round}"), 60, 2 * MILLISECOND);
            for node in 0..4 {
                network.kill(node);
            }
            for node in 0..4 {
                network.start(node);
            }
            let before = (0..4).map(|n| applied(&network, n)).max().unwrap();
            network
                .wait(10 * SECOND, "everyone decides again", |n| (0..4).all(|i| applied(n, i) > before + 1));
        }
        network.check();
    }
}

/// Small numbers from a seed.
fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |sides| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        usize::try_from(x % sides as u64).unwrap()
    }
}

/// Nodes are killed and restarted at random, sometimes all at once, under load and on bad links.
#[test]
fn nodes_come_and_go_at_random() {
    for seed in 100..112 {
        let nodes = [4, 5, 7][usize::try_from(seed).unwrap() % 3];
        let link = if seed % 2 == 0 { Link::BAD } else { Link::GOOD };
        let mut network = Network::new(nodes, seed, link);
        let mut dice = dice(seed);
        for step in 0..12 {
            let gap = Duration::from_millis(1 + dice(20) as u64);
            load(&mut network, &format!("{seed}.{step}"), dice(40), gap);
            let victim = dice(nodes);
            match network.nodes[victim].core {
                Some(_) => network.kill(victim),
                None => network.start(victim),
            }
            if dice(6) == 0 {
                (0..nodes)
                    .filter(|n| network.nodes[*n].core.is_some())
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|n| network.kill(n));
                (0..nodes).for_each(|n| network.start(n));
            }
        }
        for node in 0..nodes {
            if network.nodes[node].core.is_none() {
                network.start(node);
            }
        }
        let before = (0..nodes).map(|n| applied(&network, n)).max().unwrap();
        network.wait(20 * SECOND, "all go on", |n| (0..nodes).all(|i| applied(n, i) > before + 1));
        network.check();
        for node in 0..nodes {
            assert!(network.core(node).faults().is_empty(), "{:?}", network.core(node).faults());
        }
    }
}

/// A proposal from too far in the future waits; the network goes on without it, and its clock stays near the honest ones'.
#[test]
fn a_clock_far_ahead_delays_its_own_proposals_only() {
    let mut network = Network::new(4, 17, Link::GOOD);
    network.skew[1] = 10 * SECOND;
    load(&mut network, "a", 300, 10 * MILLISECOND);
    network.run(2 * SECOND);
    network.wait(2 * SECOND, "everything ordered", Network::all_ordered);
    network.check();
    let newest = network.nodes[0].disk.decided().last().unwrap().block.header.time_ms;
    assert!(newest <= network.now.as_millis() + 2_000);
}

/// More heights than peers keep in memory, so the stores answer too.
#[test]
fn a_node_far_behind_catches_up_from_memory_and_stores() {
    let limits = Limits { idle_block_interval_ms: 20, ..Limits::default() };
    let mut network = Network::with(spec(4, limits), 3, Link::GOOD, false);
    load(&mut network, "together", 20, 5 * MILLISECOND);
    network.kill(3);
    load(&mut network, "without it", 200, 100 * MILLISECOND);
    network.run(80 * SECOND);
    let target = applied(&network, 0);
    assert!(target > 600, "only {target} heights");
    network.start(3);
    load(&mut network, "meanwhile", 100, 5 * MILLISECOND);
    network.wait(10 * SECOND, "caught up", |n| !n.core(3).is_syncing() && applied(n, 3) > target);
    network.wait(2 * SECOND, "everything ordered", |n| n.ordered(3).len() == n.ordered(0).len());
    network.check();
    assert!(network.core(0).faults().is_empty(), "{:?}", network.core(0).faults());
}

#[test]
fn catching_up_survives_loss() {
    let limits = Limits { idle_block_interval_ms: 50, ..Limits::default() };
    let mut network = Network::with(spec(4, limits), 3, Link::BAD, false);
    network.kill(1);
    load(&mut network, "without it", 100, 50 * MILLISECOND);
    let target = applied(&network, 0);
    network.start(1);
    network.wait(20 * SECOND, "caught up", |n| applied(n, 1) > target);
    network.check();
}

/// Two nodes with one key: each speaks to half of the others (one hears both), so proposals, votes and lanes equivocate.
#[test]
fn a_twin_cannot_fork_the_honest_and_is_found_out() {
    let mut evidence = 0;
    for seed in 0..4 {
        for validators in [4, 7] {
            let mut network = Network::with(spec(validators, Limits::default()), seed, Link::GOOD, true);
            load(&mut network, "a", 200, 5 * MILLISECOND);
            network.run(3 * SECOND);
            network.check();
            let heights: Vec<_> = (1..validators).map(|n| applied(&network, n)).collect();
            assert!(heights.iter().all(|h| *h > 3), "{heights:?}");
            evidence += network.nodes[1..validators].iter().map(|n| n.evidence.len()).sum::<usize>();
        }
    }
    assert!(evidence > 0, "equivocation went unnoticed");
}

/// Healing found that a lane which fell a hundred chunks behind came back one chunk a request: the ancestors that came along were not
/// expected yet, and dropped.
#[test]
fn a_split_network_stops_or_goes_on_by_its_majority_and_heals() {
    for (nodes, island) in [(4, vec![0, 1]), (4, vec![2]), (7, vec![1, 4]), (7, vec![0, 1, 2])] {
        let mut network = Network::new(nodes, 18, Link::GOOD);
        load(&mut network, "whole", 50, 5 * MILLISECOND);
        network.island = island.clone();
        load(&mut network, "split", 400, 10 * MILLISECOND);
        let quorum = network.spec.committee().quorum();
        let stuck = applied(&network, island[0]);
        network.run(3 * SECOND);
        assert_eq!(applied(&network, island[0]), stuck, "a minority of {island:?} must not decide");
        let other = (0..nodes).find(|n| !island.contains(n)).unwrap();
        let goes_on = nodes - island.len() >= quorum;
        assert_eq!(applied(&network, other) > stuck + 2, goes_on, "{nodes} nodes without {island:?}");
        network.island.clear();
        network.wait(6 * SECOND, "everything ordered", Network::all_ordered);
        network.check();
    }
}

/// Found by the simulator: answers that overtook each other brought one chunk of a lane a request, and after a long height the next request took
/// long to be made. Heights then took 10 seconds while a lane's owner told some of the others nothing.
#[test]
fn the_chunks_of_one_answer_are_stored_in_whatever_order_they_come() {
    let jitter = Duration::from_millis(40);
    for seed in 0..4 {
        let mut network = Network::new(4, seed, Link { jitter, ..Link::GOOD });
        load(&mut network, "a", 20, MILLISECOND);
        network.kill(3);
        let lane = LaneId { validator: id(3), incarnation: Incarnation::new(999) };
        let mut parent = Digest::ZERO;
        for place in 1..=24 {
            let transaction = Transaction { rollup: OPAQUE, data: format!("{place}").into_bytes().into() };
            let chunk = Chunk::new(lane, LaneSequence::new(place), parent, &[transaction]).unwrap();
            parent = chunk.digest();
            // The message's kind, and the chunk. A quorum holds it with the leader that is told nothing.
            for to in [0, 1] {
                network.inject(3, to, [&[1], chunk.bytes().as_ref()].concat());
            }
        }
        let last = Transaction { rollup: OPAQUE, data: b"24".as_slice().into() }.id();
        network.wait(2 * SECOND, "what only two were told is ordered", |network| {
            (0..3).all(|node| network.ordered(node).contains(&(OPAQUE, last)))
        });
        network.check();
    }
}

/// The owner of a lane sends two different first chunks. Whichever is decided is everyone's.
#[test]
fn a_forked_lane_forks_no_block() {
    let mut network = Network::new(4, 19, Link::GOOD);
    load(&mut network, "a", 20, MILLISECOND);
    network.kill(3);
    let lane = LaneId { validator: id(3), incarnation: Incarnation::new(999) };
    let branch = |text: &'static [u8]| {
        let transaction = Transaction { rollup: OPAQUE, data: text.into() };
        Chunk::new(lane, LaneSequence::new(1), Digest::ZERO, &[transaction]).unwrap()
    };
    let (one, two) = (branch(b"one"), branch(b"two"));
    for (chunk, to) in [(&one, 0), (&one, 1), (&two, 1), (&two, 2)] {
        // The message's kind, and the chunk.
        network.inject(3, to, [&[1], chunk.bytes().as_ref()].concat());
    }
    load(&mut network, "b", 300, 10 * MILLISECOND);
    network.wait(3 * SECOND, "everything ordered", Network::all_ordered);
    network.check();
    let ids = [&one, &two].map(|c| (OPAQUE, c.transactions()[0].id()));
    let ordered: Vec<_> = (0..3).map(|n| ids.map(|id| network.ordered(n).contains(&id))).collect();
    assert_eq!(ordered[0].iter().filter(|held| **held).count(), 1, "{ordered:?}");
    assert!(ordered.iter().all(|o| *o == ordered[0]));
}

/// Nobody can tell what the owner of a lane cut: a leader that lies proposed chunks of its own making in the lanes of others, and the others
/// fetched and decided them. The owners' own chunks then hung on branches that were never decided, and their clients'
/// transactions were ordered no more until they restarted. Now an owner that is overruled cuts again.
#[test]
fn an_owner_whose_lane_a_leader_forged_goes_on() {
    for (nodes, liars, seed) in [(4, 1, 21), (4, 1, 22), (7, 2, 23)] {
        let mut network = Network::new(nodes, seed, Link::GOOD);
        network.forgers = (0..liars).map(|node| (node, Forger::default())).collect();
        for i in 0..600 {
            let node = liars + i % (nodes - liars);
            network.submit(node, EVM, format!("{i}: some bytes of a transaction").into_bytes());
            network.run(2 * MILLISECOND);
        }
        let submitted: BTreeSet<TxId> = network.submitted.keys().copied().collect();
        let honest = |network: &Network| {
            network.ordered(nodes - 1).into_iter().filter(|(_, id)| submitted.contains(id)).count()
        };
        network.wait(3 * SECOND, "everything ordered", |n| honest(n) == submitted.len());
        let waits = |n: &Network, node: usize| n.core(node).backlog() != Backlog::default();
        network.wait(SECOND, "nothing waits", |n| !(liars..nodes).any(|node| waits(n, node)));
        let forged = network.ordered(nodes - 1).len() - submitted.len();
        assert!(forged > 2, "only {forged} forged chunks were decided");
        network.check();
        for node in liars..nodes {
            let faults =
                network.core(node).faults().keys().filter(|peer| peer.get() as usize > liars).count();
            assert_eq!(faults, 0, "{:?}", network.core(node).faults());
        }
    }
}

#[test]
fn with_more_than_f_dead_it_stops_and_resumes_when_they_return() {
    let mut network = Network::new(4, 11, Link::GOOD);
    load(&mut network, "a", 50, MILLISECOND);
    network.kill(0);
    network.kill(1);
    network.run(SECOND);
    let stopped = applied(&network, 2);
    network.run(5 * SECOND);
    assert_eq!(applied(&network, 2), stopped);
    network.start(0);
    network.wait(3 * SECOND, "resumed", |n| applied(n, 2) > stopped + 1);
    network.start(1);
    network.wait(5 * SECOND, "back", |n| applied(n, 1) > stopped);
    network.check();
}

#[test]
fn system_messages_are_ordered_once_and_in_their_senders_order() {
    let mut network = Network::new(4, 12, Link::BAD);
    for i in 0..20 {
        for node in 0..4 {
            network.say(node, format!("{node}/{i:02}").as_bytes());
        }
        network.run(10 * MILLISECOND);
    }
    let said = |n: &Network, node: usize| -> Vec<String> {
        let messages = n.nodes[node].disk.decided().flat_map(|d| d.cut.system.iter());
        messages.map(|m| String::from_utf8(m.payload.clone()).unwrap()).collect()
    };
    network.wait(20 * SECOND, "all said", |n| (0..4).all(|i| said(n, i).len() >= 80));
    for node in 0..4 {
        let all = said(&network, node);
        assert_eq!(all.len(), 80);
        for sender in 0..4 {
            let own: Vec<_> = all.iter().filter(|m| m.starts_with(&sender.to_string())).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
    }
    network.check();
}

#[test]
fn a_transaction_sent_to_every_node_is_ordered_once() {
    let mut network = Network::new(4, 13, Link::GOOD);
    for i in 0..50 {
        for node in 0..4 {
            network.submit(node, EVM, format!("transaction {i}").into_bytes());
        }
        network.run(2 * MILLISECOND);
    }
    network.wait(2 * SECOND, "everything ordered", Network::all_ordered);
    network.run(SECOND);
    network.check();
    assert_eq!(network.ordered(2).len(), 50);
}

#[test]
fn limits_cut_blocks_and_batches_and_nothing_is_lost() {
    let limits = Limits {
        block_bytes: 4_000,
        blob_bytes_per_block: 1_000,
        blob_bytes_per_batch: 3_000,
        blocks_per_batch: 7,
        ..Limits::default()
    };
    let mut network = Network::with(spec(4, limits), 14, Link::GOOD, false);
    for i in 0..200_u32 {
        let rollup = if i % 2 == 0 { EVM } else { OPAQUE };
        network.submit(i as usize % 4, rollup, i.to_be_bytes().repeat(100));
        network.run(MILLISECOND);
    }
    network.wait(20 * SECOND, "everything ordered", Network::all_ordered);
    network.check();
    let (mut blocks, mut blob_bytes) = (0, 0);
    let mut sealed = 0;
    for decided in network.nodes[0].disk.decided() {
        let bytes = |rollup| -> usize {
            let sections = decided.block.sections.iter().filter(|s| s.rollup == rollup);
            sections.flat_map(|s| &s.transactions).map(|t| t.len() + 8).sum()
        };
        assert!(bytes(EVM) <= 1_000 && bytes(EVM) + bytes(OPAQUE) <= 4_000);
        blocks += 1;
        blob_bytes += bytes(EVM);
        assert!(blocks <= 7 && blob_bytes <= 3_000, "{blocks} blocks, {blob_bytes} bytes");
        if decided.block.header.seals_batch {
            (blocks, blob_bytes) = (0, 0);
            sealed += 1;
        }
    }
    assert!(sealed > 10, "{sealed} batches");
}

/// The largest transactions and system messages, all at once and on bad links.
#[test]
fn large_transactions_and_messages_pass() {
    let mut network = Network::new(4, 20, Link::BAD);
    for i in 0..24_u8 {
        let node = usize::from(i % 4);
        network.submit(node, OPAQUE, vec![i; 128 * 1024]);
        network.submit(node, EVM, vec![i; 100 * 1024]);
        network.say(node, &[i; 64 * 1024]);
        network.say(node, &[i; 64 * 1024 + 1]);
    }
    let said =
        |n: &Network, node: usize| n.nodes[node].disk.decided().map(|d| d.cut.system.len()).sum::<usize>();
    network.wait(30 * SECOND, "everything ordered", |n| {
        n.all_ordered() && (0..4).all(|node| said(n, node) == 24)
    });
    network.check();
    assert_eq!(network.core(0).refused_system_messages(), 6);
}

#[test]
fn garbage_counts_as_a_fault_and_changes_nothing() {
    let mut network = Network::new(4, 15, Link::GOOD);
    load(&mut network, "a", 20, MILLISECOND);
    for kind in 0..=255_u8 {
        network.inject(3, 0, vec![kind]);
        network.inject(3, 0, [vec![kind], vec![0xff; 40]].concat());
        network.inject(3, 0, vec![]);
    }
    load(&mut network, "b", 20, MILLISECOND);
    network.wait(2 * SECOND, "everything ordered", Network::all_ordered);
    network.check();
    assert!(network.core(0).faults()[&id(3)] > 700);
    assert_eq!(network.core(1).faults().len(), 0);
}

/// A log that ends anywhere is replayed without a contradiction: whatever prefix a crash leaves, the node starts, and with
/// the others it goes on.
#[test]
fn every_prefix_of_a_disk_restarts() {
    let mut network = Network::new(4, 16, Link::GOOD);
    load(&mut network, "a", 40, 3 * MILLISECOND);
    let whole = network.nodes[1].disk.clone();
    let from = whole.records.iter().rposition(|r| matches!(r, Record::Decided(_))).unwrap();
    let start = from.saturating_sub(60);
    for length in start..whole.records.len() {
        let mut disk = whole.clone();
        disk.records.truncate(length);
        network.nodes[1].disk = disk;
        // Only whether it starts: sending from a cut disk would be what the sync rule forbids.
        network.restart_mute(1);
    }
    network.nodes[1].disk = whole;
    network.start(1);
    let height = network.core(0).applied_height();
    network.wait(3 * SECOND, "goes on", |n| n.core(1).applied_height() > Height::new(height.get() + 1));
    network.check();
}

/// The kinds of messages that bring chunks, tell of them and ask for them.
const CHUNK: u8 = 1;
const REPORT: u8 = 2;
const FETCH_CHUNK: u8 = 3;

/// From the owner to the leader, and proposal, prevotes and precommits: four message delays, and on average half a height more.
#[test]
fn a_leader_names_what_it_holds_without_waiting_for_reports() {
    let far = Link { delay: 50 * MILLISECOND, jitter: Duration::ZERO, ..Link::GOOD };
    let mut network = Network::new(4, 17, far);
    network.run(SECOND);
    network.tamper = Some(Box::new(|_, _, bytes| (bytes[0] != REPORT).then(|| bytes.clone())));
    for i in 0..200_u32 {
        network.submit(usize::try_from(i % 4).unwrap(), OPAQUE, i.to_be_bytes().to_vec());
        network.run(20 * MILLISECOND);
    }
    network.wait(SECOND, "everything ordered", Network::all_ordered);
    network.check();
}

/// An owner that sends its chunks to one of three makes the others fetch them when that one leads; after the first time it waits
/// until a quorum has reported them.
#[test]
fn whose_chunks_are_withheld_from_some_is_not_named_again_and_again() {
    let mut network = Network::new(4, 18, Link::GOOD);
    network.run(SECOND);
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&asked);
    network.tamper = Some(Box::new(move |from, to, bytes| {
        if bytes[0] == FETCH_CHUNK && to == 0 {
            count.set(count.get() + 1);
        }
        // Others know of them from cuts only.
        let withheld = from == 3 && to != 0 && [CHUNK, REPORT].contains(&bytes[0]);
        (!withheld).then(|| bytes.clone())
    }));
    let before = applied(&network, 0);
    for i in 0..200_u32 {
        network.submit(3, OPAQUE, i.to_be_bytes().to_vec());
        network.submit(0, OPAQUE, [7, 7, 7, 7].iter().chain(&i.to_be_bytes()).copied().collect());
        network.run(10 * MILLISECOND);
    }
    let heights = applied(&network, 0) - before;
    assert!(heights > 55, "{heights} heights in two seconds");
    assert!(
        (1..=12).contains(&asked.get()),
        "{} times had a chunk to be fetched in {heights} heights",
        asked.get()
    );
}
