//! The simulated network: what happens to one message.

use std::time::Duration;

use ordering_types::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

use super::plan::{Partition, Plan, START, below};

/// Delay, loss, duplication and partitions, all from one generator.
pub struct Network {
    rng: ChaCha8Rng,
    loss_per_mille: u64,
    duplicates_per_mille: u64,
    delay: (Duration, Duration),
    partitions: Vec<Partition>,
    calm: Time,
    /// Messages lost, doubled, cut off.
    pub counts: Counts,
}

/// What the network did to messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed in.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Delivered twice.
    pub doubled: u64,
    /// Stopped by a partition.
    pub cut: u64,
}

impl Network {
    /// The network of a plan.
    pub fn new(plan: &Plan, rng: ChaCha8Rng) -> Self {
        Self {
            rng,
            loss_per_mille: plan.loss_per_mille,
            duplicates_per_mille: plan.duplicates_per_mille,
            delay: plan.delay,
            partitions: plan.partitions.clone(),
            calm: plan.calm(),
            counts: Counts::default(),
        }
    }

    /// When the message arrives: never, once or twice.
    pub fn arrivals(&mut self, now: Time, from: usize, to: usize) -> Vec<Time> {
        self.counts.sent += 1;
        if self.separated(now, from, to) {
            self.counts.cut += 1;
            return Vec::new();
        }
        if now < self.calm && self.rng.next_u64() % 1_000 < self.loss_per_mille {
            self.counts.lost += 1;
            return Vec::new();
        }
        let mut arrivals = vec![now + self.one_delay()];
        if self.rng.next_u64() % 1_000 < self.duplicates_per_mille {
            self.counts.doubled += 1;
            arrivals.push(now + self.one_delay());
        }
        arrivals
    }

    fn one_delay(&mut self) -> Duration {
        let (least, most) = self.delay;
        let spread = most.saturating_sub(least).as_micros() as usize;
        least + Duration::from_micros(below(&mut self.rng, spread + 1) as u64)
    }

    fn separated(&self, now: Time, from: usize, to: usize) -> bool {
        self.partitions.iter().any(|p| {
            let begins = START + p.at;
            now >= begins && now < begins + p.length && p.side.contains(&from) != p.side.contains(&to)
        })
    }
}
