//! The public data of the present key, as those who hold its shares tell it: where the key is kept, dealings that share it anew are checked against it,
//! also by members who were not there when it was made.

use std::collections::BTreeMap;

use ordering_types::{Digest, Epoch, ValidatorId};
use serde::{Deserialize, Serialize};

use crate::state::count;

/// First byte of a system message that tells it: the epoch (8 bytes) and the data follow, as those who make keys lay them out.
pub const KEY_DATA: u8 = 8;
/// Most bytes of the data; a message with more says nothing.
pub const MAX_KEY_DATA: usize = 4 << 10;

/// What was told, and what more than f tell alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyData {
    told: BTreeMap<ValidatorId, Digest>,
    agreed: Option<Vec<u8>>,
}

impl KeyData {
    /// What a system message tells, if it tells this of `epoch`.
    pub(super) fn read(payload: &[u8], epoch: Epoch) -> Option<&[u8]> {
        let data = payload.strip_prefix(&[KEY_DATA])?.strip_prefix(&epoch.get().to_be_bytes())?;
        (data.len() <= MAX_KEY_DATA).then_some(data)
    }

    /// A member tells it. Its first word counts; more than `faulty` alike are proof.
    pub(super) fn note(&mut self, member: ValidatorId, data: &[u8], faulty: usize) {
        let digest = Digest::sha256(&[data]);
        self.told.entry(member).or_insert(digest);
        let alike = self.told.values().filter(|told| **told == digest).count();
        if self.agreed.is_none() && alike > faulty {
            self.agreed = Some(data.to_vec());
        }
    }

    pub(super) fn has_told(&self, member: ValidatorId) -> bool {
        self.told.contains_key(&member)
    }

    pub(super) const fn agreed(&self) -> Option<&Vec<u8>> {
        self.agreed.as_ref()
    }

    /// For the state root.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&count(self.told.len()));
        for (id, digest) in &self.told {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend_from_slice(digest.as_ref());
        }
        let agreed = self.agreed.as_deref().unwrap_or_default();
        out.extend_from_slice(&count(agreed.len()));
        out.extend_from_slice(agreed);
    }
}
