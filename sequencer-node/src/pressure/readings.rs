//! What presses, and the rates that it asks for.

use std::fmt;
use std::time::Duration;

use node_core::MAX_OPEN_BATCHES;

use crate::config::AdmissionConfig;

/// Number and age of unposted batches slow admission to this, and no further.
pub(super) const SLOWEST: f64 = 0.1;
/// They do so at so many times the threshold at which they begin to.
pub(super) const STEEPNESS: f64 = 4.0;
/// Bytes of transactions in unsigned batches, in memory: admission slows from the first on and stops at the second.
pub(super) const UNSIGNED_BYTES: (u64, u64) = (128 << 20, 512 << 20);
/// The same for their number; at the second the core refuses by itself.
pub(super) const UNSIGNED_BATCHES: (u64, u64) = (MAX_OPEN_BATCHES as u64 / 2, MAX_OPEN_BATCHES as u64);

/// Sealed batches that L1 lacks, as far as this node knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unposted {
    /// How many.
    pub(crate) batches: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Since the last block of the oldest.
    pub(crate) oldest: Duration,
}

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    /// None if this node cannot know.
    pub(crate) unposted: Option<Unposted>,
    /// Bytes that the data folder's file system has for this process; none if it does not say.
    pub(crate) free_disk: Option<u64>,
    /// Batches without the committee's signature.
    pub(crate) unsigned_batches: u64,
    /// Bytes of their transactions.
    pub(crate) unsigned_bytes: u64,
}

/// Why admission is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    UnpostedBytes,
    UnpostedBatches,
    OldBatches,
    FreeDisk,
    UnsignedBatches,
    UnsignedBytes,
}

impl Cause {
    /// What an operator can do.
    pub(crate) const fn what_to_do(self) -> &'static str {
        match self {
            Self::UnpostedBytes | Self::UnpostedBatches | Self::OldBatches => {
                "see that a batcher runs, has ether and may pay L1's fees, and that l1.endpoint answers; it goes on by itself when L1 takes batches"
            }
            Self::FreeDisk => {
                "free the disk of data_dir or give it a larger one; it goes on by itself; admission.stop_free_disk_bytes is the limit"
            }
            Self::UnsignedBatches | Self::UnsignedBytes => {
                "see that a quorum of validators runs and holds its key share; it goes on by itself when they sign"
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnpostedBytes => "too many bytes of batches are not on L1",
            Self::UnpostedBatches => "too many batches are not on L1",
            Self::OldBatches => "batches have not been on L1 for too long",
            Self::FreeDisk => "the disk is nearly full",
            Self::UnsignedBatches => "too many batches wait for the committee's signature",
            Self::UnsignedBytes => "too many bytes of batches wait for the committee's signature",
        })
    }
}

/// A rate from 0 to 1, and why it is not 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) rate: f64,
    pub(crate) cause: Option<Cause>,
}

impl Asked {
    const FULL: Self = Self { rate: 1.0, cause: None };

    fn and(self, rate: f64, cause: Cause) -> Self {
        if rate < self.rate { Self { rate, cause: Some(cause) } } else { self }
    }
}

/// What one look asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// Of rollups whose data goes to L1. Never above the other.
    pub(crate) posted: Asked,
    /// Of rollups whose data stays with the committee.
    pub(crate) kept: Asked,
}

impl Readings {
    /// The rates that these thresholds give. The more presses, the lower.
    pub(crate) fn rates(&self, config: &AdmissionConfig) -> Rates {
        let disk = self
            .free_disk
            .map_or(1.0, |free| rising(free, config.stop_free_disk_bytes, config.slow_free_disk_bytes));
        let kept = Asked::FULL
            .and(disk, Cause::FreeDisk)
            .and(
                1.0 - rising(self.unsigned_batches, UNSIGNED_BATCHES.0, UNSIGNED_BATCHES.1),
                Cause::UnsignedBatches,
            )
            .and(1.0 - rising(self.unsigned_bytes, UNSIGNED_BYTES.0, UNSIGNED_BYTES.1), Cause::UnsignedBytes);
        let Some(unposted) = &self.unposted else { return Rates { posted: kept, kept } };
        let bytes = 1.0 - rising(unposted.bytes, config.slow_unposted_bytes, config.stop_unposted_bytes);
        let posted = kept
            .and(bytes, Cause::UnpostedBytes)
            .and(slowing(unposted.batches, config.slow_unposted_batches), Cause::UnpostedBatches)
            .and(slowing(unposted.oldest.as_secs(), config.slow_unposted_s), Cause::OldBatches);
        Rates { posted, kept }
    }
}

/// 0 up to `from`, 1 from `to` on, in proportion between.
#[allow(clippy::cast_precision_loss, reason = "thresholds need no more than 52 bits")]
fn rising(value: u64, from: u64, to: u64) -> f64 {
    let (value, from, to) = (value as f64, from as f64, to as f64);
    ((value - from) / (to - from).max(1.0)).clamp(0.0, 1.0)
}

/// 1 up to `from`, [`SLOWEST`] from [`STEEPNESS`] times that on.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as above"
)]
fn slowing(value: u64, from: u64) -> f64 {
    let to = (from as f64 * STEEPNESS) as u64;
    1.0 - (1.0 - SLOWEST) * rising(value, from, to)
}
