//! Single questions to whichever node answers.
//!
//! What the group signed is checked with the key of its epoch, and a block's certificate with its members. Both are learnt when they
//! are needed: the founding's once, and each later one from the handover that the key before it signed. Any node may serve it, whether
//! or not it is a member; who does not have it is only behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use batcher_format::SealedBatch;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ordering_types::chain_spec::Committee;
use ordering_types::handover::committee_hash;
use ordering_types::{Digest, Epoch, GroupKey, Height, RollupId, Succession};
use quinn::{Connection, VarInt};
use tokio::sync::Mutex;

use super::connect::{ConnectError, Connector};
use super::learn::Learnt;
use super::link::{self, LinkError};
use super::stranded::Stranded;
use crate::verify::{Keys, MAX_KEYS, Network, UnknownEpoch, Verified, VerifyError};
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
    Lie(VerifyError),
    /// The node's answer may be true, but who signed it is not known here.
    #[error("the node's answer cannot be checked: {0}")]
    Unknown(UnknownEpoch),
    /// No endpoints were given.
    #[error("no node endpoints are configured")]
    NoEndpoints,
}

impl From<VerifyError> for RequestError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Unknown(epoch) => Self::Unknown(epoch),
            lie => Self::Lie(lie),
        }
    }
}

/// Asks one question on a stream of its own.
pub(crate) async fn ask(connection: &Connection, request: Request) -> Result<Response, RequestError> {
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
    learnt: Learnt,
}

impl Nodes {
    /// Nodes at these `host:port`s; connections are made when needed.
    pub fn new(network: Network, endpoints: &[String]) -> Result<Self, ConnectError> {
        let node = |endpoint: &String| Node { endpoint: endpoint.clone(), connection: Mutex::default() };
        let nodes = endpoints.iter().map(node).collect();
        let learnt = Learnt::new(&network);
        let (connector, preferred) = (Connector::new()?, Arc::default());
        Ok(Self { network, connector, nodes, preferred, learnt })
    }

    /// The network they are of.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// From now on this is the key of this epoch, because L1 says so: what came before need not be learnt, and keys that
    /// led to another one are given up. With the `committee` that L1 names by its hash, blocks of that epoch can be checked, too.
    pub fn trust(&self, epoch: Epoch, key: GroupKey, committee: Option<Digest>) {
        let mut keys = self.learnt.lock();
        if keys.as_ref().and_then(|keys| keys.of(epoch).ok()).is_none_or(|known| *known != key) {
            let trusted = self.network.clone().trusting(Keys::trusted(epoch, key, committee));
            *keys = trusted.trusted().cloned();
        }
    }

