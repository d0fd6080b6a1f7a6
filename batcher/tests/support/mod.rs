//! A network in a test: a development L1 with the real contract, a committee of one process, and a node that serves
//! its founding key and its batches.
#![allow(dead_code)]

pub(crate) mod anvil;
pub(crate) mod chain;
pub(crate) mod poster;
pub(crate) mod shape;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, Bytes, TxKind, U64, U256, hex};
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::SignerSync;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use alloy::sol_types::{SolCall, SolValue};
use batcher_format::{BatchHeader, Policies, SealedBatch, signing_digest};
use chain::Chain;
use frost_secp256k1 as frost;
use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind, Validator};
use ordering_types::handover::committee_hash;
use ordering_types::{
    Block, ChainSpec, Digest, Epoch, GroupKey, GroupSignature, Handover, Header, Height, L1Reference,
    NextEpoch, RollupId, RollupSection, SecretKey, SignedHandover, Succession, ValidatorId,
};
use rollup::derive::{DeriveConfig, Deriver, Finality, Source};
use rollup::inbox::ISequencerInbox::initialiseCall;
use rollup::l1::Rpc;
use rollup::wire::{self, Founding, Opening, Request, Response};
use serde_json::{Value, json};

/// Recovery, inclusion and escape, in seconds; the fee of an entry, in wei.
type Terms = (u64, u64, u64, u64);
const TERMS: Terms = (3_600, 3_600, 7_200, 1_000_000_000);

pub(crate) const SLOT: Duration = Duration::from_secs(1);
pub(crate) const BLOB_ROLLUP: RollupId = RollupId::new(1);
pub(crate) const PRIVATE_ROLLUP: RollupId = RollupId::new(2);
pub(crate) const INLINE_ROLLUP: RollupId = RollupId::new(3);
/// Those whose transactions L1 has.
const ON_L1: [RollupId; 2] = [BLOB_ROLLUP, INLINE_ROLLUP];
/// Bytes of each of its transactions, at most.
const INLINE_TRANSACTION_BYTES: usize = 20;
/// About what it takes in a batch: three blocks of two such transactions.
pub(crate) const INLINE_BYTES: usize = 6 * INLINE_TRANSACTION_BYTES + 40;

/// Waits until `done` says so, at most a minute.
pub(crate) async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A group key with all its shares.
struct Group {
    keys: BTreeMap<frost::Identifier, frost::keys::KeyPackage>,
    public: frost::keys::PublicKeyPackage,
}

impl Group {
    fn new() -> Self {
        let rng = rand::thread_rng();
        let (shares, public) =
            frost::keys::generate_with_dealer(4, 3, frost::keys::IdentifierList::Default, rng).unwrap();
        let keys = shares.into_iter().map(|(id, share)| (id, share.try_into().unwrap())).collect();
        Self { keys, public }
    }

    fn key(&self) -> GroupKey {
        let bytes = self.public.verifying_key().serialize().unwrap();
        GroupKey::from_bytes(bytes.try_into().unwrap()).unwrap()
    }

    fn sign(&self, digest: Digest) -> GroupSignature {
        let mut rng = rand::thread_rng();
        let signers: Vec<_> = self.keys.iter().take(3).collect();
        let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
        for (id, key) in &signers {
            let (nonce, commitment) = frost::round1::commit(key.signing_share(), &mut rng);
            nonces.insert(**id, nonce);
            commitments.insert(**id, commitment);
        }
        let package = frost::SigningPackage::new(commitments, digest.as_ref());
        let shares = signers
            .iter()
            .map(|(id, key)| (**id, frost::round2::sign(&package, &nonces[*id], key).unwrap()))
            .collect();
        let signature = frost::aggregate(&package, &shares, &self.public).unwrap();
        GroupSignature::new(signature.serialize().unwrap().try_into().unwrap())
    }
}

/// A whole committee in one place, with the keys of all its epochs: only a test may do that.
pub(crate) struct Committee {
    groups: Mutex<Vec<Group>>,
    validators: Vec<SecretKey>,
}

impl Committee {
    pub(crate) fn new() -> Self {
        let validators = (1..=4).map(|i| SecretKey::from_bytes([i; 32]).unwrap()).collect();
        Self { groups: Mutex::new(vec![Group::new()]), validators }
    }

