//! Nodes so far behind that they go on from a checkpoint, among peers that lie about it or say nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code)] // Shared with the other tests of whole networks, each of which uses another part.
#[path = "network/mod.rs"]
mod network;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use network::{Disk, Link, Network, OPAQUE, spec};
use ordering::Silence;
use ordering_types::Height;
use ordering_types::chain_spec::Limits;

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: u64 = 24;
const DECIDED: u8 = 11;
const CHECKPOINT: u8 = 15;
/// The node that is late.
const LATE: usize = 3;

/// Four nodes, of which the last has been away for a while and finds its disk empty. Transactions go on.
fn with_a_late_node(seed: u64) -> Network {
    with_unsealed_batches(seed, None)
}

/// Batches that end at this height or later are not signed.
fn with_unsealed_batches(seed: u64, unsealed_from: Option<Height>) -> Network {
    let limits = Limits {
        idle_block_interval_ms: 20,
        duplicate_window_blocks: WINDOW as u32,
        blocks_per_batch: 4,
        ..Limits::default()
    };
    let mut network = Network::with(spec(4, limits), seed, Link::GOOD, false);
    network.unsealed_from = unsealed_from;
    network.run(SECOND);
    network.kill(LATE);
    network.nodes[LATE].disk = Disk::replacement();
    for number in 0..150_u32 {
        offer(&mut network, number);
    }
    assert!(applied(&network, 0) > 4 * WINDOW);
    network
}

/// New transactions, and now and then one that was ordered some blocks ago: a block leaves it out.
fn offer(network: &mut Network, number: u32) {
    let text = |number: u32| format!("transaction {number}").into_bytes();
    network.submit(0, OPAQUE, text(number));
    if number.is_multiple_of(3) {
        // Another validator did not have it in its own lane: what it takes in is ordered once all the same.
        let core = network.nodes[1].core.as_mut().unwrap();
        let transaction = ordering_types::Transaction { rollup: OPAQUE, data: text(number).into() };
        let _ = core.submit(network.now, transaction);
    }
    network.run(Duration::from_millis(20));
}

fn applied(network: &Network, node: usize) -> u64 {
    network.core(node).applied_height().get()
}

/// It votes again, on what the others have.
fn votes_again(network: &mut Network) {
    let since = network.now;
    for number in 10_000..10_400 {
        offer(network, number);
        let node = &network.nodes[LATE];
        if node.last_vote.is_some_and(|(at, _)| at > since)
            && node.core.as_ref().is_some_and(|core| core.silence().is_none())
        {
            network.check();
            // Either of them may have decided the newest block before the other.
            let both = applied(network, LATE).min(applied(network, 0));
            assert_eq!(header(network, LATE, both), header(network, 0, both));
            return;
        }
    }
    let core = network.core(LATE);
    panic!(
        "at {} of {}: {:?} {:?}",
        core.applied_height(),
        core.heard_height(),
        core.silence(),
        core.faults()
    );
}

fn header(network: &Network, node: usize, height: u64) -> ordering_types::Digest {
    let mut blocks = network.nodes[node].disk.decided();
    blocks.find(|d| d.block.header.height.get() == height).unwrap().block.header.hash()
}

/// It holds a whole window of blocks, and none from before the checkpoint.
fn went_on_from_a_checkpoint(network: &Network) {
    let checkpoint = network.nodes[LATE].disk.checkpoint().unwrap().header.height.get();
    let first = network.nodes[LATE].disk.decided().next().unwrap().block.header.height.get();
    assert_eq!(first, checkpoint + 1);
    assert!(checkpoint > WINDOW, "there was nothing to leave out");
    assert!(applied(network, LATE) >= checkpoint + WINDOW);
}

