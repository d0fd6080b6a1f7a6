//! Peers that come and go while a node runs.

use std::collections::BTreeMap;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::*;
use crate::network::handle::Sender;

fn id(number: u8) -> ValidatorId {
    ValidatorId::new(number.into())
}

/// Peers by number, each with the key of its number.
fn directory<const N: usize>(peers: [(u8, String); N], committee: &[u8]) -> Directory {
    let info = |number, address| PeerInfo { key: key(number).public_key(), address };
    Directory {
        peers: peers.into_iter().map(|(number, address)| (id(number), info(number, address))).collect(),
        committee: committee.iter().copied().map(id).collect(),
    }
}

/// One peer, who is the committee.
fn only(number: u8, address: String) -> Directory {
    directory([(number, address)], &[number])
}

/// Nobody can be dialled there.
fn unlisted() -> String {
    "/dns4/nobody.invalid/udp/1/quic-v1".to_owned()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn say(sender: &Sender, to: Recipient, class: Class, text: &str) {
    sender.send(to, class, &Bytes::copy_from_slice(text.as_bytes()));
}

/// The next message that is not late.
async fn heard(queue: &mut tokio::sync::mpsc::Receiver<PeerMessage>) -> (ValidatorId, String) {
    loop {
        let message = within("message", queue.recv()).await.unwrap();
        if !message.is_late() {
            return (message.from, String::from_utf8(message.bytes.to_vec()).unwrap());
        }
    }
}

fn queue(inbox: &mut Inbox, class: Class) -> &mut tokio::sync::mpsc::Receiver<PeerMessage> {
    match class {
        Class::Consensus => &mut inbox.urgent,
        Class::Ceremony => &mut inbox.signing,
        Class::Chunks | Class::Sync => &mut inbox.bulk,
    }
}

/// A connection with a validator's key, or why there is none.
async fn knock(address: SocketAddr, key: &SecretKey) -> Result<Connection, ConnectionError> {
    let tls = libp2p::tls::make_client_config(&crate::network::identity::keypair(key), None).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.connect_with(config, address, "l").unwrap().await
}

/// Waits until the mesh has a connection: it answers the first words of a stream.
async fn met(connection: &Connection) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(b"\x13/multistream/1.0.0\n").await.unwrap();
    within("an answer", receive.read_exact(&mut [0; 20])).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_added_later_exchanges_messages_both_ways() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox_one) = start_with(&spec, 1, key(1), ports[0], &Directory::default()).await;
    let (two, mut inbox_two) = start_with(&spec, 2, key(2), ports[1], &Directory::default()).await;
    assert!(one.sender().peers().is_empty());
    let both = directory([(1, loopback(ports[0])), (2, loopback(ports[1]))], &[1, 2]);
    for network in [&one, &two] {
        network.sender().change(&both);
    }
    for class in Class::ALL {
        say(&one.sender(), Recipient::All, class, "from one");
        say(&two.sender(), Recipient::One(id(1)), class, "from two");
        assert_eq!(heard(queue(&mut inbox_two, class)).await, (id(1), "from one".to_owned()));
        assert_eq!(heard(queue(&mut inbox_one, class)).await, (id(2), "from two".to_owned()));
    }
    direct(&one).await;
    direct(&two).await;
}

