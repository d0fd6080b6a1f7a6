use ordering_types::SecretKey;

use super::*;

fn candidate(n: u8) -> Validator {
    let key = SecretKey::from_bytes([n; 32]).unwrap().public_key();
    Validator { id: ValidatorId::new(n.into()), key, address: String::new() }
}

fn members(ids: impl IntoIterator<Item = u8>) -> Members {
    Members::new(Committee::new(ids.into_iter().map(|n| (candidate(n).id, candidate(n).key)).collect()))
}

fn drawn(active: &[u8], ready: &[u8], present: &[u8], most: usize, epoch: u64) -> Vec<u16> {
    let candidates: Vec<Validator> = active.iter().map(|n| candidate(*n)).collect();
    let ready = ready.iter().map(|n| ValidatorId::new((*n).into())).collect();
    let present = members(present.iter().copied());
    let seed = Digest::sha256(&[b"block"]);
    let urn = Urn { candidates: Some(&candidates), ready: &ready, present: &present, most, seed };
    draw(Epoch::new(epoch), urn).committee().ids().map(ValidatorId::get).collect()
}

#[test]
fn all_that_are_active_and_ready_are_drawn() {
    assert_eq!(
        drawn(&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4], 100, 1),
        [1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(drawn(&[3, 4, 5, 6], &[3, 4, 5, 6], &[1, 2, 3, 4], 100, 1), [3, 4, 5, 6], "1 and 2 have left");
}

#[test]
fn newcomers_that_are_not_ready_are_not_drawn_and_members_keep_their_places() {
    assert_eq!(drawn(&[1, 2, 3, 4, 5, 6], &[1, 3, 4, 6], &[1, 2, 3, 4], 100, 1), [1, 2, 3, 4, 6]);
    assert_eq!(drawn(&[1, 2, 3, 4, 5], &[], &[1, 2, 3, 4], 100, 1), [1, 2, 3, 4], "nobody said a thing");
}

#[test]
fn who_is_ready_takes_the_place_of_who_is_not() {
    assert_eq!(drawn(&[1, 2, 3, 4, 5, 6], &[1, 3, 4, 6], &[1, 2, 3, 4], 4, 1), [1, 3, 4, 6]);
}

#[test]
fn with_fewer_than_four_the_present_committee_goes_on() {
    assert_eq!(drawn(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3, 4], 100, 1), [1, 2, 3, 4]);
    assert_eq!(drawn(&[5, 6, 7, 8, 9], &[5, 6, 7], &[1, 2, 3, 4], 100, 1), [1, 2, 3, 4]);
}

#[test]
fn a_sample_has_so_many_members_and_changes_with_the_epoch() {
    let all: Vec<u8> = (1..=10).collect();
    let samples: Vec<Vec<u16>> = (0..200).map(|epoch| drawn(&all, &all, &[1, 2, 3, 4], 4, epoch)).collect();
    assert!(samples.iter().all(|sample| sample.len() == 4));
    let times = |id: u16| samples.iter().filter(|sample| sample.contains(&id)).count();
    // Of 200 draws of 4 out of 10, each is in 80, give or take four deviations of 7.
    assert!(
        (1..=10).all(|id| (52..=108).contains(&times(id))),
        "{:?}",
        (1..=10).map(times).collect::<Vec<_>>()
    );
}

#[test]
fn before_a_registry_is_known_nothing_changes() {
    let (ready, present) = (BTreeSet::new(), members(1..=5));
    let urn = Urn { candidates: None, ready: &ready, present: &present, most: 4, seed: Digest::ZERO };
    assert_eq!(draw(Epoch::new(1), urn), present);
}

/// Two of seven are dead and one leaves: of the six that are left five would have to make a key, and four can.
#[test]
fn no_more_silent_members_are_kept_than_may_be_faulty() {
    assert_eq!(drawn(&[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7], 100, 1).len(), 5);
    assert_eq!(
        drawn(&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 100, 1)
            .len(),
        8
    );
    let kept = drawn(&[1, 2, 3, 4], &[1, 2], &[1, 2, 3, 4], 100, 1);
    assert_eq!(kept, [1, 2, 3, 4], "fewer could not make a key either");
}
