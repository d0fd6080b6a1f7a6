//! One connection to one node.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::{Epoch, Height, ValidatorId};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::connect::Connector;
use super::link::{self, LinkError};
use super::nodes::{RequestError, ask};
use crate::verify::{Keys, MAX_KEYS, Network, UnknownEpoch, Verified, VerifyError};
use crate::wire::{
    self, Certified, ClientMessage, Closed, FrameError, Hello, NodeMessage, Opening, OrderedBlock, Refused,
    Request, Response, Submit, Subscription, Welcome,
};

/// Events that wait for the caller; a full queue stops the reading, and with it the node's sending.
const EVENT_QUEUE: usize = 1_024;
/// How long a node may take to answer the opening.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// A node that does not have a handover yet is asked for it again after so long.
const LEARN_AGAIN: Duration = Duration::from_millis(500);

/// Why a session does not begin, or ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The node cannot be talked to.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The node ended the session.
    #[error("the node closed the session ({:?}): {}", .0.reason, .0.text)]
    Closed(Closed),
    /// The node went away without a word.
    #[error("the node went away")]
    Gone,
    /// A message out of turn.
    #[error("the node sent {0} out of turn")]
    OutOfTurn(&'static str),
    /// Another protocol version.
    #[error("the node speaks version {0} of the client protocol, we {ours}", ours = wire::VERSION)]
    Version(u16),
    /// Another network.
    #[error("the node is of another network")]
    ChainSpec,
    /// The node cannot prove to be the validator it claims to be.
    #[error("the node claims to be validator {0} and cannot prove it")]
    Identity(ValidatorId),
    /// The node said something that its signatures do not bear out.
    #[error("the node lies: {0}")]
    Lie(#[from] VerifyError),
    /// The founding key, or one of a later epoch, could not be had.
    #[error("group key: {0}")]
    Key(#[from] RequestError),
}

/// What a session brings, verified.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block is ordered.
    Ordered(Verified<Arc<OrderedBlock>>),
    /// A block is softly confirmed.
    Certified(Verified<Certified>),
    /// A submission is not taken.
    Refused(Refused),
}

/// An open session.
#[derive(Debug)]
pub struct Session {
    welcome: Welcome,
    submitter: Submitter,
    events: Events,
}

/// The sending half.
#[derive(Debug)]
pub struct Submitter {
    stream: SendStream,
    connection: Connection,
}

/// The receiving half.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Result<Event, SessionError>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Connects to `host:port`, proves which validator that is, and subscribes.
    pub async fn open(
        connector: &Connector,
        endpoint: &str,
        network: &Network,
        subscription: Option<Subscription>,
    ) -> Result<Self, SessionError> {
        let connection = connector.connect(endpoint).await.map_err(LinkError::from)?;
        let chain_spec = network.hash();
        let hello = Hello { version: wire::VERSION, chain_spec, subscription };
        let (send, mut receive) = link::open(&connection, &Opening::Session(hello)).await?;
        let first = tokio::time::timeout(WELCOME_TIMEOUT, wire::read(&mut receive));
        let welcome = match first.await.map_err(|_| LinkError::Timeout)?.map_err(LinkError::from)? {
            Some(NodeMessage::Welcome(welcome)) => welcome,
            Some(NodeMessage::Closed(closed)) => return Err(SessionError::Closed(closed)),
            Some(_) => return Err(SessionError::OutOfTurn("something else than a welcome")),
            None => return Err(SessionError::Gone),
        };
        check_welcome(&connection, network, &welcome)?;
        let (sender, queue) = mpsc::channel(EVENT_QUEUE);
        let reader = Reader {
            connection: connection.clone(),
            network: network.clone(),
            keys: network.trusted().cloned(),
            held: None,
            learn_at: Instant::now(),
        };
        let events = Events { queue, reader: tokio::spawn(reader.run(receive, sender)) };
        Ok(Self { welcome, submitter: Submitter { stream: send, connection }, events })
    }

    /// Which validator this is, proven.
    pub const fn validator(&self) -> ValidatorId {
        self.welcome.validator
    }

    /// The newest ordered height when the session began, by the node's word.
    pub const fn height(&self) -> Height {
        self.welcome.height
    }

    /// Submits one transaction; see [`Submitter::submit`].
    pub async fn submit(&mut self, submit: Submit) -> Result<(), SessionError> {
        self.submitter.submit(submit).await
    }

    /// The next event; see [`Events::next`].
    pub async fn next(&mut self) -> Result<Event, SessionError> {
        self.events.next().await
    }

    /// Both halves, for two tasks.
    pub fn split(self) -> (Submitter, Events) {
        (self.submitter, self.events)
    }
}

impl Submitter {
    /// Submits one transaction. What is not refused later was admitted; only an ordered block is a promise.
    pub async fn submit(&mut self, submit: Submit) -> Result<(), SessionError> {
        self.write(&ClientMessage::Submit(submit)).await
    }

    /// Submits up to [`MAX_SUBMIT_MANY`](wire::MAX_SUBMIT_MANY) transactions of together less than
    /// [`MAX_CLIENT_FRAME_BYTES`](wire::MAX_CLIENT_FRAME_BYTES) in one frame.
    pub async fn submit_many(&mut self, all: Vec<Submit>) -> Result<(), SessionError> {
        self.write(&ClientMessage::SubmitMany(all)).await
    }

