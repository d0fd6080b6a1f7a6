//! The pipeline, run to the end of L1.

use std::sync::Arc;

use alloy_eips::BlockNumHash;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, Bytes};
use batcher_format::op::{L1Origin, L2Block};
use futures::executor::block_on;
use kona_derive::{
    EthereumDataSource, Pipeline, PipelineBuilder, PipelineError, PipelineErrorKind, ResetSignal,
    SignalReceiver, StatefulAttributesBuilder, StepResult,
};
use kona_protocol::{BlockInfo, L1BlockInfoTx, L2BlockInfo, OpAttributesWithParent};
use op_alloy_consensus::OpTxEnvelope;
use ordering_types::Digest;

use crate::l1::L1;
use crate::l2::{self, Rules, Settings};

/// Most steps of a run: some for each L1 block and each batch.
const MAX_STEPS: usize = 100_000;

/// The blocks that a rollup with this batcher has by what is on L1, in the form in which they were encoded.
pub fn derive(l1: &L1, batcher: Address, rules: Rules) -> Vec<L2Block> {
    block_on(run(l1, batcher, rules))
}

async fn run(l1: &L1, batcher: Address, rules: Rules) -> Vec<L2Block> {
    let config = Arc::new(l2::config(rules, batcher, l1));
    let settings = Settings(config.genesis.system_config.expect("set above"));
    let origin = l1.info(0).expect("every L1 has a first block");
    let mut head = l2::genesis(l1);
    let mut pipeline = PipelineBuilder::new()
        .rollup_config(Arc::clone(&config))
        .dap_source(EthereumDataSource::new_from_parts(l1.clone(), l1.clone(), &config))
        .l2_chain_provider(settings.clone())
        .chain_provider(l1.clone())
        .builder(StatefulAttributesBuilder::new(Arc::clone(&config), settings, l1.clone()))
        .origin(origin)
        .build_polled();
    let reset = ResetSignal { l2_safe_head: head, l1_origin: origin, system_config: None };
    pipeline.signal(reset.signal()).await.expect("the pipeline starts");

    let mut blocks = Vec::new();
    for _ in 0..MAX_STEPS {
        match pipeline.step(head).await {
            StepResult::PreparedAttributes => {
                let attributes = pipeline.next().expect("it says that there are some");
                let block = apply(&mut head, &attributes);
                blocks.push(block);
            }
            StepResult::AdvancedOrigin | StepResult::StepFailed(PipelineErrorKind::Temporary(_)) => {}
            StepResult::OriginAdvanceErr(PipelineErrorKind::Critical(PipelineError::EndOfSource)) => {
                return blocks;
            }
            failed => panic!("the pipeline fails: {failed:?}"),
        }
    }
    panic!("no end of L1 after {MAX_STEPS} steps");
}

/// Builds the block that the attributes describe.
fn apply(head: &mut L2BlockInfo, attributes: &OpAttributesWithParent) -> L2Block {
    let parent = head.block_info;
    assert_eq!(attributes.parent().block_info.hash, parent.hash);
    let timestamp = attributes.inner().payload_attributes.timestamp;
    let all = attributes.inner().transactions.as_deref().unwrap_or_default();
    let (deposit, transactions) = all.split_first().expect("the first transaction says the epoch");
    let info = l1_info(deposit);
    let origin = info.id();
    let hash = l2::hash(parent.hash, timestamp, origin, transactions);
    let block = BlockInfo::new(hash, parent.number + 1, parent.hash, timestamp);
    *head = L2BlockInfo::new(block, origin, info.sequence_number());
    L2Block {
        parent: Digest::new(parent.hash.0),
        timestamp,
        origin: origin_of(origin),
        transactions: transactions.iter().map(|one| one.0.clone()).collect(),
    }
}

fn l1_info(transaction: &Bytes) -> L1BlockInfoTx {
    let envelope =
        OpTxEnvelope::decode_2718(&mut transaction.as_ref()).expect("a transaction of the pipeline's own");
    let deposit = envelope.as_deposit().expect("the first transaction is a deposit");
    L1BlockInfoTx::decode_calldata(&deposit.input).expect("calldata of the pipeline's own")
}

const fn origin_of(origin: BlockNumHash) -> L1Origin {
    L1Origin { number: origin.number, hash: Digest::new(origin.hash.0) }
}
