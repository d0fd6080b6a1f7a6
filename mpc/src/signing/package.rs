//! A signing package: what a coordinator asks its signers to sign, with whom, under which commitments.

use std::collections::BTreeMap;

use frost_secp256k1::round1::SigningCommitments;
use sha2::{Digest, Sha256};

use super::commitment::{self, COMMITMENT_LEN, CommitmentBytes};
use super::item::{BootId, ItemId};
use crate::member::{MAX_MEMBERS, MemberId};
use crate::wire::{Reader, WireError, count_of};

const DOMAIN: &[u8] = b"mpc-sequencer/v1/package";
const ENTRY_LEN: usize = 2 + 16 + 8 + COMMITMENT_LEN;

/// Bytes of a package before its entries.
pub(super) const PACKAGE_HEADER_LEN: usize = 16 + 9 + 32 + 4 + 2 + 2;
/// Longest package.
pub(super) const MAX_PACKAGE_LEN: usize = PACKAGE_HEADER_LEN + MAX_MEMBERS as usize * ENTRY_LEN;

/// A signer and the one commitment of its that this package uses up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) boot: BootId,
    pub(super) index: u64,
    pub(super) commitment: CommitmentBytes,
}

/// `coordinator's boot (16) ‖ item (9) ‖ digest (32) ‖ attempt (4) ‖ session (2) ‖ count (2) ‖ count × (member (2) ‖
/// boot (16) ‖ index (8) ‖ commitment (66))`, members ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) coordinator_boot: BootId,
    pub(super) item: ItemId,
    pub(super) digest: [u8; 32],
    pub(super) attempt: u32,
    pub(super) session: u16,
    pub(super) signers: BTreeMap<MemberId, Entry>,
}

/// SHA-256 over domain, epoch and package bytes.
pub(super) type PackageHash = [u8; 32];

impl Package {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PACKAGE_HEADER_LEN + self.signers.len() * ENTRY_LEN);
        out.extend(self.coordinator_boot.0);
        self.item.write(&mut out);
        out.extend(self.digest);
        out.extend(self.attempt.to_be_bytes());
        out.extend(self.session.to_be_bytes());
        out.extend(count_of(self.signers.len()));
        for (member, entry) in &self.signers {
            out.extend(member.number().to_be_bytes());
            out.extend(entry.boot.0);
            out.extend(entry.index.to_be_bytes());
            out.extend(entry.commitment);
        }
        out
    }

    /// The form only; no point is decoded yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let coordinator_boot = BootId(reader.array()?);
        let item = ItemId::read(&mut reader)?;
        let digest = reader.array()?;
        let attempt = reader.u32()?;
        let session = reader.u16()?;
        let count = reader.count(usize::from(MAX_MEMBERS))?;
        if reader.remaining() != count * ENTRY_LEN {
            return Err(WireError::Length { got: reader.remaining(), limit: count * ENTRY_LEN });
        }
        let mut signers = BTreeMap::new();
        for _ in 0..count {
            let member = reader.member()?;
            if signers.last_key_value().is_some_and(|(last, _)| *last >= member) {
                return Err(WireError::Member);
            }
            let entry =
                Entry { boot: BootId(reader.array()?), index: reader.u64()?, commitment: reader.array()? };
            signers.insert(member, entry);
        }
        reader.finish()?;
        Ok(Self { coordinator_boot, item, digest, attempt, session, signers })
    }

    pub(super) fn hash(&self, epoch: u64) -> PackageHash {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(epoch.to_be_bytes())
            .chain_update(self.to_bytes())
            .finalize()
            .into()
    }

    /// Every signer's commitments as points.
    pub(super) fn commitments(&self) -> Result<BTreeMap<MemberId, SigningCommitments>, WireError> {
        self.signers
            .iter()
            .map(|(member, entry)| Ok((*member, commitment::parse(&entry.commitment)?)))
            .collect()
    }
}
