//! A development Ethereum L1 on revm with geth's pool rules.
