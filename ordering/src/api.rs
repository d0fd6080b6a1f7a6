//! What goes into the ordering core and what comes out of it.
//!
//! The host calls [`Ordering::handle`](crate::Ordering::handle), drains
//! [`next_output`](crate::Ordering::next_output) until it is empty, and sleeps until
//! [`next_deadline`](crate::Ordering::next_deadline) or the next input.
//!
//! Outputs are in order. Before a [`Output::Send`] with `after_sync`, everything persisted by earlier outputs must be
//! on disk; other sends need not wait.

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::block::TxTree;
use ordering_types::{
    Block, Chunk, CommitCertificate, Cut, Digest, Epoch, ForcedEntry, Header, Height, RollupId, TxId,
    ValidatorId,
};

pub use crate::committee::Members;
pub use crate::epoch::{CeremonyStart, EpochBook, EpochEvent, EpochStart};
pub use crate::forced::ForcedBook;
pub use crate::l1::L1Book;

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// Every other member of the committee.
    All,
    /// One member.
    One(ValidatorId),
}

/// Streams between two validators: each has a queue of its own, so that bulk never delays votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Proposals and votes.
    Consensus,
    /// Chunks, progress and requests for chunks.
    Chunks,
    /// Signing sessions and batch encodings.
    Ceremony,
    /// Catching up.
    Sync,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Consensus, Self::Chunks, Self::Ceremony, Self::Sync];
}

/// What the host tells the core.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes from another validator; the host vouches for `from` only.
    Message {
        /// The authenticated sender.
        from: ValidatorId,
        /// One whole message.
        bytes: Bytes,
    },
    /// Place this payload of our own in the log, as a system message.
    System(Vec<u8>),
    /// The answer to [`Output::JudgeCheckpoint`]: whether its context is genuine.
    CheckpointJudged(bool),
    /// The committee signed all batches up to this height; peers hear of it, and only such heights are checkpoints.
    Sealed(Height),
    /// With so many raw bytes a batch fills its blobs, as far as is known; this node proposes to end it there. Nobody else need think so.
    BlobsFullAt(Option<u64>),
    /// The deadline has come (an early one is harmless).
    Wake,
}

/// What the core tells the host.
#[derive(Clone, Debug)]
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
    /// A block is decided. Emitted once a height, in order of height, after its record.
    Decided(Arc<Decided>),
    /// What the newest [`Output::Decided`] means for the epochs.
    Epoch(EpochEvent),
    /// A peer asks for what only the store still has: read it, and send the answer that
    /// [`wire`](crate::wire) encodes. Not answering is allowed.
    Serve {
        /// Who asks.
        to: ValidatorId,
        /// For what.
        request: StoreRequest,
    },
    /// A checkpoint that a quorum decided: go on from there, if its [`context`](Checkpoint::context) is genuine, too? Answer with
    /// [`Input::CheckpointJudged`] before any other input.
    JudgeCheckpoint(Arc<Checkpoint>),
    /// The core goes on after this checkpoint: blocks before this output come from before it, blocks after it follow it.
    Jumped(Arc<Checkpoint>),
    /// A validator provably misbehaved.
    Evidence(Evidence),
    /// The core cannot go on safely; the host stops the process and says why.
    Fatal(String),
}

/// What must be on disk.
#[derive(Clone, Debug)]
pub enum Record {
    /// One entry of the consensus write-ahead log, opaque. Kept until a [`Record::Decided`] of its height or a later
    /// one is on disk.
    Wal {
        /// The height it belongs to.
        height: Height,
        /// The entry.
        entry: Bytes,
    },
    /// A chunk that arrived or was cut here.
    Chunk(Chunk),
    /// A decided block.
    Decided(Arc<Decided>),
    /// This node goes on from here: blocks up to this height will never be held, and those held before are of no use.
    Checkpoint(Arc<Checkpoint>),
}

