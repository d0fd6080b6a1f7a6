//! Every message, and the bounds on each.

use std::collections::BTreeMap;
use std::sync::Arc;

use batcher_format::{BatchHeader, SealedBatch};
use bytes::Bytes;
use ordering_types::block::tx_root;
use ordering_types::codec::DecodeError;
use ordering_types::{
    CommitCertificate, Digest, Epoch, GroupKey, GroupSignature, Header, Height, PublicKey, RollupId,
    Signature, Succession, TxId, ValidatorId, merkle,
};
use serde::{Deserialize, Serialize};

use super::frame::Message;
use super::{
    MAX_ABOVE, MAX_CLIENT_FRAME_BYTES, MAX_NODE_FRAME_BYTES, MAX_OPENING_BYTES, MAX_SUBMIT_MANY,
    MAX_SUBSCRIBED_ROLLUPS, MAX_TEXT_BYTES,
};

/// First frame of a stream: what the stream is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// Submissions and subscriptions; at most one such stream a connection.
    Session(Hello),
    /// One question; the answer is a [`Response`].
    Request(Request),
}

/// Opens a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`](super::VERSION).
    pub version: u16,
    /// Hash of the client's chain specification; another one is answered with [`CloseReason::WrongChainSpec`].
    pub chain_spec: Digest,
    /// What to send as it happens, if anything.
    pub subscription: Option<Subscription>,
}

/// What a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whose transactions.
    pub rollups: Rollups,
    /// First height wanted; `None` for the next one to be ordered.
    pub from: Option<Height>,
    /// Whether sections carry whole transactions; else only their ids.
    pub data: bool,
    /// Whether [`Certified`] is wanted too.
    pub certified: bool,
}

/// A choice of rollups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rollups {
    /// Every one.
    All,
    /// These (at most [`MAX_SUBSCRIBED_ROLLUPS`]).
    Some(Vec<RollupId>),
}

impl Rollups {
    /// Whether a rollup is among them.
    pub fn contains(&self, rollup: RollupId) -> bool {
        match self {
            Self::All => true,
            Self::Some(list) => list.contains(&rollup),
        }
    }
}

/// What a client says on its session after [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// One transaction.
    Submit(Submit),
    /// Up to [`MAX_SUBMIT_MANY`] of them, each judged alone.
    SubmitMany(Vec<Submit>),
}

/// One transaction to be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// The client's own name for this submission; comes back in [`Refused`].
    pub tag: u64,
    /// For which rollup.
    pub rollup: RollupId,
    /// Raw bytes; for an `evm` rollup the EIP-2718 envelope.
    pub data: Bytes,
}

/// What a node says on a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeMessage {
    /// First frame of an accepted session.
    Welcome(Welcome),
    /// A submission that is not taken.
    Refused(Refused),
    /// A block is ordered.
    Ordered(Arc<OrderedBlock>),
    /// A block is softly confirmed.
    Certified(Certified),
    /// Last frame: the node ends the session.
    Closed(Closed),
}

/// Accepts a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`](super::VERSION).
    pub version: u16,
    /// Hash of the node's chain specification.
    pub chain_spec: Digest,
    /// Newest ordered height.
    pub height: Height,
    /// Whether the node is in the present committee, by its own word. One that is not takes nothing to be ordered, and may have no new
    /// blocks.
    pub member: bool,
    /// Who the node claims to be.
    pub validator: ValidatorId,
    /// Its key, since the genesis file has those of the founders alone.
    pub key: PublicKey,
    /// Proof that it holds that: ECDSA over
    /// [`Domain::client_session`](ordering_types::preimage::Domain::client_session) of this TLS session.
    pub identity_proof: Signature,
}

