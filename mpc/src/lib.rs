//! Distributed key generation and FROST signing: pure machines.
