//! Single questions to whichever node answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use batcher_format::SealedBatch;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ordering_types::{GroupKey, Height, RollupId};
use quinn::{Connection, VarInt};
use tokio::sync::Mutex;

use super::connect::{ConnectError, Connector};
use super::link::{self, LinkError};
use crate::verify::{Network, Verified, VerifyError};
use crate::wire::{self, ConfirmedBlock, Founding, Opening, Request, Response, Status};

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one node may take before the next is asked as well.
const HEDGE_AFTER: Duration = Duration::from_millis(500);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The node cannot be talked to.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An answer to another question, or none.
    #[error("the node's answer is to another question")]
    OtherAnswer,
    /// The node has too much to do.
    #[error("the node is busy")]
    Busy,
    /// The node has no such thing (yet).
    #[error("the node does not have it")]
    Unavailable,
    /// The node said something that its signatures do not bear out.
    #[error("the node lies: {0}")]
    Lie(#[from] VerifyError),
    /// No endpoints were given.
    #[error("no node endpoints are configured")]
    NoEndpoints,
}

/// Asks one question on a stream of its own.
pub(super) async fn ask(connection: &Connection, request: Request) -> Result<Response, RequestError> {
    let exchange = async {
        let (mut send, mut receive) = link::open(connection, &Opening::Request(request)).await?;
        send.finish().map_err(|closed| LinkError::Stream(closed.into()))?;
        match wire::read(&mut receive).await.map_err(LinkError::from)? {
            Some(Response::Busy) => Err(RequestError::Busy),
            Some(response) => Ok(response),
            None => Err(RequestError::OtherAnswer),
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| LinkError::Timeout)?
}

/// One known node and the connection to it, while there is one.
#[derive(Debug)]
struct Node {
    endpoint: String,
    connection: Mutex<Option<Connection>>,
}

/// Asks nodes in turn until one has a valid answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nodes {
    network: Network,
    connector: Connector,
    nodes: Arc<[Node]>,
    /// Index of the node that had the last answer.
    preferred: Arc<AtomicUsize>,
}

impl Nodes {
    /// Nodes at these `host:port`s; connections are made when needed.
    pub fn new(network: Network, endpoints: &[String]) -> Result<Self, ConnectError> {
        let node = |endpoint: &String| Node { endpoint: endpoint.clone(), connection: Mutex::default() };
        let nodes = endpoints.iter().map(node).collect();
        Ok(Self { network, connector: Connector::new()?, nodes, preferred: Arc::default() })
    }

    /// The network they are of.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The first group key, proven by the founders, and the signatures for the contract. `None` while there is none.
    pub async fn founding(&self) -> Result<Option<(Verified<GroupKey>, Founding)>, RequestError> {
        self.first(Request::Founding, |response| match response {
            Response::Founding(None) => Ok(None),
            Response::Founding(Some(founding)) => {
                let key = self.network.founding(&founding)?;
                Ok(Some((key, founding)))
            }
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// A sealed batch, proven by the group's signature. `None` while no node that answers has it.
    pub async fn sealed(
        &self,
        key: &Verified<GroupKey>,
        number: u64,
    ) -> Result<Option<Verified<Arc<SealedBatch>>>, RequestError> {
        self.first(Request::Sealed(number), |response| match response {
            Response::Sealed(None) => Ok(None),
            Response::Sealed(Some(batch)) if batch.header.number == number => {
                Ok(Some(self.network.sealed(key, batch)?))
            }
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// One ordered block with the transactions of one rollup, proven by its certificate.
    pub async fn block(
        &self,
        height: Height,
        rollup: Option<RollupId>,
    ) -> Result<Option<ConfirmedBlock>, RequestError> {
        self.first(Request::Block { height, rollup }, |response| match response {
            Response::Block(None) => Ok(None),
            Response::Block(Some(block)) if block.ordered.header.height == height => {
                self.network.ordered(Arc::new(block.ordered.clone()))?;
                Ok(Some(*block))
            }
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// How each node is, by its own word, in the order of the endpoints.
    pub async fn status(&self) -> Vec<Result<Status, RequestError>> {
        let each = self.nodes.iter().map(|node| async {
            match self.ask_one(node, Request::Status).await? {
                Response::Status(status) => Ok(status),
                _ => Err(RequestError::OtherAnswer),
            }
        });
        futures::future::join_all(each).await
    }

    /// Asks node after node until `judge` finds something, beginning with the one that had the last answer; the next one
    /// is asked when the one before has nothing, fails, or takes longer than [`HEDGE_AFTER`]. `None` if some node
    /// answered and none had it; a silent node is not waited for then, since the question will be asked again soon.
    async fn first<T>(
        &self,
        request: Request,
        judge: impl Fn(Response) -> Result<Option<T>, RequestError>,
    ) -> Result<Option<T>, RequestError> {
        let mut failure = Some(RequestError::NoEndpoints);
        let start = self.preferred.load(Ordering::Relaxed);
        let mut order = (0..self.nodes.len()).map(|offset| (start + offset) % self.nodes.len());
        let mut asked = FuturesUnordered::new();
        loop {
            if let Some((index, node)) = order.next().and_then(|index| Some((index, self.nodes.get(index)?)))
            {
                asked.push(async move { (index, self.ask_one(node, request).await) });
            }
            let answer = match tokio::time::timeout(HEDGE_AFTER, asked.next()).await {
                Err(_) if order.len() == 0 && failure.is_none() => return Ok(None),
                Err(_) => continue,
                Ok(None) => return failure.map_or(Ok(None), Err),
                Ok(Some((index, answer))) => (index, answer.and_then(&judge)),
            };
            match answer {
                (index, Ok(Some(found))) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(Some(found));
                }
                (_, Ok(None)) => failure = None,
                (index, Err(error)) => {
                    let endpoint = self.nodes.get(index).map_or("", |node| &node.endpoint);
                    tracing::debug!(endpoint, %error, "node cannot answer");
                    failure = failure.map(|_| error);
                }
            }
        }
    }

    async fn ask_one(&self, node: &Node, request: Request) -> Result<Response, RequestError> {
        let connection = {
            let mut slot = node.connection.lock().await;
            match slot.clone().filter(|open| open.close_reason().is_none()) {
                Some(open) => open,
                None => slot
                    .insert(self.connector.connect(&node.endpoint).await.map_err(LinkError::from)?)
                    .clone(),
            }
        };
        let response = ask(&connection, request).await;
        // A node that is only slow would keep us waiting again: start over with a new connection.
        if matches!(response, Err(RequestError::Link(LinkError::Timeout))) {
            connection.close(VarInt::from_u32(0), b"too slow");
        }
        response
    }
}
