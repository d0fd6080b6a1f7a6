//! Both ways, over the same batches.

use std::time::{Duration, Instant};

use batcher_format::{Content, Context, measuring, payload};
use bytes::Bytes;
use ordering_types::Digest;

use crate::batches::{batch, policies};

/// As the OP batcher has it: <https://specs.optimism.io/protocol/derivation.html>, with the window that its library takes by itself.
const BROTLI_QUALITY: i32 = 10;
const BROTLI_WINDOW: i32 = 22;

/// One way.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) batches: usize,
    pub(crate) transactions: usize,
    raw: usize,
    stored: usize,
    pub(crate) encode: Duration,
    pub(crate) decode: Duration,
}

impl Measured {
    pub(crate) fn bytes_each(&self) -> f64 {
        self.stored as f64 / self.transactions as f64
    }

    pub(crate) fn megabytes_per(&self, time: Duration) -> f64 {
        self.raw as f64 / 1e6 / time.as_secs_f64()
    }

    fn add(&mut self, transactions: &[Bytes], stored: usize, encode: Duration, decode: Duration) {
        self.batches += 1;
        self.transactions += transactions.len();
        self.raw += transactions.iter().map(Bytes::len).sum::<usize>();
        self.stored += stored;
        self.encode += encode;
        self.decode += decode;
    }
}

/// Ours and brotli's. They take turns batch by batch, so that other work on the machine slows both.
pub(crate) fn measure(batches: &[Vec<Bytes>]) -> [Measured; 2] {
    let (mut ours, mut theirs) = (Measured::default(), Measured::default());
    for transactions in batches {
        let (stored, encode, decode) = run_ours(transactions);
        ours.add(transactions, stored, encode, decode);
        let (stored, encode, decode) = run_brotli(transactions);
        theirs.add(transactions, stored, encode, decode);
    }
    [ours, theirs]
}

/// The whole payload: with the block's head, and decoded up to the proven header.
fn run_ours(transactions: &[Bytes]) -> (usize, Duration, Duration) {
    let policies = policies();
    let (header, blocks) = batch(transactions, usize::MAX);
    let began = Instant::now();
    let payload = payload::encode(&header, &blocks, &policies).expect("the blocks encode").payload;
    let encode = began.elapsed();
    let context = Context { parent_header: Digest::ZERO, chain_spec: Digest::ZERO, policies: &policies };
    let began = Instant::now();
    let decoded = payload::decode((&payload, &[]), &header, &context).expect("the payload decodes");
    let decode = began.elapsed();
    assert_eq!(decoded.broken, []);
    assert!(
        decoded.blocks[0].sections[0].content == Content::Data(transactions.to_vec()),
        "other transactions"
    );
    (payload.len(), encode, decode)
}

/// What each block more adds to a payload: its head, mostly.
pub(crate) fn bytes_of_a_block(transactions: &[Bytes]) -> f64 {
    let payload = |in_one_block| {
        let (header, blocks) = batch(transactions, in_one_block);
        let payload = payload::encode(&header, &blocks, &policies()).expect("the blocks encode").payload;
        (payload.len() as f64, blocks.len() as f64)
    };
    let ((one, _), (many, blocks)) = (payload(usize::MAX), payload(transactions.len().div_ceil(20)));
    (many - one) / (blocks - 1.0)
}

fn run_brotli(transactions: &[Bytes]) -> (usize, Duration, Duration) {
    let raw = transactions.concat();
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin: BROTLI_WINDOW,
        size_hint: raw.len(),
        ..Default::default()
    };
    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    let began = Instant::now();
    brotli::BrotliCompress(&mut &raw[..], &mut packed, &parameters).expect("memory is written to");
    let encode = began.elapsed();
    let began = Instant::now();
    brotli::BrotliDecompress(&mut &packed[..], &mut unpacked).expect("what was just packed");
    let decode = began.elapsed();
    assert!(unpacked == raw, "other bytes");
    (packed.len(), encode, decode)
}

/// Each column's name and its bytes over all batches, raw and stored.
pub(crate) fn columns(batches: &[Vec<Bytes>]) -> Vec<(&'static str, usize, usize)> {
    let mut sums: Vec<(&'static str, usize, usize)> = Vec::new();
    for transactions in batches {
        let columns = measuring::columns(transactions);
        sums.resize(columns.len(), ("", 0, 0));
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum = (column.name, sum.1 + column.raw.len(), sum.2 + column.stored);
        }
    }
    sums
}
