//! The rollup: its configuration, and blocks as its execution node would have built them.

use std::sync::Arc;

use alloy_eips::BlockNumHash;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use async_trait::async_trait;
use batcher_format::op::{L1Origin, L2Block};
use kona_derive::{L2ChainProvider, PipelineError, PipelineErrorKind};
use kona_genesis::{ChainGenesis, HardForkConfig, RollupConfig, SystemConfig};
use kona_protocol::{BatchValidationProvider, BlockInfo, L2BlockInfo};
use op_alloy_consensus::OpBlock;
use ordering_types::Digest;

use crate::l1::{GENESIS_TIME, INBOX, L1, SLOT};

/// Seconds between blocks.
pub const BLOCK_TIME: u64 = 2;
/// L1 blocks after which a block without a batch is derived empty: longer than any test.
const SEQUENCE_WINDOW: u64 = 3_600;

/// Which rules the rollup follows from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The first that read brotli.
    Fjord,
    /// The first with strict order of frames and batches, and short channels.
    Holocene,
    /// The newest that this pipeline knows.
    Isthmus,
}

impl Rules {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fjord, Self::Holocene, Self::Isthmus];
}

/// A rollup that takes batches from one account.
pub fn config(rules: Rules, batcher: Address, l1: &L1) -> RollupConfig {
    let genesis = l1.info(0).expect("every L1 has a first block");
    let system_config =
        SystemConfig { batcher_address: batcher, gas_limit: 30_000_000, ..Default::default() };
    let from = |first: bool| first.then_some(0);
    RollupConfig {
        genesis: ChainGenesis {
            l1: genesis.id(),
            l2: BlockNumHash { number: 0, hash: B256::ZERO },
            l2_time: GENESIS_TIME,
            system_config: Some(system_config),
        },
        block_time: BLOCK_TIME,
        max_sequencer_drift: 600,
        seq_window_size: SEQUENCE_WINDOW,
        channel_timeout: 300,
        hardforks: HardForkConfig {
            regolith_time: Some(0),
            canyon_time: Some(0),
            delta_time: Some(0),
            ecotone_time: Some(0),
            fjord_time: Some(0),
            granite_time: from(rules != Rules::Fjord),
            holocene_time: from(rules != Rules::Fjord),
            isthmus_time: from(rules == Rules::Isthmus),
            ..Default::default()
        },
        batch_inbox_address: INBOX,
        ..Default::default()
    }
}

/// What a block is, in place of its execution: its hash says what it was built from.
pub fn hash(parent: B256, timestamp: u64, origin: BlockNumHash, transactions: &[Bytes]) -> B256 {
    let mut content = [parent.as_slice(), origin.hash.as_slice()].concat();
    content.extend(origin.number.to_be_bytes());
    content.extend(timestamp.to_be_bytes());
    for transaction in transactions {
        content.extend(keccak256(transaction));
    }
    keccak256(content)
}

/// The first block.
pub fn genesis(l1: &L1) -> L2BlockInfo {
    let origin = l1.info(0).expect("every L1 has a first block").id();
    let hash = hash(B256::ZERO, GENESIS_TIME, origin, &[]);
    L2BlockInfo::new(BlockInfo::new(hash, 0, B256::ZERO, GENESIS_TIME), origin, 0)
}

/// The execution node: builds one block upon the other.
pub struct Execution {
    head: L2BlockInfo,
}

impl Execution {
    /// Upon the first block.
    pub fn new(l1: &L1) -> Self {
        Self { head: genesis(l1) }
    }

    /// The next block: of the newest L1 block that is not after it, but of no more than the next one.
    pub fn build(&mut self, l1: &L1, transactions: Vec<Bytes>) -> L2Block {
        let parent = self.head.block_info;
        let timestamp = parent.timestamp + BLOCK_TIME;
        let newest = (timestamp - GENESIS_TIME) / SLOT;
        let number = newest.min(self.head.l1_origin.number + 1);
        let origin = l1.info(number).expect("L1 is ahead of the rollup").id();
        let hash = hash(parent.hash, timestamp, origin, &transactions);
        self.head =
            L2BlockInfo::new(BlockInfo::new(hash, parent.number + 1, parent.hash, timestamp), origin, 0);
        L2Block {
            parent: Digest::new(parent.hash.0),
            timestamp,
            origin: L1Origin { number: origin.number, hash: Digest::new(origin.hash.0) },
            transactions: transactions.into_iter().map(|one| one.0).collect(),
        }
    }
}

/// What the pipeline asks of the rollup itself: only its settings, which nobody changes here.
#[derive(Clone, Debug)]
pub struct Settings(pub SystemConfig);

/// Asked for a block, which only span batches need.
#[derive(Debug, thiserror::Error)]
#[error("no block {0} is kept")]
pub struct NotKept(u64);

impl From<NotKept> for PipelineErrorKind {
    fn from(error: NotKept) -> Self {
        PipelineError::Provider(error.to_string()).crit()
    }
}

#[async_trait]
impl BatchValidationProvider for Settings {
    type Error = NotKept;

    async fn l2_block_info_by_number(&mut self, number: u64) -> Result<L2BlockInfo, NotKept> {
        Err(NotKept(number))
    }

    async fn block_by_number(&mut self, number: u64) -> Result<OpBlock, NotKept> {
        Err(NotKept(number))
    }
}

#[async_trait]
impl L2ChainProvider for Settings {
    type Error = NotKept;

    async fn system_config_by_number(
        &mut self,
        _: u64,
        _: Arc<RollupConfig>,
    ) -> Result<SystemConfig, NotKept> {
        Ok(self.0)
    }
}
