//! What L1 lacks next, since when it could have had it, and what will carry it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use batcher_format::SealedBatch;
use ordering_types::Time;

use crate::carrier::Load;
use crate::l1::Task;
use crate::lacking::Lack;
use crate::turn::Rotation;
use crate::txm::{Account, Kind, Market, Place};

/// The next call, if its time has come.
pub(super) struct Candidate {
    /// What L1 takes then.
    pub(super) place: Place,
    /// Since when it can be posted: it is there, L1 takes it next, and nothing was in our way since.
    since: Time,
    /// After another batcher's transaction was seen in the pool: it gets as long as a batcher whose turn it is.
    pub(super) not_before: Time,
    /// There is nobody to wait for.
    pressing: bool,
    pub(super) content: Content,
}

/// What a candidate follows on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Whatever L1 has.
    L1,
    /// Batches of ours that are on their way.
    OnItsWay,
    /// A handover of ours: if it was another batcher's turn, that one is away.
    OurHandover,
}

impl After {
    /// Whether no other batcher is waited for. Batches that follow on others of ours and fill a transaction show that L1 is far behind, and nobody else
    /// could send them.
    const fn is_pressing(self, full: bool) -> bool {
        match self {
            Self::L1 => false,
            Self::OnItsWay => full,
            Self::OurHandover => true,
        }
    }
}

/// A call, or what becomes one when it is known what carries it.
pub(super) enum Content {
    Call(Task),
    Batches {
        batches: Vec<Arc<SealedBatch>>,
        /// With cell proofs, which cost a third of a second a blob: made when its time is near.
        in_blobs: Option<Task>,
        /// The first one alone, where there is an account for it and it fits.
        in_calldata: Option<Task>,
    },
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Call(task) => task.fmt(f),
            Content::Batches { batches, .. } => match batches.as_slice() {
                [one] => write!(f, "batch {}", one.header.number),
                all => write!(f, "{} batches", all.len()),
            },
        }
    }
}

impl Candidate {
    /// What L1 takes at this place. `since`: now.
    pub(super) fn new(place: Place, since: Time, lack: Lack, may_use_calldata: bool, after: After) -> Self {
        let (content, pressing) = match lack {
            Lack::Call(task) => (Content::Call(task), false),
            Lack::Batches { batches, full } => {
                let first = batches.first().filter(|_| may_use_calldata);
                // A malformed signature is found out with the blobs, too.
                let in_calldata = first.and_then(|first| Task::post_in_calldata(first).ok().flatten());
                (Content::Batches { batches, in_blobs: None, in_calldata }, after.is_pressing(full))
            }
        };
        Self { place, since, not_before: since, pressing, content }
    }

    /// How long until it is our turn.
    pub(super) fn wait(&self, now: Time, rotation: &Rotation) -> Duration {
        let delay =
            if self.pressing { Duration::ZERO } else { rotation.delay(self.place.number, self.blobs()) };
        (self.since + delay).max(self.not_before).since(now)
    }

    /// What kept us from posting most likely kept the others from it, too: whose turn it is has its time from now on.
    pub(super) fn held_up(&mut self, now: Time) {
        self.since = self.since.max(now);
    }

    /// Those that it would go out with.
    pub(super) fn blobs(&self) -> usize {
        match &self.content {
            Content::Call(_) => 0,
            Content::Batches { batches, .. } => count_blobs(batches),
        }
    }

    /// What could be sent at these prices, beside what flies already; `None` if it has no such form, or that is not prepared.
    pub(super) fn ready(&self, market: Market, beside: Option<(Account, Kind)>) -> Option<Task> {
        match &self.content {
            Content::Call(task) => Some(task.clone()),
            Content::Batches { in_blobs, in_calldata, .. } => match self.kind(market, beside) {
                Kind::Blob => in_blobs.clone(),
                Kind::Plain => in_calldata.clone(),
            },
        }
    }

    /// The batches whose proofs are to be made.
    pub(super) fn unprepared(
        &self,
        market: Market,
        beside: Option<(Account, Kind)>,
    ) -> Option<Vec<Arc<SealedBatch>>> {
        match &self.content {
            Content::Batches { batches, in_blobs: None, .. } if self.kind(market, beside) == Kind::Blob => {
                Some(batches.clone())
            }
            _ => None,
        }
    }

    pub(super) fn prepared(&mut self, task: Option<Task>) {
        if let Content::Batches { in_blobs, .. } = &mut self.content {
            *in_blobs = task;
        }
    }

    /// What carries it: whatever carries those that fly, or the cheaper.
    pub(super) fn kind(&self, market: Market, beside: Option<(Account, Kind)>) -> Kind {
        let Content::Batches { batches, in_calldata, .. } = &self.content else { return Kind::Plain };
        if let Some((_, kind)) = beside {
            return kind;
        }
        let cheaper = in_calldata.as_ref().zip(batches.first()).is_some_and(|(task, first)| {
            let encoded = &first.encoded;
            let calldata = task.load(encoded.payload.len() + encoded.inline.len());
            calldata.is_cheaper_than(&in_blobs(batches), &market)
        });
        if cheaper { Kind::Plain } else { Kind::Blob }
    }
}

fn count_blobs(batches: &[Arc<SealedBatch>]) -> usize {
    batches.iter().map(|batch| batch.encoded.commitments.len()).sum()
}

fn in_blobs(batches: &[Arc<SealedBatch>]) -> Load {
    let blobs = count_blobs(batches) as u64;
    let bytes = batches.iter().map(|batch| batch.encoded.payload.len()).sum();
    let inline = batches.iter().map(|batch| batch.encoded.inline.len()).sum();
    Load::in_blobs(batches.len() as u64, blobs * crate::l1::GAS_PER_BLOB, bytes, inline)
}
