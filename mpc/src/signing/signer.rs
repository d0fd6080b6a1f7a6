//! The signer's side: one answer to one package of a coordinator in turn.

use std::collections::BTreeMap;

use frost_secp256k1::round1::SigningCommitments;

use super::burn::BurnRecord;
use super::commitment::Supply;
use super::config::ROUNDS_AHEAD;
use super::fault::FaultKind;
use super::item::Time;
use super::machine::{Answered, Output, Running, Signing};
use super::message::{Message, Share};
use super::nonces::NoncePair;
use super::package::{Package, PackageHash};
use super::round;
use crate::member::MemberId;

/// What to do with a package about an item that is being signed.
enum Verdict {
    Sign,
    Repeat(Vec<u8>),
    Ignore,
    Accuse(FaultKind),
}

impl Signing {
    pub(super) fn on_package(&mut self, now: Time, from: MemberId, package: Package) {
        if !self.is_signable(&package) {
            return self.accuse(from, FaultKind::BadPackage);
        }
        let (item, attempt) = (package.item, package.attempt);
        if self.coordinator_of(item, attempt) != from {
            return self.accuse(from, FaultKind::NotCoordinator { item, attempt });
        }
        if !self.sight(now, from, package.coordinator_boot) {
            return;
        }
        if let Some(done) = self.finished(item) {
            let signature = done.signature;
            return self.send(from, &Message::Signature { item, signature });
        }
        let Some(running) = self.running.get(&item) else {
            return self.hold_package(from, package);
        };
        let hash = package.hash(self.config.epoch);
        match self.judge(running, from, &package, &hash) {
            Verdict::Sign => self.answer(now, from, &package, hash),
            Verdict::Repeat(bytes) => self.outputs.push_back(Output::Send { to: from, bytes }),
            Verdict::Ignore => {}
            Verdict::Accuse(kind) => self.accuse(from, kind),
        }
    }

    fn is_signable(&self, package: &Package) -> bool {
        package.signers.len() == self.public.threshold().count()
            && package.session < self.sessions_per_attempt()
            && package.signers.contains_key(&self.me)
            && package.signers.keys().all(|member| self.members.binary_search(member).is_ok())
    }

    fn hold_package(&mut self, from: MemberId, package: Package) {
        if package.item.number < self.floor(package.item.kind) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.held.package(package);
        }
    }

    fn judge(&self, running: &Running, from: MemberId, package: &Package, hash: &PackageHash) -> Verdict {
        if package.digest != running.digest {
            return Verdict::Accuse(FaultKind::ForeignDigest { item: package.item });
        }
        let Some(last) = running.answered.get(&from) else { return Verdict::Sign };
        if last.package == *hash {
            // The same question gets the same answer: the share that is on disk already.
            return Verdict::Repeat(last.reply.clone());
        }
        let is_newer =
            last.boot != package.coordinator_boot || last.turn < (package.attempt, package.session);
        let rounds = u64::from(running.attempt) / self.members.len() as u64 + ROUNDS_AHEAD;
        let budget = rounds * u64::from(self.sessions_per_attempt());
        if is_newer && last.count < budget { Verdict::Sign } else { Verdict::Ignore }
    }

    fn answer(&mut self, now: Time, from: MemberId, package: &Package, hash: PackageHash) {
        let Some(entry) = package.signers.get(&self.me) else { return };
        let commitments = match package.commitments() {
            Ok(commitments) => commitments,
            Err(error) => return self.accuse(from, error.into()),
        };
        let pair = if entry.boot == self.boot {
            self.nonces.take(from, entry.index, &entry.commitment)
        } else {
            None
        };
        // Used, withdrawn, or of an earlier boot: nobody's fault. Tell what is usable now.
        let Some(pair) = pair else { return self.supply(now, from, 0) };
        let Some(share) = self.burn(package, hash, entry.index, pair, &commitments) else { return };
        #[cfg(feature = "planted-bugs")]
        let share = if self.config.wrong_shares { share.map(|byte| byte ^ 1) } else { share };

        let offers = vec![self.nonces.offer(from)];
        let supply = Supply { boot: self.boot, offers };
        let voucher = self.identity.vouch(&hash, &share);
        let reply = Message::Share(Share { item: package.item, package: hash, share, voucher, supply });
        let reply = reply.to_bytes(self.config.epoch);
        self.remember(from, package, hash, &reply);
        self.outputs.push_back(Output::Send { to: from, bytes: reply });
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.standing.answered();
        }
    }

    /// Turns a nonce pair into a share, for good: the pair is gone and the record is asked to be on disk before what follows.
    pub(super) fn burn(
        &mut self,
        package: &Package,
        hash: PackageHash,
        index: u64,
        pair: NoncePair,
        commitments: &BTreeMap<MemberId, SigningCommitments>,
    ) -> Option<[u8; 32]> {
        let share = round::sign(&package.digest, commitments, pair, &self.key)?;
        self.outputs.push_back(Output::Persist(BurnRecord {
            epoch: self.config.epoch,
            boot: self.boot,
            index,
            item: package.item,
            digest: package.digest,
            package: hash,
            share,
        }));
        Some(share)
    }

    fn remember(&mut self, from: MemberId, package: &Package, hash: PackageHash, reply: &[u8]) {
        let Some(running) = self.running.get_mut(&package.item) else { return };
        let count = running.answered.get(&from).map_or(0, |last| last.count) + 1;
        let answered = Answered {
            boot: package.coordinator_boot,
            turn: (package.attempt, package.session),
            package: hash,
            reply: reply.to_vec(),
            count,
        };
        running.answered.insert(from, answered);
    }
}
