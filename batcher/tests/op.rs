//! `batcher op` between a node that tells the order, an execution node that builds blocks of it, and an L1.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

#[path = "../../rollup/tests/support/mod.rs"]
mod committee;
mod support;

use std::fs::{Permissions, set_permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, U64, U256, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use axum::routing::post;
use axum::{Json, Router};
use batcher::http::Shown;
use batcher::l1::L1;
use batcher::op::block::RpcBlock;
use batcher::op::carry::{Carrier, Carry, CarryError, Landed};
use batcher::op::execution::Execution;
use batcher::op::feeder::{Feeder, Plan, Posted, Trouble};
use batcher::op::l1_info::SELECTORS;
use batcher::op::status::Board;
use batcher::op::watch::Watch;
use batcher::txm::Limits;
use batcher_format::blob::Blob;
use batcher_format::kzg::Kzg;
use batcher_format::op::{ChannelBuilder, L2Block};
use committee::{ROLLUP, certify, header, listen, network, spec, welcome};
use dev_l1::{DevL1, Options};
use ordering_types::{Block, ChainSpec, Digest, Header, Height, RollupSection, ValidatorId};
use rollup::client::Nodes;
use rollup::l1::{Beacon, Rpc};
use rollup::verify::Network;
use rollup::wire::{
    self, ClientMessage, ConfirmedBlock, Content, NodeMessage, Opening, OrderedBlock, OrderedSection,
    Request, Response, RollupRoot, Status,
};
use serde_json::{Value, json};
use support::chain::Chain;
use support::{SLOT, account, until};

/// Time of the rollup's first block, seconds.
const GENESIS: u64 = 1_700_000_000;
const INBOX: Address = Address::repeat_byte(0xb0);
const LONGEST: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(50);
/// Longer than any test.
const PATIENT: Duration = Duration::from_secs(600);

/// A signed transaction of the rollup.
fn transaction(nonce: u64) -> TxEnvelope {
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let tx = TxEip1559 { chain_id: 9_001, nonce, gas_limit: 21_000, ..Default::default() };
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

/// What a node has ordered, a block a second since an hour and more before the rollup's first block.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<OrderedBlock>>>);

impl Order {
    /// One more block, at this time in seconds.
    fn add(&self, time: u64, nonces: impl IntoIterator<Item = u64>) {
        let mut all = self.0.lock().unwrap();
        let parent = all.last().map_or(Digest::ZERO, |block| block.header.hash());
        let transactions: Vec<bytes::Bytes> =
            nonces.into_iter().map(|nonce| transaction(nonce).encoded_2718().into()).collect();
        let header = Header { time_ms: 1_000 * time, ..header(0, all.len() as u64 + 1, parent) };
        let count = transactions.len() as u32;
        let sections = if count == 0 { vec![] } else { vec![RollupSection { rollup: ROLLUP, transactions }] };
        let mut block = Block { header, sections };
        let tree = block.tree();
        (block.header.tx_root, block.header.tx_count) = (tree.root(), count);
        let told = |section: &RollupSection| OrderedSection {
            rollup: ROLLUP,
            content: Content::Ids(Content::Data(section.transactions.clone()).ids()),
        };
        all.push(OrderedBlock {
            certificate: certify(&block.header, 1..=3),
            rollups: tree.rollups().map(|(rollup, count, root)| RollupRoot { rollup, count, root }).collect(),
            sections: block.sections.iter().map(told).collect(),
            header: block.header,
        });
    }

    /// Begins two hours before the rollup's first block, a block a minute.
    fn new() -> Self {
        let order = Self::default();
        (0..120).for_each(|minute| order.add(GENESIS - 7_200 + 60 * minute, []));
        order
    }

    /// Starts a node that tells it; returns its address.
    fn serve(&self) -> String {
        let endpoint = listen();
        let address = endpoint.local_addr().unwrap();
        let order = self.clone();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let order = order.clone();
                tokio::spawn(async move { order.talk(incoming.await.unwrap()).await });
            }
        });
        address.to_string()
    }

    async fn talk(self, connection: quinn::Connection) {
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            match wire::read(&mut receive).await {
                Ok(Some(Opening::Request(request))) => {
                    let _ = wire::write(&mut send, &self.answer(request)).await;
                    let _ = send.finish();
                }
                Ok(Some(Opening::Session(hello))) => {
                    let from = hello.subscription.and_then(|wanted| wanted.from).unwrap_or_default();
                    let welcome = NodeMessage::Welcome(welcome(&connection, 1, 1, true));
                    wire::write(&mut send, &welcome).await.unwrap();
                    tokio::spawn(self.clone().tell(from.get() as usize, send, receive));
                }
                _ => return,
            }
        }
    }

    async fn tell(self, from: usize, mut send: quinn::SendStream, mut receive: quinn::RecvStream) {
        let sending = async {
            let mut height = from;
            loop {
                let block = self.0.lock().unwrap().get(height - 1).cloned();
                let Some(block) = block else {
                    tokio::time::sleep(POLL / 2).await;
                    continue;
                };
                height += 1;
                if wire::write(&mut send, &NodeMessage::Ordered(Arc::new(block))).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            _ = wire::read::<ClientMessage>(&mut receive) => {}
        }
    }

    fn answer(&self, request: Request) -> Response {
        let all = self.0.lock().unwrap();
        match request {
            Request::Block { height, .. } => {
                let block = all.get(height.get() as usize - 1).map(|block| {
                    let ordered = OrderedBlock { sections: vec![], ..block.clone() };
                    Box::new(ConfirmedBlock { ordered, confirmation: None })
                });
                Response::Block(block)
            }
            Request::Status => Response::Status(Status {
                chain_spec: spec().hash(),
                validator: ValidatorId::new(1),
                member: true,
                // Somewhat more than it has: a liar's word costs some questions.
                height: Height::new(all.len() as u64 + 1_000),
                certified: Height::ZERO,
                sealed: 0,
                peers: 3,
            }),
            _ => Response::Busy,
        }
    }
}