#[tokio::test]
async fn a_removed_peer_is_cut_off_on_both_ways_and_refused_when_it_comes_again() {
    let ports = [free_port(), free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox) = start(&spec, 1, ports[0]).await;
    let only_one = only(1, loopback(ports[0]));
    let (two, _inbox_two) = start_with(&spec, 2, key(2), ports[1], &only_one).await;
    let (three, _inbox_three) = start_with(&spec, 3, key(3), ports[2], &only_one).await;
    direct(&two).await;
    say(&two.sender(), Recipient::All, Class::Consensus, "early");
    say(&two.sender(), Recipient::All, Class::Chunks, "early");
    until("messages", || inbox.urgent.len() == 1 && inbox.bulk.len() == 1).await;
    let idle = knock(one.address, &key(2)).await.unwrap();
    met(&idle).await;
    one.sender().change(&only(3, loopback(ports[2])));
    assert!(inbox.urgent.recv().await.unwrap().is_late());
    assert!(inbox.bulk.recv().await.unwrap().is_late());
    assert_eq!(one.sender().peers().len(), 1);
    until("the end", || two.sender().peers().iter().all(|peer| !peer.connected && !peer.direct)).await;
    let closed = within("the end", idle.closed()).await;
    assert!(matches!(closed, ConnectionError::ApplicationClosed(_)), "{closed:?}");
    // It goes on trying, and so do we for it.
    say(&two.sender(), Recipient::All, Class::Consensus, "bad");
    say(&two.sender(), Recipient::All, Class::Chunks, "bad");
    let refused = async {
        match knock(one.address, &key(2)).await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        }
    };
    let closed = within("refusal", refused).await;
    let ConnectionError::ApplicationClosed(closed) = closed else { panic!("{closed:?}") };
    assert_eq!(closed.reason, "no validator");
    let (removed, one_of_them) = (identity(&spec, 2, key(2)), peer(1));
    let chunks = crate::network::chunks::dial(one.chunks.unwrap(), &removed, &one_of_them);
    assert!(within("refusal", chunks).await.is_err());
    for class in [Class::Consensus, Class::Chunks] {
        say(&three.sender(), Recipient::All, class, "good");
        assert_eq!(heard(queue(&mut inbox, class)).await, (id(3), "good".to_owned()));
    }
}

#[tokio::test]
async fn a_peer_that_is_removed_and_added_at_once_is_met_anew() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox_one) = start(&spec, 1, ports[0]).await;
    let (two, mut inbox_two) = start(&spec, 2, ports[1]).await;
    direct(&one).await;
    direct(&two).await;
    let before = one.peers.now().of(id(2)).cloned().unwrap();
    let only_two = only(2, loopback(ports[1]));
    // All tasks of the network see only what comes of both.
    for directory in [&Directory::default(), &only_two] {
        one.sender().change(directory);
    }
    assert!(before.is_removed() && !one.peers.now().has(&before));
    for class in Class::ALL {
        say(&one.sender(), Recipient::All, class, "again");
        assert_eq!(heard(queue(&mut inbox_two, class)).await.1, "again");
        // What it wrote to the connection before may be lost.
        within("message", async {
            loop {
                say(&two.sender(), Recipient::All, class, "you, too");
                let next =
                    tokio::time::timeout(Duration::from_millis(50), queue(&mut inbox_one, class).recv());
                if next.await.is_ok_and(|message| !message.unwrap().is_late()) {
                    return;
                }
            }
        })
        .await;
    }
    direct(&one).await;
    direct(&two).await;
}

#[tokio::test]
async fn who_stays_loses_no_message_over_many_changes() {
    const ROUNDS: u8 = 50;
    const EACH: u32 = 10;
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox_one) = start(&spec, 1, ports[0]).await;
    let (two, mut inbox_two) = start(&spec, 2, ports[1]).await;
    direct(&one).await;
    direct(&two).await;
    let before = one.peers.now().of(id(2)).cloned().unwrap();
    let nowhere = free_port();
    let (mut next, mut due) = (0, BTreeMap::<Class, u32>::new());
    for round in 0..ROUNDS {
        for _ in 0..EACH {
            for (network, other) in [(&one, 2), (&two, 1)] {
                for class in Class::ALL {
                    say(&network.sender(), Recipient::One(id(other)), class, &format!("{class:?} {next}"));
                }
            }
            next += 1;
        }
        for (network, other, port) in [(&one, 2, ports[1]), (&two, 1, ports[0])] {
            let others = [3 + round % 5, 10 + round];
            let [a, b] = others.map(|other| (other, loopback(nowhere)));
            network.sender().change(&directory([(other, loopback(port)), a, b], &[other, others[0]]));
        }
        for inbox in [&mut inbox_one, &mut inbox_two] {
            let mut due = due.clone();
            for _ in 0..EACH * 4 {
                let message = within("message", async {
                    tokio::select! {
                        message = inbox.urgent.recv() => message,
                        message = inbox.signing.recv() => message,
                        message = inbox.bulk.recv() => message,
                    }
                });
                let message = message.await.unwrap();
                let due = due.entry(message.class).or_default();
                assert_eq!(message.bytes, format!("{:?} {due}", message.class), "round {round}");
                *due += 1;
            }
        }
        due = Class::ALL.map(|class| (class, next)).into();
    }
    assert!(Arc::ptr_eq(&before, one.peers.now().of(id(2)).unwrap()));
    assert!(one.sender().peers().iter().any(|peer| peer.direct && peer.dropped == 0));
}

