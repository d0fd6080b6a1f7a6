#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::{Committee, DataPolicy, Limits, Rollup, RollupKind};
use ordering_types::{
    Address, ChainSpec, Chunk, Digest, Epoch, Height, Incarnation, L1Reference, LaneSequence, LaneTip,
    ParentCommit, RollupId, SecretKey, Transaction,
};

use super::*;
use crate::cut::build::{Moment, build};
use crate::ids::tests::hasher;
use crate::load::OnL1;

const ROLLUP: RollupId = RollupId::new(1);

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32]).unwrap()
}

fn rules() -> Rules {
    let limits = Limits {
        block_bytes: 10_000,
        blob_bytes_per_block: 1_000,
        blob_bytes_per_batch: 1_500,
        chunks_per_lane_per_cut: 3,
        ..Limits::default()
    };
    Rules::new(&ChainSpec {
        network: String::new(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        limits,
        validators: vec![],
        rollups: vec![Rollup {
            id: ROLLUP,
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 1,
            data: DataPolicy::Blob,
            quota_bytes_per_block: 900,
        }],
        ..ChainSpec::default()
    })
}

fn committee() -> Committee {
    Committee::new((1..=4).map(|n| (ValidatorId::new(n.into()), key(n).public_key())).collect())
}

fn domain() -> Domain {
    Domain { l1_chain_id: 1, inbox: Address::new([0; 20]) }
}

fn lane(validator: u16) -> LaneId {
    LaneId { validator: ValidatorId::new(validator), incarnation: Incarnation::new(1) }
}

/// A lane's first chunks, each with one transaction of `length` bytes.
fn chunks(validator: u16, count: u64, length: usize) -> Vec<Arc<Held>> {
    let mut parent = Digest::ZERO;
    (1..=count)
        .map(|sequence| {
            let mut data = vec![u8::try_from(validator).unwrap(); length];
            data[0] = u8::try_from(sequence).unwrap();
            let transaction = Transaction { rollup: ROLLUP, data: Bytes::from(data) };
            let place = LaneSequence::new(sequence);
            let chunk = Chunk::new(lane(validator), place, parent, &[transaction]).unwrap();
            parent = chunk.digest();
            Arc::new(Held::new(chunk, &rules()))
        })
        .collect()
}

fn state() -> ReplayState {
    let mut state = ReplayState::genesis(&committee());
    state.replayed.epochs = crate::epoch::tests::making_of(crate::committee::Members::new(committee()));
    state.time_ms = 500;
    state
}

fn good() -> Cut {
    let tip = LaneTip { lane: lane(2), sequence: LaneSequence::new(1), digest: Digest::ZERO };
    Cut {
        height: Height::new(1),
        epoch: Epoch::new(0),
        parent: Digest::ZERO,
        parent_commit: None,
        time_ms: 500,
        l1_reference: L1Reference::default(),
        seals_batch: false,
        tips: vec![tip],
        system: vec![say(1, 1)],
    }
}

fn say(sender: u8, sequence: u64) -> SystemMessage {
    let id = ValidatorId::new(sender.into());
    SystemMessage::sign(&domain(), id, sequence, b"hello".to_vec(), &key(sender))
}

fn check(cut: &Cut) -> Result<(), CutError> {
    check_shape(cut, &rules(), &state(), |_| false)
}

#[test]
fn every_rule_of_shape_refuses_its_breach() {
    check(&good()).unwrap();
    let breach = |change: &dyn Fn(&mut Cut)| {
        let mut cut = good();
        change(&mut cut);
        check(&cut).unwrap_err()
    };
    assert_eq!(breach(&|c| c.height = Height::new(2)), CutError::Parent);
    assert_eq!(breach(&|c| c.epoch = Epoch::new(1)), CutError::Parent);
    assert_eq!(breach(&|c| c.parent = Digest::sha256(&[])), CutError::Parent);
    assert_eq!(breach(&|c| c.time_ms = 499), CutError::Time);
    assert_eq!(breach(&|c| c.l1_reference.number = 1), CutError::L1Reference);
    assert_eq!(breach(&|c| c.tips[0].lane = lane(9)), CutError::Lane(lane(9)));
    let advance = CutError::Advance(lane(2));
    assert_eq!(breach(&|c| c.tips[0].sequence = LaneSequence::new(0)), advance);
    assert_eq!(breach(&|c| c.tips[0].sequence = LaneSequence::new(4)), advance);
    let system = |n| CutError::System(ValidatorId::new(n));
    assert_eq!(breach(&|c| c.system.push(say(1, 1))), system(1));
    assert_eq!(breach(&|c| c.system[0].payload = b"other".to_vec()), system(1));
    assert_eq!(breach(&|c| c.system[0].sequence = 0), system(1));
    assert_eq!(breach(&|c| c.system.push(say(9, 1))), system(9));
}

/// They have a bounded number an epoch: whoever is registered could fill the log otherwise.
#[test]
fn who_is_no_member_speaks_if_it_is_active_and_so_much() {
    let says = |sender: u8, sequence| {
        let id = ValidatorId::new(sender.into());
        SystemMessage::sign(&domain(), id, sequence, b"hello".to_vec(), &key(sender))
    };
    let check =
        |state: &ReplayState, system| check_shape(&Cut { system, ..good() }, &rules(), state, |_| false);
    let mut state = state();
    let of = |error| Err(error);
    assert_eq!(check(&state, vec![says(5, 1)]), of(CutError::System(ValidatorId::new(5))));
    state.replayed.l1 = crate::l1::tests::listed(6);
    let cut = |count| Cut {
        l1_reference: state.l1_reference(),
        system: (1..=count).map(|n| says(5, n)).collect(),
        ..good()
    };
    let judged = |count| check_shape(&cut(count), &rules(), &state, |_| false);
    assert_eq!(judged(16), Ok(()));
    let mut spent = state.clone();
    let told: Vec<SystemMessage> = (1..=250).map(|n| says(5, n)).collect();
    let tally = spent.tally(&[], &rules());
    let block =
        crate::epoch::ClosedBlock { height: Height::new(1), time_ms: 1, next_batch: 1, messages: &told };
    spent.close_epoch(block, tally, &rules());
    assert_eq!(check_shape(&cut(6), &rules(), &spent, |_| false), Ok(()));
    assert_eq!(check_shape(&cut(7), &rules(), &spent, |_| false), of(CutError::Outside(ValidatorId::new(5))));
}

/// Without this rule a batch could hold blocks of two epochs, which no one key can sign.
#[test]
fn the_last_block_of_an_epoch_ends_its_batch() {
    let named = ordering_types::handover::committee_hash(&committee());
    let vote = crate::epoch::tests::vote_in((&domain(), named), 1, 1, 1);
    let payload = [&[crate::epoch::EPOCH_VOTE], vote.encode().as_slice()].concat();
    let says = |sender: u8| {
        SystemMessage::sign(&domain(), ValidatorId::new(sender.into()), 1, payload.clone(), &key(sender))
    };
    let quorum = u8::try_from(committee().quorum()).unwrap();
    let mut cut = Cut { system: (1..quorum).map(says).collect(), ..good() };
    check(&cut).unwrap();
    cut.system.push(says(quorum));
    assert_eq!(check(&cut), Err(CutError::SpansEpochs));
    check(&Cut { seals_batch: true, ..cut }).unwrap();
}

/// The state after block 6, and that block's certificate of round 2 by these validators.
fn committed(signers: &[u8]) -> (ReplayState, CommitCertificate) {
    let mut state = state();
    (state.height, state.header) = (Height::new(6), Digest::sha256(&[b"six"]));
    let mut certificate = CommitCertificate {
        epoch: Epoch::new(0),
        height: Height::new(6),
        round: Round::new(2),
        header: state.header,
        signatures: vec![],
    };
    let digest = domain().vote(true, Epoch::new(0), Height::new(6), Round::new(2), Some(state.header));
    certificate.signatures =
        signers.iter().map(|n| (ValidatorId::new((*n).into()), key(*n).sign(digest))).collect();
    (state, certificate)
}

fn check_commit(
    commit: Option<ParentCommit>,
    state: &ReplayState,
    held: &CommitCertificate,
) -> Result<(), CutError> {
    let cut = Cut { height: Height::new(7), parent: state.header, parent_commit: commit, ..good() };
    check_parent_commit(&cut, state, &domain(), &mut ParentSignatures::of(held))
}

#[test]
fn a_cut_must_carry_a_quorum_for_the_block_before() {
    let (state, held) = committed(&[1, 2, 3]);
    let wrong = Err(CutError::ParentCommit);
    let with = |signers: &[u8], change: &dyn Fn(&mut ParentCommit)| {
        let mut commit = ParentCommit::from(&committed(signers).1);
        change(&mut commit);
        check_commit(Some(commit), &state, &held)
    };
    assert_eq!(with(&[1, 2, 3], &|_| {}), Ok(()), "the very certificate that is held");
    assert_eq!(with(&[2, 3, 4], &|_| {}), Ok(()), "another one");
    assert_eq!(with(&[1, 2, 3, 4], &|_| {}), Ok(()));
    assert_eq!(check_commit(None, &state, &held), wrong);
    assert_eq!(with(&[1, 2], &|_| {}), wrong, "no quorum");
    assert_eq!(with(&[1, 2, 9], &|_| {}), wrong, "a stranger");
    assert_eq!(with(&[3, 2, 1], &|_| {}), wrong, "signers out of order");
    assert_eq!(with(&[1, 2, 2], &|_| {}), wrong, "a signer twice");
    assert_eq!(with(&[1, 2, 4], &|c| c.signatures[2].1 = c.signatures[1].1), wrong, "a forged signature");
    assert_eq!(with(&[1, 2, 3], &|c| c.round = Round::new(1)), wrong, "signatures of another round");
    let mut elsewhere = state.clone();
    elsewhere.header = Digest::sha256(&[b"another six"]);
    assert_eq!(check_commit(Some(ParentCommit::from(&held)), &elsewhere, &committed(&[]).1), wrong);
}

#[test]
fn the_first_cut_has_no_block_before_it() {
    let (_, held) = committed(&[1, 2, 3]);
    let check = |commit| {
        let cut = Cut { parent_commit: commit, ..good() };
        check_parent_commit(&cut, &state(), &domain(), &mut ParentSignatures::default())
    };
    assert_eq!(check(None), Ok(()));
    assert_eq!(check(Some(ParentCommit::from(&held))), Err(CutError::ParentCommit));
}

#[test]
fn a_cut_over_a_blocks_limits_is_invalid_as_a_whole() {
    let (rules, state, window) = (rules(), state(), Window::new(hasher(), 10, vec![]));
    let lanes = [chunks(1, 1, 440), chunks(2, 1, 440)];
    let cut = Cut { seals_batch: true, ..good() };
    check_covered(&cut, &lanes, &rules, &state, &window).unwrap();
    let over = [chunks(1, 1, 450), chunks(2, 1, 450)];
    assert_eq!(check_covered(&cut, &over, &rules, &state, &window), Err(CutError::TooHeavy));
}

#[test]
fn a_batch_that_could_overflow_must_be_sealed() {
    let (rules, window) = (rules(), Window::new(hasher(), 10, vec![]));
    let lanes = [chunks(1, 1, 440)];
    let mut state = state();
    state.replayed.batch = state.replayed.batch.with(0, OnL1 { blob: 100, calldata: 0 }, 0);
    let mut cut = good();
    assert_eq!(check_covered(&cut, &lanes, &rules, &state, &window), Err(CutError::Unsealed));
    cut.seals_batch = true;
    check_covered(&cut, &lanes, &rules, &state, &window).unwrap();
    // What the window skips does not count.
    cut.seals_batch = false;
    let id = (ROLLUP, lanes[0][0].ids[0]);
    let seen = Window::new(hasher(), 10, vec![(Height::new(1), vec![id])]);
    check_covered(&cut, &lanes, &rules, &state, &seen).unwrap();
}

#[test]
fn what_is_built_is_valid_and_gives_each_lane_its_turn() {
    let (rules, state, window) = (rules(), state(), Window::new(hasher(), 10, vec![]));
    let ready = [chunks(1, 9, 192), chunks(2, 9, 192)];
    let cut = build(at(700), &rules, &state, &window, &ready, vec![], None);
    check(&cut).unwrap();
    // The quota holds four transactions of 200, two of each lane.
    let sequences: Vec<_> = cut.tips.iter().map(|t| t.sequence.get()).collect();
    assert_eq!(sequences, [2, 2]);
    let lanes: Vec<_> = ready.iter().map(|lane| lane[..2].to_vec()).collect();
    check_covered(&cut, &lanes, &rules, &state, &window).unwrap();
    assert!(cut.seals_batch, "800 of 1,500 bytes leave no room for another 1,000");
}

/// A batch ends where another block like its last one would overflow its blobs, as far as the proposer knows how they fill.
#[test]
fn a_batch_ends_where_its_blobs_are_full() {
    let (mut rules, state, window) = (rules(), state(), Window::new(hasher(), 10, vec![]));
    rules.limits.blob_bytes_per_batch = 10_000;
    let ready = [chunks(1, 9, 192), chunks(2, 9, 192)];
    let seals = |blobs_full_at, ready: &[Vec<Arc<Held>>]| {
        let moment = Moment { now_ms: 700, blobs_full_at };
        build(moment, &rules, &state, &window, ready, vec![], None).seals_batch
    };
    // The block has 800 bytes.
    assert!(!seals(None, &ready) && !seals(Some(1_600), &ready));
    assert!(seals(Some(1_599), &ready));
    assert!(!seals(Some(0), &[]), "a block without data fills nothing");
}

/// A Byzantine owner fills a rollup's whole quota with each of its chunks. The others' chunks go into every block all the same, whoever has
/// the first turn.
#[test]
fn an_owner_that_crowds_a_quota_does_not_keep_others_out() {
    let (rules, window) = (rules(), Window::new(hasher(), 10, vec![]));
    let ready = [chunks(1, 1, 192), chunks(2, 3, 892), chunks(3, 1, 192), chunks(4, 1, 192)];
    for first in 0..4 {
        let mut state = state();
        let mut parent = [0; 32];
        parent[7] = first;
        state.header = Digest::new(parent);
        let cut = build(at(700), &rules, &state, &window, &ready, vec![], None);
        let lanes: Vec<_> = cut.tips.iter().map(|t| t.lane.validator.get()).collect();
        assert_eq!(lanes, [1, 3, 4], "with the first turn at lane {first}");
    }
    let alone = build(at(700), &rules, &state(), &window, &ready[1..2], vec![], None);
    assert_eq!(alone.tips.len(), 1, "what nobody else needs it may have");
}

const fn at(now_ms: u64) -> Moment {
    Moment { now_ms, blobs_full_at: None }
}
