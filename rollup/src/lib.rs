//! What a rollup links: submit, follow, verify, derive from L1.
