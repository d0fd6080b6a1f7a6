//! Fees that jump for a number of blocks and fall back.
//!
//! No header of a real chain shows such a jump: its fees come from its parent's. What clients compute from *one* header
//! still holds, because not prices are put in but what prices are made of: `excessBlobGas` is the smallest one that
//! costs at least the wanted blob base fee, and everything that names that fee (`eth_blobBaseFee`, `eth_feeHistory`,
//! receipts, the `BLOBBASEFEE` opcode) computes it from there, as wallets do.

use alloy::consensus::Header;

use super::fees::{self, MAX_BASE_FEE, MAX_BLOB_BASE_FEE};

/// The longest spike, in blocks.
pub(crate) const MAX_SPIKE_BLOCKS: u64 = 1024;
/// What a spike may multiply by: fees can fall as well as rise.
pub(crate) const SPIKE_FACTORS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// Which fees jump, how far and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpikeOrder {
    /// One of [`SPIKE_FACTORS`].
    pub(crate) factor: f64,
    /// 1 to [`MAX_SPIKE_BLOCKS`].
    pub(crate) blocks: u64,
    /// Whether the base fee jumps.
    pub(crate) gas: bool,
    /// Whether the blob base fee jumps.
    pub(crate) blob: bool,
}

/// What a header says before, during and after a spike. It depends on the block's number alone, so a reorg rebuilds
/// the same prices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spike {
    /// The first block of the spike.
    from: u64,
    /// The first block after it: it has the prices of before.
    until: u64,
    /// Base fee before and during, in wei.
    base_fee: Option<(u64, u64)>,
    /// Excess blob gas before and during.
    excess: Option<(u64, u64)>,
}

impl Spike {
    /// A spike that begins with `next`, the block that is built next. `running` is one that is under way: it ends, and
    /// the new one starts from the prices before it, so spikes do not multiply each other.
    pub(crate) fn new(order: SpikeOrder, next: &Header, running: Option<Self>) -> Self {
        let running = running.filter(|running| (running.from..running.until).contains(&next.number));
        let spiked =
            |wanted: bool, before: Option<(u64, u64)>, now: Option<u64>, rise: fn(u64, f64) -> u64| {
                match before {
                    // What only the one that ends had spiked falls back at once.
                    Some((before, _)) if !wanted => Some((before, before)),
                    None if !wanted => None,
                    before => {
                        let before = before.map_or(now.unwrap_or_default(), |(before, _)| before);
                        Some((before, rise(before, order.factor)))
                    }
                }
            };
        let (base_fee, excess) = running.map_or((None, None), |spike| (spike.base_fee, spike.excess));
        Self {
            from: next.number,
            until: next.number + order.blocks,
            base_fee: spiked(order.gas, base_fee, next.base_fee_per_gas, spiked_base_fee),
            excess: spiked(order.blob, excess, next.excess_blob_gas, spiked_excess),
        }
    }

    /// The base fee that block `number` has because of this spike, in wei.
    pub(crate) fn base_fee(&self, number: u64) -> Option<u64> {
        self.at(number, self.base_fee)
    }

    /// The excess blob gas that block `number` has because of this spike.
    pub(crate) fn excess_blob_gas(&self, number: u64) -> Option<u64> {
        self.at(number, self.excess)
    }

    fn at(&self, number: u64, prices: Option<(u64, u64)>) -> Option<u64> {
        let (before, during) = prices?;
        match number {
            number if number == self.until => Some(before),
            number if (self.from..self.until).contains(&number) => Some(during),
            _ => None,
        }
    }

    /// Ends it: block `next` has the prices of before.
    pub(crate) fn end(&mut self, next: u64) {
        if (self.from..self.until).contains(&next) {
            self.until = next;
        }
    }
}

fn spiked_base_fee(fee: u64, factor: f64) -> u64 {
    ((fee as f64 * factor).round() as u64).clamp(1, MAX_BASE_FEE)
}

fn spiked_excess(excess: u64, factor: f64) -> u64 {
    let fee = fees::blob_base_fee_at(excess) as f64 * factor;
    fees::excess_for_blob_base_fee((fee.round() as u128).clamp(1, MAX_BLOB_BASE_FEE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64, base_fee: u64, excess: u64) -> Header {
        Header {
            number,
            base_fee_per_gas: Some(base_fee),
            excess_blob_gas: Some(excess),
            ..Header::default()
        }
    }

    #[test]
    fn a_second_spike_starts_from_the_prices_before_the_first() {
        let order = SpikeOrder { factor: 50.0, blocks: 3, gas: true, blob: true };
        let before = fees::excess_for_blob_base_fee(1_000_000);
        let first = Spike::new(order, &header(10, 1_000, before), None);
        assert_eq!(first.base_fee(9), None);
        assert_eq!(
            [10, 12, 13, 14].map(|n| first.base_fee(n)),
            [Some(50_000), Some(50_000), Some(1_000), None]
        );
        let during = first.excess_blob_gas(12).unwrap_or_default();
        assert!(fees::blob_base_fee_at(during) >= 50_000_000 && first.excess_blob_gas(13) == Some(before));
        let second = Spike::new(order, &header(11, 50_000, during), Some(first));
        assert_eq!((second.base_fee(11), second.base_fee(14)), (Some(50_000), Some(1_000)));
        assert_eq!(second.excess_blob_gas(11), Some(during));
        let gas_alone =
            Spike::new(SpikeOrder { blob: false, ..order }, &header(11, 50_000, during), Some(first));
        assert_eq!(gas_alone.excess_blob_gas(11), Some(before), "falls back at once");
        // A finished one counts for nothing.
        let third = Spike::new(order, &header(20, 7, 0), Some(second));
        assert_eq!((third.base_fee(20), third.base_fee(23)), (Some(350), Some(7)));
    }

    #[test]
    fn it_ends_early_and_stays_within_limits() {
        let order = SpikeOrder { factor: 1e6, blocks: 8, gas: true, blob: true };
        let mut spike =
            Spike::new(order, &header(1, u64::MAX, fees::excess_for_blob_base_fee(MAX_BLOB_BASE_FEE)), None);
        assert_eq!(spike.base_fee(1), Some(MAX_BASE_FEE));
        assert!(
            fees::blob_base_fee_at(spike.excess_blob_gas(1).unwrap_or_default()) <= 2 * MAX_BLOB_BASE_FEE
        );
        spike.end(4);
        assert_eq!((spike.base_fee(4), spike.base_fee(5)), (Some(u64::MAX), None));
        let fall = SpikeOrder { factor: 0.001, ..order };
        assert_eq!(Spike::new(fall, &header(1, 7, 0), None).base_fee(1), Some(1));
    }
}
