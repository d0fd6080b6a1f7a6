//! What a client can send: over JSON-RPC and over the binary protocol.

use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::Encodable2718;
use alloy::primitives::{Address, Signature, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use ordering_types::{Digest, Height, RollupId};
use rollup::client::{Connector, SessionError};
use rollup::wire::{
    self, ClientMessage, Hello, NodeMessage, Opening, Rollups, Submit, Subscription, VERSION,
};
use serde_json::{Value, json};

use crate::support::{Network, call, exchange, local, post, until};
use crate::world::{World, address, spec};

/// An EVM rollup of the live network, and its chain.
const ALPHA: RollupId = RollupId::new(1);
const ALPHA_CHAIN: u64 = 900_001;
/// Its opaque rollup.
const BULK: RollupId = RollupId::new(3);
/// Opaque rollups of the node without peers: a small quota, and one that is larger than the node's buffers.
const SMALL: RollupId = RollupId::new(2);
const BIG: RollupId = RollupId::new(3);

const PATIENCE: Duration = Duration::from_secs(30);

/// A signed transfer; accounts and nonces mean nothing to a sequencer, so each value is another transaction.
pub(crate) fn signed(chain_id: u64, value: u64) -> Vec<u8> {
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let transaction = transfer(chain_id, value);
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

fn transfer(chain_id: u64, value: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        to: TxKind::Call(Address::ZERO),
        value: U256::from(value),
        ..TxEip1559::default()
    }
}

fn send_raw(network: &Network, data: &[u8]) -> Value {
    let params = json!([hex(data)]);
    call(network.node_rpc(1), &format!("/rollup/{ALPHA_CHAIN}"), "eth_sendRawTransaction", &params)
}

pub(crate) fn hex(data: &[u8]) -> String {
    format!("0x{}", alloy::primitives::hex::encode(data))
}

/// Sends one transaction both ways and gives both answers.
fn both(network: &Network, rollup: RollupId, data: &[u8]) -> String {
    let rpc = call(network.node_rpc(1), "/", "seq_submit", &json!([rollup, hex(data)]));
    let wire = refused(network, rollup, data.to_vec());
    format!("JSON-RPC {rpc}\nbinary {wire}")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A bare client of the binary protocol, which can say anything.
struct Bare {
    _connection: quinn::Connection,
    send: quinn::SendStream,
    receive: quinn::RecvStream,
}

impl Bare {
    async fn connect(endpoint: &str) -> Self {
        let connection = Connector::new().unwrap().connect(endpoint).await.unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        Self { _connection: connection, send, receive }
    }

    async fn session(network: &Network) -> Self {
        Self::greeted(&ingress(network), hello(network)).await
    }

    /// With a hello that must be welcome.
    async fn greeted(endpoint: &str, hello: Hello) -> Self {
        let mut bare = Self::connect(endpoint).await;
        wire::write(&mut bare.send, &Opening::Session(hello)).await.unwrap();
        assert!(matches!(bare.next().await, NodeMessage::Welcome(_)));
        bare
    }

    async fn next(&mut self) -> NodeMessage {
        tokio::time::timeout(PATIENCE, wire::read(&mut self.receive)).await.unwrap().unwrap().unwrap()
    }

    /// Until the node closes the session or refuses something.
    async fn objection(&mut self) -> String {
        loop {
            match self.next().await {
                NodeMessage::Closed(closed) => return format!("{:?}: {}", closed.reason, closed.text),
                NodeMessage::Refused(refused) => return format!("{:?}: {}", refused.code, refused.text),
                _ => {}
            }
        }
    }
}

fn ingress(network: &Network) -> String {
    local(network.base + 201).to_string()
}

fn hello(network: &Network) -> Hello {
    Hello { version: VERSION, chain_spec: spec(network).hash(), subscription: None }
}

fn refused(network: &Network, rollup: RollupId, data: Vec<u8>) -> String {
    block_on(async {
        let mut bare = Bare::session(network).await;
        let submit = Submit { tag: 7, rollup, data: data.into() };
        wire::write(&mut bare.send, &ClientMessage::Submit(submit)).await.unwrap();
        bare.objection().await
    })
}

/// Opens a session that is not welcome.
fn unwelcome(network: &Network, change: impl FnOnce(&mut Hello)) -> String {
    block_on(async {
        let mut bare = Bare::connect(&ingress(network)).await;
        let mut hello = hello(network);
        change(&mut hello);
        wire::write(&mut bare.send, &Opening::Session(hello)).await.unwrap();
        bare.objection().await
    })
}

/// Says raw bytes in a session.
fn spoken(network: &Network, frame: &[u8]) -> String {
    block_on(async {
        let mut bare = Bare::session(network).await;
        bare.send.write_all(frame).await.unwrap();
        bare.objection().await
    })
}

pub(crate) fn tx_malformed(world: &World) -> String {
    let mut data = signed(ALPHA_CHAIN, 1);
    data.truncate(40);
    both(world.live(), ALPHA, &data)
}

pub(crate) fn tx_oversized(world: &World) -> String {
    both(world.live(), BULK, &vec![1; 128 * 1024 + 1])
}

pub(crate) fn tx_over_rollup_size(world: &World) -> String {
    let rpc = address(world.lonely(), "rpc");
    call(rpc, "/", "seq_submit", &json!([SMALL, hex(&[1; 3_000])])).to_string()
}

pub(crate) fn tx_wrong_chain(world: &World) -> String {
    both(world.live(), ALPHA, &signed(ALPHA_CHAIN + 1, 2))
}

pub(crate) fn tx_bad_signature(world: &World) -> String {
    let nobody = Signature::new(U256::from(1), U256::MAX >> 1, false);
    let transaction = transfer(ALPHA_CHAIN, 3).into_signed(nobody);
    both(world.live(), ALPHA, &TxEnvelope::from(transaction).encoded_2718())
}

pub(crate) fn tx_unknown_rollup(world: &World) -> String {
    both(world.live(), RollupId::new(77), &[1, 2, 3])
}

/// Sent once, then sent again once it is ordered: as a wallet does that lost the first answer.
pub(crate) fn tx_duplicate(world: &World) -> String {
    let (network, data) = (world.live(), signed(ALPHA_CHAIN, 4));
    let first = send_raw(network, &data);
    assert!(first["result"].is_string(), "{first}");
    until("the transaction to be ordered", PATIENCE, || {
        let params = json!([ALPHA, {"hash": first["result"]}]);
        call(network.node_rpc(1), "/", "seq_proof", &params)["result"].is_object().then_some(())
    });
    both(network, ALPHA, &data)
}

pub(crate) fn tx_over_quota(world: &World) -> String {
    let rpc = address(world.lonely(), "rpc");
    // The node orders nothing, so eight blocks' worth is all that it lets wait.
    let answers =
        (0..40_u8).map(|number| call(rpc, "/", "seq_submit", &json!([SMALL, hex(&[number; 1_000])])));
    answers.map(|answer| answer.to_string()).find(|answer| answer.contains("error")).unwrap_or_default()
}

/// Tiny transactions until the node has no place for one more.
pub(crate) fn tx_buffers_full(world: &World) -> String {
    const FRAMES: u64 = 100;
    const EACH: u64 = 4_000;
    let ready = world.lonely();
    let endpoint = address(ready, "ingress").to_string();
    let status = call(address(ready, "rpc"), "/", "seq_status", &json!([]));
    let chain_spec: Digest = serde_json::from_value(status["result"]["chain_spec"].clone()).unwrap();
    block_on(async {
        let hello = Hello { version: VERSION, chain_spec, subscription: None };
        let bare = Bare::greeted(&endpoint, hello).await;
        let Bare { _connection, mut send, receive } = bare;
        let sending = async {
            for frame in 0..FRAMES {
                let submit = |number: u64| {
                    let data = (frame * EACH + number).to_be_bytes().to_vec().into();
                    Submit { tag: number, rollup: BIG, data }
                };
                let all = ClientMessage::SubmitMany((0..EACH).map(submit).collect());
                wire::write(&mut send, &all).await.unwrap();
            }
            std::future::pending::<String>().await
        };
        let mut receive = receive;
        let hearing = async {
            let first = tokio::time::timeout(2 * PATIENCE, wire::read::<NodeMessage>(&mut receive)).await;
            match first.unwrap().unwrap() {
                Some(NodeMessage::Refused(refused)) => format!("{:?}: {}", refused.code, refused.text),
                other => panic!("{other:?}"),
            }
        };
        let wire = tokio::select! { seen = hearing => seen, never = sending => never };
        let rpc = call(address(ready, "rpc"), "/", "seq_submit", &json!([BIG, "0xff"]));
        format!("binary {wire}\nJSON-RPC {rpc}")
    })
}

pub(crate) fn rpc_not_json(world: &World) -> String {
    post(world.live().node_rpc(1), "/", "this is no JSON").unwrap().body
}

pub(crate) fn rpc_not_hex(world: &World) -> String {
    let params = json!(["0xnothex"]);
    let path = format!("/rollup/{ALPHA_CHAIN}");
    call(world.live().node_rpc(1), &path, "eth_sendRawTransaction", &params).to_string()
}

pub(crate) fn rpc_bad_parameters(world: &World) -> String {
    call(world.live().node_rpc(1), "/", "seq_submit", &json!([])).to_string()
}

pub(crate) fn rpc_unknown_method(world: &World) -> String {
    call(world.live().node_rpc(1), "/", "seq_nothing", &json!([])).to_string()
}

pub(crate) fn rpc_unknown_chain(world: &World) -> String {
    call(world.live().node_rpc(1), "/rollup/42", "eth_chainId", &json!([])).to_string()
}

pub(crate) fn rpc_execution(world: &World) -> String {
    let path = format!("/rollup/{ALPHA_CHAIN}");
    call(world.live().node_rpc(1), &path, "eth_getBalance", &json!([])).to_string()
}

pub(crate) fn rpc_unknown_path(world: &World) -> String {
    let answer = post(world.live().node_rpc(1), "/nothing", "{}").unwrap();
    format!("{}\n{}", answer.head, answer.body)
}

pub(crate) fn rpc_not_found(world: &World) -> String {
    call(world.live().node_rpc(1), "/", "seq_block", &json!([1_000_000_000])).to_string()
}

/// Only announced: the node need not read three megabytes to refuse them.
pub(crate) fn rpc_too_large(world: &World) -> String {
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: 3000000\r\n\r\n";
    exchange(world.live().node_rpc(1), head.as_bytes()).unwrap()
}

pub(crate) fn rpc_too_many_in_a_batch(world: &World) -> String {
    let one = json!({"jsonrpc": "2.0", "id": 1, "method": "seq_status", "params": []});
    let batch = Value::Array(vec![one; 101]).to_string();
    post(world.live().node_rpc(1), "/", &batch).unwrap().body
}

pub(crate) fn wire_version(world: &World) -> String {
    unwelcome(world.live(), |hello| hello.version = 99)
}

pub(crate) fn wire_other_network(world: &World) -> String {
    unwelcome(world.live(), |hello| hello.chain_spec = Digest::ZERO)
}

pub(crate) fn wire_cursor(world: &World) -> String {
    let subscription = Subscription {
        rollups: Rollups::All,
        from: Some(Height::new(1_000_000_000)),
        data: false,
        certified: false,
    };
    unwelcome(world.live(), |hello| hello.subscription = Some(subscription))
}

pub(crate) fn wire_malformed(world: &World) -> String {
    spoken(world.live(), &[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff])
}

pub(crate) fn wire_too_long(world: &World) -> String {
    spoken(world.live(), &[0x7f, 0xff, 0xff, 0xff])
}

/// Opens a stream, says half a frame, and waits.
pub(crate) fn wire_half_open(world: &World) -> String {
    block_on(async {
        let mut bare = Bare::connect(&ingress(world.live())).await;
        bare.send.write_all(&[0, 0]).await.unwrap();
        bare.objection().await
    })
}

pub(crate) fn wire_second_session(world: &World) -> String {
    let network = world.live();
    block_on(async {
        let first = Bare::session(network).await;
        let (mut send, receive) = first._connection.open_bi().await.unwrap();
        wire::write(&mut send, &Opening::Session(hello(network))).await.unwrap();
        let mut second = Bare { _connection: first._connection.clone(), send, receive };
        second.objection().await
    })
}

/// A client that expects another network finds out by itself, whatever the node says.
pub(crate) fn client_other_network(world: &World) -> String {
    let mut other = (*spec(world.live())).clone();
    other.network = "elsewhere".to_owned();
    let network = rollup::verify::Network::new(other.into());
    block_on(async {
        let connector = Connector::new().unwrap();
        let opened = rollup::client::Session::open(&connector, &ingress(world.live()), &network, None).await;
        match opened {
            Err(error @ SessionError::Closed(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    })
}
