//! The first transaction of each L2 block says which block of L1 it refers to.
//!
//! ```text
//!   4 selector │ u32 base fee scalar │ u32 blob base fee scalar │ u64 sequence number │ u64 time │ u64 number
//!   │ u256 base fee │ u256 blob base fee │ 32 hash │ …
//! ```
//!
//! As Ecotone has it (<https://specs.optimism.io/protocol/ecotone/l1-attributes.html>); what came later appends to it. The older form is
//! not read: where it is in use, nobody reads brotli.

use batcher_format::op::L1Origin;
use ordering_types::Digest;

/// Selectors of the calls with this layout: `setL1BlockValuesEcotone()`, `setL1BlockValuesIsthmus()`, `setL1BlockValuesJovian()`.
pub const SELECTORS: [[u8; 4]; 3] =
    [[0x44, 0x0a, 0x5e, 0x20], [0x09, 0x89, 0x99, 0xbe], [0x3d, 0xb6, 0xbe, 0x2b]];
const NUMBER_AT: usize = 4 + 4 + 4 + 8 + 8;
const HASH_AT: usize = NUMBER_AT + 8 + 32 + 32;

/// Why calldata says no L1 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum L1InfoError {
    /// Of another form.
    #[error(
        "the call of the first transaction is not known: its rules are older than Ecotone's, or newer than this program"
    )]
    Selector,
    /// Ends early.
    #[error("the call of the first transaction is too short")]
    Short,
}

/// The L1 block that the calldata of an L1 attributes transaction names.
pub fn origin(calldata: &[u8]) -> Result<L1Origin, L1InfoError> {
    let selector = calldata.first_chunk::<4>().ok_or(L1InfoError::Short)?;
    if !SELECTORS.contains(selector) {
        return Err(L1InfoError::Selector);
    }
    let at = |from: usize| calldata.get(from..).ok_or(L1InfoError::Short);
    let number = at(NUMBER_AT)?.first_chunk().ok_or(L1InfoError::Short)?;
    let hash = at(HASH_AT)?.first_chunk().ok_or(L1InfoError::Short)?;
    Ok(L1Origin { number: u64::from_be_bytes(*number), hash: Digest::new(*hash) })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use alloy::primitives::keccak256;

    use super::*;

    #[test]
    fn selectors_are_those_of_the_calls() {
        let calls = ["setL1BlockValuesEcotone()", "setL1BlockValuesIsthmus()", "setL1BlockValuesJovian()"];
        for (call, selector) in calls.iter().zip(SELECTORS) {
            assert_eq!(keccak256(call)[..4], selector, "{call}");
        }
    }

    #[test]
    fn number_and_hash_are_found_and_nothing_shorter_is_read() {
        for selector in SELECTORS {
            let mut calldata = selector.to_vec();
            calldata.extend([1; 24]);
            calldata.extend(0x0102_0304_u64.to_be_bytes());
            calldata.extend([2; 64]);
            calldata.extend([3; 32]);
            let wanted = L1Origin { number: 0x0102_0304, hash: Digest::new([3; 32]) };
            assert_eq!(origin(&calldata), Ok(wanted));
            for length in 0..calldata.len() {
                assert_eq!(origin(&calldata[..length]), Err(L1InfoError::Short), "{length} bytes");
            }
        }
        assert_eq!(origin(&[0; 200]), Err(L1InfoError::Selector));
    }
}
