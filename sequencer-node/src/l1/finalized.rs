//! The registry, and the inbox's epoch and queue, at each finalized block that the committee is to report.
//!
//! Validators report the same blocks, those whose numbers `l1.report_blocks` of the genesis file divides, and read each of them by
//! its hash: what two honest endpoints say of one is equal. After a start the newest of them is read first; from then on all, in
//! order, unless there are too many or the endpoint does not have one any more.

use std::sync::Arc;
use std::time::Duration;

use ordering_types::{ChainSpec, Digest, L1Reference, Registry};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::contract::Contract;
use super::inbox::Inbox;
use super::reader::{At, ReadError, Reader};
use crate::core_api::L1Sight;

/// Views that may wait for the core. With more the reading waits, too.
const VIEWS_WAITING: usize = 16;
/// Most blocks that are read after an absence of the endpoint: the newest ones.
const MAX_CATCH_UP: usize = 16;
/// A block that cannot be read so often is left out as soon as a newer one is there.
const MAX_TRIES: u32 = 3;
/// Longest reading of one view: a hundred validators at a slow endpoint.
const VIEW_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks for a new finalized block: after one came, and longest. Ethereum finalizes some thirty at once, every six minutes.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(12));
/// Longest pause while the endpoint fails.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// So many looks in a row at which the endpoint is behind what it said was final, and what it says now is believed.
const LOOKS_BEFORE_GOING_BACK: u32 = 30;

/// What an operator is told of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum RegistryState {
    /// The genesis file names no registry, or no endpoint is configured.
    NotConfigured,
    /// Nothing has been read yet.
    Waiting,
    /// It is followed.
    Ok {
        /// The newest block that was read.
        block: u64,
        /// Active validators after it.
        active: usize,
        /// Their root.
        root: Digest,
    },
    /// It cannot be read.
    Failing {
        /// Why.
        why: String,
        /// The newest block that was read.
        block: Option<u64>,
    },
}

/// Begins to follow the contracts of this network. It ends when the views' receiver is dropped.
pub(crate) fn follow(
    reader: Arc<Reader>,
    spec: &ChainSpec,
) -> (mpsc::Receiver<L1Sight>, watch::Receiver<RegistryState>) {
    let (views, receiver) = mpsc::channel(VIEWS_WAITING);
    let first = if spec.registry.is_some() { RegistryState::Waiting } else { RegistryState::NotConfigured };
    let (state, told) = watch::channel(first);
    let follower = Follower {
        inbox: Inbox::new(Arc::clone(&reader), spec),
        registry: spec.registry.map(|registry| Contract::at(Arc::clone(&reader), registry)),
        reader,
        report_blocks: spec.l1.report_blocks.max(1),
        done: None,
        tries: 0,
        behind: 0,
        known: None,
        failing: false,
        views,
        state,
    };
    tokio::spawn(follower.run());
    (receiver, told)
}

struct Follower {
    reader: Arc<Reader>,
    inbox: Inbox,
    registry: Option<Contract>,
    report_blocks: u64,
    /// The newest block that was read, or left out.
    done: Option<u64>,
    /// Failures to read the block after it.
    tries: u32,
    /// Looks in a row at which the endpoint was behind `done`.
    behind: u32,
    /// The newest list: equal roots have equal lists.
    known: Option<L1Sight>,
    /// Whether the operator was told that it cannot be read.
    failing: bool,
    views: mpsc::Sender<L1Sight>,
    state: watch::Sender<RegistryState>,
}

