//! Round trips through a reader that is written here from the specification; `tests/op-compat` asks one that others wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use ordering_types::Digest;
use proptest::prelude::*;

use super::batch::SINGULAR;
use super::channel::{BROTLI, MAX_RLP_BYTES, MAX_TRANSACTIONS};
use super::{BatchError, ChannelBuilder, ChannelError, L1Origin, L2Block, blob, frame};
use crate::blob::{BLOB_BYTES, Blob, MAX_BLOBS};
use crate::transactions::rlp::Rlp;

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn block(number: u64, transactions: Vec<Bytes>) -> L2Block {
    L2Block {
        parent: Digest::sha256(&[&number.to_be_bytes()]),
        timestamp: 1_700_000_000 + 2 * number,
        origin: L1Origin { number: number / 6, hash: Digest::sha256(&[b"l1", &(number / 6).to_be_bytes()]) },
        transactions,
    }
}

/// One transaction of noise: type 2 by its first byte.
fn transaction(length: usize, seed: u64) -> Bytes {
    [vec![2], noise(length, seed)].concat().into()
}

fn transactions_of(blocks: &[L2Block]) -> Vec<Vec<Blob>> {
    let mut builder = ChannelBuilder::new();
    for block in blocks {
        builder.push(block).unwrap();
    }
    assert_eq!(builder.blocks(), blocks.len());
    builder.close().unwrap().transactions()
}

/// Frames of one channel, one a blob, joined.
fn channel_of(transactions: &[Vec<Blob>]) -> Vec<u8> {
    let frames: Vec<Vec<u8>> =
        transactions.iter().flatten().map(|blob| blob::unpack(blob).unwrap()).collect();
    let mut data = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let (head, body) = frame.split_at(1 + 16 + 2 + 4);
        let (length, body) = (u32::from_be_bytes(head[19..].try_into().unwrap()) as usize, body);
        assert_eq!(head[..17], frames[0][..17], "version and channel");
        assert_eq!(head[0], 0);
        assert_eq!(head[17..19], (number as u16).to_be_bytes());
        assert_eq!(body.len(), length + 1);
        assert_eq!(body[length], u8::from(number + 1 == frames.len()), "last");
        data.extend_from_slice(&body[..length]);
    }
    data
}

fn blocks_of(transactions: &[Vec<Blob>]) -> Vec<L2Block> {
    let channel = channel_of(transactions);
    let (version, compressed) = channel.split_first().unwrap();
    assert_eq!(*version, BROTLI);
    let mut stream = Vec::new();
    brotli::BrotliDecompress(&mut &compressed[..], &mut stream).unwrap();
    // A stream of strings is what is in a list.
    let mut list = Vec::new();
    crate::transactions::rlp::put_list(&mut list, &stream);
    let mut batches = Rlp::whole_list(&list).unwrap();
    let mut blocks = Vec::new();
    while !batches.is_empty() {
        blocks.push(block_of(batches.string().unwrap()));
    }
    blocks
}

fn block_of(batch: &[u8]) -> L2Block {
    assert_eq!(batch[0], SINGULAR);
    let mut fields = Rlp::whole_list(&batch[1..]).unwrap();
    let parent = Digest::new(fields.array().unwrap());
    let number = fields.u64().unwrap();
    let hash = Digest::new(fields.array().unwrap());
    let timestamp = fields.u64().unwrap();
    let mut list = fields.list().unwrap();
    assert!(fields.is_empty());
    let mut transactions = Vec::new();
    while !list.is_empty() {
        transactions.push(Bytes::copy_from_slice(list.string().unwrap()));
    }
    L2Block { parent, timestamp, origin: L1Origin { number, hash }, transactions }
}

