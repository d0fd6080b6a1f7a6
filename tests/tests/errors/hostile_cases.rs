//! Bytes that no program of ours would send, to every port, and connections that are opened and then left alone. What a
//! case sees at the end is that the port still serves.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::json;

use crate::support::{Network, call, connect, exchange, get, local, post, until};
use crate::world::{Folders, World, address, spec};

const SEED: u64 = 0xbad_b17e5;
/// Datagrams or connections of each case.
const ATTEMPTS: usize = 300;
/// Longer than a UDP payload may be needs no test: the system refuses it.
const LONGEST_DATAGRAM: usize = 1_500;
const LONGEST_BLOB: usize = 20_000;
/// Connections left half open at once, fewer than any port allows.
const HALF_OPEN: usize = 40;
const PATIENCE: Duration = Duration::from_secs(30);

/// What a case returns when its port still serves.
const STILL_SERVING: &str = "still serving";

fn random(rng: &mut ChaCha8Rng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1 + rng.next_u32() as usize % longest];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Random datagrams; a third begin as a QUIC Initial of version 1 does.
fn random_datagrams(to: SocketAddr) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for attempt in 0..ATTEMPTS {
        let mut bytes = random(&mut rng, LONGEST_DATAGRAM);
        if attempt % 3 == 0 {
            bytes.resize(1_200, 0);
            bytes[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        // A full buffer of the receiver is not our concern.
        let _ = socket.send_to(&bytes, to);
    }
}

fn random_connections(to: SocketAddr) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for _ in 0..ATTEMPTS / 10 {
        let mut stream = connect(to).unwrap();
        // Closed by the other side, if it has heard enough.
        let _ = stream.write_all(&random(&mut rng, LONGEST_BLOB));
    }
}

/// The first flight of a real QUIC client.
fn initial() -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = socket.local_addr().unwrap().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut datagram = vec![0; 2_000];
    runtime.block_on(async {
        let connector = rollup::client::Connector::new().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let (length, _) = socket.recv_from(&mut datagram).unwrap();
            datagram.truncate(length);
            datagram
        });
        tokio::select! {
            datagram = reading => datagram.unwrap(),
            connected = connector.connect(&endpoint) => panic!("nobody answers, yet {connected:?}"),
        }
    })
}

/// Handshakes that are begun from many ports, with many connection ids, and never gone on with.
fn half_open_handshakes(to: SocketAddr) {
    let datagram = initial();
    for _ in 0..ATTEMPTS {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(&datagram, to);
    }
}

/// Half of them say nothing at all, half stop within a request.
fn half_open_connections(to: SocketAddr) -> Vec<TcpStream> {
    let open = |number: usize| {
        let mut stream = connect(to).unwrap();
        if number.is_multiple_of(2) {
            stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-le").unwrap();
        }
        stream
    };
    (0..HALF_OPEN).map(open).collect()
}

fn still(serves: bool) -> String {
    if serves { STILL_SERVING.to_owned() } else { "does not serve any more".to_owned() }
}

/// A bare request that is no HTTP.
fn nonsense(to: SocketAddr) -> String {
    exchange(to, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nonsense\r\n\r\n").unwrap()
}

fn peers_see_each_other(network: &Network) -> bool {
    until("node 1 to have its peers", PATIENCE, || {
        let status = call(network.node_rpc(1), "/", "seq_status", &json!([]));
        let peers = status["result"]["peers"].as_array()?;
        (peers.len() == 3 && peers.iter().all(|peer| peer["connected"] == true)).then_some(true)
    })
}

fn p2p(network: &Network) -> SocketAddr {
    local(network.base + 101)
}

fn ingress(network: &Network) -> SocketAddr {
    local(network.base + 201)
}

fn welcomes(network: &Network, at: SocketAddr) -> bool {
    let client = rollup::verify::Network::new(spec(network));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = rollup::client::Connector::new().unwrap();
        rollup::client::Session::open(&connector, &at.to_string(), &client, None).await.is_ok()
    })
}

pub(crate) fn bytes_p2p(world: &World) -> String {
    random_datagrams(p2p(world.live()));
    still(peers_see_each_other(world.live()))
}