    /// The newest epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(self.groups.lock().unwrap().len() as u64 - 1)
    }

    pub(crate) fn key(&self, epoch: Epoch) -> GroupKey {
        self.groups.lock().unwrap()[epoch.get() as usize].key()
    }

    pub(crate) fn sign(&self, epoch: Epoch, digest: Digest) -> GroupSignature {
        self.groups.lock().unwrap()[epoch.get() as usize].sign(digest)
    }

    /// The key of the next epoch is made.
    fn next_key(&self, spec: &ChainSpec) -> NextEpoch {
        let group = Group::new();
        let key = group.key();
        self.groups.lock().unwrap().push(group);
        NextEpoch { epoch: self.epoch(), key, committee: committee_hash(&spec.committee()) }
    }

    fn founding(&self, spec: &ChainSpec) -> Founding {
        let key = self.key(Epoch::new(0));
        let (x, y) = key.coordinates();
        let digest = spec.domain().initialise(Epoch::new(0), x, y);
        let sign = |(key, id): (&SecretKey, u16)| (ValidatorId::new(id), key.sign(digest));
        Founding { key, signatures: self.validators.iter().zip(1..).take(3).map(sign).collect() }
    }
}

/// What a node would serve.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) founding: Option<Founding>,
    pub(crate) sealed: BTreeMap<u64, Arc<SealedBatch>>,
    /// By the epoch that they begin.
    pub(crate) handovers: BTreeMap<Epoch, Succession>,
    /// Every block that was sealed, for comparison with what is derived.
    blocks: Vec<Arc<Block>>,
}

pub(crate) struct Network {
    pub(crate) l1: Chain,
    pub(crate) rpc: Rpc,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) committee: Arc<Committee>,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) node: String,
    deployed: u64,
}

pub(crate) fn account(index: u32) -> PrivateKeySigner {
    let phrase = dev_l1::DEFAULT_MNEMONIC;
    MnemonicBuilder::<English>::default().phrase(phrase).index(index).unwrap().build().unwrap()
}

impl Network {
    /// L1 up, contract deployed, a node listening; the founding ceremony is over.
    pub(crate) async fn start() -> Self {
        Self::start_on(Chain::dev().await).await
    }

