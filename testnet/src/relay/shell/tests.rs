#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use tokio::time::timeout;

use super::super::command::{Change, Selection, Settings};
use super::super::link::Conditions;
use super::super::plan::Front;
use super::super::stats::LinkCounts;
use super::*;

const MS: Duration = Duration::from_millis(1);
/// Far beyond what anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Nodes 1, 2, … on sockets of their own, with a relay between.
struct Net {
    relay: Relay,
    nodes: Vec<UdpSocket>,
}

impl Net {
    async fn new(count: u16, conditions: Conditions) -> Self {
        let mut nodes = Vec::new();
        let mut fronts = Vec::new();
        for validator in 1..=count {
            let node = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let listen = "127.0.0.1:0".parse().unwrap();
            fronts.push(Front { validator, class: Class::Mesh, listen, node: node.local_addr().unwrap() });
            nodes.push(node);
        }
        let plan = Plan { seed: 7, conditions, fronts, control: "unused".into() };
        Self { relay: Relay::start(&plan).unwrap(), nodes }
    }

    fn node(&self, number: u16) -> &UdpSocket {
        &self.nodes[usize::from(number) - 1]
    }

    fn front(&self, number: u16) -> SocketAddr {
        self.relay.front(Class::Mesh, number).unwrap()
    }

    async fn send(&self, from: u16, to: u16, data: &[u8]) {
        self.node(from).send_to(data, self.front(to)).await.unwrap();
    }

    /// The next datagram at a node and the number of the validator that it seems to come from.
    async fn receive(&self, at: u16) -> (u16, Vec<u8>) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let received = timeout(DEADLINE, self.node(at).recv_from(&mut buffer)).await;
        let (length, from) = received.expect("nothing came").unwrap();
        buffer.truncate(length);
        let number = (1..=self.nodes.len() as u16).find(|number| self.front(*number) == from);
        (number.expect("from no front"), buffer)
    }

    /// Waits until the counts are as wanted.
    async fn counts(&self, from: u16, to: u16, wanted: impl Fn(&LinkCounts) -> bool) -> LinkCounts {
        let began = Instant::now();
        loop {
            let stats = self.relay.stats();
            let link = stats.links.iter().find(|link| (link.from, link.to) == (from, to));
            let counts = link.map(|link| link.counts).unwrap_or_default();
            if wanted(&counts) {
                return counts;
            }
            assert!(began.elapsed() < DEADLINE, "{counts:?}");
            tokio::task::yield_now().await;
        }
    }
}

fn delayed(delay: Duration) -> Conditions {
    Conditions { delay, ..Conditions::default() }
}

