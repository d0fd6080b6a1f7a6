//! Transactions as batches of one rollup.

use std::sync::Arc;

use batcher_format::{BatchHeader, Policies, Policy};
use bytes::Bytes;
use ordering_types::chain_spec::{DataPolicy, RollupKind};
use ordering_types::{Block, Digest, Epoch, Header, Height, L1Reference, RollupId, RollupSection};

const ROLLUP: RollupId = RollupId::new(1);

pub(crate) fn policies() -> Policies {
    let policy = Policy { kind: RollupKind::Evm, data: DataPolicy::Blob };
    [(ROLLUP, policy)].into_iter().collect()
}

/// Batches of at most so many bytes of transactions. What does not fill the last one is left out.
pub(crate) fn cut(transactions: &[Bytes], bytes: usize) -> Vec<Vec<Bytes>> {
    let mut batches = Vec::new();
    let (mut batch, mut size) = (Vec::new(), 0);
    for transaction in transactions {
        if size + transaction.len() > bytes {
            batches.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += transaction.len();
        batch.push(transaction.clone());
    }
    batches
}

/// A batch of these, in blocks of at most so many.
pub(crate) fn batch(transactions: &[Bytes], in_one_block: usize) -> (BatchHeader, Vec<Arc<Block>>) {
    let mut blocks: Vec<Arc<Block>> = Vec::new();
    for (number, transactions) in (0_u64..).zip(transactions.chunks(in_one_block)) {
        let parent = blocks.last().map_or(Digest::ZERO, |block| block.header.hash());
        blocks.push(Arc::new(block(number, parent, transactions.to_vec())));
    }
    let last = &blocks.last().expect("a batch has transactions").header;
    let header = BatchHeader {
        number: 1,
        parent: Digest::ZERO,
        epoch: last.epoch,
        first_height: Height::new(1),
        last_height: last.height,
        last_header: last.hash(),
        last_time_ms: last.time_ms,
        forced_cursor: 0,
        l1_reference: 0,
    };
    (header, blocks)
}

fn block(number: u64, parent: Digest, transactions: Vec<Bytes>) -> Block {
    let mut block = Block {
        header: Header {
            version: 1,
            chain_spec: Digest::ZERO,
            epoch: Epoch::new(1),
            height: Height::new(1 + number),
            parent,
            time_ms: 1_800_000_000_000 + 40 * number,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::sha256(&[b"cut", &number.to_be_bytes()]),
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::sha256(&[b"state", &number.to_be_bytes()]),
            seals_batch: false,
        },
        sections: vec![RollupSection { rollup: ROLLUP, transactions }],
    };
    let tree = block.tree();
    (block.header.tx_root, block.header.tx_count) = (tree.root(), tree.count());
    block
}