/// Why a transaction is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// Empty, or longer than any transaction may be.
    Size,
    /// No such rollup.
    UnknownRollup,
    /// An EVM transaction for another chain.
    WrongChainId,
    /// An EVM transaction whose signature recovers nobody.
    BadSignature,
    /// Not a transaction of the rollup's kind.
    Malformed,
    /// Ordered or waiting already.
    Duplicate,
    /// The rollup's quota is used up for now.
    OverQuota,
    /// The node's buffers are full: try again later.
    Full,
    /// The node is not ordering now (starting, syncing, stopping): try another.
    NotReady,
    /// The node is not in the present committee, so nobody orders what it holds: send to a member, and send there, too, what this node
    /// took and is not ordered.
    NotInCommittee,
}

/// A transaction that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// As submitted.
    pub tag: u64,
    /// Why, for programs.
    pub code: Refusal,
    /// Why, for people; at most [`MAX_TEXT_BYTES`].
    pub text: String,
}

/// A block that the committee signed: its soft confirmation, and that of every block before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// Epoch whose key signs.
    pub epoch: Epoch,
    /// Which block.
    pub height: Height,
    /// Its header hash.
    pub header: Digest,
    /// The group's, over [`Domain::block`](ordering_types::preimage::Domain::block).
    pub signature: GroupSignature,
}

/// Why a node ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CloseReason {
    /// Another version of this protocol.
    Version,
    /// Another chain specification: another network.
    WrongChainSpec,
    /// A frame that no correct client sends.
    Malformed,
    /// The subscriber reads too slowly; it may come back with its cursor.
    Lagging,
    /// The cursor is before what this node still has, or after what exists.
    Cursor,
    /// Too many clients.
    Full,
    /// The node stops.
    ShuttingDown,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Why, for programs.
    pub reason: CloseReason,
    /// Why, for people; at most [`MAX_TEXT_BYTES`].
    pub text: String,
}

/// One rollup's line in a block: the leaf of the upper tree under `tx_root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollupRoot {
    /// The rollup.
    pub rollup: RollupId,
    /// Number of its transactions.
    pub count: u32,
    /// Merkle root over them.
    pub root: Digest,
}

/// What a section carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Transaction ids (leaf hashes), in order.
    Ids(Vec<TxId>),
    /// Whole transactions, in order.
    Data(Vec<Bytes>),
}

impl Content {
    /// Transaction ids, in order.
    pub fn ids(&self) -> Vec<TxId> {
        match self {
            Self::Ids(ids) => ids.clone(),
            Self::Data(all) => all.iter().map(|data| ordering_types::transaction::tx_id(data)).collect(),
        }
    }

    /// Number of transactions.
    pub const fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Data(all) => all.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One rollup's transactions of one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedSection {
    /// The rollup.
    pub rollup: RollupId,
    /// Its transactions or their ids.
    pub content: Content,
}

/// An ordered block, with all that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedBlock {
    /// Its header.
    pub header: Header,
    /// A quorum's precommits for the header's hash.
    pub certificate: CommitCertificate,
    /// Every rollup of the block, in ascending order: together they hash to the header's `tx_root`.
    pub rollups: Vec<RollupRoot>,
    /// Transactions of those of them that are subscribed, in ascending order of rollup.
    pub sections: Vec<OrderedSection>,
}

impl OrderedBlock {
    /// Whether the list of rollups and each section's transactions stand under the header's `tx_root`. Hashes all of
    /// them. The certificate is another question: see [`crate::verify`].
    pub fn is_consistent(&self) -> bool {
        let listed = tx_root(self.rollups.iter().map(|line| (line.rollup, line.count, line.root)));
        let ascending = self.rollups.is_sorted_by(|a, b| a.rollup < b.rollup)
            && self.sections.is_sorted_by(|a, b| a.rollup < b.rollup);
        let count = self.rollups.iter().fold(0_u64, |sum, line| sum + u64::from(line.count));
        ascending
            && listed == self.header.tx_root
            && count == u64::from(self.header.tx_count)
            && self.sections.iter().all(|section| self.covers(section))
    }

    fn covers(&self, section: &OrderedSection) -> bool {
        self.rollups.iter().any(|line| {
            line.rollup == section.rollup
                && line.count as usize == section.content.len()
                && line.root == merkle::root(&section.content.ids())
        })
    }
}

