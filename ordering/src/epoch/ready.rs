//! Who says that it could be a member of the next epoch, and with it, how its share of that epoch's key is to be encrypted to it.

use std::collections::{BTreeMap, BTreeSet};

use ordering_types::chain_spec::Committee;
use ordering_types::{Epoch, ValidatorId};
use serde::{Deserialize, Serialize};

use crate::state::count;

/// First byte of a system message by which a validator is ready to be a member of an epoch: its number (8 bytes) and the sender's
/// [`Announcement`] follow.
pub const READY: u8 = 7;
/// Most bytes of an announcement; a message with more says nothing.
pub const MAX_ANNOUNCEMENT: usize = 128;

/// A validator's encryption key for the ceremonies of one epoch, as those who make keys lay it out; opaque here.
pub type Announcement = Vec<u8>;

/// Those who said it, each with its first announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready(BTreeMap<ValidatorId, Announcement>);

impl Ready {
    /// What a system message says, if it says this of `epoch`.
    pub(super) fn read(payload: &[u8], epoch: Epoch) -> Option<&[u8]> {
        let announcement = payload.strip_prefix(&[READY])?.strip_prefix(&epoch.get().to_be_bytes())?;
        (announcement.len() <= MAX_ANNOUNCEMENT).then_some(announcement)
    }

    pub(super) fn note(&mut self, validator: ValidatorId, announcement: &[u8]) {
        self.0.entry(validator).or_insert_with(|| announcement.to_vec());
    }

    pub(super) fn has(&self, validator: ValidatorId) -> bool {
        self.0.contains_key(&validator)
    }

    pub(super) fn ids(&self) -> BTreeSet<ValidatorId> {
        self.0.keys().copied().collect()
    }

    /// Of these validators.
    pub(super) fn announcements(&self, of: &Committee) -> BTreeMap<ValidatorId, Announcement> {
        let members = self.0.iter().filter(|(id, _)| of.key(**id).is_some());
        members.map(|(id, announcement)| (*id, announcement.clone())).collect()
    }

    /// For the state root.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_announcements(&self.0, out);
    }
}

pub(super) fn write_announcements(announced: &BTreeMap<ValidatorId, Announcement>, out: &mut Vec<u8>) {
    out.extend_from_slice(&count(announced.len()));
    for (id, announcement) in announced {
        out.extend_from_slice(&id.get().to_be_bytes());
        out.extend_from_slice(&count(announcement.len()));
        out.extend_from_slice(announcement);
    }
}
