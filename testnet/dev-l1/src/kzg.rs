//! The trusted setup, loaded for verification only.

use c_kzg::KzgSettings;

/// Precomputed tables speed up proving, which this process never does, and cost a second to build.
const PRECOMPUTE: u64 = 0;

/// The Ethereum trusted setup. The first call takes a while: make it on a blocking thread.
pub(crate) fn settings() -> &'static KzgSettings {
    c_kzg::ethereum_kzg_settings(PRECOMPUTE)
}
