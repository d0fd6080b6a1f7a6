//! A development L1 for a test, with the real contracts on it: ours in this process, or anvil in another.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use alloy::network::{EthereumWallet, TransactionBuilder};
use alloy::primitives::{Address, Bytes, U256, hex};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use alloy::signers::local::coins_bip39::English;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use alloy::sol_types::{SolCall, SolValue};
use dev_l1::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, DevL1, Handle, Options};
use ordering_types::registry::peer_id;
use ordering_types::{PublicKey, SecretKey};
use rollup::registry::IValidatorRegistry::Founder;

/// Wei that a validator needs.
pub(crate) const STAKE: u64 = 1_000_000_000;
/// Account that deploys.
pub(crate) const DEPLOYER: u32 = 9;
/// The chain of both.
pub(crate) const CHAIN_ID: u64 = DEFAULT_CHAIN_ID;

/// A funded account.
pub(crate) fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(DEFAULT_MNEMONIC).index(index).unwrap().build().unwrap()
}

/// A key of a validator.
pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

/// Where a validator would be reached.
pub(crate) fn endpoint(key: &PublicKey, port: u16) -> String {
    format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{}", peer_id(key))
}

pub(crate) fn to_l1(address: ordering_types::Address) -> Address {
    Address::from(*address.as_bytes())
}

/// The L1.
pub(crate) enum Chain {
    Dev(Handle),
    Anvil(Child, String),
}

impl Drop for Chain {
    fn drop(&mut self) {
        if let Self::Anvil(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Chain {
    /// Ours, with a block each so many milliseconds.
    pub(crate) async fn dev(block_ms: u64) -> Self {
        let block_time = Duration::from_millis(block_ms);
        let options = Options { listen: ([127, 0, 0, 1], 0).into(), block_time, ..Options::default() };
        Self::Dev(DevL1::spawn(options).await.unwrap())
    }

    /// anvil, if `ANVIL` names it; `REQUIRE_ANVIL=1` makes its absence a failure.
    pub(crate) async fn anvil() -> Option<Self> {
        let program = std::env::var_os("ANVIL").filter(|named| !named.is_empty()).map(PathBuf::from);
        let required = std::env::var("REQUIRE_ANVIL").is_ok_and(|value| value == "1");
        assert!(program.is_some() || !required, "REQUIRE_ANVIL=1, but ANVIL is not set");
        let mut child = Command::new(program?)
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "osaka", "--block-time", "1"])
            .args(["--slots-in-an-epoch", "2"])
            .args(["--chain-id", &DEFAULT_CHAIN_ID.to_string(), "--mnemonic", DEFAULT_MNEMONIC])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = tokio::sync::oneshot::channel();
        // Reads to the end: anvil logs every request, and a full pipe would stop it.
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            for line in output.lines().map_while(Result::ok) {
                if let (Some(address), true) = (line.strip_prefix("Listening on "), tell.is_some()) {
                    let _ = tell.take().unwrap().send(address.trim().to_owned());
                }
            }
        });
        let address = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap().unwrap();
        Some(Self::Anvil(child, format!("http://{address}")))
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Dev(handle) => handle.url(),
            Self::Anvil(_, url) => url.clone(),
        }
    }

    /// Sends one transaction and waits for its receipt.
    pub(crate) async fn send(
        &self,
        from: &PrivateKeySigner,
        request: TransactionRequest,
    ) -> TransactionReceipt {
        let wallet = EthereumWallet::from(from.clone());
        let provider = ProviderBuilder::new().wallet(wallet).connect_http(self.url().parse().unwrap());
        provider.client().set_poll_interval(Duration::from_millis(50));
        provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap()
    }

    pub(crate) async fn call(&self, from: &PrivateKeySigner, to: Address, call: impl SolCall) {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        assert!(self.send(from, request).await.status());
    }

    async fn deploy(&self, name: &str, arguments: Vec<u8>, value: U256) -> Address {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../batcher/contracts/artifacts");
        let artifact = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        let artifact: serde_json::Value = serde_json::from_str(&artifact).unwrap();
        let code: Bytes = hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap().into();
        let input = [code.as_ref(), &arguments].concat();
        let request = TransactionRequest::default().with_deploy_code(input).with_value(value);
        let receipt = self.send(&account(DEPLOYER), request).await;
        assert!(receipt.status(), "{name} does not deploy");
        receipt.contract_address.unwrap()
    }

    /// Inbox and registry with these founders; their owners are the accounts from 0.
    pub(crate) async fn found(&self, founders: &[(PublicKey, String)]) -> (Address, Address) {
        let node = |(key, _): &(PublicKey, String)| to_l1(key.address());
        let addresses: Vec<Address> = founders.iter().map(node).collect();
        // Recovery, inclusion and escape, in seconds; the fee of an entry, in wei.
        let terms = (3_600_u64, 3_600_u64, 7_200_u64, 1_000_000_000_u64);
        let inbox = self.deploy("SequencerInbox", (addresses, terms).abi_encode_params(), U256::ZERO).await;
        let founder = |(index, one): (u32, &(PublicKey, String))| Founder {
            node: node(one),
            owner: account(index).address(),
            endpoint: one.1.clone(),
        };
        let list: Vec<Founder> = (0_u32..).zip(founders).map(founder).collect();
        let stake = U256::from(STAKE);
        let value = stake * U256::from(list.len());
        let arguments = (inbox, list, false, stake, 60_u64).abi_encode_params();
        (inbox, self.deploy("ValidatorRegistry", arguments, value).await)
    }
}
