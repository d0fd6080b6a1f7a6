#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{Block, Digest, Epoch, Header, Height, L1Reference, RollupId, RollupSection};
use proptest::prelude::*;

use super::*;
use crate::blob::MAX_PAYLOAD_BYTES;
use crate::columns::Columns;
use crate::frame::{Frame, put_frame, put_stored_frame};
use crate::header::BatchHeader;
use crate::policies::{Policies, Policy};
use crate::transactions::Body;

const BLOB: RollupId = RollupId::new(1);
const OTHER: RollupId = RollupId::new(2);
const ETHEREUM: RollupId = RollupId::new(3);
const PRIVATE: RollupId = RollupId::new(9);

fn policies() -> Policies {
    let policy = |kind, data| Policy { kind, data };
    [
        (BLOB, policy(RollupKind::Opaque, DataPolicy::Blob)),
        (OTHER, policy(RollupKind::Opaque, DataPolicy::Blob)),
        (ETHEREUM, policy(RollupKind::Evm, DataPolicy::Blob)),
        (PRIVATE, policy(RollupKind::Evm, DataPolicy::Committee)),
    ]
    .into_iter()
    .collect()
}

fn digest(text: &str, number: u64) -> Digest {
    Digest::sha256(&[text.as_bytes(), &number.to_be_bytes()])
}

fn section(rollup: RollupId, transactions: &[&[u8]]) -> RollupSection {
    RollupSection { rollup, transactions: transactions.iter().map(|t| Bytes::copy_from_slice(t)).collect() }
}

/// A chain of blocks with these sections, and the header of their batch.
fn batch(all: Vec<Vec<RollupSection>>) -> (BatchHeader, Vec<Arc<Block>>) {
    let mut parent = digest("before", 0);
    let mut blocks = Vec::new();
    let count = all.len() as u64;
    for (place, sections) in all.into_iter().enumerate() {
        let number = place as u64;
        let mut block = Block {
            header: Header {
                version: 1,
                chain_spec: digest("spec", 0),
                epoch: Epoch::new(3),
                height: Height::new(100 + number),
                parent,
                time_ms: 1_700_000_000_000 + 37 * number,
                l1_reference: L1Reference { number: 50 + number / 3, hash: digest("l1", number / 3) },
                forced_cursor: 9 + number / 2 * 300,
                cut: digest("cut", number),
                tx_root: Digest::ZERO,
                tx_count: 0,
                state_root: digest("state", number),
                seals_batch: number + 1 == count,
            },
            sections,
        };
        let tree = block.tree();
        (block.header.tx_root, block.header.tx_count) = (tree.root(), tree.count());
        parent = block.header.hash();
        blocks.push(Arc::new(block));
    }
    let last = &blocks.last().unwrap().header;
    let header = BatchHeader {
        number: 7,
        parent: digest("batch", 6),
        epoch: last.epoch,
        first_height: Height::new(100),
        last_height: last.height,
        last_header: last.hash(),
        last_time_ms: last.time_ms,
        forced_cursor: last.forced_cursor,
        l1_reference: last.l1_reference.number,
    };
    (header, blocks)
}

fn sample() -> (BatchHeader, Vec<Arc<Block>>) {
    batch(vec![
        vec![section(BLOB, &[b"one", b"two"]), section(PRIVATE, &[b"secret"])],
        vec![],
        vec![section(OTHER, &[&[7; 300]])],
        vec![section(BLOB, &[&[1; 200]]), section(OTHER, &[b"x"]), section(PRIVATE, &[b"s1", b"s2"])],
    ])
}

