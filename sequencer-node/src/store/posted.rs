//! What L1 has, as far as this node knows, and what of the sealed batches it lacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StoreError;
use super::index;
use super::reader::Reader;
use super::segments::Location;

/// Rows that one look walks through. Who has more unposted batches than this has far too many.
const MAX_ROWS: usize = 1 << 17;

/// Number of the newest batch that is final on L1: younger ones are not forgotten. Whoever cannot know says that all are there.
#[derive(Clone, Debug)]
pub(super) struct FinalBatch(Arc<AtomicU64>);

impl Default for FinalBatch {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl FinalBatch {
    pub(super) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sealed batches held here that L1 lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnpostedBatches {
    /// How many.
    pub(crate) batches: u64,
    /// Bytes of their records: what goes to L1, and commitments and signature.
    pub(crate) bytes: u64,
    /// Number of the oldest; 0 if there is none.
    pub(crate) oldest: u64,
}

impl Reader {
    /// Batches up to this number are final on L1; `None`: this node cannot know, and forgets by age alone.
    pub(crate) fn set_final_batch(&self, number: Option<u64>) {
        self.final_batch.0.store(number.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The sealed batches after number `last`. Reads the index alone.
    pub(crate) fn unposted(&self, last: u64) -> Result<UnpostedBatches, StoreError> {
        self.query(|t| {
            let mut unposted = UnpostedBatches::default();
            for row in t.open_table(index::SEALED)?.range(last.saturating_add(1)..)?.take(MAX_ROWS) {
                let (number, value) = row?;
                let length = Location::from_bytes(&value.value().0).map_or(0, |at| at.length);
                if unposted.batches == 0 {
                    unposted.oldest = number.value();
                }
                unposted.batches += 1;
                unposted.bytes += u64::from(length);
            }
            Ok(unposted)
        })
    }
}