#[test]
fn an_empty_disk_goes_on_from_a_checkpoint_and_votes_once_it_holds_a_window() {
    for seed in 0..4 {
        let mut network = with_a_late_node(seed);
        network.start(LATE);
        network.wait(SECOND, "it takes a checkpoint", |n| n.nodes[LATE].disk.checkpoint().is_some());
        let checkpoint = network.nodes[LATE].disk.checkpoint().unwrap().header.height.get();
        let due = Height::new(checkpoint + WINDOW);
        assert_eq!(network.core(LATE).silence(), Some(Silence::Replaying(due)));
        votes_again(&mut network);
        went_on_from_a_checkpoint(&network);
        assert!(network.nodes[LATE].last_vote.unwrap().1 > due, "no vote below the window's end");
        assert!(network.core(LATE).faults().is_empty());
    }
}

/// A node without the blocks of an unsigned batch could not help to sign it: with one liar among four, nobody then could.
#[test]
fn nobody_goes_on_after_an_unsigned_batch() {
    let unsealed = 3 * WINDOW / 2;
    let mut network = with_unsealed_batches(40, Some(Height::new(unsealed)));
    network.start(LATE);
    votes_again(&mut network);
    let checkpoint = network.nodes[LATE].disk.checkpoint().unwrap().header.height.get();
    assert!(checkpoint < unsealed, "{checkpoint}");

    let mut network = with_unsealed_batches(41, Some(Height::new(1)));
    network.start(LATE);
    votes_again(&mut network);
    assert!(network.nodes[LATE].disk.checkpoint().is_none(), "no batch is signed: it replays everything");
}

/// Found out by the header's hash: a peer that says something else of what a block leaves out changes the block.
#[test]
fn duplicates_of_what_the_node_never_saw_are_left_out_as_in_the_first_place() {
    let mut network = with_a_late_node(11);
    let left_out = |n: &Network, node: usize| -> Vec<(u64, usize)> {
        let blocks = n.nodes[node].disk.decided();
        blocks
            .map(|d| (d.block.header.height.get(), d.covered.iter().map(|c| c.left_out.len()).sum()))
            .filter(|(_, count)| *count > 0)
            .collect()
    };
    network.start(LATE);
    votes_again(&mut network);
    let own = left_out(&network, LATE);
    let checkpoint = network.nodes[LATE].disk.checkpoint().unwrap().header.height.get();
    let theirs: Vec<_> = left_out(&network, 0)
        .into_iter()
        .filter(|(height, _)| (checkpoint + 1..=applied(&network, LATE)).contains(height))
        .collect();
    assert!(!own.is_empty(), "nothing was left out");
    assert_eq!(own, theirs);
}

/// A crash at any time, before the checkpoint's record is on disk, after it, and while the window is replayed.
#[test]
fn a_crash_while_it_catches_up_costs_time_only() {
    for crash_after in 0..12_u64 {
        let mut network = with_a_late_node(20 + crash_after);
        for _ in 0..3 {
            network.start(LATE);
            network.run(Duration::from_millis(2 + crash_after));
            network.kill(LATE);
        }
        network.start(LATE);
        votes_again(&mut network);
        went_on_from_a_checkpoint(&network);
    }
}

/// A share of the founding key that is not stored yet follows from the log: leaving blocks out would lose it.
#[test]
fn a_node_that_needs_old_blocks_replays_them_as_long_as_it_gets_them() {
    let mut network = with_a_late_node(30);
    network.replay_first = true;
    network.start(LATE);
    votes_again(&mut network);
    assert!(network.nodes[LATE].disk.checkpoint().is_none());
    assert_eq!(network.nodes[LATE].disk.decided().next().unwrap().block.header.height.get(), 1);

    // Nobody has them any more.
    let mut network = with_a_late_node(31);
    network.replay_first = true;
    network.tamper =
        Some(Box::new(|_, to, bytes| (to != LATE || bytes[0] != DECIDED).then(|| bytes.clone())));
    network.start(LATE);
    network.run(40 * SECOND);
    assert!(network.nodes[LATE].disk.checkpoint().is_some());
}

