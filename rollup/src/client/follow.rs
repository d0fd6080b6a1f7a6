//! Every ordered block once, in order, whichever nodes die meanwhile.

use std::sync::Arc;
use std::time::Duration;

use ordering_types::{Digest, Height, ValidatorId};

use super::connect::{ConnectError, Connector};
use super::session::{Event, Session, SessionError};
use crate::verify::{Network, Verified};
use crate::wire::{Certified, OrderedBlock, Rollups, Subscription};

/// Pause after a full turn over all endpoints without a session.
const PAUSE: Duration = Duration::from_millis(500);

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
}

/// Follows the order over several nodes. Needs no trust in any of them.
#[derive(Debug)]
pub struct Follower {
    network: Network,
    connector: Connector,
    endpoints: Vec<String>,
    turn: usize,
    subscription: Subscription,
    /// Header hash of the block before the next one.
    tip: Option<Digest>,
    session: Option<Session>,
    failures: usize,
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
        let subscription = Subscription { rollups, from: Some(from), data, certified: true };
        let connector = Connector::new()?;
        let (turn, failures) = (0, 0);
        Ok(Self { network, connector, endpoints, turn, subscription, tip: None, session: None, failures })
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
            match session.next().await {
                Ok(Event::Ordered(block)) => match self.accept(block) {
                    Ok(Some(block)) => return FollowEvent::Ordered(block),
                    Ok(None) => {}
                    Err(error) => return self.lose(error),
                },
                Ok(Event::Certified(certified)) => return FollowEvent::Certified(certified),
                Ok(Event::Refused(_)) => {}
                Err(error) => return self.lose(error),
            }
        }
    }

    async fn connect(&mut self) -> Option<FollowEvent> {
        if self.failures >= self.endpoints.len() {
            tokio::time::sleep(PAUSE).await;
            self.failures = 0;
        }
        let endpoint = self.endpoints.get(self.turn)?.clone();
        let wanted = Some(self.subscription.clone());
        match Session::open(&self.connector, &endpoint, &self.network, wanted).await {
            Ok(session) => {
                let validator = session.validator();
                self.session = Some(session);
                Some(FollowEvent::Connected(validator))
            }
            Err(error) => Some(self.lose(error)),
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
        Ok(Some(block))
    }

    fn lose(&mut self, error: SessionError) -> FollowEvent {
        self.session = None;
        self.failures += 1;
        let endpoint = self.endpoints.get(self.turn).cloned().unwrap_or_default();
        self.turn = (self.turn + 1) % self.endpoints.len().max(1);
        FollowEvent::Lost { endpoint, error }
    }
}
