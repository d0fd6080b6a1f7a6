//! An L1 in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{Header, Receipt, SignableTransaction, TxEip4844, TxEnvelope};
use alloy_eips::eip4844::{Blob as RawBlob, IndexedBlobHash, kzg_to_versioned_hash};
use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use batcher_format::blob::Blob;
use batcher_format::kzg::Kzg;
use k256::ecdsa::SigningKey;
use kona_derive::{BlobProvider, ChainProvider, PipelineError, PipelineErrorKind};
use kona_protocol::BlockInfo;

/// Seconds between blocks.
pub const SLOT: u64 = 12;
/// Time of the first block.
pub const GENESIS_TIME: u64 = 1_700_000_000;
/// Where the rollup's batches go.
pub const INBOX: Address = Address::repeat_byte(0xb0);
const CHAIN_ID: u64 = 1;

/// An account of L1.
pub struct Account {
    key: SigningKey,
}

impl Account {
    /// One of each seed but 0.
    pub fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_slice(&[seed; 32]).expect("no key is so small or so large") }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        Address::from_private_key(&self.key)
    }

    /// Signs a transaction with these blobs; their commitments are made here.
    pub fn carry(&self, to: Address, blobs: &[Blob]) -> Carried {
        let kzg = Kzg::shared();
        let mut held = BTreeMap::new();
        let mut hashes = Vec::new();
        for blob in blobs {
            let hash = kzg_to_versioned_hash(&kzg.commit(blob).expect("the blob is of field elements"));
            held.insert(hash, blob.clone());
            hashes.push(hash);
        }
        let transaction = TxEip4844 {
            chain_id: CHAIN_ID,
            gas_limit: 21_000,
            max_fee_per_gas: 1,
            max_fee_per_blob_gas: 1,
            to,
            value: U256::ZERO,
            blob_versioned_hashes: hashes,
            ..Default::default()
        };
        let hash = transaction.signature_hash();
        let signature = self.key.sign_prehash_recoverable(hash.as_slice()).expect("32 bytes are signed");
        let signed = transaction.into_signed(signature.into());
        Carried { transaction: TxEnvelope::from(signed), blobs: held }
    }
}

/// A transaction with its blobs.
#[derive(Clone)]
pub struct Carried {
    transaction: TxEnvelope,
    blobs: BTreeMap<B256, Blob>,
}

#[derive(Clone, Debug)]
struct Block {
    header: Header,
    info: BlockInfo,
    transactions: Vec<TxEnvelope>,
    blobs: BTreeMap<B256, Blob>,
}

/// A chain that grows, and is shared with readers when it does not grow any more.
#[derive(Clone, Debug)]
pub struct L1 {
    blocks: Arc<Vec<Block>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The chain ends before this block.
    #[error("L1 ends before block {0}")]
    Block(u64),
    /// No block of this hash.
    #[error("L1 has no block {0}")]
    Hash(B256),
    /// The block has no such blob, or another one under this hash.
    #[error("no blob {0}")]
    Blob(B256),
}

impl From<Missing> for PipelineErrorKind {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Block(_) => PipelineError::EndOfSource.crit(),
            Missing::Hash(_) | Missing::Blob(_) => PipelineError::Provider(missing.to_string()).crit(),
        }
    }
}

impl Default for L1 {
    fn default() -> Self {
        Self::new()
    }
}

impl L1 {
    /// With its first block only.
    pub fn new() -> Self {
        let mut chain = Self { blocks: Arc::new(Vec::new()) };
        chain.mine(&[]);
        chain
    }

    /// Another chain that begins with this one's blocks.
    pub fn clone_of(other: &Self) -> Self {
        Self { blocks: Arc::new(other.blocks.to_vec()) }
    }

    /// The next block.
    pub fn mine(&mut self, carried: &[Carried]) {
        let number = self.blocks.len() as u64;
        let header = Header {
            number,
            parent_hash: self.blocks.last().map(|block| block.info.hash).unwrap_or_default(),
            timestamp: GENESIS_TIME + SLOT * number,
            base_fee_per_gas: Some(7),
            excess_blob_gas: Some(0),
            blob_gas_used: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            ..Default::default()
        };
        let info = BlockInfo::new(header.hash_slow(), number, header.parent_hash, header.timestamp);
        let transactions = carried.iter().map(|one| one.transaction.clone()).collect();
        let blobs = carried.iter().flat_map(|one| one.blobs.clone()).collect();
        let blocks = Arc::get_mut(&mut self.blocks).expect("nobody reads a chain that still grows");
        blocks.push(Block { header, info, transactions, blobs });
    }

    /// Empty blocks up to this number, if there are not so many yet.
    pub fn mine_up_to(&mut self, number: u64) {
        while self.blocks.len() as u64 <= number {
            self.mine(&[]);
        }
    }

    /// A block by its number.
    pub fn info(&self, number: u64) -> Result<BlockInfo, Missing> {
        self.blocks.get(number as usize).map(|block| block.info).ok_or(Missing::Block(number))
    }

    fn block(&self, hash: B256) -> Result<&Block, Missing> {
        self.blocks.iter().find(|block| block.info.hash == hash).ok_or(Missing::Hash(hash))
    }
}

#[async_trait]
impl ChainProvider for L1 {
    type Error = Missing;

    async fn header_by_hash(&mut self, hash: B256) -> Result<Header, Missing> {
        Ok(self.block(hash)?.header.clone())
    }

    async fn block_info_by_number(&mut self, number: u64) -> Result<BlockInfo, Missing> {
        self.info(number)
    }

    async fn receipts_by_hash(&mut self, hash: B256) -> Result<Vec<Receipt>, Missing> {
        Ok(self.block(hash)?.transactions.iter().map(|_| Receipt::default()).collect())
    }

    async fn block_info_and_transactions_by_hash(
        &mut self,
        hash: B256,
    ) -> Result<(BlockInfo, Vec<TxEnvelope>), Missing> {
        let block = self.block(hash)?;
        Ok((block.info, block.transactions.clone()))
    }
}

#[async_trait]
impl BlobProvider for L1 {
    type Error = Missing;

    /// As a node that checks what it fetched.
    async fn get_blobs(
        &mut self,
        block_ref: &BlockInfo,
        blob_hashes: &[IndexedBlobHash],
    ) -> Result<Vec<Box<RawBlob>>, Missing> {
        let block = self.block(block_ref.hash)?;
        let find = |hash: B256| {
            let blob = block.blobs.get(&hash).ok_or(Missing::Blob(hash))?;
            let commitment = Kzg::shared().commit(blob).map_err(|_| Missing::Blob(hash))?;
            if kzg_to_versioned_hash(&commitment) != hash {
                return Err(Missing::Blob(hash));
            }
            Ok(Box::new(RawBlob::from_slice(blob.as_bytes())))
        };
        blob_hashes.iter().map(|indexed| find(indexed.hash)).collect()
    }
}