impl Follower {
    async fn run(mut self) {
        let mut pause = PAUSE.0;
        loop {
            pause = match self.look().await {
                Ok(0) => {
                    self.answers();
                    (pause * 2).min(PAUSE.1)
                }
                Ok(_) => {
                    self.failing = false;
                    PAUSE.0
                }
                Err(error) => {
                    self.failed(&error);
                    (pause * 2).min(LONGEST_BACKOFF)
                }
            };
            tokio::select! {
                () = self.views.closed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads what is to be read; gives the number of views.
    async fn look(&mut self) -> Result<usize, ReadError> {
        let finalized = self.reader.finalized().await?;
        self.watch_for_going_back(finalized.number);
        let due = due(self.done, finalized.number, self.report_blocks);
        let count = due.len();
        for (index, number) in due.into_iter().enumerate() {
            let newest = index + 1 == count;
            match self.view(number, finalized).await {
                Ok(view) => self.hand_on(view).await,
                Err(error) if self.tries + 1 >= MAX_TRIES && !newest => {
                    tracing::warn!(block = number, %error, "an L1 block cannot be read and is not reported; newer ones will be");
                }
                Err(error) => {
                    self.tries += 1;
                    return Err(error);
                }
            }
            (self.done, self.tries) = (Some(number), 0);
        }
        Ok(count)
    }

    async fn view(&self, number: u64, finalized: L1Reference) -> Result<L1Sight, ReadError> {
        let reading = timeout(VIEW_TIMEOUT, self.read(number, finalized)).await;
        reading.map_err(|_| ReadError::Slow(VIEW_TIMEOUT.as_secs()))?
    }

    async fn read(&self, number: u64, finalized: L1Reference) -> Result<L1Sight, ReadError> {
        self.reader.check_chain().await?;
        let block = if number == finalized.number { finalized } else { self.reader.block(number).await? };
        let at = At::Block(block.hash);
        let (epoch, queue) = (self.inbox.epoch(at).await?, self.inbox.queue(at).await?);
        let registry = match &self.registry {
            Some(contract) => Some(self.list(contract, at).await?),
            None => None,
        };
        Ok(L1Sight { block, registry, epoch, queue })
    }

    /// The active validators: if they are those of the view before, they are not read again.
    async fn list(&self, contract: &Contract, at: At) -> Result<Arc<Registry>, ReadError> {
        let root = contract.root(at).await?;
        let known = self.known.as_ref().and_then(|known| known.registry.as_ref());
        match known.filter(|known| known.root() == root) {
            Some(known) => Ok(Arc::clone(known)),
            None => Ok(Arc::new(contract.registry(at, root).await?)),
        }
    }

    async fn hand_on(&mut self, view: L1Sight) {
        if let Some(registry) = &view.registry {
            self.tell(view.block.number, registry);
        }
        self.known = Some(view.clone());
        // Without a receiver there is nobody to tell, and the loop ends.
        let _ = self.views.send(view).await;
    }

    fn tell(&self, block: u64, registry: &Registry) {
        let (active, root) = (registry.active().len(), registry.root());
        match self.state.send_replace(RegistryState::Ok { block, active, root }) {
            RegistryState::Ok { root: old, .. } if old == root => {
                tracing::debug!(block, "the registry on L1 is the same")
            }
            _ => tracing::info!(block, active, %root, "the registry on L1"),
        }
    }

    /// The endpoint answers, and there is nothing new.
    fn answers(&mut self) {
        let Some(known) = self.known.as_ref().filter(|_| self.tries == 0) else { return };
        if std::mem::take(&mut self.failing) {
            tracing::info!(block = known.block.number, "the L1 endpoint answers again");
        }
        let (block, registry) = (known.block.number, known.registry.as_ref());
        if let Some(registry) = registry
            && matches!(*self.state.borrow(), RegistryState::Failing { .. })
        {
            self.tell(block, registry);
        }
    }

    fn failed(&mut self, error: &ReadError) {
        let block = self.known.as_ref().map(|known| known.block.number);
        let failing = RegistryState::Failing { why: error.to_string(), block };
        if self.registry.is_some() {
            self.state.send_replace(failing);
        }
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(%error, "the contracts on L1 still cannot be read");
        } else if matches!(error, ReadError::NoContract(_)) && self.known.is_none() {
            tracing::info!(%error, "the contracts are not there yet at the newest final block of L1");
        } else {
            tracing::warn!(
                %error,
                "the contracts on L1 cannot be read; ordering goes on and the node tries again. If it stays so, check l1.endpoint"
            );
        }
    }

    /// What is final is never reverted: an endpoint that is behind what it said lags for a moment, or has lied, then or now. If
    /// it stays so, the present counts.
    fn watch_for_going_back(&mut self, finalized: u64) {
        self.behind = if self.done.is_some_and(|done| finalized < done) { self.behind + 1 } else { 0 };
        if self.behind >= LOOKS_BEFORE_GOING_BACK {
            tracing::warn!(
                block = finalized,
                said_before = self.done,
                "the L1 endpoint has gone behind a block that it called final, and stays there"
            );
            (self.done, self.behind, self.tries) = (None, 0, 0);
        }
    }
}

/// The blocks to read: after `done`, up to `finalized`, at most the newest [`MAX_CATCH_UP`]; the newest one if nothing was done yet. Ascending.
fn due(done: Option<u64>, finalized: u64, report_blocks: u64) -> Vec<u64> {
    let newest = finalized / report_blocks;
    let first = match done {
        Some(done) => (done / report_blocks).saturating_add(1),
        None => newest,
    };
    let first = first.max(newest.saturating_sub(MAX_CATCH_UP as u64 - 1)).max(1);
    let blocks = (first..=newest).map(|index| index * report_blocks);
    blocks.filter(|block| done.is_none_or(|done| *block > done)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint that once claimed a block of the far future was believed for ever: nothing was read any more.
    #[test]
    fn an_endpoint_that_stays_behind_its_own_claim_is_followed_anew() {
        let reader = Arc::new(Reader::new("http://127.0.0.1:1", 1).expect("a URL"));
        let (views, _views) = mpsc::channel(1);
        let (state, _state) = watch::channel(RegistryState::Waiting);
        let mut follower = Follower {
            inbox: Inbox::new(Arc::clone(&reader), &ChainSpec::default()),
            registry: None,
            reader,
            report_blocks: 4,
            done: Some(1 << 40),
            tries: 0,
            behind: 0,
            known: None,
            failing: false,
            views,
            state,
        };
        // One that only lags now and then is not.
        for _ in 1..LOOKS_BEFORE_GOING_BACK {
            follower.watch_for_going_back(100);
        }
        follower.watch_for_going_back(1 << 40);
        assert_eq!(follower.done, Some(1 << 40));
        for _ in 0..LOOKS_BEFORE_GOING_BACK {
            follower.watch_for_going_back(100);
        }
        assert_eq!(due(follower.done, 100, 4), [100]);
    }

    #[test]
    fn none_is_left_out_while_there_are_few_and_the_newest_ones_count() {
        assert_eq!(due(None, 99, 4), [96]);
        assert_eq!(due(None, 3, 4), [0_u64; 0]);
        assert_eq!(due(Some(96), 99, 4), [0_u64; 0]);
        assert_eq!(due(Some(96), 108, 4), [100, 104, 108]);
        // The endpoint is behind.
        assert_eq!(due(Some(96), 40, 4), [0_u64; 0]);
        let after_an_absence = due(Some(96), 4_000, 4);
        assert_eq!((after_an_absence.len(), after_an_absence.last()), (MAX_CATCH_UP, Some(&4_000)));
        // A lie is no more work than the truth.
        assert_eq!(due(Some(96), u64::MAX, 1).len(), MAX_CATCH_UP);
        assert_eq!(due(Some(u64::MAX), u64::MAX, 1), [0_u64; 0]);
    }
}
