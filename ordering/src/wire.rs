//! Messages between validators: one byte that names the kind, then the kind's own encoding.

use bytes::{BufMut, Bytes, BytesMut};
use ordering_types::chunk::{ChunkError, MAX_CHUNK_BYTES};
use ordering_types::codec::{self, DecodeError};
use ordering_types::cut::{MAX_CUT_BYTES, MAX_CUT_LANES, MAX_SYSTEM_MESSAGE_BYTES};
use ordering_types::{
    Chunk, CommitCertificate, Digest, Epoch, Header, Height, Incarnation, LaneTip, Round, SignedVote,
    SystemMessage, Time,
};
use serde::{Deserialize, Serialize};

use crate::agreement::{SignedProposal, VoteBundle};
use crate::api::{Checkpoint, Covered, Served};
use crate::checkpoint::MAX_CHECKPOINT_BYTES;

/// An answer to a catching-up peer ends before the height that would make it longer; it holds at least one height all the same, of
/// which it may leave out chunks.
pub const MAX_SYNC_ANSWER_BYTES: usize = 2 << 20;
/// Most bytes of any message: an answer of one height with the largest cut.
pub const MAX_MESSAGE_BYTES: usize = 2 * MAX_CUT_BYTES + 64 * 1024;

/// Room for what stands around a message's large part.
const HEAD_BYTES: usize = 1_024;
/// A bundle holds one vote of each validator.
const MAX_BUNDLE_BYTES: usize = 64 * 1024;
const MAX_PROGRESS_BYTES: usize = HEAD_BYTES + MAX_CUT_LANES * 64;

/// Orders one sender's reports. Its clock alone would not: one that was ahead, and is set right at a restart, would have everybody
/// take each new report for an old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) incarnation: Incarnation,
    /// The sender's clock, which does not go back while it runs.
    pub(crate) time: Time,
}

/// Up to where a validator holds each lane, and what it decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) stamp: Stamp,
    pub(crate) decided: Height,
    /// Up to where the committee signed all batches, as far as the sender knows.
    pub(crate) sealed: Height,
    /// Whether `lanes` are all with something undecided; else those with news since the last report to the same receiver.
    pub(crate) whole: bool,
    pub(crate) lanes: Vec<LaneTip>,
}

/// Asks for a chunk and up to `ancestors` chunks before it in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchChunk {
    pub(crate) digest: Digest,
    pub(crate) ancestors: u8,
}

/// Asks for the proposal of a round, or of any round for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchProposal {
    pub(crate) height: Height,
    pub(crate) round: Round,
    pub(crate) value: Option<Digest>,
}

/// Asks for the newest vote of the asker that the receiver knows; see [`crate::restart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchVote {
    /// Names the question.
    pub(crate) stamp: Time,
}

/// The answer to [`FetchVote`]. The vote is signed by the asker, so nobody can invent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchedVote {
    /// That of the question.
    pub(crate) stamp: Time,
    pub(crate) newest: Option<SignedVote>,
    /// Newest decided height of who answers.
    pub(crate) decided: Height,
}

/// A proposal with the cut that its value stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProposedCut {
    pub(crate) proposal: SignedProposal,
    pub(crate) cut: Bytes,
}

/// Asks for decided heights, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchDecided {
    pub(crate) first: Height,
    pub(crate) last: Height,
    /// With the chunks behind them: the asker is too far behind to hold any.
    pub(crate) chunks: bool,
}

/// One decided height, for a peer that catches up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncItem {
    pub(crate) cut: Bytes,
    pub(crate) header: Header,
    pub(crate) left_out: LeftOut,
    /// Chunks that the cut covers, encoded; not all of them, perhaps none.
    pub(crate) chunks: Vec<Bytes>,
}

impl SyncItem {
    /// About its encoding's length.
    pub(crate) fn weight(&self) -> usize {
        let chunks: usize = self.chunks.iter().map(|chunk| chunk.len() + 8).sum();
        HEAD_BYTES + self.cut.len() + self.left_out.weight() + chunks
    }
}

/// Decided heights without a gap, ascending. Each header names the one before as its parent, so the certificate of the last
/// proves all; and each cut carries a certificate for the header before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DecidedRun {
    pub(crate) items: Vec<SyncItem>,
    /// Of the last; none without items.
    pub(crate) certificate: Option<CommitCertificate>,
}

/// Which transactions of the covered chunks a block leaves out: for each chunk that has any, its place among them and one bit a
/// transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut(Vec<(u32, Vec<u8>)>);

impl LeftOut {
    pub(crate) fn of(covered: &[Covered]) -> Self {
        let chunks = (0..).zip(covered).filter(|(_, covered)| !covered.left_out.is_empty());
        let bits = |covered: &Covered| {
            let mut bits = vec![0; covered.left_out.last().map_or(0, |last| *last as usize / 8 + 1)];
            for place in &covered.left_out {
                if let Some(byte) = bits.get_mut(*place as usize / 8) {
                    *byte |= 1 << (place % 8);
                }
            }
            bits
        };
        Self(chunks.map(|(chunk, covered)| (chunk, bits(covered))).collect())
    }

