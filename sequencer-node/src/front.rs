//! What both front doors share: QUIC for rollups, JSON-RPC for wallets and tools.

use std::sync::Arc;

use ordering_types::{ChainSpec, Digest, SecretKey, Transaction, TxId, ValidatorId};
use tokio::sync::Semaphore;
use tracing::{Instrument, field};

use crate::admission::{self, AdmissionError};
use crate::core_api::Status;
use crate::network::PeerStatus;
use crate::pressure::Valve;
use crate::pump::Handle;
use crate::store::{Reader, StoreError};

/// Threads that check signatures at once; more only take the core's time.
const MAX_CHECKERS: usize = 2;
/// Threads that read the store for clients at once; more wait.
const MAX_READERS: usize = 8;
/// So few transactions are checked where they stand: handing them over costs more.
const CHECK_INLINE: usize = 2;

/// Shared by all connections.
pub(crate) struct Front {
    /// The network.
    pub(crate) spec: Arc<ChainSpec>,
    /// Its hash.
    pub(crate) chain_spec: Digest,
    /// This validator.
    pub(crate) me: ValidatorId,
    /// Its key: proves to clients whom they talk to.
    pub(crate) key: SecretKey,
    /// The core.
    pub(crate) handle: Handle,
    /// How fast transactions are admitted.
    pub(crate) valve: Arc<Valve>,
    /// Other validators, as seen from here.
    pub(crate) peers: Box<dyn Fn() -> Vec<PeerStatus> + Send + Sync>,
    reader: Reader,
    checkers: Semaphore,
    readers: Semaphore,
}

impl Front {
    pub(crate) fn new(
        spec: Arc<ChainSpec>,
        me: ValidatorId,
        key: SecretKey,
        (handle, valve): (Handle, Arc<Valve>),
        reader: Reader,
        peers: Box<dyn Fn() -> Vec<PeerStatus> + Send + Sync>,
    ) -> Self {
        let (checkers, readers) = (Semaphore::new(MAX_CHECKERS), Semaphore::new(MAX_READERS));
        Self { chain_spec: spec.hash(), spec, me, key, handle, valve, peers, reader, checkers, readers }
    }

    /// Checks transactions and hands the good ones to the core. One answer each, in order.
    pub(crate) async fn submit(&self, transactions: Vec<Transaction>) -> Vec<Result<TxId, AdmissionError>> {
        // OpenTelemetry has no unsigned numbers; they would become texts.
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let sent = number(transactions.len());
        let span = tracing::info_span!("submit", transactions = sent, refused = field::Empty);
        let answers = self.take(transactions).instrument(span.clone()).await;
        span.record("refused", number(answers.iter().filter(|answer| answer.is_err()).count()));
        answers
    }

    async fn take(&self, transactions: Vec<Transaction>) -> Vec<Result<TxId, AdmissionError>> {
        if !self.handle.is_member() {
            // Nobody orders what it holds: better said at once than never ordered.
            return vec![Err(AdmissionError::NotInCommittee); transactions.len()];
        }
        let (good, mut answers) = self.check(transactions).await;
        let (good, passed) = self.valve.admit(good, &mut answers);
        if good.is_empty() {
            return answers;
        }
        // Placeholders of the good ones take the core's answers.
        let verdicts = self.handle.submit(good).await;
        self.valve.give_back(&passed, &verdicts);
        let mut verdicts = verdicts.into_iter();
        for answer in &mut answers {
            if answer.is_ok() {
                *answer = verdicts.next().unwrap_or(Err(AdmissionError::NotReady));
            }
        }
        answers
    }

    async fn check(
        &self,
        transactions: Vec<Transaction>,
    ) -> (Vec<Transaction>, Vec<Result<TxId, AdmissionError>>) {
        if transactions.len() <= CHECK_INLINE {
            return check_all(&self.spec, transactions);
        }
        let count = transactions.len();
        let refused = || (Vec::new(), vec![Err(AdmissionError::NotReady); count]);
        let Ok(_permit) = self.checkers.acquire().await else { return refused() };
        let spec = Arc::clone(&self.spec);
        tokio::task::spawn_blocking(move || check_all(&spec, transactions))
            .await
            .unwrap_or_else(|_| refused())
    }

    /// Reads the store on a thread that may wait for the disk.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _permit = self.readers.acquire().await.map_err(|_| ReadError::Stopping)?;
        let reader = self.reader.clone();
        let result = tokio::task::spawn_blocking(move || read(&reader)).await;
        Ok(result.map_err(|_| ReadError::Stopping)??)
    }

    /// The core's newest snapshot.
    pub(crate) fn status(&self) -> Status {
        self.handle.status()
    }
}

/// Why the store does not answer a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn check_all(
    spec: &ChainSpec,
    transactions: Vec<Transaction>,
) -> (Vec<Transaction>, Vec<Result<TxId, AdmissionError>>) {
    let mut good = Vec::with_capacity(transactions.len());
    let answers = transactions
        .into_iter()
        .map(|transaction| {
            admission::check(spec, &transaction)?;
            good.push(transaction);
            Ok(TxId::ZERO)
        })
        .collect();
    (good, answers)
}
