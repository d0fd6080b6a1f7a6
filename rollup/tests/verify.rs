//! What the group signs, with the key of its epoch: soft confirmations of signed blocks and of blocks that a signed one
//! descends from, batches, and the handovers that lead from key to key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use batcher_format::{BatchHeader, EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering_types::{
    CommitCertificate, Digest, Epoch, GroupSignature, Header, Height, L1Reference, Round, ValidatorId, block,
};
use rollup::verify::{Keys, MAX_KEYS, Network, UnknownEpoch, VerifyError};
use rollup::wire::{Certified, Confirmation, MAX_ABOVE, OrderedBlock};
use support::{founding, handover, key, network, sign, validator};

fn founded(network: &Network) -> Keys {
    Keys::founded(&network.founding(founding(network)).unwrap())
}

/// The keys of epochs 0 to `newest`.
fn keys(network: &Network, newest: u64) -> Keys {
    let mut keys = founded(network);
    for epoch in 1..=newest {
        let proven = network.handover(&keys, handover(network, epoch, epoch - 1)).unwrap();
        keys.extend(&proven).unwrap();
    }
    keys
}

/// Headers of blocks of these epochs, each the parent of the next.
fn chain_of(network: &Network, epochs: impl IntoIterator<Item = u64>) -> Vec<Header> {
    let mut parent = Digest::ZERO;
    let header = |(epoch, height)| {
        let header = Header {
            version: 1,
            chain_spec: network.hash(),
            epoch: Epoch::new(epoch),
            height: Height::new(height),
            parent,
            time_ms: height,
            l1_reference: L1Reference::default(),
            cut: Digest::ZERO,
            tx_root: block::tx_root([]),
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: false,
        };
        parent = header.hash();
        header
    };
    epochs.into_iter().zip(1..).map(header).collect()
}

fn chain(network: &Network, count: usize) -> Vec<Header> {
    chain_of(network, std::iter::repeat_n(0, count))
}

fn sign_block(network: &Network, header: &Header, signer: u64) -> GroupSignature {
    sign(signer, network.domain().block(header.epoch, header.height, header.hash()))
}

/// The confirmation of the first of these, whose last is signed.
fn confirmation(network: &Network, headers: &[Header]) -> Confirmation {
    let signed = headers.last().unwrap();
    let signature = sign_block(network, signed, signed.epoch.get());
    Confirmation { above: headers.iter().skip(1).cloned().collect(), signature }
}

#[test]
fn a_block_is_confirmed_by_its_own_signature_or_that_of_one_above() {
    let network = network();
    let keys = founded(&network);
    let headers = chain(&network, 3);
    for length in 1..=3 {
        let (first, confirmation) = (headers[0].clone(), confirmation(&network, &headers[..length]));
        assert_eq!(*network.confirmed(&keys, first, &confirmation).unwrap(), headers[0]);
    }
}

