//! What the tests share: a chain without a timer, signers, and ways to send.

#![allow(dead_code)]

use alloy::consensus::{SidecarBuilder, SimpleCoder};
use alloy::network::{EthereumWallet, TransactionBuilder, TransactionBuilder4844};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use alloy::transports::{RpcError, TransportErrorKind};
use dev_l1::{DEFAULT_MNEMONIC, DevL1, Handle, Options};
use serde_json::{Value, json};

pub(crate) const GWEI: u128 = 1_000_000_000;

/// A contract that stores its calldata's first word in slot 0, logs it with topic 7 and returns it;
/// a call without data reverts with `Error("empty")`.
pub(crate) fn contract() -> Bytes {
    let revert = {
        // mstore(0, selector ‖ ...) in words: Error(string) "empty"
        let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
        data.extend(U256::from(32).to_be_bytes::<32>());
        data.extend(U256::from(5).to_be_bytes::<32>());
        data.extend(b"empty");
        data.resize(4 + 96, 0);
        data
    };
    // calldatasize; jumpi(OK); codecopy(0, DATA, 100); revert(0, 100); OK: ...
    let body = [
        0x36, 0x60, 0x10, 0x57, 0x60, 0x64, 0x60, 0x25, 0x5f, 0x39, 0x60, 0x64, 0x5f, 0xfd, 0x00, 0x00, 0x5b,
        0x5f, 0x35, 0x80, 0x5f, 0x55, 0x5f, 0x52, 0x60, 0x07, 0x60, 0x20, 0x5f, 0xa1, 0x60, 0x20, 0x5f, 0xf3,
        0x00, 0x00, 0x00,
    ];
    let runtime = [body.as_slice(), &revert].concat();
    // push2 len; dup1; push1 10; push0; codecopy; push0; return
    let len = (runtime.len() as u16).to_be_bytes();
    let init = [0x61, len[0], len[1], 0x80, 0x60, 0x0b, 0x5f, 0x39, 0x5f, 0xf3, 0x00];
    [init.as_slice(), &runtime].concat().into()
}

pub(crate) fn signer(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(DEFAULT_MNEMONIC).index(index).unwrap().build().unwrap()
}

pub(crate) async fn chain() -> (Handle, impl Provider + Clone) {
    chain_with(Options::default()).await
}

pub(crate) async fn chain_with(options: Options) -> (Handle, impl Provider + Clone) {
    let listen = ([127, 0, 0, 1], 0).into();
    let l1 = DevL1::spawn(Options { listen, no_mining: true, ..options }).await.unwrap();
    let mut wallet = EthereumWallet::from(signer(0));
    wallet.register_signer(signer(1));
    wallet.register_signer(signer(2));
    let provider = ProviderBuilder::new().wallet(wallet).connect_http(l1.url().parse().unwrap());
    (l1, provider)
}

pub(crate) async fn call(provider: &impl Provider, method: &'static str, params: Value) -> Value {
    provider.raw_request(method.into(), params).await.unwrap()
}

pub(crate) async fn mine(provider: &impl Provider, count: u64) {
    call(provider, "dev_mine", json!([count])).await;
}

pub(crate) async fn send(provider: &impl Provider, tx: TransactionRequest) -> B256 {
    *provider.send_transaction(tx).await.unwrap().tx_hash()
}

pub(crate) async fn receipt(provider: &impl Provider, hash: B256) -> TransactionReceipt {
    provider.get_transaction_receipt(hash).await.unwrap().expect("it was mined")
}

pub(crate) fn from(index: u32) -> TransactionRequest {
    TransactionRequest::default().from(signer(index).address())
}

pub(crate) fn message<T: std::fmt::Debug>(result: Result<T, RpcError<TransportErrorKind>>) -> (i64, String) {
    let error = result.unwrap_err();
    let error = error.as_error_resp().unwrap_or_else(|| panic!("not an answer: {error}"));
    (error.code, error.message.to_string())
}

pub(crate) async fn deploy(provider: &impl Provider) -> Address {
    let hash = send(provider, from(0).with_deploy_code(contract())).await;
    mine(provider, 1).await;
    receipt(provider, hash).await.contract_address.unwrap()
}

pub(crate) fn blob_tx(index: u32, nonce: u64, data: &[u8], fee: u128) -> TransactionRequest {
    let sidecar = SidecarBuilder::<SimpleCoder>::from_slice(data).build_7594().unwrap();
    let to = Address::repeat_byte(0xbb);
    let mut tx = from(index).with_to(to).with_nonce(nonce).with_gas_limit(21_000);
    tx.max_fee_per_gas = Some(fee);
    tx.max_priority_fee_per_gas = Some(fee);
    tx.max_fee_per_blob_gas = Some(fee);
    tx.with_blob_sidecar_7594(sidecar)
}
