//! The world state: accounts, code and storage in persistent tries.
//!
//! Cloning a [`State`] is one pointer copy, so the chain keeps one per recent block: reorgs,
//! `eth_call` at an older block and the pending block all work on their own copy.

mod trie;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::consensus::constants::KECCAK_EMPTY;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::rpc::types::state::{AccountOverride, StateOverride};
use revm::bytecode::Bytecode;
use revm::database_interface::{DBErrorMarker, DatabaseRef};
use revm::state::{AccountInfo, EvmState};

use trie::{Leaf, Trie};

/// `BLOCKHASH` sees this many ancestors.
pub(crate) const BLOCK_HASH_WINDOW: u64 = 256;

/// One account, as the trie commits to it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
    code: Option<Bytecode>,
    storage: Trie<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot(U256);

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY, code: None, storage: Trie::default() }
    }
}

impl Leaf for Slot {
    fn encoded(&self) -> Vec<u8> {
        alloy::rlp::encode(self.0)
    }
}

impl Leaf for Account {
    fn encoded(&self) -> Vec<u8> {
        alloy::rlp::encode(alloy_trie::TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: self.storage.root(),
            code_hash: self.code_hash,
        })
    }
}

impl Account {
    fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }

    fn put(&mut self, slot: U256, value: U256) {
        let key = keccak256(B256::from(slot));
        if value.is_zero() { self.storage.remove(&key) } else { self.storage.insert(key, Slot(value)) }
    }

    pub(crate) fn storage_root(&self) -> B256 {
        self.storage.root()
    }

    /// The nodes that prove `slot` (EIP-1186).
    pub(crate) fn storage_proof(&self, slot: B256) -> Vec<Bytes> {
        self.storage.proof(&keccak256(slot))
    }

    /// The account's code, empty for an externally owned one.
    pub(crate) fn code(&self) -> Bytes {
        self.code.as_ref().map(Bytecode::original_bytes).unwrap_or_default()
    }

    fn set_code(&mut self, code: Bytes) -> Result<(), StateError> {
        if code.is_empty() {
            self.code_hash = KECCAK_EMPTY;
            self.code = None;
        } else {
            let code = Bytecode::new_raw_checked(code).map_err(|_| StateError::BadCode)?;
            self.code_hash = code.hash_slow();
            self.code = Some(code);
        }
        Ok(())
    }
}

/// Why a state could not be read or edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Code that starts like an EIP-7702 delegation but is not one.
    #[error("malformed delegation designator")]
    BadCode,
    /// An override that sets both `state` and `stateDiff`.
    #[error("account {0} has both 'state' and 'stateDiff'")]
    BothStateAndDiff(Address),
}

impl DBErrorMarker for StateError {}

/// Every account after some block, and the hashes of the blocks before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    accounts: Trie<Account>,
    /// Number to hash, for the last [`BLOCK_HASH_WINDOW`] blocks.
    block_hashes: Arc<BTreeMap<u64, B256>>,
}

impl State {
    /// The state root, as in a block header.
    pub(crate) fn root(&self) -> B256 {
        self.accounts.root()
    }

