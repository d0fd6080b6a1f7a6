#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::{Address, Epoch, Header, L1Reference, RollupId, RollupSection};

use super::*;

const DOMAIN: Domain = Domain { l1_chain_id: 1337, inbox: Address::new([0xaa; 20]) };
const NOW: Time = Time::from_millis(1_000_000);

/// A key that nobody needs to sign with here.
fn key() -> GroupKey {
    let point = ordering_types::SecretKey::from_bytes([7; 32]).unwrap().public_key().to_bytes();
    GroupKey::from_bytes(point).unwrap()
}

fn members() -> BTreeMap<Epoch, Vec<ValidatorId>> {
    [(Epoch::new(0), (1..=4).map(ValidatorId::new).collect())].into()
}

fn sealing(me: u16) -> Sealing {
    let mut sealing = Sealing::new(DOMAIN, ValidatorId::new(me), members(), None);
    assert!(sealing.key_ready(Epoch::new(0), key(), NOW).is_empty());
    sealing
}

fn block(height: u64, seals_batch: bool) -> Arc<Block> {
    let header = Header {
        version: 1,
        chain_spec: Digest::ZERO,
        epoch: Epoch::new(0),
        height: Height::new(height),
        parent: Digest::ZERO,
        time_ms: height * 100,
        l1_reference: L1Reference::default(),
        forced_cursor: 0,
        cut: Digest::ZERO,
        tx_root: Digest::ZERO,
        tx_count: 0,
        state_root: Digest::ZERO,
        seals_batch,
    };
    Arc::new(Block { header, sections: vec![] })
}

fn encoding(text: &'static str) -> EncodedBatch {
    let commitment = Bytes::from([text.as_bytes(), &[0; 48]].concat()).slice(..48);
    EncodedBatch {
        payload: Bytes::from_static(text.as_bytes()),
        inline: Bytes::new(),
        commitments: vec![commitment.clone()],
        proofs: vec![commitment],
    }
}

fn job(events: &[SealingEvent]) -> u64 {
    events
        .iter()
        .find_map(|event| match event {
            SealingEvent::Job(Job::Encode { id, .. } | Job::Check { id, .. }) => Some(*id),
            _ => None,
        })
        .expect("a job")
}

fn asked_for(events: &[SealingEvent]) -> Ticket {
    match events {
        [.., SealingEvent::Sign { ticket, .. }] => *ticket,
        other => panic!("{other:?}"),
    }
}

/// Batch 1 at attempt 0 is encoded by member (1 + 0) mod 4 of the list, which is validator 2.
const FIRST: Turn = Turn { number: 1, attempt: 0 };

#[test]
fn the_member_in_turn_encodes_and_the_others_check_before_they_sign() {
    let mut encoder = sealing(2);
    assert!(encoder.on_block(block(1, false), false, NOW).is_empty());
    let events = encoder.on_block(block(2, true), false, NOW);
    assert!(matches!(events.as_slice(), [SealingEvent::Job(Job::Encode { header, blocks, .. })]
        if header.number == 1 && header.first_height.get() == 1 && header.last_height.get() == 2 && blocks.len() == 2));
    let done = encoder.on_job(JobResult::Encoded { id: job(&events), result: Ok(Arc::new(encoding("a"))) });
    let [SealingEvent::Broadcast(..), SealingEvent::Sign { ticket, digest, .. }] = done.as_slice() else {
        panic!("{done:?}")
    };
    let ticket = *ticket;

    let mut other = sealing(1);
    other.on_block(block(1, false), false, NOW);
    assert!(other.on_block(block(2, true), false, NOW).is_empty());
    let events = other.on_encoding(ValidatorId::new(2), FIRST, encoding("a"));
    let checked = other.on_job(JobResult::Checked { id: job(&events), result: Ok(()) });
    assert!(matches!(checked.as_slice(), [SealingEvent::Sign { digest: theirs, .. }] if theirs == digest));
    let sealed = other.signed(ticket, GroupSignature::new([1; 65]));
    assert!(matches!(sealed.as_slice(), [SealingEvent::Sealed(batch, _)] if batch.header.number == 1));
    assert_eq!((other.last_sealed(), other.open_batches()), (1, 0));
}

/// What is not signed is in memory, and the shell slows clients down by it.
#[test]
fn bytes_in_memory_are_counted_until_the_batch_is_signed() {
    let mut node = sealing(1);
    let full = |height, seals, bytes: usize| {
        let mut block = (*block(height, seals)).clone();
        let transactions = vec![Bytes::from(vec![7; bytes])];
        block.sections = vec![RollupSection { rollup: RollupId::new(1), transactions }];
        Arc::new(block)
    };
    node.on_block(full(1, false, 100), false, NOW);
    node.on_block(full(2, true, 20), false, NOW);
    node.on_block(full(3, false, 3), false, NOW);
    assert_eq!(node.open_bytes(), 123);
    let events = node.on_encoding(ValidatorId::new(2), FIRST, encoding("a"));
    let checked = node.on_job(JobResult::Checked { id: job(&events), result: Ok(()) });
    let [SealingEvent::Sign { ticket, .. }] = checked.as_slice() else { panic!("{checked:?}") };
    node.signed(*ticket, GroupSignature::new([1; 65]));
    assert_eq!(node.open_bytes(), 3);
}

