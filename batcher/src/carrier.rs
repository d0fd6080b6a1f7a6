//! Blobs or calldata: whichever is cheaper a byte at the moment of sending. Pure.
//!
//! ```text
//!   blobs:     gas of `post` or `postSeries`, inline data counted as calldata, × (base fee + tip)  +  131,072 × blobs × blob base fee
//!   calldata:  the dearer of two gas prices × (base fee + tip)
//!                floor (EIP-7623)  21,000 + 10 a token; a byte is 4 tokens, or 1 if it is zero
//!                execution         21,000 +  4 a token, and what the call does
//! ```
//!
//! Calldata wins where blobs are dear, or where a batch is so small that a whole blob is wasted on it.

use crate::txm::Market;

/// Gas of `post` beside its calldata: measured, and tested against the contract.
const POST_GAS: u64 = 55_000;
/// Gas of each batch of a series after the first.
const FURTHER_GAS: u64 = 21_000;
/// Gas of `postCalldata` beside its calldata and the log of its payload.
const POST_CALLDATA_GAS: u64 = 32_000;
/// Every transaction's.
const TRANSACTION_GAS: u64 = 21_000;
/// EIP-7623.
const FLOOR_GAS_PER_TOKEN: u64 = 10;
const GAS_PER_TOKEN: u64 = 4;
const TOKENS_PER_NONZERO_BYTE: u64 = 4;
/// A logged byte (8), and what hashing and copying it takes.
const LOG_GAS_PER_BYTE: u64 = 9;
/// Of a call that cannot be simulated, since another has to be mined before it: in percent of what it should take.
const UNSIMULATED_GAS_PERCENT: u64 = 200;

/// A transaction that could carry something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Gas that it takes.
    pub gas: u64,
    /// Blob gas that it takes.
    pub blob_gas: u64,
    /// Payload and inline data that it carries.
    pub bytes: usize,
}

impl Load {
    /// So many batches in blobs, with `bytes` of payload and so many of inline data, of which none is thought to be zero.
    pub fn in_blobs(batches: u64, blob_gas: u64, bytes: usize, inline: usize) -> Self {
        let (inline_bytes, tokens) = (inline as u64, inline as u64 * TOKENS_PER_NONZERO_BYTE);
        let post = POST_GAS + FURTHER_GAS * batches.saturating_sub(1);
        let execution = post + GAS_PER_TOKEN * tokens + LOG_GAS_PER_BYTE * inline_bytes;
        let gas = execution.max(TRANSACTION_GAS + FLOOR_GAS_PER_TOKEN * tokens);
        Self { gas, blob_gas, bytes: bytes + inline }
    }

    /// One batch in calldata: `input` is the whole call, of which `bytes` are the payload.
    pub fn in_calldata(input: &[u8], bytes: usize) -> Self {
        let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
        let tokens = zeros + (input.len() as u64 - zeros) * TOKENS_PER_NONZERO_BYTE;
        let floor = TRANSACTION_GAS + FLOOR_GAS_PER_TOKEN * tokens;
        let execution =
            TRANSACTION_GAS + GAS_PER_TOKEN * tokens + POST_CALLDATA_GAS + LOG_GAS_PER_BYTE * bytes as u64;
        Self { gas: floor.max(execution), blob_gas: 0, bytes }
    }

    /// A gas limit that is surely enough.
    pub const fn ample_gas(&self) -> u64 {
        self.gas * UNSIMULATED_GAS_PERCENT / 100
    }

    /// What it costs in the next block, wei.
    pub fn price(&self, market: &Market) -> u128 {
        let per_gas = market.base.saturating_add(market.tip());
        let gas = u128::from(self.gas).saturating_mul(per_gas);
        gas.saturating_add(u128::from(self.blob_gas).saturating_mul(market.blob_base))
    }

    /// Whether a byte costs less in this than in the other one.
    pub fn is_cheaper_than(&self, other: &Self, market: &Market) -> bool {
        let weighed = |price: u128, bytes: usize| price.saturating_mul(bytes as u128);
        weighed(self.price(market), other.bytes) < weighed(other.price(market), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;
    const BLOB_GAS: u64 = 131_072;

    fn market(base: u128, blob_base: u128) -> Market {
        Market { tip: GWEI, base, blob_base }
    }

    #[test]
    fn the_floor_is_counted_in_tokens() {
        let gas = |input: &[u8]| Load::in_calldata(input, 0).gas;
        // Short calls pay for what they do.
        assert_eq!(gas(&[]), 53_000);
        assert_eq!(gas(&[1; 100]), 53_000 + 400 * 4);
        // Long ones pay the floor.
        assert_eq!(gas(&[1; 100_000]), 21_000 + 400_000 * 10);
        assert_eq!(gas(&[0; 100_000]), 21_000 + 100_000 * 10);
    }

    #[test]
    fn dear_blobs_lose_and_dear_gas_loses() {
        let blobs = Load::in_blobs(1, BLOB_GAS, 2_000, 0);
        let calldata = Load::in_calldata(&[1; 2_500], 2_000);
        assert!(!calldata.is_cheaper_than(&blobs, &market(GWEI, 1)));
        assert!(calldata.is_cheaper_than(&blobs, &market(GWEI, 10 * GWEI)));
        assert!(!calldata.is_cheaper_than(&blobs, &market(100 * GWEI, 10 * GWEI)));
    }

    #[test]
    fn inline_data_costs_what_calldata_does() {
        let gas = |inline| Load::in_blobs(1, BLOB_GAS, 2_000, inline).gas;
        assert_eq!(gas(0), 55_000);
        assert_eq!(gas(100), 55_000 + 100 * (16 + 9));
        assert_eq!(gas(100_000), 21_000 + 100_000 * 40);
    }

    /// Six batches share a transaction's gas; one in calldata is compared with its share.
    #[test]
    fn a_series_is_cheaper_a_byte_than_its_first_batch() {
        let (one, six) = (Load::in_blobs(1, BLOB_GAS, 2_000, 0), Load::in_blobs(6, 6 * BLOB_GAS, 12_000, 0));
        assert!(six.is_cheaper_than(&one, &market(GWEI, 1)));
        assert!(!one.is_cheaper_than(&one, &market(GWEI, 1)), "equals are not cheaper");
        let huge = market(u128::MAX, u128::MAX);
        assert!(!one.is_cheaper_than(&one, &huge) && six.price(&huge) == u128::MAX);
    }
}
