//! One directed link: what becomes of a datagram. Pure: the time is an argument, chance comes from the seed.

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// Longest delay of a link.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// The wandering delay gets a new aim after so many jitters. From one extreme to the other it then moves by half of
/// the time that passes, so what leaves later also arrives later.
const JITTERS_PER_AIM: u32 = 4;
/// Least that every path of QUIC takes.
pub(crate) const MIN_MTU: u16 = 1_200;
/// A datagram that is to be overtaken is held back by at least this.
const MIN_HELD_BACK: Duration = Duration::from_millis(1);

/// Which of a validator's two ports a link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// libp2p: consensus, ceremony, sync.
    Mesh,
    /// Chunks on quinn directly.
    Chunks,
}

/// A directed link between two validators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkId {
    /// Of which ports.
    pub class: Class,
    /// Who sends.
    pub from: u16,
    /// Who receives.
    pub to: u16,
}

/// What a link does to what it carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// One way, mean.
    pub delay: Duration,
    /// The delay wanders between `delay - jitter` and `delay + jitter`.
    pub jitter: Duration,
    /// Share of datagrams that vanish, 0 to 1.
    pub loss: f64,
    /// Share of datagrams that are overtaken by the next ones, 0 to 1.
    pub reorder: f64,
    /// Longest payload of a datagram that passes, as on a real path; without it any.
    pub mtu: Option<u16>,
}

/// Conditions that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionsError {
    /// Too long.
    #[error("a link's delay is at most {} s", MAX_DELAY.as_secs())]
    Delay,
    /// It would arrive before it left.
    #[error("a link's jitter cannot be more than its delay")]
    Jitter,
    /// Not a share.
    #[error("loss and reordering of a link are shares from 0 % to 100 %")]
    Share,
    /// QUIC does not work over such a path.
    #[error("a link must pass datagrams of {MIN_MTU} bytes, as QUIC demands (RFC 9000, section 14)")]
    Mtu,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay, jitter, loss, reorder, mtu } = self;
        write!(
            f,
            "{delay:?} ± {jitter:?} one way, {} % lost, {} % overtaken",
            loss * 100.0,
            reorder * 100.0
        )?;
        match mtu {
            Some(mtu) => write!(f, ", up to {mtu} bytes a datagram"),
            None => Ok(()),
        }
    }
}

impl Conditions {
    /// Whether they can be.
    pub fn check(&self) -> Result<(), ConditionsError> {
        if self.delay > MAX_DELAY {
            return Err(ConditionsError::Delay);
        }
        if self.jitter > self.delay {
            return Err(ConditionsError::Jitter);
        }
        // Not a number is in no range.
        if !(0.0..=1.0).contains(&self.loss) || !(0.0..=1.0).contains(&self.reorder) {
            return Err(ConditionsError::Share);
        }
        if self.mtu.is_some_and(|mtu| mtu < MIN_MTU) {
            return Err(ConditionsError::Mtu);
        }
        Ok(())
    }
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives at this time.
    Deliver(Duration),
    /// Chance took it.
    Lost,
    /// The link is cut.
    Cut,
    /// It is longer than the path takes.
    TooLong,
    /// Too much waits already; the queue says so, not the link.
    Full,
}

/// One directed link.
#[derive(Clone, Debug)]
pub struct Link {
    conditions: Conditions,
    cut: bool,
    chance: ChaCha8Rng,
    /// Where the delay wanders.
    path: u64,
    /// When the last datagram in order arrives.
    last: Duration,
}

impl Link {
    /// A link; the same seed and id meet the same fate.
    pub fn new(id: LinkId, conditions: Conditions, seed: u64) -> Self {
        let mut key = [0; 32];
        let parts =
            [&seed.to_be_bytes()[..], &[id.class as u8], &id.from.to_be_bytes(), &id.to.to_be_bytes()];
        for (byte, part) in key.iter_mut().zip(parts.concat()) {
            *byte = part;
        }
        let mut chance = ChaCha8Rng::from_seed(key);
        let path = chance.next_u64();
        Self { conditions, cut: false, chance, path, last: Duration::ZERO }
    }

