//! A client against nodes that serve, withhold and lie, over real QUIC on loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ordering_types::{Digest, Epoch, Height, ValidatorId};
use rollup::client::{Connector, Event, FollowEvent, Follower, Nodes, Session, SessionError};
use rollup::verify::VerifyError;
use rollup::wire::{
    self, ClientMessage, CloseReason, Closed, Content, NodeMessage, Opening, OrderedBlock, Refusal, Refused,
    Request, Response, Rollups, Status, Submit, Subscription, Welcome,
};
use support::{
    ROLLUP, certify, committee, handover, listen, network, ordered_block, spec, succession, welcome,
};
use tokio::sync::mpsc;

/// A chain of certified blocks, each with one transaction.
fn chain(count: u64) -> Vec<OrderedBlock> {
    let mut parent = Digest::ZERO;
    let block = |height| {
        let data = vec![Bytes::from(format!("transaction {height}"))];
        let block = ordered_block((0, height), parent, data, 1..=3);
        parent = block.header.hash();
        block
    };
    (1..=count).map(block).collect()
}

/// What a test node does after its welcome.
#[derive(Clone)]
enum Behaviour {
    /// Serves these blocks from the cursor on; submissions are refused as duplicates.
    Serve(Vec<OrderedBlock>),
    /// Sends exactly these messages.
    Say(Vec<NodeMessage>),
    /// Claims to be this validator and to hold this one's key, with its own signature.
    Impostor(u16, u8),
    /// Ends the session at once.
    Close(CloseReason),
}

/// Starts validator 1's client port.
fn node(behaviour: Behaviour) -> String {
    let endpoint = listen();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let behaviour = behaviour.clone();
            tokio::spawn(async move { session(incoming.await.unwrap(), behaviour).await });
        }
    });
    address.to_string()
}

async fn session(connection: quinn::Connection, behaviour: Behaviour) {
    let (mut send, mut receive) = connection.accept_bi().await.unwrap();
    let Some(Opening::Session(hello)) = wire::read(&mut receive).await.unwrap() else { return };
    let (sender, mut outgoing) = mpsc::unbounded_channel::<NodeMessage>();
    let (claimed, key) = match behaviour {
        Behaviour::Impostor(claimed, key) => (claimed, key),
        _ => (1, 1),
    };
    if let Behaviour::Close(reason) = behaviour {
        sender.send(NodeMessage::Closed(Closed { reason, text: "no".to_owned() })).unwrap();
    } else {
        let key = support::validator(key).public_key();
        let welcome = Welcome { key, ..welcome(&connection, claimed, 1, true) };
        sender.send(NodeMessage::Welcome(welcome)).unwrap();
    }
    match behaviour {
        Behaviour::Serve(blocks) => {
            let from = hello.subscription.and_then(|s| s.from).unwrap_or_default();
            for block in blocks.into_iter().filter(|block| block.header.height >= from) {
                sender.send(NodeMessage::Ordered(Arc::new(block))).unwrap();
            }
        }
        Behaviour::Say(messages) => messages.into_iter().for_each(|message| sender.send(message).unwrap()),
        Behaviour::Impostor(..) | Behaviour::Close(_) => {}
    }
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                if wire::write(&mut send, &message.unwrap()).await.is_err() { return }
            }
            // Not cancel-safe in general; here a test submits only when nothing else is going on.
            submitted = wire::read::<ClientMessage>(&mut receive) => match submitted {
                Ok(Some(ClientMessage::Submit(submit))) => {
                    let (code, text) = (Refusal::Duplicate, "seen before".to_owned());
                    sender.send(NodeMessage::Refused(Refused { tag: submit.tag, code, text })).unwrap();
                }
                _ => return,
            },
        }
    }
}

fn everything() -> Subscription {
    Subscription { rollups: Rollups::All, from: Some(Height::new(1)), data: true, certified: false }
}

async fn open(endpoint: &str) -> Result<Session, SessionError> {
    Session::open(&Connector::new().unwrap(), endpoint, &network(), Some(everything())).await
}

#[tokio::test]
async fn a_session_submits_and_follows() {
    let mut session = open(&node(Behaviour::Serve(chain(3)))).await.unwrap();
    assert_eq!(session.validator(), ValidatorId::new(1));
    for height in 1..=3 {
        let Event::Ordered(block) = session.next().await.unwrap() else { panic!("not a block") };
        assert_eq!(block.header.height, Height::new(height));
    }
    session.submit(Submit { tag: 77, rollup: ROLLUP, data: Bytes::from_static(b"x") }).await.unwrap();
    let Event::Refused(refused) = session.next().await.unwrap() else { panic!("not a refusal") };
    assert_eq!((refused.tag, refused.code), (77, Refusal::Duplicate));
}