#[tokio::test]
async fn a_peer_that_moves_is_dialled_where_it_is() {
    let ports = [free_port(), free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox) = start_with(&spec, 1, key(1), ports[0], &only(2, loopback(ports[1]))).await;
    // It cannot dial: whoever finds the other is the first.
    let only_one = only(1, unlisted());
    let (two, inbox_two) = start_with(&spec, 2, key(2), ports[1], &only_one).await;
    say(&two.sender(), Recipient::All, Class::Consensus, "here");
    assert_eq!(heard(&mut inbox.urgent).await.1, "here");
    one.sender().change(&only(2, loopback(ports[2])));
    say(&two.sender(), Recipient::All, Class::Consensus, "still here");
    assert_eq!(heard(&mut inbox.urgent).await.1, "still here");
    drop((two, inbox_two));
    let (two, _inbox_two) = start_with(&spec, 2, key(2), ports[2], &only_one).await;
    for class in [Class::Consensus, Class::Chunks] {
        say(&two.sender(), Recipient::All, class, "there");
        assert_eq!(heard(queue(&mut inbox, class)).await, (id(2), "there".to_owned()));
    }
    direct(&one).await;
    direct(&two).await;
}

#[tokio::test]
async fn another_key_under_a_number_is_another_peer() {
    let ports = [free_port(), free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox) = start(&spec, 1, ports[0]).await;
    let only_one = only(1, loopback(ports[0]));
    let (before, _inbox_before) = start_with(&spec, 2, key(2), ports[1], &only_one).await;
    direct(&before).await;
    say(&before.sender(), Recipient::All, Class::Consensus, "early");
    until("message", || inbox.urgent.len() == 1).await;
    let mut changed = only(2, loopback(ports[2]));
    changed.peers.get_mut(&id(2)).unwrap().key = key(9).public_key();
    one.sender().change(&changed);
    say(&before.sender(), Recipient::All, Class::Consensus, "bad");
    say(&before.sender(), Recipient::All, Class::Chunks, "bad");
    let (after, mut inbox_after) = start_with(&spec, 2, key(9), ports[2], &only_one).await;
    for class in [Class::Consensus, Class::Chunks] {
        say(&one.sender(), Recipient::One(id(2)), class, "who are you?");
        say(&after.sender(), Recipient::All, class, "good");
        assert_eq!(heard(queue(&mut inbox, class)).await, (id(2), "good".to_owned()));
        assert_eq!(heard(queue(&mut inbox_after, class)).await.1, "who are you?");
    }
    until("the end", || before.sender().peers().iter().all(|peer| !peer.connected && !peer.direct)).await;
    direct(&one).await;
    direct(&after).await;
}