/// The rollup's execution node: blocks two seconds apart, one L1 block for all.
#[derive(Clone)]
struct Node(Arc<Mutex<Built>>);

struct Built {
    blocks: Vec<Value>,
    safe: usize,
    chain_id: u64,
}

impl Node {
    fn new() -> Self {
        let node = Self(Arc::new(Mutex::new(Built { blocks: vec![], safe: 0, chain_id: 9_001 })));
        node.build(0, []);
        node
    }

    /// One more block; `salt` tells it from others with the same transactions.
    fn build(&self, salt: u64, nonces: impl IntoIterator<Item = u64>) {
        let mut built = self.0.lock().unwrap();
        let number = built.blocks.len() as u64;
        let parent = built.blocks.last().map_or(json!(B256::ZERO), |block| block["hash"].clone());
        let mut calldata = SELECTORS[0].to_vec();
        calldata.extend([0; 24]);
        calldata.extend(77_u64.to_be_bytes());
        calldata.extend([0; 64]);
        calldata.extend([8; 64]);
        let input = alloy::primitives::Bytes::from(calldata);
        let mut transactions = vec![json!({ "type": "0x7e", "input": input, "mint": "0x0" })];
        transactions
            .extend(nonces.into_iter().map(|nonce| serde_json::to_value(transaction(nonce)).unwrap()));
        let hash = keccak256(format!("{parent} {salt} {transactions:?}"));
        let timestamp = U64::from(GENESIS + 2 * number);
        built.blocks.push(json!({
            "number": U64::from(number), "hash": hash, "parentHash": parent, "timestamp": timestamp,
            "transactions": transactions,
        }));
    }

    /// Derivation has read up to this block.
    fn read_up_to(&self, number: usize) {
        self.0.lock().unwrap().safe = number;
    }

    /// Forgets the blocks from this one on.
    fn forget(&self, from: usize) {
        self.0.lock().unwrap().blocks.truncate(from);
    }

    /// What L1 must have of these blocks.
    fn blocks(&self, from: usize, to: usize) -> Vec<L2Block> {
        let built = self.0.lock().unwrap();
        let read =
            |block: &Value| serde_json::from_value::<RpcBlock>(block.clone()).unwrap().read().unwrap().block;
        built.blocks[from..=to].iter().map(read).collect()
    }

    fn answer(&self, request: &Value) -> Value {
        let built = self.0.lock().unwrap();
        let result = match request["method"].as_str().unwrap() {
            "eth_chainId" => json!(U64::from(built.chain_id)),
            "eth_getBlockByNumber" => {
                let at = match request["params"][0].as_str().unwrap() {
                    "safe" => built.safe,
                    "latest" => built.blocks.len() - 1,
                    number => usize::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
                };
                built.blocks.get(at).cloned().unwrap_or(Value::Null)
            }
            other => panic!("{other} is not asked"),
        };
        json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
    }

