//! A signed transaction as the pool and the blocks hold it, and how raw bytes become one.

use std::sync::Arc;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{EthereumTxEnvelope, Transaction, TxEip4844, TxEip4844Variant, Typed2718};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::eips::eip7594::{BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant};
use alloy::primitives::{Address, B256, U256};
use revm::context::TxEnv;
use revm::context::either::Either;

use crate::pool::PoolError;

/// A transaction in the form that blocks contain: without blobs.
pub(crate) type Envelope = EthereumTxEnvelope<TxEip4844>;
type Network = EthereumTxEnvelope<TxEip4844Variant<BlobTransactionSidecarVariant>>;

/// EIP-2718 type of a blob transaction.
pub(crate) const BLOB_TX_TYPE: u8 = 3;

/// A transaction whose signature has been recovered, with its blobs if it carries any.
#[derive(Clone, Debug)]
pub(crate) struct SignedTx {
    pub(crate) hash: B256,
    pub(crate) sender: Address,
    pub(crate) tx: Arc<Recovered<Envelope>>,
    pub(crate) sidecar: Option<Arc<BlobTransactionSidecarEip7594>>,
    /// Bytes in a block (EIP-2718, without blobs).
    pub(crate) size: usize,
}

impl SignedTx {
    /// Decodes what `eth_sendRawTransaction` was given and recovers the sender.
    ///
    /// # Errors
    /// Undecodable bytes, blobs missing or in the pre-Osaka wrapper, a legacy transaction without
    /// replay protection, a wrong chain id, an invalid signature: each in geth's words.
    pub(crate) fn decode(raw: &[u8], chain_id: u64) -> Result<Self, PoolError> {
        let network = match raw.first() {
            None => return Err(PoolError::Decode("empty transaction bytes".into())),
            Some(5..=0x7f) => return Err(PoolError::TypeNotSupported),
            Some(_) => {
                Network::decode_2718_exact(raw).map_err(|error| PoolError::Decode(error.to_string()))?
            }
        };
        let mut sidecar = None;
        let tx = network.try_map_eip4844(|tx| match tx {
            TxEip4844Variant::TxEip4844(_) => Err(PoolError::MissingSidecar),
            TxEip4844Variant::TxEip4844WithSidecar(tx) => match tx.sidecar {
                BlobTransactionSidecarVariant::Eip4844(_) => Err(PoolError::SidecarVersion),
                BlobTransactionSidecarVariant::Eip7594(found) => {
                    sidecar = Some(Arc::new(found));
                    Ok(tx.tx)
                }
            },
        })?;
        match tx.chain_id() {
            None => return Err(PoolError::Unprotected),
            Some(have) if have != chain_id => return Err(PoolError::WrongChain { have, want: chain_id }),
            Some(_) => {}
        }
        let sender = recover(&tx)?;
        Ok(Self::new(Recovered::new_unchecked(tx, sender), sidecar))
    }

    /// Trusts that the signer is the transaction's.
    pub(crate) fn new(tx: Recovered<Envelope>, sidecar: Option<Arc<BlobTransactionSidecarEip7594>>) -> Self {
        let size = tx.inner().encode_2718_len();
        Self { hash: *tx.inner().tx_hash(), sender: tx.signer(), tx: Arc::new(tx), sidecar, size }
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.tx.ty() == BLOB_TX_TYPE
    }

    pub(crate) fn blob_count(&self) -> usize {
        self.tx.blob_versioned_hashes().map_or(0, <[B256]>::len)
    }

    pub(crate) fn max_blob_fee(&self) -> u128 {
        self.tx.max_fee_per_blob_gas().unwrap_or_default()
    }

    /// The tip cap; a legacy transaction's whole price.
    pub(crate) fn max_tip(&self) -> u128 {
        self.tx.max_priority_fee_per_gas().unwrap_or_else(|| self.tx.max_fee_per_gas())
    }

    /// The most that this transaction can cost its sender, in wei.
    pub(crate) fn cost(&self) -> U256 {
        let gas = U256::from(self.tx.gas_limit()).saturating_mul(U256::from(self.tx.max_fee_per_gas()));
        let blob_gas = U256::from(self.tx.blob_gas_used().unwrap_or_default());
        gas.saturating_add(blob_gas.saturating_mul(U256::from(self.max_blob_fee())))
            .saturating_add(self.tx.value())
    }

    /// The form that the EVM executes.
    pub(crate) fn tx_env(&self) -> TxEnv {
        let tx = self.tx.inner();
        TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            blob_hashes: tx.blob_versioned_hashes().map(<[B256]>::to_vec).unwrap_or_default(),
            max_fee_per_blob_gas: self.max_blob_fee(),
            authorization_list: tx
                .authorization_list()
                .map(|list| list.iter().cloned().map(Either::Left).collect())
                .unwrap_or_default(),
        }
    }
}

/// The signer; a signature with a high s is refused (EIP-2).
fn recover(tx: &Envelope) -> Result<Address, PoolError> {
    let signature = tx.signature();
    if signature.normalize_s().is_some() {
        return Err(PoolError::InvalidSender);
    }
    signature.recover_address_from_prehash(&tx.signature_hash()).map_err(|_| PoolError::InvalidSender)
}
