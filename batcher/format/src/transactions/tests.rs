#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::eips::eip7702::Authorization;
use alloy::primitives::{Address, B256, Signature, TxKind, U256};
use bytes::Bytes;
use ordering_types::Digest;
use proptest::prelude::*;

use super::dictionary::DICTIONARY;
use super::streams::Streams;
use super::*;
use crate::frame::FrameError;

const CHAIN_ID: u64 = 84_321;
const BUDGET: usize = 4 << 20;

/// What a transaction is made of; all else follows from these.
#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    chain_id: u64,
    nonce: u64,
    gas: u64,
    fee: u128,
    tip: u128,
    to: Option<u8>,
    value: [u8; 32],
    data: Vec<u8>,
    lists: u8,
    r: [u8; 32],
    s: [u8; 32],
    parity: bool,
}

fn address(number: u8) -> Address {
    let digest = Digest::sha256(&[&[number]]);
    Address::from_slice(&digest.as_ref()[..20])
}

impl Draft {
    /// As another implementation than ours encodes it.
    fn bytes(self) -> Bytes {
        let Self { kind, chain_id, nonce, gas: gas_limit, fee, tip, value, lists, .. } = self;
        let to = self.to.map_or(TxKind::Create, |number| TxKind::Call(address(number)));
        let value = U256::from_be_bytes(value);
        let mut s = self.s;
        s[0] &= 0x7f;
        let signature = Signature::new(U256::from_be_bytes(self.r), U256::from_be_bytes(s), self.parity);
        let item = |number: u8| AccessListItem {
            address: address(number),
            storage_keys: (0..number % 3).map(B256::with_last_byte).collect(),
        };
        let access_list = AccessList((0..lists).map(item).collect());
        let authorization = |number: u8| {
            Authorization { chain_id: U256::from(number), address: address(number), nonce: u64::from(number) }
                .into_signed(signature)
        };
        let input = self.data.into();
        #[rustfmt::skip]
        let bytes = match kind % 5 {
            0 => TxLegacy { chain_id: None, nonce, gas_price: fee, gas_limit, to, value, input }
                .into_signed(signature).encoded_2718(),
            1 => TxLegacy { chain_id: Some(chain_id), nonce, gas_price: fee, gas_limit, to, value, input }
                .into_signed(signature).encoded_2718(),
            2 => TxEip2930 { chain_id, nonce, gas_price: fee, gas_limit, to, value, access_list, input }
                .into_signed(signature).encoded_2718(),
            3 => TxEip1559 {
                chain_id, nonce, gas_limit, max_fee_per_gas: fee, max_priority_fee_per_gas: tip, to, value, access_list, input,
            }.into_signed(signature).encoded_2718(),
            _ => TxEip7702 {
                chain_id, nonce, gas_limit, max_fee_per_gas: fee, max_priority_fee_per_gas: tip, value, access_list, input,
                to: to.to().copied().unwrap_or_default(),
                authorization_list: (0..lists).map(authorization).collect(),
            }.into_signed(signature).encoded_2718(),
        };
        bytes.into()
    }
}

/// Words as calldata has them: zero, small, round, an address, text, negative, anything.
fn word() -> impl Strategy<Value = [u8; 32]> {
    let number = |number: u128| U256::from(number).to_be_bytes::<32>();
    prop_oneof![
        Just([0; 32]),
        any::<u8>().prop_map(move |small| number(small.into())),
        (any::<u8>(), 0..27_u32).prop_map(move |(m, e)| number(u128::from(m) * 10_u128.pow(e))),
        (0..200_u128).prop_map(move |step| number(1_800_000_000 + step)),
        (any::<u128>(), 0..128_u32).prop_map(move |(all, shift)| number(all >> shift)),
        any::<u8>().prop_map(|number| address(number).into_word().0),
        "[a-z]{1,31}".prop_map(|text| {
            let mut word = [0; 32];
            word[..text.len()].copy_from_slice(text.as_bytes());
            word
        }),
        any::<u64>().prop_map(|number| (!U256::from(number)).to_be_bytes()),
        any::<[u8; 32]>(),
    ]
}

