//! Clients over changes of the group's key: they learn keys as they need them, from nodes that may be behind or lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use batcher_format::{BatchHeader, EncodedBatch, SealedBatch};
use bytes::Bytes;
use ordering_types::{Digest, Epoch, GroupSignature, Height, Succession};
use rollup::client::{Connector, Event, Nodes, RequestError, Session, SessionError};
use rollup::verify::{Keys, MAX_KEYS, Verified, VerifyError};
use rollup::wire::{self, Certified, NodeMessage, Opening, Request, Response};
use support::{founding, handover, key, listen, network, sign, welcome};
use tokio::sync::mpsc;

/// Longer than any wait here; only a failure lasts so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node has, and what it was asked for.
#[derive(Default)]
struct Store {
    handovers: BTreeMap<Epoch, Succession>,
    sealed: BTreeMap<u64, Arc<SealedBatch>>,
    asked: Vec<Request>,
}

struct Node {
    address: String,
    store: Arc<Mutex<Store>>,
    /// Said on its session.
    says: mpsc::UnboundedSender<NodeMessage>,
}

impl Node {
    /// Validator 1; knows the founding and these handovers.
    fn start(handovers: impl IntoIterator<Item = Succession>) -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let (says, heard) = mpsc::unbounded_channel();
        let heard = Arc::new(tokio::sync::Mutex::new(heard));
        let endpoint = listen();
        let address = endpoint.local_addr().unwrap().to_string();
        let node = Self { address, store: Arc::clone(&store), says };
        node.have(handovers);
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let connection = incoming.await.unwrap();
                let (store, heard) = (Arc::clone(&store), Arc::clone(&heard));
                tokio::spawn(async move {
                    while let Ok((send, mut receive)) = connection.accept_bi().await {
                        match wire::read(&mut receive).await.unwrap().unwrap() {
                            Opening::Request(request) => answer(&store, request, send).await,
                            Opening::Session(_) => {
                                let session = session(connection.clone(), Arc::clone(&heard), send, receive);
                                tokio::spawn(session);
                            }
                        }
                    }
                });
            }
        });
        node
    }

    fn have(&self, handovers: impl IntoIterator<Item = Succession>) {
        let by_epoch = handovers.into_iter().map(|next| (next.signed.handover.next.epoch, next));
        self.store.lock().unwrap().handovers.extend(by_epoch);
    }

    fn seal(&self, number: u64, epoch: u64, signer: u64) {
        let batch = Arc::new(batch(number, epoch, signer));
        self.store.lock().unwrap().sealed.insert(number, batch);
    }

    fn asked(&self, request: Request) -> usize {
        self.store.lock().unwrap().asked.iter().filter(|asked| **asked == request).count()
    }

    fn say(&self, certified: Certified) {
        self.says.send(NodeMessage::Certified(certified)).unwrap();
    }
}

async fn answer(store: &Mutex<Store>, request: Request, mut send: quinn::SendStream) {
    let response = {
        let mut store = store.lock().unwrap();
        store.asked.push(request);
        match request {
            Request::Founding => Response::Founding(Some(founding(&network()))),
            Request::Handover(epoch) => {
                Response::Handover(store.handovers.get(&epoch).cloned().map(Box::new))
            }
            Request::Sealed(number) => Response::Sealed(store.sealed.get(&number).cloned()),
            _ => Response::Busy,
        }
    };
    let _ = wire::write(&mut send, &response).await;
    let _ = send.finish();
}

async fn session(
    connection: quinn::Connection,
    heard: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<NodeMessage>>>,
    mut send: quinn::SendStream,
    // Dropping it would tell the client to stop sending.
    _receive: quinn::RecvStream,
) {
    let welcome = welcome(&connection, 1, 1, true);
    wire::write(&mut send, &NodeMessage::Welcome(welcome)).await.unwrap();
    let mut heard = heard.lock().await;
    while let Some(message) = heard.recv().await {
        if wire::write(&mut send, &message).await.is_err() {
            return;
        }
    }
}

