//! Who takes part: member numbers and the threshold.

use std::fmt;
use std::num::NonZeroU16;

use frost_secp256k1::Identifier;
use k256::Scalar;

/// Most members that one committee may have. Bounds every message and every loop in this crate.
pub const MAX_MEMBERS: u16 = 256;

/// A member's number: the point at which its share is evaluated (its FROST identifier, RFC 9591 section 4.2).
///
/// It comes from the registry, is never zero (a share at zero *is* the key) and is never given to anyone else:
/// renumbering members between ceremonies would make old and new shares lie on different polynomials.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(NonZeroU16);

impl MemberId {
    /// The member with this number, or `None` for zero.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }

    pub(crate) fn scalar(self) -> Scalar {
        Scalar::from(u64::from(self.number()))
    }

    pub(crate) fn identifier(self) -> Identifier {
        Identifier::try_from(self.number()).expect("a non-zero u16 is a valid identifier")
    }

    /// The member behind a FROST identifier, if it is one of ours (a 16-bit number).
    pub(crate) fn from_identifier(identifier: &Identifier) -> Option<Self> {
        let bytes = identifier.serialize();
        let (high, low) = bytes.split_last_chunk::<2>()?;
        if high.iter().any(|byte| *byte != 0) {
            return None;
        }
        Self::new(u16::from_be_bytes(*low))
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberId({})", self.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many members must sign together (`t`), known to fit its committee: `2 ≤ t ≤ n ≤` [`MAX_MEMBERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold(u16);

impl Threshold {
    /// The threshold `t` in a committee of `n`.
    pub fn new(t: u16, n: usize) -> Result<Self, ThresholdError> {
        if n > usize::from(MAX_MEMBERS) {
            return Err(ThresholdError::TooManyMembers { members: n });
        }
        if t < 2 || usize::from(t) > n {
            return Err(ThresholdError::OutOfRange { threshold: t, members: n });
        }
        Ok(Self(t))
    }

    /// `t`.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// `t` as a length.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.0)
    }
}

/// A committee size or threshold that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// More than [`MAX_MEMBERS`].
    #[error("{members} members; at most {MAX_MEMBERS} are possible")]
    TooManyMembers {
        /// The size asked for.
        members: usize,
    },
    /// Not between 2 and the number of members.
    #[error("threshold {threshold} is not between 2 and the {members} members")]
    OutOfRange {
        /// The threshold asked for.
        threshold: u16,
        /// The committee's size.
        members: usize,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zero_is_nobody() {
        assert_eq!(MemberId::new(0), None);
        assert_eq!(MemberId::new(1).unwrap().number(), 1);
    }

    #[test]
    fn identifiers_go_both_ways() {
        for number in [1, 2, 255, 256, u16::MAX] {
            let member = MemberId::new(number).unwrap();
            assert_eq!(MemberId::from_identifier(&member.identifier()), Some(member));
        }
        let foreign = Identifier::derive(b"not a small number").unwrap();
        assert_eq!(MemberId::from_identifier(&foreign), None);
    }

    #[test]
    fn thresholds_fit_their_committee() {
        assert!(Threshold::new(1, 4).is_err());
        assert!(Threshold::new(5, 4).is_err());
        assert!(Threshold::new(3, 300).is_err());
        assert_eq!(Threshold::new(4, 4).unwrap().get(), 4);
    }
}
