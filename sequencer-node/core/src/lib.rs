//! One node without its shell: ordering, mpc and sealing composed.