    /// The first group key with the signatures for the contract, proven by the founders. `None` while there is none.
    pub async fn founding(&self) -> Result<Option<Verified<Founding>>, RequestError> {
        self.first(Request::Founding, |response| match response {
            Response::Founding(None) => Ok(None),
            Response::Founding(Some(founding)) => Ok(Some(self.network.founding(founding)?)),
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// The handover with which an epoch begins, and its members, proven by the key of the one before. `None` while no node that
    /// answers has it.
    pub async fn handover(&self, epoch: Epoch) -> Result<Option<Verified<Succession>>, RequestError> {
        self.proven(Request::Handover(epoch), |keys, response| self.read_handover(keys, epoch, response))
            .await
    }

    /// The members of an epoch's committee, of which L1 has this hash. `None` while no node that answers knows them.
    pub async fn members(&self, epoch: Epoch, committee: Digest) -> Result<Option<Committee>, RequestError> {
        self.first(Request::Handover(epoch), |response| match response {
            Response::Handover(None) => Ok(None),
            Response::Handover(Some(succession)) if committee_hash(&succession.members) == committee => {
                Ok(Some(succession.members))
            }
            Response::Handover(Some(_)) => Err(RequestError::Lie(VerifyError::Members(epoch))),
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// A sealed batch, proven by the signature of its epoch's key. `None` while no node that answers has it, or the
    /// handover to its epoch.
    pub async fn sealed(&self, number: u64) -> Result<Option<Verified<Arc<SealedBatch>>>, RequestError> {
        self.proven(Request::Sealed(number), |keys, response| match response {
            Response::Sealed(None) => Ok(None),
            Response::Sealed(Some(batch)) if batch.header.number == number => {
                Ok(Some(self.network.sealed(keys, batch)?))
            }
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// One ordered block with the transactions of one rollup, proven by the certificate of its epoch's members. `None` while no node
    /// that answers has it, or the handover to its epoch.
    pub async fn block(
        &self,
        height: Height,
        rollup: Option<RollupId>,
    ) -> Result<Option<ConfirmedBlock>, RequestError> {
        self.learning(Request::Block { height, rollup }, |keys, response| match response {
            Response::Block(None) => Ok(None),
            Response::Block(Some(block)) if block.ordered.header.height == height => {
                self.network.ordered(keys, Arc::new(block.ordered.clone()))?;
                Ok(Some(*block))
            }
            _ => Err(RequestError::OtherAnswer),
        })
        .await
    }

    /// Whether any of these nodes takes transactions and has new blocks, by what they say of themselves. With an error, other addresses
    /// are needed. `Ok` also if none answers: then nothing is known.
    pub async fn require_members(&self) -> Result<(), Stranded> {
        let answers = self.status().await;
        let outside = answers.iter().flatten().filter(|status| !status.member).count();
        let silent = answers.iter().filter(|answer| answer.is_err()).count();
        if outside == 0 || outside + silent < answers.len() {
            return Ok(());
        }
        Err(Stranded::new(&self.network, &self.learnt, outside, silent))
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

    /// The known keys. `None` while there is no founding.
    async fn keys(&self) -> Result<Option<Keys>, RequestError> {
        let known = self.learnt.lock().clone();
        if known.is_some() {
            return Ok(known);
        }
        let Some(founding) = self.founding().await? else { return Ok(None) };
        let founded = || Keys::founded(&self.network, &founding);
        Ok(Some(self.learnt.lock().get_or_insert_with(founded).clone()))
    }

    /// As [`Self::learning`], for what needs keys in any epoch. `None` while there is no founding.
    async fn proven<T>(
        &self,
        request: Request,
        judge: impl Fn(&Keys, Response) -> Result<Option<T>, RequestError>,
    ) -> Result<Option<T>, RequestError> {
        if self.keys().await?.is_none() {
            return Ok(None);
        }
        self.learning(request, |keys, response| keys.map_or(Ok(None), |keys| judge(keys, response))).await
    }

    /// As [`Self::first`], for what needs keys or members: those that an answer needs and that are not known yet are asked for.
    async fn learning<T>(
        &self,
        request: Request,
        judge: impl Fn(Option<&Keys>, Response) -> Result<Option<T>, RequestError>,
    ) -> Result<Option<T>, RequestError> {
        let mut named = false;
        loop {
            let keys = self.learnt.lock().clone();
            // The nearest of the later epochs that nodes speak of: a liar that names a far one changes nothing.
            let later = AtomicU64::new(u64::MAX);
            let judge = |response| match judge(keys.as_ref(), response) {
                Err(RequestError::Unknown(UnknownEpoch::Later { epoch, .. })) => {
                    later.fetch_min(epoch.get(), Ordering::Relaxed);
                    Ok(None)
                }
                judged => judged,
            };
            let found = match self.first(request, judge).await {
                Err(RequestError::Unknown(UnknownEpoch::Members(_))) if !named && self.name().await? => {
                    named = true;
                    continue;
                }
                found => found?,
            };
            let wanted = later.into_inner();
            if found.is_some() || wanted == u64::MAX {
                return Ok(found);
            }
            let Some(keys) = self.keys().await? else { return Ok(None) };
            if !self.learn(keys, Epoch::new(wanted)).await? {
                return Ok(found);
            }
        }
    }

    /// Asks for the members of the trusted epoch, if they are known by their hash alone. Whether they are named now.
    async fn name(&self) -> Result<bool, RequestError> {
        let Some(epoch) = self.learnt.lock().as_ref().and_then(Keys::nameless) else { return Ok(false) };
        let named = self.first(Request::Handover(epoch), |response| match response {
            Response::Handover(None) => Ok(None),
            Response::Handover(Some(succession)) => {
                let mut known = self.learnt.lock();
                let keys = known.as_mut().ok_or(RequestError::OtherAnswer)?;
                keys.introduce(epoch, succession.members)
                    .map_err(|_| RequestError::Lie(VerifyError::Members(epoch)))?;
                Ok(Some(()))
            }
            _ => Err(RequestError::OtherAnswer),
        });
        Ok(named.await?.is_some())
    }

    /// Asks for the handovers after the newest known key, up to the one to `wanted`, at most [`MAX_KEYS`] in one go; whether
    /// there were any.
    async fn learn(&self, known: Keys, wanted: Epoch) -> Result<bool, RequestError> {
        let mut keys = known.clone();
        for _ in 0..MAX_KEYS {
            let next = keys.newest().next();
            if next > wanted {
                break;
            }
            let judge = |response| self.read_handover(&keys, next, response);
            match self.first(Request::Handover(next), judge).await {
                Ok(Some(succession)) => keys.extend(&succession)?,
                Ok(None) => break,
                Err(error) if keys == known => return Err(error),
                Err(_) => break,
            }
        }
        let learnt = keys != known;
        let mut current = self.learnt.lock();
        // Somebody else may have learnt more meanwhile, or may trust another key now.
        if current.as_ref() == Some(&known) {
            *current = Some(keys);
        }
        Ok(learnt)
    }

    fn read_handover(
        &self,
        keys: &Keys,
        epoch: Epoch,
        response: Response,
    ) -> Result<Option<Verified<Succession>>, RequestError> {
        match response {
            Response::Handover(None) => Ok(None),
            Response::Handover(Some(succession)) if succession.signed.handover.next.epoch == epoch => {
                Ok(Some(self.network.succession(keys, *succession)?))
            }
            _ => Err(RequestError::OtherAnswer),
        }
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
