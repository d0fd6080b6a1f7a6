//! The durable trace of every share: which nonce pair was used up, for which package, and what left.

use super::item::{BootId, ItemId};
use crate::wire::{Reader, WireError};

/// Must be on disk before the share in it leaves the node.
///
/// Nonces are never stored, so the record is not needed to avoid their reuse; it is what a restarted node knows of what it
/// has signed ([`Signing::pin`](super::Signing::pin)) and what an accused node can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurnRecord {
    /// Epoch of the key.
    pub epoch: u64,
    /// The boot that made the nonce pair.
    pub boot: BootId,
    /// The pair's index in that boot.
    pub index: u64,
    /// What was signed.
    pub item: ItemId,
    /// Its digest.
    pub digest: [u8; 32],
    /// Hash of the signing package.
    pub package: [u8; 32],
    /// The signature share.
    pub share: [u8; 32],
}

impl BurnRecord {
    /// `epoch (8) ‖ boot (16) ‖ index (8) ‖ item (9) ‖ digest (32) ‖ package (32) ‖ share (32)`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.epoch.to_be_bytes().to_vec();
        out.extend(self.boot.0);
        out.extend(self.index.to_be_bytes());
        self.item.write(&mut out);
        out.extend(self.digest);
        out.extend(self.package);
        out.extend(self.share);
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let record = Self {
            epoch: reader.u64()?,
            boot: BootId(reader.array()?),
            index: reader.u64()?,
            item: ItemId::read(&mut reader)?,
            digest: reader.array()?,
            package: reader.array()?,
            share: reader.array()?,
        };
        reader.finish()?;
        Ok(record)
    }
}
