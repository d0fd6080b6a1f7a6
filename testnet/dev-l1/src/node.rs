//! The chain and its pool behind one lock, and the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, U256};

use crate::chain::build::Candidate;
use crate::chain::execute::ExecutionError;
use crate::chain::fees::blob_base_fee;
use crate::chain::{Chain, ReorgError};
use crate::pool::{Pool, PoolError, check, check_kzg};
use crate::rpc::filters::Filters;
use crate::transaction::SignedTx;

/// Chain and pool: they change together.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
}

/// What of the transactions that lose their place in a reorg returns to the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Any of them.
    pub(crate) transactions: bool,
    /// Those with blobs too.
    pub(crate) blobs: bool,
}

/// A running development chain.
#[derive(Debug)]
pub(crate) struct Node {
    ledger: RwLock<Ledger>,
    /// Held by whoever changes the chain: a block is built while others read, and only its commit
    /// locks them out.
    turn: Mutex<()>,
    pending: Mutex<Option<(PendingKey, Candidate)>>,
    pub(crate) filters: Mutex<Filters>,
    automine: AtomicBool,
}

/// What the pending block depends on: head, pool version, planned timestamp.
type PendingKey = (B256, u64, u64);

impl Node {
    pub(crate) fn new(chain: Chain, automine: bool) -> Self {
        Self {
            ledger: RwLock::new(Ledger { chain, pool: Pool::default() }),
            turn: Mutex::new(()),
            pending: Mutex::new(None),
            filters: Mutex::new(Filters::default()),
            automine: AtomicBool::new(automine),
        }
    }

    /// Chain and pool for reading. A panic elsewhere is no reason to stop serving.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mines one block from the pool.
    ///
    /// # Errors
    /// A system contract is broken; the chain is unchanged.
    pub(crate) fn mine(&self) -> Result<(), ExecutionError> {
        self.mine_with(Vec::new())
    }

    /// Mines one block that begins by setting balances (wei).
    pub(crate) fn mine_with(&self, balances: Vec<(Address, U256)>) -> Result<(), ExecutionError> {
        let _turn = lock(&self.turn);
        let candidate = self.read().next_block(balances)?;
        let mut ledger = self.write();
        let Ledger { chain, pool } = &mut *ledger;
        for (hash, reason) in &candidate.invalid {
            tracing::info!(%hash, reason, "dropped from the pool");
            pool.discard(hash);
        }
        chain.commit(candidate);
        pool.reset(chain.head_state());
        let head = chain.head();
        tracing::debug!(number = head.number(), txs = head.txs.len(), hash = %head.hash, "block");
        Ok(())
    }

    /// The block that would be mined now.
    pub(crate) fn pending(&self) -> Result<Candidate, ExecutionError> {
        let ledger = self.read();
        let timestamp = ledger.chain.next_timestamp(unix_now());
        let key = (ledger.chain.head().hash, ledger.pool.version(), timestamp);
        let mut cache = lock(&self.pending);
        if let Some((cached, candidate)) = &*cache
            && *cached == key
        {
            return Ok(candidate.clone());
        }
        let candidate = ledger.next_block(Vec::new())?;
        *cache = Some((key, candidate.clone()));
        Ok(candidate)
    }

    /// Takes a raw transaction into the pool.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        let (chain_id, gas_limit) = {
            let params = &self.read().chain.params;
            (params.chain_id, params.gas_limit)
        };
        let tx = SignedTx::decode(raw, chain_id)?;
        check(&tx, gas_limit)?;
        {
            // The costly proof check comes last and outside the lock.
            let ledger = self.read();
            ledger.pool.admit(&tx, ledger.chain.head_state())?;
        }
        check_kzg(&tx)?;
        let hash = tx.hash;
        let mut ledger = self.write();
        let Ledger { chain, pool } = &mut *ledger;
        pool.add(tx, chain.head_state())?;
        chain.push_pending(hash);
        Ok(hash)
    }

    /// Replaces the newest blocks by empty ones and puts back into the pool what `keep` says. Says how many transactions
    /// lost their place.
    pub(crate) fn reorg(&self, depth: u64, keep: Keep, past_finalized: bool) -> Result<usize, ReorgError> {
        let _turn = lock(&self.turn);
        let mut ledger = self.write();
        let mut orphans = ledger.chain.reorg(depth, past_finalized)?;
        let count = orphans.len();
        orphans.retain(|tx| keep.transactions && (keep.blobs || !tx.is_blob()));
        let waiting = ledger.pooled();
        for (hash, error) in ledger.refill(orphans.into_iter().chain(waiting)) {
            tracing::info!(%hash, %error, "lost in the reorg");
        }
        Ok(count)
    }

    /// Changes chain or pool in place.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let _turn = lock(&self.turn);
        change(&mut self.write())
    }

    pub(crate) fn automine(&self) -> bool {
        self.automine.load(Ordering::Relaxed)
    }

    pub(crate) fn set_automine(&self, on: bool) {
        self.automine.store(on, Ordering::Relaxed);
    }
}

impl Ledger {
    /// Every pooled transaction, each account's in the order of its nonces.
    pub(crate) fn pooled(&self) -> Vec<SignedTx> {
        self.pool.iter(self.chain.head_state()).map(|(_, tx)| tx.clone()).collect()
    }

    /// Empties the pool and fills it with those of `txs` that still fit the head; returns the others. What continues the
    /// nonces of others comes after them.
    pub(crate) fn refill(&mut self, txs: impl IntoIterator<Item = SignedTx>) -> Vec<(B256, PoolError)> {
        let Self { chain, pool } = self;
        pool.clear();
        let mut lost = Vec::new();
        for tx in txs {
            let hash = tx.hash;
            let checked = check(&tx, chain.params.gas_limit);
            if let Err(error) = checked.and_then(|()| pool.add(tx, chain.head_state())) {
                lost.push((hash, error));
            }
        }
        lost
    }

    fn next_block(&self, balances: Vec<(Address, U256)>) -> Result<Candidate, ExecutionError> {
        let mut plan = self.chain.plan(self.chain.next_timestamp(unix_now()));
        plan.balances = balances;
        let header = self.chain.open_header(&plan);
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let selection = self.pool.select(self.chain.head_state(), base_fee, blob_base_fee(&header));
        self.chain.candidate(&plan, selection)
    }
}

/// Locks a mutex whose data stay sound even if a holder panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// A node that other tasks share.
pub(crate) type SharedNode = Arc<Node>;
