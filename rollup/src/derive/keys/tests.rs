#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use alloy::primitives::{Address as AbiAddress, U256};
use ordering_types::chain_spec::Committee;

use super::*;
use crate::support::{committee, key, network, sign, validator};

fn point(key: GroupKey) -> Point {
    let (x, y) = key.coordinates();
    Point { x: U256::from_be_bytes(x), y: U256::from_be_bytes(y) }
}

const NEXT: Next = Next { batch: 5, height: Height::new(20) };

/// The members of epoch 2: seven, of whom two are founders.
fn members() -> Committee {
    committee([2, 4, 5, 6, 7, 8, 9])
}

fn present() -> Present {
    Present { epoch: Epoch::new(2), key: key(2), committee: committee_hash(&members()) }
}

/// The key of epoch 3, at the right place.
fn event(change: Change) -> NextKey {
    let (first_batch, first_height) = (NEXT.batch, NEXT.height);
    let (epoch, point, committee) = (Epoch::new(3), point(key(3)), present().committee);
    NextKey { change, epoch, point, first_batch, first_height, committee }
}

/// A call of `recover` by these members, which these validators signed, as they would in this epoch.
fn recover(members: &Committee, signers: &[u8], epoch: u64) -> AbiBytes {
    let (x, y) = key(3).coordinates();
    let digest = network().domain().recover(Epoch::new(epoch), x, y);
    let signatures =
        signers.iter().map(|id| AbiBytes::copy_from_slice(validator(*id).sign(digest).as_bytes()));
    let Point { x, y } = point(key(3));
    let committee = members.iter().map(|(_, key)| AbiAddress::new(*key.address().as_bytes())).collect();
    recoverCall { x, y, committee, signatures: signatures.collect() }.abi_encode().into()
}

/// By the members of the present epoch as L1 has them: the founders are not asked.
#[test]
fn a_key_after_a_silence_needs_a_quorum_of_the_members_that_l1_has() {
    let check = |input| present().next(&network(), NEXT, event(Change::Recovered), input);
    let good = check(Some(recover(&members(), &[2, 4, 6, 7, 9], 2))).unwrap();
    assert_eq!((good.epoch, good.key), (Epoch::new(3), key(3)));
    assert_eq!(good.committee, present().committee, "the members stay");
    let refused = |input| check(Some(input)).unwrap_err();
    let (quorum, others) = (KeyError::Quorum(Epoch::new(3)), KeyError::Members(Epoch::new(3)));
    assert_eq!(refused(recover(&members(), &[2, 4, 6, 7], 2)), quorum);
    assert_eq!(refused(recover(&members(), &[2, 4, 6, 7, 7], 2)), quorum, "one of them twice");
    assert_eq!(refused(recover(&members(), &[2, 6, 4, 7, 9], 2)), quorum, "not in the members' order");
    assert_eq!(refused(recover(&members(), &[1, 2, 4, 6, 7, 9], 2)), quorum, "a stranger");
    assert_eq!(refused(recover(&members(), &[2, 4, 6, 7, 9], 3)), quorum, "in another epoch");
    assert_eq!(refused(recover(&committee(1..=4), &[1, 2, 3], 2)), others, "the founders");
    assert_eq!(refused(recover(&committee([]), &[], 2)), others);
    assert!(check(None).is_ok(), "through another contract: ours has checked it");
    let moved = NextKey { committee: committee_hash(&committee(1..=4)), ..event(Change::Recovered) };
    assert_eq!(present().next(&network(), NEXT, moved, None).unwrap_err(), others);
}

/// A signature with a high s, or a v of another kind, is none on L1.
#[test]
fn signatures_are_taken_as_l1_takes_them() {
    let call = recoverCall::abi_decode(&recover(&members(), &[2, 4, 6, 7, 9], 2)).unwrap();
    let bend = |change: fn(&mut Vec<u8>)| {
        let mut call = call.clone();
        let mut bytes = call.signatures[0].to_vec();
        change(&mut bytes);
        call.signatures[0] = bytes.into();
        present().next(&network(), NEXT, event(Change::Recovered), Some(call.abi_encode().into())).is_ok()
    };
    assert!(bend(|_| ()));
    assert!(!bend(|bytes| bytes[64] -= 27));
    assert!(!bend(|bytes| bytes[64] ^= 7));
    assert!(!bend(|bytes| bytes.truncate(64)));
    assert!(!bend(|bytes| bytes[32..64].fill(0xff)));
}

#[test]
fn a_handover_to_other_members_than_were_signed_is_none() {
    let rotate = |event: NextKey, committee: Digest| {
        let NextKey { epoch, first_batch, first_height, .. } = event;
        let next = NextEpoch { epoch, key: key(3), committee };
        let handover = Handover { next, first_batch, first_height };
        let signature = sign(2, handover.digest(&network().domain()));
        let call = crate::inbox::rotate_call(&SignedHandover { handover, signature }).unwrap();
        present().next(&network(), NEXT, event, Some(call.abi_encode().into()))
    };
    let changed = NextKey { committee: committee_hash(&committee(1..=5)), ..event(Change::Rotated) };
    let next = rotate(changed, changed.committee).unwrap();
    assert_eq!(next.committee, changed.committee, "who recovers next");
    assert_eq!(rotate(changed, present().committee).unwrap_err(), KeyError::Handover(Epoch::new(3)));
}

#[test]
fn a_new_key_begins_where_the_old_one_ends() {
    for change in [Change::Rotated, Change::Recovered] {
        let refused = |event| present().next(&network(), NEXT, event, None).unwrap_err();
        let event = event(change);
        for epoch in [2, 4] {
            let got = Epoch::new(epoch);
            let wanted = KeyError::NotNext { present: Epoch::new(2), got };
            assert_eq!(refused(NextKey { epoch: got, ..event }), wanted);
        }
        assert!(matches!(refused(NextKey { first_batch: 4, ..event }), KeyError::Place { batch: 4, .. }));
        let late = NextKey { first_height: Height::new(21), ..event };
        assert!(matches!(refused(late), KeyError::Place { .. }));
        let nowhere = Point { x: U256::from(5), y: U256::from(1) };
        assert_eq!(refused(NextKey { point: nowhere, ..event }), KeyError::NoPoint(Epoch::new(3)));
    }
}
