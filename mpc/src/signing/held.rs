//! Messages about items whose digest this node does not know yet.

use std::collections::BTreeMap;

use super::config::MAX_HELD_PER_MEMBER;
use super::item::ItemId;
use super::package::Package;
use crate::keys::SignatureBytes;

/// From one member: for each of at most [`MAX_HELD_PER_MEMBER`] items the last package and the last signature.
///
/// When full, further items are dropped: a member that floods loses only its own later messages, and a node that lags needs
/// the earlier items first.
#[derive(Default)]
pub(super) struct Held(BTreeMap<ItemId, HeldItem>);

#[derive(Default)]
pub(super) struct HeldItem {
    pub(super) package: Option<Package>,
    pub(super) signature: Option<SignatureBytes>,
}

impl Held {
    pub(super) fn package(&mut self, package: Package) {
        if let Some(slot) = self.slot(package.item) {
            slot.package = Some(package);
        }
    }

    pub(super) fn signature(&mut self, item: ItemId, signature: SignatureBytes) {
        if let Some(slot) = self.slot(item) {
            slot.signature = Some(signature);
        }
    }

    pub(super) fn take(&mut self, item: ItemId) -> Option<HeldItem> {
        self.0.remove(&item)
    }

    pub(super) fn forget(&mut self, kind: u8, below: u64) {
        self.0.retain(|item, _| item.kind != kind || item.number >= below);
    }

    fn slot(&mut self, item: ItemId) -> Option<&mut HeldItem> {
        if self.0.len() >= MAX_HELD_PER_MEMBER && !self.0.contains_key(&item) {
            return None;
        }
        Some(self.0.entry(item).or_default())
    }
}
