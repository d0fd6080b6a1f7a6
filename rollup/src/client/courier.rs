//! Transactions carried until they are ordered, whichever nodes die or leave the committee meanwhile.
//!
//! A node that has taken a transaction has promised nothing: it may die, or leave the committee with it. So each transaction is kept
//! until a verified block holds it, and is sent again to the next node
//!
//! - when the session ends, for whatever reason,
//! - when the node says that it orders nothing now, or is not in the committee,
//! - when an epoch begins whose members the node is not among,
//! - when the node has had it for [`PATIENCE`] (twice as long after each time).
//!
//! **Nothing is ordered twice by that.** Two copies of a transaction are ordered once if they come within the duplicate window of each
//! other. What is sent again is in none of the blocks that were followed; and it is sent only when at most half a window of blocks is still to
//! be followed, so that a copy in one of those counts as well. What a faulty validator keeps back for longer than the window may still be
//! ordered again, by it or by anybody: that is what a rollup's nonces are for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ordering_types::transaction::{MAX_TRANSACTION_BYTES, tx_id};
use ordering_types::{RollupId, TxId, ValidatorId};
use tokio::time::{Instant, sleep_until};

use super::follow::{FollowEvent, Follower};
use super::session::SessionError;
use crate::verify::Verified;
use crate::wire::{
    MAX_CLIENT_FRAME_BYTES, MAX_SUBMIT_MANY, OrderedBlock, OrderedSection, Refusal, Refused, Submit,
};

/// Most transactions that wait to be ordered.
pub const MAX_WAITING: usize = 65_536;
/// Most bytes of them.
pub const MAX_WAITING_BYTES: usize = 64 << 20;
/// What a node has taken and is not ordered after so long goes to the next one. Long: an overloaded network is not helped by
/// sending everything twice.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The patience doubles at most so often.
const MAX_DOUBLINGS: u32 = 4;
/// What a node has no room for is offered again after so long.
const RETRY: Duration = Duration::from_secs(1);
/// What the session has no room for is offered again after so long.
const ROOM: Duration = Duration::from_millis(20);
/// Bytes of transactions in one frame; the codec's overhead fits into the rest.
const FRAME_BYTES: usize = MAX_CLIENT_FRAME_BYTES / 4;

/// Why a transaction is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// Empty, or longer than any may be.
    #[error("{0} bytes: a transaction has 1 to {MAX_TRANSACTION_BYTES}")]
    Size(usize),
    /// Its being ordered would not be seen.
    #[error("rollup {0} is not followed: name it when the follower is made")]
    NotFollowed(RollupId),
    /// The same one is on its way.
    #[error("the transaction is on its way already, as {0}")]
    OnItsWay(u64),
    /// Too many wait.
    #[error("{waiting} transactions of {bytes} bytes wait to be ordered: take events, and come back")]
    Full {
        /// How many.
        waiting: usize,
        /// Their bytes.
        bytes: usize,
    },
}

/// What a courier tells.
#[derive(Debug)]
pub enum CourierEvent {
    /// The next block.
    Ordered {
        /// It.
        block: Verified<Arc<OrderedBlock>>,
        /// Tags of the transactions in it that were carried.
        delivered: Vec<u64>,
    },
    /// No node will order this transaction; it is carried no more.
    Refused(Refused),
    /// What else the follower tells.
    Told(FollowEvent),
}

/// One transaction that is not ordered yet.
#[derive(Debug)]
struct Parcel {
    rollup: RollupId,
    data: Bytes,
    id: TxId,
    /// When something is to be done about it: to send it, or to send it to another node.
    due: Instant,
    /// Whether the present node has it.
    sent: bool,
    /// How often it was sent.
    tries: u32,
}

/// Submits through a [`Follower`].
#[derive(Debug)]
pub struct Courier {
    follower: Follower,
    parcels: BTreeMap<u64, Parcel>,
    tags: BTreeMap<(RollupId, TxId), u64>,
    /// Each parcel's `due`.
    agenda: BTreeSet<(Instant, u64)>,
    bytes: usize,
    next_tag: u64,
    told: VecDeque<CourierEvent>,
}

impl Courier {
    /// Goes where the follower goes. Make it with the rollups whose transactions are to be sent.
    pub const fn new(follower: Follower) -> Self {
        Self {
            follower,
            parcels: BTreeMap::new(),
            tags: BTreeMap::new(),
            agenda: BTreeSet::new(),
            bytes: 0,
            next_tag: 0,
            told: VecDeque::new(),
        }
    }

    /// The follower, to ask for its cursor.
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Transactions that are not ordered yet.
    pub fn waiting(&self) -> usize {
        self.parcels.len()
    }

    /// Takes a transaction, and gives the tag that [`CourierEvent`] names it by. It is sent by [`Self::next`].
    pub fn submit(&mut self, rollup: RollupId, data: Bytes) -> Result<u64, CourierError> {
        if data.is_empty() || data.len() > MAX_TRANSACTION_BYTES {
            return Err(CourierError::Size(data.len()));
        }
        if !self.follower.rollups().contains(rollup) {
            return Err(CourierError::NotFollowed(rollup));
        }
        let (waiting, bytes) = (self.parcels.len(), self.bytes);
        if waiting >= MAX_WAITING || bytes + data.len() > MAX_WAITING_BYTES {
            return Err(CourierError::Full { waiting, bytes });
        }
        let id = tx_id(&data);
        if let Some(tag) = self.tags.get(&(rollup, id)) {
            return Err(CourierError::OnItsWay(*tag));
        }
        let (tag, due) = (self.next_tag, Instant::now());
        self.next_tag += 1;
        self.bytes += data.len();
        self.tags.insert((rollup, id), tag);
        self.agenda.insert((due, tag));
        self.parcels.insert(tag, Parcel { rollup, data, id, due, sent: false, tries: 0 });
        Ok(tag)
    }

