//! The simulated network: what happens to one message.

use std::time::Duration;

use ordering_types::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

use super::faults::Faults;
use super::plan::{Cut, Plan, START, below};

/// Delay, loss, duplication, slow links and cuts, all from one generator.
pub struct Network {
    rng: ChaCha8Rng,
    loss_per_mille: u64,
    duplicates_per_mille: u64,
    delay: (Duration, Duration),
    slow_links: Vec<(usize, usize, Duration)>,
    cuts: Vec<Cut>,
    calm: Time,
    /// Latest arrival on each link so far: who arrives before it was overtaken.
    newest: Vec<Vec<Time>>,
}

impl Network {
    /// The network of a plan.
    pub fn new(plan: &Plan, rng: ChaCha8Rng) -> Self {
        let slots = plan.slots().len();
        Self {
            rng,
            loss_per_mille: plan.loss_per_mille,
            duplicates_per_mille: plan.duplicates_per_mille,
            delay: plan.delay,
            slow_links: plan.slow_links.clone(),
            cuts: plan.cuts.clone(),
            calm: plan.calm(),
            newest: vec![vec![Time::default(); slots]; slots],
        }
    }

    /// When the message arrives: never, once or twice.
    pub fn arrivals(&mut self, now: Time, from: usize, to: usize, faults: &mut Faults) -> Vec<Time> {
        if self.separated(now, from, to) {
            faults.count("message cut off");
            return Vec::new();
        }
        let faulty = now < self.calm;
        if faulty && self.rng.next_u64() % 1_000 < self.loss_per_mille {
            faults.count("message lost");
            return Vec::new();
        }
        let slow = self.slow_links.iter().find(|(a, b, _)| faulty && (*a, *b) == (from, to));
        let extra = slow.map_or(Duration::ZERO, |(.., extra)| *extra);
        if !extra.is_zero() {
            faults.count("message slowed");
        }
        let mut arrivals = vec![now + extra + self.one_delay()];
        if self.rng.next_u64() % 1_000 < self.duplicates_per_mille {
            faults.count("message doubled");
            arrivals.push(now + extra + self.one_delay());
        }
        if let Some(newest) = self.newest.get_mut(from).and_then(|row| row.get_mut(to)) {
            for arrival in &arrivals {
                if *arrival < *newest {
                    faults.count("message overtaken");
                }
                *newest = (*newest).max(*arrival);
            }
        }
        arrivals
    }

    fn one_delay(&mut self) -> Duration {
        let (least, most) = self.delay;
        let spread = most.saturating_sub(least).as_micros() as usize;
        least + Duration::from_micros(below(&mut self.rng, spread + 1) as u64)
    }

    fn separated(&self, now: Time, from: usize, to: usize) -> bool {
        self.cuts.iter().any(|cut| {
            let begins = START + cut.at;
            let (from_side, to_side) = (cut.side.contains(&from), cut.side.contains(&to));
            now >= begins && now < begins + cut.length && from_side != to_side && (from_side || !cut.one_way)
        })
    }
}
