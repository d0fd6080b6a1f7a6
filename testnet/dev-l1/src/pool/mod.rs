//! The transaction pool, with geth's rules (legacypool and blobpool) and geth's words.
//!
//! An account's transactions are either all blob transactions or none is. Those whose nonces follow
//! on the account's without a gap are *pending*; the others, which only non-blob accounts may have,
//! are *queued* until the gap closes. Every collection is bounded by a constant below.

mod error;
mod rules;
mod select;

use std::collections::{BTreeMap, HashMap};

use alloy::consensus::Transaction;
use alloy::primitives::{Address, B256, U256};

pub(crate) use error::PoolError;
pub(crate) use rules::{check, check_kzg};
pub(crate) use select::Selection;

use crate::state::State;
use crate::transaction::SignedTx;

/// Non-blob transactions of the whole pool (geth: 5120 executable and 1024 queued).
pub(crate) const MAX_PLAIN_TXS: usize = 6144;
/// Bytes of all pooled transactions, without blobs.
pub(crate) const MAX_POOL_BYTES: usize = 256 * 1024 * 1024;
/// Blob transactions of the whole pool, at up to six blobs of 128 KiB each.
pub(crate) const MAX_BLOB_TXS: usize = 256;
/// Non-blob transactions of one account.
pub(crate) const MAX_PLAIN_TXS_PER_ACCOUNT: usize = 1024;
/// Transactions of one account that wait behind a nonce gap (geth: 64).
pub(crate) const MAX_QUEUED_PER_ACCOUNT: usize = 64;
/// Blob transactions of one account (geth: 16).
pub(crate) const MAX_BLOB_TXS_PER_ACCOUNT: usize = 16;
/// A non-blob replacement must pay this many percent more on both fees.
const PLAIN_BUMP_PERCENT: u128 = 10;
/// A blob replacement must pay this many percent more on all three fees.
const BLOB_BUMP_PERCENT: u128 = 100;

/// A transaction waiting in the pool.
#[derive(Debug)]
pub(crate) struct Pooled {
    pub(crate) tx: SignedTx,
    /// Position in the order of arrival.
    pub(crate) arrival: u64,
}

type Account = BTreeMap<u64, Pooled>;

/// All transactions that wait for a block.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    accounts: BTreeMap<Address, Account>,
    hashes: HashMap<B256, (Address, u64)>,
    arrivals: u64,
    blob_txs: usize,
    bytes: usize,
}

impl Pool {
    /// How often the pool's content may have changed: a cache key.
    pub(crate) fn version(&self) -> u64 {
        self.arrivals
    }

    pub(crate) fn contains(&self, hash: &B256) -> bool {
        self.hashes.contains_key(hash)
    }

    pub(crate) fn lookup(&self, hash: &B256) -> Option<&SignedTx> {
        let (sender, nonce) = self.hashes.get(hash)?;
        Some(&self.accounts.get(sender)?.get(nonce)?.tx)
    }

    /// Takes a transaction that has passed [`check`] (and [`check_kzg`], if it carries blobs).
    ///
    /// # Errors
    /// The first stateful rule that is broken; the pool is then unchanged.
    pub(crate) fn add(&mut self, tx: SignedTx, state: &State) -> Result<(), PoolError> {
        self.admit(&tx, state)?;
        self.make_room(&tx)?;
        let nonce = tx.tx.nonce();
        self.remove(tx.sender, nonce);
        self.arrivals += 1;
        self.blob_txs += usize::from(tx.is_blob());
        self.bytes += tx.size;
        self.hashes.insert(tx.hash, (tx.sender, nonce));
        let account = self.accounts.entry(tx.sender).or_default();
        account.insert(nonce, Pooled { tx, arrival: self.arrivals });
        Ok(())
    }

