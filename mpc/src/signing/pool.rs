//! What this member, as coordinator, knows of another: its unused commitments and how it has behaved lately.

use std::collections::BTreeMap;

use super::commitment::{self, CommitmentBytes, Offer, Supply};
use super::config::{MAX_POOL, SigningConfig};
use super::item::{BootId, Time};
use crate::wire::WireError;

/// Most doublings of the pause between requests for commitments.
const MAX_BACKOFF: u32 = 4;

/// The unused commitments of one member's present boot.
///
/// They are used in ascending order of index and never again: `floor` is above every index used.
pub(super) struct Pool {
    boot: Option<BootId>,
    floor: u64,
    ready: BTreeMap<u64, CommitmentBytes>,
    want_at: Time,
    unanswered: u32,
}

/// What a boot id tells about its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sighting {
    /// The boot we know.
    Same,
    /// First sight of a boot: the member has (re)started.
    New,
    /// A boot that is over: a message of it came late.
    Retired,
}

impl Pool {
    pub(super) fn new(now: Time) -> Self {
        Self { boot: None, floor: 0, ready: BTreeMap::new(), want_at: now, unanswered: 0 }
    }

    /// Takes note of the boot that a message came from. A newer one voids all commitments of the old one.
    pub(super) fn sight(&mut self, boot: BootId, now: Time) -> Sighting {
        if self.boot == Some(boot) {
            return Sighting::Same;
        }
        if self.boot.is_some_and(|newest| boot < newest) {
            return Sighting::Retired;
        }
        self.boot = Some(boot);
        self.floor = 0;
        self.ready.clear();
        self.want_at = now;
        self.unanswered = 0;
        Sighting::New
    }

    /// Adds offers of the present boot. Points are decoded only for offers that are kept.
    pub(super) fn add(&mut self, supply: &Supply) -> Result<(), WireError> {
        if self.boot != Some(supply.boot) {
            return Ok(());
        }
        self.unanswered = 0;
        for Offer { index, commitment } in &supply.offers {
            if *index < self.floor || self.ready.contains_key(index) || self.ready.len() >= MAX_POOL {
                continue;
            }
            commitment::parse(commitment)?;
            self.ready.insert(*index, *commitment);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Uses up the commitment with the lowest index.
    pub(super) fn take(&mut self) -> Option<(BootId, Offer)> {
        let boot = self.boot?;
        let (index, commitment) = self.ready.pop_first()?;
        self.floor = index.saturating_add(1);
        Some((boot, Offer { index, commitment }))
    }

    /// The present boot and the lowest index that may still be used.
    pub(super) fn known(&self) -> Option<(BootId, u64)> {
        self.boot.map(|boot| (boot, self.floor))
    }

    /// When to ask for commitments next; `None` while there are enough.
    pub(super) fn want_at(&self, config: &SigningConfig) -> Option<Time> {
        (self.ready.len() < config.pool_target.div_ceil(2)).then_some(self.want_at)
    }

    pub(super) fn asked(&mut self, now: Time, config: &SigningConfig) {
        self.want_at = now + (config.refill_ms << self.unanswered);
        self.unanswered = (self.unanswered + 1).min(MAX_BACKOFF);
    }
}

/// How a member has behaved lately. Being late makes it come last; only a wrong share convicts.
#[derive(Default)]
pub(super) struct Standing {
    misses: u32,
    avoid_until: Time,
    convicted: bool,
}

impl Standing {
    pub(super) fn missed(&mut self, now: Time, config: &SigningConfig) {
        self.misses = self.misses.saturating_add(1);
        self.avoid_until = now + config.avoid_ms;
    }

    pub(super) fn answered(&mut self) {
        self.misses = 0;
        self.avoid_until = Time::default();
    }

    pub(super) fn convict(&mut self) {
        self.convicted = true;
    }

    pub(super) fn is_avoided(&self, now: Time) -> bool {
        self.avoid_until > now
    }

    /// Lower is asked first.
    pub(super) fn rank(&self, now: Time) -> (bool, bool, u32) {
        (self.convicted, self.is_avoided(now), self.misses)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Two members had restarted, and a message of the one's former life reached the other after the first of its new life. That was taken for
    /// newer still, and from then on everything that the living said was ignored.
    #[test]
    fn a_late_word_of_a_former_life_ends_no_newer_one() {
        let boot = |start: u8, random: u8| BootId([start, random].repeat(8).try_into().unwrap());
        let now = Time::default();
        let mut pool = Pool::new(now);
        assert_eq!(pool.sight(boot(2, 1), now), Sighting::New);
        assert_eq!(pool.sight(boot(1, 9), now), Sighting::Retired);
        assert_eq!(pool.sight(boot(2, 1), now), Sighting::Same);
        assert_eq!(pool.sight(boot(3, 0), now), Sighting::New);
        assert_eq!(pool.sight(boot(2, 1), now), Sighting::Retired);
    }

    /// Supplies are repeated until they arrive, and messages overtake each other: a commitment that is used up must not come
    /// back with a late repetition.
    #[test]
    fn a_used_commitment_does_not_come_back() {
        let point = crate::wire::compress(&k256::ProjectivePoint::GENERATOR).unwrap();
        let commitment = [point, point].concat().try_into().unwrap();
        let boot = BootId([1; 16]);
        let supply = Supply { boot, offers: (3..6).map(|index| Offer { index, commitment }).collect() };
        let mut pool = Pool::new(Time::default());
        assert_eq!(pool.sight(boot, Time::default()), Sighting::New);
        pool.add(&supply).unwrap();
        assert_eq!(pool.take().unwrap().1.index, 3);
        pool.add(&supply).unwrap();
        assert_eq!(pool.take().unwrap().1.index, 4);
        assert_eq!(pool.known(), Some((boot, 5)));
    }
}
