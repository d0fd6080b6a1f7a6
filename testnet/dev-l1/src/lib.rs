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
//! and `finalized` trail it by fixed numbers of blocks, and what else happens to an L1 happens on command.
//!
//! # To the chain
//!
//! | method | parameters | effect |
//! |---|---|---|
//! | `dev_mine` | count (default 1, at most 1024) | mines that many blocks now; their timestamps move on by a slot each |
//! | `dev_setAutomine` | bool | whether the timer makes blocks |
//! | `dev_reorg` | `{depth, keepTransactions = true, keepBlobs = true, pastFinalized = false}` | replaces the newest blocks (1 to 64) by as many empty ones at the same times; kept transactions return to the pool |
//! | `dev_dropMempool` | | forgets all pooled transactions; returns their number |
//! | `dev_feeSpike` | `{factor, blocks, gas = true, blob = true}` | multiplies base fee and blob base fee (0.001 to 1,000,000 times) for the next blocks (at most 1024); then they are what they were before. `{blocks: 0}` ends it |
//! | `dev_setNextBaseFee` | wei | base fee of the next block |
//! | `dev_setBlobBaseFee` | wei | blob base fee of the next block |
//! | `dev_setBalance` | address, wei | sets a balance in a block of its own, mined at once: empties and refills a wallet. A reorg of that block undoes it |
//! | `dev_expireBlobs` | `{before, olderThanSeconds}`, both optional | the beacon API answers 404 for the blobs of blocks below that number (or tag) and more than so many seconds older than the head, for good; without parameters for all. Returns how many blobs went |
//!
//! *Reorgs.* geth's pools look at what the old branch had and the new one lacks, and pool it again. For a blob
//! transaction that takes its blobs, which no block contains: geth's blob pool keeps those of mined transactions that had been in
//! *this node's* pool in what it calls limbo, until they are final, and where they are missing it drops the transaction. A node to
//! which a transaction was sent brings it back, therefore, and one that never pooled it does not. `keepBlobs: true` is the
//! first node, `keepBlobs: false` the second; other blob transactions of that account that wait behind it go as well,
//! since no gap is allowed. After `pastFinalized` the blobs of final blocks are gone either way.
//!
//! *Fee spikes.* `baseFeePerGas` and `excessBlobGas` of a spiked block do not follow from its parent; everything that follows from
//! the block itself does, so a wallet that computes the blob base fee from `excessBlobGas` gets what
//! `eth_blobBaseFee`, receipts and the `BLOBBASEFEE` opcode say. Which blocks are spiked is a matter of their numbers: a
//! reorg rebuilds them with the same prices. A second spike starts from the prices before the first; `dev_setNextBaseFee` and
//! `dev_setBlobBaseFee` come first for their block.
//!
//! *Empty wallets.* After each block, as in geth, a pooled transaction that its sender cannot pay alone is dropped, and of blob
//! transactions the last ones until the rest can be paid together.
//!
//! # To one endpoint
//!
//! With `--also-listen` several listeners serve one chain. Each has faults of its own, and the method goes to the listener
//! that is meant; `all: true` means all of them. `dev_*` calls that come alone in their request always get through.
//!
//! | method | parameters | effect |
//! |---|---|---|
//! | `dev_outage` | seconds, or `{seconds, mode = "refuse" \| "hang", all = false}` | every request, beacon API included, gets HTTP 503, at once or when the outage ends; 0 ends it |
//! | `dev_lie` | `{kind, seconds, blocks, retryAfter, code, all = false}` | lies for so long, in place of any earlier lie; 0 ends it |
//! | `dev_faults` | | every listener with its URL, outage and lie |
//!
//! On a command line: `dev-l1 ctl lie '{"kind":"staleHead","seconds":60}' --rpc http://127.0.0.1:8546`.
//!
//! Outages and lies last an hour at most. The kinds of lies:
//!
//! | kind | parameters | what clients meet |
//! |---|---|---|
//! | `staleHead` | `blocks` (default 3, 1 to 64) | everything as it was so many blocks ago, moving on with the chain: head, `safe` and `finalized`, nonces, receipts, calls, fees, pool |
//! | `stuckHead` | | everything as it is now, while the chain goes on |
//! | `futureHead` | `blocks` | so many empty blocks more than there are, final ones among them; others at each block |
//! | `forkedHead` | `blocks` | another chain from so many blocks back on, final blocks included; it grows with the true one |
//! | `rateLimit` | `retryAfter` (seconds, default 1) | HTTP 429 with `Retry-After`, beacon API included |
//! | `hang` | | connections are taken and nothing is said, beacon API included |
//! | `garbage` | | in turn: an answer cut in half, a web page, JSON of no meaning; beacon API included |
//! | `error` | `code` (default -32603, or for instance -32005) | a JSON-RPC error for every call; HTTP 500 from the beacon API |
//!
//! Lies about the head are the execution layer's: the beacon API keeps to the truth meanwhile, transactions that are sent get
//! into the true pool, and filters that were installed before are not found. An outage hides a lie.
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
mod ctl;
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

pub use ctl::CtlError;
pub use options::{DEFAULT_CHAIN_ID, DEFAULT_MNEMONIC, Options};
pub use server::{DevL1, Handle, StartError, main_from_args, run};
