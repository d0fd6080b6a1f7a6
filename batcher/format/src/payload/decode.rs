//! Bytes to blocks. Everything here is hostile until the headers lead to the signed one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::transaction::MAX_TRANSACTION_BYTES;
use ordering_types::{Digest, Header, Height, L1Reference, RollupId};

use super::{
    Content, DecodedBatch, DecodedBlock, DecodedSection, FLAG_FORCED, FLAG_L1, FLAG_SEALS, LAYOUT_COMMITMENT,
    LAYOUT_PLAIN, LAYOUT_TRANSACTIONS, MAX_BLOCKS, MAX_RAW_BYTES, MAX_ROLLUPS, MAX_TRANSACTIONS, VERSION,
    roots,
};
use crate::columns::{ColumnError, Columns};
use crate::frame::{Frame, FrameError};
use crate::header::BatchHeader;
use crate::policies::{Policies, Policy};
use crate::transactions::Body;

/// What a reader knows beside the payload and its batch header.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Header hash of the last block of the batch before; zero for batch 1.
    pub parent_header: Digest,
    /// Hash of the chain specification.
    pub chain_spec: Digest,
    /// Where each rollup's data is to be.
    pub policies: &'a Policies,
}

/// Why bytes are no payload of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Another layout than the genesis file says.
    #[error("payload version {0} is not that of the genesis file")]
    Version(u8),
    /// The heads' frame.
    #[error("heads: {0}")]
    Heads(#[from] FrameError),
    /// Columns that end early or hold impossible values.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The heads are of another number of blocks than the header.
    #[error("{got} blocks, the batch header says {expected}")]
    Blocks {
        /// By the batch header.
        expected: u64,
        /// By the payload.
        got: u64,
    },
    /// Bytes behind the last rollup.
    #[error("{0} bytes behind the last rollup")]
    Trailing(usize),
    /// The headers do not lead to the one that the batch header names.
    #[error("header chain ends in {got}, the batch header says {expected}")]
    LastHeader {
        /// By the batch header.
        expected: Digest,
        /// Recomputed.
        got: Digest,
    },
    /// Time, L1 reference or forced cursor of the last block differ from the batch header.
    #[error("{0} of the last block is not the batch header's")]
    Last(&'static str),
}

/// Why one rollup's part of a batch counts as empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// Its frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not a rollup of the chain specification.
    #[error("not a rollup of the chain specification")]
    Unknown,
    /// A layout that this code does not know, or that is not of the rollup's data policy.
    #[error("layout {0} is unknown or not of the rollup's data policy")]
    Layout(u8),
    /// Columns that end early or hold impossible values.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

impl From<ColumnError> for PayloadError {
    fn from(error: ColumnError) -> Self {
        Self::Malformed(column_text(error))
    }
}

impl From<ColumnError> for SectionError {
    fn from(error: ColumnError) -> Self {
        Self::Malformed(column_text(error))
    }
}

const fn column_text(error: ColumnError) -> &'static str {
    match error {
        ColumnError::Truncated => "ends inside a value",
        ColumnError::Varint => "a number that is too large or not in its shortest form",
    }
}

/// Reads a payload and proves it against its batch header.
pub fn decode(
    payload: &[u8],
    header: &BatchHeader,
    context: &Context<'_>,
) -> Result<DecodedBatch, PayloadError> {
    let mut budget = MAX_RAW_BYTES;
    let mut columns = Columns(payload);
    let version = columns.byte()?;
    if version != VERSION {
        return Err(PayloadError::Version(version));
    }
    let heads = read_heads(&Frame::read(&mut columns)?.open(&mut budget)?, header.block_count())?;
    let (mut sections, broken) = read_rollups(&mut columns, heads.len(), &mut budget, context.policies)?;
    if !columns.is_empty() {
        return Err(PayloadError::Trailing(columns.0.len()));
    }
    let mut height = header.first_height;
    let mut blocks = Vec::with_capacity(heads.len());
    for (place, head) in heads.iter().enumerate() {
        blocks.push(DecodedBlock {
            height,
            time_ms: head.time_ms,
            l1_reference: head.l1_reference,
            forced_cursor: head.forced_cursor,
            sections: sections.remove(&place).unwrap_or_default(),
            header: None,
        });
        height = height.next();
    }
    check_last(&heads, header)?;
    if broken.is_empty() {
        prove_headers(&mut blocks, &heads, header, context)?;
    }
    Ok(DecodedBatch { blocks, broken })
}

/// What a payload says of one block beside its transactions.
struct Head {
    version: u16,
    seals_batch: bool,
    time_ms: u64,
    cut: Digest,
    state_root: Digest,
    l1_reference: L1Reference,
    forced_cursor: u64,
}

