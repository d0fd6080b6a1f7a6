//! Messages between validators: one byte that names the kind, then the kind's own encoding.

use bytes::{BufMut, Bytes, BytesMut};
use ordering_types::chunk::{ChunkError, MAX_CHUNK_BYTES};
use ordering_types::codec::{self, DecodeError};
use ordering_types::cut::{MAX_CUT_BYTES, MAX_CUT_LANES, MAX_SYSTEM_MESSAGE_BYTES};
use ordering_types::{
    Chunk, CommitCertificate, Digest, Header, Height, Incarnation, LaneTip, Round, SignedVote, SystemMessage,
    Time,
};
use serde::{Deserialize, Serialize};

use crate::agreement::{SignedProposal, VoteBundle};

/// Most bytes of an answer to a catching-up peer; it holds at least one height all the same.
pub const MAX_SYNC_ANSWER_BYTES: usize = 2 * MAX_CUT_BYTES;
/// Most bytes of any message.
pub const MAX_MESSAGE_BYTES: usize = MAX_SYNC_ANSWER_BYTES + 64 * 1024;

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

/// The answer to [`FetchVote`]. It is signed by the asker, so nobody can invent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchedVote {
    /// That of the question.
    pub(crate) stamp: Time,
    pub(crate) newest: Option<SignedVote>,
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
}

/// One decided height, for a peer that catches up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SyncItem {
    pub(crate) cut: Bytes,
    pub(crate) header: Header,
    pub(crate) certificate: CommitCertificate,
}

impl SyncItem {
    /// About its encoding's length.
    pub(crate) fn weight(&self) -> usize {
        HEAD_BYTES + self.cut.len() + self.certificate.signatures.len() * 80
    }
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
    Decided(Vec<SyncItem>),
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
/// beyond [`MAX_SYNC_ANSWER_BYTES`] is left out; the peer asks again.
pub fn sync_answer(items: impl IntoIterator<Item = (Bytes, Header, CommitCertificate)>) -> Bytes {
    let items = items.into_iter().map(|(cut, header, certificate)| SyncItem { cut, header, certificate });
    Message::Decided(within_answer(items)).encode()
}

/// As many items as one answer may hold.
pub(crate) fn within_answer(items: impl IntoIterator<Item = SyncItem>) -> Vec<SyncItem> {
    let mut bytes = 0;
    let mut answer: Vec<SyncItem> = Vec::new();
    for item in items {
        bytes += item.weight();
        if !answer.is_empty() && bytes > MAX_SYNC_ANSWER_BYTES {
            break;
        }
        answer.push(item);
    }
    answer
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
            Message::Report(Report { stamp: Stamp::default(), decided: Height::new(2), lanes: vec![] }),
            Message::Decided(vec![]),
            Message::FetchVote(FetchVote { stamp: Time::from_millis(5) }),
            Message::FetchedVote(FetchedVote { stamp: Time::from_millis(5), newest: None }),
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

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes.into());
        }

        #[test]
        fn garbage_of_every_kind_never_panics(
            kind in 0u8..15, bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = Message::decode(&framed(kind, &bytes));
        }
    }
}