/// What the first peer that answers makes of its answers, this one and all after it.
fn survives(kind: u8, mut lie: impl FnMut(&Bytes) -> Option<Bytes> + 'static) {
    let mut network = with_a_late_node(7);
    let lies = Rc::new(Cell::new(0));
    let count = Rc::clone(&lies);
    let mut liar = None;
    network.tamper = Some(Box::new(move |from, to, bytes| {
        if to != LATE || bytes[0] != kind || *liar.get_or_insert(from) != from {
            return Some(bytes.clone());
        }
        count.set(count.get() + 1);
        lie(bytes)
    }));
    network.start(LATE);
    votes_again(&mut network);
    went_on_from_a_checkpoint(&network);
    assert!(lies.get() > 0, "nobody lied");
    assert!(lies.get() < 40, "the liar is asked as often as the others: {}", lies.get());
}

fn flipped(bytes: &Bytes, from_end: usize) -> Option<Bytes> {
    let mut bytes = bytes.to_vec();
    let place = bytes.len() - from_end;
    bytes[place] ^= 1;
    Some(bytes.into())
}

#[test]
fn a_withheld_checkpoint_is_got_from_others() {
    survives(CHECKPOINT, |_| None);
}

#[test]
fn a_forged_state_is_refused_and_another_peer_asked() {
    // The context is the message's last field, the state the one before.
    survives(CHECKPOINT, |bytes| flipped(bytes, 60));
}

#[test]
fn a_forged_header_is_refused_and_another_peer_asked() {
    survives(CHECKPOINT, |bytes| {
        let mut bytes = bytes.to_vec();
        bytes[40] ^= 1;
        Some(bytes.into())
    });
}

#[test]
fn a_forged_context_is_refused_and_another_peer_asked() {
    survives(CHECKPOINT, |bytes| flipped(bytes, 1));
}

#[test]
fn withheld_blocks_are_got_from_others() {
    survives(DECIDED, |_| None);
}

#[test]
fn forged_blocks_are_refused_and_others_asked() {
    for place in [20, 400, 700] {
        survives(DECIDED, move |bytes| flipped(bytes, (place).min(bytes.len() - 1)));
    }
}

/// A peer that serves the oldest checkpoint it has, again and again.
#[test]
fn an_ancient_checkpoint_is_not_taken() {
    let mut network = with_a_late_node(9);
    let ancient = Rc::new(std::cell::RefCell::new(None::<Bytes>));
    // An answer to an earlier question of the late node is kept.
    network.start(LATE);
    let kept = Rc::clone(&ancient);
    network.tamper = Some(Box::new(move |_, to, bytes| {
        if to == LATE && bytes[0] == CHECKPOINT {
            kept.borrow_mut().get_or_insert(bytes.clone());
            return None;
        }
        Some(bytes.clone())
    }));
    network.wait(SECOND, "it asks", |_| ancient.borrow().is_some());
    network.kill(LATE);
    network.nodes[LATE].disk = Disk::replacement();
    // Older than what a node then asks for by more batches than may wait for their signature.
    for number in 1_000..1_600 {
        offer(&mut network, number);
    }
    let old = ancient.borrow().clone().unwrap();
    let lies = Rc::new(Cell::new(0));
    let count = Rc::clone(&lies);
    let mut liar = None;
    network.tamper = Some(Box::new(move |from, to, bytes| {
        if to == LATE && bytes[0] == CHECKPOINT && *liar.get_or_insert(from) == from {
            count.set(count.get() + 1);
            return Some(old.clone());
        }
        Some(bytes.clone())
    }));
    network.start(LATE);
    network.wait(3 * SECOND, "it takes a checkpoint", |n| n.nodes[LATE].disk.checkpoint().is_some());
    let taken = network.nodes[LATE].disk.checkpoint().unwrap().header.height.get();
    assert!(lies.get() > 0);
    assert!(taken + WINDOW + 34 * 4 + 8 > applied(&network, 0), "{taken} of {}", applied(&network, 0));
    votes_again(&mut network);
}