#[test]
fn headers_that_do_not_lead_to_the_signed_one_confirm_nothing() {
    let network = network();
    let keys = founded(&network);
    let headers = chain(&network, 4);
    let check = |first: &Header, confirmation: &Confirmation| {
        network.confirmed(&keys, first.clone(), confirmation).unwrap_err()
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
    stranger.signature = sign_block(&network, &headers[3], 1);
    assert!(matches!(check(&headers[0], &stranger), VerifyError::Group(_)));

    let mut foreign = headers[0].clone();
    foreign.chain_spec = Digest::ZERO;
    assert_eq!(check(&foreign, &good), VerifyError::ChainSpec);
}

#[test]
fn a_confirmation_is_of_bounded_length() {
    let network = network();
    let keys = founded(&network);
    let headers = chain(&network, MAX_ABOVE + 2);
    let confirm = |headers: &[Header]| {
        network.confirmed(&keys, headers[0].clone(), &confirmation(&network, headers)).map(|_| ())
    };
    assert_eq!(confirm(&headers[1..]), Ok(()));
    assert_eq!(confirm(&headers), Err(VerifyError::TooManyAbove(MAX_ABOVE + 1)));
}

#[test]
fn keys_are_learnt_one_handover_after_the_other() {
    let network = network();
    let keys = keys(&network, 2);
    assert_eq!(keys.newest(), Epoch::new(2));
    for epoch in 0..=2 {
        assert_eq!(*keys.of(Epoch::new(epoch)).unwrap(), key(epoch));
    }
    let (epoch, newest) = (Epoch::new(3), Epoch::new(2));
    assert_eq!(keys.of(epoch), Err(UnknownEpoch::Later { epoch, newest }));

    let check = |signed| network.handover(&keys, signed).map(|_| ()).unwrap_err();
    assert!(matches!(check(handover(&network, 3, 3)), VerifyError::Group(_)), "it vouches for itself");
    assert!(matches!(check(handover(&network, 3, 1)), VerifyError::Group(_)), "the key before the last");
    assert!(matches!(check(handover(&network, 4, 3)), VerifyError::Unknown(UnknownEpoch::Later { .. })));
    assert_eq!(check(handover(&network, 0, 0)), VerifyError::FirstEpoch);
    let mut moved = handover(&network, 3, 2);
    moved.handover.first_batch += 1;
    assert!(matches!(check(moved), VerifyError::Group(_)), "another first batch than was signed");
    let mut swapped = handover(&network, 3, 2);
    swapped.handover.next.key = key(7);
    assert!(matches!(check(swapped), VerifyError::Group(_)), "another key than was signed");
}

#[test]
fn a_proven_handover_extends_only_what_it_follows() {
    let network = network();
    let longer = keys(&network, 2);
    let third = network.handover(&longer, handover(&network, 3, 2)).unwrap();
    let mut shorter = keys(&network, 1);
    let (expected, got) = (Epoch::new(2), Epoch::new(3));
    assert_eq!(shorter.extend(&third), Err(VerifyError::NotNext { expected, got }));
    assert_eq!(shorter, keys(&network, 1));
}

#[test]
fn only_the_newest_keys_are_kept() {
    let network = network();
    let newest = MAX_KEYS as u64;
    let keys = keys(&network, newest);
    let (epoch, oldest) = (Epoch::new(0), Epoch::new(1));
    assert_eq!(keys.of(epoch), Err(UnknownEpoch::Earlier { epoch, oldest }));
    assert_eq!(*keys.of(oldest).unwrap(), key(1));
    assert_eq!(*keys.of(Epoch::new(newest)).unwrap(), key(newest));
}

#[test]
fn whoever_trusts_a_key_needs_none_before_it() {
    let network = network();
    let mut keys = Keys::trusted(Epoch::new(5), key(5));
    let sixth = network.handover(&keys, handover(&network, 6, 5)).unwrap();
    keys.extend(&sixth).unwrap();
    assert_eq!(*keys.of(Epoch::new(6)).unwrap(), key(6));
    let unknown = network.handover(&keys, handover(&network, 5, 4)).unwrap_err();
    assert!(matches!(unknown, VerifyError::Unknown(UnknownEpoch::Earlier { .. })));
}

/// Each of the three things that the group signs beside handovers: with the key of its epoch it is believed, with the key
/// of the epoch before or after it is not, and without that key there is no saying.
#[test]
fn what_the_group_signs_needs_the_key_of_the_epoch_that_it_names() {
    let network = network();
    let all = keys(&network, 2);
    type Check = fn(&Network, &Keys, u64) -> Result<(), VerifyError>;
    let certified: Check = |network, keys, signer| {
        let header = chain_of(network, [1]).remove(0);
        let signature = sign_block(network, &header, signer);
        let (epoch, height, header) = (header.epoch, header.height, header.hash());
        network.certified(keys, Certified { epoch, height, header, signature }).map(|_| ())
    };
    let confirmed: Check = |network, keys, signer| {
        let headers = chain_of(network, [0, 1]);
        let signature = sign_block(network, &headers[1], signer);
        let confirmation = Confirmation { above: vec![headers[1].clone()], signature };
        network.confirmed(keys, headers[0].clone(), &confirmation).map(|_| ())
    };
    let sealed: Check = |network, keys, signer| {
        let header = BatchHeader {
            number: 11,
            parent: Digest::ZERO,
            epoch: Epoch::new(1),
            first_height: Height::new(101),
            last_height: Height::new(103),
            last_header: Digest::ZERO,
            last_time_ms: 1,
            forced_cursor: 0,
            l1_reference: 0,
        };
        let encoded = EncodedBatch { payload: Bytes::new(), commitments: Vec::new(), proofs: Vec::new() };
        let unsigned = GroupSignature::new([0; 65]);
        let mut batch = SealedBatch { header, encoded: Arc::new(encoded), signature: unsigned };
        batch.signature = sign(signer, batch.digest(&network.domain()));
        network.sealed(keys, Arc::new(batch)).map(|_| ())
    };
    for check in [certified, confirmed, sealed] {
        assert_eq!(check(&network, &all, 1), Ok(()));
        for other in [0, 2] {
            assert!(
                matches!(check(&network, &all, other), Err(VerifyError::Group(_))),
                "key of epoch {other}"
            );
        }
        let later = check(&network, &founded(&network), 1).unwrap_err();
        assert!(matches!(later, VerifyError::Unknown(UnknownEpoch::Later { .. })), "{later}");
        let earlier = check(&network, &Keys::trusted(Epoch::new(2), key(2)), 1).unwrap_err();
        assert!(matches!(earlier, VerifyError::Unknown(UnknownEpoch::Earlier { .. })), "{earlier}");
    }
}

/// Certificates are the validators', who are the founders in every epoch; a vote of one epoch is none in another.
#[test]
fn an_ordered_block_of_any_epoch_needs_the_founders_votes_of_that_epoch() {
    let network = network();
    let header = chain_of(&network, [7]).remove(0);
    let certify = |voted: u64, named: u64| {
        let (height, round) = (header.height, Round::new(0));
        let digest = network.domain().vote(true, Epoch::new(voted), height, round, Some(header.hash()));
        let signatures =
            (1..=3).map(|id| (ValidatorId::new(id.into()), validator(id).sign(digest))).collect();
        let certificate =
            CommitCertificate { epoch: Epoch::new(named), height, round, header: header.hash(), signatures };
        let block = OrderedBlock { header: header.clone(), certificate, rollups: vec![], sections: vec![] };
        network.ordered(Arc::new(block)).map(|_| ())
    };
    assert_eq!(certify(7, 7), Ok(()));
    assert!(matches!(certify(6, 7), Err(VerifyError::Certificate(_))));
    assert_eq!(certify(6, 6), Err(VerifyError::OtherHeader));
}