/// What QUIC needs: whoever speaks first, each end sees the other under one address, the one everybody knows.
#[tokio::test]
async fn each_sees_each_under_the_address_that_the_genesis_file_has() {
    let net = Net::new(3, delayed(MS)).await;
    for (from, to) in [(1, 2), (2, 1), (3, 1), (1, 3), (2, 3)] {
        net.send(from, to, &[from as u8, to as u8]).await;
        assert_eq!(net.receive(to).await, (from, vec![from as u8, to as u8]));
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(b"hello", net.front(1)).await.unwrap();
    let began = Instant::now();
    while net.relay.stats().strangers == 0 {
        assert!(began.elapsed() < DEADLINE);
        tokio::task::yield_now().await;
    }
    net.send(2, 1, b"after").await;
    assert_eq!(net.receive(1).await, (2, b"after".to_vec()));
}

/// No earlier than asked for. How much later is the machine's load as well; in the median of 40 it is small.
#[tokio::test]
async fn the_delay_is_the_one_asked_for() {
    let net = Net::new(2, delayed(MS * 50)).await;
    let mut delays = Vec::new();
    for round in 0..40_u8 {
        let sent = Instant::now();
        net.send(1, 2, &[round]).await;
        assert_eq!(net.receive(2).await, (1, vec![round]));
        delays.push(sent.elapsed());
        let set = Settings { delay: Some(MS * 20), ..Settings::default() };
        let change = LinkCommand { change: Change::Set(set), links: Selection::default() };
        assert_eq!(net.relay.command(&change), Ok(2));
    }
    assert!(delays[0] >= MS * 49, "{delays:?}");
    let rest = &mut delays[1..];
    rest.sort_unstable();
    assert!(rest[0] >= MS * 19, "{rest:?}");
    assert!(rest[rest.len() / 2] <= MS * 30, "{rest:?}");
}

#[tokio::test]
async fn without_reordering_nothing_overtakes_and_nothing_is_changed() {
    let conditions = Conditions { jitter: MS * 3, ..delayed(MS * 5) };
    let net = Net::new(2, conditions).await;
    let sizes = [1, 1_200, 1_200, 1_200, 700, 1_452, 9_000, 65_507, 0, 1_200];
    for round in 0..30_u8 {
        for (index, size) in (0_u8..).zip(sizes) {
            net.send(1, 2, &vec![round ^ index; size]).await;
        }
        for (index, size) in (0_u8..).zip(sizes) {
            let (from, data) = net.receive(2).await;
            assert_eq!((from, data.len()), (1, size));
            assert!(data.iter().all(|byte| *byte == round ^ index), "round {round}, number {index}");
        }
    }
    let counts = net.counts(1, 2, |counts| counts.delivered == 300).await;
    assert_eq!((counts.datagrams, counts.lost, counts.full), (300, 0, 0));
}

/// The same seed and the same datagrams: the same ones are lost, whatever the sockets do.
#[tokio::test]
async fn the_seed_alone_says_which_ones_are_lost() {
    let mut kept: Vec<BTreeSet<u16>> = Vec::new();
    for _ in 0..2 {
        let net = Net::new(2, Conditions { loss: 0.1, ..delayed(MS) }).await;
        let mut arrived = BTreeSet::new();
        for number in 0..1_000_u16 {
            net.send(1, 2, &number.to_be_bytes()).await;
            // One at a time, so that no buffer of the kernel overflows.
            let sent = u64::from(number) + 1;
            let counts = net.counts(1, 2, |counts| counts.delivered + counts.lost == sent).await;
            if counts.delivered > arrived.len() as u64 {
                let (_, data) = net.receive(2).await;
                arrived.insert(u16::from_be_bytes([data[0], data[1]]));
            }
        }
        let counts = net.counts(1, 2, |_| true).await;
        assert!((60..140).contains(&counts.lost), "{counts:?}");
        assert_eq!(arrived.len() as u64, 1_000 - counts.lost);
        kept.push(arrived);
    }
    assert_eq!(kept[0], kept[1]);
}

#[tokio::test]
async fn a_cut_link_carries_nothing_until_it_is_healed_and_others_carry_on() {
    let net = Net::new(3, delayed(MS)).await;
    let links = Selection { from: Some(1), to: Some(2), one_way: true };
    assert_eq!(net.relay.command(&LinkCommand { change: Change::Cut, links }), Ok(1));
    net.send(1, 2, b"gone").await;
    net.counts(1, 2, |counts| counts.cut == 1).await;
    net.send(2, 1, b"back").await;
    assert_eq!(net.receive(1).await, (2, b"back".to_vec()));
    net.send(3, 2, b"other").await;
    assert_eq!(net.receive(2).await, (3, b"other".to_vec()));
    assert_eq!(net.relay.command(&LinkCommand { change: Change::Heal, links }), Ok(1));
    net.send(1, 2, b"healed").await;
    assert_eq!(net.receive(2).await, (1, b"healed".to_vec()));
}

/// A train that one call sends is cut, judged one by one, and sent on; the kernel must not mistake its parts.
#[tokio::test]
async fn trains_arrive_as_the_datagrams_they_were_made_of() {
    let net = Net::new(2, delayed(MS * 2)).await;
    let state = UdpSocketState::new(UdpSockRef::from(net.node(1))).unwrap();
    let longest = state.max_gso_segments().min(40);
    let contents: Vec<u8> = (0..longest).flat_map(|index| vec![index as u8; 1_300]).collect();
    let transmit = Transmit {
        destination: net.front(2),
        ecn: Some(EcnCodepoint::Ect0),
        contents: &contents,
        segment_size: Some(1_300),
        src_ip: None,
    };
    net.node(1).writable().await.unwrap();
    let send = || state.try_send(UdpSockRef::from(net.node(1)), &transmit);
    net.node(1).try_io(Interest::WRITABLE, send).unwrap();
    for index in 0..longest {
        assert_eq!(net.receive(2).await, (1, vec![index as u8; 1_300]));
    }
    assert_eq!(net.counts(1, 2, |_| true).await.datagrams, longest as u64);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let front = Front { validator: 1, class: Class::Mesh, listen, node: "127.0.0.1:1".parse().unwrap() };
    let conditions = Conditions::default();
    let plan = Plan { seed: 0, conditions, fronts: vec![front], control: "unused".into() };
    let Err(error) = Relay::start(&plan) else { panic!("two listen on one port") };
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}