    /// Every stateful rule except room; cheap enough to run before KZG verification too.
    pub(crate) fn admit(&self, tx: &SignedTx, state: &State) -> Result<(), PoolError> {
        if self.contains(&tx.hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let empty = Account::new();
        let account = self.accounts.get(&tx.sender).unwrap_or(&empty);
        if account.values().next().is_some_and(|pooled| pooled.tx.is_blob() != tx.is_blob()) {
            return Err(PoolError::AlreadyReserved);
        }
        let (nonce, next) = (tx.tx.nonce(), state.nonce(tx.sender));
        if nonce < next {
            return Err(PoolError::NonceTooLow { next, nonce });
        }
        let gap = first_gap(account, next);
        if tx.is_blob() && nonce > gap {
            return Err(PoolError::NonceGap { nonce, gap });
        }
        check_funds(account, tx, state.balance(tx.sender))?;
        if let Some(replaced) = account.get(&nonce) {
            return check_replacement(&replaced.tx, tx);
        }
        check_account_room(account, tx, gap)?;
        let delegated = state.account(tx.sender).is_some_and(|account| !account.code().is_empty());
        if delegated && (!account.is_empty() || nonce != next) {
            return Err(PoolError::DelegatedInFlight);
        }
        Ok(())
    }

    /// Evicts the cheapest transaction if the pool is full and `tx` pays better.
    fn make_room(&mut self, tx: &SignedTx) -> Result<(), PoolError> {
        let replaces =
            self.accounts.get(&tx.sender).is_some_and(|account| account.contains_key(&tx.tx.nonce()));
        let (used, limit) = match tx.is_blob() {
            true => (self.blob_txs, MAX_BLOB_TXS),
            false => (self.hashes.len() - self.blob_txs, MAX_PLAIN_TXS),
        };
        if self.bytes + tx.size > MAX_POOL_BYTES {
            return Err(PoolError::Full);
        }
        if replaces || used < limit {
            return Ok(());
        }
        // Only an account's last transaction can go without opening a gap.
        let tails = self.accounts.values().filter_map(|account| account.values().next_back());
        let cheapest = tails
            .filter(|pooled| pooled.tx.is_blob() == tx.is_blob() && pooled.tx.sender != tx.sender)
            .min_by_key(|pooled| pooled.tx.tx.max_fee_per_gas())
            .ok_or(PoolError::Full)?;
        if cheapest.tx.tx.max_fee_per_gas() >= tx.tx.max_fee_per_gas() {
            return Err(PoolError::Underpriced);
        }
        let (sender, nonce) = (cheapest.tx.sender, cheapest.tx.tx.nonce());
        self.remove(sender, nonce);
        Ok(())
    }

    fn remove(&mut self, sender: Address, nonce: u64) -> Option<Pooled> {
        let account = self.accounts.get_mut(&sender)?;
        let pooled = account.remove(&nonce)?;
        if account.is_empty() {
            self.accounts.remove(&sender);
        }
        self.hashes.remove(&pooled.tx.hash);
        self.blob_txs -= usize::from(pooled.tx.is_blob());
        self.bytes -= pooled.tx.size;
        Some(pooled)
    }

    /// Forgets one transaction, and for a blob account everything behind it.
    pub(crate) fn discard(&mut self, hash: &B256) {
        let Some((sender, nonce)) = self.hashes.get(hash).copied() else { return };
        self.arrivals += 1;
        let Some(removed) = self.remove(sender, nonce) else { return };
        if removed.tx.is_blob() {
            let behind: Vec<u64> =
                self.accounts.get(&sender).into_iter().flatten().map(|(n, _)| *n).collect();
            for behind in behind.into_iter().filter(|behind| *behind > nonce) {
                self.remove(sender, behind);
            }
        }
    }

    /// Adapts to a new head: drops what was mined and what its sender can no longer pay.
    pub(crate) fn reset(&mut self, state: &State) {
        self.arrivals += 1;
        let stale: Vec<B256> = self
            .accounts
            .iter()
            .flat_map(|(sender, account)| {
                let (next, balance) = (state.nonce(*sender), state.balance(*sender));
                account.iter().filter(move |(nonce, pooled)| **nonce < next || pooled.tx.cost() > balance)
            })
            .map(|(_, pooled)| pooled.tx.hash)
            .collect();
        for hash in stale {
            let mined = self.lookup(&hash).is_some_and(|tx| tx.tx.nonce() < state.nonce(tx.sender));
            match self.hashes.get(&hash).copied() {
                Some((sender, nonce)) if mined => drop(self.remove(sender, nonce)),
                _ => self.discard(&hash),
            }
        }
        self.evict_overdrafts(state);
    }

    /// Blob transactions must be payable together, as geth has it: while they are not, the account's last one goes. Of
    /// other transactions each must be payable by itself, so an account may owe more than it has.
    fn evict_overdrafts(&mut self, state: &State) {
        let mut evicted = Vec::new();
        for (sender, account) in &self.accounts {
            let mut spent =
                account.values().fold(U256::ZERO, |sum, pooled| sum.saturating_add(pooled.tx.cost()));
            for pooled in account.values().rev().take_while(|pooled| pooled.tx.is_blob()) {
                if spent <= state.balance(*sender) {
                    break;
                }
                spent -= pooled.tx.cost();
                evicted.push((*sender, pooled.tx.tx.nonce()));
            }
        }
        for (sender, nonce) in evicted {
            self.remove(sender, nonce);
        }
    }

    /// Forgets everything and says how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        let count = self.hashes.len();
        let arrivals = self.arrivals + 1;
        *self = Self { arrivals, ..Self::default() };
        count
    }

