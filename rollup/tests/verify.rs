//! What the group signs, with the key of its epoch: soft confirmations of signed blocks and of blocks that a signed one
//! descends from, batches, and the handovers that lead from key to key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::Arc;

use batcher_format::{BatchHeader, EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering_types::certificate::CertificateError;
use ordering_types::chain_spec::Committee;
use ordering_types::handover::committee_hash;
use ordering_types::{
    Digest, Epoch, GroupSignature, Header, Height, Round, Signature, Succession, ValidatorId,
};
use rollup::verify::{Keys, MAX_KEYS, MembersError, Network, UnknownEpoch, VerifyError};
use rollup::wire::{Certified, Confirmation, MAX_ABOVE};
use support::{
    committee, founding, handover, header, key, network, ordered_block, sign, succession, validator,
};

fn founded(network: &Network) -> Keys {
    Keys::founded(network, &network.founding(founding(network)).unwrap())
}

/// The keys of epochs 0 to `newest`.
fn keys(network: &Network, newest: u64) -> Keys {
    let mut keys = founded(network);
    for epoch in 1..=newest {
        let proven = network.succession(&keys, handover(network, epoch, epoch - 1)).unwrap();
        keys.extend(&proven).unwrap();
    }
    keys
}

/// Headers of blocks of these epochs, each the parent of the next.
fn chain_of(network: &Network, epochs: impl IntoIterator<Item = u64>) -> Vec<Header> {
    let mut parent = Digest::ZERO;
    let next = |(epoch, height)| {
        let header = Header { chain_spec: network.hash(), ..header(epoch, height, parent) };
        parent = header.hash();
        header
    };
    epochs.into_iter().zip(1..).map(next).collect()
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

    let check = |signed| network.succession(&keys, signed).map(|_| ()).unwrap_err();
    assert!(matches!(check(handover(&network, 3, 3)), VerifyError::Group(_)), "it vouches for itself");
    assert!(matches!(check(handover(&network, 3, 1)), VerifyError::Group(_)), "the key before the last");
    assert!(matches!(check(handover(&network, 4, 3)), VerifyError::Unknown(UnknownEpoch::Later { .. })));
    assert_eq!(check(handover(&network, 0, 0)), VerifyError::FirstEpoch);
    let mut moved = handover(&network, 3, 2);
    moved.signed.handover.first_batch += 1;
    assert!(matches!(check(moved), VerifyError::Group(_)), "another first batch than was signed");
    let mut swapped = handover(&network, 3, 2);
    swapped.signed.handover.next.key = key(7);
    assert!(matches!(check(swapped), VerifyError::Group(_)), "another key than was signed");
}

#[test]
fn a_proven_handover_extends_only_what_it_follows() {
    let network = network();
    let longer = keys(&network, 2);
    let third = network.succession(&longer, handover(&network, 3, 2)).unwrap();
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
    let mut keys = Keys::trusted(Epoch::new(5), key(5), None);
    let sixth = network.succession(&keys, handover(&network, 6, 5)).unwrap();
    keys.extend(&sixth).unwrap();
    assert_eq!(*keys.of(Epoch::new(6)).unwrap(), key(6));
    let unknown = network.succession(&keys, handover(&network, 5, 4)).unwrap_err();
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
        let encoded = EncodedBatch {
            payload: Bytes::new(),
            inline: Bytes::new(),
            commitments: Vec::new(),
            proofs: Vec::new(),
        };
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
        let earlier = check(&network, &Keys::trusted(Epoch::new(2), key(2), None), 1).unwrap_err();
        assert!(matches!(earlier, VerifyError::Unknown(UnknownEpoch::Earlier { .. })), "{earlier}");
    }
}

/// Whether a block of this epoch is believed when these validators voted for it in that one.
fn check_block(keys: &Keys, epoch: u64, voted: u64, signers: &[u8]) -> Result<(), VerifyError> {
    let mut block = ordered_block((epoch, 1), Digest::ZERO, vec![], []);
    let header = Header { epoch: Epoch::new(voted), ..block.header.clone() };
    block.certificate.signatures = certify_as(&block.header, &header, signers);
    network().ordered(keys, Arc::new(block)).map(|_| ())
}

fn certify_as(header: &Header, voted: &Header, signers: &[u8]) -> Vec<(ValidatorId, Signature)> {
    let digest =
        network().domain().vote(true, voted.epoch, header.height, Round::new(0), Some(header.hash()));
    signers.iter().map(|id| (ValidatorId::new((*id).into()), validator(*id).sign(digest))).collect()
}

/// The founders, then seven others of whom two are founders, then four of those.
fn changing() -> (Keys, [Vec<u8>; 3]) {
    let committees = [vec![1, 2, 3, 4], vec![2, 4, 5, 6, 7, 8, 9], vec![2, 6, 8, 9]];
    let network = network();
    let mut keys = founded(&network);
    for epoch in 1..=2 {
        let members = committee(committees[epoch as usize].clone());
        keys.extend(&network.succession(&keys, succession(&network, epoch, epoch - 1, &members)).unwrap())
            .unwrap();
    }
    (keys, committees)
}

