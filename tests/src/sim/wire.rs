//! What validators say to each other, written down a second time.
//!
//! Liars need to take honest messages apart, and the oracle needs to read them without the cores' help. A change of the wire that is not made
//! here as well shows at once: nothing decodes any more, and liars have nothing to lie about ([`Report::lies`](super::Report)).

use bytes::{BufMut, Bytes, BytesMut};
use node_core::api::Class;
use ordering_types::codec;
use ordering_types::{
    Chunk, CommitCertificate, Cut, Digest, Epoch, Header, Height, Incarnation, LaneTip, Round, SecretKey,
    Signature, SignedVote, Time, ValidatorId, VoteKind, preimage::Domain,
};
use serde::{Deserialize, Serialize};

/// A new chunk.
pub const CHUNK: u8 = 1;
/// How far its sender holds each lane.
pub const REPORT: u8 = 2;
/// Asks for a chunk.
pub const FETCH_CHUNK: u8 = 3;
/// The answer.
pub const FETCHED_CHUNK: u8 = 4;
/// A prevote or precommit.
pub const VOTE: u8 = 5;
/// A proposal with its cut.
pub const PROPOSAL: u8 = 7;
/// Decided heights, for a peer that catches up.
pub const DECIDED: u8 = 11;

const LIMIT: usize = 16 << 20;

/// A proposer's claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Epoch.
    pub epoch: Epoch,
    /// Height.
    pub height: Height,
    /// Round.
    pub round: Round,
    /// Earlier round with a quorum of prevotes for the value.
    pub valid_round: Option<Round>,
    /// Header hash.
    pub value: Digest,
    /// Who proposes.
    pub proposer: ValidatorId,
}

/// A signed claim and the cut behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedCut {
    /// The claim.
    pub proposal: Proposal,
    /// By the proposer.
    pub signature: Signature,
    /// The cut's encoding.
    pub cut: Bytes,
}

impl ProposedCut {
    /// The same with a good signature.
    pub fn signed(mut self, domain: &Domain, key: &SecretKey) -> Self {
        let p = &self.proposal;
        self.signature = key.sign(domain.proposal(p.epoch, p.height, p.round, p.valid_round, p.value));
        self
    }

    /// With another cut, that differs in its time.
    pub fn moved(mut self, by_ms: u64) -> Option<Self> {
        let mut cut = Cut::decode(&self.cut).ok()?;
        cut.time_ms += by_ms;
        self.cut = cut.encode().into();
        Some(self)
    }
}

/// Up to where a validator holds each lane, and what it decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Orders its sender's reports: number of its start, and its clock.
    pub stamp: (Incarnation, Time),
    /// Newest decided height.
    pub decided: Height,
    /// Up to where all batches are signed.
    pub sealed: Height,
    /// Whether this is of all lanes, or of those with news.
    pub whole: bool,
    /// Newest chunk of each lane.
    pub lanes: Vec<LaneTip>,
}

/// One decided height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncItem {
    /// The cut's encoding.
    pub cut: Bytes,
    /// The header.
    pub header: Header,
    /// What the block leaves out of its chunks.
    pub left_out: Vec<(u32, Vec<u8>)>,
    /// Chunks that the cut covers.
    pub chunks: Vec<Bytes>,
}

/// Decided heights and the certificate of the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedRun {
    /// Ascending.
    pub items: Vec<SyncItem>,
    /// Of the last.
    pub certificate: Option<CommitCertificate>,
}

/// Takes one message of `kind` apart.
pub fn read<T: for<'a> Deserialize<'a>>(kind: u8, bytes: &[u8]) -> Option<T> {
    let (first, body) = bytes.split_first()?;
    if *first != kind {
        return None;
    }
    codec::decode(body, LIMIT).ok()
}

/// Puts one message of `kind` together.
pub fn write<T: Serialize>(kind: u8, message: &T) -> Bytes {
    framed(kind, &codec::encode(message))
}

/// A kind and its body.
pub fn framed(kind: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + body.len());
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes.freeze()
}

/// A vote, read without the codec.
///
/// ```text
///   u32 kind │ u64 epoch │ u64 height │ u32 round │ u8 has value │ 32 value, if any │ u16 validator │ u64 length │ 65 signature
/// ```
pub fn read_vote(bytes: &[u8]) -> Option<SignedVote> {
    let mut reader = Reader(bytes);
    if reader.array::<1>()? != [VOTE] {
        return None;
    }
    let kind = match u32::from_be_bytes(reader.array()?) {
        0 => VoteKind::Prevote,
        1 => VoteKind::Precommit,
        _ => return None,
    };
    let epoch = Epoch::new(reader.u64()?);
    let height = Height::new(reader.u64()?);
    let round = Round::new(u32::from_be_bytes(reader.array()?));
    let value = match reader.array()? {
        [0] => None,
        [1] => Some(Digest::new(reader.array()?)),
        [_] => return None,
    };
    let validator = ValidatorId::new(u16::from_be_bytes(reader.array()?));
    if reader.u64()? != 65 {
        return None;
    }
    let signature = Signature::new(reader.array()?);
    let vote = ordering_types::Vote { kind, epoch, height, round, value, validator };
    reader.0.is_empty().then_some(SignedVote { vote, signature })
}