fn batch(number: u64, epoch: u64, signer: u64) -> SealedBatch {
    let header = BatchHeader {
        number,
        parent: Digest::ZERO,
        epoch: Epoch::new(epoch),
        first_height: Height::new(number),
        last_height: Height::new(number),
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
    batch.signature = sign(signer, batch.digest(&network().domain()));
    batch
}

fn certified(height: u64, epoch: u64, signer: u64) -> Certified {
    let (epoch, height, header) = (Epoch::new(epoch), Height::new(height), Digest::ZERO);
    let signature = sign(signer, network().domain().block(epoch, height, header));
    Certified { epoch, height, header, signature }
}

/// True handovers to these epochs.
fn handovers(epochs: std::ops::RangeInclusive<u64>) -> Vec<Succession> {
    epochs.map(|epoch| handover(&network(), epoch, epoch - 1)).collect()
}

fn nodes(of: &[&Node]) -> Nodes {
    let endpoints: Vec<String> = of.iter().map(|node| node.address.clone()).collect();
    Nodes::new(network(), &endpoints).unwrap()
}

fn number(batch: Option<Verified<Arc<SealedBatch>>>) -> u64 {
    batch.expect("a batch").header.number
}

#[tokio::test]
async fn keys_are_learnt_when_they_are_needed_and_once() {
    let node = Node::start(handovers(1..=3));
    (0..=3).for_each(|epoch| node.seal(epoch + 1, epoch, epoch));
    let nodes = nodes(&[&node]);
    assert_eq!(number(nodes.sealed(1).await.unwrap()), 1);
    assert_eq!(node.asked(Request::Handover(Epoch::new(1))), 0, "nothing needs it yet");
    assert_eq!(number(nodes.sealed(4).await.unwrap()), 4);
    assert_eq!(number(nodes.sealed(2).await.unwrap()), 2);
    assert_eq!(number(nodes.sealed(4).await.unwrap()), 4);
    for epoch in 1..=3 {
        assert_eq!(node.asked(Request::Handover(Epoch::new(epoch))), 1, "epoch {epoch}");
    }
    assert_eq!(node.asked(Request::Founding), 1);
    let last = nodes.handover(Epoch::new(3)).await.unwrap().unwrap();
    assert_eq!(*last, handover(&network(), 3, 2));
}

/// Farther ahead than one go and than what is kept; and then a batch of an epoch that is forgotten.
#[tokio::test]
async fn any_number_of_epochs_is_caught_up_with() {
    let newest = 2 * MAX_KEYS as u64 + 5;
    let node = Node::start(handovers(1..=newest));
    node.seal(1, 0, 0);
    node.seal(2, newest, newest);
    let nodes = nodes(&[&node]);
    assert_eq!(number(nodes.sealed(2).await.unwrap()), 2);
    assert!(matches!(nodes.sealed(1).await, Err(RequestError::Unknown(_))));
}

/// One node has no handovers yet, one speaks of an epoch that nobody ever reaches, one is honest.
#[tokio::test]
async fn who_is_behind_or_far_ahead_does_not_matter() {
    let (behind, dreaming, honest) = (Node::start([]), Node::start([]), Node::start(handovers(1..=2)));
    dreaming.seal(7, u64::MAX - 1, 0);
    behind.seal(7, 2, 2);
    honest.seal(7, 2, 2);
    assert_eq!(number(nodes(&[&dreaming, &behind, &honest]).sealed(7).await.unwrap()), 7);
    let without = nodes(&[&dreaming, &behind]);
    assert!(without.sealed(7).await.unwrap().is_none(), "it cannot be checked");
    behind.have(handovers(1..=2));
    assert_eq!(number(without.sealed(7).await.unwrap()), 7, "the node has caught up");
}

/// A forged handover, and a true one to another epoch than was asked for.
#[tokio::test]
async fn a_lie_about_a_handover_is_found_and_another_node_asked() {
    let forged = Node::start([handover(&network(), 1, 1)]);
    let other = Node::start([]);
    other.store.lock().unwrap().handovers.insert(Epoch::new(1), handover(&network(), 2, 1));
    let honest = Node::start(handovers(1..=1));
    let wanted = Epoch::new(1);
    let error = nodes(&[&forged]).handover(wanted).await.unwrap_err();
    assert!(matches!(error, RequestError::Lie(VerifyError::Group(_))), "{error}");
    let error = nodes(&[&other]).handover(wanted).await.unwrap_err();
    assert!(matches!(error, RequestError::OtherAnswer), "{error}");
    let found = nodes(&[&forged, &other, &honest]).handover(wanted).await.unwrap().unwrap();
    assert_eq!(*found, handover(&network(), 1, 0));
}

/// The members replaced a key: no handover leads there, but L1 has it.
#[tokio::test]
async fn a_key_from_l1_is_taken_instead_of_what_led_elsewhere() {
    let node = Node::start(handovers(1..=1));
    node.seal(1, 1, 1);
    node.seal(2, 1, 9);
    node.seal(3, 2, 2);
    let nodes = nodes(&[&node]);
    assert_eq!(number(nodes.sealed(1).await.unwrap()), 1);
    assert!(matches!(nodes.sealed(2).await, Err(RequestError::Lie(_))));
    nodes.trust(Epoch::new(1), key(1), None);
    assert_eq!(number(nodes.sealed(1).await.unwrap()), 1, "nothing new");
    nodes.trust(Epoch::new(1), key(9), None);
    assert_eq!(number(nodes.sealed(2).await.unwrap()), 2);
    assert!(matches!(nodes.sealed(1).await, Err(RequestError::Lie(_))));

    let trusting = network().trusting(Keys::trusted(Epoch::new(2), key(2), None));
    let nodes = Nodes::new(trusting, std::slice::from_ref(&node.address)).unwrap();
    assert_eq!(number(nodes.sealed(3).await.unwrap()), 3, "without learning anything");
}

async fn open(node: &Node) -> Session {
    Session::open(&Connector::new().unwrap(), &node.address, &network(), None).await.unwrap()
}

async fn next(session: &mut Session) -> Result<Certified, SessionError> {
    match tokio::time::timeout(PATIENCE, session.next()).await.expect("an event")? {
        Event::Certified(certified) => Ok(certified.into_inner()),
        other => panic!("not a confirmation: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_goes_on_over_rotations() {
    let node = Node::start(handovers(1..=3));
    let mut session = open(&node).await;
    for (height, epoch) in [(1, 0), (2, 0), (3, 1), (4, 3), (5, 2)] {
        let sent = certified(height, epoch, epoch);
        node.say(sent);
        assert_eq!(next(&mut session).await.unwrap(), sent);
    }
    node.say(certified(6, 3, 2));
    let error = next(&mut session).await.unwrap_err();
    assert!(matches!(error, SessionError::Lie(VerifyError::Group(_))), "{error}");
}

/// Blocks of the new epoch are signed before its handover is: the newest confirmation waits for that, whether or not more
/// comes, and the rest of the session does not wait.
#[tokio::test]
async fn a_confirmation_waits_for_its_handover() {
    let node = Node::start([]);
    let mut session = open(&node).await;
    node.say(certified(3, 1, 1));
    node.say(certified(5, 1, 1));
    node.say(certified(4, 1, 1));
    let known = certified(2, 0, 0);
    node.say(known);
    assert_eq!(next(&mut session).await.unwrap(), known, "it needs no new key");
    node.have(handovers(1..=1));
    assert_eq!(next(&mut session).await.unwrap(), certified(5, 1, 1));
    let after = certified(6, 1, 1);
    node.say(after);
    assert_eq!(next(&mut session).await.unwrap(), after, "those before it are confirmed with it");
}

#[tokio::test]
async fn a_session_finds_a_forged_handover() {
    let node = Node::start([handover(&network(), 1, 1)]);
    let mut session = open(&node).await;
    node.say(certified(3, 1, 1));
    let error = next(&mut session).await.unwrap_err();
    assert!(matches!(error, SessionError::Lie(VerifyError::Group(_))), "{error}");
}
