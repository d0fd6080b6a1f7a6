#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use alloy::primitives::U256;
use ordering_types::chain_spec::Validator;
use ordering_types::{ChainSpec, SecretKey, ValidatorId};

use super::*;

fn validator(id: u8) -> SecretKey {
    SecretKey::from_bytes([id; 32]).unwrap()
}

fn network() -> Network {
    let validators = (1..=4).map(|id| Validator {
        id: ValidatorId::new(id.into()),
        key: validator(id).public_key(),
        address: String::new(),
    });
    Network::new(Arc::new(ChainSpec {
        network: "test".to_owned(),
        l1_chain_id: 1,
        inbox: ordering_types::Address::new([1; 20]),
        validators: validators.collect(),
        rollups: Vec::new(),
        ..ChainSpec::default()
    }))
}

/// Some point of the curve.
fn key(seed: u8) -> GroupKey {
    GroupKey::from_bytes(validator(seed).public_key().to_bytes()).unwrap()
}

fn point(key: GroupKey) -> Point {
    let (x, y) = key.coordinates();
    Point { x: U256::from_be_bytes(x), y: U256::from_be_bytes(y) }
}

const NEXT: Next = Next { batch: 5, height: Height::new(20) };

fn present() -> Present {
    Present { epoch: Epoch::new(2), key: key(50) }
}

/// The key of epoch 3, at the right place.
fn event() -> NextKey {
    let (first_batch, first_height) = (NEXT.batch, NEXT.height);
    let (epoch, point, committee) = (Epoch::new(3), point(key(51)), Digest::ZERO);
    NextKey { epoch, point, first_batch, first_height, committee }
}

/// A call of `recover` that these validators signed, as they would in this epoch.
fn recover(signers: &[u8], epoch: u64) -> AbiBytes {
    let (x, y) = key(51).coordinates();
    let digest = network().domain().recover(Epoch::new(epoch), x, y);
    let signatures =
        signers.iter().map(|id| AbiBytes::copy_from_slice(validator(*id).sign(digest).as_bytes()));
    let Point { x, y } = point(key(51));
    recoverCall { x, y, committee: Vec::new(), signatures: signatures.collect() }.abi_encode().into()
}

#[test]
fn a_key_after_a_silence_needs_a_quorum_of_members() {
    let check = |input| present().recovered(&network(), NEXT, event(), input);
    let good = check(Some(recover(&[1, 2, 4], 2))).unwrap();
    assert_eq!((good.epoch, good.key), (Epoch::new(3), key(51)));
    let refused = |input| check(Some(input)).unwrap_err();
    assert_eq!(refused(recover(&[1, 2], 2)), KeyError::Quorum(Epoch::new(3)));
    assert_eq!(refused(recover(&[1, 2, 2], 2)), KeyError::Quorum(Epoch::new(3)), "one of them twice");
    assert_eq!(refused(recover(&[1, 2, 9], 2)), KeyError::Quorum(Epoch::new(3)), "a stranger");
    assert_eq!(refused(recover(&[1, 2, 3], 3)), KeyError::Quorum(Epoch::new(3)), "in another epoch");
    assert!(check(None).is_ok(), "through another contract: ours has checked it");
}

#[test]
fn a_new_key_begins_where_the_old_one_ends() {
    let rotated = |event| present().rotated(&network(), NEXT, event, None).unwrap_err();
    let recovered = |event| present().recovered(&network(), NEXT, event, None).unwrap_err();
    for change in [&rotated as &dyn Fn(NextKey) -> KeyError, &recovered] {
        for epoch in [2, 4] {
            let got = Epoch::new(epoch);
            let wanted = KeyError::NotNext { present: Epoch::new(2), got };
            assert_eq!(change(NextKey { epoch: got, ..event() }), wanted);
        }
        assert!(matches!(change(NextKey { first_batch: 4, ..event() }), KeyError::Place { batch: 4, .. }));
        let late = NextKey { first_height: Height::new(21), ..event() };
        assert!(matches!(change(late), KeyError::Place { .. }));
        let nowhere = Point { x: U256::from(5), y: U256::from(1) };
        assert_eq!(change(NextKey { point: nowhere, ..event() }), KeyError::NoPoint(Epoch::new(3)));
    }
}
