//! What L1 lacks, of what the nodes have.

use std::sync::Arc;
use std::time::Duration;

use batcher_format::SealedBatch;
use batcher_format::batch::MAX_INLINE_BYTES;
use ordering_types::{Digest, Epoch};
use rollup::client::Nodes;
use rollup::inbox::digest;
use rollup::verify::Verified;
use tokio::task::JoinError;

use crate::l1::{InboxView, Task, TaskError};
use crate::txm::Pause;

/// Why nothing can be posted now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    L1(#[from] rollup::l1::RpcError),
    #[error("the L1 endpoint is of chain {got}, the chain specification says {expected}: point it elsewhere")]
    WrongChain { expected: u64, got: u64 },
    #[error("nodes: {0}")]
    Nodes(#[from] rollup::client::RequestError),
    #[error(
        "batch {number} of the nodes continues {nodes}, L1 has {l1}: the L1 was reorganised, or it is another network's"
    )]
    Parent { number: u64, nodes: Digest, l1: Digest },
    #[error(
        "batch {number} of the nodes is of epoch {nodes}, L1 has the key of epoch {l1}, and no handover leads from there to batch {number}"
    )]
    Epoch { number: u64, nodes: Epoch, l1: Epoch },
    #[error("{0}")]
    Task(#[from] TaskError),
    #[error("worker thread: {0}")]
    Worker(#[from] JoinError),
    #[error("{0}")]
    Simulation(String),
    #[error("the contract refuses {what}: {why}")]
    Rejected { what: Task, why: String },
    #[error("{0}")]
    Pause(#[from] Pause),
}

/// What comes next.
pub(crate) enum Lack {
    /// The first key, or a handover.
    Call(Task),
    /// At least one batch, in order.
    Batches {
        batches: Vec<Arc<SealedBatch>>,
        /// Whether more would not fit into one transaction.
        full: bool,
    },
}

/// The nodes, and how long they are asked for what is not needed at once.
pub(crate) struct Source {
    pub(crate) nodes: Nodes,
    pub(crate) patience: Duration,
}

impl Source {
    /// What L1 takes next; or, with `ahead`, what it takes after the batch before that number, which has that id and is on its way.
    pub(crate) async fn next(
        &self,
        view: InboxView,
        ahead: Option<(u64, Digest)>,
        blob_limit: usize,
    ) -> Result<Option<Lack>, Trouble> {
        let Some(key) = view.key else {
            let founding = self.nodes.founding().await?;
            return Ok(founding.map(|founding| Lack::Call(Task::initialise(&founding))));
        };
        // L1 decides whose signatures count: what came before need not be learnt, and the members may have replaced a key.
        self.nodes.trust(view.epoch, key, None);
        let (number, parent) = ahead.unwrap_or((view.next_number, digest(view.last_id)));
        match self.nodes.sealed(number).await? {
            Some(batch) if batch.header.epoch == view.epoch => {
                let nodes = batch.header.parent;
                if nodes != parent {
                    return Err(Trouble::Parent { number, nodes, l1: parent });
                }
                Ok(Some(self.with_more(batch, blob_limit).await))
            }
            // A handover has to be mined before what follows on it is simulated.
            _ if ahead.is_some() => Ok(None),
            batch => self.handover(view, batch.map(|batch| batch.header.epoch)).await,
        }
    }

    /// This batch and those that the nodes have after it, of its epoch, as many as one transaction carries: L1 is behind. Whoever holds the
    /// others back, or lies about them, does not hold this one back.
    async fn with_more(&self, first: Verified<Arc<SealedBatch>>, blob_limit: usize) -> Lack {
        let until = tokio::time::Instant::now() + self.patience;
        let (mut number, epoch) = (first.header.number, first.header.epoch);
        let (mut blobs, mut inline) = (first.encoded.commitments.len(), first.encoded.inline.len());
        let mut batches = vec![Arc::clone(&first)];
        let mut full = blobs >= blob_limit;
        while !full {
            number += 1;
            let asked = tokio::time::timeout_at(until, self.nodes.sealed(number)).await;
            let Ok(Ok(Some(next))) = asked else { break };
            if next.header.epoch != epoch {
                break;
            }
            blobs += next.encoded.commitments.len();
            inline += next.encoded.inline.len();
            full = blobs >= blob_limit || inline > MAX_INLINE_BYTES;
            if blobs > blob_limit || inline > MAX_INLINE_BYTES {
                break;
            }
            batches.push(Arc::clone(&next));
        }
        Lack::Batches { batches, full }
    }

    /// The handover that L1 takes before its next batch, which is of the epoch `of` as far as the nodes have it.
    async fn handover(&self, view: InboxView, of: Option<Epoch>) -> Result<Option<Lack>, Trouble> {
        let succession = self.nodes.handover(view.epoch.next()).await?;
        let number = view.next_number;
        match (succession.filter(|next| next.signed.handover.first_batch == number), of) {
            (Some(next), _) => Ok(Some(Lack::Call(Task::rotate(&next.signed)?))),
            (None, Some(nodes)) => Err(Trouble::Epoch { number, nodes, l1: view.epoch }),
            (None, None) => Ok(None),
        }
    }
}