    async fn serve(&self) -> String {
        let node = self.clone();
        let handler = move |Json(request): Json<Value>| async move { Json(node.answer(&request)) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
        url
    }
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Vec<Blob>>>>);

impl Carry for Kept {
    async fn carry(&mut self, blobs: Vec<Blob>) -> Result<Landed, CarryError> {
        self.0.lock().unwrap().push(blobs);
        Ok(Landed { hash: B256::ZERO, gas: 21_000 })
    }
}

/// The transactions' blobs if these blocks are one channel.
fn channel(blocks: &[L2Block]) -> Vec<Vec<Blob>> {
    let mut builder = ChannelBuilder::new();
    blocks.iter().for_each(|block| builder.push(block).unwrap());
    builder.close().unwrap().transactions()
}

async fn feeder<C: Carry>(order: &Order, node: &Node, carry: C, patience: Duration) -> Feeder<C> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let endpoints = vec![order.serve()];
    let nodes = Nodes::new(network(), &endpoints).unwrap();
    let (rollup, longest, poll) = (ROLLUP, LONGEST, POLL);
    let plan = Plan { rollup, chain_id: 9_001, endpoints, order_from: None, longest, patience, poll };
    let execution = Execution::new(&[node.serve().await]).unwrap();
    Feeder::new(plan, Arc::new(execution), nodes, carry, board())
}

fn board() -> Arc<Board> {
    Arc::new(Board::new(account(0).address()).unwrap())
}

/// Turns until a channel is on L1; there must be no trouble on the way.
async fn next_posted<C: Carry>(feeder: &mut Feeder<C>) -> Posted {
    let mut told = Vec::new();
    until("a channel", async || {
        feeder.turn(&mut |posted| told.push(posted)).await.unwrap();
        feeder.rest().await;
        told.pop()
    })
    .await
}

/// Turns until there is trouble.
async fn next_trouble<C: Carry>(feeder: &mut Feeder<C>) -> Trouble {
    until("trouble", async || {
        let turn = feeder.turn(&mut |posted| panic!("{posted:?}")).await;
        feeder.rest().await;
        turn.err()
    })
    .await
}

