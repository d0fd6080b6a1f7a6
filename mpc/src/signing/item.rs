//! What is signed, and time.

use std::fmt;
use std::ops::Add;

use crate::wire::{Reader, WireError};

/// Names one thing to be signed: one digest, once. What the kinds are is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Block, batch, handover, …
    pub kind: u8,
    /// Its number within the kind; numbers of a kind grow.
    pub number: u64,
}

impl ItemId {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend(self.number.to_be_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { kind: reader.u8()?, number: reader.u64()? })
    }
}

/// Milliseconds since any fixed moment; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// This many milliseconds after the fixed moment.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the fixed moment.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

impl Add<u64> for Time {
    type Output = Self;

    /// This many milliseconds later.
    fn add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// A name for one run of a member's process: the number of its start, 8 bytes that are greater at every start, and 8 random ones, so that two
/// runs never have the same. The greatest that others have seen of a member is its present one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
