//! A block as the chain keeps it.

use std::sync::Arc;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Header, ReceiptEnvelope};
use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
use alloy::primitives::{Address, B256, keccak256};

use crate::transaction::{Envelope, SignedTx};

/// A sealed block with everything that RPC asks about it.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) txs: Vec<BlockTx>,
    /// RLP size in bytes.
    pub(crate) size: usize,
}

/// One executed transaction.
#[derive(Debug)]
pub(crate) struct BlockTx {
    pub(crate) hash: B256,
    pub(crate) tx: Arc<Recovered<Envelope>>,
    pub(crate) receipt: ReceiptEnvelope,
    pub(crate) gas_used: u64,
    pub(crate) contract: Option<Address>,
    /// Bytes in the block.
    pub(crate) size: usize,
}

/// Blobs that one transaction of a block carried; kept apart because they expire.
#[derive(Clone, Debug)]
pub(crate) struct BlockBlobs {
    pub(crate) tx_hash: B256,
    pub(crate) sidecar: Arc<BlobTransactionSidecarEip7594>,
}

impl Block {
    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    pub(crate) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// The root by which the beacon chain would know this block. There is no beacon chain here, so
    /// it is derived from the execution hash; EIP-4788 and the beacon endpoints agree on it.
    pub(crate) fn beacon_root(&self) -> B256 {
        beacon_root(self.hash)
    }
}

impl BlockTx {
    /// The transaction as it was in the pool, given its blobs.
    pub(crate) fn to_signed(&self, sidecar: Option<Arc<BlobTransactionSidecarEip7594>>) -> SignedTx {
        SignedTx { hash: self.hash, sender: self.tx.signer(), tx: self.tx.clone(), sidecar, size: self.size }
    }
}

/// See [`Block::beacon_root`].
pub(crate) fn beacon_root(hash: B256) -> B256 {
    keccak256([b"dev-l1 beacon block".as_slice(), hash.as_slice()].concat())
}
