#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering_types::chain_spec::Validator;
use ordering_types::{Address, ChainSpec, SecretKey, ValidatorId};

use super::chunks::Identity;
use super::peer::Peer;
use super::roster::Peers;
use super::*;
use crate::core_api::{Class, Recipient};

mod changes;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn loopback(port: u16) -> String {
    format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
}

fn spec(ports: &[u16], network: &str) -> Arc<ChainSpec> {
    let validators = (1..)
        .zip(ports)
        .map(|(id, port)| Validator {
            id: ValidatorId::new(id.into()),
            key: key(id).public_key(),
            address: loopback(*port),
        })
        .collect();
    Arc::new(ChainSpec {
        network: network.to_owned(),
        l1_chain_id: 1,
        inbox: Address::default(),
        validators,
        rollups: Vec::new(),
        ..ChainSpec::default()
    })
}

fn chunks_port() -> ChunksPort {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    ChunksPort { listen, announce: None, congestion: Congestion::default() }
}

async fn start(spec: &Arc<ChainSpec>, id: u8, port: u16) -> (Network, Inbox) {
    let directory = Directory::of_genesis(spec, ValidatorId::new(id.into())).unwrap();
    start_with(spec, id, key(id), port, &directory).await
}

async fn start_with(
    spec: &Arc<ChainSpec>,
    id: u8,
    key: SecretKey,
    port: u16,
    directory: &Directory,
) -> (Network, Inbox) {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let chunks = Some(chunks_port());
    within("port", async {
        loop {
            let (me, key, spec) = (ValidatorId::new(id.into()), key.clone(), Arc::clone(spec));
            let directory = directory.clone();
            match Network::start(NetworkOptions { listen, chunks, me, key, spec, directory }).await {
                Ok(started) => return started,
                // The one before on this port may still be closing.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what}: too late"))
}

async fn connected(network: &Network) {
    let sender = network.sender();
    within("connection", async {
        while !sender.peers().iter().any(|peer| peer.connected) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_nodes_exchange_messages_of_every_class_and_find_each_other_again() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox_one) = start(&spec, 1, ports[0]).await;
    let (two, mut inbox_two) = start(&spec, 2, ports[1]).await;
    connected(&one).await;
    connected(&two).await;
    for class in Class::ALL {
        let message = Bytes::from(vec![class as u8; 100_000]);
        one.sender().send(Recipient::All, class, &message);
        let queue = match class {
            Class::Consensus => &mut inbox_two.urgent,
            Class::Ceremony => &mut inbox_two.signing,
            Class::Chunks | Class::Sync => &mut inbox_two.bulk,
        };
        let got = within("message", queue.recv()).await.unwrap();
        assert_eq!((got.from, got.class, got.bytes), (ValidatorId::new(1), class, message));
    }
    within("round trip time", async {
        while one.sender().peers()[0].rtt_ms.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop((two, inbox_two));
    let (two, _inbox_two) = start(&spec, 2, ports[1]).await;
    connected(&two).await;
    two.sender().send(Recipient::One(ValidatorId::new(1)), Class::Consensus, &Bytes::from_static(b"again"));
    assert_eq!(within("message", inbox_one.urgent.recv()).await.unwrap().bytes, "again");
}

/// A node asks as soon as it is there again. The answers went into streams to the process before, which nobody had written to since, and
/// the asker waited three seconds for each.
#[tokio::test]
async fn what_is_said_to_a_restarted_peer_reaches_it_at_once() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox_one) = start(&spec, 1, ports[0]).await;
    let say = |class, text: &'static str| {
        one.sender().send(Recipient::All, class, &Bytes::from_static(text.as_bytes()))
    };
    let (two, mut inbox) = start(&spec, 2, ports[1]).await;
    say(Class::Sync, "first");
    assert_eq!(within("message", inbox.bulk.recv()).await.unwrap().bytes, "first");
    drop((two, inbox));
    let (_two, mut inbox) = start(&spec, 2, ports[1]).await;
    within("connection", async {
        loop {
            say(Class::Consensus, "are you there?");
            if tokio::time::timeout(Duration::from_millis(20), inbox.urgent.recv()).await.is_ok() {
                return;
            }
        }
    })
    .await;
    say(Class::Sync, "answer");
    assert_eq!(within("message", inbox.bulk.recv()).await.unwrap().bytes, "answer");
}

#[tokio::test]
async fn a_stranger_and_another_network_are_refused() {
    let ports = [free_port(), free_port(), free_port()];
    let ours = spec(&ports[..2], "ours");
    let (one, mut inbox) = start(&ours, 1, ports[0]).await;
    // Key 3 is in nobody's genesis file but its own.
    let (stranger, _inbox_stranger) = start(&spec(&ports, "ours"), 3, ports[2]).await;
    // Key 2 is in ours, but its own names another network.
    let (lost, _inbox_lost) = start(&spec(&ports[..2], "theirs"), 2, ports[1]).await;
    for network in [&stranger, &lost] {
        network.sender().send(Recipient::All, Class::Consensus, &Bytes::from_static(b"bad"));
    }
    drop(lost);
    // What arrives first must be the honest peer's message.
    let (two, _inbox_two) = start(&ours, 2, ports[1]).await;
    connected(&two).await;
    two.sender().send(Recipient::All, Class::Consensus, &Bytes::from_static(b"good"));
    let got = within("message", inbox.urgent.recv()).await.unwrap();
    assert_eq!((got.from, got.bytes), (ValidatorId::new(2), Bytes::from_static(b"good")));
    assert!(stranger.sender().peers().iter().all(|peer| !peer.connected));
    assert_eq!(one.sender().peers().len(), 1);
}

#[tokio::test]
async fn a_busy_port_is_an_error() {
    let busy = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listen = busy.local_addr().unwrap();
    let spec = spec(&[listen.port(), 1], "test");
    let me = ValidatorId::new(1);
    let directory = Directory::of_genesis(&spec, me).unwrap();
    let options = NetworkOptions { listen, chunks: None, me, key: key(1), spec, directory };
    let error = Network::start(options).await.err().unwrap();
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

async fn direct(network: &Network) {
    let sender = network.sender();
    within("direct way for chunks", async {
        while !sender.peers().iter().any(|peer| peer.direct) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn chunks_take_connections_of_their_own_and_find_a_restarted_peer_at_its_new_port() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox_one) = start(&spec, 1, ports[0]).await;
    let mut last = None;
    for byte in 0..2_u8 {
        // A new process, and with port 0 a new port.
        let (two, mut inbox_two) = start(&spec, 2, ports[1]).await;
        assert_ne!(two.chunks, last.replace(two.chunks).flatten());
        let message = Bytes::from(vec![byte; 1_000_000]);
        let got = within("chunk", async {
            loop {
                // What was on its way to the old process is lost, as any message may be.
                one.sender().send(Recipient::All, Class::Chunks, &message);
                let next = tokio::time::timeout(Duration::from_millis(200), inbox_two.bulk.recv()).await;
                match next {
                    Ok(Some(got)) if got.bytes == message => return got,
                    _ => {}
                }
            }
        })
        .await;
        assert_eq!((got.from, got.class), (ValidatorId::new(1), Class::Chunks));
        direct(&one).await;
    }
}

#[tokio::test]
async fn chunks_fall_back_to_libp2p_where_their_port_cannot_be_reached() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox_one) = start(&spec, 1, ports[0]).await;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[1]));
    // Nobody listens where it says it takes chunks.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let announce = Some(silent.local_addr().unwrap().port());
    let chunks = Some(ChunksPort { announce, ..chunks_port() });
    let me = ValidatorId::new(2);
    let directory = Directory::of_genesis(&spec, me).unwrap();
    let options = NetworkOptions { listen, chunks, me, key: key(2), spec, directory };
    let (_two, mut inbox_two) = Network::start(options).await.unwrap();
    connected(&one).await;
    one.sender().send(Recipient::All, Class::Chunks, &Bytes::from_static(b"chunk"));
    assert_eq!(within("chunk", inbox_two.bulk.recv()).await.unwrap().bytes, "chunk");
    assert!(one.sender().peers().iter().all(|peer| !peer.direct));
}

fn identity(spec: &ChainSpec, me: u16, key: SecretKey) -> Identity {
    let me = ValidatorId::new(me);
    let peers = Peers::new(me, key.public_key(), &Directory::of_genesis(spec, me).unwrap());
    Identity::new(spec, me, key, Arc::new(peers))
}

fn peer(id: u8) -> Peer {
    Peer::new(ValidatorId::new(id.into()), key(id).public_key())
}

#[tokio::test]
async fn whoever_cannot_prove_to_be_a_validator_sends_no_chunks() {
    let ports = [free_port(), free_port(), free_port()];
    let ours = spec(&ports[..2], "ours");
    let (one, mut inbox) = start(&ours, 1, ports[0]).await;
    let address = one.chunks.unwrap();
    let theirs = spec(&ports[..2], "theirs");
    // A stranger's key under a validator's number, a validator of another network, and this node's own key.
    for (spec, me, secret) in [(&ours, 2, key(3)), (&theirs, 2, key(2)), (&ours, 1, key(1))] {
        let refused = super::chunks::dial(address, &identity(spec, me, secret), &peer(1)).await;
        assert!(refused.is_err(), "validator {me} came in");
    }
    let honest = identity(&ours, 2, key(2));
    // Somebody else's proof is none: the other end must be who was meant.
    let impostor = Peer::new(ValidatorId::new(1), key(3).public_key());
    for other in [peer(2), impostor] {
        assert!(super::chunks::dial(address, &honest, &other).await.is_err());
    }
    let mut link = super::chunks::dial(address, &honest, &peer(1)).await.unwrap();
    link.write(vec![super::frame::Frame::Message(Bytes::from_static(b"good"))]).await.unwrap();
    assert_eq!(within("chunk", inbox.bulk.recv()).await.unwrap().bytes, "good");
}

#[tokio::test]
async fn a_malformed_frame_costs_its_sender_the_link_and_nothing_else() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, mut inbox) = start(&spec, 1, ports[0]).await;
    let identity = identity(&spec, 2, key(2));
    let link = async || super::chunks::dial(one.chunks.unwrap(), &identity, &peer(1)).await.unwrap();
    let too_long = vec![0; super::frame::max_message_bytes(Class::Chunks) + 1];
    for bad in [super::frame::Frame::Ping(7), super::frame::Frame::Message(too_long.into())] {
        let mut link = link().await;
        // The end may come before all is written.
        let _ = link.write(vec![bad]).await;
        within("the end of the link", link.closed()).await;
    }
    let mut link = link().await;
    link.write(vec![super::frame::Frame::Message(Bytes::from_static(b"good"))]).await.unwrap();
    // What came before it was no message.
    assert_eq!(within("chunk", inbox.bulk.recv()).await.unwrap().bytes, "good");
}

/// libp2p's own transport answered every first packet with a handshake. With a thousand of them a second all places for strangers were
/// taken, and a validator that had restarted found none.
#[tokio::test]
async fn an_address_must_prove_itself_before_it_costs_a_handshake() {
    let ports = [free_port(), free_port()];
    let spec = spec(&ports, "test");
    let (one, _inbox) = start(&spec, 1, ports[0]).await;
    let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let tls = Arc::new(rollup::client::client_tls(b"libp2p").unwrap());
    let between = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _connecting =
        client.connect_with(quinn::ClientConfig::new(tls), between.local_addr().unwrap(), "l").unwrap();
    let mut packet = [0; 2_048];
    let (length, _) = within("the first packet", between.recv_from(&mut packet)).await.unwrap();
    between.send_to(&packet[..length], one.address).await.unwrap();
    // The client goes on sending meanwhile.
    while within("an answer", between.recv_from(&mut packet)).await.unwrap().1 != one.address {}
    // A long header of the type Retry (RFC 9000, section 17.2.5).
    assert_eq!(packet[0] >> 4, 0b1111);
}
