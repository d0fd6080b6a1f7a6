//! Same height, round and step: the same bytes, or nothing.
//!
//! Consensus cores forget what they signed over a restart, and replay has holes: a round entered because of a certificate
//! that is not in the log is not entered again, and the vote cast there is then not known any more. So every signature passes
//! here, and the guard is filled from the log *before* anything is replayed.

use std::collections::BTreeMap;

use ordering_types::{Digest, Height, Round};

/// What a validator signs once a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Its proposal.
    Propose,
    /// Its prevote.
    Prevote,
    /// Its precommit.
    Precommit,
}

/// A request to sign something that contradicts an earlier signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked to sign two different messages at height {height}, round {round}, {step:?}")]
pub(crate) struct Conflict {
    height: Height,
    round: Round,
    step: Step,
}

/// Everything signed at heights that are not decided yet.
#[derive(Debug, Default)]
pub(crate) struct VoteGuard {
    signed: BTreeMap<(Height, Round, Step), Digest>,
    decided: Height,
}

impl VoteGuard {
    /// Allows signing `preimage`, and nothing else in this place from now on.
    pub(crate) fn admit(
        &mut self,
        height: Height,
        round: Round,
        step: Step,
        preimage: Digest,
    ) -> Result<(), Conflict> {
        if height <= self.decided {
            return Err(Conflict { height, round, step });
        }
        match *self.signed.entry((height, round, step)).or_insert(preimage) {
            first if first == preimage => Ok(()),
            _ => Err(Conflict { height, round, step }),
        }
    }

    /// Whether this very message was signed before, or is of a decided height.
    pub(crate) fn knows(&self, height: Height, round: Round, step: Step, preimage: Digest) -> bool {
        height <= self.decided || self.signed.get(&(height, round, step)) == Some(&preimage)
    }

    /// Forgets heights up to `height`, where nothing is signed any more.
    pub(crate) fn decided(&mut self, height: Height) {
        self.decided = self.decided.max(height);
        let decided = self.decided;
        self.signed.retain(|(height, ..), _| *height > decided);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PLACE: (Height, Round, Step) = (Height::new(3), Round::new(1), Step::Prevote);

    #[test]
    fn a_second_different_message_is_refused_and_the_same_one_is_not() {
        let mut guard = VoteGuard::default();
        let (height, round, step) = PLACE;
        let (a, b) = (Digest::sha256(&[b"a"]), Digest::sha256(&[b"b"]));
        guard.admit(height, round, step, a).unwrap();
        guard.admit(height, round, step, a).unwrap();
        guard.admit(height, round, step, b).unwrap_err();
        guard.admit(height, round, Step::Precommit, b).unwrap();
        guard.admit(height, Round::new(2), step, b).unwrap();
        assert!(guard.knows(height, round, step, a) && !guard.knows(height, round, step, b));
        assert!(!guard.knows(height.next(), round, step, a));
    }

    #[test]
    fn nothing_is_signed_at_a_decided_height() {
        let mut guard = VoteGuard::default();
        let (height, round, step) = PLACE;
        guard.admit(height, round, step, Digest::ZERO).unwrap();
        guard.decided(height);
        guard.admit(height, round, step, Digest::ZERO).unwrap_err();
        guard.admit(height.next(), round, step, Digest::ZERO).unwrap();
        assert!(guard.knows(height, round, step, Digest::ZERO));
    }
}
