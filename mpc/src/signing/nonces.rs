//! This member's own nonces: made in this process, kept in memory, each used at most once.
//!
//! A pair is offered to exactly one coordinator, so that two coordinators never compete for it. It leaves the store by value
//! ([`NonceStore::take`]) and is wiped when the share is computed; nothing can put it back.

use std::collections::BTreeMap;

use frost_secp256k1::keys::SigningShare;
use frost_secp256k1::round1::{self, SigningNonces};
use zeroize::Zeroizing;

use super::commitment::{self, CommitmentBytes, Offer, Supply};
use super::item::BootId;
use crate::member::MemberId;
use crate::secret_stream::SecretStream;

/// A pair of secret nonces. Cannot be copied; wiped when dropped.
pub(super) struct NoncePair(SigningNonces);

impl NoncePair {
    pub(super) fn commitment(&self) -> CommitmentBytes {
        commitment::bytes(self.0.commitments())
    }

    /// For [`round::sign`](super::round::sign), which owns the pair.
    pub(super) fn reveal(&self) -> &SigningNonces {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn from_scalars(hiding: [u8; 32], binding: [u8; 32]) -> Self {
        let [hiding, binding] = [hiding, binding]
            .map(|bytes| frost_core::round1::Nonce::deserialize(&bytes).expect("a test's nonce is a scalar"));
        Self(SigningNonces::from_nonces(hiding, binding))
    }
}

pub(super) struct NonceStore {
    boot: BootId,
    share: Zeroizing<SigningShare>,
    stream: SecretStream,
    next_index: u64,
    target: usize,
    offered: BTreeMap<MemberId, BTreeMap<u64, NoncePair>>,
}

impl NonceStore {
    pub(super) fn new(boot: BootId, share: SigningShare, stream: SecretStream, target: usize) -> Self {
        let share = Zeroizing::new(share);
        Self { boot, share, stream, next_index: 0, target, offered: BTreeMap::new() }
    }

    /// Makes one new pair for `coordinator`.
    pub(super) fn offer(&mut self, coordinator: MemberId) -> Offer {
        let (nonces, _) = round1::commit(&self.share, &mut self.stream);
        let pair = NoncePair(nonces);
        let offer = Offer { index: self.next_index, commitment: pair.commitment() };
        self.next_index += 1;
        let offered = self.offered.entry(coordinator).or_default();
        offered.insert(offer.index, pair);
        // Offers that were lost or passed over are wiped before they pile up.
        while offered.len() > 2 * self.target {
            offered.pop_first();
        }
        offer
    }

    /// All that `coordinator` may still use from `floor` on, filled up to the target. Saying it twice is harmless.
    pub(super) fn supply(&mut self, coordinator: MemberId, floor: u64) -> Supply {
        let usable = self.offered.get(&coordinator).map_or(0, |offered| offered.range(floor..).count());
        for _ in usable..self.target {
            self.offer(coordinator);
        }
        let offered = self.offered.entry(coordinator).or_default();
        let offers = offered
            .range(floor..)
            .map(|(index, pair)| Offer { index: *index, commitment: pair.commitment() })
            .collect();
        Supply { boot: self.boot, offers }
    }

    /// Takes a pair out for good, if it was offered to this coordinator with this commitment and is unused.
    pub(super) fn take(
        &mut self,
        coordinator: MemberId,
        index: u64,
        expected: &CommitmentBytes,
    ) -> Option<NoncePair> {
        let offered = self.offered.get_mut(&coordinator)?;
        if offered.get(&index)?.commitment() != *expected {
            return None;
        }
        offered.remove(&index)
    }

    /// Wipes what was offered to a coordinator that has restarted: packages of its former life may still be on the way.
    pub(super) fn withdraw(&mut self, coordinator: MemberId) {
        self.offered.remove(&coordinator);
    }
}