/// Ordered transactions 0 to 9, two a second from the rollup's beginning on; blocks 1 to 3 with all of them but the fifth.
fn ordered_and_built() -> (Order, Node) {
    let (order, node) = (Order::new(), Node::new());
    for second in 0..5 {
        order.add(GENESIS + second, [2 * second, 2 * second + 1]);
    }
    node.build(0, [0, 1, 2, 3]);
    node.build(0, [4, 6]);
    node.build(0, [7, 8, 9]);
    (order, node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_reach_the_inbox_in_blobs_of_the_rollups_batcher() {
    let (order, node) = ordered_and_built();
    let chain = Chain::dev().await;
    let mut feeder = feeder(&order, &node, carrier(&chain), PATIENT).await;
    let posted = next_posted(&mut feeder).await;
    assert_eq!((posted.blocks, posted.transactions, posted.left_out, posted.blobs), ((1, 3), 9, 1, 1));
    node.build(0, []);
    node.build(0, []);
    assert_eq!(next_posted(&mut feeder).await.blocks, (4, 5));

    let sent = sent_to(&chain, INBOX).await;
    assert_eq!(sent.len(), 2);
    for ((time, transaction), (from, to)) in sent.iter().zip([(1, 3), (4, 5)]) {
        assert_eq!(transaction["from"], json!(account(0).address()));
        assert_eq!((&transaction["type"], &transaction["input"]), (&json!("0x3"), &json!("0x")));
        let hashes: Vec<B256> = serde_json::from_value(transaction["blobVersionedHashes"].clone()).unwrap();
        let wanted = channel(&node.blocks(from, to)).concat();
        assert_eq!(blobs(&chain, *time, &hashes).await, wanted);
    }
}

/// The transaction manager with an account of this chain.
fn carrier(chain: &Chain) -> Carrier {
    let l1 = L1::new(&[chain.url()], chain.chain_id(), INBOX.into_array(), account(0)).unwrap();
    let limits = Limits {
        max_cap: 500_000_000_000,
        max_blob: 500_000_000_000,
        resubmit_after: Duration::from_secs(3),
        check_every: POLL,
        pause: POLL,
    };
    Carrier::new(Arc::new(l1), chain.chain_id(), limits, Kzg::shared(), POLL, board())
}

/// L1 loses the blocks with the frames, and no pool has them any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_l1_loses_is_posted_again() {
    let (order, node) = ordered_and_built();
    let chain = Chain::dev().await;
    let mut feeder = feeder(&order, &node, carrier(&chain), Duration::from_secs(2)).await;
    assert_eq!(next_posted(&mut feeder).await.blocks, (1, 3));
    assert_eq!(sent_to(&chain, INBOX).await.len(), 1);
    let rpc = Rpc::new(&[chain.url()]).unwrap();
    let head: U64 = rpc.call("eth_blockNumber", json!([])).await.unwrap();
    let reorg = json!([{ "depth": head.to::<u64>(), "keepTransactions": false }]);
    let _: Value = rpc.call("dev_reorg", reorg).await.unwrap();
    assert_eq!(sent_to(&chain, INBOX).await.len(), 0, "L1 has them no more");
    assert_eq!(next_posted(&mut feeder).await.blocks, (1, 3));
    assert_eq!(sent_to(&chain, INBOX).await.len(), 1);
}

/// Every transaction to this account, with the time of its block.
async fn sent_to(chain: &Chain, to: Address) -> Vec<(u64, Value)> {
    let rpc = Rpc::new(&[chain.url()]).unwrap();
    let head: U64 = rpc.call("eth_blockNumber", json!([])).await.unwrap();
    let mut found = Vec::new();
    for number in 0..=head.to::<u64>() {
        let block: Value = rpc.call("eth_getBlockByNumber", json!([U64::from(number), true])).await.unwrap();
        let transactions = block["transactions"].as_array().unwrap().iter();
        let ours = transactions.filter(|transaction| transaction["to"] == json!(to));
        let time: U64 = serde_json::from_value(block["timestamp"].clone()).unwrap();
        found.extend(ours.map(|transaction| (time.to(), transaction.clone())));
    }
    found
}

async fn blobs(chain: &Chain, time: u64, hashes: &[B256]) -> Vec<Blob> {
    let hashes: Vec<Digest> = hashes.iter().map(|hash| Digest::new(hash.0)).collect();
    Beacon::new(&chain.beacon_url()).unwrap().blobs(time, &hashes).await.unwrap()
}

/// The execution node's safe block is all the memory there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_goes_on_after_the_safe_block() {
    let (order, node) = ordered_and_built();
    node.read_up_to(2);
    let kept = Kept::default();
    let mut first = feeder(&order, &node, kept.clone(), PATIENT).await;
    assert_eq!(next_posted(&mut first).await.blocks, (3, 3));
    assert_eq!(kept.0.lock().unwrap()[0], channel(&node.blocks(3, 3)).concat());
    drop(first);
    // Derivation has not read it yet: it is posted again, and passed over there.
    let mut second = feeder(&order, &node, kept.clone(), PATIENT).await;
    assert_eq!(next_posted(&mut second).await.blocks, (3, 3));
    node.read_up_to(3);
    node.build(0, []);
    assert_eq!(next_posted(&mut second).await.blocks, (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_derivation_does_not_read_is_posted_again() {
    let (order, node) = ordered_and_built();
    let kept = Kept::default();
    let mut feeder = feeder(&order, &node, kept.clone(), Duration::from_millis(500)).await;
    assert_eq!(next_posted(&mut feeder).await.blocks, (1, 3));
    node.read_up_to(1);
    assert_eq!(next_posted(&mut feeder).await.blocks, (2, 3), "from where derivation stands");
    assert_eq!(kept.0.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_of_the_execution_node_is_posted_from_the_safe_block_on() {
    let (order, node) = ordered_and_built();
    let kept = Kept::default();
    let mut feeder = feeder(&order, &node, kept.clone(), PATIENT).await;
    assert_eq!(next_posted(&mut feeder).await.blocks, (1, 3));
    node.read_up_to(1);
    node.forget(2);
    node.build(1, [4, 5, 6]);
    node.build(1, [7, 8, 9]);
    let posted = next_posted(&mut feeder).await;
    assert_eq!((posted.blocks, posted.transactions), ((2, 3), 6));
    assert_eq!(kept.0.lock().unwrap()[1], channel(&node.blocks(2, 3)).concat());
}

/// What was not ordered does not go to L1, nor does anything after it; what was before it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_with_what_nobody_ordered_stays_where_it_is() {
    for nonces in [vec![10, 99], vec![11, 10], vec![9]] {
        let (order, node) = ordered_and_built();
        order.add(GENESIS + 6, [10, 11]);
        let mut feeder = feeder(&order, &node, Kept::default(), PATIENT).await;
        node.build(0, nonces.clone());
        assert_eq!(next_posted(&mut feeder).await.blocks, (1, 3));
        // Until then it may be that the order is only not known yet.
        order.add(GENESIS + 100, []);
        let trouble = next_trouble(&mut feeder).await;
        let index = nonces.len() - 1;
        assert!(matches!(trouble, Trouble::Foreign { block: 4, index: at } if at == index), "{trouble}");
        // An operator mends the node.
        node.forget(4);
        node.build(1, [10, 11]);
        let posted = next_posted(&mut feeder).await;
        assert_eq!((posted.blocks, posted.transactions, posted.left_out), ((4, 4), 2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_node_of_another_chain_is_found_out() {
    let (order, node) = ordered_and_built();
    let mut feeder = feeder(&order, &node, Kept::default(), PATIENT).await;
    node.0.lock().unwrap().chain_id = 10;
    let trouble = next_trouble(&mut feeder).await;
    assert!(matches!(trouble, Trouble::WrongChain { expected: 9_001, got: 10 }), "{trouble}");
}

/// Whoever does not answer, or is another one, is named, and keeps it from being ready; the loop need not have asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_when_l1_execution_node_and_network_answer() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (order, node) = ordered_and_built();
    node.read_up_to(2);
    let chain = Chain::dev().await;
    let (l1, execution, nodes) = (chain.url(), node.serve().await, order.serve());
    let (l1_id, other_spec) = (chain.chain_id(), ChainSpec { network: "other".to_owned(), ..spec() });
    let nobody = "127.0.0.1:1".to_owned();
    let dead = format!("http://{nobody}");
    let other = Network::new(Arc::new(other_spec));
    let watch = |l1: &str, l1_id, execution: &str, chain_id, network, nodes: &str| {
        let l1 = L1::new(&[l1.to_owned()], l1_id, INBOX.into_array(), account(0)).unwrap();
        let execution = Execution::new(&[execution.to_owned()]).unwrap();
        let nodes = Nodes::new(network, &[nodes.to_owned()]).unwrap();
        let (l1, execution) = (Arc::new(l1), Arc::new(execution));
        Watch { l1, l1_chain_id: l1_id, execution, chain_id, nodes, board: board() }
    };
    let table = [
        (watch(&dead, l1_id, &execution, 9_001, network(), &nodes), "no usable L1 endpoint: ", "127.0.0.1:1"),
        (watch(&l1, 7, &execution, 9_001, network(), &nodes), "no usable L1 endpoint: ", "is of chain 1337"),
        (watch(&l1, l1_id, &dead, 9_001, network(), &nodes), "no usable execution node: ", "127.0.0.1:1"),
        (
            watch(&l1, l1_id, &execution, 10, network(), &nodes),
            "no usable execution node: ",
            "is of chain 9001",
        ),
        (
            watch(&l1, l1_id, &execution, 9_001, network(), &nobody),
            "no usable node of the network: ",
            "127.0.0.1:1",
        ),
        (
            watch(&l1, l1_id, &execution, 9_001, other, &nodes),
            "no usable node of the network: ",
            "another network",
        ),
    ];
    for (watch, side, why) in table {
        let board = Arc::clone(&watch.board);
        let task = tokio::spawn(watch.run());
        let says = |text: &String| text.starts_with(side) && text.contains(why);
        until(why, async || board.not_ready().filter(says)).await;
        assert!(board.status().trouble.is_some_and(|trouble| trouble.contains(why)));
        task.abort();
    }
    let all_is_well = watch(&l1, l1_id, &execution, 9_001, network(), &nodes);
    let board = Arc::clone(&all_is_well.board);
    let task = tokio::spawn(all_is_well.run());
    until("all answer", async || board.not_ready().is_none().then_some(())).await;
    let status = board.status();
    assert_eq!((status.safe_block, status.newest_block, status.l1_endpoints), (Some(2), Some(3), 1));
    assert!(
        status.balance_eth.is_some_and(|balance| balance > 0.0) && status.trouble.is_none(),
        "{status:?}"
    );
    task.abort();
}

/// What the program needs, in a folder.
struct Setup(tempfile::TempDir);

impl Setup {
    fn new(l1: &str, nodes: &str, execution: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let private = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            set_permissions(folder.path().join(name), Permissions::from_mode(0o600)).unwrap();
        };
        let (mut rng, secret) = (rand::thread_rng(), account(0).to_bytes());
        eth_keystore::encrypt_key(folder.path(), &mut rng, secret, "open sesame", Some("key.json")).unwrap();
        set_permissions(folder.path().join("key.json"), Permissions::from_mode(0o600)).unwrap();
        private("password", "open sesame\n");
        private("chain-spec.toml", &toml::to_string(&spec()).unwrap());
        private(
            "op.toml",
            &format!(
                "chain_spec = \"chain-spec.toml\"\nrollup = 1\nnodes = [\"{nodes}\"]\nexecution = [\"{execution}\"]\nl1 = [\"{l1}\"]\n\
                 keystore = \"key.json\"\npassword_file = \"password\"\nl1_slot_ms = 1000\nchannel_ms = 300\nmetrics = \"off\"\n"
            ),
        );
        Self(folder)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batcher"));
        command.arg("op").arg("--config").arg(self.0.path().join("op.toml")).arg("--exit-on-stdin-eof");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
        command
    }

    fn start(&self) -> Program {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = self.command();
        command.args(["--inbox", &INBOX.to_string(), "--metrics", &port]);
        Program { child: command.spawn().unwrap(), port, client: reqwest::Client::new() }
    }
}

/// Killed if its test fails.
struct Program {
    child: Child,
    port: String,
    client: reqwest::Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Status code and text; nothing before it listens.
    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let answer = self.client.get(format!("http://{}{path}", self.port)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.unwrap()))
    }

    /// The status when it says so.
    async fn status(&self, what: &str, says: impl Fn(&Value) -> bool) -> Value {
        until(what, async || {
            let (_, text) = self.ask("/status").await?;
            Some(serde_json::from_str::<Value>(&text).unwrap()).filter(&says)
        })
        .await
    }

    async fn ready(&self) {
        until("it is ready", async || self.ask("/readyz").await.filter(|(code, _)| *code == 200)).await;
    }

    /// Whether the metrics have all of these lines.
    async fn check_metrics(&self, lines: &[String]) {
        let (_, text) = self.ask("/metrics").await.unwrap();
        let missing: Vec<&String> =
            lines.iter().filter(|line| text.lines().all(|said| said != **line)).collect();
        assert!(missing.is_empty(), "{missing:?} of {text}");
    }

    /// As a parent process does it.
    async fn stop(&mut self) {
        drop(self.child.stdin.take());
        let status = until("the end", async || self.child.try_wait().unwrap()).await;
        assert!(status.success());
    }
}

/// As exactly as JSON has it.
fn has_ether(status: &Value, wanted: f64) -> bool {
    status["balance_eth"].as_f64().is_some_and(|balance| (balance - wanted).abs() <= wanted * 1e-12)
}

/// The L1 of the chain specification.
async fn l1_of_the_spec() -> Chain {
    let listen = ([127, 0, 0, 1], 0).into();
    let (block_time, chain_id) = (SLOT, spec().l1_chain_id);
    Chain::Dev(DevL1::spawn(Options { listen, block_time, chain_id, ..Options::default() }).await.unwrap())
}

/// As an operator starts it: a file, flags, a line of JSON, what it shows, an end; and mistakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_posts_and_says_what() {
    let (order, node) = ordered_and_built();
    let chain = l1_of_the_spec().await;
    let setup = Setup::new(&chain.url(), &order.serve(), &node.serve().await);
    for (flags, wanted) in [
        (vec![], "inbox is not set"),
        (vec!["--inbox", &INBOX.to_string(), "--metrics", "nowhere"], "nowhere"),
    ] {
        let mistake = setup.command().args(flags).output().unwrap();
        assert_eq!(mistake.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&mistake.stderr).contains(wanted));
    }
    let mut program = setup.start();
    let stdout = program.child.stdout.take().unwrap();
    let reading =
        tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next().unwrap().unwrap());
    let line =
        tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it never says so").unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&said["blocks"], &said["left_out"]), (&json!([1, 3]), &json!(1)), "{line}");
    assert_eq!(sent_to(&chain, INBOX).await.len(), 1);

    program.ready().await;
    node.read_up_to(3);
    let (rpc, account) = (Rpc::new(&[chain.url()]).unwrap(), account(0).address());
    let wei: U256 = rpc.call("eth_getBalance", json!([account, "latest"])).await.unwrap();
    let ether = wei.to_string().parse::<f64>().unwrap() / 1e18;
    // The receipt may be of a newer block than the balance beside it.
    let is_newest = |status: &Value| status["safe_block"] == 3 && has_ether(status, ether);
    let status = program.status("derivation and what was paid", is_newest).await;
    for (key, value) in [
        ("account", json!(account)),
        ("out_of_money", json!(false)),
        ("newest_block", json!(3)),
        ("posted_block", json!(3)),
        ("channels", json!(1)),
        ("bytes", said["bytes"].clone()),
        ("transactions", json!(9)),
        ("left_out", json!(1)),
        ("blobs", json!(1)),
        ("gas", said["gas"].clone()),
        ("reorganised", json!(0)),
        ("l1_endpoints", json!(1)),
        ("trouble", Value::Null),
    ] {
        assert_eq!(status[key], value, "{key} of {status}");
    }
    assert!(status["days_of_funds"].as_f64().is_some_and(|days| days > 0.0), "{status}");
    program
        .check_metrics(&[
            "batcher_op_ready 1".to_owned(),
            "batcher_op_out_of_money 0".to_owned(),
            "batcher_op_safe_block 3".to_owned(),
            "batcher_op_newest_block 3".to_owned(),
            "batcher_op_posted_block 3".to_owned(),
            "batcher_op_channels_total 1".to_owned(),
            "batcher_op_transactions_total 9".to_owned(),
            "batcher_op_left_out_total 1".to_owned(),
            "batcher_op_blobs_total 1".to_owned(),
            format!("batcher_op_bytes_total {}", said["bytes"]),
            format!("batcher_op_gas_total {}", said["gas"]),
        ])
        .await;
    assert_eq!(program.ask("/livez").await, Some((200, "ok".to_owned())));
    let busy =
        setup.command().args(["--inbox", &INBOX.to_string(), "--metrics", &program.port]).output().unwrap();
    assert_eq!(busy.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&busy.stderr).contains("choose another with --metrics"));
    program.stop().await;
}

