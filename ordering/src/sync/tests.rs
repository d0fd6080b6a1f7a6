#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::Committee;
use ordering_types::{Address, Epoch, L1Reference, ParentCommit, Round, SecretKey, Vote, VoteKind};

use super::*;
use crate::committee::Members;

const PEER: ValidatorId = ValidatorId::new(2);
const NOW: Time = Time::from_millis(1_000);
const TURN: Duration = Duration::from_millis(300);
const DELAYS: Delays = Delays { grace: Duration::from_millis(100), turn: TURN };
const FAR: Height = Height::new(1_000);

pub(crate) fn key(n: u16) -> SecretKey {
    SecretKey::from_bytes([u8::try_from(n).unwrap(); 32]).unwrap()
}

pub(crate) fn domain() -> Domain {
    Domain { l1_chain_id: 1, inbox: Address::new([0; 20]) }
}

fn epochs() -> EpochBook {
    EpochBook::genesis(Members::new(committee()))
}

pub(crate) fn committee() -> Committee {
    Committee::new((1..=4).map(|n| (ValidatorId::new(n), key(n).public_key())).collect())
}

pub(crate) fn certificate(header: &Header, signers: &[u16]) -> CommitCertificate {
    let sign = |n: &u16| {
        let validator = ValidatorId::new(*n);
        let vote = Vote {
            kind: VoteKind::Precommit,
            epoch: header.epoch,
            height: header.height,
            round: Round::new(0),
            value: Some(header.hash()),
            validator,
        };
        (validator, vote.sign(&domain(), &key(*n)).signature)
    };
    CommitCertificate {
        epoch: header.epoch,
        height: header.height,
        round: Round::new(0),
        header: header.hash(),
        signatures: signers.iter().map(sign).collect(),
    }
}

fn item(height: u64, parent: Digest, parent_commit: Option<ParentCommit>) -> SyncItem {
    let cut = Cut {
        height: Height::new(height),
        epoch: Epoch::new(0),
        parent,
        parent_commit,
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
        forced_cursor: 0,
        cut: Digest::sha256(&[&bytes]),
        tx_root: Digest::ZERO,
        tx_count: 0,
        state_root: Digest::ZERO,
        seals_batch: false,
    };
    SyncItem { cut: bytes, header, left_out: LeftOut::default(), chunks: vec![] }
}

fn chain(count: u64) -> Vec<SyncItem> {
    let mut items: Vec<SyncItem> = Vec::new();
    for height in 1..=count {
        let parent = items.last().map(|item| certificate(&item.header, &[1, 2, 3]));
        let hash = parent.as_ref().map_or(Digest::ZERO, |certificate| certificate.header);
        items.push(item(height, hash, parent.as_ref().map(ParentCommit::from)));
    }
    items
}

fn run(items: &[SyncItem]) -> DecidedRun {
    let certificate = items.last().map(|item| certificate(&item.header, &[2, 3, 4]));
    DecidedRun { items: items.to_vec(), certificate }
}

fn lag(ahead: &[(ValidatorId, Height)], heard: Height) -> Lag<'_> {
    Lag { tip: Height::ZERO, ahead, heard, follows: false }
}

fn peers(ids: &[u16]) -> Vec<(ValidatorId, Height)> {
    ids.iter().map(|id| (ValidatorId::new(*id), FAR)).collect()
}

fn asked() -> Sync {
    let mut sync = Sync::default();
    let (peer, request) = sync.ask(NOW, lag(&peers(&[2]), FAR), DELAYS).unwrap();
    assert_eq!((peer, request.first), (PEER, Height::new(1)));
    sync
}

fn answer(sync: &mut Sync, from: ValidatorId, run: DecidedRun) -> Result<(), AnswerError> {
    sync.answer((NOW, TURN), from, run, (Height::ZERO, Digest::ZERO), (&domain(), &epochs()))
}

fn kept(item: &SyncItem) -> Kept {
    Kept {
        header: item.header.clone(),
        certificate: certificate(&item.header, &[1, 2, 3]),
        cut: item.cut.clone(),
        covered: vec![],
    }
}

#[test]
fn a_run_is_proven_by_its_last_certificate_and_each_cut_brings_the_one_before() {
    let mut sync = asked();
    let items = chain(3);
    answer(&mut sync, PEER, run(&items)).unwrap();
    for item in &items {
        let proven = sync.proven(item.header.height).unwrap();
        assert_eq!(proven.header, item.header);
        proven.certificate.verify(&domain(), &committee()).unwrap();
        sync.applied(kept(item));
    }
    assert!(sync.proven.is_empty());
    assert_eq!(sync.proven_bytes, 0);
}

