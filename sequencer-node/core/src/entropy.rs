//! Secrets drawn from one seed that the host hands in fresh at every start.

use std::fmt;

use ordering_types::Digest;
use zeroize::Zeroizing;

/// A seed and a counter: each draw is SHA-256 over seed, label and counter, and never comes again.
pub(crate) struct Entropy {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), drawn: 0 }
    }

    pub(crate) fn draw(&mut self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        self.drawn += 1;
        let digest = Digest::sha256(&[
            b"mpc-sequencer/entropy/1",
            self.seed.as_slice(),
            &self.drawn.to_be_bytes(),
            label,
        ]);
        Zeroizing::new(digest.to_bytes())
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(redacted)")
    }
}