    /// Whether the block leaves out this transaction of this chunk.
    pub(crate) fn has(&self, chunk: u32, place: u32) -> bool {
        let Ok(found) = self.0.binary_search_by_key(&chunk, |(chunk, _)| *chunk) else { return false };
        let byte = self.0.get(found).and_then(|(_, bits)| bits.get(place as usize / 8));
        byte.is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|(_, bits)| bits.len() + 12).sum()
    }
}

/// Asks for a decided height from which a node can go on without those before: the newest that is at most this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchCheckpoint {
    pub(crate) at_most: Height,
    /// The newest epoch whose key the asker knows: it needs the handovers after it.
    pub(crate) known: Epoch,
}

/// Any message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A new chunk, from its owner.
    Chunk(Chunk),
    Report(Report),
    FetchChunk(FetchChunk),
    /// An answer to [`Self::FetchChunk`].
    FetchedChunk(Chunk),
    Vote(SignedVote),
    Bundle(VoteBundle),
    Proposal(ProposedCut),
    FetchProposal(FetchProposal),
    System(SystemMessage),
    FetchDecided(FetchDecided),
    Decided(DecidedRun),
    FetchCheckpoint(FetchCheckpoint),
    Checkpoint(Box<Checkpoint>),
    FetchVote(FetchVote),
    FetchedVote(FetchedVote),
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("empty")]
    Empty,
    #[error("unknown kind {0}")]
    Kind(u8),
    #[error(transparent)]
    Codec(#[from] DecodeError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

const CHUNK: u8 = 1;
const REPORT: u8 = 2;
const FETCH_CHUNK: u8 = 3;
const FETCHED_CHUNK: u8 = 4;
const VOTE: u8 = 5;
const BUNDLE: u8 = 6;
const PROPOSAL: u8 = 7;
const FETCH_PROPOSAL: u8 = 8;
const SYSTEM: u8 = 9;
const FETCH_DECIDED: u8 = 10;
const DECIDED: u8 = 11;
const FETCH_VOTE: u8 = 12;
const FETCHED_VOTE: u8 = 13;
const FETCH_CHECKPOINT: u8 = 14;
const CHECKPOINT: u8 = 15;

fn framed(kind: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + body.len());
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes.freeze()
}

impl Message {
    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Chunk(chunk) => framed(CHUNK, chunk.bytes()),
            Self::Report(m) => framed(REPORT, &codec::encode(m)),
            Self::FetchChunk(m) => framed(FETCH_CHUNK, &codec::encode(m)),
            Self::FetchedChunk(chunk) => framed(FETCHED_CHUNK, chunk.bytes()),
            Self::Vote(m) => framed(VOTE, &codec::encode(m)),
            Self::Bundle(m) => framed(BUNDLE, &codec::encode(m)),
            Self::Proposal(m) => framed(PROPOSAL, &codec::encode(m)),
            Self::FetchProposal(m) => framed(FETCH_PROPOSAL, &codec::encode(m)),
            Self::System(m) => framed(SYSTEM, &codec::encode(m)),
            Self::FetchDecided(m) => framed(FETCH_DECIDED, &codec::encode(m)),
            Self::Decided(m) => framed(DECIDED, &codec::encode(m)),
            Self::FetchCheckpoint(m) => framed(FETCH_CHECKPOINT, &codec::encode(m)),
            Self::Checkpoint(m) => framed(CHECKPOINT, &codec::encode(m)),
            Self::FetchVote(m) => framed(FETCH_VOTE, &codec::encode(m)),
            Self::FetchedVote(m) => framed(FETCHED_VOTE, &codec::encode(m)),
        }
    }

    /// Reads one whole message; each kind has its own limit.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let (kind, body) = bytes.split_first().ok_or(WireError::Empty)?;
        let chunk = || {
            if body.len() > MAX_CHUNK_BYTES {
                return Err(ChunkError::TooLong(body.len()));
            }
            Chunk::decode(bytes.slice(1..))
        };
        Ok(match *kind {
            CHUNK => Self::Chunk(chunk()?),
            FETCHED_CHUNK => Self::FetchedChunk(chunk()?),
            REPORT => Self::Report(codec::decode(body, MAX_PROGRESS_BYTES)?),
            FETCH_CHUNK => Self::FetchChunk(codec::decode(body, HEAD_BYTES)?),
            VOTE => Self::Vote(codec::decode(body, HEAD_BYTES)?),
            BUNDLE => Self::Bundle(codec::decode(body, MAX_BUNDLE_BYTES)?),
            PROPOSAL => Self::Proposal(codec::decode(body, MAX_CUT_BYTES + HEAD_BYTES)?),
            FETCH_PROPOSAL => Self::FetchProposal(codec::decode(body, HEAD_BYTES)?),
            SYSTEM => Self::System(codec::decode(body, MAX_SYSTEM_MESSAGE_BYTES + HEAD_BYTES)?),
            FETCH_DECIDED => Self::FetchDecided(codec::decode(body, HEAD_BYTES)?),
            DECIDED => Self::Decided(codec::decode(body, MAX_MESSAGE_BYTES)?),
            FETCH_CHECKPOINT => Self::FetchCheckpoint(codec::decode(body, HEAD_BYTES)?),
            CHECKPOINT => Self::Checkpoint(Box::new(codec::decode(body, MAX_CHECKPOINT_BYTES)?)),
            FETCH_VOTE => Self::FetchVote(codec::decode(body, HEAD_BYTES)?),
            FETCHED_VOTE => Self::FetchedVote(codec::decode(body, HEAD_BYTES)?),
            other => return Err(WireError::Kind(other)),
        })
    }
}