/// EIP-1559 transactions of ERC-20 transfers; nobody has signed them.
fn transfers(count: u8) -> RollupSection {
    let transfer = |number: u8| {
        let noise = [digest("noise", number.into()), digest("more", number.into())];
        let hexadecimal = format!(
            "02f8b3830149618201{number:02x}830f424084b2d05e0082ea6094{token}80b844a9059cbb{zeros}{to}{zeros}{zeros}{amount:016x}\
             c080a0{r}a05a{s}",
            token = hex::encode([0x42; 20]),
            zeros = "00".repeat(12),
            to = hex::encode([number; 20]),
            amount = 1_000_000_000_000_000_000_u64 + u64::from(number),
            r = noise[0],
            s = &noise[1].to_string()[2..],
        );
        Bytes::from(hex::decode(hexadecimal).unwrap())
    };
    RollupSection { rollup: ETHEREUM, transactions: (0x80..0x80 + count).map(transfer).collect() }
}

/// Transactions of Ethereum among which something else was ordered.
fn mixed_sample() -> (BatchHeader, Vec<Arc<Block>>) {
    let mut second = transfers(5);
    second.transactions.insert(2, Bytes::from_static(b"no transaction"));
    second.transactions.drain(..2);
    batch(vec![
        vec![section(BLOB, &[b"one"]), transfers(2)],
        vec![second, section(PRIVATE, &[b"secret"])],
        vec![section(OTHER, &[&[7; 300]])],
    ])
}

fn read(payload: &[u8], header: &BatchHeader) -> Result<DecodedBatch, PayloadError> {
    let policies = policies();
    let context =
        Context { parent_header: digest("before", 0), chain_spec: digest("spec", 0), policies: &policies };
    decode(payload, header, &context)
}

/// What a reader must find: data where the policy says blob, the commitment elsewhere.
fn expected(blocks: &[Arc<Block>]) -> Vec<DecodedBlock> {
    let content = |section: &RollupSection| match policies().of_rollup(section.rollup).unwrap().data {
        DataPolicy::Blob => Content::Data(section.transactions.clone()),
        DataPolicy::Committee => Content::Commitment {
            count: section.transactions.len() as u32,
            root: ordering_types::merkle::root(&section.leaves()),
        },
    };
    blocks
        .iter()
        .map(|block| DecodedBlock {
            height: block.header.height,
            time_ms: block.header.time_ms,
            l1_reference: block.header.l1_reference,
            forced_cursor: block.header.forced_cursor,
            sections: block
                .sections
                .iter()
                .map(|s| DecodedSection { rollup: s.rollup, content: content(s) })
                .collect(),
            header: Some(block.header.clone()),
        })
        .collect()
}

#[test]
fn a_reader_finds_the_same_blocks_and_headers() {
    let (header, blocks) = sample();
    let payload = encode(&header, &blocks, &policies()).unwrap();
    let decoded = read(&payload, &header).unwrap();
    assert_eq!(decoded.blocks, expected(&blocks));
    assert_eq!(decoded.broken, []);
    assert!(!payload.windows(6).any(|w| w == b"secret"), "data of a committee rollup reached L1");
}

/// What a payload's frames and columns hold, with the bytes between them: the format without the compressor's choices.
fn opened(payload: &[u8]) -> Vec<Vec<u8>> {
    let mut columns = Columns(payload);
    let mut parts = vec![columns.take(1).unwrap().to_vec()];
    let mut open = |columns: &mut Columns<'_>, layout| {
        let raw = Frame::read(columns).unwrap().open(&mut { MAX_RAW_BYTES }).unwrap().into_owned();
        match layout {
            LAYOUT_TRANSACTIONS => parts.extend(Body::open(&raw, &mut { MAX_RAW_BYTES }).unwrap().parts()),
            _ => parts.push(raw),
        }
    };
    open(&mut columns, LAYOUT_PLAIN);
    let mut heads = Vec::new();
    for _ in 0..columns.u16().unwrap() {
        let head = columns.take(5).unwrap().to_vec();
        let layout = head[4];
        heads.push(head);
        open(&mut columns, layout);
    }
    parts.extend(heads);
    parts
}

/// Such bytes are on L1 for ever: whatever the encoder learns, this payload keeps its meaning.
#[test]
fn the_format_is_pinned() {
    let (header, blocks) = mixed_sample();
    let pinned = hex::decode(include_str!("version-3.hex").trim()).unwrap();
    assert_eq!(read(&pinned, &header).unwrap().blocks, expected(&blocks));
    let payload = encode(&header, &blocks, &policies()).unwrap();
    assert_eq!(opened(&payload), opened(&pinned), "a new layout needs a new version byte");
}

