//! The contract and the accounts on a real development L1, as the bring-up uses them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use alloy::primitives::Address;
use testnet::contract::{L1, account, deploy};
use testnet::genesis::{DEPLOYER, MNEMONIC, batcher_accounts, senders};

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_is_deployed_and_read_and_everybody_has_money() {
    let listen = ([127, 0, 0, 1], 0).into();
    let block_time = Duration::from_millis(100);
    let options = dev_l1::Options { listen, block_time, ..dev_l1::Options::default() };
    let chain = dev_l1::DevL1::spawn(options).await.unwrap();
    let l1 = L1::new(&chain.url());
    assert_eq!(l1.chain_id().await.unwrap(), dev_l1::DEFAULT_CHAIN_ID);

    let validators = (1..=4).map(Address::repeat_byte).collect();
    let inbox = deploy(&chain.url(), account(MNEMONIC, DEPLOYER).unwrap(), validators).await.unwrap();
    assert!(!l1.initialised(inbox).await.unwrap());
    let (batches, looked) = l1.batches(inbox, 0).await.unwrap();
    assert!(batches.is_empty() && looked > 0);

    let funded = batcher_accounts().unwrap().into_iter().chain(senders().unwrap());
    for signer in funded {
        assert!(l1.balance(signer.address()).await.unwrap() > alloy::primitives::U256::ZERO);
    }

    // The constructor refuses a founder twice: that is an error, not a contract.
    let twice = vec![Address::repeat_byte(1); 4];
    assert!(deploy(&chain.url(), account(MNEMONIC, DEPLOYER).unwrap(), twice).await.is_err());
    chain.stop().await;
}
