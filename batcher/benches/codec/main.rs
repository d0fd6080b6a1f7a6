//! What a batch costs on L1: the payload of [`batcher_format`] beside the OP batcher's way, which is brotli of quality 10 over the
//! concatenated transactions. Both get the same batches of the same [`corpus`], one after the other.
//!
//! ```text
//! cargo bench -p batcher --bench codec                          100,000 transactions
//! cargo bench -p batcher --bench codec -- --short               8,000
//! cargo bench -p batcher --bench codec -- --dictionary FILE     makes the pinned dictionary again
//! ```
//!
//! Exits with 1 if a promise does not hold: at most 0.97 times brotli's bytes, at five times its speed.
#![allow(clippy::indexing_slicing)]

mod batches;
mod corpus;
mod dictionary;
mod measure;

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;

use self::corpus::Corpus;
use self::measure::{Measured, bytes_of_a_block, columns, measure};

const TRANSACTIONS: usize = 100_000;
const SHORT: usize = 8_000;
/// Others' than those that the dictionary is made of.
const SEED: u64 = 1;
/// Four blobs before compression: what the default limits of a genesis file let one batch have.
const BATCH_BYTES: usize = 512 << 10;
/// Smaller batches, for comparison: some 20 and some 200 transactions.
const SMALL_BATCHES: [usize; 2] = [6_000, 60_000];
const MOST_BYTES: f64 = 0.97;
const LEAST_SPEED: f64 = 5.0;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let count = match arguments.next().as_deref() {
        None => TRANSACTIONS,
        Some("--short") => SHORT,
        Some("--dictionary") => {
            let file = arguments.next().expect("--dictionary FILE");
            dictionary::write(&PathBuf::from(file));
            return ExitCode::SUCCESS;
        }
        Some(other) => panic!("{other} is neither --short nor --dictionary"),
    };
    let transactions: Vec<Bytes> = Corpus::new(SEED).take(count).map(Bytes::from).collect();
    let bytes: usize = transactions.iter().map(Bytes::len).sum();
    println!("{count} transactions of {:.1} bytes, seed {SEED}", bytes as f64 / count as f64);

    let batches = batches::cut(&transactions, BATCH_BYTES);
    let [ours, theirs] = measure(&batches);
    print_table(BATCH_BYTES, &ours, &theirs);
    println!("a batch has one block here; each block more adds {:.0} bytes", bytes_of_a_block(&batches[0]));
    print_columns(&batches);
    for size in SMALL_BATCHES {
        let [ours, theirs] = measure(&batches::cut(&transactions[..SHORT], size));
        print_table(size, &ours, &theirs);
    }
    judge(&ours, &theirs)
}

fn print_table(size: usize, ours: &Measured, theirs: &Measured) {
    let batches = ours.batches as f64;
    println!(
        "\nbatches of up to {size} bytes: {batches}, of {:.0} transactions",
        ours.transactions as f64 / batches
    );
    println!("{:24} {:>8} {:>12} {:>12}", "", "bytes/tx", "encode MB/s", "decode MB/s");
    for (name, measured) in [("this codec, all of it", ours), ("brotli-10", theirs)] {
        let Measured { encode, decode, .. } = measured;
        let (encode, decode) = (measured.megabytes_per(*encode), measured.megabytes_per(*decode));
        println!("{name:24} {:8.2} {encode:12.2} {decode:12.1}", measured.bytes_each());
    }
    println!("{:24} {:8.3} {:10.1} x", "ratio", ours.bytes_each() / theirs.bytes_each(), speed(ours, theirs));
}

fn speed(ours: &Measured, theirs: &Measured) -> f64 {
    theirs.encode.as_secs_f64() / ours.encode.as_secs_f64()
}

/// Where the bytes are.
fn print_columns(batches: &[Vec<Bytes>]) {
    println!("\n{:24} {:>8} {:>12}", "column", "raw/tx", "stored/tx");
    let transactions: usize = batches.iter().map(Vec::len).sum();
    let each = |bytes: usize| bytes as f64 / transactions as f64;
    for (name, raw, stored) in columns(batches).into_iter().filter(|(_, raw, _)| *raw > 0) {
        println!("{name:24} {:8.3} {:12.3}", each(raw), each(stored));
    }
}

fn judge(ours: &Measured, theirs: &Measured) -> ExitCode {
    let ratio = ours.bytes_each() / theirs.bytes_each();
    let speed = speed(ours, theirs);
    let holds = |holds: bool| if holds { "holds" } else { "DOES NOT HOLD" };
    println!(
        "\n{ratio:.3} times brotli's bytes, at most {MOST_BYTES} promised: {}",
        holds(ratio <= MOST_BYTES)
    );
    println!("{speed:.1} times its speed, at least {LEAST_SPEED} promised: {}", holds(speed >= LEAST_SPEED));
    if ratio <= MOST_BYTES && speed >= LEAST_SPEED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
