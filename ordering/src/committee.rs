//! Who is in the next committee: drawn from the registry that the present one agreed on.
//!
//! # Rules
//! 1. Of the active validators those are drawn that said in time to be ready: it is they who run a node that has caught up. If there are more than a
//!    committee may have, a sample of them, another one in each epoch.
//! 2. If there are fewer, active members that said nothing keep their places: who is not ready is replaced by others, never merely dropped. But no more of
//!    them than may be faulty, if that is enough for a committee: they have to make a key.
//! 3. With fewer than four altogether the present committee goes on.
//!
//! The sample follows from the hash of the L1 block and the epoch's number. Whoever chooses that block's hash can choose it; of a finalized block of L1, a
//! proposer that gives up its block's value, and only among the hashes that it can try.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ordering_types::chain_spec::{Committee, Validator, faulty};
use ordering_types::handover::committee_hash;
use ordering_types::{Digest, Epoch, PublicKey, ValidatorId};
use serde::{Deserialize, Serialize};

use crate::state::count;

/// Fewer survive no fault.
const FEWEST: usize = 4;

/// A committee and its name on L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    hash: Digest,
    committee: Arc<Committee>,
}

impl Members {
    /// Names it.
    pub fn new(committee: Committee) -> Self {
        Self { hash: committee_hash(&committee), committee: Arc::new(committee) }
    }

    /// As L1 names it: [`committee_hash`].
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The members.
    pub const fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// For the state root.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.hash.as_ref());
        out.extend_from_slice(&count(self.committee.len()));
        for (id, key) in self.committee.iter() {
            out.extend_from_slice(&id.get().to_be_bytes());
            out.extend_from_slice(&key.to_bytes());
        }
    }
}

/// What is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Urn<'a> {
    /// Active validators; none if no registry was agreed on yet.
    pub(crate) candidates: Option<&'a [Validator]>,
    pub(crate) ready: &'a BTreeSet<ValidatorId>,
    pub(crate) present: &'a Members,
    /// Most members.
    pub(crate) most: usize,
    /// Hash of the L1 block.
    pub(crate) seed: Digest,
}

/// The committee of an epoch.
pub(crate) fn draw(epoch: Epoch, urn: Urn<'_>) -> Members {
    let Some(candidates) = urn.candidates else { return urn.present.clone() };
    let lot = |id: ValidatorId| {
        let (epoch, id) = (epoch.get().to_be_bytes(), id.get().to_be_bytes());
        Digest::sha256(&[b"mpc-sequencer/committee-sample/1", urn.seed.as_ref(), &epoch, &id])
    };
    let present = urn.present.committee();
    let mut places: Vec<(bool, Digest, ValidatorId, PublicKey)> = candidates
        .iter()
        .map(|one| (!urn.ready.contains(&one.id), lot(one.id), one.id, one.key))
        .filter(|(is_silent, _, id, _)| !is_silent || present.key(*id).is_some())
        .collect();
    places.sort_unstable();
    places.truncate(urn.most);
    // With more silent ones than may be faulty they would make no key.
    let ready = places.iter().filter(|(is_silent, ..)| !is_silent).count();
    let can_make_a_key = |kept: &usize| ready + kept >= FEWEST && *kept <= faulty(ready + kept);
    if let Some(kept) = (0..=places.len() - ready).rev().find(can_make_a_key) {
        places.truncate(ready + kept);
    }
    if places.len() < FEWEST {
        return urn.present.clone();
    }
    let drawn: BTreeMap<ValidatorId, PublicKey> = places.into_iter().map(|(.., id, key)| (id, key)).collect();
    if present.iter().eq(drawn.iter().map(|(id, key)| (*id, key))) {
        return urn.present.clone();
    }
    Members::new(Committee::new(drawn))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
