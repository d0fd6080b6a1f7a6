//! Where a batch fills its blobs. A blob is paid for whole, and how much raw data fills one is known only of the batches before: they compress alike.
//!
//! A proposer goes by this, nobody else: which block ends a batch is valid within the static limits of the genesis file, whatever the proposer
//! thinks of blobs.

use std::collections::VecDeque;

use batcher_format::blob::USABLE_BYTES;
use ordering_types::chain_spec::DataPolicy;
use ordering_types::{Block, ChainSpec, Chunk};

/// Batches that are remembered.
const REMEMBERED: usize = 4;
/// Smaller ones say little: what names blocks and rollups outweighs their data.
const LEAST_RAW_BYTES: u64 = 32 << 10;
/// Batches do not compress quite alike; one that overflows its last blob by a little wastes most of another. In thousandths of the blobs.
const FULL: u64 = 980;

/// How the last batches compressed.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    /// Raw bytes, and those of the payload.
    seen: VecDeque<(u64, u64)>,
}

/// Bytes of the transactions that go into blobs, counted as the limits count them.
pub(crate) fn raw_bytes<'a>(blocks: impl IntoIterator<Item = &'a Block>, spec: &ChainSpec) -> u64 {
    let goes = |rollup| spec.rollup(rollup).is_some_and(|rollup| rollup.data == DataPolicy::Blob);
    let sections = blocks.into_iter().flat_map(|block| &block.sections);
    let all = sections.filter(|section| goes(section.rollup)).flat_map(|section| &section.transactions);
    all.map(|data| Chunk::cost(data.len()) as u64).sum()
}

impl Filling {
    /// A batch of so much raw data has a payload of so many bytes.
    pub(crate) fn note(&mut self, raw: u64, payload: u64) {
        if raw < LEAST_RAW_BYTES || payload == 0 {
            return;
        }
        self.seen.push_back((raw, payload));
        while self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
    }

    /// The most raw data, up to `most`, that fills whole blobs; `None` where no batch can fill one, or nothing is known.
    pub(crate) fn full_at(&self, most: u64) -> Option<u64> {
        // The one that compressed worst counts.
        let (raw, payload) =
            self.seen.iter().copied().max_by_key(|(raw, payload)| payload * 1_000_000 / raw)?;
        let usable = USABLE_BYTES as u64;
        let blobs = most.checked_mul(payload)? / raw / usable;
        (blobs > 0).then(|| blobs * usable * FULL / 1_000 * raw / payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 400_000;

    fn filling(seen: &[(u64, u64)]) -> Filling {
        let mut filling = Filling::default();
        seen.iter().for_each(|(raw, payload)| filling.note(*raw, *payload));
        filling
    }

    #[test]
    fn what_fills_whole_blobs_follows_from_how_batches_compressed() {
        // Half: 400,000 bytes are 200,000, of which one blob is filled.
        let one = filling(&[(100_000, 50_000)]).full_at(MOST);
        assert_eq!(one, Some(USABLE_BYTES as u64 * 980 / 1_000 * 2));
        // Not at all: three blobs.
        let three = filling(&[(100_000, 100_000)]).full_at(MOST);
        assert_eq!(three, Some(3 * USABLE_BYTES as u64 * 980 / 1_000));
        // Very well: no blob can be filled, and the limits alone end a batch.
        assert_eq!(filling(&[(100_000, 10_000)]).full_at(MOST), None);
    }

    #[test]
    fn the_worst_of_the_last_counts_and_small_ones_say_nothing() {
        assert_eq!(filling(&[]).full_at(MOST), None);
        assert_eq!(filling(&[(1_000, 900)]).full_at(MOST), None);
        let worst = filling(&[(100_000, 50_000), (100_000, 60_000), (100_000, 40_000)]);
        assert_eq!(worst.full_at(MOST), filling(&[(100_000, 60_000)]).full_at(MOST));
        let forgotten = filling(&[
            (100_000, 90_000),
            (100_000, 50_000),
            (100_000, 50_000),
            (100_000, 50_000),
            (100_000, 50_000),
        ]);
        assert_eq!(forgotten.full_at(MOST), filling(&[(100_000, 50_000)]).full_at(MOST));
    }
}
