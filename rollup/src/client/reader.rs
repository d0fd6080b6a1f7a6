//! The reading side of a session: everything is verified in a task of its own, so that a caller may drop its wait at any time.
//!
//! A block is checked with the members of its epoch. The outgoing committee hands over to them just after the switch: the first
//! block of an epoch may come before its handover, and then it is waited for, with all that comes behind.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::Epoch;
use quinn::RecvStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::learn::Learner;
use super::link::LinkError;
use super::session::{Event, SessionError};
use crate::verify::{Keys, UnknownEpoch, Verified, VerifyError};
use crate::wire::{self, Certified, FrameError, NodeMessage, OrderedBlock};

/// A node that does not have a handover yet is asked for it again after so long.
const LEARN_AGAIN: Duration = Duration::from_millis(500);
/// The same when a block waits for it.
const LEARN_AGAIN_FOR_BLOCK: Duration = Duration::from_millis(50);
/// A node that has blocks of an epoch and for so long not the handover to it is left.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);

/// What goes to the caller, if anything.
type Judged = Result<Option<Event>, SessionError>;

/// Reads one session to its end.
pub(super) struct Reader {
    learner: Learner,
    /// `None` until an epoch beside the first is spoken of.
    keys: Option<Keys>,
    /// Those of long ago, while blocks are read of epochs that `keys` has dropped.
    old: Option<Keys>,
    /// The newest soft confirmation of an epoch whose handover the node does not have yet. It confirms all before it, so one
    /// is enough.
    held: Option<Certified>,
    /// When the node may be asked for handovers again.
    learn_at: Instant,
}

impl Reader {
    pub(super) fn new(learner: Learner) -> Self {
        let keys = learner.learnt.lock().clone();
        Self { learner, keys, old: None, held: None, learn_at: Instant::now() }
    }

    pub(super) async fn run(
        mut self,
        mut receive: RecvStream,
        queue: mpsc::Sender<Result<Event, SessionError>>,
    ) {
        loop {
            // A read that is given up half-way would lose bytes: what is held is looked at beside it.
            let mut reading = pin!(wire::read(&mut receive));
            let message = loop {
                tokio::select! {
                    message = &mut reading => break message,
                    () = sleep_until(self.learn_at), if self.held.is_some() => {
                        let event = self.look_again().await;
                        if !tell(&queue, event).await {
                            return;
                        }
                    }
                }
            };
            let event = self.judge(message).await;
            if !tell(&queue, event).await {
                return;
            }
        }
    }

    async fn judge(&mut self, message: Result<Option<NodeMessage>, FrameError>) -> Judged {
        match message.map_err(LinkError::from)? {
            Some(NodeMessage::Ordered(block)) => Ok(Some(Event::Ordered(self.ordered(block).await?))),
            Some(NodeMessage::Certified(certified)) => self.certified(certified).await,
            Some(NodeMessage::Refused(refused)) => Ok(Some(Event::Refused(refused))),
            Some(NodeMessage::Closed(closed)) => Err(SessionError::Closed(closed)),
            Some(NodeMessage::Welcome(_)) => Err(SessionError::OutOfTurn("a second welcome")),
            None => Err(SessionError::Gone),
        }
    }

    /// Checks a block, once the members of its epoch are known.
    async fn ordered(
        &mut self,
        block: Arc<OrderedBlock>,
    ) -> Result<Verified<Arc<OrderedBlock>>, SessionError> {
        let deadline = Instant::now() + HANDOVER_PATIENCE;
        let epoch = block.header.epoch;
        loop {
            let checked = self.learner.network.ordered(self.keys.as_ref(), Arc::clone(&block));
            let Err(VerifyError::Unknown(unknown)) = checked else { return Ok(checked?) };
            let learnt = match unknown {
                UnknownEpoch::Later { .. } => self.learn(epoch).await?,
                UnknownEpoch::Members(_) => {
                    if !self.name().await? {
                        return Err(SessionError::Unknown(unknown));
                    }
                    true
                }
                UnknownEpoch::Earlier { .. } => return self.ordered_long_ago(block, deadline).await,
            };
            wait(learnt, deadline, unknown).await?;
        }
    }

    /// Checks a block of an epoch that is dropped already: with what is learnt once more, from the beginning.
    async fn ordered_long_ago(
        &mut self,
        block: Arc<OrderedBlock>,
        deadline: Instant,
    ) -> Result<Verified<Arc<OrderedBlock>>, SessionError> {
        let mut keys = match self.old.take() {
            Some(keys) => keys,
            None => self.learner.begin().await?,
        };
        loop {
            match self.learner.network.ordered(&keys, Arc::clone(&block)) {
                Ok(block) => {
                    self.old = Some(keys);
                    return Ok(block);
                }
                Err(VerifyError::Unknown(unknown @ UnknownEpoch::Later { .. })) => {
                    let learnt = self.learner.learn(&mut keys, block.header.epoch).await?;
                    wait(learnt, deadline, unknown).await?;
                }
                Err(VerifyError::Unknown(unknown)) => return Err(SessionError::Unknown(unknown)),
                Err(lie) => return Err(lie.into()),
            }
        }
    }

    async fn look_again(&mut self) -> Judged {
        match self.held.take() {
            Some(held) => self.certified(held).await,
            None => Ok(None),
        }
    }

    /// Checks a soft confirmation, with a key that is learnt first if need be. `None` if that cannot be yet, or the
    /// epoch is older than the keys kept: then a later confirmation will cover the block.
    async fn certified(&mut self, certified: Certified) -> Judged {
        let keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.learner.known().await?,
        };
        let keys = self.keys.insert(keys);
        if keys.newest() < certified.epoch && Instant::now() >= self.learn_at {
            self.learner.learn(keys, certified.epoch).await?;
            if keys.newest() < certified.epoch {
                self.learn_at = Instant::now() + LEARN_AGAIN;
            }
        }
        match self.learner.network.certified(keys, certified) {
            Ok(certified) => {
                self.held = self.held.take().filter(|held| held.height > certified.height);
                Ok(Some(Event::Certified(certified)))
            }
            Err(VerifyError::Unknown(UnknownEpoch::Later { .. })) => {
                self.held =
                    self.held.take().filter(|held| held.height > certified.height).or(Some(certified));
                Ok(None)
            }
            Err(VerifyError::Unknown(_)) => Ok(None),
            Err(lie) => Err(lie.into()),
        }
    }

    /// Whether the trusted epoch has members now.
    async fn name(&mut self) -> Result<bool, SessionError> {
        match &mut self.keys {
            Some(keys) => self.learner.name(keys).await,
            None => Ok(false),
        }
    }

    /// Whether anything new was learnt.
    async fn learn(&mut self, wanted: Epoch) -> Result<bool, SessionError> {
        let mut keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.learner.known().await?,
        };
        let learnt = self.learner.learn(&mut keys, wanted).await;
        self.keys = Some(keys);
        learnt
    }
}

/// Before the same is asked again. Not without end: a node may name an epoch that never comes.
async fn wait(learnt: bool, deadline: Instant, unknown: UnknownEpoch) -> Result<(), SessionError> {
    if learnt {
        return Ok(());
    }
    if Instant::now() >= deadline {
        return Err(SessionError::Unknown(unknown));
    }
    sleep(LEARN_AGAIN_FOR_BLOCK).await;
    Ok(())
}

/// Hands an event over; whether there may be more.
async fn tell(queue: &mpsc::Sender<Result<Event, SessionError>>, event: Judged) -> bool {
    let Some(event) = event.transpose() else { return true };
    let last = event.is_err();
    queue.send(event).await.is_ok() && !last
}