#[test]
fn transactions_of_ethereum_go_in_columns_where_that_is_shorter() {
    let (header, blocks) = mixed_sample();
    let payload = encode(&header, &blocks, &policies()).unwrap();
    assert_eq!(layouts(&payload), [LAYOUT_PLAIN, LAYOUT_PLAIN, LAYOUT_TRANSACTIONS, LAYOUT_COMMITMENT]);
    assert_eq!(read(&payload, &header).unwrap().blocks, expected(&blocks));
    let opened = opened(&payload);
    assert!(opened.iter().any(|part| part == b"no transaction"), "all others are told in fields");
    // One transaction of which nothing is known compresses badly: it goes as it is.
    let (header, blocks) = batch(vec![vec![section(ETHEREUM, &[b"no transaction"])]]);
    let payload = encode(&header, &blocks, &policies()).unwrap();
    assert_eq!(layouts(&payload), [LAYOUT_PLAIN]);
}

fn layouts(payload: &[u8]) -> Vec<u8> {
    let mut columns = Columns(&payload[1..]);
    Frame::read(&mut columns).unwrap();
    let mut layouts = Vec::new();
    for _ in 0..columns.u16().unwrap() {
        layouts.push(columns.take(5).unwrap()[4]);
        Frame::read(&mut columns).unwrap();
    }
    layouts
}

/// The columns of Ethereum's transactions are of rollups that have such only.
#[test]
fn columns_of_transactions_of_another_kind_of_rollup_count_as_empty() {
    let (header, blocks) = mixed_sample();
    let policy = Policy { kind: RollupKind::Evm, data: DataPolicy::Blob };
    let all_evm: Policies =
        [BLOB, OTHER, ETHEREUM, PRIVATE].into_iter().map(|rollup| (rollup, policy)).collect();
    let mut bent = blocks.clone();
    Arc::make_mut(&mut bent[2]).sections = vec![RollupSection { rollup: OTHER, ..transfers(3) }];
    let payload = encode(&header, &bent, &all_evm).unwrap();
    let broken = read(&payload, &header).unwrap().broken;
    let layout = |layout| SectionError::Layout(layout);
    assert_eq!(broken, [(OTHER, layout(LAYOUT_TRANSACTIONS)), (PRIVATE, layout(LAYOUT_PLAIN))]);
}

#[test]
fn any_change_of_what_a_block_says_breaks_the_header_chain() {
    let (header, blocks) = sample();
    for bend in [
        |block: &mut Block| block.header.cut = Digest::ZERO,
        |block: &mut Block| block.header.state_root = Digest::ZERO,
        |block: &mut Block| block.header.time_ms += 1,
        |block: &mut Block| block.header.version += 1,
        |block: &mut Block| block.header.seals_batch = !block.header.seals_batch,
        |block: &mut Block| block.header.l1_reference.hash = Digest::ZERO,
        |block: &mut Block| block.header.forced_cursor -= 1,
        |block: &mut Block| block.sections = vec![section(BLOB, &[b"one", b"tw0"])],
        |block: &mut Block| block.sections.clear(),
    ] {
        let mut bent = blocks.clone();
        bend(Arc::make_mut(&mut bent[0]));
        let payload = encode(&header, &bent, &policies()).unwrap();
        assert!(matches!(read(&payload, &header), Err(PayloadError::LastHeader { .. })));
    }
}