    async fn write(&mut self, message: &ClientMessage) -> Result<(), SessionError> {
        Ok(wire::write(&mut self.stream, message).await.map_err(LinkError::from)?)
    }

    /// UDP bytes sent and received by this connection so far.
    pub fn wire_bytes(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"done");
    }
}

impl Events {
    /// The next event, or why there are no more. Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, SessionError> {
        self.queue.recv().await.unwrap_or(Err(SessionError::Gone))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn check_welcome(connection: &Connection, network: &Network, welcome: &Welcome) -> Result<(), SessionError> {
    if welcome.version != wire::VERSION {
        return Err(SessionError::Version(welcome.version));
    }
    if welcome.chain_spec != network.hash() {
        return Err(SessionError::ChainSpec);
    }
    let unproven = SessionError::Identity(welcome.validator);
    let Some(key) = network.committee().key(welcome.validator) else { return Err(unproven) };
    let (domain, proof) = (network.domain(), &welcome.identity_proof);
    match wire::verify_identity(connection, &domain, welcome.validator, key, proof) {
        Ok(true) => Ok(()),
        Ok(false) | Err(wire::NoExporter) => Err(unproven),
    }
}

/// Reads and verifies in a task of its own, so that a caller may drop its wait at any time.
struct Reader {
    connection: Connection,
    network: Network,
    keys: Option<Keys>,
    /// The newest soft confirmation of an epoch whose handover the node does not have yet. It confirms all before it, so one
    /// is enough.
    held: Option<Certified>,
    /// When the node may be asked for handovers again.
    learn_at: Instant,
}

impl Reader {
    async fn run(mut self, mut receive: RecvStream, queue: mpsc::Sender<Result<Event, SessionError>>) {
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

    async fn judge(
        &mut self,
        message: Result<Option<NodeMessage>, FrameError>,
    ) -> Result<Option<Event>, SessionError> {
        match message.map_err(LinkError::from)? {
            Some(NodeMessage::Ordered(block)) => Ok(Some(Event::Ordered(self.network.ordered(block)?))),
            Some(NodeMessage::Certified(certified)) => self.certified(certified).await,
            Some(NodeMessage::Refused(refused)) => Ok(Some(Event::Refused(refused))),
            Some(NodeMessage::Closed(closed)) => Err(SessionError::Closed(closed)),
            Some(NodeMessage::Welcome(_)) => Err(SessionError::OutOfTurn("a second welcome")),
            None => Err(SessionError::Gone),
        }
    }

    async fn look_again(&mut self) -> Result<Option<Event>, SessionError> {
        match self.held.take() {
            Some(held) => self.certified(held).await,
            None => Ok(None),
        }
    }

    /// Checks a soft confirmation, with a key that is learnt first if need be. `None` if that cannot be yet, or the
    /// epoch is older than the keys kept: then a later confirmation will cover the block.
    async fn certified(&mut self, certified: Certified) -> Result<Option<Event>, SessionError> {
        let keys = self.learn(certified.epoch).await?;
        match self.network.certified(&keys, certified) {
            Ok(certified) => {
                self.held = self.held.take().filter(|held| held.height > certified.height);
                Ok(Some(Event::Certified(certified)))
            }
            Err(VerifyError::Unknown(UnknownEpoch::Later { .. })) => {
                self.held =
                    self.held.take().filter(|held| held.height > certified.height).or(Some(certified));
                Ok(None)
            }
            Err(VerifyError::Unknown(UnknownEpoch::Earlier { .. })) => Ok(None),
            Err(lie) => Err(lie.into()),
        }
    }

    /// The known keys, with those up to `wanted` as far as the node has their handovers; at most [`MAX_KEYS`] in one go.
    async fn learn(&mut self, wanted: Epoch) -> Result<Keys, SessionError> {
        let mut keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.founding().await?,
        };
        if keys.newest() < wanted && Instant::now() >= self.learn_at {
            for _ in 0..MAX_KEYS {
                let next = keys.newest().next();
                if next > wanted {
                    break;
                }
                match ask(&self.connection, Request::Handover(next)).await {
                    Ok(Response::Handover(Some(signed))) => {
                        keys.extend(&self.network.handover(&keys, signed)?)?;
                    }
                    Ok(Response::Handover(None)) | Err(RequestError::Busy) => break,
                    Ok(_) => return Err(RequestError::OtherAnswer.into()),
                    Err(error) => return Err(error.into()),
                }
            }
            if keys.newest() < wanted {
                self.learn_at = Instant::now() + LEARN_AGAIN;
            }
        }
        Ok(self.keys.insert(keys).clone())
    }

    async fn founding(&self) -> Result<Keys, SessionError> {
        let Response::Founding(Some(founding)) = ask(&self.connection, Request::Founding).await? else {
            return Err(RequestError::Unavailable.into());
        };
        Ok(Keys::founded(&self.network.founding(founding)?))
    }
}

/// Hands an event over; whether there may be more.
async fn tell(
    queue: &mpsc::Sender<Result<Event, SessionError>>,
    event: Result<Option<Event>, SessionError>,
) -> bool {
    let Some(event) = event.transpose() else { return true };
    let last = event.is_err();
    queue.send(event).await.is_ok() && !last
}
