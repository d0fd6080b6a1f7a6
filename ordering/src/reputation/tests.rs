#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn members(n: u16) -> Vec<ValidatorId> {
    (1..=n).map(ValidatorId::new).collect()
}

/// Heights from 1 in which `dead(height)` do not answer: each is decided in its first round with a living leader.
/// Answers the rounds that failed, by height.
fn run(
    reputation: &mut Reputation,
    n: u16,
    heights: std::ops::RangeInclusive<u64>,
    dead: impl Fn(u64) -> Vec<u16>,
    round_of: &mut Option<Round>,
) -> Vec<(u64, ValidatorId)> {
    let members = members(n);
    let mut failed = Vec::new();
    for h in heights {
        let height = Height::new(h);
        let rotation = reputation.rotation(&members, height);
        let down = dead(h);
        let mut round = 0;
        while down.contains(&rotation.leader(height, Round::new(round)).get()) {
            failed.push((h, rotation.leader(height, Round::new(round))));
            round += 1;
        }
        reputation.learn((&members, &members), height, *round_of);
        assert!(reputation.skipped.len() <= usize::from((n - 1) / 3));
        *round_of = Some(Round::new(round));
    }
    failed
}

fn failures(n: u16, heights: u64, dead: &[u16]) -> usize {
    run(&mut Reputation::default(), n, 1..=heights, |_| dead.to_vec(), &mut None).len()
}

#[test]
fn the_times_are_as_documented() {
    assert_eq!([0, 1, 2, 3, 4].map(skip_length), [0, 256, 1_024, 4_096, 16_384]);
    assert_eq!(skip_length(MAX_FAILURES), LONGEST_SKIP, "the last failure counted reaches the longest time");
}

/// Without reputation a dead one of four would lead 250 heights of a thousand.
#[test]
fn a_dead_leader_leads_hardly_any_heights() {
    assert_eq!(failures(4, 1_000, &[3]), 2);
    assert_eq!(failures(7, 1_000, &[3]), 2);
    // Two of seven: twice as many, and not more.
    assert_eq!(failures(7, 1_000, &[3, 6]), 4);
    assert_eq!(failures(7, 1_000, &[3, 4]), 4);
    assert_eq!(failures(10, 1_000, &[1, 2, 3]), 6);
    // A day of load.
    assert!(failures(4, 500_000, &[3]) < 40);
}

#[test]
fn one_that_returns_leads_again_and_starts_afresh() {
    let (mut reputation, mut round) = (Reputation::default(), None);
    let three = ValidatorId::new(3);
    run(&mut reputation, 4, 1..=20, |_| vec![3], &mut round);
    assert_eq!(reputation.records[&three].failures, 1);
    // Up again; skipped until its time is over, then it leads and its failure is forgotten.
    assert_eq!(run(&mut reputation, 4, 21..=255, |_| vec![], &mut round), []);
    assert!(reputation.skipped.contains(&three));
    run(&mut reputation, 4, 256..=280, |_| vec![], &mut round);
    assert_eq!(reputation, Reputation::default());
    // The next failure counts as a first one.
    run(&mut reputation, 4, 281..=300, |_| vec![3], &mut round);
    assert_eq!(reputation.records[&three].failures, 1);
}

#[test]
fn never_more_than_f_are_skipped_and_the_latest_failures_win() {
    let (mut reputation, members) = (Reputation::default(), members(4));
    // Height 1 took three rounds: its leaders 2, 3 and 4 failed, and 1 decided.
    reputation.learn((&members, &members), Height::new(2), Some(Round::new(3)));
    assert_eq!(reputation.records.len(), 3);
    let skipped = |r: &Reputation, h| r.skipped_at(&members, Height::new(h));
    assert_eq!(skipped(&reputation, 3), [ValidatorId::new(2)].into());
    reputation.learn((&members, &members), Height::new(3), Some(Round::new(1)));
    // Height 2 was led by 3 (nobody was skipped yet), which failed again, later than the others.
    assert_eq!(reputation.records[&ValidatorId::new(3)].failures, 2);
    assert_eq!(skipped(&reputation, 4), [ValidatorId::new(3)].into());
    // Even if every leader failed for many rounds, the one that decided is trusted again.
    reputation.learn((&members, &members), Height::new(4), Some(Round::new(u32::MAX)));
    assert_eq!(skipped(&reputation, 5).len(), 1);
}

/// A failure is put down to who led then, not to who would lead under today's rotation.
#[test]
fn a_failure_is_judged_by_the_rotation_of_its_height() {
    let (mut reputation, members) = (Reputation::default(), members(4));
    // Height 1: leader 2 failed. It is skipped from height 3 on; at height 2 all four still took turns.
    reputation.learn((&members, &members), Height::new(2), Some(Round::new(1)));
    let at_three = reputation.rotation(&members, Height::new(3)).leader(Height::new(3), Round::new(0));
    reputation.learn((&members, &members), Height::new(3), Some(Round::new(0)));
    reputation.learn((&members, &members), Height::new(4), Some(Round::new(1)));
    assert_eq!(reputation.records[&at_three].since, Height::new(4));
}

/// Only the skipped one had seen a quorum of prevotes for a value, and was locked on it. It never led, so nobody else learned of it, and as
/// one was silent besides, its height was open for ever.
#[test]
fn of_n_rounds_every_validator_leads_one_and_the_skipped_the_last() {
    for (n, skipped) in [(4, vec![2]), (7, vec![1, 5]), (10, vec![3, 4, 10]), (5, vec![])] {
        let members = members(n);
        let skipped: BTreeSet<ValidatorId> = skipped.into_iter().map(ValidatorId::new).collect();
        let rotation = Rotation::without(&members, &skipped);
        for first in [0, u32::from(n), 7 * u32::from(n)] {
            let leaders: Vec<_> = (first..first + u32::from(n))
                .map(|round| rotation.leader(Height::new(41), Round::new(round)))
                .collect();
            let (active, last) = leaders.split_at(leaders.len() - skipped.len());
            assert!(active.iter().all(|leader| !skipped.contains(leader)));
            assert_eq!(last.iter().copied().collect::<BTreeSet<_>>(), skipped);
            assert_eq!(leaders.iter().copied().collect::<BTreeSet<_>>().len(), members.len());
        }
    }
}

proptest! {
    /// Whatever rounds decided, and whatever round is asked for: there is one leader, a member, and the same for everybody, also for
    /// one that restarted in between.
    #[test]
    fn the_leader_is_total_and_deterministic(
        n in 4u16..=100,
        rounds in proptest::collection::vec(prop_oneof![Just(0u32), 0u32..4, any::<u32>()], 1..60),
        asked in any::<u32>(),
    ) {
        let members = members(n);
        let (mut one, mut other) = (Reputation::default(), Reputation::default());
        for (h, round) in (1..).zip(rounds) {
            let height = Height::new(h);
            for reputation in [&mut one, &mut other] {
                reputation.learn((&members, &members), height, (h > 1).then_some(Round::new(round)));
            }
            let bytes = ordering_types::codec::encode(&other);
            other = ordering_types::codec::decode(&bytes, 1 << 20).unwrap();
            let rotation = one.rotation(&members, height.next());
            prop_assert!(rotation.active.len() >= members.len() - usize::from((n - 1) / 3));
            let leader = rotation.leader(height.next(), Round::new(asked));
            prop_assert!(members.contains(&leader));
            prop_assert_eq!(leader, other.rotation(&members, height.next()).leader(height.next(), Round::new(asked)));
        }
    }
}
