//! Several batchers without talking to each other: batch `number`, with the handover before it if it is the first of an
//! epoch, is the turn of batcher `number mod count`; the next ones take over, one after the other, when it stays unposted. Who waits counts from
//! when the batch was there, and leaves the others the time that their cell proofs take.

use std::time::Duration;

/// What making the cell proofs of a blob may take (EIP-7594): a third of a second of one core, and room.
const PROOFS_OF_A_BLOB: Duration = Duration::from_millis(500);

/// One batcher's place among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    index: u64,
    count: u64,
    takeover: Duration,
}

/// An index that is not below the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batcher index {index} of {count}: it counts from 0 and must be below the count")]
pub struct InvalidRotation {
    index: u64,
    count: u64,
}

impl Rotation {
    /// Batcher `index` (from 0) of `count`; each waits `takeover` longer than the one whose turn comes before.
    pub const fn new(index: u64, count: u64, takeover: Duration) -> Result<Self, InvalidRotation> {
        if index >= count {
            return Err(InvalidRotation { index, count });
        }
        Ok(Self { index, count, takeover })
    }

    /// How long batch `number`, which goes out with so many blobs, must have been available before this batcher posts it.
    pub fn delay(&self, number: u64, blobs: usize) -> Duration {
        let turn = number % self.count;
        let places = (self.index + self.count - turn) % self.count;
        let each = self.takeover.saturating_add(Self::preparation(blobs));
        each.saturating_mul(u32::try_from(places).unwrap_or(u32::MAX))
    }

    /// How much longer each batcher waits than the one before it, beside the time that its cell proofs take.
    pub const fn takeover(&self) -> Duration {
        self.takeover
    }

    /// How long before its time comes a batcher makes the cell proofs of so many blobs.
    pub fn preparation(blobs: usize) -> Duration {
        PROOFS_OF_A_BLOB.saturating_mul(u32::try_from(blobs).unwrap_or(u32::MAX))
    }

    /// How long the nodes are asked for more batches, which may go into the same transaction.
    pub fn patience(&self) -> Duration {
        self.takeover / 2
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_has_one_first_and_each_next_one_waits_longer() {
        let second = Duration::from_secs(1);
        for count in 1..5 {
            let all: Vec<Rotation> = (0..count).map(|i| Rotation::new(i, count, second).unwrap()).collect();
            for number in 0..20 {
                for blobs in [0, 1, 6] {
                    let mut delays: Vec<Duration> = all.iter().map(|r| r.delay(number, blobs)).collect();
                    delays.sort();
                    let each = second + Rotation::preparation(blobs);
                    let wanted: Vec<Duration> = (0..count as u32).map(|places| each * places).collect();
                    assert_eq!(delays, wanted);
                }
            }
        }
    }

    #[test]
    fn the_turn_moves_with_the_number() {
        let rotation = Rotation::new(1, 2, Duration::from_secs(9)).unwrap();
        assert_eq!(rotation.delay(7, 6), Duration::ZERO);
        assert_eq!(rotation.delay(8, 0), Duration::from_secs(9));
        assert!(rotation.delay(8, 6) > rotation.delay(8, 1), "another one's proofs take their time");
        assert!(Rotation::new(2, 2, Duration::ZERO).is_err());
        assert!(Rotation::new(0, 0, Duration::ZERO).is_err());
    }
}