    pub(crate) fn account(&self, address: Address) -> Option<&Account> {
        self.accounts.lookup(&keccak256(address))
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |account| account.nonce)
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| account.balance)
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        self.account(address)
            .and_then(|account| account.storage.lookup(&keccak256(B256::from(slot))))
            .map_or(U256::ZERO, |slot| slot.0)
    }

    /// The nodes that prove `address` (EIP-1186).
    pub(crate) fn account_proof(&self, address: Address) -> Vec<Bytes> {
        self.accounts.proof(&keccak256(address))
    }

    fn edit<T>(&mut self, address: Address, edit: impl FnOnce(&mut Account) -> T) -> T {
        let key = keccak256(address);
        let mut account = self.accounts.lookup(&key).cloned().unwrap_or_default();
        let result = edit(&mut account);
        // EIP-161: an empty account does not exist.
        if account.is_empty() {
            self.accounts.remove(&key)
        } else {
            self.accounts.insert(key, account)
        }
        result
    }

    pub(crate) fn set_balance(&mut self, address: Address, balance: U256) {
        self.edit(address, |account| account.balance = balance);
    }

    #[cfg(test)]
    pub(crate) fn set_nonce(&mut self, address: Address, nonce: u64) {
        self.edit(address, |account| account.nonce = nonce);
    }

    /// Places a system contract; it gets nonce 1 as a deployed contract has.
    pub(crate) fn deploy(&mut self, address: Address, code: Bytes) -> Result<(), StateError> {
        self.edit(address, |account| {
            account.nonce = 1;
            account.set_code(code)
        })
    }

    /// Remembers the hash of block `number` for `BLOCKHASH`.
    pub(crate) fn push_block_hash(&mut self, number: u64, hash: B256) {
        let hashes = Arc::make_mut(&mut self.block_hashes);
        hashes.insert(number, hash);
        while hashes.len() as u64 > BLOCK_HASH_WINDOW {
            hashes.pop_first();
        }
    }

    /// Applies what one transaction or system call changed.
    pub(crate) fn apply(&mut self, changes: EvmState) {
        for (address, change) in changes {
            if !change.is_touched() {
                continue;
            }
            if change.is_selfdestructed() {
                self.accounts.remove(&keccak256(address));
                continue;
            }
            self.edit(address, |account| {
                if change.is_created() {
                    account.storage = Trie::default();
                }
                account.nonce = change.info.nonce;
                account.balance = change.info.balance;
                if account.code_hash != change.info.code_hash {
                    account.code_hash = change.info.code_hash;
                    account.code = change.info.code.clone().filter(|code| !code.is_empty());
                }
                for (slot, value) in change.changed_storage_slots() {
                    account.put(*slot, value.present_value());
                }
            });
        }
    }

    /// Applies `eth_call`'s state overrides.
    pub(crate) fn apply_overrides(&mut self, overrides: StateOverride) -> Result<(), StateError> {
        overrides.into_iter().try_for_each(|(address, change)| self.apply_override(address, change))
    }

    fn apply_override(&mut self, address: Address, change: AccountOverride) -> Result<(), StateError> {
        if change.state.is_some() && change.state_diff.is_some() {
            return Err(StateError::BothStateAndDiff(address));
        }
        self.edit(address, |account| {
            if let Some(balance) = change.balance {
                account.balance = balance;
            }
            if let Some(nonce) = change.nonce {
                account.nonce = nonce;
            }
            if let Some(code) = change.code {
                account.set_code(code)?;
            }
            if change.state.is_some() {
                account.storage = Trie::default();
            }
            for (slot, value) in change.state.or(change.state_diff).into_iter().flatten() {
                account.put(slot.into(), value.into());
            }
            Ok(())
        })
    }
}

impl DatabaseRef for State {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.account(address).map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: Some(account.code.clone().unwrap_or_default()),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, StateError> {
        // `basic_ref` always hands the code over, so the interpreter never asks by hash.
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, StateError> {
        Ok(self.slot(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.block_hashes.get(&number).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy::primitives::address;
    use alloy_trie::TrieAccount;
    use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};

    use super::*;

    #[test]
    fn the_state_root_commits_to_balance_nonce_code_and_storage() {
        let (user, contract) =
            (Address::repeat_byte(1), address!("000F3df6D732807Ef1319fB7B8bB8522d0Beac02"));
        let code = Bytes::from_static(&[0x60, 0x01, 0x60, 0x00, 0x55]);
        let mut state = State::default();
        assert_eq!(state.root(), alloy_trie::EMPTY_ROOT_HASH);
        state.set_balance(user, U256::from(10).pow(U256::from(22)));
        state.deploy(contract, code.clone()).unwrap();
        state.edit(contract, |account| account.put(U256::from(5), U256::from(6)));

        let expected = state_root_unhashed([
            (user, TrieAccount { balance: U256::from(10).pow(U256::from(22)), ..TrieAccount::default() }),
            (
                contract,
                TrieAccount {
                    nonce: 1,
                    code_hash: keccak256(&code),
                    storage_root: storage_root_unhashed([(B256::with_last_byte(5), U256::from(6))]),
                    ..TrieAccount::default()
                },
            ),
        ]);
        assert_eq!(state.root(), expected);
        assert_eq!(state.account(contract).unwrap().code(), code);
    }

    #[test]
    fn an_emptied_account_leaves_no_trace() {
        let mut state = State::default();
        state.set_balance(Address::repeat_byte(1), U256::from(1));
        state.set_balance(Address::repeat_byte(2), U256::from(1));
        let with_two = state.clone();
        state.set_balance(Address::repeat_byte(2), U256::ZERO);
        assert!(state.account(Address::repeat_byte(2)).is_none());
        assert_ne!(state.root(), with_two.root());
        state.set_balance(Address::repeat_byte(1), U256::ZERO);
        assert_eq!(state.root(), alloy_trie::EMPTY_ROOT_HASH);
    }

    #[test]
    fn only_the_last_256_block_hashes_are_seen() {
        let mut state = State::default();
        for number in 0..300 {
            state.push_block_hash(number, B256::with_last_byte(7));
        }
        assert_eq!(state.block_hash_ref(43).unwrap(), B256::ZERO);
        assert_eq!(state.block_hash_ref(44).unwrap(), B256::with_last_byte(7));
    }
}
