//! Encryption keys that were announced before the ceremony: whoever is away through all of it has its share all the same.

use super::*;

/// A fresh key among four, of whom these have announced themselves before.
fn announced(ahead: &[u16]) -> Setup {
    let bodies = ahead.iter().map(|number| {
        (member(*number), announcement(ceremony_id(), member(*number), &seed(member(*number))))
    });
    Setup { announced: bodies.collect(), ..fresh(4, 3) }
}

fn without(log: &mut Log, away: MemberId) {
    log.queue.retain(|(sender, _)| *sender != away);
}

/// Orders what everybody but this one says.
fn run_without(log: &mut Log, away: MemberId) {
    without(log, away);
    log.run(|sender, payload| if sender == away { vec![] } else { vec![payload] });
}

/// What a member finds that comes when all is over.
fn from_the_log(setup: &Setup, me: MemberId, log: &Log) -> Option<KeyMaterial> {
    let mut late = Ceremony::new(setup, me, seed(me), None).unwrap();
    let mut events = late.start();
    events.extend(late.on_time(100));
    for (time, sender, payload) in &log.entries {
        events.extend(late.on_logged(*time, *sender, payload));
    }
    events.extend(late.on_time(log.time));
    events.into_iter().find_map(|event| match event {
        Event::Completed(material) => Some(*material),
        _ => None,
    })
}

#[test]
fn nobody_announces_again_and_the_key_takes_two_steps() {
    let mut log = Log::of(&announced(&[2, 5, 8, 11]), &BTreeMap::new());
    let mut steps = Vec::new();
    log.run(|_, payload| {
        steps.push(payload[0]);
        vec![payload]
    });
    assert_eq!(steps, [2, 2, 2, 2, 3, 3, 3, 3]);
    assert!(faults(&log).is_empty());
    assert_eq!(log.completed().len(), 4);
}

/// The rule of the design: who is late computes its share from the log alone.
#[test]
fn who_is_away_from_before_the_beginning_has_its_share_from_the_log_alone() {
    let (setup, away) = (announced(&[2, 5, 8, 11]), member(8));
    let mut log = Log::of(&setup, &BTreeMap::new());
    run_without(&mut log, away);
    log.idle(PATIENCE.acknowledge);
    assert_eq!(log.observer.status(), Status::Completed);

    let own =
        from_the_log(&setup, away, &log).expect("a share, though it said nothing in the whole ceremony");
    let of_others = log.completed().remove(&member(2)).unwrap();
    assert_eq!(own.public(), of_others.public());
    assert_eq!(own.share().member(), away);
}

/// f of those who acknowledge will sign nothing, and f are late: with the shares that these compute from the log there are enough honest ones.
#[test]
fn f_that_only_acknowledge_and_f_that_are_late_leave_enough_shares() {
    let (n, t) = (7, 5);
    let bodies = committee(n).into_iter().map(|me| (me, announcement(ceremony_id(), me, &seed(me))));
    let setup = Setup { announced: bodies.collect(), ..fresh(n, t) };
    let (idle, late) = ([member(2), member(5)], [member(17), member(20)]);
    let mut log = Log::of(&setup, &BTreeMap::new());
    for _ in 0..3 {
        log.run(|sender, payload| if late.contains(&sender) { vec![] } else { vec![payload] });
        log.idle(PATIENCE.acknowledge);
    }
    assert_eq!(log.observer.status(), Status::Completed, "a quorum acknowledged, two of them in vain");

    let found = late.into_iter().filter_map(|me| Some((me, from_the_log(&setup, me, &log)?)));
    let mut shares: BTreeMap<MemberId, KeyMaterial> = found.collect();
    assert_eq!(shares.len(), late.len());
    shares.extend(log.completed().into_iter().filter(|(me, _)| !idle.contains(me) && !late.contains(me)));
    assert_eq!(shares.len(), usize::from(t));
    let key = shares.values().next().unwrap().public().key();
    let secret = |material: &KeyMaterial| {
        let bytes: [u8; 32] = material.share().to_bytes()[2..].try_into().unwrap();
        crate::wire::scalar(&bytes).unwrap()
    };
    let secrets = shares.iter().map(|(me, material)| (*me, secret(material))).collect();
    assert_eq!(crate::wire::compress(&(ProjectivePoint::GENERATOR * interpolate(&secrets))), Some(key));
}

/// A replayed attempt has other dealings for the same encryption keys.
#[test]
fn the_next_attempt_goes_on_with_the_same_announcements() {
    let first = announced(&[2, 5, 8, 11]);
    let second = Setup { id: CeremonyId { attempt: 1, ..first.id }, ..first.clone() };
    let [one, other] = [first, second].map(|setup| Log::of(&setup, &BTreeMap::new()).finished());
    assert_eq!((one.len(), other.len()), (4, 4));
    assert_ne!(one[&member(2)].public().key(), other[&member(2)].public().key());
}

/// Nobody says a word, and the wait for the one who has not announced itself ends all the same.
#[test]
fn a_quorum_ahead_waits_for_the_others_no_longer_than_for_announcements() {
    let (setup, away) = (announced(&[2, 5, 11]), member(8));
    let mut log = Log::of(&setup, &BTreeMap::new());
    without(&mut log, away);
    log.idle(PATIENCE.announce + PATIENCE.announce / 10 + 1);
    run_without(&mut log, away);
    assert_eq!(log.observer.status(), Status::Completed);
    assert_eq!(log.completed().len(), 3);
}

#[test]
fn who_missed_the_time_before_announces_itself_in_the_ceremony() {
    let mut log = Log::of(&announced(&[2, 11]), &BTreeMap::new());
    let mut announcing = Vec::new();
    log.run(|sender, payload| {
        if payload[0] == 1 {
            announcing.push(sender);
        }
        vec![payload]
    });
    assert_eq!(announcing, [member(5), member(8)]);
    assert_eq!(log.completed().len(), 4);
}

#[test]
fn a_bad_announcement_ahead_convicts_and_the_others_have_their_key() {
    let of_another = announcement(ceremony_id(), member(2), &seed(member(2)));
    let of_another_epoch =
        announcement(CeremonyId { epoch: 3, ..ceremony_id() }, member(5), &seed(member(5)));
    for (name, bytes) in
        [("of another member", of_another), ("of another epoch", of_another_epoch), ("empty", vec![])]
    {
        let mut setup = announced(&[2, 8, 11]);
        setup.announced.insert(member(5), bytes);
        let mut log = Log::of(&setup, &BTreeMap::new());
        run_without(&mut log, member(5));
        assert_eq!(log.observer.convicted(), &BTreeSet::from([member(5)]), "{name}");
        assert_eq!(log.completed().len(), 3, "{name}");
    }
}

#[test]
fn an_announcement_of_no_member_means_nothing() {
    let mut setup = announced(&[2, 5, 8, 11]);
    setup.announced.insert(member(77), vec![1]);
    let log = Log::of(&setup, &BTreeMap::new());
    assert!(faults(&log).is_empty());
    assert_eq!(log.finished().len(), 4);
}

/// Its seed is gone: it may not deal to itself what it cannot open.
#[test]
fn who_announced_itself_with_another_seed_stops() {
    let mut setup = announced(&[2, 5, 8]);
    setup.announced.insert(member(11), announcement(ceremony_id(), member(11), &seed(member(2))));
    let mut log = Log::of(&setup, &BTreeMap::new());
    run_without(&mut log, member(11));
    let own = &log.nodes[&member(11)];
    assert_eq!(own.status(), Status::Failed(Failure::ForeignSeed));
}
