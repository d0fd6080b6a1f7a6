//! Block zero: funded accounts and the protocol's system contracts.

use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::consensus::{Header, constants::EMPTY_ROOT_HASH};
use alloy::eips::eip1559::INITIAL_BASE_FEE;
use alloy::eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy::eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy::eips::eip7002::{WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_CODE};
use alloy::eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_CODE};
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::primitives::{Address, B256, Bytes, U256};

use super::block::Block;
use super::build::block_length;
use crate::state::{State, StateError};

/// The first block and the state after it.
pub(crate) fn genesis(
    accounts: &[Address],
    balance: U256,
    gas_limit: u64,
    timestamp: u64,
) -> Result<(Block, State), StateError> {
    let mut state = State::default();
    for address in accounts {
        state.set_balance(*address, balance);
    }
    for (address, code) in [
        (BEACON_ROOTS_ADDRESS, &BEACON_ROOTS_CODE),
        (HISTORY_STORAGE_ADDRESS, &HISTORY_STORAGE_CODE),
        (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &WITHDRAWAL_REQUEST_PREDEPLOY_CODE),
        (CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, &CONSOLIDATION_REQUEST_PREDEPLOY_CODE),
    ] {
        state.deploy(address, code.clone())?;
    }
    let header = Header {
        state_root: state.root(),
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        parent_beacon_block_root: Some(B256::ZERO),
        base_fee_per_gas: Some(INITIAL_BASE_FEE),
        excess_blob_gas: Some(0),
        blob_gas_used: Some(0),
        gas_limit,
        timestamp,
        extra_data: Bytes::from_static(b"dev-l1 genesis"),
        ..Header::default()
    };
    let size = block_length(&header, &[]);
    Ok((Block { hash: header.hash_slow(), header, txs: Vec::new(), size }, state))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_trie::TrieAccount;
    use alloy_trie::root::state_root_unhashed;

    use super::*;

    #[test]
    fn the_genesis_root_is_the_one_alloy_computes() {
        let funded = [Address::repeat_byte(1), Address::repeat_byte(2)];
        let balance = U256::from(5);
        let (block, state) = genesis(&funded, balance, 60_000_000, 1_700_000_000).unwrap();
        let contract = |code: &Bytes| TrieAccount {
            nonce: 1,
            code_hash: alloy::primitives::keccak256(code),
            ..TrieAccount::default()
        };
        let expected = state_root_unhashed(
            funded
                .map(|address| (address, TrieAccount { balance, ..TrieAccount::default() }))
                .into_iter()
                .chain([
                    (BEACON_ROOTS_ADDRESS, contract(&BEACON_ROOTS_CODE)),
                    (HISTORY_STORAGE_ADDRESS, contract(&HISTORY_STORAGE_CODE)),
                    (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, contract(&WITHDRAWAL_REQUEST_PREDEPLOY_CODE)),
                    (
                        CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                        contract(&CONSOLIDATION_REQUEST_PREDEPLOY_CODE),
                    ),
                ]),
        );
        assert_eq!(state.root(), expected);
        assert_eq!(block.header.state_root, expected);
    }
}
