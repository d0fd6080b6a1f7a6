//! Whose chunks a leader names as soon as it holds them.
//!
//! A chunk goes to everybody at once, so when the leader holds it, the others do too, or will when the proposal has reached them. Waiting for
//! a quorum's reports would cost one more message delay. But an owner may send its chunks to some and not to others, or be far
//! from some: then voters have to fetch, and the height waits. So each validator remembers whose chunks it had to fetch for a
//! cut, and whose it was asked for, and names theirs only once a quorum has reported them. A liar who asks for what it holds makes
//! others wait for reports, no more.

use std::collections::BTreeMap;

use ordering_types::{Height, ValidatorId};

/// For so many heights after one of its chunks was late, an owner is not trusted.
const DISTRUST_HEIGHTS: u64 = 64;

/// Who was late, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Punctuality {
    /// The last height at which a chunk of this member's had to be fetched for a cut.
    late: BTreeMap<ValidatorId, Height>,
}

impl Punctuality {
    /// A cut of this height named a chunk of a member's that had not come to somebody.
    pub(crate) fn was_late(&mut self, owner: ValidatorId, height: Height) {
        let late = self.late.entry(owner).or_default();
        *late = (*late).max(height);
    }

    /// Whether others surely hold what this node holds of a member's lanes.
    pub(crate) fn is_punctual(&self, owner: ValidatorId, height: Height) -> bool {
        self.late.get(&owner).is_none_or(|late| height.get() > late.get().saturating_add(DISTRUST_HEIGHTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_late_is_waited_for_for_a_while() {
        let [late, other] = [1, 2].map(ValidatorId::new);
        let mut punctuality = Punctuality::default();
        punctuality.was_late(late, Height::new(10));
        punctuality.was_late(late, Height::new(7));
        let is_punctual = |owner, height| punctuality.is_punctual(owner, Height::new(height));
        assert_eq!(
            (is_punctual(late, 11), is_punctual(late, 74), is_punctual(late, 75)),
            (false, false, true)
        );
        assert!(is_punctual(other, 11));
    }
}
