#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::{Address, CommitCertificate, Epoch, L1Reference, Round, SecretKey, Vote, VoteKind};

use super::*;

const PEER: ValidatorId = ValidatorId::new(2);
const NOW: Time = Time::from_millis(1_000);
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));

fn key(n: u16) -> SecretKey {
    SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap()
}

fn domain() -> Domain {
    Domain { l1_chain_id: 1, inbox: Address::new([0; 20]) }
}

fn committee() -> Committee {
    Committee::new((1..=4).map(|n| (ValidatorId::new(n), key(n).public_key())).collect())
}

fn item(height: u64, parent: Digest, signers: &[u16]) -> SyncItem {
    let cut = Cut {
        height: Height::new(height),
        epoch: Epoch::new(0),
        parent,
        parent_commit: None,
        time_ms: height,
        l1_reference: L1Reference::default(),
        seals_batch: false,
        tips: vec![],
        system: vec![],
    };
    let bytes = Bytes::from(cut.encode());
    let header = Header {
        version: 1,
        chain_spec: Digest::ZERO,
        epoch: cut.epoch,
        height: cut.height,
        parent,
        time_ms: height,
        l1_reference: cut.l1_reference,
        cut: Digest::sha256(&[&bytes]),
        tx_root: Digest::ZERO,
        tx_count: 0,
        state_root: Digest::ZERO,
        seals_batch: false,
    };
    let sign = |n: &u16| {
        let validator = ValidatorId::new(*n);
        let vote = Vote {
            kind: VoteKind::Precommit,
            epoch: cut.epoch,
            height: cut.height,
            round: Round::new(0),
            value: Some(header.hash()),
            validator,
        };
        (validator, vote.sign(&domain(), &key(*n)).signature)
    };
    let certificate = CommitCertificate {
        epoch: cut.epoch,
        height: cut.height,
        round: Round::new(0),
        header: header.hash(),
        signatures: signers.iter().map(sign).collect(),
    };
    SyncItem { cut: bytes, header, certificate }
}

fn chain(count: u64) -> Vec<SyncItem> {
    let mut parent = Digest::ZERO;
    (1..=count)
        .map(|height| {
            let item = item(height, parent, &[1, 2, 3]);
            parent = item.header.hash();
            item
        })
        .collect()
}

fn asked() -> Sync {
    let mut sync = Sync::default();
    let (peer, request) = sync.ask(NOW, Height::ZERO, &[PEER], true, DELAYS).unwrap();
    assert_eq!((peer, request.first), (PEER, Height::new(1)));
    sync
}

fn answer(sync: &mut Sync, from: ValidatorId, items: Vec<SyncItem>) -> Result<(), AnswerError> {
    sync.answer(from, items, (Height::ZERO, Digest::ZERO), &domain(), &committee())
}

#[test]
fn a_proven_chain_is_taken_in_order() {
    let mut sync = asked();
    let items = chain(3);
    answer(&mut sync, PEER, items.clone()).unwrap();
    for item in items {
        assert_eq!(sync.front().unwrap().item, item);
        sync.applied(item);
    }
    assert!(sync.front().is_none());
}

#[test]
fn whatever_is_not_proven_is_refused() {
    let refused = |items| answer(&mut asked(), PEER, items).unwrap_err();
    assert_eq!(refused(vec![]), AnswerError::Count);
    assert_eq!(refused(chain(65)), AnswerError::Count);
    assert_eq!(refused(chain(3)[1..].to_vec()), AnswerError::Chain);
    assert_eq!(refused(vec![item(1, Digest::sha256(&[]), &[1, 2, 3])]), AnswerError::Chain);
    assert_eq!(refused(vec![item(1, Digest::ZERO, &[1, 2])]), AnswerError::Certificate);
    let mut other = chain(1);
    other[0].header.tx_count = 5;
    assert_eq!(refused(other), AnswerError::Certificate);
    let mut other = chain(1);
    other[0].cut = Bytes::from_static(b"other");
    assert_eq!(refused(other), AnswerError::Cut);
    assert_eq!(answer(&mut asked(), ValidatorId::new(3), chain(1)), Err(AnswerError::Unasked));
}

#[test]
fn a_silent_peer_loses_its_turn() {
    let peers = [2, 3].map(ValidatorId::new);
    let mut sync = Sync::default();
    let mut ask = |at: Time| sync.ask(at, Height::ZERO, &peers, true, DELAYS).map(|(peer, _)| peer);
    assert_eq!(ask(NOW), Some(peers[0]));
    assert_eq!(ask(NOW), None);
    assert_eq!(ask(NOW + DELAYS.1), Some(peers[1]));
}

/// Found by the simulator (a peer that lies about its height and answers with nothing new, messages doubled on the way): each
/// worthless answer freed the asker, which asked the same peer again at once. Two answers to one question became two questions, and
/// so on: millions of messages within a simulated second, and no other peer was ever asked.
#[test]
fn a_worthless_answer_does_not_make_us_ask_again_at_once() {
    let peers = [2, 3].map(ValidatorId::new);
    for worthless in [vec![], vec![item(2, Digest::ZERO, &[1, 2, 3])], chain(1)] {
        let mut sync = Sync::default();
        let tip = (Height::new(1), chain(1)[0].header.hash());
        assert!(sync.ask(NOW, tip.0, &peers, true, DELAYS).is_some_and(|(peer, _)| peer == peers[0]));
        for _ in 0..2 {
            let _ = sync.answer(peers[0], worthless.clone(), tip, &domain(), &committee());
            assert_eq!(sync.ask(NOW, tip.0, &peers, true, DELAYS), None);
        }
        let next = sync.ask(NOW + DELAYS.1, tip.0, &peers, true, DELAYS);
        assert!(next.is_some_and(|(peer, _)| peer == peers[1]), "the next peer has its turn");
    }
}

#[test]
fn one_height_behind_waits_for_its_votes_first() {
    let mut sync = Sync::default();
    assert!(sync.ask(NOW, Height::ZERO, &[PEER], false, DELAYS).is_none());
    assert_eq!(sync.next_deadline(DELAYS.0), Some(NOW + DELAYS.0));
    assert!(sync.ask(NOW + DELAYS.0, Height::ZERO, &[PEER], false, DELAYS).is_some());
}

#[test]
fn recent_heights_are_served_from_memory_and_older_ones_are_not() {
    let mut sync = Sync::default();
    for item in chain(KEPT_HEIGHTS as u64 + 5) {
        sync.applied(item);
    }
    let request = |first, last| FetchDecided { first: Height::new(first), last: Height::new(last) };
    assert_eq!(sync.serve(&request(5, 10)), None);
    let heights = |first, last| -> Vec<u64> {
        let items = sync.serve(&request(first, last)).unwrap();
        items.iter().map(|i| i.header.height.get()).collect()
    };
    assert_eq!(heights(6, 8), [6, 7, 8]);
    let newest = KEPT_HEIGHTS as u64 + 5;
    assert_eq!(heights(newest, newest + 9), [newest]);
    assert_eq!(heights(10, 500).len() as u64, MAX_SYNC_HEIGHTS);
}