#[tokio::test]
async fn a_peer_whose_address_is_garbage_comes_in_by_itself_and_gets_chunks_directly() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let garbage = [
        String::new(),
        "\u{1b}[31m\n".to_owned(),
        "/".repeat(100_000),
        "/ip4/0.0.0.0/udp/9/quic-v1".to_owned(),
        "/ip4/127.0.0.1/udp/0/quic-v1".to_owned(),
        "/ip6/2001:db8::1/udp/9/quic-v1".to_owned(),
        // This node itself.
        loopback(ports[0]),
    ];
    let info = |number, address| PeerInfo { key: key(number).public_key(), address };
    let mut directory = only(2, unlisted());
    directory.peers.extend((3..).zip(garbage).map(|(number, address)| (id(number), info(number, address))));
    let (one, mut inbox_one) = start_with(&spec, 1, key(1), ports[0], &directory).await;
    // Twice, as nothing changes: the second says nothing.
    one.sender().change(&directory);
    let (two, mut inbox_two) = start_with(&spec, 2, key(2), ports[1], &only(1, loopback(ports[0]))).await;
    direct(&one).await;
    direct(&two).await;
    for class in Class::ALL {
        say(&one.sender(), Recipient::All, class, "from one");
        say(&two.sender(), Recipient::All, class, "from two");
        assert_eq!(heard(queue(&mut inbox_two, class)).await.1, "from one");
        assert_eq!(heard(queue(&mut inbox_one, class)).await.1, "from two");
    }
}

#[test]
fn garbage_in_the_genesis_file_is_an_error_unless_it_is_of_this_node() {
    let mut spec = spec(&[1, 2], "test");
    Arc::get_mut(&mut spec).unwrap().validators[1].address = unlisted();
    assert!(Directory::of_genesis(&spec, id(2)).is_ok());
    let error = Directory::of_genesis(&spec, id(1)).unwrap_err().to_string();
    assert!(error.contains(&unlisted()) && error.contains("validator 2"), "{error}");
}

#[tokio::test]
async fn all_are_the_committee_of_that_moment() {
    let ports = [free_port(), free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox) = start(&spec, 1, ports[0]).await;
    let (_two, mut inbox_two) = start(&spec, 2, ports[1]).await;
    let (_three, mut inbox_three) = start(&spec, 3, ports[2]).await;
    let sender = one.sender();
    until("connections", || sender.peers().iter().all(|peer| peer.connected)).await;
    let peers = || [(2, loopback(ports[1])), (3, loopback(ports[2]))];
    // No thread of the runtime, as the core's is none.
    std::thread::spawn({
        let sender = sender.clone();
        let committees: [&[u8]; 5] = [&[2], &[3], &[1, 2, 3, 4], &[], &[1]];
        let changes = committees.map(|committee| directory(peers(), committee));
        move || {
            for (step, change) in changes.iter().enumerate() {
                sender.change(change);
                say(&sender, Recipient::All, Class::Consensus, &step.to_string());
            }
            for other in [2, 3] {
                say(&sender, Recipient::One(id(other)), Class::Consensus, "end");
            }
        }
    })
    .join()
    .unwrap();
    assert!(sender.peers().iter().all(|peer| !peer.committee));
    sender.change(&directory(peers(), &[3]));
    assert_eq!(sender.peers().iter().map(|peer| peer.committee).collect::<Vec<_>>(), [false, true]);
    for (inbox, expected) in [(&mut inbox_two, ["0", "2", "end"]), (&mut inbox_three, ["1", "2", "end"])] {
        for text in expected {
            assert_eq!(heard(&mut inbox.urgent).await.1, text);
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_thousand_changes() {
    /// Streams and connections that were under way at the first count.
    const MORE: usize = 16;
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox_one) = start(&spec, 1, ports[0]).await;
    let (two, _inbox_two) = start(&spec, 2, ports[1]).await;
    direct(&one).await;
    direct(&two).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (before, nowhere, mut most) = (tasks(), free_port(), 0);
    for round in 0..1_000_u32 {
        let others =
            [0, 1, 2].map(|nth| (3 + u8::try_from((3 * round + nth) % 200).unwrap(), loopback(nowhere)));
        let [a, b, c] = others;
        one.sender().change(&directory([(2, loopback(ports[1])), a, b, c], &[2]));
        tokio::task::yield_now().await;
        most = most.max(tasks());
    }
    assert!(most > before, "no change was followed");
    one.sender().change(&only(2, loopback(ports[1])));
    assert_eq!(one.sender().peers().len(), 1);
    until("the end of tasks", || tasks() <= before + MORE).await;
    say(&one.sender(), Recipient::All, Class::Consensus, "still here");
}