    /// What it does now.
    pub const fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Changes what it does to what comes from now on.
    pub const fn set(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Whether it is cut.
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Cuts it, or heals it. What is under way arrives.
    pub const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// Decides about the datagram of so many bytes that leaves at `now` (since any fixed moment; never goes back).
    pub fn decide(&mut self, now: Duration, bytes: usize) -> Verdict {
        // Always two draws, so that one setting does not change what another one does.
        let (loss, reorder) = (share(self.chance.next_u64()), share(self.chance.next_u64()));
        if self.cut {
            return Verdict::Cut;
        }
        if self.conditions.mtu.is_some_and(|mtu| bytes > usize::from(mtu)) {
            return Verdict::TooLong;
        }
        if loss < self.conditions.loss {
            return Verdict::Lost;
        }
        // A delay that was shortened just now does not overtake what is under way.
        self.last = self.last.max(now + self.delay(now));
        if reorder < self.conditions.reorder {
            return Verdict::Deliver(self.last + self.conditions.jitter.max(MIN_HELD_BACK));
        }
        Verdict::Deliver(self.last)
    }

    /// The wandering delay at a time.
    fn delay(&self, now: Duration) -> Duration {
        let Conditions { delay, jitter, .. } = self.conditions;
        let every = (jitter * JITTERS_PER_AIM).as_nanos();
        if every == 0 {
            return delay;
        }
        let leg = u64::try_from(now.as_nanos() / every).unwrap_or(u64::MAX);
        let gone = (now.as_nanos() % every) as f64 / every as f64;
        let aim = |leg: u64| share(scatter(self.path ^ scatter(leg))) * 2.0;
        let height = aim(leg) * (1.0 - gone) + aim(leg.saturating_add(1)) * gone;
        (delay - jitter) + jitter.mul_f64(height)
    }
}

/// Uniform in [0, 1).
fn share(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): any two inputs give outputs that look unrelated.
const fn scatter(input: u64) -> u64 {
    let mut mixed = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LinkId = LinkId { class: Class::Mesh, from: 1, to: 2 };
    const MS: Duration = Duration::from_millis(1);

    fn conditions(delay: u32, jitter: u32, loss: f64, reorder: f64) -> Conditions {
        Conditions { delay: MS * delay, jitter: MS * jitter, loss, reorder, mtu: None }
    }

    fn fates(id: LinkId, conditions: Conditions, seed: u64, count: u32) -> Vec<Verdict> {
        let mut link = Link::new(id, conditions, seed);
        (0..count).map(|i| link.decide(Duration::from_micros(100) * i, 1_200)).collect()
    }

    fn delivered(fates: &[Verdict]) -> Vec<Duration> {
        let due = |fate: &Verdict| match fate {
            Verdict::Deliver(due) => Some(*due),
            _ => None,
        };
        fates.iter().filter_map(due).collect()
    }

    #[test]
    fn one_seed_one_fate() {
        let rough = conditions(50, 5, 0.1, 0.05);
        let fate = fates(ID, rough, 7, 1_000);
        assert_eq!(fate, fates(ID, rough, 7, 1_000));
        assert_ne!(fate, fates(ID, rough, 8, 1_000));
        for other in [
            LinkId { from: 2, to: 1, ..ID },
            LinkId { class: Class::Chunks, ..ID },
            LinkId { from: 1, to: 3, ..ID },
        ] {
            assert_ne!(fate, fates(other, rough, 7, 1_000), "{other:?}");
        }
    }

    #[test]
    fn the_share_that_is_lost_is_the_share_asked_for() {
        for loss in [0.0, 0.01, 0.3, 1.0] {
            let fates = fates(ID, conditions(50, 5, loss, 0.0), 7, 100_000);
            let lost = fates.iter().filter(|fate| **fate == Verdict::Lost).count() as f64 / 1e5;
            // Five standard deviations of 100,000 draws are at most 0.8 %.
            assert!((lost - loss).abs() < 5.0 * (loss * (1.0 - loss) / 1e5).sqrt() + 1e-9, "{loss}: {lost}");
        }
    }

    #[test]
    fn a_wandering_delay_stays_within_its_bounds_fills_them_and_keeps_the_order() {
        let mut link = Link::new(ID, conditions(50, 5, 0.0, 0.0), 7);
        let mut arrivals = Vec::new();
        let mut delays = Vec::new();
        for i in 0..200_000_u32 {
            let now = Duration::from_micros(100) * i;
            let Verdict::Deliver(due) = link.decide(now, 1_200) else { panic!("nothing is lost here") };
            arrivals.push(due);
            delays.push((due - now).as_secs_f64() * 1e3);
        }
        assert!(arrivals.is_sorted());
        assert!(delays.iter().all(|delay| (45.0..=55.0).contains(delay)));
        let mean = delays.iter().sum::<f64>() / delays.len() as f64;
        assert!((mean - 50.0).abs() < 0.5, "{mean}");
        let far = delays.iter().filter(|delay| (*delay - 50.0).abs() > 3.0).count();
        assert!(far > delays.len() / 20, "the delay hardly wanders: {far}");
    }

    #[test]
    fn overtaking_is_a_share_of_its_own() {
        let steady = delivered(&fates(ID, conditions(50, 0, 0.0, 0.0), 7, 10_000));
        assert!(steady.is_sorted());
        assert!(steady.iter().zip(0..).all(|(due, i)| *due == MS * 50 + Duration::from_micros(100) * i));
        let shuffled = delivered(&fates(ID, conditions(50, 0, 0.0, 0.1), 7, 10_000));
        let held = steady.iter().zip(&shuffled).filter(|(a, b)| a < b).count();
        assert!((850..1_150).contains(&held), "{held}");
        assert!(!shuffled.is_sorted());
    }

    #[test]
    fn a_cut_takes_everything_and_healing_brings_it_back() {
        let mut link = Link::new(ID, conditions(10, 0, 0.0, 0.0), 7);
        link.set_cut(true);
        assert_eq!(link.decide(MS, 1_200), Verdict::Cut);
        link.set_cut(false);
        assert_eq!(link.decide(MS * 2, 1_200), Verdict::Deliver(MS * 12));
        link.set(conditions(1, 0, 0.0, 0.0));
        assert_eq!(link.decide(MS * 3, 1_200), Verdict::Deliver(MS * 12), "overtook what was under way");
        assert_eq!(link.decide(MS * 20, 1_200), Verdict::Deliver(MS * 21));
    }

    #[test]
    fn what_is_longer_than_the_path_takes_never_arrives() {
        let mut link = Link::new(ID, Conditions { mtu: Some(1_472), ..conditions(10, 0, 0.0, 0.0) }, 7);
        assert_eq!(link.decide(MS, 1_472), Verdict::Deliver(MS * 11));
        assert_eq!(link.decide(MS, 1_473), Verdict::TooLong);
        link.set(conditions(10, 0, 0.0, 0.0));
        assert_eq!(link.decide(MS, 65_507), Verdict::Deliver(MS * 11));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(conditions(50, 5, 0.01, 0.0).check(), Ok(()));
        assert_eq!(conditions(5, 6, 0.0, 0.0).check(), Err(ConditionsError::Jitter));
        assert_eq!(conditions(10_001, 0, 0.0, 0.0).check(), Err(ConditionsError::Delay));
        for (mtu, expected) in [(1_199, Err(ConditionsError::Mtu)), (1_200, Ok(()))] {
            assert_eq!(Conditions { mtu: Some(mtu), ..Conditions::default() }.check(), expected);
        }
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(conditions(1, 0, share, 0.0).check(), Err(ConditionsError::Share));
            assert_eq!(conditions(1, 0, 0.0, share).check(), Err(ConditionsError::Share));
        }
    }
}
