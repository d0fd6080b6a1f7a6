//! What the next block charges: EIP-1559 base fee, EIP-4844 blob gas with Osaka's EIP-7918 floor.

use alloy::consensus::Header;
use alloy::eips::eip1559::BaseFeeParams;
use alloy::eips::eip7840::BlobParams;

/// Osaka's schedule: target 6 and at most 9 blobs a block, at most 6 a transaction.
pub(crate) const BLOB_PARAMS: BlobParams = BlobParams::osaka();

/// The highest blob base fee that can be set, in wei; above it the exponential would overflow.
pub(crate) const MAX_BLOB_BASE_FEE: u128 = 1_000_000_000_000_000_000;

/// The highest execution base fee that can be set, in wei.
pub(crate) const MAX_BASE_FEE: u64 = 1_000_000_000_000_000;

/// Base fee of the block after `parent`, in wei.
pub(crate) fn next_base_fee(parent: &Header) -> u64 {
    parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or_default()
}

/// Excess blob gas of the block after `parent`.
pub(crate) fn next_excess_blob_gas(parent: &Header) -> u64 {
    BLOB_PARAMS.next_block_excess_blob_gas_osaka(
        parent.excess_blob_gas.unwrap_or_default(),
        parent.blob_gas_used.unwrap_or_default(),
        parent.base_fee_per_gas.unwrap_or_default(),
    )
}

/// Blob base fee of a block with this excess, in wei per blob gas.
pub(crate) fn blob_base_fee(header: &Header) -> u128 {
    blob_base_fee_at(header.excess_blob_gas.unwrap_or_default())
}

/// Blob base fee at this excess blob gas, in wei per blob gas.
pub(crate) fn blob_base_fee_at(excess: u64) -> u128 {
    BLOB_PARAMS.calc_blob_fee(excess)
}

/// The smallest excess blob gas at which blob gas costs at least `fee` wei.
pub(crate) fn excess_for_blob_base_fee(fee: u128) -> u64 {
    let fee = fee.min(MAX_BLOB_BASE_FEE);
    // e^42 > 10^18: the answer lies below 42 update fractions.
    let (mut low, mut high) = (0, 42 * BLOB_PARAMS.update_fraction as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        if BLOB_PARAMS.calc_blob_fee(middle) >= fee {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_osakas() {
        assert_eq!(BLOB_PARAMS.target_blob_count, 6);
        assert_eq!(BLOB_PARAMS.max_blob_count, 9);
        assert_eq!(BLOB_PARAMS.max_blobs_per_tx, 6);
    }

    #[test]
    fn a_wanted_blob_fee_is_reached_and_not_overshot() {
        for fee in [1, 2, 17, 1_000_000_000, 123_456_789_012, MAX_BLOB_BASE_FEE] {
            let excess = excess_for_blob_base_fee(fee);
            assert!(BLOB_PARAMS.calc_blob_fee(excess) >= fee, "{fee}");
            assert!(excess == 0 || BLOB_PARAMS.calc_blob_fee(excess - 1) < fee, "{fee}");
        }
    }
}
