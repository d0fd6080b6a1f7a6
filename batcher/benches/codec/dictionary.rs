//! Makes the dictionary that the format pins, of corpora with other seeds and so with other accounts, tokens and contracts than the
//! measured one has.

use std::fs;
use std::path::Path;

use batcher_format::measuring::columns;
use bytes::Bytes;

use crate::corpus::Corpus;

const SEEDS: std::ops::Range<u64> = 1_000..1_008;
/// Sizes of the batches: small ones gain most.
const BATCHES: [usize; 7] = [20, 200, 1_000, 20, 50, 100, 400];
const BYTES: usize = 16 << 10;
/// Columns shorter than this share a frame, and so one sample.
const SHARED_BELOW: usize = 400;
const SAMPLE: usize = 4_096;
/// Random by nature, or nearly: nothing is learnt from them.
const NOISE: [&str; 3] = ["addresses", "wide", "signatures"];

pub(crate) fn write(file: &Path) {
    let samples: Vec<Vec<u8>> = SEEDS.flat_map(|seed| samples(Corpus::new(seed))).collect();
    let bytes: usize = samples.iter().map(Vec::len).sum();
    let dictionary = zstd::dict::from_samples(&samples, BYTES).expect("there are enough samples");
    fs::write(file, &dictionary).expect("the file can be written");
    println!("{}: {} bytes of {} samples with {bytes}", file.display(), dictionary.len(), samples.len());
}

fn samples(mut corpus: Corpus) -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for size in BATCHES {
        let batch: Vec<Bytes> = corpus.by_ref().take(size).map(Bytes::from).collect();
        let mut shared = Vec::new();

        for column in columns(&batch).into_iter().filter(|column| column.name != "signatures") {
            if column.raw.len() < SHARED_BELOW {
                shared.extend(column.raw);
            } else if !NOISE.contains(&column.name) && !column.name.ends_with("rest") {
                samples.extend(column.raw.chunks(SAMPLE).map(<[u8]>::to_vec));
            }
        }
        samples.push(shared);
    }
    samples
}
