#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::*;

const START: u64 = 101;
const DATAGRAM: usize = 1_400;
const ROOM: usize = 1_200;

fn random(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// The stream's datagrams: each begins where the last one ended, wherever that is.
fn datagrams(stream: &Bytes) -> Vec<(u64, Bytes)> {
    let piece = |at: usize| (START + at as u64, stream.slice(at..stream.len().min(at + DATAGRAM)));
    (0..stream.len()).step_by(DATAGRAM).map(piece).collect()
}

fn all(assembler: &mut Assembler) -> Vec<u8> {
    std::iter::from_fn(|| assembler.next()).flatten().collect()
}

#[test]
fn pieces_in_any_order_and_twice_are_one_stream() {
    let stream = random(50_000, 1);
    let mut pieces = datagrams(&stream);
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    for i in (1..pieces.len()).rev() {
        pieces.swap(i, chance.next_u32() as usize % (i + 1));
    }
    let mut assembler = Assembler::new(START);
    let mut got = Vec::new();
    for (offset, bytes) in pieces.iter().chain(&pieces) {
        assembler.take(*offset, bytes).unwrap();
        got.extend(all(&mut assembler));
    }
    assert_eq!(got, stream);
    assert!(assembler.pieces.is_empty() && assembler.waiting == 0);
}

/// Writes of all lengths; each has its parity, which comes after it. Whichever single datagram is lost, all is there.
#[test]
fn any_lost_datagram_of_a_group_is_given_back() {
    for length in [1, 5, 1_399, 1_400, 1_401, 4_000, 9_000] {
        let before = random(777, 3);
        let write = [random(length / 3, 4), random(length - length / 3, 5)];
        let stream: Bytes = [&before[..], &write[0], &write[1]].concat().into();
        let parity = parity(START + 777, &write, DATAGRAM, ROOM);
        assert!(parity.iter().all(|part| part.len() <= ROOM));
        // The write begins in a datagram of its own.
        let mut pieces = vec![(START, stream.slice(..777))];
        pieces.extend(datagrams(&stream.slice(777..)).into_iter().map(|(at, bytes)| (at + 777, bytes)));
        for lost in 1..pieces.len() {
            let mut assembler = Assembler::new(START);
            assembler.repairs = true;
            let mut got = Vec::new();
            for (_, (offset, bytes)) in pieces.iter().enumerate().filter(|(i, _)| *i != lost) {
                assembler.take(*offset, bytes).unwrap();
                got.extend(all(&mut assembler));
            }
            assert_ne!(got, stream);
            parity.iter().for_each(|part| assembler.take_parity(part.clone()).unwrap());
            got.extend(all(&mut assembler));
            assert_eq!(got, stream, "{length} bytes, datagram {lost}");
            assert_eq!(assembler.repaired(), pieces[lost].1.len() as u64);
            assert!(assembler.groups.is_empty());
        }
    }
}

/// Long writes are several groups; what is lost twice in one group waits for the stream, all else does not.
#[test]
fn two_losses_in_a_group_wait_for_the_stream() {
    let stream = random(MAX_STRIDES * DATAGRAM * 3 + 99, 6);
    let parity = parity(START, std::slice::from_ref(&stream), DATAGRAM, ROOM);
    assert_eq!(parity.len(), 3 * 2 + 1, "two parts each, and one of 99 bytes");
    let pieces = datagrams(&stream);
    let lost = |i: usize| [2, 9, 11, 17].contains(&i);
    let mut assembler = Assembler::new(START);
    assembler.repairs = true;
    // Parity first: it may overtake.
    parity.iter().for_each(|part| assembler.take_parity(part.clone()).unwrap());
    for (_, (offset, bytes)) in pieces.iter().enumerate().filter(|(i, _)| !lost(*i)) {
        assembler.take(*offset, bytes).unwrap();
    }
    assert_eq!(all(&mut assembler), stream[..9 * DATAGRAM]);
    assembler.take(pieces[9].0, &pieces[9].1).unwrap();
    assert_eq!(all(&mut assembler), stream[9 * DATAGRAM..]);
    // The last group is shorter than a stride: its parity came first, and is a copy.
    assert_eq!(assembler.repaired() as usize, 3 * DATAGRAM + 99);
}

#[test]
fn what_waits_and_what_is_kept_is_bounded() {
    let mut assembler = Assembler::new(0);
    assembler.repairs = true;
    let piece = random(1 << 20, 7);
    let mut offset = 0;
    for _ in 0..8 {
        assembler.take(offset, &piece).unwrap();
        offset += piece.len() as u64;
        all(&mut assembler);
    }
    assert!(assembler.retained <= RETAINED_BYTES);
    let gap = 1;
    let mut outcome = Ok(());
    let mut waiting = 0;
    while outcome.is_ok() && waiting < 2 * MAX_WAITING_BYTES {
        outcome = assembler.take(offset + gap + waiting as u64, &piece);
        waiting += piece.len();
    }
    assert_eq!((outcome, waiting), (Err(RepairError::TooMuch), MAX_WAITING_BYTES + piece.len()));
    for i in 0..2 * MAX_GROUPS as u64 {
        let far = parity(offset + (1 << 40) + i * 10_000, &[random(3_000, i)], DATAGRAM, ROOM);
        assembler.take_parity(far[0].clone()).unwrap();
    }
    assert_eq!(assembler.groups.len(), MAX_GROUPS);
}

#[test]
fn nonsense_is_refused_and_breaks_nothing() {
    let good = parity(START, &[random(3_000, 8)], DATAGRAM, ROOM)[0].clone();
    let mut assembler = Assembler::new(START);
    for length in 0..HEAD_BYTES {
        assert_eq!(assembler.take_parity(good.slice(..length)), Err(RepairError::Malformed));
    }
    let with = |at: usize, bytes: &[u8]| {
        let mut datagram = good.to_vec();
        datagram[at..at + bytes.len()].copy_from_slice(bytes);
        Bytes::from(datagram)
    };
    for bad in [
        with(0, &[0xff; 8]),
        with(8, &[0; 4]),
        with(8, &[0xff; 4]),
        with(12, &[0; 2]),
        with(12, &[0xff; 2]),
        with(14, &[0xff; 2]),
    ] {
        assert_eq!(assembler.take_parity(bad), Err(RepairError::Malformed));
    }
    let mut chance = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..10_000 {
        let mut datagram = good.to_vec();
        for _ in 0..chance.next_u32() % 4 {
            let at = chance.next_u32() as usize % HEAD_BYTES;
            datagram[at] = chance.next_u32() as u8;
        }
        let _ = assembler.take_parity(datagram.into());
        let offset = START + u64::from(chance.next_u32() % 4_000);
        assembler.take(offset, &random(chance.next_u32() as usize % 2_000, 1)).unwrap();
        all(&mut assembler);
    }
}
