//! What replay needs: the state after a block, and its root.
//!
//! ```text
//!   state root = SHA-256( "mpc-sequencer/state/6" │ epochs with their committees │ what is seen on L1
//!     │ u32 lanes   │ lanes × (u16 validator │ u64 incarnation │ u64 sequence │ 32 digest)
//!     │ u32 senders │ senders × (u16 validator │ u64 sequence)
//!     │ u64 batch │ u64 first height │ u64 first time │ u32 blocks │ u64 blob bytes │ u64 transactions │ 32 window
//!     │ u32 failed  │ failed × (u16 validator │ u8 failures │ u64 since height)
//!     │ u32 skipped │ skipped × u16 validator )
//! ```
//! Integers are big-endian, lanes and validators ascending. `window` is a chain over all transaction roots so far,
//! wₕ = SHA-256(wₕ₋₁ ‖ tx_rootₕ): it fixes every transaction of the duplicate window.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering_types::chain_spec::{Committee, Limits};
use ordering_types::codec::{self, DecodeError};
use ordering_types::cut::MAX_CUT_SYSTEM_MESSAGES;
use ordering_types::{
    Digest, Epoch, Header, Height, L1Reference, LaneId, LaneSequence, PublicKey, SystemMessage, ValidatorId,
};
use serde::{Deserialize, Serialize};

use crate::committee::Members;
use crate::epoch::{ClosedBlock, EpochBook, EpochEvent, Tally};
use crate::forced::Intake;
use crate::l1::L1Book;
use crate::load::Rules;
use crate::planted::PlantedBug;
use crate::reputation::{Record, Reputation, Rotation};

/// Lanes of one validator that are remembered: its newest incarnations. Older ones are closed for good.
pub(crate) const LANES_PER_VALIDATOR: usize = 4;
/// Most bytes of an encoded state.
pub(crate) const MAX_SNAPSHOT_BYTES: usize = 1 << 20;

/// The length of a list, before it in what the state root is computed of.
pub(crate) fn count(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// The batch that the next block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchCursor {
    pub(crate) number: u64,
    pub(crate) first_height: Height,
    /// Zero until the first block.
    pub(crate) first_time_ms: u64,
    pub(crate) blocks: u32,
    pub(crate) blob_bytes: u64,
    pub(crate) transactions: u64,
}

impl BatchCursor {
    const fn starting(number: u64, first_height: Height) -> Self {
        Self { number, first_height, first_time_ms: 0, blocks: 0, blob_bytes: 0, transactions: 0 }
    }

    /// With one more block in it.
    pub(crate) const fn with(self, time_ms: u64, blob_bytes: u64, transactions: u64) -> Self {
        Self {
            first_time_ms: if self.blocks == 0 { time_ms } else { self.first_time_ms },
            blocks: self.blocks.saturating_add(1),
            blob_bytes: self.blob_bytes.saturating_add(blob_bytes),
            transactions: self.transactions.saturating_add(transactions),
            ..self
        }
    }

    /// Whether it must end here: another block might not fit.
    pub(crate) fn must_seal(&self, limits: &Limits) -> bool {
        let room = limits.blob_bytes_per_batch.saturating_sub(limits.blob_bytes_per_block);
        self.blob_bytes > u64::from(room) || self.blocks >= limits.blocks_per_batch
    }

    /// Whether a proposer ends it at this time.
    pub(crate) fn should_seal(&self, time_ms: u64, limits: &Limits) -> bool {
        self.must_seal(limits)
            || (self.blocks > 0
                && time_ms >= self.first_time_ms.saturating_add(u64::from(limits.batch_interval_ms)))
    }
}

/// The state after one block. Header fields stand beside what the root covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayState {
    pub(crate) height: Height,
    pub(crate) header: Digest,
    pub(crate) time_ms: u64,
    /// The epoch that decided this block; that of the next may be the next.
    pub(crate) decided_in: Epoch,
    pub(crate) replayed: Replayed,
}

/// What the root covers and the snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) epochs: EpochBook,
    pub(crate) l1: L1Book,
    pub(crate) tips: BTreeMap<LaneId, (LaneSequence, Digest)>,
    pub(crate) system: BTreeMap<ValidatorId, u64>,
    pub(crate) batch: BatchCursor,
    pub(crate) window: Digest,
    pub(crate) reputation: Reputation,
}

impl Replayed {
    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, MAX_SNAPSHOT_BYTES)
    }
}

