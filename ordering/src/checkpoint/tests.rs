#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::{Epoch, Header, L1Reference, LaneId, LaneSequence};

use super::*;
use crate::sync::tests::{certificate, committee, domain};

const NOW: Time = Time::from_millis(1_000);
const TURN: Duration = Duration::from_millis(300);
const HEARD: Height = Height::new(50_000);

fn spec() -> Digest {
    Digest::sha256(&[b"spec"])
}

fn at_most() -> u64 {
    HEARD.get() - u64::from(Limits::default().duplicate_window_blocks)
}

fn checkpoint(height: u64, signers: &[u16]) -> Checkpoint {
    let mut state = ReplayState::genesis(&committee());
    let lane = LaneId { validator: ValidatorId::new(1), incarnation: ordering_types::Incarnation::new(1) };
    state.advance(lane, LaneSequence::new(9), Digest::sha256(&[b"tip"]));
    let header = Header {
        version: 1,
        chain_spec: spec(),
        epoch: Epoch::new(0),
        height: Height::new(height),
        parent: Digest::ZERO,
        time_ms: 77,
        l1_reference: L1Reference::default(),
        forced_cursor: 0,
        cut: Digest::ZERO,
        tx_root: Digest::ZERO,
        tx_count: 0,
        state_root: state.root(),
        seals_batch: true,
    };
    let certificate = certificate(&header, signers);
    Checkpoint { header, certificate, snapshot: state.snapshot().into(), context: Bytes::new() }
}

fn peers() -> Vec<(ValidatorId, Height)> {
    [2, 3, 4].map(|id| (ValidatorId::new(id), HEARD)).to_vec()
}

fn ask(sync: &mut StateSync, now: Time) -> Option<u16> {
    let asked = sync.ask(now, (newest(HEARD, HEARD, &Limits::default()), Epoch::new(0)), &peers(), TURN);
    asked.map(|(peer, request)| {
        assert_eq!(request.at_most.get(), at_most());
        peer.get()
    })
}

fn answer(sync: &mut StateSync, from: u16, checkpoint: &Checkpoint) -> Result<ReplayState, CheckpointError> {
    let (domain, limits) = (domain(), Limits::default());
    let trusted = Trusted { chain_spec: spec(), domain: &domain, limits: &limits };
    sync.answer(ValidatorId::new(from), checkpoint, trusted)
}

#[test]
fn a_proven_checkpoint_gives_its_state() {
    let mut sync = StateSync::default();
    assert_eq!(ask(&mut sync, NOW), Some(2));
    let state = answer(&mut sync, 2, &checkpoint(at_most() - 100, &[1, 3, 4])).unwrap();
    assert_eq!(state.height.get(), at_most() - 100);
    assert_eq!(state.replayed.tips.len(), 1);
}

#[test]
fn what_is_forged_old_too_new_or_not_asked_for_is_refused() {
    let refused = |from, checkpoint: &Checkpoint| {
        let mut sync = StateSync::default();
        ask(&mut sync, NOW).unwrap();
        answer(&mut sync, from, checkpoint).unwrap_err()
    };
    let good = checkpoint(at_most(), &[1, 2, 3]);
    assert_eq!(refused(3, &good), CheckpointError::Unasked);
    let oldest = at_most() - MAX_AGE_BATCHES * u64::from(Limits::default().blocks_per_batch);
    assert_eq!(refused(2, &checkpoint(oldest - 1, &[1, 2, 3])), CheckpointError::Age);
    assert_eq!(refused(2, &checkpoint(at_most() + 1, &[1, 2, 3])), CheckpointError::Age);
    assert_eq!(refused(2, &checkpoint(at_most(), &[1, 2])), CheckpointError::Certificate);
    assert_eq!(refused(2, &checkpoint(at_most(), &[3, 3, 3])), CheckpointError::Certificate);
    let other = checkpoint(at_most() - 1, &[1, 2, 3]);
    let of_another = Checkpoint { certificate: other.certificate, ..good.clone() };
    assert_eq!(refused(2, &of_another), CheckpointError::Certificate);
    let of_another =
        Checkpoint { snapshot: ReplayState::genesis(&committee()).snapshot().into(), ..good.clone() };
    assert_eq!(refused(2, &of_another), CheckpointError::State);
    let junk = Checkpoint { snapshot: Bytes::from_static(b"junk"), ..good.clone() };
    assert_eq!(refused(2, &junk), CheckpointError::State);
    let mut foreign = good;
    foreign.header.chain_spec = Digest::ZERO;
    assert_eq!(refused(2, &foreign), CheckpointError::Network);
}

#[test]
fn silent_and_lying_peers_are_asked_last_and_in_the_end_there_is_a_pause() {
    let mut sync = StateSync::default();
    assert_eq!(ask(&mut sync, NOW), Some(2));
    assert_eq!(ask(&mut sync, NOW), None, "one at a time");
    assert_eq!(ask(&mut sync, NOW + TURN), Some(3), "2 was silent");
    let forged = checkpoint(at_most(), &[1, 2]);
    answer(&mut sync, 3, &forged).unwrap_err();
    assert_eq!(answer(&mut sync, 3, &forged), Err(CheckpointError::Unasked), "its turn is over");
    assert_eq!(ask(&mut sync, NOW + TURN), None);
    assert_eq!(ask(&mut sync, NOW + 2 * TURN), Some(4));
    let rest: Vec<_> = (3..6).map(|turn| ask(&mut sync, NOW + turn * TURN).unwrap()).collect();
    assert_eq!(rest, [2, 3, 4]);
    let end = NOW + 6 * TURN;
    assert!(sync.is_active(end));
    assert_eq!(ask(&mut sync, end), None);
    assert!(!sync.is_active(end), "value sync goes on as far as it can");
    assert_eq!(ask(&mut sync, end + PAUSE), Some(2));
}

/// Found by a test of whole nodes: a node that came back heard first of heights of long ago, asked for a checkpoint of then, and replayed
/// the rest because that was of no use.
#[test]
fn a_checkpoint_that_was_overtaken_makes_no_pause() {
    let mut sync = StateSync::default();
    for turn in 0..TRIES * peers().len() {
        assert_eq!(ask(&mut sync, NOW), Some(2), "{turn}");
        answer(&mut sync, 2, &checkpoint(at_most() - 100, &[1, 2, 3])).unwrap();
        sync.overtaken();
    }
    assert_eq!(ask(&mut sync, NOW), None, "a peer cannot go on so for ever");
    assert!(!sync.is_active(NOW));
}

#[test]
fn more_than_two_windows_are_not_replayed() {
    let limits = Limits { duplicate_window_blocks: 10, ..Limits::default() };
    assert!(!is_far_behind(Height::new(5), Height::new(25), &limits));
    assert!(is_far_behind(Height::new(5), Height::new(26), &limits));
    assert!(!is_far_behind(Height::new(26), Height::new(5), &limits));
}