/// Without money it is not ready, and says so at ERROR level once, with the address; with money all is well again, by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_wallet_is_an_alarm_until_there_is_money() {
    let (order, node) = ordered_and_built();
    let chain = l1_of_the_spec().await;
    let (rpc, payer) = (Rpc::new(&[chain.url()]).unwrap(), account(0).address());
    let set = async |wei: U256| {
        let _: Value = rpc.call("dev_setBalance", json!([payer, wei])).await.unwrap();
    };
    let head = async || rpc.call::<U64>("eth_blockNumber", json!([])).await.unwrap();
    set(U256::from(1_000)).await;
    let setup = Setup::new(&chain.url(), &order.serve(), &node.serve().await);
    let mut program = setup.start();
    let stderr = BufReader::new(program.child.stderr.take().unwrap());
    let logs = std::thread::spawn(move || stderr.lines().map_while(Result::ok).collect::<Vec<_>>());

    let what = "nothing can be posted: out of money: send ether to the account of `keystore`";
    let says = |(code, why): &(u16, String)| *code == 503 && why.starts_with(what);
    until("the alarm", async || program.ask("/readyz").await.filter(says)).await;
    let status = program.status("no money", |status| status["out_of_money"] == true).await;
    assert!(status["channels"] == 0 && has_ether(&status, 1e-15), "{status}");
    program.check_metrics(&["batcher_op_out_of_money 1".to_owned(), "batcher_op_ready 0".to_owned()]).await;
    let later = head().await + U64::from(2);
    until("two more slots", async || (head().await >= later).then_some(())).await;

    set(U256::from(10_u64.pow(18))).await;
    let status = program.status("a channel", |status| status["channels"] == 1).await;
    assert_eq!((&status["out_of_money"], &status["trouble"]), (&json!(false), &Value::Null), "{status}");
    program.ready().await;
    program.check_metrics(&["batcher_op_out_of_money 0".to_owned(), "batcher_op_ready 1".to_owned()]).await;
    program.stop().await;
    let logs = logs.join().unwrap();
    let alarms: Vec<&String> = logs.iter().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(alarms.len(), 1, "{logs:#?}");
    assert!(alarms[0].contains("out of money") && alarms[0].contains(&payer.to_string()), "{alarms:?}");
}