/// The answer to [`StoreRequest::Chunk`](crate::api::StoreRequest::Chunk), to be sent on
/// [`Class::Chunks`](crate::api::Class::Chunks) (or any other).
pub fn chunk_answer(chunk: &Chunk) -> Bytes {
    framed(FETCHED_CHUNK, chunk.bytes())
}

/// The answer to [`StoreRequest::Decided`](crate::api::StoreRequest::Decided), to be sent on
/// [`Class::Sync`](crate::api::Class::Sync): heights in ascending order without a gap, from the first one asked for. What goes
/// beyond [`MAX_SYNC_ANSWER_BYTES`] is left out, so read no more than that; the peer asks again.
pub fn sync_answer(blocks: impl IntoIterator<Item = Served>) -> Bytes {
    Message::Decided(within_answer(blocks)).encode()
}

/// The answer to [`StoreRequest::Checkpoint`](crate::api::StoreRequest::Checkpoint), to be sent on
/// [`Class::Sync`](crate::api::Class::Sync).
pub fn checkpoint_answer(checkpoint: &Checkpoint) -> Bytes {
    framed(CHECKPOINT, &codec::encode(checkpoint))
}

/// As many heights as one answer may hold.
pub(crate) fn within_answer(blocks: impl IntoIterator<Item = Served>) -> DecidedRun {
    let mut bytes = 0;
    let mut run = DecidedRun { items: Vec::new(), certificate: None };
    for Served { header, certificate, cut, covered, chunks } in blocks {
        if run.items.last().is_some_and(|last| last.header.epoch != header.epoch) {
            break;
        }
        let chunks = chunks.iter().map(|chunk| chunk.bytes().clone()).collect();
        let mut item = SyncItem { cut, header, left_out: LeftOut::of(&covered), chunks };
        let weight = item.weight();
        if bytes + weight + certificate.signatures.len() * 80 > MAX_SYNC_ANSWER_BYTES {
            if !run.items.is_empty() {
                break;
            }
            // Of a height that fills more than an answer, the asker fetches the other chunks as it would any.
            while item.weight() > MAX_SYNC_ANSWER_BYTES && item.chunks.pop().is_some() {}
        }
        bytes += weight;
        run.items.push(item);
        run.certificate = Some(certificate);
    }
    run
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_survive_the_wire_and_trailing_bytes_do_not() {
        let fetch = FetchChunk { digest: Digest::sha256(&[b"x"]), ancestors: 3 };
        for message in [
            Message::FetchChunk(fetch),
            Message::Report(Report {
                stamp: Stamp::default(),
                sealed: Height::new(3),
                decided: Height::new(2),
                whole: true,
                lanes: vec![],
            }),
            Message::Decided(DecidedRun { items: vec![], certificate: None }),
            Message::FetchCheckpoint(FetchCheckpoint { at_most: Height::new(4), known: Epoch::new(2) }),
            Message::FetchVote(FetchVote { stamp: Time::from_millis(5) }),
            Message::FetchedVote(FetchedVote {
                stamp: Time::from_millis(5),
                newest: None,
                decided: Height::new(4),
            }),
        ] {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes).unwrap(), message);
            let longer = [bytes.as_ref(), &[0]].concat();
            Message::decode(&longer.into()).unwrap_err();
        }
    }

    #[test]
    fn a_huge_length_prefix_reserves_nothing() {
        let hostile = [&[DECIDED][..], &u64::MAX.to_be_bytes()].concat();
        Message::decode(&hostile.into()).unwrap_err();
    }

    /// A block of many transactions that it leaves out must still fit into a message.
    #[test]
    fn what_a_block_leaves_out_survives_in_a_bit_each() {
        let covered = |left_out: Vec<u32>| Covered { digest: Digest::ZERO, left_out };
        let left_out = LeftOut::of(&[covered(vec![]), covered(vec![0, 9]), covered((0..80_000).collect())]);
        for (chunk, place, is_left_out) in [
            (0, 0, false),
            (1, 0, true),
            (1, 1, false),
            (1, 9, true),
            (1, 99, false),
            (2, 79_999, true),
            (3, 0, false),
        ] {
            assert_eq!(left_out.has(chunk, place), is_left_out, "{chunk} {place}");
        }
        assert!(left_out.weight() < 80_000 / 8 + 100);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes.into());
        }

        #[test]
        fn garbage_of_every_kind_never_panics(
            kind in 0u8..17, bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = Message::decode(&framed(kind, &bytes));
        }
    }
}