    /// The first nonce that `sender` has not used, pending ones included.
    pub(crate) fn next_nonce(&self, sender: Address, state: &State) -> u64 {
        let next = state.nonce(sender);
        self.accounts.get(&sender).map_or(next, |account| first_gap(account, next))
    }

    /// Executable transactions in the order in which a block with these fees takes them.
    pub(crate) fn select(&self, state: &State, base_fee: u64, blob_fee: u128) -> Selection<'_> {
        let queues = self.accounts.iter().map(|(sender, account)| {
            let next = state.nonce(*sender);
            let gap = first_gap(account, next);
            account.range(next..gap).map(|(_, pooled)| pooled).collect()
        });
        Selection::new(queues.collect(), base_fee, blob_fee)
    }

    /// Every pooled transaction; true for pending, false for queued.
    pub(crate) fn iter<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (bool, &'a SignedTx)> {
        self.accounts.iter().flat_map(move |(sender, account)| {
            let gap = first_gap(account, state.nonce(*sender));
            account.iter().map(move |(nonce, pooled)| (*nonce < gap, &pooled.tx))
        })
    }
}

/// The first nonce from `next` on that `account` lacks.
fn first_gap(account: &Account, next: u64) -> u64 {
    let mut gap = next;
    for (nonce, _) in account.range(next..) {
        if *nonce != gap {
            break;
        }
        gap += 1;
    }
    gap
}

/// The account must afford all its pooled transactions at their highest cost together.
fn check_funds(account: &Account, tx: &SignedTx, balance: U256) -> Result<(), PoolError> {
    let cost = tx.cost();
    if cost > balance {
        return Err(PoolError::InsufficientFunds { balance, cost });
    }
    let queued = account
        .iter()
        .filter(|(nonce, _)| **nonce != tx.tx.nonce())
        .fold(U256::ZERO, |sum, (_, pooled)| sum.saturating_add(pooled.tx.cost()));
    if queued.saturating_add(cost) > balance {
        return Err(PoolError::Overdraft { balance, queued, cost });
    }
    Ok(())
}

fn check_account_room(account: &Account, tx: &SignedTx, gap: u64) -> Result<(), PoolError> {
    let limit = if tx.is_blob() { MAX_BLOB_TXS_PER_ACCOUNT } else { MAX_PLAIN_TXS_PER_ACCOUNT };
    let queued = account.range(gap..).count();
    if account.len() >= limit || (tx.tx.nonce() > gap && queued >= MAX_QUEUED_PER_ACCOUNT) {
        return Err(PoolError::AccountLimit(account.len()));
    }
    Ok(())
}

fn check_replacement(old: &SignedTx, new: &SignedTx) -> Result<(), PoolError> {
    if !new.is_blob() {
        let enough = bumped(old.tx.max_fee_per_gas(), PLAIN_BUMP_PERCENT) <= new.tx.max_fee_per_gas()
            && bumped(old.max_tip(), PLAIN_BUMP_PERCENT) <= new.max_tip()
            && new.tx.max_fee_per_gas() > old.tx.max_fee_per_gas()
            && new.max_tip() > old.max_tip();
        return if enough { Ok(()) } else { Err(PoolError::ReplaceUnderpriced(String::new())) };
    }
    for (name, old, new) in [
        ("gas fee cap", old.tx.max_fee_per_gas(), new.tx.max_fee_per_gas()),
        ("gas tip cap", old.max_tip(), new.max_tip()),
        ("blob gas fee cap", old.max_blob_fee(), new.max_blob_fee()),
    ] {
        if new < bumped(old, BLOB_BUMP_PERCENT) {
            return Err(PoolError::ReplaceUnderpriced(format!(
                ": new tx {name} {new} < {old} queued + {BLOB_BUMP_PERCENT}% replacement penalty"
            )));
        }
    }
    Ok(())
}

/// `fee` plus `percent`, rounded down as geth does.
fn bumped(fee: u128, percent: u128) -> u128 {
    fee.saturating_mul(100 + percent) / 100
}

#[cfg(test)]
mod tests;