#[tokio::test]
async fn a_node_that_cannot_prove_who_it_is_is_left() {
    // A founder's number with another key, or with a key that is not held; a founder's key with another number; and a stranger's key.
    for (claimed, key) in [(2, 1), (2, 2), (9, 1), (9, 9)] {
        let error = open(&node(Behaviour::Impostor(claimed, key))).await.unwrap_err();
        assert!(matches!(error, SessionError::Identity(id) if id == ValidatorId::new(claimed)), "{error}");
    }
    let error = open(&node(Behaviour::Close(CloseReason::Full))).await.unwrap_err();
    assert!(matches!(error, SessionError::Closed(Closed { reason: CloseReason::Full, .. })));
}

/// Whatever a node says about the order is checked: each lie has its own error.
#[tokio::test]
async fn lies_about_blocks_are_found() {
    let good = || chain(1).remove(0);
    type Bend = fn(&mut OrderedBlock);
    type Expected = fn(&VerifyError) -> bool;
    let bends: [(Bend, Expected); 5] = [
        (|b| b.header.time_ms += 1, |e| *e == VerifyError::OtherHeader),
        (|b| b.certificate = certify(&b.header, 1..=2), |e| matches!(e, VerifyError::Certificate(_))),
        (
            |b| b.sections[0].content = Content::Data(vec![Bytes::from_static(b"another")]),
            |e| *e == VerifyError::TxRoot,
        ),
        (|b| b.rollups.clear(), |e| *e == VerifyError::TxRoot),
        (|b| b.header.chain_spec = Digest::ZERO, |e| *e == VerifyError::ChainSpec),
    ];
    for (bend, expected) in bends {
        let mut block = good();
        bend(&mut block);
        let mut session =
            open(&node(Behaviour::Say(vec![NodeMessage::Ordered(Arc::new(block))]))).await.unwrap();
        let Err(SessionError::Lie(error)) = session.next().await else { panic!("a lie was believed") };
        assert!(expected(&error), "{error}");
    }
}

/// One node withholds a block, one withholds the rollup's section, one dies after two blocks: the follower still gets
/// every block once and in order.
#[tokio::test]
async fn a_follower_gets_every_block_from_whoever_has_it() {
    let all = chain(6);
    let mut gap = all.clone();
    gap.remove(1);
    let mut silent = all.clone();
    silent[2].sections.clear();
    let mut dying: Vec<NodeMessage> =
        all[..4].iter().map(|block| NodeMessage::Ordered(Arc::new(block.clone()))).collect();
    let bye = Closed { reason: CloseReason::ShuttingDown, text: String::new() };
    dying.push(NodeMessage::Closed(bye));
    let endpoints = vec![
        node(Behaviour::Serve(gap)),
        node(Behaviour::Serve(silent)),
        node(Behaviour::Say(dying)),
        node(Behaviour::Serve(all.clone())),
    ];
    let mut follower = Follower::new(network(), endpoints, Rollups::All, Height::new(1), true).unwrap();
    let (mut blocks, mut lost) = (Vec::new(), 0);
    while blocks.len() < 6 {
        match follower.next().await {
            FollowEvent::Ordered(block) => blocks.push((**block).clone()),
            FollowEvent::Lost { .. } => lost += 1,
            FollowEvent::Connected(_) | FollowEvent::Certified(_) => {}
            other @ (FollowEvent::Stranded(_) | FollowEvent::Refused(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(blocks, all);
    assert_eq!(lost, 3);
    assert_eq!(follower.cursor(), Height::new(7));
}

/// A node without the founding key; `silent`, it never answers that question, only others. Counts its connections.
fn answering(silent: bool) -> (String, Arc<AtomicUsize>) {
    let (endpoint, connections) = (listen(), Arc::new(AtomicUsize::new(0)));
    let (address, count) = (endpoint.local_addr().unwrap(), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                // Streams that are not answered stay open, as those of a node that hangs.
                let mut open = Vec::new();
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    match wire::read(&mut receive).await.unwrap() {
                        Some(Opening::Request(Request::Founding)) if silent => {}
                        Some(Opening::Request(Request::Founding)) => {
                            wire::write(&mut send, &Response::Founding(None)).await.unwrap();
                        }
                        _ => wire::write(&mut send, &Response::Status(status())).await.unwrap(),
                    }
                    open.push((send, receive));
                }
            });
        }
    });
    (address.to_string(), connections)
}