#[test]
fn an_encoding_out_of_turn_or_a_wrong_one_is_not_signed() {
    let mut node = sealing(1);
    node.on_block(block(1, true), false, NOW);
    assert!(node.on_encoding(ValidatorId::new(3), FIRST, encoding("a")).is_empty(), "not its turn");
    let events = node.on_encoding(ValidatorId::new(2), FIRST, encoding("bad"));
    let checked =
        node.on_job(JobResult::Checked { id: job(&events), result: Err("other blocks".to_owned()) });
    assert!(matches!(checked.as_slice(), [SealingEvent::Fault { peer, .. }] if peer.get() == 2));
    assert!(node.open[&1].accepted.is_empty());
    assert!(
        node.signed(Ticket::first(1), GroupSignature::new([1; 65])).is_empty(),
        "nothing to sign was accepted"
    );
}

#[test]
fn an_encoding_that_comes_before_its_blocks_waits_for_them() {
    let mut node = sealing(1);
    assert!(node.on_encoding(ValidatorId::new(2), FIRST, encoding("a")).is_empty());
    let events = node.on_block(block(1, true), false, NOW);
    assert!(matches!(events.as_slice(), [SealingEvent::Job(Job::Check { .. })]));
}

#[test]
fn early_encodings_are_bounded() {
    let mut node = sealing(1);
    for number in 1..1_000 {
        for from in 1..=4 {
            node.on_encoding(ValidatorId::new(from), Turn { number, attempt: 0 }, encoding("a"));
        }
    }
    assert!(node.early.len() <= MAX_EARLY);
}

#[test]
fn silence_of_the_encoder_passes_the_turn_on_and_asks_for_what_was_missed() {
    let mut node = sealing(3);
    node.on_block(block(1, true), false, NOW);
    let due = node.next_deadline().unwrap();
    assert!(node.on_time(NOW).is_empty());
    let events = node.on_time(due);
    assert!(events.iter().any(|e| matches!(e, SealingEvent::Send(_, PeerMessage::WantSealed { number: 1 }))));
    assert!(
        events.iter().any(|e| matches!(e, SealingEvent::Job(Job::Encode { .. }))),
        "attempt 1 is validator 3's"
    );
    assert!(node.next_deadline().unwrap() > due, "it waits longer now");
}

/// With one of four dead, every fourth batch waited three seconds for it, and two batches then came at once.
#[test]
fn a_silent_encoder_is_hardly_waited_for_at_its_next_turn() {
    let mut node = sealing(1);
    node.on_block(block(1, true), false, NOW);
    let patience = node.next_deadline().unwrap().since(NOW);
    node.on_time(NOW + patience);
    // Batch 5 is validator 2's again, as batch 1 was.
    for number in 2..=5 {
        node.on_block(block(number, true), false, NOW);
    }
    assert!(node.open[&5].deadline.since(NOW) < patience / 4);
    let turn = Turn { number: 5, attempt: 0 };
    let events = node.on_encoding(ValidatorId::new(2), turn, encoding("a"));
    node.on_job(JobResult::Checked { id: job(&events), result: Ok(()) });
    for number in 6..=9 {
        node.on_block(block(number, true), false, NOW);
    }
    assert_eq!(node.open[&9].deadline.since(NOW), patience, "it is back");
}

#[test]
fn the_next_batch_names_an_unsigned_parent_and_signing_may_overtake() {
    let mut node = sealing(4);
    node.on_block(block(1, true), false, NOW);
    node.on_block(block(2, true), false, NOW);
    let (first, second) = (node.open[&1].header.clone(), node.open[&2].header.clone());
    assert_eq!(second.parent, first.id());
    let events = node.on_encoding(ValidatorId::new(3), Turn { number: 2, attempt: 0 }, encoding("b"));
    let checked = node.on_job(JobResult::Checked { id: job(&events), result: Ok(()) });
    let ticket = asked_for(&checked);
    assert_eq!(node.signed(ticket, GroupSignature::new([1; 65])).len(), 1);
    assert_eq!(node.last_sealed(), 0, "batch 1 is still open: a restart begins there");
}

#[test]
fn a_signed_batch_from_a_peer_is_believed_only_with_the_groups_signature() {
    let mut node = sealing(1);
    node.on_block(block(1, true), false, NOW);
    let header = node.open[&1].header.clone();
    let forged =
        SealedBatch { header, encoded: Arc::new(encoding("a")), signature: GroupSignature::new([3; 65]) };
    let events = node.on_sealed(ValidatorId::new(4), forged);
    assert!(matches!(events.as_slice(), [SealingEvent::Fault { peer, .. }] if peer.get() == 4));
    assert_eq!(node.open_batches(), 1);
}

