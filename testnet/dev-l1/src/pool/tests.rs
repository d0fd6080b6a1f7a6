#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{SignableTransaction, TxEip1559, TxEip4844, TxLegacy};
use alloy::eips::eip4844::kzg_to_versioned_hash;
use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
use alloy::primitives::{Bytes, FixedBytes, Signature, TxKind};

use super::*;
use crate::transaction::Envelope;

const ALICE: Address = Address::repeat_byte(0xa1);
const BOB: Address = Address::repeat_byte(0xb0);
const ETH: u128 = 1_000_000_000_000_000_000;
const GAS_LIMIT: u64 = 60_000_000;

/// A transaction under test; each field has a sensible default.
#[derive(Clone)]
struct Draft {
    sender: Address,
    nonce: u64,
    gas: u64,
    fee: u128,
    tip: u128,
    value: u128,
    to: TxKind,
    data: Bytes,
    /// Blob fee cap and number of blobs: makes it a blob transaction.
    blobs: Option<(u128, usize)>,
}

fn plain(nonce: u64, fee: u128) -> Draft {
    let to = TxKind::Call(BOB);
    Draft { sender: ALICE, nonce, gas: 21_000, fee, tip: fee, value: 0, to, data: Bytes::new(), blobs: None }
}

fn blob(nonce: u64, fee: u128, blob_fee: u128) -> Draft {
    Draft { blobs: Some((blob_fee, 1)), ..plain(nonce, fee) }
}

impl Draft {
    fn from(self, sender: Address) -> Self {
        Self { sender, ..self }
    }

    /// Not a valid one, except Alice's; but two senders' transactions must differ in their hash.
    fn signature(&self) -> Signature {
        let valid = Signature::test_signature();
        if self.sender == ALICE {
            valid
        } else {
            Signature::new(U256::from_be_slice(self.sender.as_slice()), valid.s(), true)
        }
    }

    fn build(&self) -> SignedTx {
        let signature = self.signature();
        let Some((max_fee_per_blob_gas, count)) = self.blobs else {
            let tx = TxEip1559 {
                chain_id: 1337,
                nonce: self.nonce,
                gas_limit: self.gas,
                max_fee_per_gas: self.fee,
                max_priority_fee_per_gas: self.tip,
                to: self.to,
                value: U256::from(self.value),
                input: self.data.clone(),
                ..TxEip1559::default()
            };
            let tx = Envelope::from(tx.into_signed(signature));
            return SignedTx::new(Recovered::new_unchecked(tx, self.sender), None);
        };
        let commitments: Vec<_> = (0..count).map(|n| FixedBytes::<48>::repeat_byte(n as u8)).collect();
        let tx = TxEip4844 {
            chain_id: 1337,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.fee,
            max_priority_fee_per_gas: self.tip,
            max_fee_per_blob_gas,
            to: BOB,
            value: U256::from(self.value),
            blob_versioned_hashes: commitments.iter().map(|c| kzg_to_versioned_hash(c.as_slice())).collect(),
            ..TxEip4844::default()
        };
        let sidecar = BlobTransactionSidecarEip7594 {
            blobs: vec![FixedBytes::ZERO; count],
            cell_proofs: vec![FixedBytes::ZERO; count * 128],
            commitments,
        };
        let tx = Envelope::Eip4844(tx.into_signed(signature));
        SignedTx::new(Recovered::new_unchecked(tx, self.sender), Some(Arc::new(sidecar)))
    }
}

fn state() -> State {
    let mut state = State::default();
    state.set_balance(ALICE, U256::from(ETH));
    state.set_balance(BOB, U256::from(ETH));
    state
}

fn offer(pool: &mut Pool, draft: &Draft) -> Result<(), PoolError> {
    let tx = draft.build();
    check(&tx, GAS_LIMIT)?;
    pool.add(tx, &state())
}

/// Name, what is pooled already, what is offered, and how geth's answer begins ("" = taken).
type Row = (&'static str, Vec<Draft>, Draft, &'static str);