/// Each epoch's blocks by its own members, and by a quorum of so many; never by another epoch's.
#[test]
fn a_block_needs_a_quorum_of_the_members_of_its_epoch() {
    let (keys, committees) = changing();
    for (epoch, members) in (0..).zip(&committees) {
        let quorum = [3, 5, 3][epoch as usize];
        assert_eq!(check_block(&keys, epoch, epoch, members), Ok(()), "epoch {epoch}");
        assert_eq!(check_block(&keys, epoch, epoch, &members[..quorum]), Ok(()), "epoch {epoch}");
        let few = check_block(&keys, epoch, epoch, &members[..quorum - 1]);
        assert!(matches!(few, Err(VerifyError::Certificate(CertificateError::NoQuorum { .. }))), "{few:?}");
        for other in committees.iter().filter(|other| *other != members) {
            let strangers = check_block(&keys, epoch, epoch, other);
            assert!(matches!(strangers, Err(VerifyError::Certificate(_))), "{other:?} in epoch {epoch}");
        }
        let voted = check_block(&keys, epoch, epoch + 1, members);
        assert!(matches!(voted, Err(VerifyError::Certificate(_))), "votes of another epoch");
    }
    let later = check_block(&keys, 3, 3, &[2, 6, 8, 9]).unwrap_err();
    assert!(matches!(later, VerifyError::Unknown(UnknownEpoch::Later { .. })), "{later}");
}

/// The founders' blocks need no key, since they come before there is one.
#[test]
fn a_block_of_the_founders_needs_no_keys() {
    let block = |epoch| Arc::new(ordered_block((epoch, 1), Digest::ZERO, vec![], 1..=3));
    assert!(network().ordered(None, block(0)).is_ok());
    let unknown = network().ordered(None, block(1)).unwrap_err();
    assert!(matches!(unknown, VerifyError::Unknown(UnknownEpoch::Later { .. })), "{unknown}");
    let mut other = ordered_block((0, 1), Digest::ZERO, vec![], 1..=3);
    other.certificate.epoch = Epoch::new(1);
    assert_eq!(network().ordered(None, Arc::new(other)).unwrap_err(), VerifyError::OtherHeader);
}

#[test]
fn members_that_were_not_handed_over_to_are_refused() {
    let network = network();
    let keys = founded(&network);
    let true_members = committee([1, 2, 5, 6]);
    let check = |members| {
        let succession = Succession { members, ..succession(&network, 1, 0, &true_members) };
        network.succession(&keys, succession).map(|_| ())
    };
    assert_eq!(check(true_members.clone()), Ok(()));
    let forged = Err(VerifyError::Members(Epoch::new(1)));
    assert_eq!(check(committee([1, 2, 5, 7])), forged, "another member");
    assert_eq!(check(committee([1, 2, 5])), forged, "one left out");
    assert_eq!(check(committee([1, 2, 5, 6, 7])), forged, "one too many");
    assert_eq!(check(committee([])), forged);
    let nobody = succession(&network, 1, 0, &committee([]));
    assert_eq!(network.succession(&keys, nobody).map(|_| ()), forged, "not even if it is signed");
    let vouching = succession(&network, 1, 1, &true_members);
    assert!(matches!(network.succession(&keys, vouching), Err(VerifyError::Group(_))), "by its own key");
}

/// What is signed of a committee is its addresses, not its numbers: a node that tells other numbers must not be able to make
/// honest certificates look wrong.
#[test]
fn members_may_be_called_by_other_numbers() {
    let network = network();
    let mut keys = founded(&network);
    let real = [2, 4, 5, 6, 7, 8, 9];
    let mut next = succession(&network, 1, 0, &committee(real));
    let renamed = real.iter().zip(100..).map(|(id, n)| (ValidatorId::new(n), validator(*id).public_key()));
    next.members = Committee::new(renamed.collect());
    keys.extend(&network.succession(&keys, next).unwrap()).unwrap();
    assert_eq!(check_block(&keys, 1, 1, &[2, 5, 6, 7, 9]), Ok(()));
    assert_eq!(check_block(&keys, 1, 1, &[9, 2, 5, 6, 7]), Ok(()), "in whatever order they come");
    let refused =
        |signers: &[u8]| matches!(check_block(&keys, 1, 1, signers), Err(VerifyError::Certificate(_)));
    assert!(refused(&[2, 5, 6, 7]), "no quorum");
    assert!(refused(&[2, 5, 6, 7, 7]), "one twice");
    assert!(refused(&[2, 5, 6, 7, 10]), "a stranger");
    assert!(refused(&[1, 2, 3, 4]), "the founders");
}

/// L1 has a key, and of its members the hash.
#[test]
fn members_of_a_trusted_epoch_are_those_that_l1_names() {
    let (epoch, members) = (Epoch::new(5), committee([2, 4, 5, 6]));
    let keyless = |keys: &Keys| check_block(keys, 5, 5, &[2, 4, 5]);
    let mut bare = Keys::trusted(epoch, key(5), None);
    assert_eq!(keyless(&bare), Err(VerifyError::Unknown(UnknownEpoch::Members(epoch))));
    assert_eq!(bare.introduce(epoch, members.clone()), Err(MembersError::NoHash(epoch)));

    let mut keys = Keys::trusted(epoch, key(5), Some(committee_hash(&members)));
    assert_eq!(keyless(&keys), Err(VerifyError::Unknown(UnknownEpoch::Members(epoch))));
    let others = keys.introduce(epoch, committee([2, 4, 5, 7]));
    assert!(matches!(others, Err(MembersError::Others { .. })), "{others:?}");
    assert!(matches!(keys.introduce(Epoch::new(6), members.clone()), Err(MembersError::Unknown(_))));
    keys.introduce(epoch, members).unwrap();
    assert_eq!(keyless(&keys), Ok(()));

    let founders = Keys::trusted(epoch, key(5), Some(committee_hash(&committee(1..=4))));
    let network = network().trusting(founders);
    let block = Arc::new(ordered_block((5, 1), Digest::ZERO, vec![], 1..=3));
    assert!(network.ordered(network.trusted(), block).is_ok(), "the founders need no introduction");
}