/// A decided height and the state after it: enough to go on from there without the blocks before.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// Its header.
    pub header: Header,
    /// Proof that a quorum decided it.
    pub certificate: CommitCertificate,
    /// Its [`Decided::snapshot`]; the header commits to it.
    pub snapshot: Bytes,
    /// What the host's other parts need to go on there, opaque here: they check it.
    pub context: Bytes,
}

/// One decided block as it is read for a peer that catches up.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its header.
    pub header: Header,
    /// Proof that a quorum decided it.
    pub certificate: CommitCertificate,
    /// The decided cut, encoded.
    pub cut: Bytes,
    /// [`Decided::covered`].
    pub covered: Vec<Covered>,
    /// Those chunks, if they were asked for.
    pub chunks: Vec<Chunk>,
}

/// One decided height and all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// The tree over its transactions.
    pub tree: TxTree,
    /// Proof that a quorum decided it.
    pub certificate: CommitCertificate,
    /// The decided cut.
    pub cut: Cut,
    /// Its encoding, as voted on.
    pub cut_bytes: Bytes,
    /// The chunks that the cut covers, in the order in which the block has their transactions.
    pub covered: Vec<Covered>,
    /// Entries of the forced-inclusion queue with which the block begins: they stand before its other transactions.
    pub forced: Vec<ForcedEntry>,
    /// What a restart at the next height needs beside the ids of recent transactions; opaque.
    pub snapshot: Bytes,
}

impl Decided {
    /// As a peer gets it, with chunks from [`covered`](Self::covered).
    pub fn served(&self, chunks: Vec<Chunk>) -> Served {
        Served {
            header: self.block.header.clone(),
            certificate: self.certificate.clone(),
            cut: self.cut_bytes.clone(),
            covered: self.covered.clone(),
            chunks,
        }
    }
}

/// A chunk that a decided cut covers: together they give the block's transactions back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The chunk's digest.
    pub digest: Digest,
    /// Places, in the chunk, of the transactions that the block leaves out; ascending, and nearly always none.
    pub left_out: Vec<u32>,
}

/// What a peer may ask the store for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// Decided heights from `first` to `last`, both included; `last - first` is bounded by
    /// [`MAX_SYNC_HEIGHTS`].
    Decided {
        /// First height.
        first: Height,
        /// Last height.
        last: Height,
        /// With the chunks that they cover.
        chunks: bool,
    },
    /// The newest checkpoint that is no higher than this.
    Checkpoint {
        /// The height.
        at_most: Height,
        /// The newest epoch whose key the asker knows.
        known: Epoch,
    },
    /// The chunk with this digest.
    Chunk(Digest),
}

/// Most heights in one answer to a catching-up peer.
pub const MAX_SYNC_HEIGHTS: u64 = 64;

/// One validator's two conflicting signed votes, each checkable by anyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Who.
    pub culprit: ValidatorId,
    /// One vote.
    pub first: ordering_types::SignedVote,
    /// The other, for the same height, round and step.
    pub second: ordering_types::SignedVote,
}

/// What the host found on disk at start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The newest decided block's header, certificate and snapshot, or those of a [`Record::Checkpoint`] that no block follows yet;
    /// `None` at the first start.
    pub tip: Option<Tip>,
    /// Ids of the transactions of the last `duplicate_window_blocks` blocks, ascending by height; fewer blocks after a checkpoint.
    pub recent: Vec<(Height, Vec<(RollupId, TxId)>)>,
    /// Entries of the write-ahead log above the tip, in the order written.
    pub wal: Vec<(Height, Bytes)>,
    /// Stored chunks that no decided cut up to the tip covers, in the order written.
    pub chunks: Vec<Chunk>,
    /// This disk took the place of a lost one: what this validator voted before is not on it.
    pub replaced: bool,
}

/// Where a restart goes on.
#[derive(Clone, Debug)]
pub struct Tip {
    /// Header of the newest decided block.
    pub header: Header,
    /// Its certificate.
    pub certificate: CommitCertificate,
    /// Its [`Decided::snapshot`].
    pub snapshot: Bytes,
}
