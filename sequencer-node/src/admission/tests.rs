#![allow(clippy::unwrap_used)]

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEnvelope, TxLegacy};
use alloy::eips::Encodable2718;
use alloy::primitives::{Address, Signature, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use ordering_types::chain_spec::{DataPolicy, Rollup};

use super::*;

const EVM: RollupId = RollupId::new(1);
const OPAQUE: RollupId = RollupId::new(2);

fn spec() -> ChainSpec {
    let rollup = |id: RollupId, kind, chain_id| Rollup {
        id,
        name: "test".to_owned(),
        kind,
        chain_id,
        data: DataPolicy::Blob,
        quota_bytes_per_block: 1 << 20,
    };
    ChainSpec {
        network: "test".to_owned(),
        l1_chain_id: 1,
        inbox: ordering_types::Address::default(),
        validators: Vec::new(),
        rollups: vec![rollup(EVM, RollupKind::Evm, 901), rollup(OPAQUE, RollupKind::Opaque, 902)],
        ..ChainSpec::default()
    }
}

fn transfer(chain_id: u64) -> TxEip1559 {
    TxEip1559 { chain_id, gas_limit: 21_000, to: TxKind::Call(Address::ZERO), ..TxEip1559::default() }
}

fn sign<T: SignableTransaction<Signature>>(transaction: T) -> Vec<u8>
where
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

fn high_s() -> Vec<u8> {
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let transaction = transfer(901);
    let low = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let order =
        U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let high = Signature::new(low.r(), order - low.s(), !low.v());
    TxEnvelope::from(transaction.into_signed(high)).encoded_2718()
}

fn bad_signature() -> Vec<u8> {
    let unsigned = Signature::new(U256::ZERO, U256::ZERO, false);
    TxEnvelope::from(transfer(901).into_signed(unsigned)).encoded_2718()
}

#[test]
fn each_fault_has_its_own_answer() {
    let good = sign(transfer(901));
    let mut trailing = good.clone();
    trailing.push(0);
    let mut torn = good.clone();
    torn.pop();
    let legacy = |chain_id| TxLegacy { chain_id, gas_limit: 21_000, ..TxLegacy::default() };
    let blob = TxEip4844 { chain_id: 901, ..TxEip4844::default() };
    let table: Vec<(&str, RollupId, Vec<u8>, Option<Refusal>)> = vec![
        ("a transfer", EVM, good, None),
        ("a legacy transfer", EVM, sign(legacy(Some(901))), None),
        ("any bytes for an opaque rollup", OPAQUE, vec![0], None),
        ("nothing", OPAQUE, Vec::new(), Some(Refusal::Size)),
        ("too much", OPAQUE, vec![0; MAX_TRANSACTION_BYTES + 1], Some(Refusal::Size)),
        ("an unknown rollup", RollupId::new(9), vec![0], Some(Refusal::UnknownRollup)),
        ("another chain", EVM, sign(transfer(902)), Some(Refusal::WrongChainId)),
        ("no chain", EVM, sign(legacy(None)), Some(Refusal::WrongChainId)),
        ("a zero signature", EVM, bad_signature(), Some(Refusal::BadSignature)),
        ("a high s", EVM, high_s(), Some(Refusal::BadSignature)),
        ("a blob transaction", EVM, sign(blob), Some(Refusal::Malformed)),
        ("a trailing byte", EVM, trailing, Some(Refusal::Malformed)),
        ("a missing byte", EVM, torn, Some(Refusal::Malformed)),
        ("garbage", EVM, vec![0xff; 100], Some(Refusal::Malformed)),
    ];
    let spec = spec();
    for (name, rollup, data, expected) in table {
        let got = check(&spec, &Transaction { rollup, data: data.into() });
        assert_eq!(got.as_ref().err().map(AdmissionError::refusal), expected, "{name}: {got:?}");
    }
}

#[test]
fn every_refusal_has_one_rpc_code() {
    let errors = [
        AdmissionError::Size(0),
        AdmissionError::UnknownRollup(EVM),
        AdmissionError::Evm(EvmError::NoChainId),
        AdmissionError::Evm(EvmError::Signature),
        AdmissionError::Evm(EvmError::Blob),
        AdmissionError::Duplicate("it is ordered"),
        AdmissionError::OverQuota(String::new()),
        AdmissionError::Full(String::new()),
        AdmissionError::NotReady,
        AdmissionError::NotInCommittee,
        AdmissionError::Slowed { why: "full".into(), retry_after: Duration::from_millis(2_500) },
    ];
    let codes: std::collections::BTreeSet<i32> = errors.iter().map(AdmissionError::rpc_code).collect();
    assert_eq!(codes.len(), errors.len());
    assert!(errors.iter().all(|e| !e.what_to_do().is_empty()));
    // The binary protocol has no time of its own, so the text says it; programs treat it as any node that is full.
    let slowed = errors.last().unwrap();
    assert_eq!((slowed.refusal(), slowed.retry_after()), (Refusal::Full, Some(Duration::from_millis(2_500))));
    assert_eq!(
        slowed.to_string(),
        "full: this node takes less now; send again in 3 s, or to another validator"
    );
}
