//! What goes into the node core and what comes out of it.
//!
//! The host calls [`NodeCore::handle`](crate::NodeCore::handle), drains
//! [`next_output`](crate::NodeCore::next_output) until it is empty, and sleeps until
//! [`next_deadline`](crate::NodeCore::next_deadline) or the next input.
//!
//! Outputs are in order. Before a [`Output::Send`] with `after_sync`, everything persisted by earlier outputs must be
//! on disk; other sends need not wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use crate::evidence::Evidence;
use batcher_format::{BatchHeader, EncodedBatch, SealedBatch};
use bytes::Bytes;
pub use ordering::api::{
    CeremonyStart, Checkpoint, Class, Covered, Decided, EpochBook, EpochEvent, EpochStart, L1Book, Members,
    Recipient, Served, StoreRequest,
};
pub use ordering::epoch::REMEMBERED_EPOCHS;
use ordering_types::chain_spec::{Committee, Validator};
use ordering_types::cut::SystemMessage;
use ordering_types::{
    Block, Digest, Epoch, ForcedMessage, GroupKey, GroupSignature, Handover, Height, L1Reference, QueueMark,
    Registry, SharedKey, Signature, Succession, ValidatorId,
};
use zeroize::Zeroizing;

/// What the host tells the core.
#[derive(Debug)]
pub enum Input {
    /// Bytes from another validator; the host vouches for `from` only.
    Message {
        /// The authenticated sender.
        from: ValidatorId,
        /// The stream it came on.
        class: Class,
        /// One whole message.
        bytes: Bytes,
    },
    /// A job that [`Output::Job`] asked for is done.
    JobDone(JobResult),
    /// What this node's own L1 endpoint shows.
    L1(L1Sight),
    /// Answer to [`Output::ReadQueue`], as the own L1 endpoint has it: it is checked here.
    Queue(ForcedMessage),
    /// The deadline has come (an early one is harmless).
    Wake,
}

/// A finalized L1 block as this node's own endpoint shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Sight {
    /// The block. Only those whose numbers the genesis file's `report_blocks` divides are reported.
    pub block: L1Reference,
    /// The active validators after it; none where the network has no registry.
    pub registry: Option<Arc<Registry>>,
    /// Whose key the inbox has after it.
    pub epoch: Epoch,
    /// The forced-inclusion queue after it.
    pub queue: QueueMark,
}

/// Whom this node talks to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    /// Members of the epochs that are remembered, and active validators of the registry, without this node, ascending. An address that is not
    /// known is empty.
    pub known: Vec<Validator>,
    /// The other members of the present committee: those whom [`Recipient::All`] means.
    pub committee: Vec<ValidatorId>,
    /// Whether this node is one.
    pub member: bool,
}

/// What the core tells the host.
#[derive(Debug)]
pub enum Output {
    /// Write this; see the module's rule on order.
    Persist(Record),
    /// Send this.
    Send {
        /// To whom.
        to: Recipient,
        /// On which stream.
        class: Class,
        /// One whole message.
        bytes: Bytes,
        /// Whether everything persisted before must be on disk first.
        after_sync: bool,
    },
    /// A peer asks for what only the store still has: read it and send the answer that
    /// `ordering::wire` encodes, on the class that the request names. Not answering is allowed.
    Serve {
        /// Who asks.
        to: ValidatorId,
        /// For what.
        request: StoreRequest,
    },
    /// A peer asks for a batch signed long ago: read [`Record::Sealed`] and send it what
    /// [`wire::sealed_answer`](crate::wire::sealed_answer) encodes, on [`Class::Ceremony`]. Not answering is allowed.
    ServeSealed {
        /// Who asks.
        to: ValidatorId,
        /// Number of the batch.
        number: u64,
    },
    /// Read the forced-inclusion queue on L1 between these two, and hand back what [`ForcedTelling`](ordering_types::ForcedTelling) makes of it as
    /// [`Input::Queue`]. Not answering is allowed; a new question replaces the one before.
    ReadQueue {
        /// Entries up to here are ordered.
        from: QueueMark,
        /// Up to here they are agreed on.
        to: QueueMark,
    },
    /// Work too heavy for the core's thread: run [`Job::run`] anywhere and hand the result back.
    Job(Job),
    /// A block is ordered. Emitted once a height, in order of height.
    Ordered(Arc<Decided>),
    /// The committee signed a block: its soft confirmation, and that of all before it. Not every block is signed.
    Certified {
        /// The height.
        height: Height,
        /// Over [`Domain::block`](ordering_types::preimage::Domain::block).
        signature: GroupSignature,
    },
    /// The committee signed a batch: it can be posted.
    Sealed(Arc<SealedBatch>),
    /// The founding ceremony is complete, and a quorum has signed the key for the contract.
    Founded(Arc<Founding>),
    /// An epoch has ended, and the next began.
    Switched {
        /// Where, and with which key.
        handover: Handover,
        /// With these members.
        members: Arc<Committee>,
    },
    /// The outgoing committee signed that: L1 and light clients can follow.
    Handover(Arc<Succession>),
    /// From now on these are the peers.
    Peers(Arc<Peers>),
    /// A validator provably misbehaved: keep it, anybody can be shown.
    Evidence(Box<Evidence>),
    /// A peer sent something that no honest one sends; unlike evidence this convinces nobody else.
    PeerFault {
        /// Who.
        peer: ValidatorId,
        /// What, for the log.
        what: String,
    },
    /// The core cannot go on safely; the host stops the process and says why.
    Fatal(String),
}

