#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering_types::chain_spec::{Limits, Validator};
use ordering_types::{Address, ChainSpec, SecretKey, ValidatorId};

use super::*;
use crate::core_api::{Class, Recipient};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spec(ports: &[u16], network: &str) -> Arc<ChainSpec> {
    let validators = (1..)
        .zip(ports)
        .map(|(id, port)| Validator {
            id: ValidatorId::new(id.into()),
            key: key(id).public_key(),
            address: format!("/ip4/127.0.0.1/udp/{port}/quic-v1"),
        })
        .collect();
    Arc::new(ChainSpec {
        network: network.to_owned(),
        l1_chain_id: 1,
        inbox: Address::default(),
        limits: Limits::default(),
        validators,
        rollups: Vec::new(),
    })
}

async fn start(spec: &Arc<ChainSpec>, id: u8, port: u16) -> (Network, Inbox) {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    within("port", async {
        loop {
            let (me, spec) = (ValidatorId::new(id.into()), Arc::clone(spec));
            match Network::start(NetworkOptions { listen, me, key: key(id), spec }).await {
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
        let queue = if matches!(class, Class::Consensus | Class::Ceremony) {
            &mut inbox_two.urgent
        } else {
            &mut inbox_two.bulk
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
    let options = NetworkOptions { listen, me: ValidatorId::new(1), key: key(1), spec };
    let error = Network::start(options).await.err().unwrap();
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}