#[test]
fn whatever_is_not_proven_is_refused() {
    let refused = |run| answer(&mut asked(), PEER, run).unwrap_err();
    let items = chain(3);
    let with = |items: &[SyncItem], signers: &[u16]| DecidedRun {
        items: items.to_vec(),
        certificate: items.last().map(|item| certificate(&item.header, signers)),
    };
    assert_eq!(refused(run(&[])), AnswerError::Count);
    assert_eq!(refused(run(&chain(65))), AnswerError::Count);
    let no_child = item(1, Digest::sha256(&[]), None);
    assert_eq!(refused(run(&[no_child])), AnswerError::Chain);
    assert_eq!(refused(run(&[items[0].clone(), items[2].clone()])), AnswerError::Chain);
    assert_eq!(refused(with(&items, &[1, 2])), AnswerError::Certificate);
    assert_eq!(refused(with(&items, &[1, 1, 1])), AnswerError::Certificate);
    assert_eq!(refused(DecidedRun { certificate: None, ..run(&items) }), AnswerError::Certificate);
    let of_another = DecidedRun { items: items.clone(), ..with(&items[..2], &[1, 2, 3]) };
    assert_eq!(refused(of_another), AnswerError::Certificate);
    // In the middle of a run, what the certificate at its end does not reach.
    for place in 0..3 {
        let mut other = run(&items);
        other.items[place].header.tx_count = 5;
        let expected = if place == 2 { AnswerError::Certificate } else { AnswerError::Chain };
        assert_eq!(refused(other), expected);
        let mut other = run(&items);
        other.items[place].cut = Bytes::from_static(b"other");
        assert_eq!(refused(other), AnswerError::Cut);
    }
    assert_eq!(answer(&mut asked(), ValidatorId::new(3), run(&items)), Err(AnswerError::Unasked));
}

/// Several peers are asked at once, each for other heights; one that is silent holds up only its own.
#[test]
fn a_silent_peer_loses_its_turn_and_is_asked_last_from_then_on() {
    let three = peers(&[2, 3, 4]);
    let mut sync = Sync::default();
    let mut first: Vec<_> = Vec::new();
    while let Some((peer, request)) = sync.ask(NOW, lag(&three, FAR), DELAYS) {
        first.push((peer.get(), request.first.get(), request.last.get()));
    }
    assert_eq!(first, [(2, 1, 64), (3, 65, 128), (4, 129, 192), (2, 193, 256)]);
    let later = NOW + TURN * CHUNKS_PATIENCE;
    assert_eq!(sync.next_deadline(DELAYS.grace), Some(later));
    // Three answer, the first run is missing.
    let items = chain(256);
    for (peer, part) in [(3, 64..128), (4, 128..192)] {
        answer(&mut sync, ValidatorId::new(peer), run(&items[part])).unwrap();
    }
    let (peer, request) = sync.ask(later, lag(&three, FAR), DELAYS).unwrap();
    assert_eq!((peer.get(), request.first.get(), request.last.get()), (3, 1, 64));
    let (peer, _) = sync.ask(later, lag(&three, FAR), DELAYS).unwrap();
    assert_eq!(peer.get(), 4, "not the one that did not answer");
}

/// Answers from the next epoch counted as failures, so those who gave them came behind a silent peer, which was asked for what comes first again and again.
#[test]
fn who_answers_from_a_later_epoch_does_not_come_behind_who_is_silent() {
    let silent = ValidatorId::new(2);
    // It says to have decided two heights, and no more.
    let three = [vec![(silent, Height::new(2))], peers(&[3, 4])].concat();
    let mut sync = Sync::default();
    let later = |request: &FetchDecided| {
        let mut item = item(request.first.get(), Digest::ZERO, None);
        item.header.epoch = Epoch::new(1);
        run(&[item])
    };
    let mut now = NOW;
    let mut of_others = 0;
    // Its turns are longer than theirs, who answer at once.
    for _ in 0..8 * CHUNKS_PATIENCE {
        let mut asked = Vec::new();
        while let Some(one) = sync.ask(now, lag(&three, FAR), DELAYS) {
            asked.push(one);
        }
        for (peer, request) in asked.iter().filter(|(peer, _)| *peer != silent) {
            if request.first == Height::new(1) {
                of_others += 1;
                continue;
            }
            let (tip, book) = ((Height::ZERO, Digest::ZERO), epochs());
            let answered = sync.answer((now, TURN), *peer, later(request), tip, (&domain(), &book));
            assert_eq!(answered, Err(AnswerError::Epoch));
        }
        now = now + TURN;
    }
    assert!(of_others > 3, "{of_others} of eight turns at what comes first");
}

#[test]
fn what_an_answer_leaves_out_is_asked_for_again() {
    let mut sync = asked();
    answer(&mut sync, PEER, run(&chain(64)[..10])).unwrap();
    let (_, request) = sync.ask(NOW, lag(&peers(&[2]), FAR), DELAYS).unwrap();
    assert_eq!((request.first.get(), request.last.get()), (11, 74));
}

