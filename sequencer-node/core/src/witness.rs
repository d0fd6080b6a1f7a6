//! The part of a member without a share of the key: it signs nothing, and hears what the others have signed.
//!
//! Each signature is broadcast to all; so one that is lost is not asked for again: the signature of a later block confirms this one, too, and
//! a batch's is asked for by [`sealing`](crate::sealing).

use std::collections::BTreeMap;

use mpc::WireError;
use mpc::signing::{ItemId, broadcast_signature};
use ordering_types::{Digest, GroupKey, GroupSignature, ValidatorId};

/// Items whose signature is awaited; beyond it the lowest goes.
const MAX_WANTED: usize = 1_024;
/// Signatures of items that this node does not know yet, from one member: it is a little behind. Further ones are dropped, so that a member that
/// floods loses only its own.
const MAX_EARLY: usize = 32;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// This is signed.
    Signed(ItemId, GroupSignature),
    /// Nothing that is of use to somebody without a share, or not yet.
    Nothing,
    /// A signature that does not verify.
    BadSignature(ItemId),
}

/// Waits for signatures by one key.
pub(crate) struct Witness {
    key: GroupKey,
    epoch: u64,
    wanted: BTreeMap<ItemId, Digest>,
    early: BTreeMap<ValidatorId, BTreeMap<ItemId, GroupSignature>>,
    /// Of each kind, the lowest number that is still needed.
    floors: BTreeMap<u8, u64>,
}

impl Witness {
    pub(crate) const fn new(key: GroupKey, epoch: u64) -> Self {
        Self { key, epoch, wanted: BTreeMap::new(), early: BTreeMap::new(), floors: BTreeMap::new() }
    }

    /// This node knows what the item's digest is. The answer: its signature, if it has come already.
    pub(crate) fn want(&mut self, item: ItemId, digest: Digest) -> Option<GroupSignature> {
        let early: Vec<_> = self.early.values_mut().filter_map(|of_one| of_one.remove(&item)).collect();
        let signed = early.into_iter().find(|signature| self.key.verify(digest, signature).is_ok());
        if signed.is_none() {
            self.wanted.insert(item, digest);
            if self.wanted.len() > MAX_WANTED {
                self.wanted.pop_first();
            }
        }
        signed
    }

    /// A message between signing machines.
    pub(crate) fn hear(&mut self, from: ValidatorId, bytes: &[u8]) -> Result<Heard, WireError> {
        let Some((item, signature)) = broadcast_signature(bytes, self.epoch)? else {
            return Ok(Heard::Nothing);
        };
        let signature = GroupSignature::new(signature);
        let Some(digest) = self.wanted.get(&item) else {
            self.hold(from, item, signature);
            return Ok(Heard::Nothing);
        };
        if self.key.verify(*digest, &signature).is_err() {
            return Ok(Heard::BadSignature(item));
        }
        self.wanted.remove(&item);
        Ok(Heard::Signed(item, signature))
    }

    /// Nobody needs items of this kind below this number any more.
    pub(crate) fn forget(&mut self, kind: u8, below: u64) {
        let is_needed = |item: &ItemId| item.kind != kind || item.number >= below;
        self.wanted.retain(|item, _| is_needed(item));
        self.early.values_mut().for_each(|of_one| of_one.retain(|item, _| is_needed(item)));
        self.floors.insert(kind, below);
    }

    fn hold(&mut self, from: ValidatorId, item: ItemId, signature: GroupSignature) {
        let is_past = self.floors.get(&item.kind).is_some_and(|floor| item.number < *floor);
        let of_one = self.early.entry(from).or_default();
        if !is_past && (of_one.len() < MAX_EARLY || of_one.contains_key(&item)) {
            of_one.insert(item, signature);
        }
    }
}

#[cfg(test)]
mod tests;
