//! What validators send each other: streams, frames, and every message in them.
#![no_main]

use bytes::Bytes;
use fuzz::founded::Founded;
use fuzz::seeds::{seed, write_if_asked};
use libfuzzer_sys::fuzz_target;
use node_core::api::Class;
use ordering_types::codec::{self, DecodeError};
use ordering_types::{
    Chunk, CommitCertificate, Cut, ForcedEntry, ForcedMessage, ForcedTelling, Header, QueueMark, RollupId,
};

const ORDERING: u8 = 0;
const CEREMONY: u8 = 1;
const LOG_PAYLOAD: u8 = 2;
const CUT: u8 = 3;
const STREAM: u8 = 4;
const HEADER: u8 = 5;
const CERTIFICATE: u8 = 6;
const CHUNK: u8 = 7;
const FORCED: u8 = 8;

fn seeds() -> Vec<Vec<u8>> {
    let network = Founded::new();
    let mut seeds = Vec::new();
    for (number, (class, _, bytes)) in network.messages.iter().enumerate() {
        let kind = if *class == Class::Ceremony { CEREMONY } else { ORDERING };
        // All of the beginning, then samples.
        if number < 150 || number % 40 == 0 {
            seeds.push(seed(kind, bytes));
        }
    }
    for decided in network.disk().decided().take(12) {
        seeds.push(seed(CUT, &decided.cut_bytes));
        seeds.push(seed(HEADER, &codec::encode(&decided.block.header)));
        seeds.push(seed(CERTIFICATE, &codec::encode(&decided.certificate)));
        seeds.extend(decided.cut.system.iter().map(|message| seed(LOG_PAYLOAD, &message.payload)));
    }
    for (number, (_, _, bytes)) in network.messages.iter().take(12).enumerate() {
        let head = [&(bytes.len() as u32).to_be_bytes()[..], &[0]].concat();
        seeds.push(seed(
            STREAM,
            &[&[number as u8], &head[..], bytes, &[0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 9]].concat(),
        ));
    }
    for entries in [1, 5] {
        let mut telling = ForcedTelling::after(QueueMark::default());
        for number in 0..entries {
            let data = Bytes::from(vec![number; 3 + 9 * usize::from(number)]);
            telling.push(ForcedEntry { rollup: RollupId::new(number.into()), data });
        }
        seeds.extend(telling.finish().map(|message| seed(FORCED, &message.encode())));
    }
    let hello = [&b"mpcseq"[..], &1_u16.to_be_bytes(), &[5; 32], &[0]].concat();
    seeds.push(seed(STREAM, &[&[0], &hello[..]].concat()));
    // The longest messages are left out of the seeds; these are the first to be.
    seeds.sort_by_key(Vec::len);
    seeds
}

/// What decodes has no other encoding.
fn canonical<T: serde::Serialize>(decoded: Result<T, DecodeError>, bytes: &[u8]) {
    if let Ok(value) = decoded {
        assert_eq!(codec::encode(&value), bytes, "two encodings");
    }
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 9 {
            ORDERING => ordering::fuzzing::message(&Bytes::copy_from_slice(bytes)),
            CEREMONY => node_core::fuzzing::peer_message(bytes),
            LOG_PAYLOAD => node_core::fuzzing::log_payload(bytes),
            CUT => canonical(Cut::decode(bytes), bytes),
            HEADER => canonical(codec::decode::<Header>(bytes, 1 << 10), bytes),
            CERTIFICATE => canonical(codec::decode::<CommitCertificate>(bytes, 1 << 16), bytes),
            CHUNK => {
                if let Ok(chunk) = Chunk::decode(Bytes::copy_from_slice(bytes)) {
                    let again = Chunk::new(chunk.lane(), chunk.sequence(), chunk.parent(), chunk.transactions());
                    assert_eq!(again.expect("a chunk that was read").bytes(), bytes);
                }
            }
            FORCED => {
                let message = ForcedMessage::decode(bytes);
                if let Ok(message) = &message {
                    let (marks, end) = message.marks();
                    assert_eq!(marks.len(), message.entries.len());
                    let told = (message.entries.len() + message.leaves.len()) as u64;
                    assert_eq!(end.count, message.from.count.saturating_add(told));
                }
                canonical(message, bytes);
            }
            _ => {
                let Some((class, stream)) = bytes.split_first() else { return };
                sequencer_node::fuzzing::peer_stream(stream, *class);
            }
        }
    }
);
