//! Who makes which key, and how long the log waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use super::id::CeremonyId;
use crate::keys::GroupPublic;
use crate::member::MemberId;

/// What all who take part in a ceremony, or follow it, must agree on.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Names the ceremony; its kind says whether `old` belongs to it.
    pub id: CeremonyId,
    /// Who is to hold the shares.
    pub members: BTreeSet<MemberId>,
    /// How many of them sign together.
    pub threshold: u16,
    /// For resharing: the key that is shared anew. Its members deal, those above receive.
    pub old: Option<GroupPublic>,
    /// What members [announced](super::announcement) before this ceremony, as the log has it. The others announce in it.
    pub announced: BTreeMap<MemberId, Vec<u8>>,
    /// How long the log waits.
    pub patience: Patience,
}

/// How long the log waits, by its own time: milliseconds between the times of its blocks, so that all who read it stop waiting at the
/// same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the start: once a quorum has announced encryption keys, the others are waited for until then, and for a tenth of it after the
    /// quorum was complete. Who has not announced by then gets no share.
    pub announce: u64,
    /// From when there are enough dealings for a key: so long each member may object to them. Who says nothing meanwhile is not waited
    /// for if a quorum acknowledged; again a tenth of it after the quorum was complete.
    pub acknowledge: u64,
    /// From the start: an attempt that has no key by then has failed.
    pub attempt: u64,
}