    /// As [`Self::start`], on this L1.
    pub(crate) async fn start_on(chain: Chain) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let store = Arc::new(Mutex::new(Store::default()));
        let node = serve(Arc::clone(&store));
        let network = Self::on(chain, Arc::new(Committee::new()), store, node, TERMS).await;
        let founding = network.committee.founding(&network.spec);
        network.store.lock().unwrap().founding = Some(founding);
        network
    }

    /// The same committee, node and contract on another L1: whatever is sealed is valid on both.
    pub(crate) async fn again_on(&self, l1: Chain) -> Self {
        let (committee, store) = (Arc::clone(&self.committee), Arc::clone(&self.store));
        let twin = Self::on(l1, committee, store, self.node.clone(), TERMS).await;
        assert_eq!(twin.spec.hash(), self.spec.hash(), "the contract has another address there");
        twin
    }

    /// On an L1 that makes a minute in two seconds, with the shortest delays that the contract allows. Nobody serves anything.
    pub(crate) async fn hurried() -> Self {
        let (l1, store) = (Chain::dev_every(Duration::from_millis(30)).await, Arc::default());
        Self::on(l1, Arc::new(Committee::new()), store, String::new(), (3_600, 60, 120, 1_000_000_000)).await
    }

    async fn on(
        l1: Chain,
        committee: Arc<Committee>,
        store: Arc<Mutex<Store>>,
        node: String,
        terms: Terms,
    ) -> Self {
        let rpc = Rpc::new(&[l1.url()]).unwrap();
        let (inbox, deployed) = deploy(&rpc, &committee, l1.chain_id(), terms).await;
        let spec = Arc::new(spec(&committee, l1.chain_id(), inbox));
        spec.validate().unwrap();
        Self { l1, rpc, spec, committee, store, node, deployed }
    }

    /// Puts the first key into the inbox, from an account that nobody else uses.
    pub(crate) async fn initialise(&self, payer: u32) {
        let founding = self.committee.founding(&self.spec);
        let (x, y) = founding.key.coordinates();
        let call = initialiseCall {
            keyX: U256::from_be_bytes(x),
            keyY: U256::from_be_bytes(y),
            signatures: founding
                .signatures
                .values()
                .map(|one| Bytes::copy_from_slice(one.as_bytes()))
                .collect(),
        };
        assert!(self.call_inbox(payer, call.abi_encode()).await.status());
    }

    /// Begins the next epoch after the newest batch, and lets the node serve the handover.
    pub(crate) fn rotate(&self) -> Epoch {
        let before = self.store.lock().unwrap().sealed.keys().last().copied();
        self.rotate_at(before.unwrap_or_default() + 1)
    }

    /// As [`Self::rotate`], but the handover says that the epoch begins with this batch.
    pub(crate) fn rotate_at(&self, first_batch: u64) -> Epoch {
        let mut store = self.store.lock().unwrap();
        let before = store.sealed.values().last().map(|batch| batch.header.clone());
        let outgoing = self.committee.epoch();
        let handover = Handover {
            next: self.committee.next_key(&self.spec),
            first_batch,
            first_height: Height::new(before.as_ref().map_or(1, |header| header.last_height.get() + 1)),
        };
        let signature = self.committee.sign(outgoing, handover.digest(&self.spec.domain()));
        let (signed, members) = (SignedHandover { handover, signature }, self.spec.committee());
        store.handovers.insert(handover.next.epoch, Succession { signed, members });
        handover.next.epoch
    }

    /// Seals one more batch of three blocks, of the newest epoch, and lets the node serve it.
    pub(crate) fn seal(&self, bytes: usize) {
        let epoch = self.committee.epoch();
        self.seal_with_key_of(epoch, bytes);
    }

    /// As [`Self::seal`], but signed with the key of this epoch.
    pub(crate) fn seal_with_key_of(&self, signer: Epoch, bytes: usize) {
        let epoch = self.committee.epoch();
        let mut store = self.store.lock().unwrap();
        let before = store.sealed.values().last().map(|batch| batch.header.clone());
        let number = before.as_ref().map_or(1, |header| header.number + 1);
        let first = before.as_ref().map_or(1, |header| header.last_height.get() + 1);
        let mut parent = before.as_ref().map_or(Digest::ZERO, |header| header.last_header);
        let mut blocks = Vec::new();
        for height in first..first + 3 {
            let block = Arc::new(block(&self.spec, (epoch, height), parent, height == first + 2, bytes));
            parent = block.header.hash();
            blocks.push(block);
        }
        let last = &blocks[2].header;
        let header = BatchHeader {
            number,
            parent: before.map_or(Digest::ZERO, |header| header.id()),
            epoch,
            first_height: Height::new(first),
            last_height: last.height,
            last_header: parent,
            last_time_ms: last.time_ms,
            forced_cursor: 0,
            l1_reference: 0,
        };
        let encoded = batcher_format::make(&header, &blocks, &Policies::of(&self.spec)).unwrap();
        let digest = signing_digest(&self.spec.domain(), &header, encoded.carrier().hash());
        let signature = self.committee.sign(signer, digest);
        let batch = SealedBatch { header, encoded: Arc::new(encoded), signature };
        store.sealed.insert(number, Arc::new(batch));
        store.blocks.extend(blocks);
    }

    /// A batch that the node serves.
    pub(crate) fn sealed(&self, number: u64) -> Arc<SealedBatch> {
        Arc::clone(&self.store.lock().unwrap().sealed[&number])
    }

    /// Calls the inbox from an account that nobody else uses.
    pub(crate) async fn call_inbox(&self, payer: u32, input: Vec<u8>) -> TransactionReceipt {
        self.pay_inbox(payer, U256::ZERO, input).await
    }

    /// The same, with money.
    pub(crate) async fn pay_inbox(&self, payer: u32, value: U256, input: Vec<u8>) -> TransactionReceipt {
        let inbox = Address::from(*self.spec.inbox.as_bytes());
        let to = (self.spec.l1_chain_id, TxKind::Call(inbox));
        send(&self.rpc, &account(payer), to, value, input).await
    }

    pub(crate) fn deriver(&self) -> Deriver {
        self.deriver_with(&[])
    }

    /// One that falls back to these nodes.
    pub(crate) fn deriver_with(&self, archives: &[String]) -> Deriver {
        self.deriver_of(self.l1.beacon_url(), archives)
    }

    /// One that has nothing but these nodes beside L1's logs.
    pub(crate) fn deriver_without_beacon(&self, archives: &[String]) -> Deriver {
        self.deriver_of("http://127.0.0.1:1".to_owned(), archives)
    }

    fn deriver_of(&self, beacon: String, archives: &[String]) -> Deriver {
        Deriver::new(DeriveConfig {
            rpc: vec![self.l1.url()],
            beacon,
            archives: archives.to_vec(),
            spec: Arc::clone(&self.spec),
            first_l1_block: self.deployed,
            finality: Finality::Latest,
        })
        .unwrap()
    }

    /// Derives everything from L1 and compares it with every block that was sealed.
    pub(crate) async fn check_derivation(&self) {
        self.check_derivation_with(&[]).await;
    }

    /// The same with these archives; returns where each batch came from.
    pub(crate) async fn check_derivation_with(&self, archives: &[String]) -> Vec<Source> {
        let mut deriver = self.deriver_with(archives);
        let mut sources = Vec::new();
        let mut heights = Vec::new();
        let mut transactions = Vec::new();
        while let Some(derived) = deriver.next().await.unwrap() {
            let batch = derived.batch().expect("nobody has called escape");
            assert_eq!(batch.proof, rollup::derive::Proof::Signature);
            assert!(batch.broken.is_empty());
            sources.push(batch.source.clone());
            assert_eq!(batch.transactions(PRIVATE_ROLLUP).count(), 0, "data of a committee rollup is on L1");
            for rollup in ON_L1 {
                let of_batch = batch.transactions(rollup).map(|tx| (rollup, tx.height, tx.index, tx.data));
                transactions.extend(of_batch);
            }
            transactions.sort_by_key(|(rollup, height, index, _)| (*height, *rollup, *index));
            heights.extend(batch.blocks.iter().map(|block| block.header.clone().unwrap().hash()));
        }
        let blocks = self.store.lock().unwrap().blocks.clone();
        let wanted: Vec<Digest> = blocks.iter().map(|block| block.header.hash()).collect();
        assert_eq!(heights, wanted);
        let sealed = blocks.iter().flat_map(|block| {
            let sections = block.sections.iter().filter(|section| ON_L1.contains(&section.rollup));
            sections.flat_map(|section| {
                let (rollup, height) = (section.rollup, block.header.height);
                section.transactions.iter().zip(0..).map(move |(data, i)| (rollup, height, i, data.clone()))
            })
        });
        assert_eq!(transactions, sealed.collect::<Vec<_>>());
        sources
    }

    /// Every mined transaction to the inbox: sender, success, gas.
    pub(crate) async fn receipts(&self) -> Vec<(Address, bool, u64)> {
        let receipts =
            self.raw_receipts().await.into_iter().map(serde_json::from_value::<TransactionReceipt>);
        receipts.map(Result::unwrap).map(|r| (r.from, r.status(), r.gas_used)).collect()
    }

    /// The receipts of every mined transaction to the inbox, as L1 words them.
    pub(crate) async fn raw_receipts(&self) -> Vec<Value> {
        let head: alloy::primitives::U64 = self.rpc.call("eth_blockNumber", json!([])).await.unwrap();
        let inbox = json!(Address::from(*self.spec.inbox.as_bytes()));
        let mut found = Vec::new();
        for number in self.deployed..=head.to::<u64>() {
            let params = json!([format!("{number:#x}")]);
            let all: Vec<Value> = self.rpc.call("eth_getBlockReceipts", params).await.unwrap();
            found.extend(all.into_iter().filter(|receipt| receipt["to"] == inbox));
        }
        found
    }
}

