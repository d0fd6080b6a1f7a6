//! A committee that censors: what stands in the queue of L1 has its effect all the same, on a real inbox and read by real derivation.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::large_futures, missing_docs)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::U256;
use alloy::sol_types::SolCall;
use batcher_format::kzg::Kzg;
use batcher_format::{BatchHeader, EncodedBatch, Policies, SealedBatch, signing_digest};
use bytes::Bytes;
use ordering_types::{Block, Digest, Epoch, Header, Height, L1Reference, RollupSection};
use rollup::derive::{Derived, DerivedBatch, Deriver, Escape};
use rollup::inbox::ISequencerInbox::{enqueueCall, escapeCall};
use rollup::inbox::post_calldata_call;
use support::{BLOB_ROLLUP, Network, until};

/// Whoever enqueues and escapes, and whoever posts.
const VICTIM: u32 = 1;
const POSTER: u32 = 2;
/// Wei, much more than any fee: the rest comes back.
const FEE: u64 = 10_u64.pow(15);

/// A committee that signs whatever it likes.
struct Censor<'a> {
    network: &'a Network,
    newest: Option<BatchHeader>,
}

impl Censor<'_> {
    /// Blocks with these transactions each, the last of which says that so many entries are consumed.
    fn blocks(&self, cursor: u64, all: &[&[&str]]) -> Vec<Arc<Block>> {
        let first = self.newest.as_ref().map_or(1, |header| header.last_height.get() + 1);
        let mut parent = self.newest.as_ref().map_or(Digest::ZERO, |header| header.last_header);
        let before = self.newest.as_ref().map_or(0, |header| header.forced_cursor);
        let mut blocks = Vec::new();
        for (height, texts) in (first..).zip(all) {
            let transactions: Vec<Bytes> =
                texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
            let sections = vec![RollupSection { rollup: BLOB_ROLLUP, transactions }];
            let is_last = blocks.len() + 1 == all.len();
            let cursor = if is_last { cursor } else { before };
            let mut block = Block { header: self.header(height, parent, cursor), sections };
            let tree = block.tree();
            (block.header.tx_root, block.header.tx_count) = (tree.root(), tree.count());
            parent = block.header.hash();
            blocks.push(Arc::new(block));
        }
        blocks
    }

    fn header(&self, height: u64, parent: Digest, forced_cursor: u64) -> Header {
        Header {
            version: 1,
            chain_spec: self.network.spec.hash(),
            epoch: Epoch::new(0),
            height: Height::new(height),
            parent,
            time_ms: 1_700_000_000_000 + height,
            l1_reference: L1Reference::default(),
            forced_cursor,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: false,
        }
    }

    fn batch(&self, blocks: &[Arc<Block>]) -> BatchHeader {
        let last = &blocks.last().unwrap().header;
        BatchHeader {
            number: self.newest.as_ref().map_or(1, |header| header.number + 1),
            parent: self.newest.as_ref().map_or(Digest::ZERO, BatchHeader::id),
            epoch: last.epoch,
            first_height: blocks[0].header.height,
            last_height: last.height,
            last_header: last.hash(),
            last_time_ms: last.time_ms,
            forced_cursor: last.forced_cursor,
            l1_reference: 0,
        }
    }

    /// Signs and posts these blocks.
    async fn post(&mut self, cursor: u64, texts: &[&[&str]]) {
        let blocks = self.blocks(cursor, texts);
        let header = self.batch(&blocks);
        let encoded = batcher_format::make(&header, &blocks, &Policies::of(&self.network.spec)).unwrap();
        self.post_encoded(header, encoded).await;
    }

    /// Signs and posts something that says nothing.
    async fn post_garbage(&mut self, cursor: u64) {
        let header = self.batch(&self.blocks(cursor, &[&[]]));
        let encoded = Kzg::shared().commit_and_prove(Bytes::from_static(b"no payload")).unwrap();
        self.post_encoded(header, encoded).await;
    }

    async fn post_encoded(&mut self, header: BatchHeader, encoded: EncodedBatch) {
        let Network { spec, committee, .. } = self.network;
        let digest = signing_digest(&spec.domain(), &header, encoded.carrier().hash());
        let signature = committee.sign(Epoch::new(0), digest);
        let batch = SealedBatch { header: header.clone(), encoded: Arc::new(encoded), signature };
        let call = post_calldata_call(&batch).unwrap().abi_encode();
        assert!(self.network.call_inbox(POSTER, call).await.status(), "batch {}", header.number);
        self.newest = Some(header);
    }
}

async fn enqueue(network: &Network, text: &'static str) {
    let call = enqueueCall { rollup: BLOB_ROLLUP.get(), data: text.as_bytes().into() }.abi_encode();
    assert!(network.pay_inbox(VICTIM, U256::from(FEE), call).await.status());
}

/// Everything that has its effect now.
async fn all(deriver: &mut Deriver) -> Vec<Derived> {
    let mut all = Vec::new();
    while let Some(derived) = deriver.next().await.unwrap() {
        all.push(derived);
    }
    all
}

