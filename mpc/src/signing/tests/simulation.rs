//! Promises over many seeds.

use super::network::{BAD, Crash, GOOD, Nature, Network, block};
use crate::signing::{Fault, FaultKind, Identity, Judgement, Time};
use crate::testing::Stamp;

/// Room for the first exchange of commitments.
const SETTLED: u64 = 1_200;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Signs blocks `1..=count`, one every `every` ms, and gives the worst latency.
fn sign_blocks(network: &mut Network, count: u64, every: u64, patience: u64) -> u64 {
    network.run_until(at(SETTLED));
    for number in 1..=count {
        network.sign_at(at(SETTLED + number * every), block(number), 5);
    }
    network.run_until(at(SETTLED + count * every + patience));
    let latency = |number| {
        let since = at(SETTLED + number * every);
        let latency = network.latency(block(number), since);
        latency.unwrap_or_else(|| panic!("block {number} is not signed everywhere"))
    };
    (1..=count).map(latency).max().unwrap_or_default()
}

#[test]
fn honest_committees_sign_in_one_round_trip() {
    for n in [4, 5, 7, 10] {
        let mut network = Network::new(n, u64::from(n), GOOD, &[]);
        let worst = sign_blocks(&mut network, 30, 10, 1_000);
        assert!(worst <= 5 + 3 * 3, "n = {n}: {worst} ms");
        assert!(network.faults.is_empty(), "{:?}", network.faults);
    }
}

#[test]
fn any_f_silent_members_cost_little() {
    for (n, f) in [(4_u16, 1), (5, 1), (7, 2), (10, 3)] {
        // Every place for small committees, every third for ten: each costs a key generation.
        for first in (0..usize::from(n)).step_by(if n < 10 { 1 } else { 3 }) {
            let silent: Vec<_> = (0..f).map(|i| ((first + i) % usize::from(n), Nature::Silent)).collect();
            let mut network = Network::new(n, first as u64, GOOD, &silent);
            let worst = sign_blocks(&mut network, 20, 20, 3_000);
            assert!(worst <= 500, "n = {n}, silent from {first}: {worst} ms");
            assert!(network.faults.is_empty(), "silence is no crime: {:?}", network.faults);
        }
    }
}

/// All items that a dead member should coordinate are in flight at once; the next coordinators take them over, and later
/// items do not wait the full timeout again.
#[test]
fn a_dead_coordinator_is_replaced() {
    let mut network = Network::new(4, 7, GOOD, &[(0, Nature::Silent)]);
    network.run_until(at(SETTLED));
    let dead = network.members()[0];
    let led: Vec<_> = (1..40).filter(|n| network.nodes[&dead].coordinator_of(block(*n), 0) == dead).collect();
    network.sign_at(at(SETTLED), block(led[0]), 0);
    network.run_until(at(SETTLED + 400));
    let first = network.latency(block(led[0]), at(SETTLED)).unwrap();
    assert!((150..300).contains(&first), "{first} ms");
    network.sign_at(at(SETTLED + 400), block(led[1]), 0);
    network.run_until(at(SETTLED + 800));
    let second = network.latency(block(led[1]), at(SETTLED + 400)).unwrap();
    assert!(second < 100, "{second} ms: the dead member is expected to be dead");
}

#[test]
fn loss_repetition_and_reordering_only_delay() {
    for n in [4, 7] {
        for seed in 0..6 {
            let mut network = Network::new(n, seed, BAD, &[]);
            sign_blocks(&mut network, 30, 15, 8_000);
            assert!(network.faults.is_empty(), "seed {seed}: {:?}", network.faults);
            assert!(network.detector.shares_seen > 0);
        }
    }
}

#[test]
fn loss_and_f_silent_members_together() {
    for seed in 0..6 {
        let mut network = Network::new(7, seed, BAD, &[(1, Nature::Silent), (4, Nature::Silent)]);
        sign_blocks(&mut network, 20, 15, 20_000);
        assert!(network.faults.is_empty(), "seed {seed}: {:?}", network.faults);
    }
}

/// Members restart one after the other while blocks are being signed, with a new boot id and no nonces; then want again
/// what they have not seen signed.
#[test]
fn restarted_members_come_back_with_new_nonces() {
    for (seed, link) in [(1, GOOD), (2, GOOD), (3, BAD), (4, BAD)] {
        let mut network = Network::new(4, seed, link, &[]);
        network.run_until(at(SETTLED));
        for number in 1..=40 {
            network.sign_at(at(SETTLED + number * 25), block(number), 5);
        }
        for (step, member) in network.members().into_iter().enumerate() {
            network.run_until(at(SETTLED + 110 + 200 * step as u64));
            network.boot(member);
        }
        network.run_until(at(SETTLED + 12_000));
        for number in 1..=40 {
            let latency = network.latency(block(number), at(SETTLED + number * 25));
            assert!(latency.is_some(), "seed {seed}: block {number}");
        }
        assert!(network.faults.is_empty(), "seed {seed}: {:?}", network.faults);
    }
}