/// Sends an account's next transaction, and waits until it is mined.
async fn send(
    rpc: &Rpc,
    signer: &PrivateKeySigner,
    (chain_id, to): (u64, TxKind),
    value: U256,
    input: Vec<u8>,
) -> TransactionReceipt {
    let count =
        rpc.call::<U64>("eth_getTransactionCount", json!([signer.address(), "latest"])).await.unwrap();
    let tx = TxEip1559 {
        chain_id,
        nonce: count.to(),
        gas_limit: 5_000_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value,
        input: input.into(),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    let raw = hex::encode_prefixed(tx.into_signed(signature).encoded_2718());
    let hash: alloy::primitives::B256 = rpc.call("eth_sendRawTransaction", json!([raw])).await.unwrap();
    until("a mined transaction", async || {
        rpc.call::<Option<TransactionReceipt>>("eth_getTransactionReceipt", json!([hash])).await.unwrap()
    })
    .await
}

async fn deploy(rpc: &Rpc, committee: &Committee, chain_id: u64, terms: Terms) -> (Address, u64) {
    let artifact = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/contracts/artifacts/SequencerInbox.json"
    ));
    let artifact: Value = serde_json::from_str(&artifact.unwrap()).unwrap();
    let mut code = hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap();
    let founders: Vec<Address> = committee
        .validators
        .iter()
        .map(|key| Address::from(*key.public_key().address().as_bytes()))
        .collect();
    code.extend((founders, terms).abi_encode_params());
    let receipt = send(rpc, &account(9), (chain_id, TxKind::Create), U256::ZERO, code).await;
    assert!(receipt.status());
    (receipt.contract_address.unwrap(), receipt.block_number.unwrap())
}

