//! The contract's events, in order, read in bounded ranges.

use std::collections::VecDeque;

use alloy::primitives::{B256, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use batcher_format::BatchHeader;
use batcher_format::batch::Carrier;
use bytes::Bytes;
use ordering_types::{Address, Digest, Epoch, ForcedEntry, Height, RollupId};
use serde_json::json;

use crate::inbox::ISequencerInbox::{
    BatchData, BatchPosted, Escaped, ForcedEnqueued, Initialised, Recovered, Rotated,
};
use crate::inbox::digest;
use crate::l1::{Rpc, RpcError};

/// Most L1 blocks that one `eth_getLogs` asks about (public endpoints allow about as much).
pub const MAX_LOG_RANGE: u64 = 2_000;

/// Where and when L1 has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block_hash: B256,
    pub(super) block_number: u64,
    pub(super) transaction: B256,
}

/// One event of the contract.
#[derive(Clone, Debug)]
pub(super) enum InboxEvent {
    Key(KeyEvent),
    Posted(Posted),
    /// All batches so far take effect, and then the entries of the queue from the one index up to the other.
    Escaped {
        from: u64,
        to: u64,
    },
    /// Another entry of the queue.
    Enqueued {
        index: u64,
        entry: ForcedEntry,
        accumulator: Digest,
    },
}

/// A key that took effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyEvent {
    Initialised(Point),
    Next(NextKey),
}

/// How a key takes the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// That one handed over to it.
    Rotated,
    /// The members put it in, after a silence.
    Recovered,
}

/// Coordinates of a group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: U256,
    pub(super) y: U256,
}

/// The key of a new epoch, and where that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NextKey {
    pub(super) change: Change,
    pub(super) epoch: Epoch,
    pub(super) point: Point,
    pub(super) first_batch: u64,
    pub(super) first_height: Height,
    pub(super) committee: Digest,
}

/// A batch that was recorded.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    pub(super) number: u64,
    pub(super) id: Digest,
    pub(super) header: BatchHeader,
    pub(super) carrier: Carrier,
    /// Its payload, if the call itself carried it.
    pub(super) payload: Option<Bytes>,
    /// It has no effect yet.
    pub(super) pending: bool,
}

/// The queue of events that were read and not yet handed out.
#[derive(Debug)]
pub(super) struct Logs {
    inbox: Address,
    next_block: u64,
    queue: VecDeque<Log>,
    /// The payload that was logged last: that of the batch that is logged next.
    data: Option<Data>,
}

/// A payload in the log.
#[derive(Debug)]
struct Data {
    transaction: B256,
    number: u64,
    payload: Bytes,
}

impl Data {
    fn of(&self, place: &Place, posted: &Posted) -> bool {
        self.transaction == place.transaction && self.number == posted.number
    }
}

impl Logs {
    pub(super) const fn new(inbox: Address, first_block: u64) -> Self {
        Self { inbox, next_block: first_block, queue: VecDeque::new(), data: None }
    }

    /// The next event up to the L1 block `head`, or `None` when there is none.
    pub(super) async fn next(
        &mut self,
        rpc: &Rpc,
        head: u64,
    ) -> Result<Option<(Place, InboxEvent)>, RpcError> {
        loop {
            while let Some(log) = self.queue.pop_front() {
                match read(&log) {
                    Some((place, Read::Data { number, payload })) => {
                        self.data = Some(Data { transaction: place.transaction, number, payload });
                    }
                    Some((place, Read::Event(event))) => {
                        return Ok(Some((place, self.complete(&place, *event))));
                    }
                    None => {}
                }
            }
            if self.next_block > head {
                return Ok(None);
            }
            let to = head.min(self.next_block.saturating_add(MAX_LOG_RANGE - 1));
            let filter = json!([{
                "address": self.inbox.to_string(),
                "fromBlock": format!("{:#x}", self.next_block),
                "toBlock": format!("{to:#x}"),
                "topics": [[
                    BatchPosted::SIGNATURE_HASH,
                    BatchData::SIGNATURE_HASH,
                    Escaped::SIGNATURE_HASH,
                    ForcedEnqueued::SIGNATURE_HASH,
                    Initialised::SIGNATURE_HASH,
                    Rotated::SIGNATURE_HASH,
                    Recovered::SIGNATURE_HASH,
                ]],
            }]);
            self.queue = rpc.call::<VecDeque<Log>>("eth_getLogs", filter).await?;
            self.next_block = to + 1;
        }
    }

