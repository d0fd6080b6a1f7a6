//! What L1 has of a batch: blobs, payload, header; and a sealed batch as nodes hand it to batchers.
#![no_main]

use std::sync::LazyLock;

use batcher_format::blob::{BLOB_BYTES, Blob, pack, unpack};
use batcher_format::{BatchHeader, Context, Policies, SealedBatch, payload};
use fuzz::founded::Founded;
use fuzz::seeds::{seed, write_if_asked};
use libfuzzer_sys::fuzz_target;
use ordering_types::Digest;
use ordering_types::codec;

const PAYLOAD: u8 = 0;
const BLOB: u8 = 1;
const SEALED: u8 = 2;
const OTHER_PAYLOAD: u8 = 3;

static NETWORK: LazyLock<Founded> = LazyLock::new(Founded::new);
static POLICIES: LazyLock<Policies> = LazyLock::new(|| Policies::of(&NETWORK.spec));

fn sealed() -> &'static SealedBatch {
    NETWORK.sealed().expect("a batch is sealed")
}

fn seeds() -> Vec<Vec<u8>> {
    let payload = &sealed().encoded.payload;
    let packed = pack(payload).expect("the payload fits");
    let blob = packed[0].as_bytes();
    let used = blob.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let header = codec::encode(&sealed().header);
    vec![
        seed(PAYLOAD, payload),
        seed(BLOB, &blob[..used]),
        seed(SEALED, &codec::encode(sealed())),
        seed(OTHER_PAYLOAD, &[&header, &payload[..]].concat()),
    ]
}

fn decode(bytes: &[u8], header: &BatchHeader) {
    let context =
        Context { parent_header: Digest::ZERO, chain_spec: NETWORK.spec.hash(), policies: &POLICIES };
    let Ok(batch) = payload::decode(bytes, header, &context) else { return };
    assert_eq!(batch.blocks.len() as u64, header.block_count());
    let proven = batch.blocks.iter().all(|block| block.header.is_some());
    assert_eq!(proven, batch.broken.is_empty(), "headers are proven exactly if every rollup decoded");
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 4 {
            PAYLOAD => decode(bytes, &sealed().header),
            BLOB => {
                let mut whole = bytes.to_vec();
                whole.resize(BLOB_BYTES, 0);
                let blob = Blob::from_bytes(&whole).expect("it is long enough");
                if let Ok(read) = unpack(std::slice::from_ref(&blob)) {
                    assert!(pack(&read).is_ok_and(|packed| packed == [blob]), "two packings of one payload");
                }
            }
            SEALED => {
                if let Ok(batch) = codec::decode::<SealedBatch>(bytes, 1 << 20) {
                    assert_eq!(codec::encode(&batch), bytes);
                    let _ = (batch.header.id(), batch.header.block_count(), batch.encoded.carrier().hash());
                }
            }
            _ => {
                // Header and payload of the same liar.
                const HEADER_BYTES: usize = 8 + 32 + 8 + 8 + 8 + 32 + 8 + 8 + 8;
                let Some((head, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return };
                if let Ok(header) = codec::decode::<BatchHeader>(head, HEADER_BYTES) {
                    decode(rest, &header);
                }
            }
        }
    }
);