/// The payload with another frame, which `bend` makes of a rollup's frame, in place of that.
fn with_bent_frame(payload: &[u8], rollup: RollupId, bend: impl Fn(&Frame<'_>) -> Vec<u8>) -> Vec<u8> {
    let mut columns = Columns(&payload[1..]);
    Frame::read(&mut columns).unwrap();
    let rollups = columns.u16().unwrap();
    let mut out = payload[..payload.len() - columns.0.len()].to_vec();
    for _ in 0..rollups {
        let head = columns.array::<5>().unwrap();
        out.extend_from_slice(&head);
        let rest = columns.0;
        let frame = Frame::read(&mut columns).unwrap();
        if head[..4] == rollup.get().to_be_bytes() {
            out.extend(bend(&frame));
        } else {
            out.extend_from_slice(&rest[..rest.len() - columns.0.len()]);
        }
    }
    out
}

fn assert_empty_alone(payload: &[u8], header: &BatchHeader, blocks: &[Arc<Block>], rollup: RollupId) {
    let decoded = read(payload, header).unwrap();
    assert_eq!(decoded.broken.iter().map(|(rollup, _)| *rollup).collect::<Vec<_>>(), [rollup]);
    let mut wanted = expected(blocks);
    for block in &mut wanted {
        block.sections.retain(|s| s.rollup != rollup);
        block.header = None;
    }
    assert_eq!(decoded.blocks, wanted);
}

/// A rollup's stored bytes are damaged: it counts as empty, the others are read, headers are withheld.
#[test]
fn a_broken_rollup_is_empty_and_blocks_no_other() {
    let (header, blocks) = sample();
    let good = encode(&header, &blocks, &policies()).unwrap();
    let bent = with_bent_frame(&good, BLOB, |_| {
        let mut out = Vec::new();
        put_frame(&mut out, b"\x01\x00\x05garbage");
        out
    });
    assert_empty_alone(&bent, &header, &blocks, BLOB);
}

/// The same where a rollup's transactions are told in columns: none, too few, too many, others' bytes, more than a batch may hold.
#[test]
fn broken_columns_are_empty_and_block_no_other() {
    let (header, blocks) = mixed_sample();
    let good = encode(&header, &blocks, &policies()).unwrap();
    let bends: [fn(&mut Vec<u8>); 6] = [
        Vec::clear,
        |body| body.truncate(body.len() - 1),
        |body| body.push(0),
        |body| body[0] ^= 1,
        |body| body.reverse(),
        |body| drop(body.splice(..0, [0xfe, 0xff, 0xff, 0xff, 0x0f])),
    ];
    for bend in bends {
        let bent = with_bent_frame(&good, ETHEREUM, |frame| {
            let mut body = frame.open(&mut { MAX_RAW_BYTES }).unwrap().into_owned();
            bend(&mut body);
            let mut out = Vec::new();
            put_stored_frame(&mut out, &body);
            out
        });
        assert_empty_alone(&bent, &header, &blocks, ETHEREUM);
    }
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_decompressed() {
    let (header, _) = sample();
    let bomb = zstd::bulk::compress(&vec![0; 200 << 20], 3).unwrap();
    for claimed in [200_u32 << 20, u32::MAX, 1_000] {
        let mut payload = vec![VERSION, 1];
        payload.extend_from_slice(&claimed.to_be_bytes());
        payload.extend_from_slice(&(bomb.len() as u32).to_be_bytes());
        payload.extend_from_slice(&bomb);
        payload.extend_from_slice(&[0, 0]);
        assert!(matches!(read(&payload, &header), Err(PayloadError::Heads(_))));
    }
}

#[test]
fn the_budget_is_shared_by_all_rollups() {
    let (header, blocks) = batch(vec![vec![]]);
    let mut payload = encode(&header, &blocks, &policies()).unwrap();
    payload.truncate(payload.len() - 2);
    payload.extend_from_slice(&2_u16.to_be_bytes());
    let zeros = vec![0; MAX_RAW_BYTES / 2 + 1];
    for rollup in [BLOB, OTHER] {
        payload.extend_from_slice(&rollup.get().to_be_bytes());
        payload.push(LAYOUT_PLAIN);
        put_frame(&mut payload, &zeros);
    }
    let broken = read(&payload, &header).unwrap().broken;
    assert!(matches!(broken[0], (BLOB, SectionError::Malformed(_))));
    assert!(matches!(broken[1], (OTHER, SectionError::Frame(crate::frame::FrameError::TooLarge { .. }))));
}

#[test]
fn what_is_unknown_or_out_of_place_is_named() {
    let (header, blocks) = sample();
    let good = encode(&header, &blocks, &policies()).unwrap();
    let mut newer = good.clone();
    for version in [VERSION + 1, VERSION - 1] {
        newer[0] = version;
        assert_eq!(read(&newer, &header), Err(PayloadError::Version(version)));
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(read(&longer, &header), Err(PayloadError::Trailing(1)));
    let mut other = header.clone();
    other.last_height = Height::new(104);
    assert_eq!(read(&good, &other), Err(PayloadError::Blocks { expected: 5, got: 4 }));
    let unknown = batch(vec![vec![section(RollupId::new(77), &[b"x"])]]);
    let error = encode(&unknown.0, &unknown.1, &policies());
    assert_eq!(error, Err(EncodeError::UnknownRollup(RollupId::new(77))));
}

/// A rollup that changed its policy to `committee` must not be read from L1 as if it had not.
#[test]
fn a_layout_of_another_policy_counts_as_empty() {
    let (header, blocks) = sample();
    let policy = Policy { kind: RollupKind::Opaque, data: DataPolicy::Blob };
    let all_blob: Policies = [BLOB, OTHER, PRIVATE].into_iter().map(|rollup| (rollup, policy)).collect();
    let payload = encode(&header, &blocks, &all_blob).unwrap();
    assert_eq!(read(&payload, &header).unwrap().broken, [(PRIVATE, SectionError::Layout(LAYOUT_PLAIN))]);
}

prop_compose! {
    fn sections()(
        lengths in proptest::collection::vec((0..4_usize, proptest::collection::vec(1..400_usize, 1..6)), 0..3),
        seed: u8,
        signed in 0..4_u8,
    ) -> Vec<RollupSection> {
        let mut sections: Vec<RollupSection> = Vec::new();
        for (which, lengths) in lengths {
            let rollup = [BLOB, OTHER, PRIVATE, ETHEREUM][which];
            if sections.iter().any(|s| s.rollup == rollup) {
                continue;
            }
            let data: Vec<Vec<u8>> = lengths.iter().map(|l| (0..*l).map(|i| seed ^ (i * l) as u8).collect()).collect();
            sections.push(section(rollup, &data.iter().map(Vec::as_slice).collect::<Vec<_>>()));
            if rollup == ETHEREUM {
                sections.last_mut().unwrap().transactions.extend(transfers(signed).transactions);
            }
        }
        sections.sort_by_key(|s| s.rollup);
        sections
    }
}

proptest! {
    #[test]
    fn every_batch_comes_back_and_costs_no_more_than_its_bound(all in proptest::collection::vec(sections(), 1..12)) {
        let (header, blocks) = batch(all);
        let payload = encode(&header, &blocks, &policies()).unwrap();
        let bound: usize = blocks.iter().map(|b| block_cost(b, &policies())).sum();
        prop_assert!(payload.len() <= bound + BATCH_OVERHEAD_BYTES);
        prop_assert!(payload.len() <= MAX_PAYLOAD_BYTES);
        let decoded = read(&payload, &header).unwrap();
        prop_assert_eq!(decoded.blocks, expected(&blocks));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (header, _) = sample();
        prop_assert!(read(&bytes, &header).is_err());
    }

    /// Damage anywhere: an error or a broken rollup, never other transactions under a proven header.
    #[test]
    fn damage_is_never_read_as_something_else(at in 0..4_000_usize, byte: u8) {
        let (header, blocks) = mixed_sample();
        let mut payload = encode(&header, &blocks, &policies()).unwrap();
        let at = at % payload.len();
        prop_assume!(payload[at] != byte);
        payload[at] = byte;
        if let Ok(decoded) = read(&payload, &header) {
            prop_assert!(!decoded.broken.is_empty() || decoded.blocks == expected(&blocks));
        }
    }
}
