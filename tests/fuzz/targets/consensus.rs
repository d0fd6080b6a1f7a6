//! Any faults and any lies of one of four: see `fuzz::consensus`.
#![no_main]

use fuzz::consensus;
use fuzz::seeds::write_if_asked;
use libfuzzer_sys::fuzz_target;

/// Heights that a healthy network decides in so many steps, at least: if not, this target tests nothing.
const HEALTHY: (usize, u64) = (3_000, 5);

fn seeds() -> Vec<Vec<u8>> {
    let (steps, height) = HEALTHY;
    assert!(consensus::height_after(&vec![0; steps]) >= height, "the network of this target does not order");
    let mut seeds = vec![vec![0; 400]];
    // A healthy network that is given transactions, and the same with a fault of each kind now and then.
    for fault in [160_u8, 180, 188, 195, 205, 210, 220, 226, 232, 237, 241, 250] {
        let steps = (0..600_u16).flat_map(|n| match n % 40 {
            20 => vec![202, n as u8, n as u8, 0, 200],
            39 => vec![fault, n as u8, (n >> 3) as u8, n as u8, 77],
            _ => vec![0],
        });
        seeds.push(steps.collect());
    }
    seeds
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| consensus::run(data)
);
