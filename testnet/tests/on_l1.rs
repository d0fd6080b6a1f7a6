//! The contract and the accounts on a real development L1, as the bring-up uses them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use alloy::primitives::Address;
use ordering_types::SecretKey;
use testnet::contract::{L1, account, deploy, deploy_registry};
use testnet::genesis::{ACCOUNTS, DEPLOYER, MNEMONIC, Variant, batcher_accounts, founders, owner, senders};
use testnet::layout::{MAX_NODES, Ports};

#[tokio::test(flavor = "multi_thread")]
async fn the_contracts_are_deployed_and_read_and_everybody_has_money() {
    let listen = ([127, 0, 0, 1], 0).into();
    let block_time = Duration::from_millis(100);
    let options = dev_l1::Options { listen, block_time, accounts: ACCOUNTS, ..dev_l1::Options::default() };
    let chain = dev_l1::DevL1::spawn(options).await.unwrap();
    let l1 = L1::new(&chain.url());
    assert_eq!(l1.chain_id().await.unwrap(), dev_l1::DEFAULT_CHAIN_ID);

    let validators = (1..=4).map(Address::repeat_byte).collect();
    let inbox = deploy(&chain.url(), account(MNEMONIC, DEPLOYER).unwrap(), validators).await.unwrap();
    assert!(!l1.initialised(inbox).await.unwrap());
    let (batches, looked) = l1.batches(inbox, 0).await.unwrap();
    assert!(batches.is_empty() && looked > 0);

    // As many founders as there may be, with the longest addresses: one transaction must hold them.
    let key = |n| SecretKey::from_bytes([n; 32]).unwrap().public_key();
    let keys: Vec<_> = (1..=u8::try_from(MAX_NODES).unwrap()).map(key).collect();
    let variant = Variant { relay: true, ..Variant::default() };
    let founders = founders(&keys, Ports::new(64_900).unwrap(), variant).unwrap();
    let deployer = account(MNEMONIC, DEPLOYER).unwrap();
    let registry = deploy_registry(&chain.url(), deployer, inbox, founders).await.unwrap();
    assert_ne!(registry, inbox);
    assert!(l1.balance(owner(MAX_NODES).unwrap().address()).await.unwrap() > alloy::primitives::U256::ZERO);

    let funded = batcher_accounts().unwrap().into_iter().chain(senders().unwrap());
    for signer in funded {
        assert!(l1.balance(signer.address()).await.unwrap() > alloy::primitives::U256::ZERO);
    }

    // The constructor refuses a founder twice: that is an error, not a contract.
    let twice = vec![Address::repeat_byte(1); 4];
    assert!(deploy(&chain.url(), account(MNEMONIC, DEPLOYER).unwrap(), twice).await.is_err());
    chain.stop().await;
}