/// What an honest coordinator says of a wrong share convinces whoever knows the group's public data and the members.
fn assert_proven(network: &Network, fault: &Fault) {
    let FaultKind::InvalidShare { accusation, voucher, .. } = &fault.kind else { panic!("{fault}") };
    assert_eq!(accusation.culprit, fault.culprit);
    let public = network.keys[&fault.culprit].public();
    let Ok(Judgement::Wrong { package }) = accusation.judge(public) else { panic!("{accusation:?}") };
    assert_eq!(*voucher, Stamp(fault.culprit).vouch(&package, &accusation.share));
}

#[test]
fn wrong_shares_are_named_and_do_not_stop_signing() {
    for (n, liars) in [(4_u16, vec![2]), (7, vec![0, 3]), (10, vec![1, 2, 9])] {
        for seed in 0..3 {
            let natures: Vec<_> = liars.iter().map(|position| (*position, Nature::WrongShare)).collect();
            let mut network = Network::new(n, seed, GOOD, &natures);
            let worst = sign_blocks(&mut network, 20, 20, 3_000);
            assert!(worst < 300, "n = {n}: {worst} ms");
            let members = network.members();
            let expected: std::collections::BTreeSet<_> =
                liars.iter().map(|position| members[*position]).collect();
            assert_eq!(network.convicted(), expected);
            network.faults.iter().for_each(|(_, fault)| assert_proven(&network, fault));
            assert!(network.faults.iter().all(|(_, fault)| expected.contains(&fault.culprit)));
        }
    }
}

/// A few blocks, and the member that coordinates some of them and signs the others.
fn sign_eight(crash: Option<Crash>) -> Network {
    let mut network = Network::new(4, 11, GOOD, &[]);
    network.crash = crash;
    sign_blocks(&mut network, 8, 10, 4_000);
    network
}

/// The detector watches all along: nothing leaves without its record, and no pair serves two packages.
#[test]
fn a_crash_between_any_two_steps_uses_no_pair_twice() {
    let member = crate::testing::member(5);
    let far = usize::MAX;
    let whole = sign_eight(Some(Crash { member, after: far, loses_last: false }));
    let steps = far - whole.crash.unwrap().after;
    assert!(steps > 20, "{steps} outputs of the member are too few to say anything");
    for after in 0..steps {
        for loses_last in [false, true] {
            let network = sign_eight(Some(Crash { member, after, loses_last }));
            assert!(network.crash.is_none(), "after {after} of {steps}");
            assert!(network.faults.is_empty(), "after {after}: {:?}", network.faults);
        }
    }
}

/// Its records are those of some time ago: what it has signed since, it does not know, and its nonces are new all the same.
#[test]
fn a_member_restored_from_a_copied_disk_uses_no_pair_twice() {
    for copied_after in [0, 3, 8] {
        let mut network = Network::new(4, 5, GOOD, &[]);
        let member = crate::testing::member(5);
        network.run_until(at(SETTLED));
        for number in 1..=16 {
            network.sign_at(at(SETTLED + number * 20), block(number), 5);
        }
        network.run_until(at(SETTLED + copied_after * 20));
        let copy = network.records.get(&member).cloned().unwrap_or_default();
        network.run_until(at(SETTLED + 12 * 20));
        let newer = network.records.insert(member, copy).unwrap();
        assert!(newer.len() > network.records[&member].len(), "it has signed since the copy");
        network.boot(member);
        network.run_until(at(SETTLED + 6_000));
        for number in 1..=16 {
            assert!(network.latency(block(number), at(SETTLED)).is_some(), "block {number}");
        }
        assert!(network.faults.is_empty(), "{:?}", network.faults);
    }
}

#[test]
fn one_dead_and_one_lying_of_seven() {
    for seed in 0..5 {
        let mut network = Network::new(7, seed, GOOD, &[(2, Nature::Silent), (5, Nature::WrongShare)]);
        let worst = sign_blocks(&mut network, 30, 20, 3_000);
        assert!(worst < 300, "{worst} ms");
        assert_eq!(network.convicted(), [network.members()[5]].into());
    }
}

#[test]
fn garbage_from_peers_changes_nothing() {
    for n in [4, 7] {
        for seed in 0..8 {
            let mut network = Network::new(n, seed, GOOD, &[(1, Nature::Garbage)]);
            sign_blocks(&mut network, 20, 20, 5_000);
            let liar = network.members()[1];
            assert!(!network.faults.is_empty());
            let blamed = network.faults.iter().filter(|(by, fault)| *by != liar && fault.culprit != liar);
            assert_eq!(blamed.count(), 0, "seed {seed}: {:?}", network.faults);
        }
    }
}

/// The same seed gives the same run: nothing in the machine depends on anything but its inputs.
#[test]
fn a_run_repeats_itself() {
    let run = || {
        let mut network = Network::new(4, 11, BAD, &[(3, Nature::WrongShare)]);
        sign_blocks(&mut network, 10, 15, 5_000);
        (network.signed, network.records)
    };
    assert_eq!(run(), run());
}
