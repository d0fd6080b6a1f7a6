//! Everything that L1 says of a run, read with nothing but its URL and the genesis file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use batcher_format::Content;
use ordering_types::transaction::tx_id;
use ordering_types::{ChainSpec, Digest, RollupId};
use rollup::derive::{DeriveConfig, DeriveError, Derived, DerivedBatch, Deriver, Finality};

use super::compare::Placed;

/// Pause between looks for the next batch.
const POLL: Duration = Duration::from_millis(200);

/// What one batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Its number.
    pub number: u64,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// Bytes of its inline data.
    pub inline_bytes: usize,
    /// Its blobs.
    pub blobs: usize,
    /// Transactions that it carries or commits to.
    pub transactions: u64,
}

/// What L1 says.
#[derive(Debug, Default)]
pub struct FromL1 {
    /// Transactions of rollups whose data is on L1.
    pub ordered: BTreeMap<RollupId, Vec<Placed>>,
    /// For the others: height, number of transactions, Merkle root over them.
    pub commitments: BTreeMap<RollupId, Vec<(u64, u32, Digest)>>,
    /// Header hashes, recomputed.
    pub headers: BTreeMap<u64, Digest>,
    /// Batches, in order.
    pub batches: Vec<Load>,
    /// Entries of the forced-inclusion queue that batches cover.
    pub cursor: u64,
    /// Those that blocks have.
    pub forced: usize,
    /// Those that the committee left out.
    pub omitted: usize,
    /// Those that had to escape.
    pub escaped: usize,
    /// Rollups that did not decode in some batch.
    pub broken: Vec<String>,
    /// Last height of the last batch.
    pub last_height: u64,
    /// Epoch of the last batch.
    pub epoch: u64,
    /// Longest time between two blocks by their own times, milliseconds, and the later one's height.
    pub longest_pause: (u64, u64),
    /// Time of the newest block.
    newest_ms: Option<u64>,
    /// What went wrong last, if it still does.
    pub error: Option<DeriveError>,
}

impl FromL1 {
    /// Transactions that L1 carries or commits to.
    pub fn transactions(&self) -> u64 {
        self.batches.iter().map(|batch| batch.transactions).sum()
    }

    fn absorb(&mut self, batch: DerivedBatch) {
        let mut transactions = 0;
        for block in &batch.blocks {
            let height = block.height.get();
            if let Some(header) = &block.header {
                self.headers.insert(height, header.hash());
                let pause = header.time_ms.saturating_sub(self.newest_ms.unwrap_or(header.time_ms));
                self.longest_pause = self.longest_pause.max((pause, height));
                self.newest_ms = Some(header.time_ms);
            }
            for section in &block.sections {
                transactions += u64::from(section.content.count());
                match &section.content {
                    Content::Data(all) => {
                        let placed = all.iter().map(|data| (height, tx_id(data)));
                        self.ordered.entry(section.rollup).or_default().extend(placed);
                    }
                    Content::Commitment { count, root } => {
                        self.commitments.entry(section.rollup).or_default().push((height, *count, *root));
                    }
                }
            }
        }
        self.cursor = batch.header.forced_cursor;
        self.forced += batch.forced.len();
        self.omitted += batch.omitted.len();
        let broken = batch.broken.iter();
        self.broken.extend(broken.map(|(rollup, error)| {
            format!("batch {}: rollup {rollup} does not decode: {error}", batch.header.number)
        }));
        if let Some(error) = &batch.unreadable {
            self.broken.push(format!("batch {} does not decode: {error}", batch.header.number));
        }
        self.last_height = batch.header.last_height.get();
        self.epoch = batch.header.epoch.get();
        self.batches.push(Load {
            number: batch.header.number,
            payload_bytes: batch.payload_bytes,
            inline_bytes: batch.inline_bytes,
            blobs: batch.blobs,
            transactions,
        });
    }
}

/// Derives from the first batch on until `height` and so many entries of the forced-inclusion queue are covered, or the deadline. What was read so far is
/// judged either way.
pub async fn read(
    spec: Arc<ChainSpec>,
    l1_url: &str,
    (height, entries): (u64, u64),
    deadline: Instant,
) -> FromL1 {
    let mut found = FromL1::default();
    let config = DeriveConfig {
        rpc: vec![l1_url.to_owned()],
        beacon: l1_url.to_owned(),
        archives: Vec::new(),
        spec,
        first_l1_block: 0,
        finality: Finality::Latest,
    };
    let mut deriver = match Deriver::new(config) {
        Ok(deriver) => deriver,
        Err(error) => return FromL1 { error: Some(error), ..found },
    };
    while (found.last_height < height || found.cursor < entries) && Instant::now() < deadline {
        match deriver.next().await {
            Ok(Some(derived)) => {
                found.error = None;
                match derived {
                    Derived::Batch(batch) => found.absorb(*batch),
                    Derived::Escape(escape) => found.escaped += escape.transactions.len(),
                }
            }
            Ok(None) => {
                found.error = None;
                tokio::time::sleep(POLL).await;
            }
            // An endpoint that fails may recover; one that lies does so again until the deadline.
            Err(error) => {
                found.error = Some(error);
                tokio::time::sleep(POLL).await;
            }
        }
    }
    found
}