fn spec(committee: &Committee, l1_chain_id: u64, inbox: Address) -> ChainSpec {
    let validator = |(key, id): (&SecretKey, u16)| Validator {
        id: ValidatorId::new(id),
        key: key.public_key(),
        address: format!("/ip4/127.0.0.1/udp/{id}/quic-v1"),
    };
    let rollup = |id: RollupId, data| Rollup {
        id,
        name: format!("rollup-{id}"),
        kind: RollupKind::Opaque,
        chain_id: 9_000 + u64::from(id.get()),
        data,
        quota_bytes_per_block: 1 << 20,
    };
    ChainSpec {
        network: "test".to_owned(),
        l1_chain_id,
        inbox: ordering_types::Address::new(inbox.into_array()),
        validators: committee.validators.iter().zip(1..).map(validator).collect(),
        rollups: vec![
            rollup(BLOB_ROLLUP, DataPolicy::Blob),
            rollup(PRIVATE_ROLLUP, DataPolicy::Committee),
            rollup(INLINE_ROLLUP, DataPolicy::Calldata),
        ],
        ..ChainSpec::default()
    }
}

fn block(
    spec: &ChainSpec,
    (epoch, height): (Epoch, u64),
    parent: Digest,
    seals_batch: bool,
    bytes: usize,
) -> Block {
    let noise = |seed: u64, bytes: usize| {
        let words = (0..(bytes as u64).div_ceil(32)).map(|i| {
            Digest::sha256(&[&height.to_be_bytes(), &seed.to_be_bytes(), &i.to_be_bytes()]).to_bytes()
        });
        bytes::Bytes::from(words.flatten().take(bytes).collect::<Vec<u8>>())
    };
    let section = |rollup, seed, bytes| {
        let transactions = vec![noise(seed, bytes), noise(seed + 1, bytes)];
        RollupSection { rollup, transactions }
    };
    let inline = bytes.min(INLINE_TRANSACTION_BYTES);
    let mut block = Block {
        header: Header {
            version: 1,
            chain_spec: spec.hash(),
            epoch,
            height: Height::new(height),
            parent,
            time_ms: 1_700_000_000_000 + height,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::sha256(&[&height.to_be_bytes()]),
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::sha256(&[b"state", &height.to_be_bytes()]),
            seals_batch,
        },
        sections: vec![
            section(BLOB_ROLLUP, 0, bytes),
            section(PRIVATE_ROLLUP, 10, bytes),
            section(INLINE_ROLLUP, 20, inline),
        ],
    };
    let tree = block.tree();
    (block.header.tx_root, block.header.tx_count) = (tree.root(), tree.count());
    block
}

/// The request side of a node; returns its `host:port`.
pub(crate) fn serve(store: Arc<Mutex<Store>>) -> String {
    let certified = rcgen::generate_simple_self_signed(vec!["mpc-seq".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    let Ok(Some(Opening::Request(request))) = wire::read(&mut receive).await else { return };
                    let response = answer(&store.lock().unwrap(), request);
                    let _ = wire::write(&mut send, &response).await;
                    let _ = send.finish();
                }
            });
        }
    });
    address.to_string()
}

fn answer(store: &Store, request: Request) -> Response {
    match request {
        Request::Founding => Response::Founding(store.founding.clone()),
        Request::Sealed(number) => Response::Sealed(store.sealed.get(&number).cloned()),
        Request::LatestSealed => {
            Response::LatestSealed(store.sealed.values().last().map(|batch| batch.header.clone()))
        }
        Request::Handover(epoch) => Response::Handover(store.handovers.get(&epoch).cloned().map(Box::new)),
        Request::Block { .. } | Request::Status => Response::Busy,
    }
}