/// Why a stored state is not the one that its block commits to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the stored state does not decode: {0}")]
    Decode(#[from] DecodeError),
    #[error("the stored state is not the one that the newest block commits to")]
    Root,
}

impl ReplayState {
    /// Before the first block.
    pub(crate) fn genesis(committee: &Committee) -> Self {
        Self {
            height: Height::ZERO,
            header: Digest::ZERO,
            time_ms: 0,
            decided_in: Epoch::new(0),
            replayed: Replayed {
                epochs: EpochBook::genesis(Members::new(committee.clone())),
                l1: L1Book::default(),
                tips: BTreeMap::new(),
                system: BTreeMap::new(),
                batch: BatchCursor::starting(1, Height::new(1)),
                window: Digest::ZERO,
                reputation: Reputation::default(),
            },
        }
    }

    /// From what was stored with a block.
    pub(crate) fn restore(header: &Header, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let state = Self {
            height: header.height,
            header: header.hash(),
            time_ms: header.time_ms,
            decided_in: header.epoch,
            replayed: Replayed::decode(snapshot)?,
        };
        if state.root() != header.state_root {
            return Err(SnapshotError::Root);
        }
        Ok(state)
    }

    /// What [`restore`](Self::restore) reads.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.replayed.encode()
    }

    /// The commitment in the header; see the module's layout.
    pub(crate) fn root(&self) -> Digest {
        let Replayed { epochs, l1, tips, system, batch, window, reputation } = &self.replayed;
        let mut bytes = b"mpc-sequencer/state/6".to_vec();
        epochs.write(&mut bytes);
        l1.write(&mut bytes);
        bytes.extend_from_slice(&count(tips.len()));
        for (lane, (sequence, digest)) in tips {
            bytes.extend_from_slice(&lane.validator.get().to_be_bytes());
            bytes.extend_from_slice(&lane.incarnation.get().to_be_bytes());
            bytes.extend_from_slice(&sequence.get().to_be_bytes());
            bytes.extend_from_slice(digest.as_ref());
        }
        bytes.extend_from_slice(&count(system.len()));
        for (sender, sequence) in system {
            bytes.extend_from_slice(&sender.get().to_be_bytes());
            bytes.extend_from_slice(&sequence.to_be_bytes());
        }
        bytes.extend_from_slice(&batch.number.to_be_bytes());
        bytes.extend_from_slice(&batch.first_height.get().to_be_bytes());
        bytes.extend_from_slice(&batch.first_time_ms.to_be_bytes());
        bytes.extend_from_slice(&batch.blocks.to_be_bytes());
        bytes.extend_from_slice(&batch.blob_bytes.to_be_bytes());
        bytes.extend_from_slice(&batch.transactions.to_be_bytes());
        bytes.extend_from_slice(window.as_ref());
        bytes.extend_from_slice(&count(reputation.records.len()));
        for (id, Record { failures, since }) in &reputation.records {
            bytes.extend_from_slice(&id.get().to_be_bytes());
            bytes.push(*failures);
            bytes.extend_from_slice(&since.get().to_be_bytes());
        }
        bytes.extend_from_slice(&count(reputation.skipped.len()));
        for id in &reputation.skipped {
            bytes.extend_from_slice(&id.get().to_be_bytes());
        }
        Digest::sha256(&[&bytes])
    }

    /// The newest decided chunk of a lane; sequence zero before the first.
    pub(crate) fn tip(&self, lane: LaneId) -> (LaneSequence, Digest) {
        self.replayed.tips.get(&lane).copied().unwrap_or_default()
    }

    /// The L1 block that the next block refers to.
    pub(crate) fn l1_reference(&self) -> L1Reference {
        self.replayed.l1.reference()
    }

    /// What a block with these messages takes from the forced-inclusion queue.
    pub(crate) fn intake(&self, messages: &[SystemMessage], rules: &Rules) -> Intake {
        self.replayed.l1.forced().intake(messages, rules)
    }

    /// The epoch of the next block.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.replayed.epochs.present().epoch
    }

    /// The committee of the next height.
    pub(crate) const fn committee(&self) -> &Arc<Committee> {
        self.replayed.epochs.committee()
    }

    /// The committee that decided this block. One that is not remembered decides nothing.
    pub(crate) fn deciders(&self) -> &Arc<Committee> {
        self.replayed.epochs.committee_of(self.decided_in).unwrap_or_else(|| self.committee())
    }

    /// Key of anybody who may have something to say: one that may speak in the log, or a member of a remembered epoch. A number never gets
    /// another key.
    pub(crate) fn key_of(&self, id: ValidatorId) -> Option<&PublicKey> {
        let epochs = &self.replayed.epochs;
        let once = || epochs.starts().rev().find_map(|start| start.members.committee().key(id));
        self.key_of_speaker(id).or_else(once)
    }

    /// Key of one that may speak in the log: a member, one that is drawn to be the next (though it may have left the registry since), or an active
    /// validator.
    pub(crate) fn key_of_speaker(&self, id: ValidatorId) -> Option<&PublicKey> {
        let Replayed { epochs, l1, .. } = &self.replayed;
        let drawn = || epochs.ceremony().and_then(|start| start.members.committee().key(id));
        let candidate = || l1.candidate(id).map(|candidate| &candidate.key);
        self.committee().key(id).or_else(drawn).or_else(candidate)
    }

    /// How many system messages of a validator a cut may take.
    pub(crate) fn may_say(&self, id: ValidatorId) -> usize {
        if self.committee().key(id).is_some() {
            MAX_CUT_SYSTEM_MESSAGES
        } else if self.key_of_speaker(id).is_some() {
            self.replayed.epochs.hears(id).into()
        } else {
            0
        }
    }

    /// Whether a validator's lanes may advance: it is a member, or was one in the epoch before. What that one had taken in is ordered, too.
    pub(crate) fn has_lane(&self, id: ValidatorId, rules: &Rules) -> bool {
        let open = if rules.lacking == Some(PlantedBug::LanesCut) { 1 } else { 2 };
        let mut epochs = self.replayed.epochs.starts().rev().take(open);
        epochs.any(|start| start.members.committee().key(id).is_some())
    }

    /// The votes for the next epoch once these are counted; a member's every word in the log was checked to be its own.
    pub(crate) fn tally(&self, messages: &[SystemMessage], rules: &Rules) -> Tally {
        self.replayed.epochs.tally(messages, &rules.domain)
    }

    /// Who leads the rounds of the next height.
    pub(crate) fn rotation(&self) -> Rotation {
        self.replayed.reputation.rotation(&self.ids(), self.height.next())
    }

    /// Ids of the committee of the next height, ascending.
    pub(crate) fn ids(&self) -> Vec<ValidatorId> {
        self.committee().ids().collect()
    }

    /// Whether a lane may still advance: it is known, or newer than the oldest that is remembered.
    pub(crate) fn is_open(&self, lane: LaneId) -> bool {
        if self.replayed.tips.contains_key(&lane) {
            return true;
        }
        let mut lanes = self.lanes_of(lane.validator);
        let oldest = lanes.next();
        oldest.is_none_or(|oldest| lanes.count() + 1 < LANES_PER_VALIDATOR || lane > oldest)
    }

    fn lanes_of(&self, validator: ValidatorId) -> impl Iterator<Item = LaneId> + '_ {
        let bound = |raw| LaneId { validator, incarnation: ordering_types::Incarnation::new(raw) };
        self.replayed.tips.range(bound(0)..=bound(u64::MAX)).map(|(lane, _)| *lane)
    }

    /// Advances a lane, and closes the validator's oldest if it has too many.
    pub(crate) fn advance(&mut self, lane: LaneId, sequence: LaneSequence, digest: Digest) {
        self.replayed.tips.insert(lane, (sequence, digest));
        if self.lanes_of(lane.validator).count() > LANES_PER_VALIDATOR {
            let oldest = self.lanes_of(lane.validator).next();
            if let Some(oldest) = oldest {
                self.replayed.tips.remove(&oldest);
            }
        }
    }

    /// Counts in what the block says of L1 and of the epochs.
    pub(crate) fn close_epoch(
        &mut self,
        block: ClosedBlock<'_>,
        tally: Tally,
        rules: &Rules,
    ) -> Vec<EpochEvent> {
        let Replayed { epochs, l1, .. } = &mut self.replayed;
        l1.close_block(block.messages, epochs.committee(), rules);
        let events = epochs.close_block(block, tally, (l1, rules));
        if events.iter().any(|event| matches!(event, EpochEvent::Ended { .. })) {
            l1.change_members(epochs.committee());
        }
        events
    }

    /// Counts the block in, and turns to the next batch if it was the last.
    pub(crate) fn close_block(&mut self, batch: BatchCursor, height: Height, seals: bool, tx_root: Digest) {
        self.replayed.batch =
            if seals { BatchCursor::starting(batch.number.saturating_add(1), height.next()) } else { batch };
        self.replayed.window = Digest::sha256(&[self.replayed.window.as_ref(), tx_root.as_ref()]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use crate::forced::ForcedBook;
    use ordering_types::{Incarnation, QueueMark, SecretKey};

    use super::*;

    fn lane(incarnation: u64) -> LaneId {
        LaneId { validator: ValidatorId::new(1), incarnation: Incarnation::new(incarnation) }
    }

    fn state() -> ReplayState {
        ReplayState::genesis(&Committee::new(BTreeMap::new()))
    }

    #[test]
    fn the_genesis_root_is_pinned_and_every_part_changes_it() {
        let genesis = state();
        assert_eq!(genesis.root().to_string(), PINNED);
        let mut roots = BTreeSet::from([genesis.root()]);
        let mut other = genesis.clone();
        other.advance(lane(1), LaneSequence::new(1), Digest::ZERO);
        assert!(roots.insert(other.root()));
        other.replayed.system.insert(ValidatorId::new(1), 1);
        assert!(roots.insert(other.root()));
        other.replayed.batch = other.replayed.batch.with(5, 6, 7);
        assert!(roots.insert(other.root()));
        other.replayed.window = Digest::sha256(&[b"w"]);
        assert!(roots.insert(other.root()));
        let record = |since| Record { failures: 1, since: Height::new(since) };
        other.replayed.reputation.records.insert(ValidatorId::new(1), record(1));
        assert!(roots.insert(other.root()));
        other.replayed.reputation.records.insert(ValidatorId::new(1), record(2));
        assert!(roots.insert(other.root()));
        other.replayed.reputation.skipped.insert(ValidatorId::new(1));
        assert!(roots.insert(other.root()));
        let mut book = ForcedBook::default();
        book.add_mark(QueueMark { count: 2, accumulator: Digest::ZERO });
        other.replayed.l1.set_forced(book);
        assert!(roots.insert(other.root()));
        let key = SecretKey::from_bytes([1; 32]).unwrap().public_key();
        let members = Members::new(Committee::new([(ValidatorId::new(1), key)].into()));
        other.replayed.epochs = EpochBook::genesis(members);
        assert!(roots.insert(other.root()));
    }

    const PINNED: &str = "ecc49911e832137f28e15892dcc0969c0b2248ce393ffb854065a1404de05475";

    #[test]
    fn only_the_newest_lanes_of_a_validator_stay_open() {
        let mut state = state();
        for incarnation in [10, 20, 30, 40] {
            assert!(state.is_open(lane(incarnation)));
            state.advance(lane(incarnation), LaneSequence::new(1), Digest::ZERO);
        }
        assert!(!state.is_open(lane(5)));
        assert!(state.is_open(lane(10)) && state.is_open(lane(50)));
        state.advance(lane(50), LaneSequence::new(1), Digest::ZERO);
        assert!(!state.is_open(lane(10)));
        assert_eq!(state.replayed.tips.len(), LANES_PER_VALIDATOR);
    }

    #[test]
    fn a_batch_must_end_before_the_next_block_could_overflow_it() {
        let limits = Limits {
            blob_bytes_per_batch: 100,
            blob_bytes_per_block: 40,
            blocks_per_batch: 3,
            batch_interval_ms: 1_000,
            ..Limits::default()
        };
        let start = BatchCursor::starting(1, Height::new(1));
        assert!(!start.with(0, 60, 1).must_seal(&limits));
        assert!(start.with(0, 61, 1).must_seal(&limits));
        let three = start.with(0, 0, 0).with(0, 0, 0).with(0, 0, 0);
        assert!(three.must_seal(&limits));
        assert!(!start.with(500, 0, 0).should_seal(1_499, &limits));
        assert!(start.with(500, 0, 0).should_seal(1_500, &limits));
    }

    #[test]
    fn a_snapshot_restores_and_a_changed_one_does_not() {
        let mut state = state();
        state.advance(lane(1), LaneSequence::new(9), Digest::sha256(&[b"tip"]));
        let header = Header {
            version: 1,
            chain_spec: Digest::ZERO,
            epoch: Epoch::new(0),
            height: Height::new(4),
            parent: Digest::ZERO,
            time_ms: 77,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: state.root(),
            seals_batch: false,
        };
        let back = ReplayState::restore(&header, &state.snapshot()).unwrap();
        assert_eq!(back.replayed, state.replayed);
        state.advance(lane(1), LaneSequence::new(10), Digest::ZERO);
        assert_eq!(ReplayState::restore(&header, &state.snapshot()), Err(SnapshotError::Root));
        assert!(ReplayState::restore(&header, b"junk").is_err());
    }
}
