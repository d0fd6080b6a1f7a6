//! Newtypes for everything that is counted. None converts from a bare integer by accident: each has a
//! `new` and a `get`, so a height never stands where an epoch should.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counted {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($int);

        impl $name {
            /// Wraps a raw number.
            pub const fn new(raw: $int) -> Self {
                Self(raw)
            }

            /// The raw number.
            pub const fn get(self) -> $int {
                self.0
            }

            /// The next one; saturates, so that a hostile maximum cannot wrap to zero.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counted! {
    /// Number of a block; the first block has height 1.
    Height(u64)
}
counted! {
    /// A period with one committee and one group key; the founding epoch is 0.
    Epoch(u64)
}
counted! {
    /// Consensus round within a height, from 0.
    Round(u32)
}
counted! {
    /// Rollup number, from the chain specification.
    RollupId(u32)
}
counted! {
    /// Registry number of a validator, from 1. Also its FROST identifier; never renumbered or reused.
    ValidatorId(u16)
}
counted! {
    /// One start of one validator's process. A lane never continues over a restart.
    Incarnation(u64)
}
counted! {
    /// Position of a chunk in its lane, from 1.
    LaneSequence(u64)
}

impl Height {
    /// The height before the first block.
    pub const ZERO: Self = Self::new(0);

    /// The height before this one, or `None` at zero.
    pub const fn previous(self) -> Option<Self> {
        match self.get().checked_sub(1) {
            Some(raw) => Some(Self::new(raw)),
            None => None,
        }
    }
}

/// The chain of chunks that one validator cuts during one run of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId {
    /// The validator that owns the lane.
    pub validator: ValidatorId,
    /// The run of its process.
    pub incarnation: Incarnation,
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.validator, self.incarnation)
    }
}