/// An ordered block and its soft confirmation, as far as the node has that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmedBlock {
    /// The block, with whole transactions of the rollup asked for.
    pub ordered: OrderedBlock,
    /// Its soft confirmation.
    pub confirmation: Option<Confirmation>,
}

/// A block's soft confirmation: with its header, all that a light client needs. Where blocks come fast only the newest of several
/// is signed; each header names its parent, so its signature holds for those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Headers of the blocks above, ascending, the last one signed; none if the block itself is. At most [`MAX_ABOVE`].
    pub above: Vec<Header>,
    /// The group's, over [`Domain::block`](ordering_types::preimage::Domain::block).
    pub signature: GroupSignature,
}

/// The first group key and what the contract needs to accept it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The key.
    pub key: GroupKey,
    /// n − f or more validators' signatures over
    /// [`Domain::initialise`](ordering_types::preimage::Domain::initialise) for epoch 0.
    pub signatures: BTreeMap<ValidatorId, Signature>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Hash of its chain specification.
    pub chain_spec: Digest,
    /// Its registry number.
    pub validator: ValidatorId,
    /// Whether it is in the present committee.
    pub member: bool,
    /// Newest ordered height.
    pub height: Height,
    /// Newest softly confirmed height.
    pub certified: Height,
    /// Newest sealed batch; 0 before the first.
    pub sealed: u64,
    /// Validators that it is connected to.
    pub peers: u16,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The sealed batch with this number.
    Sealed(u64),
    /// Header of the newest sealed batch.
    LatestSealed,
    /// The first group key.
    Founding,
    /// One block, with the transactions of one rollup (of none, if `None`).
    Block {
        /// Which block.
        height: Height,
        /// Whose transactions.
        rollup: Option<RollupId>,
    },
    /// How the node is.
    Status,
    /// The handover with which this epoch begins, and its members.
    Handover(Epoch),
}

/// The answer to the [`Request`] of the same name; `None` where the node has no such thing (yet, or any more).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Sealed`].
    Sealed(Option<Arc<SealedBatch>>),
    /// To [`Request::LatestSealed`].
    LatestSealed(Option<BatchHeader>),
    /// To [`Request::Founding`].
    Founding(Option<Founding>),
    /// To [`Request::Block`].
    Block(Option<Box<ConfirmedBlock>>),
    /// To [`Request::Status`].
    Status(Status),
    /// The node serves too many requests now.
    Busy,
    /// To [`Request::Handover`].
    Handover(Option<Box<Succession>>),
}

fn bounded(what: &str, got: usize, limit: usize) -> Result<(), DecodeError> {
    if got > limit {
        return Err(DecodeError::Malformed(format!("{what}: {got}, at most {limit} allowed")));
    }
    Ok(())
}

impl Message for Opening {
    const LIMIT: usize = MAX_OPENING_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Session(Hello {
                subscription: Some(Subscription { rollups: Rollups::Some(list), .. }),
                ..
            }) => bounded("subscribed rollups", list.len(), MAX_SUBSCRIBED_ROLLUPS),
            _ => Ok(()),
        }
    }
}

impl Message for ClientMessage {
    const LIMIT: usize = MAX_CLIENT_FRAME_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Submit(_) => Ok(()),
            Self::SubmitMany(all) => bounded("submissions in a frame", all.len(), MAX_SUBMIT_MANY),
        }
    }
}

impl Message for NodeMessage {
    const LIMIT: usize = MAX_NODE_FRAME_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Refused(Refused { text, .. }) | Self::Closed(Closed { text, .. }) => {
                bounded("text", text.len(), MAX_TEXT_BYTES)
            }
            Self::Welcome(_) | Self::Ordered(_) | Self::Certified(_) => Ok(()),
        }
    }
}

impl Message for Response {
    const LIMIT: usize = MAX_NODE_FRAME_BYTES;

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Block(Some(block)) => {
                let above = block.confirmation.as_ref().map_or(0, |confirmation| confirmation.above.len());
                bounded("headers above a block", above, MAX_ABOVE)
            }
            _ => Ok(()),
        }
    }
}
