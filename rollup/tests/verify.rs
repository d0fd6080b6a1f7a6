//! Soft confirmations: signed blocks, and blocks that a signed one descends from.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use frost_secp256k1::{SigningKey, VerifyingKey};
use ordering_types::chain_spec::{Ceremony, Epochs, Limits, Validator};
use ordering_types::{
    ChainSpec, Digest, Epoch, GroupKey, GroupSignature, Header, Height, L1Reference, SecretKey, ValidatorId,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rollup::verify::{Network, Verified, VerifyError};
use rollup::wire::{Confirmation, Founding, MAX_ABOVE};

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
        limits: Limits::default(),
        ceremony: Ceremony::default(),
        epochs: Epochs::default(),
        validators: validators.collect(),
        rollups: Vec::new(),
    }))
}

fn group(seed: u64) -> SigningKey {
    SigningKey::new(&mut ChaCha8Rng::seed_from_u64(seed))
}

fn key(network: &Network) -> Verified<GroupKey> {
    let public: VerifyingKey = (&group(1)).into();
    let key = GroupKey::from_bytes(public.serialize().unwrap().try_into().unwrap()).unwrap();
    let (x, y) = key.coordinates();
    let digest = network.domain().initialise(Epoch::new(0), x, y);
    let signatures: BTreeMap<_, _> =
        (1..=3).map(|id| (ValidatorId::new(id.into()), validator(id).sign(digest))).collect();
    network.founding(&Founding { key, signatures }).unwrap()
}

/// Headers of these many blocks, each the parent of the next.
fn chain(network: &Network, count: u64) -> Vec<Header> {
    let mut parent = Digest::ZERO;
    let header = |height| {
        let header = Header {
            version: 1,
            chain_spec: network.hash(),
            epoch: Epoch::new(0),
            height: Height::new(height),
            parent,
            time_ms: height,
            l1_reference: L1Reference::default(),
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: false,
        };
        parent = header.hash();
        header
    };
    (1..=count).map(header).collect()
}

fn sign(network: &Network, header: &Header, signer: u64) -> GroupSignature {
    let digest = network.domain().block(header.epoch, header.height, header.hash());
    let signature = group(signer).sign(ChaCha8Rng::seed_from_u64(9), digest.as_ref());
    GroupSignature::new(signature.serialize().unwrap().try_into().unwrap())
}

/// The confirmation of the first of these, whose last is signed.
fn confirmation(network: &Network, headers: &[Header]) -> Confirmation {
    let signature = sign(network, headers.last().unwrap(), 1);
    Confirmation { above: headers.iter().skip(1).cloned().collect(), signature }
}

#[test]
fn a_block_is_confirmed_by_its_own_signature_or_that_of_one_above() {
    let network = network();
    let key = key(&network);
    let headers = chain(&network, 3);
    for length in 1..=3 {
        let (first, confirmation) = (headers[0].clone(), confirmation(&network, &headers[..length]));
        assert_eq!(*network.confirmed(&key, first, &confirmation).unwrap(), headers[0]);
    }
}

#[test]
fn headers_that_do_not_lead_to_the_signed_one_confirm_nothing() {
    let network = network();
    let key = key(&network);
    let headers = chain(&network, 4);
    let check = |first: &Header, confirmation: &Confirmation| {
        network.confirmed(&key, first.clone(), confirmation).unwrap_err()
    };
    let mut gap = confirmation(&network, &headers);
    gap.above.remove(1);
    assert_eq!(check(&headers[0], &gap), VerifyError::Unlinked(Height::new(4)));

    let good = confirmation(&network, &headers);
    let mut forged = headers[0].clone();
    forged.tx_root = Digest::sha256(&[b"other transactions"]);
    assert_eq!(check(&forged, &good), VerifyError::Unlinked(Height::new(2)));

    let mut late = confirmation(&network, &headers);
    late.above[2].height = Height::new(9);
    assert_eq!(check(&headers[0], &late), VerifyError::Unlinked(Height::new(9)));

    let mut short = confirmation(&network, &headers);
    short.above.pop();
    assert!(matches!(check(&headers[0], &short), VerifyError::Group(_)), "the signed one is missing");

    let mut stranger = confirmation(&network, &headers);
    stranger.signature = sign(&network, &headers[3], 2);
    assert!(matches!(check(&headers[0], &stranger), VerifyError::Group(_)));

    let mut foreign = headers[0].clone();
    foreign.chain_spec = Digest::ZERO;
    assert_eq!(check(&foreign, &good), VerifyError::ChainSpec);
}

#[test]
fn a_confirmation_is_of_bounded_length() {
    let network = network();
    let key = key(&network);
    let headers = chain(&network, MAX_ABOVE as u64 + 2);
    let confirm = |headers: &[Header]| {
        network.confirmed(&key, headers[0].clone(), &confirmation(&network, headers)).map(|_| ())
    };
    assert_eq!(confirm(&headers[1..]), Ok(()));
    assert_eq!(confirm(&headers), Err(VerifyError::TooManyAbove(MAX_ABOVE + 1)));
}
