//! What a restart finds: journal, records, log, snapshot, index of ids, keys.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use fuzz::founded::Founded;
use fuzz::input::Input;
use fuzz::seeds::{scratch, seed, write_if_asked};
use libfuzzer_sys::fuzz_target;
use node_core::api::Record;
use ordering::api::Record as OrderingRecord;
use ordering_types::codec;
use sequencer_node::fuzzing::Damage;

const RECORD: u8 = 0;
const JOURNAL: u8 = 1;
const SEGMENT: u8 = 2;
const RUN: u8 = 3;
const LOG_ENTRY: u8 = 4;
const SNAPSHOT: u8 = 5;
const KEYS: u8 = 6;
const STORED_KEY: u8 = 7;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(scratch);

/// A run has pages of 4 KiB; one page, its fence and the tail.
const RUN_BYTES: usize = 4_096 + 8 + 48;

fn seeds() -> Vec<Vec<u8>> {
    let network = Founded::new();
    let mut seeds = Vec::new();
    for record in &network.records {
        match record {
            Record::Ordering(OrderingRecord::Wal { height, entry }) => {
                seeds.push(seed(LOG_ENTRY, entry));
                seeds.push(seed(RECORD, &[&height.get().to_be_bytes(), &entry[..]].concat()));
            }
            Record::Ordering(OrderingRecord::Decided(decided)) => {
                seeds.push(seed(SNAPSHOT, &decided.snapshot))
            }
            Record::NonceBurn { key, value } => {
                seeds.push(seed(KEYS, value));
                let both = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                seeds.push(seed(RECORD, &codec::encode(&both)));
            }
            Record::Certified { height, signature } => {
                seeds.push(seed(RECORD, &codec::encode(&(height, signature))))
            }
            Record::Sealed(batch) => seeds.push(seed(RECORD, &codec::encode(batch))),
            Record::Founded(founding) => seeds.push(seed(RECORD, &codec::encode(founding))),
            Record::KeyMaterial { material: bytes, .. } => {
                seeds.push(seed(STORED_KEY, bytes));
                seeds.push(seed(KEYS, &bytes[34..]));
                seeds.push(seed(KEYS, &bytes[..34]));
            }
            Record::Ordering(OrderingRecord::Checkpoint(checkpoint)) => {
                seeds.push(seed(RECORD, &codec::encode(checkpoint.as_ref())));
            }
            Record::Handover(signed) => seeds.push(seed(RECORD, &codec::encode(signed))),
            Record::Ordering(OrderingRecord::Chunk(_))
            | Record::CeremonySeed { .. }
            | Record::SettleKey { .. }
            | Record::ForgetKeys { .. } => {}
        }
    }
    let journal = [3, 9, 20, 1, 30, 1, 30, 7, 7, 7].repeat(12);
    seeds.push(seed(JOURNAL, &journal));
    seeds.push(seed(SEGMENT, &[1, 0, 0, 0, 16, 1]));
    seeds.push(seed(RUN, &vec![1; RUN_BYTES]));
    seeds.sort_by_key(Vec::len);
    seeds
}

/// `u8 records │ records × u8 length │ u8 kind │ u16 place │ u8 mask │ bytes of the records`
fn journal(mut input: Input<'_>) {
    let lengths: Vec<usize> = (0..1 + input.small() % 8).map(|_| 1 + input.small()).collect();
    let (kind, at, mask) = (input.small(), input.wide(), input.byte().unwrap_or(1).max(1));
    let damage = if kind & 1 == 0 { Damage::Flip { at, mask } } else { Damage::Cut(at) };
    let records: Vec<&[u8]> =
        lengths.into_iter().map(|length| input.bytes(length)).filter(|record| !record.is_empty()).collect();
    if !records.is_empty() {
        sequencer_node::fuzzing::journal(&FOLDER, &records, damage);
    }
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 8 {
            RECORD => sequencer_node::fuzzing::record(bytes),
            JOURNAL => journal(Input::new(bytes)),
            SEGMENT => {
                let Some((head, bytes)) = bytes.split_first() else { return };
                sequencer_node::fuzzing::segment(&FOLDER, bytes, head & 1 == 1);
            }
            RUN => sequencer_node::fuzzing::run(&FOLDER, bytes),
            LOG_ENTRY => ordering::fuzzing::log_entry(&Bytes::copy_from_slice(bytes)),
            SNAPSHOT => ordering::fuzzing::snapshot(bytes),
            KEYS => mpc::fuzzing::stored(bytes),
            _ => node_core::fuzzing::stored_key(bytes),
        }
    }
);
