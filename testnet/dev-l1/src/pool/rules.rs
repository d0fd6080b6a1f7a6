//! What a transaction must satisfy whatever the state: geth's `ValidateTransaction`.

use alloy::consensus::{Transaction, Typed2718};
use alloy::eips::eip4844::kzg_to_versioned_hash;
use alloy::eips::eip7594::CELLS_PER_EXT_BLOB;
use alloy::eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy::primitives::U256;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;

use super::PoolError;
use crate::chain::execute::SPEC;
use crate::chain::fees::BLOB_PARAMS;
use crate::kzg;
use crate::transaction::SignedTx;

/// Bytes of a transaction without blobs (geth: four slots of 32 KiB).
pub(crate) const MAX_TX_BYTES: usize = 128 * 1024;
/// Bytes of a blob transaction without its blobs.
pub(crate) const MAX_BLOB_TX_BYTES: usize = 1024 * 1024;
/// EIP-3860.
const MAX_INIT_CODE_BYTES: usize = 2 * 24_576;
/// Wei per gas; geth's default price limit.
const MIN_TIP: u128 = 1;
/// Wei per blob gas, EIP-4844.
const MIN_BLOB_FEE: u128 = 1;
/// The highest execution fee that RPC passes on: 1 ether, as geth.
const RPC_FEE_CAP: u128 = 1_000_000_000_000_000_000;

/// Checks everything that needs no state and no heavy arithmetic.
///
/// # Errors
/// The first rule that is broken, in geth's order.
pub(crate) fn check(tx: &SignedTx, block_gas_limit: u64) -> Result<(), PoolError> {
    let inner = tx.tx.inner();
    let gas = inner.gas_limit();
    let fee = U256::from(gas).saturating_mul(U256::from(inner.max_fee_per_gas()));
    if fee > U256::from(RPC_FEE_CAP) {
        return Err(PoolError::FeeCap { fee, cap: RPC_FEE_CAP });
    }
    let limit = if tx.is_blob() { MAX_BLOB_TX_BYTES } else { MAX_TX_BYTES };
    if tx.size > limit {
        return Err(PoolError::Oversized { size: tx.size, limit });
    }
    if gas > MAX_TX_GAS_LIMIT_OSAKA {
        return Err(PoolError::GasLimitTooHigh { cap: MAX_TX_GAS_LIMIT_OSAKA, gas });
    }
    if inner.is_create() && inner.input().len() > MAX_INIT_CODE_BYTES {
        return Err(PoolError::InitCode { size: inner.input().len(), limit: MAX_INIT_CODE_BYTES });
    }
    if gas > block_gas_limit {
        return Err(PoolError::BlockGasLimit);
    }
    if tx.max_tip() > inner.max_fee_per_gas() {
        return Err(PoolError::TipAboveFeeCap);
    }
    if inner.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    check_intrinsic_gas(tx)?;
    if tx.max_tip() < MIN_TIP {
        return Err(PoolError::TipTooLow { tip: tx.max_tip(), minimum: MIN_TIP });
    }
    if inner.ty() == 4 && inner.authorization_list().is_none_or(<[_]>::is_empty) {
        return Err(PoolError::EmptyAuthorizations);
    }
    if tx.is_blob() { check_blob_counts(tx) } else { Ok(()) }
}

fn check_intrinsic_gas(tx: &SignedTx) -> Result<(), PoolError> {
    let gas = tx.tx.gas_limit();
    let needed = calculate_initial_tx_gas_for_tx(tx.tx_env(), SPEC, None);
    if gas < needed.initial_total_gas() {
        return Err(PoolError::IntrinsicGas { gas, needed: needed.initial_total_gas() });
    }
    if gas < needed.floor_gas() {
        return Err(PoolError::FloorDataGas { gas, needed: needed.floor_gas() });
    }
    Ok(())
}

fn check_blob_counts(tx: &SignedTx) -> Result<(), PoolError> {
    let hashes = tx.tx.blob_versioned_hashes().unwrap_or_default();
    let permitted = BLOB_PARAMS.max_blobs_per_tx as usize;
    if hashes.is_empty() {
        return Err(PoolError::Blobless);
    }
    if hashes.len() > permitted {
        return Err(PoolError::TooManyBlobs { have: hashes.len(), permitted });
    }
    if tx.max_blob_fee() < MIN_BLOB_FEE {
        return Err(PoolError::BlobFeeTooLow { fee: tx.max_blob_fee(), minimum: MIN_BLOB_FEE });
    }
    // A transaction that returns from a dropped block may have outlived its blobs.
    let Some(sidecar) = &tx.sidecar else { return Err(PoolError::MissingSidecar) };
    for (what, have, want) in [
        ("blobs", sidecar.blobs.len(), hashes.len()),
        ("blob commitments", sidecar.commitments.len(), hashes.len()),
        ("blob proofs", sidecar.cell_proofs.len(), hashes.len() * CELLS_PER_EXT_BLOB),
    ] {
        if have != want {
            return Err(PoolError::SidecarCount { what, have, want });
        }
    }
    for (index, (signed, commitment)) in hashes.iter().zip(&sidecar.commitments).enumerate() {
        let computed = kzg_to_versioned_hash(commitment.as_slice());
        if computed != *signed {
            return Err(PoolError::VersionedHash { index, computed, signed: *signed });
        }
    }
    Ok(())
}

/// Verifies the cell proofs (EIP-7594). Costs tens of milliseconds a blob: call it last, and never
/// on the async runtime.
///
/// # Errors
/// [`PoolError::Kzg`].
pub(crate) fn check_kzg(tx: &SignedTx) -> Result<(), PoolError> {
    let Some(sidecar) = &tx.sidecar else { return Ok(()) };
    let hashes = tx.tx.blob_versioned_hashes().unwrap_or_default();
    sidecar.validate(hashes, kzg::settings()).map_err(|error| PoolError::Kzg(error.to_string()))
}
