//! A base fee that moves slowly, and what wallets make of it.

use rand::Rng;
use rand_chacha::ChaCha12Rng;

use super::world::{Sender, Wallet};

/// A wallet's endpoint may be this many blocks behind.
const LAG: usize = 3;

/// Base fees in wei of the last blocks, the newest last, and the endpoint's estimate of a tip.
pub(super) struct Fees {
    base: [u128; LAG],
    tip: u128,
}

impl Fees {
    pub(super) fn new(rng: &mut ChaCha12Rng) -> Self {
        Self { base: [rng.gen_range(4_000_000..90_000_000); LAG], tip: 1_000_000 }
    }

    pub(super) fn next_block(&mut self, rng: &mut ChaCha12Rng) {
        let newest = self.base[LAG - 1];
        self.base.rotate_left(1);
        self.base[LAG - 1] = (newest * rng.gen_range(980_000..=1_020_000) / 1_000_000).max(1_000_000);
        self.tip = rng.gen_range(800_000..2_500_000);
    }

    fn seen(&self, rng: &mut ChaCha12Rng) -> u128 {
        self.base[LAG - 1 - rng.gen_range(0..LAG * 2).saturating_sub(LAG)]
    }

    /// Fee cap and tip (EIP-1559).
    pub(super) fn dynamic(&self, sender: &Sender, rng: &mut ChaCha12Rng) -> (u128, u128) {
        match sender.wallet {
            Wallet::Multiple { percent, tip } => (self.seen(rng) * percent / 100 + tip, tip),
            Wallet::Estimate { percent } => (self.seen(rng) * percent / 100 + self.tip, self.tip),
            Wallet::Bot { fee, tip } => (fee, tip),
        }
    }

    /// Gas price of a legacy transaction.
    pub(super) fn price(&self, sender: &Sender, rng: &mut ChaCha12Rng) -> u128 {
        match sender.wallet {
            Wallet::Multiple { tip, .. } => self.seen(rng) * 11 / 10 + tip,
            Wallet::Estimate { .. } => self.seen(rng) + self.tip,
            Wallet::Bot { fee, .. } => fee,
        }
    }
}
