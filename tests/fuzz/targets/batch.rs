//! What L1 has of a batch: blobs, payload, inline data, columns of transactions, header; and a sealed batch as nodes hand it to batchers.
#![no_main]

use std::sync::LazyLock;

use batcher_format::blob::{BLOB_BYTES, Blob, pack, unpack};
use batcher_format::{BatchHeader, Context, Policies, SealedBatch, fuzzing, op, payload};
use bytes::Bytes;
use fuzz::founded::Founded;
use fuzz::seeds::{seed, write_if_asked};
use libfuzzer_sys::fuzz_target;
use ordering_types::Digest;
use ordering_types::codec;

const PAYLOAD: u8 = 0;
const BLOB: u8 = 1;
const SEALED: u8 = 2;
const OTHER_PAYLOAD: u8 = 3;
const COLUMNS: u8 = 4;
/// Most transactions of one run, so that what a few bytes stand for is within the budget when told again.
const MOST: u8 = 64;

static NETWORK: LazyLock<Founded> = LazyLock::new(Founded::new);
static POLICIES: LazyLock<Policies> = LazyLock::new(|| Policies::of(&NETWORK.spec));

fn sealed() -> &'static SealedBatch {
    NETWORK.sealed().expect("a batch is sealed")
}

/// One transaction of each type, the last to be repeated with other numbers: a call with a call inside, an access list, an authorization.
fn transactions(count: u8) -> Vec<Bytes> {
    let item = |bytes: &[u8]| match bytes {
        [byte] if *byte < 0x80 => bytes.to_vec(),
        _ if bytes.len() < 56 => [&[0x80 + bytes.len() as u8], bytes].concat(),
        _ => [&[0xb9], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat(),
    };
    let list = |items: &[Vec<u8>]| {
        let payload = items.concat();
        match payload.len() {
            0..56 => [&[0xc0 + payload.len() as u8], &payload[..]].concat(),
            56..256 => [&[0xf8, payload.len() as u8], &payload[..]].concat(),
            _ => [&[0xf9], &(payload.len() as u16).to_be_bytes()[..], &payload].concat(),
        }
    };
    let transaction = |number: u8| {
        let [address, word] = [item(&[number + 1; 20]), item(&[number + 1; 32])];
        let inner = [&[7; 4][..], &[0; 12], &[3; 20], &[0; 31], &[number]].concat();
        let call = [&[9; 4][..], &[0; 31], &[inner.len() as u8], &inner, &[0; 28], &[0xff; 32]].concat();
        let access_list = list(&[list(&[address.clone(), list(std::slice::from_ref(&word))])]);
        let authorization =
            list(&[item(&[5]), address.clone(), item(&[number + 1]), item(&[1]), word.clone(), word.clone()]);
        let (fee, gas, value) =
            (item(&[0x3b, 0x9a, 0xca, number]), item(&[0x52, 0x08]), item(&[0x0d, 0xe0, 0xb6, 0xb3]));
        let body = [item(&[number + 1]), fee.clone(), gas, address, value, item(&call)];
        let (head, signature) = ([item(&[5])], [word.clone(), word]);
        let typed = |kind: u8, fields: &[Vec<u8>]| [&[kind], &list(fields)[..]].concat();
        match number % 5 {
            0 => list(&[&body[..], &[item(&[27])], &signature].concat()),
            1 => list(&[&body[..], &[item(&[45])], &signature].concat()),
            2 => typed(1, &[&head[..], &body, &[access_list, item(&[])], &signature].concat()),
            3 => typed(
                2,
                &[&head[..], &body[..1], &[fee], &body[1..], &[access_list, item(&[1])], &signature].concat(),
            ),
            _ => {
                let lists = [access_list, list(&[authorization]), item(&[])];
                typed(4, &[&head[..], &body[..1], &[fee], &body[1..], &lists, &signature].concat())
            }
        }
    };
    (0..count).map(|number| Bytes::from(transaction(number))).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let (payload, inline) = (&sealed().encoded.payload, &sealed().encoded.inline);
    assert!(!inline.is_empty(), "a rollup has its data inline");
    let whole = [&(inline.len() as u16).to_be_bytes()[..], inline, payload].concat();
    let packed = pack(payload).expect("the payload fits");
    let blob = packed[0].as_bytes();
    let other = op::blob::pack(&payload[..payload.len().min(1_000)]).expect("a thousand bytes fit");
    let used = |blob: &[u8]| blob.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let header = codec::encode(&sealed().header);
    vec![
        seed(PAYLOAD, &whole),
        seed(BLOB, &blob[..used(blob)]),
        seed(BLOB, &other.as_bytes()[..used(other.as_bytes())]),
        seed(SEALED, &codec::encode(sealed())),
        seed(OTHER_PAYLOAD, &[header, whole].concat()),
        seed(COLUMNS, &[&[5], &fuzzing::columns(&transactions(5))[..]].concat()),
        seed(COLUMNS, &[&[30], &fuzzing::columns(&transactions(30))[..]].concat()),
    ]
}

/// `u16` length of the inline data, that, and the payload.
fn decode(bytes: &[u8], header: &BatchHeader) {
    let Some((length, bytes)) = bytes.split_first_chunk() else { return };
    let Some((inline, payload)) = bytes.split_at_checked(u16::from_be_bytes(*length).into()) else { return };
    let context =
        Context { parent_header: Digest::ZERO, chain_spec: NETWORK.spec.hash(), policies: &POLICIES };
    let Ok(batch) = payload::decode((payload, inline), header, &context) else { return };
    assert_eq!(batch.blocks.len() as u64, header.block_count());
    let proven = batch.blocks.iter().all(|block| block.header.is_some());
    assert_eq!(proven, batch.broken.is_empty(), "headers are proven exactly if every rollup decoded");
}

fuzz_target!(
    init: write_if_asked(seeds),
    |data: &[u8]| {
        let Some((selector, bytes)) = data.split_first() else { return };
        match selector % 5 {
            PAYLOAD => decode(bytes, &sealed().header),
            BLOB => {
                let mut whole = bytes.to_vec();
                whole.resize(BLOB_BYTES, 0);
                let blob = Blob::from_bytes(&whole).expect("it is long enough");
                if let Ok(read) = op::blob::unpack(&blob) {
                    assert!(op::blob::pack(&read).is_ok_and(|packed| packed == blob), "two codings of the same data");
                }
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
            COLUMNS => {
                let Some((total, columns)) = bytes.split_first() else { return };
                if let Some(all) = fuzzing::transactions(columns, usize::from(*total % MOST)) {
                    let again = fuzzing::transactions(&fuzzing::columns(&all), all.len());
                    assert!(again.is_some_and(|again| again == all), "other transactions than were told");
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
