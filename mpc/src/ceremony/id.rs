//! Which ceremony a message belongs to.

use crate::wire::{Reader, WireError};

/// Bytes of an encoded [`CeremonyId`].
pub(crate) const CEREMONY_ID_LEN: usize = 8 + 20 + 8 + 1 + 4;

/// What a ceremony is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CeremonyKind {
    /// A new key that nobody has held before: every dealer's constant is random.
    Fresh,
    /// The same key for a new set of members: every dealer's constant is its old share.
    Reshare,
}

impl CeremonyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Fresh => 1,
            Self::Reshare => 2,
        }
    }
}

/// Names one ceremony on earth. It is inside every proof, key derivation and encryption, so that nothing of one ceremony
/// means anything in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CeremonyId {
    /// Chain id of the L1 that holds the contract.
    pub l1_chain_id: u64,
    /// Address of the contract that will hold the key.
    pub contract: [u8; 20],
    /// The epoch that the key is for.
    pub epoch: u64,
    /// Fresh key or resharing.
    pub kind: CeremonyKind,
    /// Counts the tries for one epoch from 0.
    pub attempt: u32,
}

impl CeremonyId {
    /// `l1_chain_id (8) ‖ contract (20) ‖ epoch (8) ‖ kind (1) ‖ attempt (4)`.
    pub(crate) fn to_bytes(self) -> [u8; CEREMONY_ID_LEN] {
        let mut bytes = [0; CEREMONY_ID_LEN];
        let kind = [self.kind.byte()];
        let fields = [
            self.l1_chain_id.to_be_bytes().as_slice(),
            &self.contract,
            &self.epoch.to_be_bytes(),
            &kind,
            &self.attempt.to_be_bytes(),
        ]
        .concat();
        bytes.copy_from_slice(&fields);
        bytes
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            l1_chain_id: reader.u64()?,
            contract: reader.array()?,
            epoch: reader.u64()?,
            kind: match reader.u8()? {
                1 => CeremonyKind::Fresh,
                2 => CeremonyKind::Reshare,
                other => return Err(WireError::Tag(other)),
            },
            attempt: reader.u32()?,
        })
    }
}