/// The last 64 bytes of the record that must be on disk before a signature share leaves: package hash and share.
///
/// ```text
///   u32 0 (signing) │ 8 key │ u64 length │ u8 4 (share) │ u64 epoch │ 9 item │ 32 package │ 32 share │ …
/// ```
pub fn read_share(bytes: &[u8]) -> Option<[u8; 64]> {
    let mut reader = Reader(bytes);
    if reader.array::<4>()? != [0; 4] {
        return None;
    }
    reader.array::<16>()?;
    if reader.array::<1>()? != [4] {
        return None;
    }
    reader.array::<17>()?;
    reader.array()
}

/// The same message with another share and the voucher for it, as `change` makes them of epoch, package hash and share.
///
/// ```text
///   as above, then 65 voucher │ …
/// ```
pub fn with_share(
    bytes: &Bytes,
    change: impl FnOnce(Epoch, &[u8; 32], &mut [u8; 32]) -> [u8; 65],
) -> Option<Bytes> {
    /// Bytes before the epoch, and before the package hash.
    const EPOCH: usize = 21;
    const PACKAGE: usize = EPOCH + 17;
    read_share(bytes)?;
    let mut out = BytesMut::from(bytes.as_ref());
    let epoch = u64::from_be_bytes(*bytes.get(EPOCH..)?.first_chunk()?);
    let (package, rest) = out.get_mut(PACKAGE..)?.split_first_chunk_mut::<32>()?;
    let (share, rest) = rest.split_first_chunk_mut::<32>()?;
    let voucher = rest.first_chunk_mut::<65>()?;
    *voucher = change(Epoch::new(epoch), package, share);
    Some(out.freeze())
}

/// What a chunk says of itself: its parent's digest and its place.
///
/// ```text
///   u16 validator │ u64 incarnation │ u64 sequence │ 32 parent │ …
/// ```
pub fn chunk_place(bytes: &[u8]) -> Option<(u64, Digest)> {
    let mut reader = Reader(bytes);
    reader.array::<10>()?;
    Some((reader.u64()?, Digest::new(reader.array()?)))
}

/// What a message is about, for people who read a trace.
pub fn title(class: Class, bytes: &[u8]) -> Option<String> {
    match class {
        Class::Ceremony => ceremony_title(bytes),
        Class::Consensus => consensus_title(bytes),
        Class::Chunks => chunk_title(bytes),
        Class::Sync => None,
    }
}

fn chunk_title(bytes: &[u8]) -> Option<String> {
    let (kind, body) = bytes.split_first()?;
    match *kind {
        CHUNK | FETCHED_CHUNK => {
            let chunk = Chunk::decode(Bytes::copy_from_slice(body)).ok()?;
            let name = if *kind == CHUNK { "chunk" } else { "answer: chunk" };
            Some(format!("{name} {} of {:?}, {:?}", chunk.sequence(), chunk.lane(), chunk.digest()))
        }
        FETCH_CHUNK => {
            let mut reader = Reader(body);
            let digest = Digest::new(reader.array()?);
            let [ancestors] = reader.array()?;
            Some(format!("wants chunk {digest:?} and {ancestors} before it"))
        }
        REPORT => Some("report".to_owned()),
        _ => None,
    }
}

fn consensus_title(bytes: &[u8]) -> Option<String> {
    if let Some(ProposedCut { proposal, .. }) = read::<ProposedCut>(PROPOSAL, bytes) {
        let Proposal { height, round, valid_round, value, proposer, .. } = proposal;
        let again = valid_round.map_or(String::new(), |round| format!(", valid in {round}"));
        return Some(format!("{proposer}'s proposal {height}/{round} {value:?}{again}"));
    }
    let ordering_types::Vote { kind, height, round, value, validator, .. } = read_vote(bytes)?.vote;
    let value = value.map_or("nil".to_owned(), |value| format!("{value:?}"));
    Some(format!("{validator}'s {kind:?} {height}/{round} {value}"))
}

/// What a ceremony message is, for a trace.
///
/// ```text
///   u32 0 (signing) │ 8 key │ u64 length │ u8 kind │ u64 epoch │ u8 item kind │ u64 item number │ …
///   u32 1 (encoding) or 2 (want sealed) or 3 (sealed) │ u64 number │ …
/// ```
fn ceremony_title(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader(bytes);
    let kind = u32::from_be_bytes(reader.array()?);
    let number = reader.u64()?;
    match kind {
        1 => return Some(format!("encoding of batch {number}")),
        2 => return Some(format!("want batch {number}")),
        3 => return Some(format!("sealed batch {number}")),
        _ => {}
    }
    let [a, b, ..] = number.to_be_bytes();
    let _length = reader.u64()?;
    let [tag] = reader.array()?;
    let epoch = reader.u64()?;
    let names = ["", "want nonces", "nonces", "package", "share", "signature", "request"];
    let name = format!("key {a:02x}{b:02x} of epoch {epoch}: {}", names.get(usize::from(tag))?);
    if tag < 3 {
        return Some(name);
    }
    Some(match (reader.array()?, reader.u64()?) {
        ([1], height) => format!("{name}, block {height}"),
        ([2], session) => format!("{name}, batch {} encoding {:08x}", session >> 32, session & 0xffff_ffff),
        ([3], epoch) => format!("{name}, handover to {epoch}"),
        (_, epoch) => format!("{name}, test for {epoch}"),
    })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}
