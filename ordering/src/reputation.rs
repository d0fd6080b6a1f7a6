//! Who leads: a rotation over the committee that leaves out validators whose rounds failed lately.
//!
//! # Rule
//! The cut of height h carries the commit certificate of height h − 1, so everybody learns from a *decided* value in which round that
//! height was decided. The leaders of the rounds before it failed: each counts one failure more and is skipped from height h + 1 on,
//! for [`FIRST_SKIP`] heights after its first failure and four times as many after each further one, up to [`LONGEST_SKIP`]. The
//! leader of the round that decided has its failures forgotten. Of those who would be skipped, the f who failed last are;
//! all others take turns by height + round. When each of them has led a round of a height, the skipped lead one each, too, and so on.
//!
//! # Why it is safe
//! The rule is a function of decided cuts alone, and part of the state root: all honest nodes name the same leader, also after a restart or
//! after catching up. Several certificates of one height may exist, of different rounds; the one in the decided cut counts. n − f validators
//! stay in the rotation, f + 1 of them honest. But whoever is locked on a value that a quorum prevoted may be the only honest one who
//! knows of it, and only by proposing it can it show the others: so every validator leads one of n rounds of a height. A validator that is
//! skipped without fault loses its turns to lead for a while, and nothing else: it votes, and its lane is ordered.
//!
//! # Caveat
//! Right after a penalty, one dead validator more than f may take turns with the others; that many faults stop ordering anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ordering_types::{Height, Round, ValidatorId};
use serde::{Deserialize, Serialize};

/// Heights for which a first failure is remembered. A dead leader of four costs half a second once in so many heights,
/// some seconds under load, instead of every fourth height.
const FIRST_SKIP: u64 = 256;
/// Each further failure multiplies the time by 2 to this: a validator that stays dead is soon hardly asked any more.
const SKIP_GROWTH_BITS: u32 = 2;
/// Failures counted; more do not lengthen the time.
const MAX_FAILURES: u8 = 4;
/// The longest time. It is over after minutes under load and hours when idle, so that one who returns leads again on the same
/// day without anybody's doing.
const LONGEST_SKIP: u64 = 16_384;

const fn skip_length(failures: u8) -> u64 {
    let Some(more) = (failures as u32).checked_sub(1) else { return 0 };
    let length = FIRST_SKIP << (SKIP_GROWTH_BITS * more);
    if length < LONGEST_SKIP { length } else { LONGEST_SKIP }
}

/// Failures of one validator since it last led a round that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) failures: u8,
    /// The height whose cut showed the last of them.
    pub(crate) since: Height,
}

impl Record {
    fn skips(self, height: Height) -> bool {
        height.get() <= self.since.get().saturating_add(skip_length(self.failures))
    }
}

/// What decided cuts say about the validators as leaders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reputation {
    pub(crate) records: BTreeMap<ValidatorId, Record>,
    /// Who was skipped at the height of this state, ascending: it fixes who led the rounds that the next cut tells of.
    pub(crate) skipped: BTreeSet<ValidatorId>,
}

impl Reputation {
    /// Those of `members` who do not lead at `height`, the one after this state's: at most f.
    fn skipped_at(&self, members: &[ValidatorId], height: Height) -> BTreeSet<ValidatorId> {
        let mut failed: Vec<_> = self
            .records
            .iter()
            .filter(|(id, record)| record.skips(height) && members.contains(id))
            .map(|(id, record)| (std::cmp::Reverse(record.since), *id))
            .collect();
        failed.sort_unstable();
        let faulty = members.len().saturating_sub(1) / 3;
        failed.into_iter().take(faulty).map(|(_, id)| id).collect()
    }

    /// Who leads the rounds of `height`, the one after this state's.
    pub(crate) fn rotation(&self, members: &[ValidatorId], height: Height) -> Rotation {
        Rotation::without(members, &self.skipped_at(members, height))
    }

    /// The cut of `height` is decided, by `members`, and says that the height before was decided in `parent_round`, by `deciders`.
    pub(crate) fn learn(
        &mut self,
        (deciders, members): (&[ValidatorId], &[ValidatorId]),
        height: Height,
        parent_round: Option<Round>,
    ) {
        let skipped = self.skipped_at(members, height);
        if let (Some(round), Some(parent)) = (parent_round, height.previous()) {
            let rotation = Rotation::without(deciders, &self.skipped);
            // After as many rounds as there are leaders, everybody led one.
            let failed = round.get().min(u32::try_from(rotation.active.len()).unwrap_or(u32::MAX));
            for failed in 0..failed {
                let record = self
                    .records
                    .entry(rotation.leader(parent, Round::new(failed)))
                    .or_insert(Record { failures: 0, since: height });
                record.failures = record.failures.saturating_add(1).min(MAX_FAILURES);
                record.since = height;
            }
            self.records.remove(&rotation.leader(parent, round));
        }
        self.records.retain(|id, _| members.contains(id));
        self.skipped = skipped;
    }
}

/// The order in which validators lead the rounds of one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// They take turns, ascending; never none.
    active: Arc<[ValidatorId]>,
    /// They follow when each of those has led, ascending.
    skipped: Arc<[ValidatorId]>,
}

impl Rotation {
    /// Everybody leads.
    pub(crate) fn of_all(members: &[ValidatorId]) -> Self {
        Self::without(members, &BTreeSet::new())
    }

    fn without(members: &[ValidatorId], skipped: &BTreeSet<ValidatorId>) -> Self {
        let (skipped, active): (Vec<_>, Vec<_>) = members.iter().partition(|id| skipped.contains(id));
        Self { active: active.into(), skipped: skipped.into() }
    }

    /// Who leads a round. It is asked with unverified rounds too, so any has an answer.
    ///
    /// # Panics
    /// Without members; a chain specification has at least four, and fewer are skipped.
    pub(crate) fn leader(&self, height: Height, round: Round) -> ValidatorId {
        let active = self.active.len().max(1) as u64;
        let turn = u64::from(round.get()) % (active + self.skipped.len() as u64);
        let leader = match turn.checked_sub(active) {
            Some(place) => usize::try_from(place).ok().and_then(|place| self.skipped.get(place)),
            None => {
                let place = (u128::from(height.get()) + u128::from(turn)) % u128::from(active);
                usize::try_from(place).ok().and_then(|place| self.active.get(place))
            }
        };
        *leader.expect("a committee has members, and at most f of them are skipped")
    }
}

#[cfg(test)]
mod tests;