fn batches(all: Vec<Derived>) -> Vec<DerivedBatch> {
    all.into_iter().map(|derived| derived.batch().expect("nobody called escape")).collect()
}

/// What a rollup gets of a batch; what came from the queue with its index.
fn texts(batch: &DerivedBatch) -> Vec<(String, Option<u64>)> {
    let text = |data: &Bytes| String::from_utf8(data.to_vec()).unwrap();
    batch.transactions(BLOB_ROLLUP).map(|tx| (text(&tx.data), tx.forced)).collect()
}

fn plain(texts: &[&str]) -> Vec<(String, Option<u64>)> {
    texts.iter().map(|text| ((*text).to_owned(), None)).collect()
}

fn forced(text: &str, index: u64) -> (String, Option<u64>) {
    (text.to_owned(), Some(index))
}

/// L1's clock goes so many seconds on.
async fn pass(network: &Network, seconds: u64) {
    let now = async || {
        let block: serde_json::Value =
            network.rpc.call("eth_getBlockByNumber", serde_json::json!(["latest", false])).await.unwrap();
        u64::from_str_radix(block["timestamp"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let then = now().await + seconds;
    until("L1's clock", async || (now().await > then).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
}

async fn founded(network: &Network) -> Censor<'_> {
    network.initialise(POSTER).await;
    Censor { network, newest: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censoring_majority_holds_up_its_own_batches_and_nobody_elses_transaction() {
    let network = Network::hurried().await;
    let (mut censor, mut deriver) = (founded(&network).await, network.deriver());
    enqueue(&network, "victim").await;
    censor.post(0, &[&["a"], &["b"]]).await;
    let derived = batches(all(&mut deriver).await);
    assert_eq!(derived.iter().map(texts).collect::<Vec<_>>(), [plain(&["a", "b"])], "it is not overdue yet");

    pass(&network, 60).await;
    censor.post(0, &[&["c"]]).await;
    censor.post(0, &[&["d"]]).await;
    assert!(all(&mut deriver).await.is_empty(), "batches that leave it out have no effect");

    // It says that it has ordered the entry, and has not.
    censor.post(1, &[&["e"], &["f"]]).await;
    let derived = batches(all(&mut deriver).await);
    let wanted = [plain(&["c"]), plain(&["d"]), [plain(&["e", "f"]), vec![forced("victim", 0)]].concat()];
    assert_eq!(derived.iter().map(texts).collect::<Vec<_>>(), wanted);
    assert_eq!(derived[2].omitted.len(), 1);

    // Nor does it help to sign what nobody can read.
    enqueue(&network, "second").await;
    censor.post_garbage(2).await;
    let derived = batches(all(&mut deriver).await);
    assert_eq!(derived.iter().map(texts).collect::<Vec<_>>(), [[forced("second", 1)]]);
    assert!(derived[0].unreadable.is_some() && derived[0].blocks.is_empty());

    // And what is ordered honestly is where the committee put it.
    enqueue(&network, "third").await;
    censor.post(3, &[&["third", "g"]]).await;
    let derived = batches(all(&mut deriver).await);
    assert_eq!(
        derived.iter().map(texts).collect::<Vec<_>>(),
        [[vec![forced("third", 2)], plain(&["g"])].concat()]
    );
    assert!(derived[0].omitted.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_escaped_has_its_effect_without_the_committee_and_once() {
    let network = Network::hurried().await;
    let (mut censor, mut deriver) = (founded(&network).await, network.deriver());
    censor.post(0, &[&["a"]]).await;
    enqueue(&network, "first").await;
    enqueue(&network, "second").await;
    pass(&network, 60).await;
    censor.post(0, &[&["b"]]).await;
    let early = network.call_inbox(VICTIM, escapeCall { to: 2 }.abi_encode()).await;
    assert!(!early.status(), "too early");
    pass(&network, 60).await;
    assert!(network.call_inbox(VICTIM, escapeCall { to: 2 }.abi_encode()).await.status());
    // This was sealed before, and posted after.
    censor.post(2, &[&["c"], &["first", "second", "d"]]).await;

    let derived = all(&mut deriver).await;
    let [Derived::Batch(a), Derived::Batch(b), Derived::Escape(escape), Derived::Batch(c)] = &derived[..]
    else {
        panic!("{derived:?}")
    };
    assert_eq!((texts(a), texts(b), texts(c)), (plain(&["a"]), plain(&["b"]), plain(&["c", "d"])));
    let Escape { after_batch: 2, transactions, .. } = escape else { panic!("{escape:?}") };
    let escaped: Vec<_> = transactions.iter().map(|one| (one.index, &one.data[..])).collect();
    assert_eq!(escaped, [(0, &b"first"[..]), (1, &b"second"[..])]);
    assert!(c.forced.iter().all(|one| one.escaped) && c.forced.len() == 2 && c.omitted.is_empty());
}
