//! A transaction on its way, and what becomes of it.

use std::fmt;
use std::time::Duration;

use alloy::eips::eip4844::DATA_GAS_PER_BLOB;
use alloy::primitives::{B256, U256};
use ordering_types::{Epoch, Time};

use super::answers::{Place, Receipt, Snapshot};
use super::fees::Fees;

/// Which of our accounts pays. A pool reserves an account for one kind of transaction while it holds one of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// The one of the blobs, and of everything where there is no other.
    Blobs,
    /// The one of calldata, if there is one.
    Calldata,
}

impl Account {
    /// What its batches are carried by.
    pub(super) const fn usual_kind(self) -> Kind {
        match self {
            Self::Blobs => Kind::Blob,
            Self::Calldata => Kind::Plain,
        }
    }
}

impl fmt::Display for Account {
    /// The setting that names its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blobs => "keystore",
            Self::Calldata => "calldata_keystore",
        })
    }
}

/// What geth's pools keep apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With blobs (EIP-4844).
    Blob,
    /// Without (EIP-1559).
    Plain,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The first key is installed.
    FirstKey,
    /// The key of this epoch is in force.
    Epoch(Epoch),
    /// These batches are recorded.
    Batches {
        /// Their epoch.
        epoch: Epoch,
        /// The first number.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// Frames of an OP Stack rollup are in a block (see [`crate::op`]); nobody but us posts them.
    Frames,
}

impl Goal {
    /// Number of batches.
    pub fn batches(&self) -> u64 {
        match *self {
            Self::Batches { first, last, .. } => last.saturating_sub(first).saturating_add(1),
            Self::FirstKey | Self::Epoch(_) | Self::Frames => 0,
        }
    }

    /// Whether both carry one of the same batches.
    pub(super) fn overlaps(&self, other: Self) -> bool {
        match (*self, other) {
            (Self::Batches { first, last, .. }, Self::Batches { first: from, last: to, .. }) => {
                first <= to && from <= last
            }
            _ => false,
        }
    }

    /// Whether nobody needs the call any more: it is done, or another epoch's key is in force.
    pub fn is_past(&self, place: Place) -> bool {
        match *self {
            Self::FirstKey => place.number > 0,
            Self::Epoch(epoch) => place.epoch >= epoch,
            Self::Batches { epoch, last, .. } => place.number > last || place.epoch > epoch,
            Self::Frames => false,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstKey => f.write_str("the first group key"),
            Self::Epoch(epoch) => write!(f, "the handover to epoch {epoch}"),
            Self::Batches { first, last, .. } if first == last => write!(f, "batch {first}"),
            Self::Batches { first, last, .. } => write!(f, "batches {first} to {last}"),
            Self::Frames => f.write_str("frames"),
        }
    }
}

/// What the host wants on L1. The host knows by `id` which bytes it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The host's name for it.
    pub id: u64,
    /// What it is for.
    pub goal: Goal,
    /// Who pays.
    pub account: Account,
    /// With blobs or without.
    pub kind: Kind,
    /// Its gas limit.
    pub gas: u64,
    /// Its blob gas.
    pub blob_gas: u64,
}

impl Call {
    /// Its blobs.
    pub const fn blobs(&self) -> u64 {
        self.blob_gas / DATA_GAS_PER_BLOB
    }
}

/// A transaction that the host signs and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// What for.
    pub call: Call,
    /// Its nonce.
    pub nonce: u64,
    /// Its prices.
    pub fees: Fees,
    /// Whether this call was sent before.
    pub again: bool,
    /// Whether the pool had nothing wanted of ours under this nonce when it was last looked at: if its state has the call done, another batcher
    /// did it.
    pub alone: bool,
}

/// What the host is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction is in a block.
    Mined {
        /// Of this call.
        call: Call,
        /// Which.
        hash: B256,
        /// What came of it. Without success gas is burnt.
        receipt: Receipt,
    },
    /// Somebody else was first.
    Lost {
        /// With this call.
        call: Call,
    },
    /// L1 was reorganised, and what was mined is not any more.
    Reorganised {
        /// This call.
        call: Call,
    },
}

/// What is to be done about a transaction that flies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// The same bytes again, as the pool may not have them.
    Resend(Time),
    /// The pool holds something under this nonce that costs more than half of it.
    Outbid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Wanted, and in the pool as far as we know.
    Flying(Due),
    /// In the pool, but nobody needs it: another batcher was first, or an earlier run of ours left it there.
    Stranded,
    /// Its nonce is used; the receipt is not there yet. Endpoints show a block's state before its receipts, some by a tenth of a second and
    /// more.
    Taken(Time),
    /// In a block; kept for a while, as blocks come and go.
    Landed,
    /// To be forgotten.
    Gone,
}

