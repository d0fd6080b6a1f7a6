//! What is offered for a transaction.

use std::time::Duration;

use alloy::primitives::U256;

use super::flight::Kind;

/// Smallest priority fee that is offered, wei: what pools ask for blob transactions.
const LEAST_TIP: u128 = 1_000_000_000;
/// Smallest fee per blob gas that is offered, wei: survives some doublings of the base fee from its floor.
const LEAST_BLOB_FEE: u128 = 16;

/// The three prices of a transaction, in wei. The last one is 0 for one without blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// Priority fee per gas.
    pub tip: u128,
    /// Most per gas, priority fee included.
    pub cap: u128,
    /// Most per blob gas.
    pub blob: u128,
}

impl Fees {
    /// What geth's pool wants of a transaction that replaces one with blobs: twice all three. Others are content with less.
    #[must_use]
    pub const fn doubled(self) -> Self {
        Self {
            tip: self.tip.saturating_mul(2),
            cap: self.cap.saturating_mul(2),
            blob: self.blob.saturating_mul(2),
        }
    }

    /// The higher of each.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self { tip: self.tip.max(other.tip), cap: self.cap.max(other.cap), blob: self.blob.max(other.blob) }
    }

    /// The most that a transaction of so much gas and blob gas can cost, wei.
    pub fn cost(self, gas: u64, blob_gas: u64) -> U256 {
        U256::from(self.cap) * U256::from(gas) + U256::from(self.blob) * U256::from(blob_gas)
    }
}

/// What the operator allows, and how patient the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most per gas, wei.
    pub max_cap: u128,
    /// Most per blob gas, wei.
    pub max_blob: u128,
    /// Fees double when the first transaction of those that wait is not mined for this long.
    pub resubmit_after: Duration,
    /// A send without an answer is repeated after this.
    pub check_every: Duration,
    /// Pause after trouble.
    pub pause: Duration,
}

impl Limits {
    /// The fees, if they are within what is allowed.
    pub fn allow(&self, fees: Fees) -> Option<Fees> {
        (fees.cap <= self.max_cap && fees.blob <= self.max_blob).then_some(fees)
    }
}

/// What the next block charges at most, wei, and what others tip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// Priority fee per gas.
    pub tip: u128,
    /// Base fee per gas.
    pub base: u128,
    /// Base fee per blob gas.
    pub blob_base: u128,
}

impl Market {
    /// The priority fee that is offered.
    pub fn tip(&self) -> u128 {
        self.tip.max(LEAST_TIP)
    }

    /// The tip and twice the base fees, so that a transaction stays good through a rise; less of it where the ceiling is nearer. `None` if
    /// the next block is dearer than the ceiling.
    pub fn quote(&self, kind: Kind, limits: &Limits) -> Option<Fees> {
        let Fees { tip, cap, blob } = self.generous(kind);
        let fees = Fees { tip, cap: cap.min(limits.max_cap), blob: blob.min(limits.max_blob) };
        self.takes(kind, fees).then_some(fees)
    }

    /// As [`Self::quote`], whatever the ceiling: for simulations.
    pub fn generous(&self, kind: Kind) -> Fees {
        let cap = self.tip().saturating_add(self.base.saturating_mul(2));
        let blob = if kind == Kind::Blob { self.blob_base.saturating_mul(2).max(LEAST_BLOB_FEE) } else { 0 };
        Fees { tip: self.tip(), cap, blob }
    }

    /// Whether the next block takes a transaction at these fees.
    pub fn takes(&self, kind: Kind, fees: Fees) -> bool {
        let blob_is_enough = kind == Kind::Plain || fees.blob >= self.blob_base;
        fees.cap >= fees.tip.saturating_add(self.base) && blob_is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;

    #[test]
    fn a_quote_has_headroom_below_the_ceiling_only() {
        let limits = Limits {
            max_cap: 100 * GWEI,
            max_blob: 50,
            resubmit_after: Duration::ZERO,
            check_every: Duration::ZERO,
            pause: Duration::ZERO,
        };
        let quote = |base, blob_base, kind| Market { tip: 0, base, blob_base }.quote(kind, &limits);
        let fees = |cap, blob| Some(Fees { tip: GWEI, cap, blob });
        assert_eq!(quote(20 * GWEI, 1, Kind::Blob), fees(41 * GWEI, 16));
        assert_eq!(quote(20 * GWEI, 1, Kind::Plain), fees(41 * GWEI, 0));
        assert_eq!(quote(80 * GWEI, 40, Kind::Blob), fees(100 * GWEI, 50), "what is allowed, and enough");
        assert_eq!(quote(99 * GWEI, 51, Kind::Plain), fees(100 * GWEI, 0), "the other price does not matter");
        assert_eq!(quote(99 * GWEI, 51, Kind::Blob), None);
        assert_eq!(quote(100 * GWEI, 1, Kind::Blob), None);
        assert_eq!(quote(u128::MAX, u128::MAX, Kind::Blob), None);
    }
}
