#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind, Validator};
use ordering_types::{Address, Incarnation, RollupId, Round, SignedVote, Vote, VoteKind};

use super::*;
use crate::Silence;
use crate::api::{Decided, Recipient, Record, Tip};
use crate::wire::{FetchVote, FetchedVote, Message, ProposedCut};

const NOW: Time = Time::from_millis(1_700_000_000_000);
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes([n; 32]).unwrap()
}

fn spec(network: &str) -> Arc<ChainSpec> {
    let id = |n: u8| ValidatorId::new(n.into());
    Arc::new(ChainSpec {
        network: network.to_owned(),
        l1_chain_id: 1,
        inbox: Address::new([0; 20]),
        validators: (1..=4)
            .map(|n| Validator { id: id(n), key: key(n).public_key(), address: String::new() })
            .collect(),
        rollups: vec![Rollup {
            id: RollupId::new(1),
            name: String::new(),
            kind: RollupKind::Opaque,
            chain_id: 7,
            data: DataPolicy::Committee,
            quota_bytes_per_block: 1 << 20,
        }],
        ..ChainSpec::default()
    })
}

fn start(network: &str, key: SecretKey, recovered: Recovered) -> Result<Ordering, StartError> {
    let of_key = |id: &u8| self::key(*id).public_key() == key.public_key();
    let me = ValidatorId::new((1..=4).find(of_key).unwrap_or(1).into());
    Ordering::new(spec(network), Settings::new(Incarnation::new(1)), (me, key), recovered, NOW)
}

