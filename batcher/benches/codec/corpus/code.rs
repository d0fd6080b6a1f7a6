//! Init code as a Solidity compiler would make it: the same idioms over and over, with other constants between them.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha12Rng;

/// What compilers emit all the time, in EVM instructions; `P` stands for two random bytes of a jump's target or an offset in memory.
const IDIOMS: [&str; 14] = [
    "5b50",
    "919050",
    "60405180910390fd",
    "6000805460ff16",
    "8152602001",
    "61P565b",
    "61P576000 80fd",
    "15 61P57",
    "6040 5190 81 52 6020 0190 60405180910390f3",
    "73ffffffffffffffffffffffffffffffffffffffff16",
    "60008080fd5b",
    "81529060405180",
    "63P P 14 61P57",
    "80 82 10 61P57",
];

pub(super) fn init_code(rng: &mut ChaCha12Rng) -> Vec<u8> {
    let length = rng.gen_range(1_000..8_000);
    let mut out = vec![0x60, 0x80, 0x60, 0x40, 0x52, 0x34, 0x80, 0x15, 0x61];
    while out.len() < length {
        match rng.gen_range(0..10) {
            0..6 => idiom(IDIOMS.choose(rng).expect("some"), &mut out, rng),
            6..8 => out.extend([0x60, rng.gen_range(0..8) * 0x20, rng.gen_range(0x80..0xa0)]),
            8 => {
                out.extend([rng.gen_range(0x50..0x60), rng.gen_range(0x80..0xa0), rng.gen_range(0x01..0x20)])
            }
            // A selector, a slot or another constant.
            _ => out.extend([&[0x63][..], &rng.r#gen::<[u8; 4]>()].concat()),
        }
    }
    // Hash of the metadata.
    out.extend_from_slice(&rng.r#gen::<[u8; 32]>());
    out
}

fn idiom(text: &str, out: &mut Vec<u8>, rng: &mut ChaCha12Rng) {
    let mut digits = text.bytes().filter(|byte| *byte != b' ');
    while let Some(first) = digits.next() {
        if first == b'P' {
            out.extend([rng.gen_range(0..16), rng.r#gen()]);
        } else {
            let value = |digit: u8| (digit as char).to_digit(16).expect("an idiom is hexadecimal") as u8;
            let second = digits.next().expect("an idiom has whole bytes");
            out.push(value(first) << 4 | value(second));
        }
    }
}