fn read_heads(raw: &[u8], expected: u64) -> Result<Vec<Head>, PayloadError> {
    let mut columns = Columns(raw);
    let got = columns.varint()?;
    let count = usize::try_from(got).unwrap_or(usize::MAX);
    if got != expected || count == 0 || count > MAX_BLOCKS {
        return Err(PayloadError::Blocks { expected, got });
    }
    let versions = (0..count).map(|_| columns.u16()).collect::<Result<Vec<_>, _>>()?;
    let flags = columns.take(count)?;
    let mut time_ms = 0_u64;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        time_ms = time_ms.checked_add(columns.varint()?).ok_or(PayloadError::Malformed("time overflows"))?;
        times.push(time_ms);
    }
    let mut digests = || (0..count).map(|_| columns.array().map(Digest::new)).collect::<Result<Vec<_>, _>>();
    let (cuts, state_roots) = (digests()?, digests()?);
    let mut l1_reference = L1Reference::default();
    let mut heads = Vec::with_capacity(count);
    let rows = versions.into_iter().zip(flags).zip(times).zip(cuts).zip(state_roots);
    for ((((version, flags), time_ms), cut), state_root) in rows {
        if flags & !(FLAG_SEALS | FLAG_L1 | FLAG_FORCED) != 0 {
            return Err(PayloadError::Malformed("an unknown flag"));
        }
        if flags & FLAG_L1 != 0 {
            let number = u64::from_be_bytes(columns.array()?);
            l1_reference = L1Reference { number, hash: Digest::new(columns.array()?) };
        }
        let seals_batch = flags & FLAG_SEALS != 0;
        heads.push(Head { version, seals_batch, time_ms, cut, state_root, l1_reference, forced_cursor: 0 });
    }
    let mut cursor = 0_u64;
    for (head, flags) in heads.iter_mut().zip(flags) {
        if flags & FLAG_FORCED != 0 {
            let consumed = columns.varint()?;
            cursor =
                cursor.checked_add(consumed).ok_or(PayloadError::Malformed("the forced cursor overflows"))?;
        }
        head.forced_cursor = cursor;
    }
    if columns.is_empty() { Ok(heads) } else { Err(PayloadError::Malformed("bytes behind the heads")) }
}

/// Sections by place of their block, in ascending order of rollup.
type Sections = BTreeMap<usize, Vec<DecodedSection>>;

fn read_rollups(
    columns: &mut Columns<'_>,
    blocks: usize,
    budget: &mut usize,
    policies: &Policies,
) -> Result<(Sections, Vec<(RollupId, SectionError)>), PayloadError> {
    let count = usize::from(columns.u16()?);
    if count > MAX_ROLLUPS {
        return Err(PayloadError::Malformed("too many rollups"));
    }
    let mut sections = Sections::new();
    let mut broken = Vec::new();
    let mut transactions = MAX_TRANSACTIONS;
    let mut previous = None;
    for _ in 0..count {
        let rollup = RollupId::new(columns.u32()?);
        if previous.is_some_and(|previous| previous >= rollup) {
            return Err(PayloadError::Malformed("rollups are not in strictly ascending order"));
        }
        previous = Some(rollup);
        let layout = columns.byte()?;
        let frame = Frame::read(columns)?;
        let policy = policies.of_rollup(rollup);
        match read_rollup(layout, policy, &frame, blocks, budget, &mut transactions) {
            Ok(contents) => {
                for (place, content) in contents {
                    sections.entry(place).or_default().push(DecodedSection { rollup, content });
                }
            }
            Err(error) => broken.push((rollup, error)),
        }
    }
    Ok((sections, broken))
}

fn read_rollup(
    layout: u8,
    policy: Option<Policy>,
    frame: &Frame<'_>,
    blocks: usize,
    budget: &mut usize,
    transactions: &mut usize,
) -> Result<Vec<(usize, Content)>, SectionError> {
    let policy = policy.ok_or(SectionError::Unknown)?;
    match (layout, policy.data, policy.kind) {
        (LAYOUT_PLAIN, DataPolicy::Blob, _) => read_plain(frame.open(budget)?, blocks, transactions),
        (LAYOUT_TRANSACTIONS, DataPolicy::Blob, RollupKind::Evm) => {
            read_transactions(&frame.open(budget)?, blocks, transactions, budget)
        }
        (LAYOUT_COMMITMENT, DataPolicy::Committee, _) => read_commitments(&frame.open(budget)?, blocks),
        _ => Err(SectionError::Layout(layout)),
    }
}

fn read_plain(
    raw: Cow<'_, [u8]>,
    blocks: usize,
    transactions: &mut usize,
) -> Result<Vec<(usize, Content)>, SectionError> {
    let mut columns = Columns(&raw);
    let places = read_places(&mut columns, blocks)?;
    let total = take_transactions(&places, transactions)?;
    let mut lengths = Vec::with_capacity(total.min(columns.0.len()));
    for _ in 0..total {
        let length = usize::try_from(columns.varint()?).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_TRANSACTION_BYTES {
            return Err(SectionError::Malformed("a transaction of an impossible length"));
        }
        lengths.push(length);
    }
    let start = raw.len() - columns.0.len();
    let data = Bytes::from(raw.into_owned()).slice(start..);
    if lengths.iter().sum::<usize>() != data.len() {
        return Err(SectionError::Malformed("lengths do not add up"));
    }
    Ok(contents(places, lengths, data))
}

