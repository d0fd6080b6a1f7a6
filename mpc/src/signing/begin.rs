//! How an item begins: this node wants it signed.

use std::collections::{BTreeMap, BTreeSet};

use super::config::MAX_RUNNING;
use super::fault::Refused;
use super::item::{ItemId, Time};
use super::machine::{Output, Running, Signing};

impl Signing {
    pub(super) fn on_sign(&mut self, now: Time, item: ItemId, digest: [u8; 32]) -> Result<(), Refused> {
        if let Some(done) = self.finished(item) {
            if done.digest != digest {
                return Err(Refused::SecondDigest(item));
            }
            let signature = done.signature;
            self.outputs.push_back(Output::Signed { item, digest, signature });
            return Ok(());
        }
        if let Some(running) = self.running.get(&item) {
            return if running.digest == digest { Ok(()) } else { Err(Refused::SecondDigest(item)) };
        }
        if self.pinned.get(&item).is_some_and(|pinned| *pinned != digest) {
            return Err(Refused::SecondDigest(item));
        }
        if item.number < self.floor(item.kind) {
            return Err(Refused::Forgotten(item));
        }
        if self.running.len() >= MAX_RUNNING {
            return Err(Refused::Busy);
        }
        self.begin(now, item, digest);
        Ok(())
    }

    /// Starts with what others have sent ahead: a signature ends it at once, packages are answered.
    fn begin(&mut self, now: Time, item: ItemId, digest: [u8; 32]) {
        let running = Running {
            digest,
            attempt: 0,
            deadline: now,
            coordination: None,
            liars: BTreeSet::new(),
            answered: BTreeMap::new(),
        };
        self.running.insert(item, running);
        let held: Vec<_> = self
            .peers
            .iter_mut()
            .filter_map(|(member, peer)| Some((*member, peer.held.take(item)?)))
            .collect();
        for (member, held) in &held {
            if let Some(signature) = held.signature {
                self.on_signature(*member, item, signature);
            }
        }
        if !self.running.contains_key(&item) {
            return;
        }
        self.start_attempt(now, item);
        for (member, held) in held {
            if let Some(package) = held.package {
                self.on_package(now, member, package);
            }
        }
    }
}
