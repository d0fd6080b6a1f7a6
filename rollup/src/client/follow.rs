//! Every ordered block once, in order, whichever nodes die or leave meanwhile.
//!
//! Nodes of the present committee are preferred: others may have no new blocks, and take no transactions. Who says of itself that it is
//! no member is passed over, and who turns out to be none when an epoch begins is left. When all are such the follower says so, and
//! takes what there is.

use std::sync::Arc;
use std::time::Duration;

use ordering_types::{Digest, Epoch, Height, PublicKey, ValidatorId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connect::{ConnectError, Connector};
use super::learn::Learnt;
use super::session::{Event, Events, Session, SessionError, Submitter};
use super::stranded::Stranded;
use crate::verify::{Network, Verified};
use crate::wire::{Certified, OrderedBlock, Refused, Rollups, Submit, Subscription};

/// Pause after a full turn over all endpoints without a session.
const PAUSE: Duration = Duration::from_millis(500);
/// Frames of submissions that wait to be written.
const WAITING_FRAMES: usize = 16;

/// What a follower tells.
#[derive(Debug)]
pub enum FollowEvent {
    /// The next block.
    Ordered(Verified<Arc<OrderedBlock>>),
    /// A soft confirmation; they come in any order, and again after a change of nodes.
    Certified(Verified<Certified>),
    /// A session began.
    Connected(ValidatorId),
    /// A session ended or did not begin; the next endpoint is tried.
    Lost {
        /// Which node.
        endpoint: String,
        /// Why.
        error: SessionError,
    },
    /// No configured node is in the committee any more: other addresses are needed. Told once a turn over all of them; what they still
    /// have is followed.
    Stranded(Stranded),
    /// A submission is not taken; see [`Courier`](super::Courier).
    Refused(Refused),
}

/// A session, its writing in a task of its own.
#[derive(Debug)]
struct Open {
    validator: ValidatorId,
    key: PublicKey,
    member: bool,
    /// The newest height when the session began.
    height: Height,
    events: Events,
    frames: mpsc::Sender<Vec<Submit>>,
    writer: JoinHandle<()>,
}

impl Open {
    fn new(session: Session) -> Self {
        let (validator, key) = (session.validator(), session.key());
        let (member, height) = (session.is_member(), session.height());
        let (submitter, events) = session.split();
        let (frames, waiting) = mpsc::channel(WAITING_FRAMES);
        let writer = tokio::spawn(write(submitter, waiting));
        Self { validator, key, member, height, events, frames, writer }
    }
}

impl Drop for Open {
    /// With the submitter goes the connection, also if the node takes nothing more.
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// Ends with the queue; when the node does not take them any more, the reading side says why.
async fn write(mut submitter: Submitter, mut waiting: mpsc::Receiver<Vec<Submit>>) {
    while let Some(frame) = waiting.recv().await {
        if submitter.submit_many(frame).await.is_err() {
            return;
        }
    }
}

/// Follows the order over several nodes. Needs no trust in any of them.
#[derive(Debug)]
pub struct Follower {
    network: Network,
    connector: Connector,
    endpoints: Vec<String>,
    turn: usize,
    subscription: Subscription,
    learnt: Learnt,
    /// Header hash of the block before the next one.
    tip: Option<Digest>,
    /// The newest block's.
    epoch: Epoch,
    session: Option<Open>,
    failures: usize,
    /// Nodes outside the committee that were passed over in this turn.
    outside: usize,
    /// There are only such: they will do.
    settled: bool,
}

impl Follower {
    /// From `from` on (the first block has height 1). `data`: whole transactions, not only ids.
    pub fn new(
        network: Network,
        endpoints: Vec<String>,
        rollups: Rollups,
        from: Height,
        data: bool,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            connector: Connector::new()?,
            learnt: Learnt::new(&network),
            network,
            endpoints,
            turn: 0,
            subscription: Subscription { rollups, from: Some(from), data, certified: true },
            tip: None,
            epoch: Epoch::new(0),
            session: None,
            failures: 0,
            outside: 0,
            settled: false,
        })
    }

    /// The height that comes next: where a restarted follower goes on.
    pub fn cursor(&self) -> Height {
        self.subscription.from.unwrap_or(Height::ZERO)
    }

    /// The next event. Never ends; cancel-safe.
    pub async fn next(&mut self) -> FollowEvent {
        loop {
            let Some(session) = &mut self.session else {
                if let Some(event) = self.connect().await {
                    return event;
                }
                continue;
            };
            if !session.member && !self.settled {
                let left = SessionError::NotInCommittee(session.validator);
                return self.lose(left);
            }
            match session.events.next().await {
                Ok(Event::Ordered(block)) => match self.accept(block) {
                    Ok(Some(block)) => return FollowEvent::Ordered(block),
                    Ok(None) => {}
                    Err(error) => return self.lose(error),
                },
                Ok(Event::Certified(certified)) => return FollowEvent::Certified(certified),
                Ok(Event::Refused(refused)) => return FollowEvent::Refused(refused),
                Err(error) => return self.lose(error),
            }
        }
    }

    async fn connect(&mut self) -> Option<FollowEvent> {
        if !self.settled && self.outside > 0 && self.outside + self.failures >= self.endpoints.len() {
            // Nodes that all pass their clients on must not be asked as fast as they can.
            tokio::time::sleep(PAUSE).await;
            self.settled = true;
            let stranded = Stranded::new(&self.network, &self.learnt, self.outside, self.failures);
            return Some(FollowEvent::Stranded(stranded));
        }
        if self.failures >= self.endpoints.len() {
            tokio::time::sleep(PAUSE).await;
            self.failures = 0;
        }
        let endpoint = self.endpoints.get(self.turn)?.clone();
        let wanted = Some(self.subscription.clone());
        let learnt = self.learnt.clone();
        let opened = Session::open_knowing(&self.connector, &endpoint, &self.network, wanted, learnt);
        match opened.await {
            Ok(session) if session.is_member() || self.settled => {
                let session = self.session.insert(Open::new(session));
                Some(FollowEvent::Connected(session.validator))
            }
            Ok(session) => {
                self.outside += 1;
                Some(self.go_on(SessionError::NotInCommittee(session.validator())))
            }
            Err(error) => {
                self.failures += 1;
                Some(self.go_on(error))
            }
        }
    }

    /// Takes a verified block if it is the next one.
    fn accept(
        &mut self,
        block: Verified<Arc<OrderedBlock>>,
    ) -> Result<Option<Verified<Arc<OrderedBlock>>>, SessionError> {
        let header = &block.header;
        let expected = self.cursor();
        if header.height < expected {
            return Ok(None);
        }
        let continues = self.tip.is_none_or(|tip| tip == header.parent);
        let complete = block
            .rollups
            .iter()
            .filter(|line| self.subscription.rollups.contains(line.rollup))
            .all(|line| block.sections.iter().any(|section| section.rollup == line.rollup));
        if header.height > expected || !continues || !complete {
            return Err(SessionError::OutOfTurn("a block that leaves something out"));
        }
        self.tip = Some(header.hash());
        self.subscription.from = Some(expected.next());
        self.failures = 0;
        self.look_at_epoch(header.epoch, header.height);
        Ok(Some(block))
    }

    /// With an epoch that begins now the node may have left. One that is caught up with says nothing of the present.
    fn look_at_epoch(&mut self, epoch: Epoch, height: Height) {
        let Some(session) = &mut self.session else { return };
        if epoch > self.epoch && height > session.height {
            let member = self.learnt.is_member(&self.network, epoch, &session.key);
            session.member = member.unwrap_or(session.member);
        }
        self.epoch = epoch;
    }

    /// Whether the session's node is in the committee, as far as is known; `None` while there is no session.
    pub(super) fn with_member(&self) -> Option<bool> {
        self.session.as_ref().map(|session| session.member)
    }

    /// Whether all is known that was ordered up to so many blocks before the session began, by the node's word.
    pub(super) fn is_within(&self, blocks: u64) -> bool {
        let begun = self.session.as_ref().map_or(Height::ZERO, |session| session.height);
        self.cursor().get().saturating_add(blocks) > begun.get()
    }

    /// What is followed.
    pub(super) const fn rollups(&self) -> &Rollups {
        &self.subscription.rollups
    }

    /// The network.
    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    /// Hands a frame to the session's node; it comes back if there is no session, or no room.
    pub(super) fn submit(&self, frame: Vec<Submit>) -> Result<(), Vec<Submit>> {
        let Some(session) = &self.session else { return Err(frame) };
        session.frames.try_send(frame).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// Leaves the session's node for the next one.
    pub(super) fn leave(&mut self, error: impl FnOnce(ValidatorId) -> SessionError) -> Option<FollowEvent> {
        let validator = self.session.as_ref()?.validator;
        Some(self.lose(error(validator)))
    }

    /// A session ended: who is a member now is to be seen again.
    fn lose(&mut self, error: SessionError) -> FollowEvent {
        self.session = None;
        self.failures += 1;
        (self.outside, self.settled) = (0, false);
        self.go_on(error)
    }

    fn go_on(&mut self, error: SessionError) -> FollowEvent {
        let endpoint = self.endpoints.get(self.turn).cloned().unwrap_or_default();
        self.turn = (self.turn + 1) % self.endpoints.len().max(1);
        FollowEvent::Lost { endpoint, error }
    }
}