    /// With the payload that was logged before it, if that is its own.
    fn complete(&mut self, place: &Place, event: InboxEvent) -> InboxEvent {
        let data = self.data.take();
        match event {
            InboxEvent::Posted(posted) => {
                let own = data.filter(|data| data.of(place, &posted));
                InboxEvent::Posted(Posted { payload: own.map(|data| data.payload), ..posted })
            }
            other => other,
        }
    }
}

/// What one log says.
enum Read {
    Event(Box<InboxEvent>),
    /// The payload of the batch that is logged next.
    Data {
        number: u64,
        payload: Bytes,
    },
}

/// For fuzz targets.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_log(log: &Log) {
    let _ = read(log);
}

/// `None` for what is not the contract's event in a mined block: a node that serves such a log is ignored.
fn read(log: &Log) -> Option<(Place, Read)> {
    if log.removed {
        return None;
    }
    let place = Place {
        block_hash: log.block_hash?,
        block_number: log.block_number?,
        transaction: log.transaction_hash?,
    };
    Some((place, read_event(log)?))
}

fn read_event(log: &Log) -> Option<Read> {
    Some(Read::Event(Box::new(match *log.topic0()? {
        BatchData::SIGNATURE_HASH => {
            let event = BatchData::decode_log(&log.inner).ok()?.data;
            return Some(Read::Data { number: event.number, payload: event.payload.0 });
        }
        Escaped::SIGNATURE_HASH => {
            let Escaped { from, to, .. } = Escaped::decode_log(&log.inner).ok()?.data;
            InboxEvent::Escaped { from, to }
        }
        ForcedEnqueued::SIGNATURE_HASH => {
            let event = ForcedEnqueued::decode_log(&log.inner).ok()?.data;
            InboxEvent::Enqueued {
                index: event.index,
                entry: ForcedEntry { rollup: RollupId::new(event.rollup), data: event.data.0 },
                accumulator: digest(event.accumulator),
            }
        }
        BatchPosted::SIGNATURE_HASH => {
            let event = BatchPosted::decode_log(&log.inner).ok()?.data;
            InboxEvent::Posted(Posted {
                number: event.number,
                id: digest(event.id),
                header: (&event.header).into(),
                carrier: Carrier {
                    blob_hashes: event.blobHashes.into_iter().map(digest).collect(),
                    calldata_hash: digest(event.calldataHash),
                    inline_hash: digest(event.inlineHash),
                },
                payload: None,
                pending: event.pending,
            })
        }
        Rotated::SIGNATURE_HASH => {
            let event = Rotated::decode_log(&log.inner).ok()?.data;
            InboxEvent::Key(KeyEvent::Next(NextKey {
                change: Change::Rotated,
                epoch: Epoch::new(event.epoch),
                point: Point { x: event.x, y: event.y },
                first_batch: event.firstBatch,
                first_height: Height::new(event.firstHeight),
                committee: digest(event.committeeHash),
            }))
        }
        Recovered::SIGNATURE_HASH => {
            let event = Recovered::decode_log(&log.inner).ok()?.data;
            InboxEvent::Key(KeyEvent::Next(NextKey {
                change: Change::Recovered,
                epoch: Epoch::new(event.epoch),
                point: Point { x: event.x, y: event.y },
                first_batch: event.firstBatch,
                first_height: Height::new(event.firstHeight),
                committee: digest(event.committeeHash),
            }))
        }
        _ => {
            let event = Initialised::decode_log(&log.inner).ok()?.data;
            InboxEvent::Key(KeyEvent::Initialised(Point { x: event.keyX, y: event.keyY }))
        }
    })))
}