pub(crate) fn bytes_ingress(world: &World) -> String {
    let network = world.live();
    random_datagrams(ingress(network));
    still(welcomes(network, ingress(network)))
}

pub(crate) fn bytes_rpc(world: &World) -> String {
    let at = world.live().node_rpc(1);
    random_connections(at);
    let served = call(at, "/", "seq_status", &json!([]))["result"].is_object();
    format!("{}\n{}", nonsense(at), still(served))
}

fn bytes_http(at: SocketAddr, path: &str) -> String {
    random_connections(at);
    format!("{}\n{}", nonsense(at), still(get(at, path).unwrap().ok()))
}

pub(crate) fn bytes_metrics(world: &World) -> String {
    bytes_http(local(world.live().base + 401), "/livez")
}

pub(crate) fn bytes_batcher(world: &World) -> String {
    bytes_http(local(world.live().base + 501), "/livez")
}

fn l1(network: &Network) -> SocketAddr {
    local(network.base + 545)
}

fn l1_answers(network: &Network) -> bool {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).to_string();
    post(l1(network), "/", &body).unwrap().body.contains("\"0x539\"")
}

pub(crate) fn bytes_l1(world: &World) -> String {
    let network = world.live();
    random_connections(l1(network));
    let garbage = post(l1(network), "/", "garbage").unwrap().body;
    format!("{}\n{garbage}\n{}", nonsense(l1(network)), still(l1_answers(network)))
}

pub(crate) fn open_p2p(world: &World) -> String {
    half_open_handshakes(p2p(world.live()));
    still(peers_see_each_other(world.live()))
}

pub(crate) fn open_ingress(world: &World) -> String {
    let network = world.live();
    half_open_handshakes(ingress(network));
    still(welcomes(network, ingress(network)))
}

pub(crate) fn open_rpc(world: &World) -> String {
    let at = world.live().node_rpc(1);
    let _left_open = half_open_connections(at);
    still(call(at, "/", "seq_status", &json!([]))["result"].is_object())
}

fn open_http(at: SocketAddr, path: &str) -> String {
    let _left_open = half_open_connections(at);
    still(get(at, path).unwrap().ok())
}

pub(crate) fn open_metrics(world: &World) -> String {
    open_http(local(world.live().base + 401), "/livez")
}

pub(crate) fn open_batcher(world: &World) -> String {
    open_http(local(world.live().base + 501), "/livez")
}

pub(crate) fn open_l1(world: &World) -> String {
    let _left_open = half_open_connections(l1(world.live()));
    still(l1_answers(world.live()))
}

/// A node that lets two clients in.
fn crowded() -> (Folders, crate::support::Running, serde_json::Value) {
    let folders = Folders::new(1);
    folders.write(1, &folders.read(1).replace("max_connections = 512", "max_connections = 2"));
    folders.write(1, &folders.read(1).replace("max_connections = 1024", "max_connections = 2"));
    let mut node = folders.start(1, &[]);
    let ready = node.ready();
    (folders, node, ready)
}

/// A WebSocket session and a client that has asked and stays, then a third one.
pub(crate) fn rpc_crowded(_: &World) -> String {
    let (_folders, _node, ready) = crowded();
    let at = address(&ready, "rpc");
    let stays = |request: &[u8], wanted: &[u8; 12]| {
        let mut stream = connect(at).unwrap();
        stream.write_all(request).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, wanted);
        stream
    };
    let _session = stays(
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"HTTP/1.1 101",
    );
    let _idle = stays(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 404");
    match post(at, "/", "{}") {
        // Whether bytes of the request were on their way decides between the two.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "closed at once".to_owned(),
        Ok(answer) if answer.head.is_empty() => "closed at once".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn wire_crowded(_: &World) -> String {
    let (_folders, _node, ready) = crowded();
    let endpoint = address(&ready, "ingress").to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = rollup::client::Connector::new().unwrap();
        let _first = connector.connect(&endpoint).await.unwrap();
        let _second = connector.connect(&endpoint).await.unwrap();
        connector.connect(&endpoint).await.unwrap_err().to_string()
    })
}