/// A call with calls inside, a call, or any bytes.
fn calldata() -> impl Strategy<Value = Vec<u8>> {
    let words = || proptest::collection::vec(word(), 0..6).prop_map(|words| words.concat());
    let selector = || proptest::sample::select(vec![[1, 2, 3, 4], [9, 9, 9, 9], [0, 0, 0, 0]]);
    prop_oneof![
        Just(Vec::new()),
        (selector(), words()).prop_map(|(selector, words)| [&selector[..], &words].concat()),
        (selector(), words(), selector(), words(), words()).prop_map(
            |(outer, before, inner, inside, behind)| {
                let length = U256::from(4 + inside.len()).to_be_bytes::<32>();
                [&outer[..], &before, &length, &inner, &inside, &[0; 28], &behind].concat()
            }
        ),
        proptest::collection::vec(any::<u8>(), 0..100),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let numbers = (any::<u64>(), 0..64_u32, any::<u128>(), 0..128_u32, any::<u128>(), 0..128_u32);
    let rest = (proptest::option::of(0..20_u8), word(), calldata(), 0..4_u8);
    let chain_id = prop_oneof![9 => Just(CHAIN_ID), 1 => any::<u32>().prop_map(u64::from)];
    (any::<u8>(), chain_id, numbers, rest, (word(), word(), any::<bool>())).prop_map(
        |(kind, chain_id, numbers, (to, value, data, lists), (r, s, parity))| {
            let (number, shift, fee, fee_shift, tip, tip_shift) = numbers;
            let (nonce, gas) = (number >> shift, number.rotate_left(7) >> shift);
            let (fee, tip) = (fee >> fee_shift, tip >> tip_shift);
            Draft { kind, chain_id, nonce, gas, fee, tip, to, value, data, lists, r, s, parity }
        },
    )
}

/// What somebody sends: a transaction, one that is damaged, or none at all.
fn sent() -> impl Strategy<Value = Bytes> {
    let damage = |(bytes, at, byte, how): (Bytes, prop::sample::Index, u8, u8)| {
        let mut bytes = bytes.to_vec();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => bytes.truncate(at.max(1)),
            _ => bytes.push(byte),
        }
        Bytes::from(bytes)
    };
    prop_oneof![
        6 => draft().prop_map(Draft::bytes),
        3 => (draft().prop_map(Draft::bytes), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(damage),
        1 => proptest::collection::vec(any::<u8>(), 1..80).prop_map(Bytes::from),
    ]
}

fn body(transactions: &[Bytes]) -> Vec<u8> {
    encode(Vec::new(), &transactions.iter().collect::<Vec<_>>())
}

fn decoded(body: &[u8], total: usize, budget: &mut usize) -> Result<Vec<Bytes>, SectionError> {
    let opened = Body::open(body, budget)?;
    let ((), (bytes, lengths)) = opened.read(budget, |_| Ok(((), total)))?;
    let mut rest = Bytes::from(bytes);
    Ok(lengths.into_iter().map(|length| rest.split_to(length)).collect())
}

fn columns(transactions: &[Bytes]) -> Streams<Vec<u8>> {
    encode::columns(Vec::new(), &transactions.iter().collect::<Vec<_>>())
}

fn example(kind: u8) -> Draft {
    let mut data = vec![0xa9, 0x05, 0x9c, 0xbb];
    data.extend_from_slice(&address(kind).into_word().0);
    data.extend_from_slice(&U256::from(5_000_000_000_000_000_000_u64).to_be_bytes::<32>());
    Draft {
        kind,
        chain_id: CHAIN_ID,
        nonce: 300 + u64::from(kind),
        gas: 21_000,
        fee: 3_000_000_000,
        tip: 1_000_000,
        to: Some(7),
        value: U256::from(1_500_000_000_000_000_000_u64).to_be_bytes(),
        data,
        lists: 2,
        r: [0x5a; 32],
        s: [0x3c; 32],
        parity: true,
    }
}

#[test]
fn every_type_of_transaction_is_told_in_columns() {
    let mut all: Vec<Bytes> = (0..5).map(|kind| example(kind).bytes()).collect();
    all.push(Draft { to: None, data: vec![0x60; 500], ..example(3) }.bytes());
    all.push(Draft { data: vec![], lists: 0, r: [0; 32], ..example(3) }.bytes());
    let columns = columns(&all);
    assert!(columns.opaque.is_empty());
    assert_eq!(columns.kinds, [0, 1, 2, 3, 4, 3, 3]);
    assert_eq!(decoded(&body(&all), all.len(), &mut { BUDGET }), Ok(all));
}

/// Whoever changes one byte of these has another transaction with another hash, even where it means the same.
#[test]
fn what_has_another_encoding_goes_as_it_is() {
    let good = example(3).bytes();
    assert_eq!(good[1], 0xf9, "two bytes of length");
    let longer = [&[2, 0xfa, 0], &good[2..]].concat();
    let mut padded_parity = good.to_vec();
    padded_parity[good.len() - 67] = 0x02;
    let mut high_s = good.to_vec();
    high_s[good.len() - 32] |= 0x80;
    let bent = [
        longer,
        padded_parity,
        high_s,
        [&good[..], &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        [&[3], &good[1..]].concat(),
        vec![0xc0],
        vec![0xff; 9],
        Draft { chain_id: 5, ..example(3) }.bytes().to_vec(),
    ];
    let mut all = vec![good.clone(), good];
    all.extend(bent.clone().map(Bytes::from));
    assert_eq!(columns(&all).opaque, bent.concat());
    assert_eq!(decoded(&body(&all), all.len(), &mut { BUDGET }), Ok(all));
}

/// `multicall(bytes[])`: the words of the calls inside are words, though four bytes out of step.
#[test]
fn calls_inside_of_calls_are_told_in_words() {
    let inner = [&[0xaa; 4][..], &address(1).into_word().0, &address(2).into_word().0].concat();
    let length = U256::from(inner.len()).to_be_bytes::<32>();
    let data = [&[0xbb; 4][..], &length, &inner, &[0; 28], &[0; 32]].concat();
    let all = vec![Draft { data, ..example(3) }.bytes()];
    let columns = columns(&all);
    assert_eq!(columns.selectors, [[0xbb; 4], [0xaa; 4]].concat());
    assert_eq!(columns.addresses.len() % 20, 0);
    assert!(columns.wide.is_empty() && columns.left.is_empty());
    assert_eq!(decoded(&body(&all), 1, &mut { BUDGET }), Ok(all));
}

/// More shapes and addresses than one byte tells apart.
#[test]
fn large_tables_have_indices_of_two_bytes() {
    let call = |number: u32| {
        let recipient = [&[0; 12][..], &Digest::sha256(&[&number.to_be_bytes()]).as_ref()[..20]].concat();
        Draft { data: [&number.to_be_bytes()[..], &recipient, &recipient].concat(), ..example(3) }.bytes()
    };
    let all: Vec<Bytes> = (0..700).map(call).collect();
    let columns = columns(&all);
    assert!(columns.opaque.is_empty() && !columns.shape.low.is_empty());
    assert_eq!(decoded(&body(&all), all.len(), &mut { BUDGET }), Ok(all));

    let addresses =
        (0..700_u32).map(|number| Digest::sha256(&[&number.to_be_bytes()]).as_ref()[..20].to_vec());
    let twice: Vec<u8> = addresses.flat_map(|address| [&[0; 12][..], &address].concat()).collect();
    let call = |words: &[u8]| Draft { data: [&[7; 4], words].concat(), ..example(3) }.bytes();
    let all: Vec<Bytes> = twice.chunks(320).chain(twice.chunks(640)).map(call).collect();
    let columns = self::columns(&all);
    assert!(columns.opaque.is_empty() && !columns.arguments.low.is_empty());
    assert_eq!(columns.addresses.len(), 703 * 20, "each once, the contract, two of access lists");
    assert_eq!(decoded(&body(&all), all.len(), &mut { BUDGET }), Ok(all));
}

/// A few hundred bytes that stand for megabytes: refused before they are there.
#[test]
fn what_grows_is_taken_from_the_budget() {
    let zeros = Draft { data: vec![0; 4 + 1_000 * 32], r: [1; 32], ..example(3) };
    let all: Vec<Bytes> = vec![zeros.bytes(); 100];
    let body = body(&all);
    assert!(body.len() < 10_000, "{} bytes", body.len());
    for budget in [0, 1_000, 100_000, 3_300_000, 6_000_000] {
        let refused = decoded(&body, all.len(), &mut { budget });
        assert!(matches!(refused, Err(SectionError::Frame(FrameError::TooLarge { .. }))), "{budget}");
    }
    assert_eq!(decoded(&body, all.len(), &mut { 7_000_000 }), Ok(all));
}

/// The dictionary is part of the format: batches on L1 are read with it for ever.
#[test]
fn the_dictionary_is_pinned() {
    let hash = Digest::sha256(&[DICTIONARY]);
    assert_eq!(hash.to_string(), dictionary::HASH, "another dictionary needs another version of the payload");
    assert!(DICTIONARY.len() <= 64 << 10);
}

proptest! {
    #[test]
    fn every_number_comes_back(mantissa in 0..1_u128 << 48, exponent in 0..25_u32, high: u128, shift in 0..128_u32) {
        let round = numbers::word(mantissa * 10_u128.pow(exponent));
        let mut wide = numbers::word(u128::MAX);
        wide[..16].copy_from_slice(&(high >> shift).to_be_bytes());
        let mut columns = Streams::<Vec<u8>>::default().values;
        numbers::put(&mut columns, &round);
        numbers::put(&mut columns, &wide);
        if mantissa > 0 && exponent > 8 {
            prop_assert!(columns.lead.len() + columns.second.len() + columns.rest.len() <= 6 + 32, "zeros are not told");
        }
        let streams = Streams { values: columns, ..Streams::default() };
        let mut read = streams.each_ref().map(|stream| Columns(stream)).values;
        for number in [round, wide] {
            let symbol = read.symbols.byte().unwrap();
            prop_assert_eq!(numbers::read(&mut read, symbol), Ok(number));
        }
    }

    #[test]
    fn whatever_is_sent_comes_back(all in proptest::collection::vec(sent(), 1..30)) {
        let stored = encode_stored(&all.iter().collect::<Vec<_>>());
        prop_assert_eq!(decoded(&stored, all.len(), &mut { BUDGET }), Ok(all.clone()));
        prop_assert_eq!(decoded(&body(&all), all.len(), &mut { BUDGET }), Ok(all));
    }

    /// What an encoder of ours writes in columns, another implementation would have encoded to these very bytes.
    #[test]
    fn well_formed_transactions_are_no_opaque_bytes(all in proptest::collection::vec(draft(), 1..20)) {
        let all: Vec<Bytes> = all.into_iter().map(|draft| Draft { chain_id: CHAIN_ID, ..draft }.bytes()).collect();
        prop_assert_eq!(columns(&all).opaque, Vec::<u8>::new());
    }

    /// Damage behind the compression, where it reaches every reader: an error or other transactions, within the budget.
    #[test]
    fn bent_columns_never_panic(
        all in proptest::collection::vec(sent(), 1..20),
        bends in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        more in 0..3_usize,
    ) {
        let mut streams: Vec<Vec<u8>> = Vec::new();
        columns(&all).map(|stream| streams.push(stream));
        for (stream, at, byte, how) in bends {
            let stream = stream.get_mut(&mut streams);
            let at = if stream.is_empty() { 0 } else { at.index(stream.len()) };
            match how {
                0 if !stream.is_empty() => stream[at] = byte,
                1 if !stream.is_empty() => { stream.remove(at); }
                2 => stream.truncate(at),
                _ => stream.insert(at, byte),
            }
        }
        let mut streams = streams.into_iter();
        let bent = Streams::<()>::default().map(|()| streams.next().unwrap());
        let mut body = Vec::new();
        streams::close(bent, &mut body, dictionary::compress);
        let mut budget = BUDGET;
        if let Ok(read) = decoded(&body, all.len() + more, &mut budget) {
            let bytes: usize = read.iter().map(Bytes::len).sum();
            prop_assert!(bytes <= BUDGET - budget);
            prop_assert_eq!(read.len(), all.len() + more);
        }
    }

    #[test]
    fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), total in 0..100_usize) {
        let _ = decoded(&bytes, total, &mut { BUDGET });
    }
}
