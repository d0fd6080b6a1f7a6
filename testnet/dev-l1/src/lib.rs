//! A development Ethereum L1 on revm with geth's pool rules.
//!
//! One process, one port, everything in memory: a chain with Osaka rules that wallets, batchers and
//! tests use as they would use a real node. Headers carry real state, transaction and receipt roots;
//! fees follow EIP-1559, 4844 and 7918; the pool refuses what geth refuses, in geth's words; blobs
//! are verified against their cell proofs (EIP-7594) and served over the beacon API.
//!
//! ```text
//!  JSON-RPC ─▶ pool (nonces, fees, funds, KZG) ─▶ block builder (revm) ─▶ chain ─▶ filters, receipts
//!                                                       ▲ timer              └──▶ /eth/v1/beacon/blobs
//! ```
//!
//! Unlike a real L1 there is one producer and no consensus: `latest` is a block's only vote, `safe`
//! and `finalized` trail it by fixed numbers of blocks, and reorgs and outages happen on command:
//!
//! | method | parameters | effect |
//! |---|---|---|
//! | `dev_mine` | count (default 1) | mines that many blocks now; their timestamps move on by a slot each |
//! | `dev_setAutomine` | bool | whether the timer makes blocks |
//! | `dev_reorg` | `{depth, keepTransactions = true, pastFinalized = false}` | replaces the newest blocks by as many empty ones; kept transactions return to the pool |
//! | `dev_outage` | seconds, or `{seconds, mode: "refuse" \| "hang"}` | every request gets HTTP 503 (at once, or when it ends), except `dev_outage` itself; 0 ends it |
//! | `dev_dropMempool` | | forgets all pooled transactions; returns their number |
//! | `dev_setNextBaseFee` | wei | base fee of the next block |
//! | `dev_setBlobBaseFee` | wei | blob base fee of the next block |
//! | `dev_setBalance` | address, wei | sets a balance in a block of its own, mined at once |
//!
//! Running it inside a test:
//!
//! ```no_run
//! # async fn example() -> Result<(), dev_l1::StartError> {
//! let listen = ([127, 0, 0, 1], 0).into();
//! let options = dev_l1::Options { listen, no_mining: true, ..dev_l1::Options::default() };
//! let l1 = dev_l1::DevL1::spawn(options).await?;
//! println!("JSON-RPC on {}", l1.url());
//! l1.stop().await;
//! # Ok(())
//! # }
//! ```

mod beacon;
mod chain;
mod connections;
mod fault;
mod kzg;
mod node;
mod options;
mod pool;
mod rpc;
mod server;
mod shadow;
mod state;
mod transaction;

pub use options::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, Options};
pub use server::{DevL1, Handle, StartError, main_from_args, run};