#[test]
fn tickets_survive_the_signing_machine() {
    let ticket = Ticket { number: 77, encoding: 0xffff_fffe };
    assert_eq!(Ticket::from_session(ticket.to_session()), ticket);
}

/// A node that catches up meets hundreds of batches that the committee signed long ago: making or checking encodings of them would
/// cost it and the others minutes.
#[test]
fn a_batch_of_long_ago_is_asked_for_and_not_made_again() {
    let mut node = sealing(2);
    let asked = |events: &[SealingEvent]| match events {
        [SealingEvent::Send(peer, PeerMessage::WantSealed { number: 1 })] => peer.get(),
        other => panic!("{other:?}"),
    };
    // It would be this node's turn.
    let mut peers = vec![asked(&node.on_block(block(1, true), true, NOW))];
    for _ in 0..PAST_ATTEMPTS {
        peers.push(asked(&node.on_time(node.next_deadline().unwrap())));
    }
    peers.sort_unstable();
    peers.dedup();
    assert_eq!(peers, [1, 3, 4], "everybody was asked");
    // Nobody has it: it is not signed yet after all.
    let events = node.on_time(node.next_deadline().unwrap());
    assert!(matches!(events.as_slice(), [SealingEvent::Job(Job::Encode { .. })]), "{events:?}");
}

#[test]
fn after_a_checkpoint_the_next_batch_names_the_one_in_it_as_its_parent() {
    let mut node = sealing(1);
    node.on_block(block(1, true), false, NOW);
    node.on_block(block(2, false), false, NOW);
    let last = BatchHeader {
        number: 40,
        parent: Digest::ZERO,
        epoch: Epoch::new(0),
        first_height: Height::new(80),
        last_height: Height::new(99),
        last_header: Digest::ZERO,
        last_time_ms: 1,
        forced_cursor: 0,
        l1_reference: 0,
    };
    node.go_on_after(&last);
    assert_eq!((node.open_batches(), node.last_sealed()), (0, 40));
    node.on_block(block(100, true), false, NOW);
    let next = &node.open.get(&41).unwrap().header;
    assert_eq!((next.parent, next.first_height.get(), next.last_height.get()), (last.id(), 100, 100));
}

/// Each of three attempts had reached two of the three honest members, and each of them had three encodings by then: no fourth was taken, and
/// the batch was never signed.
#[test]
fn members_that_heard_different_encoders_sign_together() {
    let tickets = [(1, 2, 0), (4, 3, 1)].map(|(me, encoder, attempt)| {
        let mut node = sealing(me);
        node.on_block(block(1, true), false, NOW);
        let turn = Turn { number: 1, attempt };
        let events = node.on_encoding(ValidatorId::new(encoder), turn, encoding("a"));
        asked_for(&node.on_job(JobResult::Checked { id: job(&events), result: Ok(()) }))
    });
    assert_eq!(tickets[0], tickets[1]);
}

/// What is signed is the same, and so is the work: it is done once. An encoder that sends others all the time costs two checks.
#[test]
fn the_same_encoding_again_costs_nothing_and_others_are_few() {
    let mut node = sealing(1);
    node.on_block(block(1, true), false, NOW);
    let texts = ["a", "a", "b", "c", "d", "e"];
    let checked = texts.map(|text| {
        let events = node.on_encoding(ValidatorId::new(2), FIRST, encoding(text));
        let Some(SealingEvent::Job(Job::Check { id, .. })) = events.first() else { return 0 };
        let done = node.on_job(JobResult::Checked { id: *id, result: Ok(()) });
        assert_eq!(done.len(), 1, "{text}");
        1
    });
    assert_eq!(checked.iter().sum::<u8>(), MAX_ENCODINGS);
    let later = Turn { number: 1, attempt: 1 };
    assert!(node.on_encoding(ValidatorId::new(3), later, encoding("a")).is_empty(), "it is accepted already");
    assert_eq!(node.on_encoding(ValidatorId::new(3), later, encoding("f")).len(), 1, "another's is taken");
}

/// The committee's key comes some blocks after the first batch ends. What was asked to be signed before was lost, and not asked for again.
#[test]
fn what_was_accepted_is_asked_for_again_with_the_key_and_at_every_attempt() {
    let mut node = Sealing::new(DOMAIN, ValidatorId::new(1), members(), None);
    node.on_block(block(1, true), false, NOW);
    let events = node.on_encoding(ValidatorId::new(2), FIRST, encoding("a"));
    let ticket = asked_for(&node.on_job(JobResult::Checked { id: job(&events), result: Ok(()) }));
    assert_eq!(asked_for(&node.key_ready(Epoch::new(0), key(), NOW)), ticket);
    let events = node.on_time(node.next_deadline().unwrap());
    assert_eq!(asked_for(&events), ticket);
}