/// Nonces, gaps, replacements, and blob against other transactions.
fn nonce_rows() -> Vec<Row> {
    vec![
        ("a first transaction", vec![], plain(0, 10), ""),
        ("the next nonce", vec![plain(0, 10)], plain(1, 10), ""),
        ("a gap is queued", vec![], plain(5, 10), ""),
        ("the same one again", vec![plain(0, 10)], plain(0, 10), "already known"),
        ("+9 % is too little", vec![plain(0, 100)], plain(0, 109), "replacement transaction underpriced"),
        ("+10 % is enough", vec![plain(0, 100)], plain(0, 110), ""),
        (
            "+10 % on one fee only",
            vec![plain(0, 100)],
            Draft { tip: 100, ..plain(0, 110) },
            "replacement transaction underpriced",
        ),
        ("blob: a first one", vec![], blob(0, 10, 10), ""),
        ("blob: the next nonce", vec![blob(0, 10, 10)], blob(1, 10, 10), ""),
        ("blob: a gap", vec![], blob(1, 10, 10), "nonce too high: tx nonce 1, gapped nonce 0"),
        (
            "blob: a later gap",
            vec![blob(0, 9, 9)],
            blob(2, 9, 9),
            "nonce too high: tx nonce 2, gapped nonce 1",
        ),
        ("blob: +100 % on all", vec![blob(0, 10, 10)], blob(0, 20, 20), ""),
        (
            "blob: +99 %",
            vec![blob(0, 100, 10)],
            blob(0, 199, 20),
            "replacement transaction underpriced: new tx gas fee cap 199 < 100 queued + 100%",
        ),
        (
            "blob: blob fee lags",
            vec![blob(0, 10, 10)],
            blob(0, 20, 19),
            "replacement transaction underpriced: new tx blob gas fee cap",
        ),
        (
            "blob: tip lags",
            vec![blob(0, 10, 10)],
            Draft { tip: 19, ..blob(0, 20, 20) },
            "replacement transaction underpriced: new tx gas tip cap",
        ),
        ("blob behind plain", vec![plain(0, 10)], blob(1, 10, 10), "address already reserved"),
        ("plain behind blob", vec![blob(0, 10, 10)], plain(1, 10), "address already reserved"),
        ("plain instead of blob", vec![blob(0, 10, 10)], plain(0, 1000), "address already reserved"),
        ("accounts are independent", vec![plain(0, 10)], blob(0, 10, 10).from(BOB), ""),
    ]
}

/// Gas and fees.
fn gas_rows() -> Vec<Row> {
    vec![
        (
            "too little gas",
            vec![],
            Draft { gas: 20_999, ..plain(0, 10) },
            "intrinsic gas too low: gas 20999, minimum needed 21000",
        ),
        (
            "too little gas for its data (EIP-7623)",
            vec![],
            Draft { data: vec![1; 1000].into(), gas: 40_000, ..plain(0, 10) },
            "insufficient gas for floor data gas cost: gas 40000, minimum needed 61000",
        ),
        (
            "above EIP-7825's cap",
            vec![],
            Draft { gas: (1 << 24) + 1, ..plain(0, 10) },
            "transaction gas limit too high (cap: 16777216",
        ),
        (
            "tip above fee",
            vec![],
            Draft { tip: 11, ..plain(0, 10) },
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            "no tip",
            vec![],
            Draft { tip: 0, ..plain(0, 10) },
            "transaction gas price below minimum: gas tip cap 0",
        ),
        ("no blob fee", vec![], blob(0, 10, 0), "transaction gas price below minimum: blob fee cap 0"),
        ("the last nonce", vec![], plain(u64::MAX, 10), "nonce has max value"),
    ]
}

/// Money, blobs and sizes.
fn content_rows() -> Vec<Row> {
    vec![
        (
            "no money",
            vec![],
            plain(0, 10).from(Address::repeat_byte(3)),
            "insufficient funds for gas * price + value: balance 0, tx cost 210000, overshot 210000",
        ),
        (
            "no money for both",
            vec![Draft { value: ETH - 210_000, ..plain(0, 10) }],
            plain(1, 10),
            "insufficient funds for gas * price + value: balance 1000000000000000000, queued cost 1000000000000000000, tx cost 210000",
        ),
        (
            "a replacement's money counts once",
            vec![Draft { value: ETH - 420_000, ..plain(0, 10) }],
            Draft { value: ETH - 420_000, ..plain(0, 20) },
            "",
        ),
        ("blob fees count", vec![], blob(0, 10, ETH / 131_072), "insufficient funds for gas * price + value"),
        (
            "fee above RPC's cap",
            vec![],
            plain(0, 50_000_000_000_000),
            "tx fee (1050000000000000000) exceeds the configured cap",
        ),
        (
            "7 blobs",
            vec![],
            Draft { blobs: Some((1, 7)), ..plain(0, 10) },
            "too many blobs in transaction: have 7, permitted 6",
        ),
        ("6 blobs", vec![], Draft { blobs: Some((1, 6)), ..plain(0, 10) }, ""),
        ("no blobs", vec![], Draft { blobs: Some((1, 0)), ..plain(0, 10) }, "blobless blob transaction"),
        (
            "too many bytes",
            vec![],
            Draft { data: vec![0; rules::MAX_TX_BYTES].into(), gas: 16_000_000, ..plain(0, 10) },
            "oversized data: transaction size",
        ),
        (
            "too much init code (EIP-3860)",
            vec![],
            Draft { to: TxKind::Create, data: vec![0; 49_153].into(), gas: 16_000_000, ..plain(0, 10) },
            "max initcode size exceeded: code size 49153, limit 49152",
        ),
    ]
}