fn read_transactions(
    body: &[u8],
    blocks: usize,
    transactions: &mut usize,
    budget: &mut usize,
) -> Result<Vec<(usize, Content)>, SectionError> {
    let (places, (data, lengths)) = Body::open(body, budget)?.read(budget, |section| {
        let places = read_places(section, blocks)?;
        let total = take_transactions(&places, transactions)?;
        Ok((places, total))
    })?;
    Ok(contents(places, lengths, data.into()))
}

/// Their number, taken from what a batch may have.
fn take_transactions(places: &[(usize, u32)], transactions: &mut usize) -> Result<usize, SectionError> {
    let total = places.iter().try_fold(0_usize, |sum, (_, count)| sum.checked_add(*count as usize));
    let total = total.unwrap_or(usize::MAX);
    *transactions =
        transactions.checked_sub(total).ok_or(SectionError::Malformed("too many transactions"))?;
    Ok(total)
}

/// Cuts what adds up to `data`.
fn contents(places: Vec<(usize, u32)>, lengths: Vec<usize>, mut data: Bytes) -> Vec<(usize, Content)> {
    let mut lengths = lengths.into_iter();
    let mut contents = Vec::with_capacity(places.len());
    for (place, count) in places {
        let taken = lengths.by_ref().take(count as usize).map(|length| data.split_to(length)).collect();
        contents.push((place, Content::Data(taken)));
    }
    contents
}

fn read_commitments(raw: &[u8], blocks: usize) -> Result<Vec<(usize, Content)>, SectionError> {
    let mut columns = Columns(raw);
    let places = read_places(&mut columns, blocks)?;
    let mut contents = Vec::with_capacity(places.len());
    for (place, count) in places {
        let root = Digest::new(columns.array()?);
        contents.push((place, Content::Commitment { count, root }));
    }
    if columns.is_empty() { Ok(contents) } else { Err(SectionError::Malformed("bytes behind the roots")) }
}

/// Place and count of each section; at least one, at most one a block.
fn read_places(columns: &mut Columns<'_>, blocks: usize) -> Result<Vec<(usize, u32)>, SectionError> {
    let sections = usize::try_from(columns.varint()?).unwrap_or(usize::MAX);
    if sections == 0 || sections > blocks {
        return Err(SectionError::Malformed("an impossible number of sections"));
    }
    let mut next = 0_usize;
    let mut places = Vec::with_capacity(sections);
    for _ in 0..sections {
        let gap = usize::try_from(columns.varint()?).unwrap_or(usize::MAX);
        let place = next.checked_add(gap).filter(|place| *place < blocks);
        let place = place.ok_or(SectionError::Malformed("a section behind the last block"))?;
        places.push((place, 0));
        next = place + 1;
    }
    for (_, count) in &mut places {
        *count = u32::try_from(columns.varint()?).unwrap_or(0);
        if *count == 0 {
            return Err(SectionError::Malformed("an impossible number of transactions"));
        }
    }
    Ok(places)
}

fn check_last(heads: &[Head], header: &BatchHeader) -> Result<(), PayloadError> {
    let last = heads.last().ok_or(PayloadError::Malformed("no blocks"))?;
    if last.time_ms != header.last_time_ms {
        return Err(PayloadError::Last("time"));
    }
    if last.l1_reference.number != header.l1_reference {
        return Err(PayloadError::Last("L1 reference"));
    }
    if last.forced_cursor != header.forced_cursor {
        return Err(PayloadError::Last("forced cursor"));
    }
    Ok(())
}

/// Rebuilds every header from the one before; the last one must be the signed one.
fn prove_headers(
    blocks: &mut [DecodedBlock],
    heads: &[Head],
    batch: &BatchHeader,
    context: &Context<'_>,
) -> Result<(), PayloadError> {
    let mut parent = context.parent_header;
    for (block, head) in blocks.iter_mut().zip(heads) {
        let (tx_count, tx_root) = roots(&block.sections);
        let header = Header {
            version: head.version,
            chain_spec: context.chain_spec,
            epoch: batch.epoch,
            height: Height::new(block.height.get()),
            parent,
            time_ms: head.time_ms,
            l1_reference: head.l1_reference,
            forced_cursor: head.forced_cursor,
            cut: head.cut,
            tx_root,
            tx_count,
            state_root: head.state_root,
            seals_batch: head.seals_batch,
        };
        parent = header.hash();
        block.header = Some(header);
    }
    if parent == batch.last_header {
        Ok(())
    } else {
        Err(PayloadError::LastHeader { expected: batch.last_header, got: parent })
    }
}
