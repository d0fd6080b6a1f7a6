//! `eth_call` and `eth_estimateGas`: execution that leaves no trace.

use alloy::consensus::Header;
use alloy::eips::BlockId;
use alloy::eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy::primitives::{Address, Bytes, TxKind, U64, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::state::StateOverride;
use revm::context::TxEnv;
use revm::context::either::Either;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use serde_json::{Value, json};

use super::blocks::state_at;
use super::error::RpcError;
use super::params::Params;
use crate::chain::execute::{Checks, ExecutionError, block_env, execute};
use crate::chain::fees::blob_base_fee;
use crate::node::Node;
use crate::state::State;

/// Gas of a call that names none, and the most that any call gets (geth: 50 million).
const CALL_GAS_CAP: u64 = 50_000_000;
/// The estimate may exceed the true need by this many thousandths (geth: 15).
const ESTIMATE_ERROR_PER_MILLE: u64 = 15;
/// What a plain transfer needs.
const TRANSFER_GAS: u64 = 21_000;

/// Methods of this module.
pub(crate) fn dispatch(node: &Node, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    match method {
        "eth_call" => Some(call(node, params)),
        "eth_estimateGas" => Some(estimate(node, params)),
        _ => None,
    }
}

/// A call and the surroundings in which it runs.
struct Scene {
    header: Header,
    state: State,
    chain_id: u64,
    tx: TxEnv,
}

impl Scene {
    fn new(node: &Node, params: &Params) -> Result<Self, RpcError> {
        let request: TransactionRequest = params.required(0)?;
        let (block, mut state) = state_at(node, params.optional::<BlockId>(1)?)?;
        if let Some(overrides) = params.optional::<StateOverride>(2)? {
            state.apply_overrides(overrides).map_err(|error| RpcError::invalid_params(error.to_string()))?;
        }
        let chain_id = node.read().chain.params.chain_id;
        if let Some(id) = request.chain_id.filter(|id| *id != chain_id) {
            return Err(RpcError::server(format!(
                "chainId does not match node's (have={id}, want={chain_id})"
            )));
        }
        let tx = tx_env(request, &block.header, &state, chain_id)?;
        Ok(Self { header: block.header.clone(), state, chain_id, tx })
    }

    fn run(&self, gas_limit: u64) -> Result<ExecutionResult<HaltReason>, ExecutionError> {
        let tx = TxEnv { gas_limit, ..self.tx.clone() };
        execute(&mut self.state.clone(), &block_env(&self.header), self.chain_id, Checks::Call, tx)
    }

    fn refused(&self, error: ExecutionError) -> RpcError {
        let caller = self.tx.caller;
        RpcError::server(match error {
            EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
                format!(
                    "insufficient funds for gas * price + value: address {caller} have {balance} want {fee}"
                )
            }
            EVMError::Transaction(
                InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas: want, gas_limit }
                | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: want, gas_limit },
            ) => format!("intrinsic gas too low: have {gas_limit}, want {want}"),
            EVMError::Transaction(InvalidTransaction::GasPriceLessThanBasefee) => format!(
                "max fee per gas less than block base fee: address {caller}, maxFeePerGas: {}, baseFee: {}",
                self.tx.gas_price,
                self.header.base_fee_per_gas.unwrap_or_default()
            ),
            EVMError::Transaction(InvalidTransaction::PriorityFeeGreaterThanMaxFee) => {
                format!("max priority fee per gas higher than max fee per gas: address {caller}")
            }
            error => format!("err: {error}"),
        })
    }

    /// The most gas that the sender can pay for.
    fn affordable_gas(&self) -> Result<u64, RpcError> {
        if self.tx.gas_price == 0 {
            return Ok(u64::MAX);
        }
        let balance = self.state.balance(self.tx.caller);
        let left = balance
            .checked_sub(self.tx.value)
            .ok_or_else(|| RpcError::server("insufficient funds for transfer"))?;
        Ok((left / U256::from(self.tx.gas_price)).saturating_to())
    }
}

