//! `SequencerInbox`, read at one block, and its forced-inclusion queue, read from its logs.

use std::sync::Arc;

use alloy::primitives::Address;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use ordering_types::{
    ChainSpec, Digest, Epoch, ForcedEntry, ForcedMessage, ForcedTelling, QueueMark, RollupId,
};
use rollup::inbox::ISequencerInbox::{
    ForcedEnqueued, committeeHashCall, epochCall, lastBatchCall, queueCall,
};
use rollup::inbox::digest;

use super::reader::{At, ReadError, Reader};

/// Most L1 blocks that one `eth_getLogs` asks about. Where that is too much for the endpoint, fewer are asked for.
const MAX_LOG_RANGE: u64 = 2_000;
/// Most questions about logs for one message: some months of L1 blocks, or a hundred thousand entries.
const MAX_LOG_QUESTIONS: usize = 1_000;

/// The inbox of a network, through one endpoint.
#[derive(Debug)]
pub(crate) struct Inbox {
    reader: Arc<Reader>,
    address: Address,
    /// An entry of the queue, by its index, and an L1 block before which there is none that comes after it.
    known: Option<(u64, u64)>,
    range: u64,
}

/// A log as an entry of the queue; `None` for what is none.
fn entry(log: &Log) -> Option<(u64, ForcedEntry)> {
    let event = ForcedEnqueued::decode_log(&log.inner).ok().filter(|_| !log.removed)?.data;
    Some((event.index, ForcedEntry { rollup: RollupId::new(event.rollup), data: event.data.0 }))
}

impl Inbox {
    /// That of the genesis file. Nothing is asked yet.
    pub(crate) fn new(reader: Arc<Reader>, spec: &ChainSpec) -> Self {
        Self { reader, address: Address::from(*spec.inbox.as_bytes()), known: None, range: MAX_LOG_RANGE }
    }

    /// Whose key it has.
    pub(crate) async fn epoch(&self, at: At) -> Result<Epoch, ReadError> {
        Ok(Epoch::new(self.reader.read(self.address, epochCall {}, at).await?))
    }

    /// The hash of the committee in office.
    pub(crate) async fn committee_hash(&self, at: At) -> Result<Digest, ReadError> {
        Ok(digest(self.reader.read(self.address, committeeHashCall {}, at).await?))
    }

    /// Whether the endpoint serves the chain of the genesis file.
    pub(crate) async fn check_chain(&self) -> Result<(), ReadError> {
        self.reader.check_chain().await
    }

    /// Number of the newest batch that it has; 0 before the first.
    pub(crate) async fn last_batch(&self, at: At) -> Result<u64, ReadError> {
        Ok(self.reader.read(self.address, lastBatchCall {}, at).await?.number)
    }

    /// The whole queue.
    pub(crate) async fn queue(&self, at: At) -> Result<QueueMark, ReadError> {
        let queue = self.reader.read(self.address, queueCall {}, at).await?;
        Ok(QueueMark { count: queue.count, accumulator: digest(queue.accumulator) })
    }

    /// What is to be told of the queue between the two, of which the second is agreed on.
    pub(crate) async fn telling(
        &mut self,
        from: QueueMark,
        to: QueueMark,
    ) -> Result<ForcedMessage, ReadError> {
        let head = self.reader.finalized().await?.number;
        let mut questions = MAX_LOG_QUESTIONS;
        let mut next = self.beginning(from.count, head, &mut questions).await?;
        let mut telling = ForcedTelling::after(from);
        while telling.end().count < to.count && next <= head {
            let (logs, last) = self.logs(next, head, &mut questions).await?;
            for (index, entry) in logs.iter().filter_map(entry) {
                if index == telling.end().count && index < to.count {
                    telling.push(entry);
                }
            }
            if telling.end().count == from.count {
                self.known = Some((from.count, last + 1));
            }
            next = last + 1;
        }
        let is_good = telling.end() == to;
        telling.finish().filter(|_| is_good).ok_or_else(|| {
            self.known = None;
            ReadError::Queue
        })
    }

    /// A block before which there is no entry from this index on: where reading came to before, or found by going back from the head.
    async fn beginning(&mut self, index: u64, head: u64, questions: &mut usize) -> Result<u64, ReadError> {
        if let Some((known, block)) = self.known.filter(|(known, _)| *known <= index) {
            tracing::debug!(known, block, "the queue is read on from here");
            return Ok(block);
        }
        let mut end = head;
        loop {
            let first = end.saturating_sub(self.range - 1);
            let (logs, _) = self.logs_within(first, end, questions).await?;
            let oldest = logs.iter().filter_map(entry).map(|(index, _)| index).min();
            if first == 0 || oldest.is_some_and(|oldest| oldest <= index) {
                self.known = Some((oldest.unwrap_or_default(), first));
                return Ok(first);
            }
            end = first - 1;
        }
    }

    /// Logs of the queue from a block on, and up to which block.
    async fn logs(
        &mut self,
        from: u64,
        head: u64,
        questions: &mut usize,
    ) -> Result<(Vec<Log>, u64), ReadError> {
        let to = head.min(from.saturating_add(self.range - 1));
        self.logs_within(from, to, questions).await
    }

    /// The same; where that is too much at once, up to an earlier block.
    async fn logs_within(
        &mut self,
        from: u64,
        mut to: u64,
        questions: &mut usize,
    ) -> Result<(Vec<Log>, u64), ReadError> {
        loop {
            *questions = questions.checked_sub(1).ok_or(ReadError::Queue)?;
            match self.reader.logs(self.address, ForcedEnqueued::SIGNATURE_HASH, (from, to)).await {
                Ok(logs) => {
                    self.range = self.range.saturating_mul(2).min(MAX_LOG_RANGE);
                    return Ok((logs, to));
                }
                Err(error) if from == to => return Err(error),
                Err(error) => {
                    self.range = (to - from).div_ceil(2).max(1);
                    to = from + self.range - 1;
                    tracing::debug!(%error, range = self.range, "logs of the queue: fewer blocks at once");
                }
            }
        }
    }
}