    /// Gives a transaction up. It may be ordered all the same.
    pub fn withdraw(&mut self, tag: u64) -> bool {
        let Some(parcel) = self.parcels.remove(&tag) else { return false };
        self.agenda.remove(&(parcel.due, tag));
        self.tags.remove(&(parcel.rollup, parcel.id));
        self.bytes -= parcel.data.len();
        true
    }

    /// The next event. Never ends; cancel-safe.
    pub async fn next(&mut self) -> CourierEvent {
        loop {
            if let Some(event) = self.told.pop_front() {
                return event;
            }
            let look = self.work(Instant::now());
            let told = tokio::select! {
                told = self.follower.next() => told,
                () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => continue,
            };
            self.hear(told);
        }
    }

    /// Does what is due, and says when to look again. Without a session nothing is: when one begins, all is.
    fn work(&mut self, now: Instant) -> Option<Instant> {
        let member = self.follower.with_member()?;
        let window = u64::from(self.follower.network().spec().limits.duplicate_window_blocks);
        while let Some((_, tag)) = self.agenda.first().copied().filter(|(due, _)| *due <= now) {
            if self.parcels.get(&tag).is_none_or(|parcel| parcel.sent) {
                // The present node has had it for long enough.
                self.leave(|_| SessionError::Slow);
                return None;
            }
            if !member {
                // It would be refused; but another node may be a member by and by.
                self.reschedule(tag, now + PATIENCE, true);
                continue;
            }
            if !self.follower.is_within(window / 2) {
                return Some(now + RETRY);
            }
            let frame = self.frame(now);
            let tags: Vec<u64> = frame.iter().map(|submit| submit.tag).collect();
            if self.follower.submit(frame).is_err() {
                return Some(now + ROOM);
            }
            tags.into_iter().for_each(|tag| self.sent(tag, now));
        }
        self.agenda.first().map(|(due, _)| *due)
    }

    /// What is due to be sent, as much as one frame holds.
    fn frame(&self, now: Instant) -> Vec<Submit> {
        let (mut frame, mut bytes) = (Vec::new(), 0);
        for (_, tag) in self.agenda.iter().take_while(|(due, _)| *due <= now).take(MAX_SUBMIT_MANY) {
            let Some(parcel) = self.parcels.get(tag).filter(|parcel| !parcel.sent) else { continue };
            bytes += parcel.data.len();
            if bytes > FRAME_BYTES && !frame.is_empty() {
                break;
            }
            frame.push(Submit { tag: *tag, rollup: parcel.rollup, data: parcel.data.clone() });
        }
        frame
    }

    fn sent(&mut self, tag: u64, now: Instant) {
        let Some(parcel) = self.parcels.get_mut(&tag) else { return };
        let patience = PATIENCE * (1 << parcel.tries.min(MAX_DOUBLINGS));
        parcel.tries += 1;
        self.reschedule(tag, now + patience, true);
    }

    fn reschedule(&mut self, tag: u64, due: Instant, sent: bool) {
        let Some(parcel) = self.parcels.get_mut(&tag) else { return };
        self.agenda.remove(&(parcel.due, tag));
        (parcel.due, parcel.sent) = (due, sent);
        self.agenda.insert((due, tag));
    }

    fn leave(&mut self, error: impl FnOnce(ValidatorId) -> SessionError) {
        let left = self.follower.leave(error);
        self.told.extend(left.map(CourierEvent::Told));
    }

    fn hear(&mut self, told: FollowEvent) {
        let event = match told {
            FollowEvent::Ordered(block) => {
                let delivered = self.delivered(&block);
                CourierEvent::Ordered { block, delivered }
            }
            FollowEvent::Refused(refused) => return self.refused(refused),
            FollowEvent::Connected(_) => {
                let (now, tags) = (Instant::now(), self.parcels.keys().copied().collect::<Vec<_>>());
                tags.into_iter().for_each(|tag| self.reschedule(tag, now, false));
                CourierEvent::Told(told)
            }
            other => CourierEvent::Told(other),
        };
        self.told.push_back(event);
    }

    fn delivered(&mut self, block: &OrderedBlock) -> Vec<u64> {
        if self.parcels.is_empty() {
            return Vec::new();
        }
        let ids = |section: &OrderedSection| {
            let rollup = section.rollup;
            section.content.ids().into_iter().map(move |id| (rollup, id))
        };
        let ordered = block.sections.iter().flat_map(ids);
        let tags: Vec<u64> = ordered.filter_map(|id| self.tags.get(&id).copied()).collect();
        tags.iter().for_each(|tag| _ = self.withdraw(*tag));
        tags
    }

    fn refused(&mut self, refused: Refused) {
        let Some(parcel) = self.parcels.get(&refused.tag) else { return };
        match refused.code {
            // An earlier try of ours was faster.
            Refusal::Duplicate if parcel.tries > 1 => {}
            Refusal::OverQuota | Refusal::Full => {
                self.reschedule(refused.tag, Instant::now() + RETRY, false);
            }
            Refusal::NotReady => self.leave(|_| SessionError::NotReady),
            Refusal::NotInCommittee => self.leave(SessionError::NotInCommittee),
            Refusal::Size
            | Refusal::UnknownRollup
            | Refusal::WrongChainId
            | Refusal::BadSignature
            | Refusal::Malformed
            | Refusal::Duplicate => {
                self.withdraw(refused.tag);
                self.told.push_back(CourierEvent::Refused(refused));
            }
        }
    }
}
