//! One transaction or system call through revm with Osaka rules.

use alloy::consensus::Header;
use alloy::eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy::primitives::{Address, Bytes, U256};
use revm::context::result::{EVMError, ExecutionResult, HaltReason};
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database_interface::WrapDatabaseRef;
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteEvm, MainBuilder, MainContext, SystemCallEvm};

use super::fees::{BLOB_PARAMS, blob_base_fee};
use crate::state::{State, StateError};

/// The rules of this chain.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;

/// Why the EVM would not run a transaction at all.
pub(crate) type ExecutionError = EVMError<StateError>;

/// The block that code sees while running on top of `header`.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
            blob_gasprice: blob_base_fee(header),
        }),
        slot_num: 0,
    }
}

/// How strictly a transaction is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// As in a block.
    Full,
    /// As geth's `eth_call`: no nonce, EIP-3607 or gas cap, and no base fee if no price is named. The
    /// sender must still afford the value and whatever price it names.
    Call,
}

fn config(chain_id: u64, checks: Checks, free: bool) -> CfgEnv {
    let mut config = CfgEnv::new_with_spec(SPEC).with_chain_id(chain_id);
    config.max_blobs_per_tx = Some(BLOB_PARAMS.max_blobs_per_tx);
    config.blob_base_fee_update_fraction = Some(BLOB_PARAMS.update_fraction as u64);
    config.tx_gas_limit_cap = Some(MAX_TX_GAS_LIMIT_OSAKA);
    if checks == Checks::Call {
        config.disable_nonce_check = true;
        config.disable_block_gas_limit = true;
        config.disable_eip3607 = true;
        config.disable_base_fee = free;
        config.tx_gas_limit_cap = Some(u64::MAX);
    }
    config
}

/// Runs `tx` on `state` and keeps its effects there.
///
/// # Errors
/// The transaction is invalid at this point; `state` is unchanged.
pub(crate) fn execute(
    state: &mut State,
    block: &BlockEnv,
    chain_id: u64,
    checks: Checks,
    tx: TxEnv,
) -> Result<ExecutionResult<HaltReason>, ExecutionError> {
    let outcome = Context::mainnet()
        .with_db(WrapDatabaseRef(&*state))
        .with_cfg(config(chain_id, checks, tx.gas_price == 0))
        .with_block(block.clone())
        .build_mainnet()
        .transact(tx)?;
    state.apply(outcome.state);
    Ok(outcome.result)
}

/// A call by the protocol itself, outside any transaction (EIP-2935, 4788, 7002, 7251).
pub(crate) fn system_call(
    state: &mut State,
    block: &BlockEnv,
    chain_id: u64,
    target: Address,
    data: Bytes,
) -> Result<Bytes, ExecutionError> {
    let outcome = Context::mainnet()
        .with_db(WrapDatabaseRef(&*state))
        .with_cfg(config(chain_id, Checks::Full, true))
        .with_block(block.clone())
        .build_mainnet()
        .system_call(target, data)?;
    let mut changes = outcome.state;
    // The caller is not an account: its nonce and balance never reach the state.
    changes.remove(&revm::handler::SYSTEM_ADDRESS);
    state.apply(changes);
    Ok(outcome.result.into_output().unwrap_or_default())
}