/// The call as the EVM takes it; fees that are not given are zero and not checked.
fn tx_env(
    request: TransactionRequest,
    header: &Header,
    state: &State,
    chain_id: u64,
) -> Result<TxEnv, RpcError> {
    if request.gas_price.is_some() && (request.max_fee_per_gas.or(request.max_priority_fee_per_gas)).is_some()
    {
        return Err(RpcError::server("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
    }
    let caller = request.from.unwrap_or(Address::ZERO);
    let data: Bytes = request
        .input
        .try_into_unique_input()
        .map_err(|error| RpcError::server(error.to_string()))?
        .unwrap_or_default();
    let blob_hashes = request.blob_versioned_hashes.unwrap_or_default();
    let authorizations = request.authorization_list.unwrap_or_default();
    let tx_type = match () {
        () if !blob_hashes.is_empty() => 3,
        () if !authorizations.is_empty() => 4,
        () if request.max_fee_per_gas.or(request.max_priority_fee_per_gas).is_some() => 2,
        () if request.access_list.is_some() => 1,
        () => 0,
    };
    let blob_fee = request.max_fee_per_blob_gas.filter(|fee| *fee > 0);
    let max_fee_per_blob_gas = match blob_hashes.is_empty() {
        true => 0,
        false => blob_fee.unwrap_or_else(|| blob_base_fee(header)),
    };
    Ok(TxEnv {
        tx_type,
        caller,
        gas_limit: request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP),
        gas_price: request.gas_price.or(request.max_fee_per_gas).unwrap_or_default(),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data,
        nonce: request.nonce.unwrap_or_else(|| state.nonce(caller)),
        chain_id: Some(chain_id),
        access_list: request.access_list.unwrap_or_default(),
        gas_priority_fee: (tx_type >= 2).then(|| request.max_priority_fee_per_gas.unwrap_or_default()),
        blob_hashes,
        max_fee_per_blob_gas,
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
    })
}

fn call(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let scene = Scene::new(node, params)?;
    match scene.run(scene.tx.gas_limit).map_err(|error| scene.refused(error))? {
        ExecutionResult::Success { output, .. } => Ok(json!(output.data())),
        ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::server(halt_text(&reason))),
    }
}

/// The smallest gas limit with which the call succeeds, to within geth's tolerance.
fn estimate(node: &Node, params: &Params) -> Result<Value, RpcError> {
    let scene = Scene::new(node, params)?;
    let asked: TransactionRequest = params.required(0)?;
    let mut high = asked.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(scene.header.gas_limit);
    high = high.min(MAX_TX_GAS_LIMIT_OSAKA).min(scene.affordable_gas()?);
    let plain = matches!(scene.tx.kind, TxKind::Call(to) if scene.state.account(to).is_none_or(|account| account.code().is_empty()));
    let bare = plain && scene.tx.data.is_empty() && scene.tx.access_list.is_empty() && scene.tx.tx_type < 3;
    if bare && matches!(scene.run(TRANSFER_GAS), Ok(ExecutionResult::Success { .. })) {
        return Ok(json!(U64::from(TRANSFER_GAS)));
    }
    let first = scene.run(high).map_err(|error| scene.refused(error))?;
    let gas = match &first {
        ExecutionResult::Success { gas, .. } => *gas,
        ExecutionResult::Revert { output, .. } => return Err(RpcError::reverted(output)),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
            return Err(RpcError::server(format!("gas required exceeds allowance ({high})")));
        }
        ExecutionResult::Halt { reason, .. } => return Err(RpcError::server(halt_text(reason))),
    };
    let mut low = gas.tx_gas_used().saturating_sub(1);
    let succeeds = |limit: u64| matches!(scene.run(limit), Ok(ExecutionResult::Success { .. }));
    // EIP-150 keeps 1/64 back at each call, and a refund or stipend must be fronted.
    let optimistic = (gas.total_gas_spent() + 2300) * 64 / 63;
    if optimistic < high {
        if succeeds(optimistic) { high = optimistic } else { low = optimistic }
    }
    while low + 1 < high && (high - low) * 1000 > high * ESTIMATE_ERROR_PER_MILLE {
        // Most calls need little more than they use: lean to the lower end.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if succeeds(middle) { high = middle } else { low = middle }
    }
    Ok(json!(U64::from(high)))
}

/// geth's name for an abnormal end.
fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack limit reached 1024".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        reason => format!("execution halted: {reason:?}"),
    }
}
