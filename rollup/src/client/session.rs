//! One connection to one node.

use std::sync::Arc;
use std::time::Duration;

use ordering_types::{Height, PublicKey, ValidatorId};
use quinn::{Connection, SendStream, VarInt};
use tokio::sync::mpsc;

use super::connect::Connector;
use super::learn::{Learner, Learnt};
use super::link::{self, LinkError};
use super::nodes::RequestError;
use super::reader::Reader;
use crate::verify::{Network, UnknownEpoch, Verified, VerifyError};
use crate::wire::{
    self, Certified, ClientMessage, Closed, Hello, NodeMessage, Opening, OrderedBlock, Refused, Submit,
    Subscription, Welcome,
};

/// Events that wait for the caller; a full queue stops the reading, and with it the node's sending.
const EVENT_QUEUE: usize = 1_024;
/// How long a node may take to answer the opening.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The node's blocks may be true, but who signed them is not known here, and the node does not tell.
    #[error("the node's blocks cannot be checked: {0}")]
    Unknown(UnknownEpoch),
    /// The node is not in the committee (any more): it takes no transactions and may fall behind.
    #[error(
        "validator {0} is not in the committee; it still answers, but takes nothing to be ordered: use a member"
    )]
    NotInCommittee(ValidatorId),
    /// The node orders nothing now.
    #[error("the node is not ordering now")]
    NotReady,
    /// The caller's patience with the node is over.
    #[error("the node took transactions that were not ordered in time")]
    Slow,
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
    /// Connects to `host:port`, has the node prove its key, and subscribes. Whether the node is a member now does not matter: what it
    /// says of the order is proven by those who are.
    pub async fn open(
        connector: &Connector,
        endpoint: &str,
        network: &Network,
        subscription: Option<Subscription>,
    ) -> Result<Self, SessionError> {
        Self::open_knowing(connector, endpoint, network, subscription, Learnt::new(network)).await
    }

    /// As [`Self::open`], with what was learnt before, and for what comes after.
    pub(super) async fn open_knowing(
        connector: &Connector,
        endpoint: &str,
        network: &Network,
        subscription: Option<Subscription>,
        learnt: Learnt,
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
        let learner = Learner { connection: connection.clone(), network: network.clone(), learnt };
        let reader = Reader::new(learner);
        let events = Events { queue, reader: tokio::spawn(reader.run(receive, sender)) };
        Ok(Self { welcome, submitter: Submitter { stream: send, connection }, events })
    }

    /// Which validator this is: proven of founders, whose keys the chain specification names; of others it is what they call
    /// themselves, and [`Self::key`] says more.
    pub const fn validator(&self) -> ValidatorId {
        self.welcome.validator
    }

    /// The key that the node holds, proven.
    pub const fn key(&self) -> PublicKey {
        self.welcome.key
    }

    /// Whether the node was in the present committee when the session began, by its own word. Who is not takes no transactions.
    pub const fn is_member(&self) -> bool {
        self.welcome.member
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
    let Welcome { validator, key, identity_proof, .. } = welcome;
    let proven = wire::verify_identity(connection, &network.domain(), *validator, key, identity_proof);
    if !network.may_be(*validator, key) || proven != Ok(true) {
        return Err(SessionError::Identity(*validator));
    }
    Ok(())
}