#[test]
fn the_pool_answers_as_geth_does() {
    let rows = [nonce_rows(), gas_rows(), content_rows()].concat();
    for (name, before, offered, expected) in rows {
        let mut pool = Pool::default();
        for draft in &before {
            offer(&mut pool, draft).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let answer = offer(&mut pool, &offered).err().map(|error| error.to_string()).unwrap_or_default();
        match expected {
            "" => assert_eq!(answer, "", "{name}"),
            _ => assert!(answer.starts_with(expected), "{name}: {answer}"),
        }
        let taken = offered.build().hash;
        assert_eq!(pool.contains(&taken), answer.is_empty() || answer == "already known", "{name}");
    }
}

#[test]
fn a_sidecar_must_fit_its_transaction() {
    let good = blob(0, 10, 10).build();
    assert_eq!(check(&good, GAS_LIMIT), Ok(()));
    let spoil = |edit: fn(&mut BlobTransactionSidecarEip7594)| {
        let mut sidecar = (**good.sidecar.as_ref().unwrap()).clone();
        edit(&mut sidecar);
        check(&SignedTx { sidecar: Some(Arc::new(sidecar)), ..good.clone() }, GAS_LIMIT)
            .unwrap_err()
            .to_string()
    };
    assert!(
        spoil(|s| s.commitments[0] = FixedBytes::repeat_byte(9)).starts_with("blob 0: computed hash 0x01")
    );
    assert!(spoil(|s| s.commitments.clear()).starts_with("invalid number of 0 blob commitments"));
    assert!(spoil(|s| s.blobs.push(FixedBytes::ZERO)).starts_with("invalid number of 2 blobs"));
    assert!(
        spoil(|s| s.cell_proofs.truncate(127))
            .starts_with("invalid number of 127 blob proofs compared to 128")
    );
    let bare = check(&SignedTx { sidecar: None, ..good.clone() }, GAS_LIMIT);
    assert_eq!(bare, Err(PoolError::MissingSidecar));
    assert!(matches!(check_kzg(&good), Err(PoolError::Kzg(_))), "made-up proofs verify nothing");
}

#[test]
fn raw_bytes_are_decoded_or_refused() {
    use alloy::eips::eip2718::Encodable2718;

    let draft = plain(0, 10).build();
    let raw = draft.tx.inner().encoded_2718();
    assert!(SignedTx::decode(&raw, 1337).is_ok());
    let wrong = SignedTx::decode(&raw, 5).unwrap_err().to_string();
    assert_eq!(wrong, "invalid sender: invalid chain id for signer: have 1337 want 5");
    assert!(matches!(SignedTx::decode(&raw[..raw.len() - 1], 1337), Err(PoolError::Decode(_))));
    assert!(matches!(SignedTx::decode(&[raw.as_slice(), &[0]].concat(), 1337), Err(PoolError::Decode(_))));
    assert!(matches!(SignedTx::decode(&[], 1337), Err(PoolError::Decode(_))));
    assert_eq!(SignedTx::decode(&[7, 1, 2], 1337).unwrap_err(), PoolError::TypeNotSupported);

    let signature = Signature::test_signature();
    let legacy = TxLegacy { chain_id: None, gas_limit: 21_000, ..TxLegacy::default() }.into_signed(signature);
    let raw = Envelope::from(legacy).encoded_2718();
    assert_eq!(SignedTx::decode(&raw, 1337).unwrap_err(), PoolError::Unprotected);

    let high_s = Signature::new(signature.r(), U256::MAX, false);
    let malleable = TxEip1559 { chain_id: 1337, ..TxEip1559::default() }.into_signed(high_s);
    let raw = Envelope::from(malleable).encoded_2718();
    assert_eq!(SignedTx::decode(&raw, 1337).unwrap_err(), PoolError::InvalidSender);

    // A blob transaction as it stands in a block: without its blobs.
    let raw = blob(0, 1, 1).build().tx.inner().encoded_2718();
    assert_eq!(SignedTx::decode(&raw, 1337).unwrap_err(), PoolError::MissingSidecar);
}

#[test]
fn mined_nonces_leave_and_the_next_become_executable() {
    let (mut pool, mut state) = (Pool::default(), state());
    for nonce in [0, 1, 3] {
        pool.add(plain(nonce, 10).build(), &state).unwrap();
    }
    assert_eq!(pool.next_nonce(ALICE, &state), 2);
    let pending = |pool: &Pool, state: &State| pool.iter(state).filter(|(pending, _)| *pending).count();
    assert_eq!(pending(&pool, &state), 2);
    pool.add(plain(2, 10).build(), &state).unwrap();
    assert_eq!(pending(&pool, &state), 4);
    // A block took the first two.
    state.set_nonce(ALICE, 2);
    pool.reset(&state);
    assert_eq!(pool.iter(&state).count(), 2);
    let late = pool.add(plain(1, 99).build(), &state).unwrap_err();
    assert_eq!(late.to_string(), "nonce too low: next nonce 2, tx nonce 1");
}

#[test]
fn who_loses_the_money_loses_the_place() {
    let (mut pool, mut state) = (Pool::default(), state());
    pool.add(blob(0, 10, 10).build(), &state).unwrap();
    pool.add(blob(1, 10, 10).build(), &state).unwrap();
    state.set_balance(ALICE, U256::from(1));
    pool.reset(&state);
    assert_eq!(pool.iter(&state).count(), 0);
    assert_eq!((pool.blob_txs, pool.bytes), (0, 0));
}

#[test]
fn blocks_take_the_best_tip_first_and_keep_nonce_order() {
    let (mut pool, state) = (Pool::default(), state());
    pool.add(Draft { tip: 1, ..plain(0, 100) }.build(), &state).unwrap();
    pool.add(Draft { tip: 90, ..plain(1, 100) }.build(), &state).unwrap();
    pool.add(Draft { tip: 50, ..plain(0, 100) }.from(BOB).build(), &state).unwrap();
    pool.add(plain(1, 4).from(BOB).build(), &state).unwrap();
    let mut selection = pool.select(&state, 5, 1);
    let mut order = Vec::new();
    while let Some(tx) = selection.peek() {
        order.push((tx.sender, tx.tx.nonce()));
        selection.accept();
    }
    // Bob's second pays less than the base fee; Alice's good tip waits for her first.
    assert_eq!(order, [(BOB, 0), (ALICE, 0), (ALICE, 1)]);

    let mut selection = pool.select(&state, 5, 1);
    selection.skip_sender();
    assert_eq!(selection.peek().map(|tx| tx.sender), Some(ALICE));
}

#[test]
fn a_blob_fee_below_the_blocks_waits() {
    let (mut pool, state) = (Pool::default(), state());
    pool.add(blob(0, 10, 10).build(), &state).unwrap();
    assert!(pool.select(&state, 1, 11).peek().is_none());
    assert!(pool.select(&state, 1, 10).peek().is_some());
}

#[test]
fn accounts_and_the_pool_have_limits() {
    let (mut pool, mut state) = (Pool::default(), state());
    for nonce in 0..MAX_BLOB_TXS_PER_ACCOUNT as u64 {
        pool.add(blob(nonce, 10, 10).build(), &state).unwrap();
    }
    let over = pool.add(blob(MAX_BLOB_TXS_PER_ACCOUNT as u64, 10, 10).build(), &state).unwrap_err();
    assert_eq!(over.to_string(), "account limit exceeded: pooled 16 txs");

    for nonce in 0..MAX_QUEUED_PER_ACCOUNT as u64 {
        pool.add(plain(nonce + 10, 10).from(BOB).build(), &state).unwrap();
    }
    let over = pool.add(plain(900, 10).from(BOB).build(), &state).unwrap_err();
    assert_eq!(over, PoolError::AccountLimit(MAX_QUEUED_PER_ACCOUNT));
    pool.add(plain(0, 10).from(BOB).build(), &state).unwrap();

    pool.clear();
    let sender = |n: usize| Address::left_padding_from(&(n as u64 + 1000).to_be_bytes());
    for n in 0..MAX_BLOB_TXS {
        state.set_balance(sender(n), U256::from(ETH));
        pool.add(blob(0, 10 + n as u128, 10).from(sender(n)).build(), &state).unwrap();
    }
    assert_eq!(pool.add(blob(0, 10, 10).build(), &state), Err(PoolError::Underpriced));
    pool.add(blob(0, 11, 10).build(), &state).unwrap();
    assert!(!pool.accounts.contains_key(&sender(0)), "the cheapest gave way");
    assert_eq!(pool.blob_txs, MAX_BLOB_TXS);
}

#[test]
fn a_delegated_account_has_one_transaction_in_flight() {
    let (mut pool, mut state) = (Pool::default(), state());
    let designator = [&[0xef, 0x01, 0x00], BOB.as_slice()].concat();
    state.deploy(ALICE, designator.into()).unwrap();
    assert_eq!(pool.add(plain(2, 10).build(), &state), Err(PoolError::DelegatedInFlight));
    pool.add(plain(1, 10).build(), &state).unwrap();
    assert_eq!(pool.add(plain(2, 10).build(), &state), Err(PoolError::DelegatedInFlight));
    pool.add(plain(1, 20).build(), &state).unwrap();
}