/// What must be on disk.
#[derive(Clone)]
pub enum Record {
    /// The ordering core's.
    Ordering(ordering::api::Record),
    /// The seed of an epoch's key ceremonies.
    CeremonySeed {
        /// Whose key they make.
        epoch: Epoch,
        /// Secret, to be encrypted.
        seed: Zeroizing<Vec<u8>>,
    },
    /// This node's share of a key made for an epoch, and the group's public data. There may be several of one epoch, until it begins.
    KeyMaterial {
        /// The epoch.
        epoch: Epoch,
        /// The key, as it is shared.
        key: SharedKey,
        /// Secret, to be encrypted.
        material: Zeroizing<Vec<u8>>,
    },
    /// Of the shares of this epoch, only the one of this key is of use any more: erase the others.
    SettleKey {
        /// The epoch, which begins.
        epoch: Epoch,
        /// Its key, as it is shared.
        key: SharedKey,
    },
    /// Seeds and shares of this epoch and those before are of no use any more: erase them.
    ForgetKeys {
        /// The newest of them.
        up_to: Epoch,
    },
    /// A nonce pair is about to be used. Only the newest of each boot matter; opaque.
    NonceBurn {
        /// Unique key of the record: a second record with the same key is refused by the store.
        key: Vec<u8>,
        /// Package hash and share.
        value: Vec<u8>,
    },
    /// A block's group signature.
    Certified {
        /// The height.
        height: Height,
        /// The signature.
        signature: GroupSignature,
    },
    /// A signed batch.
    Sealed(Arc<SealedBatch>),
    /// The founding key and its quorum of signatures.
    Founded(Arc<Founding>),
    /// An outgoing committee's signature for the next. Never forgotten: clients, and nodes that were away for long, go from key to key with them.
    Handover(Arc<Succession>),
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordering(_) => "Ordering",
            Self::CeremonySeed { .. } => "CeremonySeed(redacted)",
            Self::KeyMaterial { .. } => "KeyMaterial(redacted)",
            Self::SettleKey { .. } => "SettleKey",
            Self::ForgetKeys { .. } => "ForgetKeys",
            Self::NonceBurn { .. } => "NonceBurn",
            Self::Certified { .. } => "Certified",
            Self::Sealed(_) => "Sealed",
            Self::Founded(_) => "Founded",
            Self::Handover(_) => "Handover",
        })
    }
}

/// The first group key and what the contract needs to accept it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Founding {
    /// The key.
    pub key: GroupKey,
    /// n − f or more validators' signatures over
    /// [`Domain::initialise`](ordering_types::preimage::Domain::initialise).
    pub signatures: BTreeMap<ValidatorId, Signature>,
}

/// Work for another thread.
#[derive(Clone, Debug)]
pub enum Job {
    /// Compress these blocks, cut them into blobs, commit and prove.
    Encode {
        /// Names the job in its result.
        id: u64,
        /// The batch.
        header: BatchHeader,
        /// Its blocks, in order.
        blocks: Vec<Arc<Block>>,
    },
    /// Decode a peer's encoding, compare with our own blocks, check its KZG proofs.
    Check {
        /// Names the job in its result.
        id: u64,
        /// The batch.
        header: BatchHeader,
        /// Its blocks, in order.
        blocks: Vec<Arc<Block>>,
        /// What the peer made.
        encoded: Arc<EncodedBatch>,
    },
}

/// What came of a job.
#[derive(Clone, Debug)]
pub enum JobResult {
    /// An encoding, or why there is none.
    Encoded {
        /// The job's id.
        id: u64,
        /// The encoding.
        result: Result<Arc<EncodedBatch>, String>,
    },
    /// Whether a peer's encoding says what our blocks say.
    Checked {
        /// The job's id.
        id: u64,
        /// `Err` says what is wrong with it.
        result: Result<(), String>,
    },
}

/// What the host found on disk at start.
#[derive(Debug, Default)]
pub struct Recovered {
    /// For the ordering core.
    pub ordering: ordering::api::Recovered,
    /// Every [`Record::CeremonySeed`] that is not forgotten.
    pub ceremony_seeds: BTreeMap<Epoch, Zeroizing<Vec<u8>>>,
    /// Every [`Record::KeyMaterial`] that is not forgotten.
    pub key_material: BTreeMap<Epoch, Vec<Zeroizing<Vec<u8>>>>,
    /// The [`Record::Handover`]s of the epochs that the tip's state remembers.
    pub handovers: Vec<Succession>,
    /// Values of the newest [`Record::NonceBurn`]s, at least the last 1,024.
    pub burns: Vec<Vec<u8>>,
    /// [`Record::Founded`].
    pub founding: Option<Founding>,
    /// The blocks that [`system_log_after`] names, in order: those of the ceremony that is under way, if one is.
    pub system_log: Vec<LoggedBlock>,
    /// Header of the newest signed batch before which all are signed too; after a checkpoint at least that of its anchor.
    pub last_sealed: Option<BatchHeader>,
    /// Blocks above that batch, ascending.
    pub unsealed: Vec<Arc<Block>>,
    /// Heights and header hashes of the blocks above the newest [`Record::Certified`], at most the last [`UNCERTIFIED_WINDOW`].
    pub uncertified: Vec<(Height, Digest)>,
}

/// What a block is to the parts that follow the log.
#[derive(Clone, Debug)]
pub struct LoggedBlock {
    /// Its height.
    pub height: Height,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// What validators said in it.
    pub messages: Vec<SystemMessage>,
}

/// A block so far below the newest is not signed any more.
pub const UNCERTIFIED_WINDOW: u64 = 256;

/// After which block the making of a key under way begins: a restart needs all blocks after it. None if no key is being made. `snapshot` is
/// that of the newest block.
pub fn system_log_after(founded: bool, snapshot: Option<&[u8]>) -> Option<Height> {
    if !founded {
        return Some(Height::ZERO);
    }
    Some(EpochBook::of_snapshot(snapshot?)?.ceremony()?.after)
}