/// One nonce of one account, and all that was sent under it for one call.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// `None` for what an earlier run left.
    pub(super) call: Option<Call>,
    pub(super) account: Account,
    pub(super) nonce: u64,
    pub(super) fees: Fees,
    /// Every version that was sent, newest last.
    pub(super) hashes: Vec<B256>,
    /// Whether whatever a pool holds under this nonce must be one of them.
    pub(super) known: bool,
    /// When its newest version was sent, or when it became the first of those that wait.
    pub(super) since: Time,
    /// Whether nothing of its account waits before it.
    pub(super) first: bool,
    pub(super) stage: Stage,
}

impl Flight {
    pub(super) fn unknown(account: Account, nonce: u64, now: Time) -> Self {
        Self {
            call: None,
            account,
            nonce,
            fees: Fees::default(),
            hashes: vec![],
            known: false,
            since: now,
            first: false,
            stage: Stage::Stranded,
        }
    }

    /// In the pool, as far as we know.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.stage, Stage::Flying(_) | Stage::Stranded)
    }

    pub(super) const fn flies(&self) -> bool {
        matches!(self.stage, Stage::Flying(_))
    }

    pub(super) fn cost(&self) -> U256 {
        self.call.map_or(U256::ZERO, |call| self.fees.cost(call.gas, call.blob_gas))
    }

    /// Compares it with L1.
    pub(super) fn observe(&mut self, now: Time, seen: &Snapshot, patience: Duration) -> Option<Event> {
        let standing = seen.accounts.get(&self.account)?;
        if self.nonce < standing.nonce {
            return self.nonce_is_used(now, seen, patience);
        }
        let in_pool = self.nonce < standing.pending;
        match self.call {
            Some(call) if !call.goal.is_past(seen.place) => self.is_wanted(now, call, in_pool),
            call => {
                let before = std::mem::replace(&mut self.stage, Stage::Stranded);
                if !in_pool {
                    self.stage = Stage::Gone;
                } else if call.is_some() && !self.known {
                    // What the pool has may be something that we do not know, and that it never got past.
                    (self.call, self.since) = (None, now);
                }
                call.filter(|_| before != Stage::Stranded).map(|call| Event::Lost { call })
            }
        }
    }

    fn nonce_is_used(&mut self, now: Time, seen: &Snapshot, patience: Duration) -> Option<Event> {
        let receipt = |hash: &B256| seen.receipts.get(hash).map(|receipt| (*hash, *receipt));
        let found = self.hashes.iter().rev().find_map(receipt);
        match (self.stage, self.call, found) {
            (Stage::Landed, ..) => None,
            (_, Some(call), Some((hash, receipt))) => {
                self.stage = Stage::Landed;
                Some(Event::Mined { call, hash, receipt })
            }
            (Stage::Taken(since), Some(call), None) if now.since(since) >= patience => {
                self.stage = Stage::Gone;
                Some(Event::Lost { call })
            }
            (Stage::Taken(_), Some(_), None) => None,
            (_, Some(_), None) if !self.hashes.is_empty() => {
                self.stage = Stage::Taken(now);
                None
            }
            _ => {
                self.stage = Stage::Gone;
                None
            }
        }
    }

    /// After a reorganisation what the pool has kept flies again. What it lacks is wanted anew, like anything that L1 lacks: in the order, at
    /// the nonce and by the carrier that fit what L1 has become.
    fn is_wanted(&mut self, now: Time, call: Call, in_pool: bool) -> Option<Event> {
        let before = self.stage;
        self.stage = match before {
            // Whatever was to be outbid is gone, and nothing of this call was ever accepted.
            Stage::Flying(Due::Outbid) if !in_pool && self.hashes.is_empty() => Stage::Gone,
            Stage::Flying(Due::Nothing | Due::Outbid) if !in_pool => Stage::Flying(Due::Resend(now)),
            Stage::Flying(due) => Stage::Flying(due),
            Stage::Stranded if in_pool => Stage::Flying(Due::Nothing),
            _ if in_pool => {
                self.since = now;
                Stage::Flying(Due::Nothing)
            }
            _ => Stage::Gone,
        };
        (before == Stage::Landed).then_some(Event::Reorganised { call })
    }
}
