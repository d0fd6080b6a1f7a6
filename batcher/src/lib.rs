//! Carries signed batches to Ethereum.