fn patched(blob: &Blob, at: usize, byte: u8) -> Blob {
    let mut bytes = blob.as_bytes().to_vec();
    bytes[at] = byte;
    Blob::from_bytes(&bytes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn blocks_come_back(lengths in prop::collection::vec(prop::collection::vec(0..3_000_usize, 0..8), 1..12), seed: u64) {
        let blocks: Vec<L2Block> = (0..)
            .zip(&lengths)
            .map(|(number, lengths)| block(number, lengths.iter().map(|length| transaction(*length, seed)).collect()))
            .collect();
        for block in &blocks {
            let mut stream = Vec::new();
            block.put(&mut stream).unwrap();
            prop_assert!(stream.len() <= block.most_bytes());
        }
        prop_assert_eq!(blocks_of(&transactions_of(&blocks)), blocks);
    }

    #[test]
    fn whatever_unpacks_packs_to_itself(seed: u64, length in 0..40_000_usize, at in 0..BLOB_BYTES, byte: u8) {
        let data = noise(length, seed);
        let packed = blob::pack(&data).unwrap();
        prop_assert_eq!(&blob::unpack(&packed).unwrap(), &data);
        let bent = patched(&packed, at, byte);
        if let Ok(other) = blob::unpack(&bent) {
            prop_assert!(blob::pack(&other).unwrap() == bent);
        }
    }
}

#[test]
fn every_boundary_length_fits_and_one_more_does_not() {
    for length in [0, 1, 26, 27, 28, 122, 123, 124, 127, blob::MAX_DATA_BYTES - 1, blob::MAX_DATA_BYTES] {
        let data = noise(length, 11);
        assert_eq!(blob::unpack(&blob::pack(&data).unwrap()).unwrap(), data, "{length} bytes");
    }
    let longer = noise(blob::MAX_DATA_BYTES + 1, 11);
    assert_eq!(blob::MAX_DATA_BYTES, 130_044);
    assert_eq!(blob::pack(&longer), Err(blob::BlobError::TooLong(longer.len())));
}

#[test]
fn only_the_canonical_coding_is_read() {
    let packed = blob::pack(&noise(1_000, 3)).unwrap();
    let read = |at, byte| blob::unpack(&patched(&packed, at, byte));
    for (at, byte, wanted) in [
        (0, 64, blob::BlobError::Element),
        (1, 1, blob::BlobError::Version(1)),
        (2, 2, blob::BlobError::TooLong((2 << 16) + 1_000)),
        (BLOB_BYTES - 1, 1, blob::BlobError::Padding),
        (BLOB_BYTES - 32, 128, blob::BlobError::Element),
    ] {
        assert_eq!(read(at, byte), Err(wanted));
    }
}

#[test]
fn a_long_channel_goes_over_transactions_of_six_blobs() {
    let blocks: Vec<L2Block> =
        (0..9).map(|number| block(number, vec![transaction(100_000, number)])).collect();
    let transactions = transactions_of(&blocks);
    assert_eq!(transactions.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_BLOBS, 1]);
    assert_eq!(blocks_of(&transactions), blocks);
    assert!(channel_of(&transactions).len() > 6 * frame::MAX_DATA_BYTES);
    assert!(transactions.len() <= MAX_TRANSACTIONS);
}

#[test]
fn a_channel_that_ends_with_a_frame_has_no_empty_one_behind() {
    for (length, frames) in
        [(1, 1), (frame::MAX_DATA_BYTES, 1), (frame::MAX_DATA_BYTES + 1, 2), (2 * frame::MAX_DATA_BYTES, 2)]
    {
        let cut: Vec<Vec<u8>> = frame::cut([7; 16], &vec![1; length]).collect();
        assert_eq!(cut.len(), frames, "{length} bytes");
        let last: Vec<u8> = cut.iter().map(|frame| frame[frame.len() - 1]).collect();
        assert_eq!(last.iter().map(|last| usize::from(*last)).sum::<usize>(), 1);
        assert_eq!(last.last(), Some(&1));
    }
}

/// A batch with one of these is dropped by derivation, and what comes after it too.
#[test]
fn what_derivation_would_drop_is_refused() {
    let mut builder = ChannelBuilder::new();
    assert_eq!(builder.close(), Err(ChannelError::Empty));
    let good = block(1, vec![transaction(10, 1)]);
    builder.push(&good).unwrap();
    let before = builder.bytes();
    let deposit = block(2, vec![transaction(10, 1), vec![0x7e, 1].into()]);
    assert_eq!(builder.push(&deposit), Err(BatchError::Deposit(1).into()));
    assert_eq!(builder.push(&block(2, vec![Bytes::new()])), Err(BatchError::Empty(0).into()));
    assert_eq!((builder.blocks(), builder.bytes()), (1, before));
    assert_eq!(blocks_of(&builder.close().unwrap().transactions()), [good]);
}

#[test]
fn a_full_channel_takes_no_more_and_keeps_what_it_has() {
    let mut builder = ChannelBuilder::new();
    builder.push(&block(1, vec![vec![2; MAX_RLP_BYTES - 1_000].into()])).unwrap();
    let before = builder.bytes();
    let error = builder.push(&block(2, vec![vec![2; 1_000].into()])).unwrap_err();
    assert!(matches!(error, ChannelError::Full(bytes) if bytes > MAX_RLP_BYTES), "{error}");
    assert_eq!((builder.blocks(), builder.bytes()), (1, before));
}

/// A change of what readers get is seen here. Not of what brotli makes of it: another version of it may write other bytes.
#[test]
fn the_coding_is_pinned() {
    let mut stream = Vec::new();
    block(300, vec![transaction(10, 1), transaction(300, 2)]).put(&mut stream).unwrap();
    let frames: Vec<u8> = frame::cut([7; 16], &noise(2 * frame::MAX_DATA_BYTES, 3)).flatten().collect();
    let packed = blob::pack(&noise(blob::MAX_DATA_BYTES, 4)).unwrap();
    let hash = |bytes: &[u8]| hex::encode(Digest::sha256(&[bytes]).as_ref());
    assert_eq!(hash(&stream), "6d7c6683e3b59442939845fac954af1fbae7b5a2ae63e3109574757707ec288b");
    assert_eq!(hash(&frames), "fd66e7c218ac46f2802f41c9bed2090e165ad59b687c244e9f91f3b622b9d4aa");
    assert_eq!(hash(packed.as_bytes()), "6cba8930c15bcfb84ed24e3250e2033de64079f6f1c43007f126587c769383e8");
}