/// Four nodes whose messages all arrive at once, until the first decides; answers its block.
fn first_block() -> Arc<Decided> {
    let mut nodes: Vec<Ordering> =
        (1..=4).map(|n| start("a", key(n), Recovered::default()).unwrap()).collect();
    let mut now = NOW;
    loop {
        now = now + std::time::Duration::from_millis(10);
        for from in 0..nodes.len() {
            nodes[from].handle(now, Input::Wake);
            while let Some(output) = nodes[from].next_output() {
                match output {
                    Output::Persist(Record::Decided(decided)) => return decided,
                    Output::Send { bytes, .. } => {
                        let sender = nodes[from].me();
                        for node in nodes.iter_mut().filter(|n| n.me != sender) {
                            node.handle(now, Input::Message { from: sender, bytes: bytes.clone() });
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn tip(decided: &Decided) -> Tip {
    Tip {
        header: decided.block.header.clone(),
        certificate: decided.certificate.clone(),
        snapshot: decided.snapshot.clone(),
    }
}

#[test]
fn a_node_starts_from_its_own_tip_and_refuses_any_other() {
    let decided = first_block();
    let from = |tip: Tip| Recovered { tip: Some(tip), ..Recovered::default() };
    let good = start("a", key(1), from(tip(&decided))).unwrap();
    assert_eq!(good.applied_height(), Height::new(1));
    assert_eq!(good.applied_header(), decided.block.header.hash());

    let refused = |network: &str, tip: Tip| {
        matches!(start(network, key(1), from(tip)).err().unwrap(), StartError::Recovered(_))
    };
    assert!(refused("another network", tip(&decided)));
    let mut other = tip(&decided);
    other.header.time_ms += 1;
    assert!(refused("a", other));
    let mut other = tip(&decided);
    other.certificate.signatures.pop();
    assert!(refused("a", other));
    let mut other = tip(&decided);
    let mut snapshot = other.snapshot.to_vec();
    *snapshot.last_mut().unwrap() ^= 1;
    other.snapshot = Bytes::from(snapshot);
    assert!(refused("a", other));
}

#[test]
fn a_strange_key_or_a_broken_log_does_not_start() {
    let error = start("a", key(9), Recovered::default()).err().unwrap();
    assert!(matches!(error, StartError::ForeignKey(_)));
    for entry in [&[][..], &[7, 1, 2], &[0, 1, 2]] {
        let wal = vec![(Height::new(1), Bytes::copy_from_slice(entry))];
        let error = start("a", key(1), Recovered { wal, ..Recovered::default() }).err().unwrap();
        assert!(matches!(error, StartError::Log(_)), "{error}");
    }
}

#[test]
fn submitting_twice_says_so() {
    let mut node = start("a", key(1), Recovered::default()).unwrap();
    let transaction = Transaction { rollup: RollupId::new(1), data: Bytes::from_static(b"x") };
    let id = node.submit(NOW, transaction.clone()).unwrap();
    assert_eq!(node.submit(NOW, transaction), Err(SubmitError::Pending(id)));
    assert_eq!(node.backlog().waiting_transactions, 1);
}

fn vote_of(validator: u8, signer: u8, height: u64) -> SignedVote {
    let vote = Vote {
        kind: VoteKind::Prevote,
        epoch: ordering_types::Epoch::new(0),
        height: Height::new(height),
        round: Round::new(0),
        value: Some(Digest::sha256(&[b"some header"])),
        validator: ValidatorId::new(validator.into()),
    };
    vote.sign(&spec("a").domain(), &key(signer))
}

fn tell(node: &mut Ordering, from: u16, message: &Message) {
    node.handle(NOW, Input::Message { from: ValidatorId::new(from), bytes: message.encode() });
}

/// Whoever could silence a node by words alone could stop the network: a claim is worth the signature on it.
#[test]
fn only_a_vote_that_it_signed_itself_silences_a_node() {
    let mut node = start("a", key(1), Recovered::default()).unwrap();
    let mut answer = |from, newest, stamp| {
        tell(&mut node, from, &Message::FetchedVote(FetchedVote { stamp, newest, decided: Height::ZERO }));
        (node.silence(), node.faults().get(&ValidatorId::new(from)).copied().unwrap_or_default())
    };
    let asking = |answered| Some(Silence::Asking { answered, needed: 2 });
    assert_eq!(answer(2, Some(vote_of(1, 2, 9)), NOW), (asking(0), 1), "forged");
    assert_eq!(answer(2, Some(vote_of(2, 2, 9)), NOW), (asking(0), 2), "another's");
    let earlier = Time::from_millis(5);
    assert_eq!(answer(2, None, earlier), (asking(0), 2), "an answer to an earlier question");
    assert_eq!(answer(3, None, NOW), (asking(1), 0));
    assert_eq!(answer(3, None, NOW), (asking(1), 0), "a peer counts once");
    assert_eq!(answer(4, Some(vote_of(1, 1, 9)), NOW), (Some(Silence::Until(Height::new(9))), 0));
}

/// A node whose peers know no vote of it.
fn ready(n: u8, now: Time) -> Ordering {
    let recovered = Recovered::default();
    let mut node = Ordering::new(
        spec("a"),
        Settings::new(Incarnation::new(1)),
        (ValidatorId::new(n.into()), key(n)),
        recovered,
        now,
    )
    .unwrap();
    for from in (1..=4).map(ValidatorId::new).filter(|id| id.get() != n.into()) {
        let bytes =
            Message::FetchedVote(FetchedVote { stamp: now, newest: None, decided: Height::ZERO }).encode();
        node.handle(now, Input::Message { from, bytes });
    }
    node
}

fn sent(node: &mut Ordering) -> Vec<Message> {
    let sent = std::iter::from_fn(|| node.next_output()).filter_map(|output| match output {
        Output::Send { bytes, .. } => Message::decode(&bytes).ok(),
        _ => None,
    });
    sent.collect()
}

/// Validator 2 leads height 1, and its clock is ten seconds ahead of ours.
fn proposal_ahead() -> ProposedCut {
    let ahead = NOW + SECOND * 10;
    let mut leader = ready(2, ahead);
    leader.handle(ahead + SECOND, Input::Wake);
    let proposed = sent(&mut leader).into_iter().find_map(|message| match message {
        Message::Proposal(proposed) => Some(proposed),
        _ => None,
    });
    proposed.unwrap()
}

/// Also in the middle of a height that it takes part in, and when a proposal that it waited with becomes one that it would vote for.
#[test]
fn a_late_answer_silences_a_running_node() {
    let mut node = ready(4, NOW);
    tell(&mut node, 2, &Message::Proposal(proposal_ahead()));
    assert!(node.is_running());
    sent(&mut node);
    let answer = FetchedVote { stamp: NOW, newest: Some(vote_of(4, 4, 1)), decided: Height::ZERO };
    tell(&mut node, 3, &Message::FetchedVote(answer));
    for second in 1..20 {
        node.handle(NOW + SECOND * second, Input::Wake);
        let said = sent(&mut node);
        assert!(!said.iter().any(|m| matches!(m, Message::Vote(_) | Message::Proposal(_))), "{said:?}");
    }
    assert_eq!(node.silence(), Some(Silence::Until(Height::new(1))));
}

/// Otherwise a value that others are locked on could be one that a validator with a slow clock never votes for.
#[test]
fn a_time_in_the_future_is_waited_for_until_a_quorum_prevoted_it() {
    let proposed = proposal_ahead();
    let value = proposed.proposal.proposal.value;
    let mut node = ready(4, NOW);
    let votes = |node: &mut Ordering, kind: VoteKind| -> usize {
        let own =
            |m: &Message| matches!(m, Message::Vote(v) if v.vote.kind == kind && v.vote.value == Some(value));
        sent(node).iter().filter(|m| own(m)).count()
    };
    tell(&mut node, 2, &Message::Proposal(proposed));
    assert_eq!(votes(&mut node, VoteKind::Prevote), 0, "its time has not come");
    for peer in 1..=3 {
        let vote = Vote { value: Some(value), ..vote_of(peer, peer, 1).vote };
        let vote = vote.sign(&spec("a").domain(), &key(peer));
        assert_eq!(votes(&mut node, VoteKind::Precommit), 0);
        tell(&mut node, peer.into(), &Message::Vote(vote));
    }
    assert_eq!(votes(&mut node, VoteKind::Precommit), 1, "a quorum waived it");
}

/// What a node says of a peer's votes is the newest that it verified, also of votes for heights to come and from its log.
#[test]
fn a_node_remembers_the_newest_vote_of_each_peer() {
    let newest = |node: &mut Ordering| {
        while node.next_output().is_some() {}
        tell(node, 3, &Message::FetchVote(FetchVote { stamp: NOW }));
        let answers = std::iter::from_fn(|| node.next_output()).filter_map(|output| match output {
            Output::Send { to: Recipient::One(to), bytes, .. } if to == ValidatorId::new(3) => {
                Message::decode(&bytes).ok()
            }
            _ => None,
        });
        let mut answers = answers.filter_map(|message| match message {
            Message::FetchedVote(answer) => Some(answer.newest),
            _ => None,
        });
        answers.next().unwrap()
    };
    let mut node = start("a", key(1), Recovered::default()).unwrap();
    assert_eq!(newest(&mut node), None);
    tell(&mut node, 3, &Message::Vote(vote_of(3, 3, 2)));
    tell(&mut node, 3, &Message::Vote(vote_of(3, 3, 1)));
    tell(&mut node, 3, &Message::Vote(vote_of(3, 2, 5)));
    assert_eq!(newest(&mut node), Some(vote_of(3, 3, 2)), "the newest, not the last; and no forged one");

    let entry = crate::log::LogEntry::Agreement(Malachite::logged_vote(&vote_of(3, 3, 1))).encode();
    let wal = vec![(Height::new(1), entry)];
    let mut again = start("a", key(1), Recovered { wal, ..Recovered::default() }).unwrap();
    assert_eq!(newest(&mut again), Some(vote_of(3, 3, 1)), "before the log is replayed");

    let decided = first_block();
    let from = Recovered { tip: Some(tip(&decided)), ..Recovered::default() };
    let signer = decided.certificate.signatures.iter().find(|(id, _)| *id == ValidatorId::new(3));
    let mut third = start("a", key(1), from).unwrap();
    let known = newest(&mut third).map(|vote| vote.vote.height);
    assert_eq!(known, signer.map(|_| Height::new(1)), "from its newest certificate");
}

/// Hosts run the core on a thread of its own.
#[test]
fn the_core_can_move_between_threads() {
    const fn movable<T: Send + 'static>() {}
    movable::<Ordering>();
}
