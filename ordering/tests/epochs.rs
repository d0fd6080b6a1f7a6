//! Epochs that change under load, losses, crashes and absences: at one height for all, and at a batch's end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[allow(dead_code)] // Shared with the other tests of whole networks, each of which uses another part.
#[path = "network/mod.rs"]
mod network;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use frost_secp256k1::SigningKey;
use network::{Link, Network, OPAQUE, spec};
use ordering::api::{Decided, EpochEvent};
use ordering::epoch::EPOCH_VOTE;
use ordering_types::chain_spec::{Epochs, Limits};
use ordering_types::{ChainSpec, Epoch, EpochVote, GroupKey, GroupSignature, Handover, NextEpoch};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const STEP: Duration = Duration::from_millis(50);

fn short_epochs(nodes: usize) -> Arc<ChainSpec> {
    let limits = Limits { idle_block_interval_ms: 100, batch_interval_ms: 700, ..Limits::default() };
    let mut spec = ChainSpec::clone(&spec(nodes, limits));
    spec.epochs = Epochs { blocks: 5, interval_ms: 2_000, ceremony_ms: 1_000, ..Epochs::default() };
    Arc::new(spec)
}

/// What every host of this network holds for the next epoch's key.
fn vote(network: &Network, epoch: Epoch, committee: ordering_types::Digest) -> Vec<u8> {
    let group = SigningKey::new(&mut ChaCha8Rng::seed_from_u64(epoch.get()));
    let public: frost_secp256k1::VerifyingKey = (&group).into();
    let key = GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap();
    let next = NextEpoch { epoch, key, committee };
    let digest = network.spec.domain().readiness(&next);
    let test = group.sign(ChaCha8Rng::seed_from_u64(1), digest.as_ref()).serialize().unwrap();
    let vote = EpochVote { next, sharing: 0, test: GroupSignature::new(test.try_into().unwrap()) };
    [&[EPOCH_VOTE], vote.encode().as_slice()].concat()
}

/// Runs with hosts that vote when they hear that the epoch is due, and, after a restart, once more.
fn run(network: &mut Network, time: Duration, said: &mut BTreeMap<(usize, u64), Epoch>) {
    let end = network.now + time;
    let mut number = 0_u32;
    while network.now < end {
        network.run(STEP);
        for node in 0..network.nodes.len() {
            let Some(core) = &network.nodes[node].core else { continue };
            let book = core.epochs().clone();
            let (next, life) = (book.present().epoch.next(), network.nodes[node].incarnation);
            if book.due().is_some() && said.insert((node, life), next) != Some(next) {
                let payload = vote(network, next, book.present().members.hash());
                network.say(node, &payload);
            }
        }
        if let Some(node) = (0..network.nodes.len()).find(|node| network.nodes[*node].core.is_some()) {
            number += 1;
            network.submit(node, OPAQUE, format!("{:?} {number}", network.now).into_bytes());
        }
    }
}

fn decided(network: &Network, node: usize) -> Vec<Arc<Decided>> {
    network.nodes[node].disk.decided().cloned().collect()
}

fn handovers(network: &Network, node: usize) -> Vec<Handover> {
    let ended = |event: &EpochEvent| match event {
        EpochEvent::Ended { handover, .. } => Some(*handover),
        EpochEvent::Gather(_) | EpochEvent::MakeKey(_) | EpochEvent::Due { .. } | EpochEvent::Backed => None,
    };
    network.nodes[node].epochs.iter().filter_map(ended).collect()
}

/// Headers change their epoch exactly where the handovers say, and the block before ends a batch.
fn check(network: &Network, least: u64) {
    network.check();
    let blocks = decided(network, 0);
    let headers: Vec<_> = blocks.iter().map(|d| d.block.header.clone()).collect();
    assert!(headers.last().unwrap().epoch.get() >= least, "{:?}", headers.last());
    let switches: Vec<_> = headers.windows(2).filter(|pair| pair[0].epoch != pair[1].epoch).collect();
    let handovers = handovers(network, 0);
    let batches =
        |height: u64| headers.iter().filter(|h| h.seals_batch && h.height.get() <= height).count() as u64;
    for (pair, handover) in switches.iter().zip(&handovers) {
        assert_eq!(pair[1].epoch, pair[0].epoch.next());
        assert!(pair[0].seals_batch, "the batch spans two epochs: {:?}", pair[0]);
        assert_eq!((handover.next.epoch, handover.first_height), (pair[1].epoch, pair[1].height));
        assert_eq!(handover.first_batch, batches(pair[0].height.get()) + 1);
    }
    for pair in handovers.windows(2) {
        assert!(pair[1].first_height.get() >= pair[0].first_height.get() + 5, "an epoch of too few blocks");
    }
}

#[test]
fn epochs_change_at_one_height_for_all() {
    for (nodes, seed) in [(4, 1), (5, 2), (7, 3)] {
        let mut network = Network::with(short_epochs(nodes), seed, Link::GOOD, false);
        run(&mut network, Duration::from_secs(9), &mut BTreeMap::new());
        check(&network, 3);
        let first = handovers(&network, 0);
        for node in 1..nodes {
            let others = handovers(&network, node);
            let both = first.len().min(others.len());
            assert_eq!(first[..both], others[..both]);
        }
    }
}

#[test]
fn with_f_absent_and_losses_and_restarts_epochs_go_on_changing() {
    for seed in 0..4 {
        let link = Link { loss: 0.1, ..Link::GOOD };
        let mut network = Network::with(short_epochs(4), seed, link, false);
        let mut said = BTreeMap::new();
        for round in 0..6 {
            let away = round % 4;
            network.kill(away);
            run(&mut network, Duration::from_secs(3), &mut said);
            network.start(away);
            run(&mut network, Duration::from_secs(1), &mut said);
        }
        run(&mut network, Duration::from_secs(3), &mut said);
        check(&network, 4);
    }
}

/// Fewer than a quorum vote: the epoch goes on, and so does ordering.
#[test]
fn without_a_quorum_of_votes_the_epoch_goes_on() {
    let mut network = Network::with(short_epochs(4), 5, Link::GOOD, false);
    for _ in 0..60 {
        network.run(STEP);
        let book = network.core(0).epochs().clone();
        if book.due().is_some() {
            let payload = vote(&network, book.present().epoch.next(), book.present().members.hash());
            (0..2).for_each(|node| network.say(node, &payload));
        }
    }
    let last = decided(&network, 0).last().unwrap().block.header.clone();
    assert_eq!(last.epoch, Epoch::new(0));
    assert!(last.height.get() > 20, "{last:?}");
}