fn status() -> Status {
    let (validator, height) = (ValidatorId::new(1), Height::new(5));
    Status {
        chain_spec: spec().hash(),
        validator,
        member: true,
        height,
        certified: height,
        sealed: 0,
        peers: 3,
    }
}

/// A batcher that asked for the founding key, which did not exist yet, waited for a dead node's time-out each time, although
/// all others had said so. Who waits for the silent node's time-out gives its connection up: the next question must
/// find the first connection still in use.
#[tokio::test]
async fn a_silent_node_is_not_waited_for_when_the_others_have_nothing() {
    for silent_first in [true, false] {
        let ((silent, connections), (answers, _)) = (answering(true), answering(false));
        let endpoints = if silent_first { [silent, answers] } else { [answers, silent] };
        let nodes = Nodes::new(network(), &endpoints).unwrap();
        let both_answer = async || nodes.status().await.iter().all(|answer| answer.is_ok());
        assert!(both_answer().await);
        assert!(nodes.founding().await.unwrap().is_none());
        assert!(both_answer().await);
        assert_eq!(connections.load(Ordering::SeqCst), 1, "it was waited for; asked first: {silent_first}");
    }
}

#[tokio::test]
async fn frames_over_their_limit_end_before_their_bytes() {
    let mut claimed = (wire::MAX_CLIENT_FRAME_BYTES as u32 + 1).to_be_bytes().to_vec();
    let error = wire::read::<ClientMessage>(&mut claimed.as_slice()).await.unwrap_err();
    assert!(matches!(error, wire::FrameError::TooLong { .. }));
    claimed = 100_u32.to_be_bytes().to_vec();
    claimed.push(1);
    let error = wire::read::<ClientMessage>(&mut claimed.as_slice()).await.unwrap_err();
    assert!(matches!(error, wire::FrameError::Io(_)));
    assert!(wire::read::<ClientMessage>(&mut [].as_slice()).await.unwrap().is_none());
    let submit = Submit { tag: 1, rollup: ROLLUP, data: Bytes::new() };
    let many = ClientMessage::SubmitMany(vec![submit; wire::MAX_SUBMIT_MANY + 1]);
    let error = wire::read::<ClientMessage>(&mut wire::encode(&many).as_ref()).await.unwrap_err();
    assert!(matches!(error, wire::FrameError::Malformed(_)));
    for (members, fits) in [(100, true), (101, false)] {
        let next = succession(&network(), 1, 0, &committee(1..=members));
        let answer = wire::encode(&Response::Handover(Some(Box::new(next))));
        let read = wire::read::<Response>(&mut answer.as_ref()).await;
        assert_eq!(read.is_ok(), fits, "{members} members");
    }
}

/// Both sides are deployed apart: the bytes must not change without a new version.
#[test]
fn the_wire_format_is_pinned() {
    let block = chain(1).remove(0);
    let frames = [
        wire::encode(&Opening::Session(wire::Hello {
            version: 2,
            chain_spec: Digest::ZERO,
            subscription: Some(everything()),
        })),
        wire::encode(&ClientMessage::Submit(Submit {
            tag: 9,
            rollup: ROLLUP,
            data: Bytes::from_static(b"abc"),
        })),
        wire::encode(&NodeMessage::Ordered(Arc::new(block))),
        wire::encode(&wire::Response::Founding(None)),
    ];
    let hash = Digest::sha256(&frames.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
    assert_eq!(hash.to_string(), "bff4dfe8808b018cb323183ddabfc44e0a8903b1cb5d0dc29f400b3e01f9912b");
    let frames = [
        wire::encode(&Opening::Request(Request::Handover(Epoch::new(3)))),
        wire::encode(&Response::Handover(Some(Box::new(handover(&network(), 3, 2))))),
        wire::encode(&NodeMessage::Welcome(Welcome {
            version: 2,
            chain_spec: Digest::ZERO,
            height: Height::new(7),
            member: true,
            validator: ValidatorId::new(1),
            key: support::validator(1).public_key(),
            identity_proof: support::validator(1).sign(Digest::ZERO),
        })),
        wire::encode(&NodeMessage::Refused(Refused {
            tag: 9,
            code: Refusal::NotInCommittee,
            text: "no member".to_owned(),
        })),
        wire::encode(&Response::Status(status())),
    ];
    let hash = Digest::sha256(&frames.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
    assert_eq!(hash.to_string(), "606ef94fac8b28a044cb51b6efe81e89550f6b1063dadddcab4777a48267538d");
}