/// Memory is bounded whatever peers claim and however much they send.
#[test]
fn no_more_is_asked_for_than_there_is_room() {
    let two = peers(&[2, 3]);
    let mut sync = Sync::default();
    let mut requests = Vec::new();
    while let Some((peer, request)) = sync.ask(NOW, lag(&two, FAR), DELAYS) {
        requests.push((peer, request));
    }
    assert_eq!(requests.len(), MAX_ASKED);
    let items = chain(256);
    for (peer, request) in requests.into_iter().skip(1) {
        let part = request.first.get() as usize - 1..request.last.get() as usize;
        answer(&mut sync, peer, run(&items[part])).unwrap();
    }
    assert_eq!(sync.ask(NOW, lag(&two, FAR), DELAYS), None, "256 heights beyond the tip wait");
    // Nobody believes one peer that says to be far ahead.
    let mut sync = Sync::default();
    let mut count = 0;
    while sync.ask(NOW + DELAYS.grace, lag(&two, Height::new(2)), DELAYS).is_some() {
        count += 1;
    }
    assert_eq!(count, 1);
}

/// Found by the simulator (a peer that lies about its height and answers with nothing new, messages doubled on the way): each
/// worthless answer freed the asker, which asked the same peer again at once. Two answers to one question became two questions, and
/// so on: millions of messages within a simulated second, and no other peer was ever asked.
#[test]
fn a_worthless_answer_does_not_make_us_ask_again_at_once() {
    let ahead = [(2, 3), (3, 3)].map(|(id, height)| (ValidatorId::new(id), Height::new(height)));
    for worthless in [run(&[]), run(&[item(2, Digest::ZERO, None)]), run(&chain(1))] {
        let mut sync = Sync::default();
        let tip = (Height::new(1), chain(1)[0].header.hash());
        let lag = Lag { tip: tip.0, ahead: &ahead, heard: Height::new(3), follows: false };
        assert!(sync.ask(NOW, lag, DELAYS).is_some_and(|(peer, _)| peer == PEER));
        for _ in 0..2 {
            let _ = sync.answer((NOW, TURN), PEER, worthless.clone(), tip, (&domain(), &epochs()));
            assert_eq!(sync.ask(NOW, lag, DELAYS), None);
        }
        let next = sync.ask(NOW + TURN, lag, DELAYS);
        assert!(next.is_some_and(|(peer, _)| peer.get() == 3), "the next peer has its turn");
    }
}

#[test]
fn one_height_behind_waits_for_its_votes_first() {
    let mut sync = Sync::default();
    let ahead = [(PEER, Height::new(1))];
    let lag = lag(&ahead, Height::new(1));
    assert!(sync.ask(NOW, lag, DELAYS).is_none());
    assert_eq!(sync.next_deadline(DELAYS.grace), Some(NOW + DELAYS.grace));
    let (_, request) = sync.ask(NOW + DELAYS.grace, lag, DELAYS).unwrap();
    assert!(!request.chunks, "their owners have sent them");
}

/// Found by the simulator: the wait of before, when others were further too, was still the next alarm, and always over.
#[test]
fn who_follows_and_hears_of_one_only_has_no_alarm_in_the_past() {
    let mut sync = Sync::default();
    let ahead = [(PEER, Height::new(9))];
    let lag = |heard| Lag { tip: Height::ZERO, ahead: &ahead, heard: Height::new(heard), follows: true };
    assert!(sync.ask(NOW, lag(1), DELAYS).is_none(), "one height behind, and its votes may come");
    let later = NOW + DELAYS.grace * 2;
    assert!(sync.ask(later, lag(0), DELAYS).is_none(), "all others are no further");
    assert!(sync.next_deadline(DELAYS.grace).is_none_or(|due| due > later));
    let patient = later + DELAYS.grace * ALONE_PATIENCE;
    assert!(sync.ask(patient, lag(0), DELAYS).is_none());
    assert!(
        sync.ask(patient + DELAYS.grace, lag(0), DELAYS).is_some(),
        "it may be the only one that is left"
    );
}

#[test]
fn recent_heights_are_served_from_memory_and_older_ones_are_not() {
    let mut sync = Sync::default();
    let items = chain(KEPT_HEIGHTS as u64 + 5);
    items.iter().for_each(|item| sync.applied(kept(item)));
    let request =
        |first, last| FetchDecided { first: Height::new(first), last: Height::new(last), chunks: false };
    assert!(sync.serve(&request(5, 10)).is_none());
    let heights = |first, last| -> Vec<u64> {
        sync.serve(&request(first, last)).unwrap().map(|kept| kept.header.height.get()).collect()
    };
    assert_eq!(heights(6, 8), [6, 7, 8]);
    let newest = KEPT_HEIGHTS as u64 + 5;
    assert_eq!(heights(newest, newest + 9), [newest]);
    assert_eq!(heights(10, 500).len() as u64, MAX_SYNC_HEIGHTS);
    sync.jumped(Height::new(9_999));
    assert!(sync.serve(&request(newest, newest)).is_none(), "no height without those before it");
}
