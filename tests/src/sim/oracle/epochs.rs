//! Epochs: one key each, taken into use at one height by a quorum's votes, which this code counts again from the blocks; and handed on by
//! the signature of the key before.

use std::collections::{BTreeMap, BTreeSet};

use node_core::api::Decided;
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{GroupKey, GroupSignature, Handover, PublicKey, SharedKey, SignedHandover, ValidatorId};

use super::{Violation, hashes};

/// First byte of a system message that is an epoch vote, and how many of one validator are looked at.
const EPOCH_VOTE: u8 = 3;
const MOST_VOTES: u32 = 16;

/// What a vote is for: a key, a committee, and which sharing of a key that is kept.
type Choice = ([u8; 33], [u8; 32], u32);

/// Who decides in which epoch.
#[derive(Default)]
pub(super) struct Committees(BTreeMap<u64, BTreeSet<ValidatorId>>);

impl Committees {
    /// Whether so many members of an epoch's committee agreed as must: all but a third that is rounded down, less one.
    pub(super) fn is_quorum<'a>(&self, epoch: u64, who: impl IntoIterator<Item = &'a ValidatorId>) -> bool {
        let Some(members) = self.0.get(&epoch) else { return false };
        let counted = who.into_iter().filter(|id| members.contains(id)).count();
        counted >= members.len() - (members.len() - 1) / 3
    }

    /// How many shares of an epoch's key sign: 2f + 1.
    pub(super) fn threshold(&self, epoch: u64) -> usize {
        self.0.get(&epoch).map_or(0, |members| 2 * ((members.len() - 1) / 3) + 1)
    }

    /// The committee of the newest epoch that is known.
    pub(super) fn newest(&self) -> Option<&BTreeSet<ValidatorId>> {
        self.0.values().next_back()
    }
}

/// What is known of the epochs.
pub(super) struct Epochs {
    domain: Domain,
    /// All validators, also those that join later.
    keys: BTreeMap<ValidatorId, PublicKey>,
    pub(super) committees: Committees,
    /// Epoch and height of the newest block that was counted.
    epoch: u64,
    height: u64,
    batches: u64,
    /// Of the running epoch: how many votes of each were looked at, and the newest good one.
    votes: BTreeMap<ValidatorId, (u32, Option<Choice>)>,
    /// The handover with which each epoch must begin.
    begins: BTreeMap<u64, Begin>,
    /// Which sharing of its key each epoch has.
    sharings: BTreeMap<u64, u32>,
    handed_over: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begin {
    key: [u8; 33],
    committee: [u8; 32],
    height: u64,
    batch: u64,
}

impl Begin {
    fn of(handover: &Handover) -> Self {
        let (key, committee) = (*handover.next.key.as_bytes(), handover.next.committee.to_bytes());
        Self { key, committee, height: handover.first_height.get(), batch: handover.first_batch }
    }
}

fn broken(seen: String) -> Violation {
    Violation { promise: "one key an epoch", seen }
}

impl Epochs {
    pub(super) fn new(
        domain: Domain,
        founders: BTreeSet<ValidatorId>,
        keys: BTreeMap<ValidatorId, PublicKey>,
    ) -> Self {
        Self {
            domain,
            keys,
            committees: Committees([(0, founders)].into()),
            epoch: 0,
            height: 0,
            batches: 0,
            votes: BTreeMap::new(),
            begins: BTreeMap::new(),
            sharings: BTreeMap::new(),
            handed_over: BTreeSet::new(),
        }
    }

    /// The running epoch.
    pub(super) const fn newest(&self) -> u64 {
        self.epoch
    }

    /// How many handovers are signed, of all from the first on.
    pub(super) fn handed_over(&self) -> u64 {
        (1..).take_while(|epoch| self.handed_over.contains(epoch)).count() as u64
    }

    /// The newest epoch that L1 can have followed to, with so many batches signed: each handover comes after all batches before it.
    pub(super) fn posted(&self, batches: u64) -> u64 {
        let follows = |epoch: &u64| {
            let begin = self.begins.get(epoch).filter(|_| self.handed_over.contains(epoch));
            begin.is_some_and(|begin| begin.batch <= batches + 1)
        };
        (1..).take_while(follows).count() as u64
    }

    /// The key of an epoch; that of the first is founded.
    pub(super) fn key(&self, epoch: u64, founded: Option<&GroupKey>) -> Option<GroupKey> {
        if epoch == 0 {
            return founded.copied();
        }
        GroupKey::from_bytes(self.begins.get(&epoch)?.key).ok()
    }

    /// The same, as it is shared.
    pub(super) fn shared_key(&self, epoch: u64, founded: Option<&GroupKey>) -> Option<SharedKey> {
        let sharing = self.sharings.get(&epoch).copied().unwrap_or_default();
        Some(SharedKey { key: self.key(epoch, founded)?, sharing })
    }

    /// The first telling of the next block.
    pub(super) fn block(&mut self, decided: &Decided) -> Option<Violation> {
        let header = &decided.block.header;
        let (epoch, height) = (header.epoch.get(), header.height.get());
        if height != self.height + 1 {
            return Some(broken(format!("block {height} is told before {}", self.height + 1)));
        }
        self.height = height;
        if self.begins.get(&(self.epoch + 1)).is_some_and(|begin| begin.height == height) {
            self.epoch += 1;
            self.votes.clear();
        }
        if epoch != self.epoch {
            return Some(broken(format!("block {height} is of epoch {epoch}, it must be {}", self.epoch)));
        }
        self.batches += u64::from(header.seals_batch);
        for message in &decided.cut.system {
            self.count(message.sender, &message.payload);
        }
        let (key, committee, sharing) = self.agreed()?;
        self.sharings.insert(self.epoch + 1, sharing);
        let begin = Begin { key, committee, height: height + 1, batch: self.batches + 1 };
        self.begins.insert(self.epoch + 1, begin);
        (!header.seals_batch).then(|| broken(format!("epoch {epoch} ends at {height} amid a batch")))
    }

    fn count(&mut self, sender: ValidatorId, payload: &[u8]) {
        let Some((&EPOCH_VOTE, vote)) = payload.split_first() else { return };
        let Some((epoch, rest)) = vote.split_first_chunk::<8>() else { return };
        let Some((key, rest)) = rest.split_first_chunk::<33>() else { return };
        let Some((committee, rest)) = rest.split_first_chunk::<32>() else { return };
        let Some((sharing, test)) = rest.split_first_chunk::<4>() else { return };
        let Ok(test) = <[u8; 65]>::try_from(test) else { return };
        let Ok(point) = GroupKey::from_bytes(*key) else { return };
        if u64::from_be_bytes(*epoch) != self.epoch + 1 {
            return;
        }
        let (looked_at, newest) = self.votes.entry(sender).or_default();
        if *looked_at >= MOST_VOTES {
            return;
        }
        *looked_at += 1;
        let digest = hashes::readiness(&self.domain, self.epoch + 1, &point, committee);
        if point.verify(digest, &GroupSignature::new(test)).is_ok() {
            *newest = Some((*key, *committee, u32::from_be_bytes(*sharing)));
        }
    }

    fn agreed(&self) -> Option<Choice> {
        let said = || self.votes.iter().filter_map(|(id, (_, choice))| Some((id, (*choice)?)));
        let agree = |one: Choice| {
            let who = said().filter(|(_, other)| *other == one).map(|(id, _)| id);
            self.committees.is_quorum(self.epoch, who)
        };
        said().map(|(_, choice)| choice).find(|choice| agree(*choice))
    }

    /// A node says that another epoch begins, with these members: they must be those that the votes named.
    pub(super) fn switched(
        &mut self,
        slot: usize,
        handover: &Handover,
        members: &Committee,
    ) -> Option<Violation> {
        let epoch = handover.next.epoch.get();
        let ids: BTreeSet<ValidatorId> = members.ids().collect();
        let keys: Vec<&PublicKey> = ids.iter().filter_map(|id| self.keys.get(id)).collect();
        let are_theirs = members.iter().all(|(id, key)| self.keys.get(&id) == Some(key));
        if !are_theirs || hashes::committee(&keys) != handover.next.committee.to_bytes() {
            return Some(broken(format!(
                "node {slot} begins epoch {epoch} with other members than the votes say"
            )));
        }
        if self.committees.0.entry(epoch).or_insert_with(|| ids.clone()) != &ids {
            return Some(broken(format!(
                "node {slot} begins epoch {epoch} with {ids:?}, others with other members"
            )));
        }
        self.begins_as_agreed(slot, handover)
    }

    fn begins_as_agreed(&self, slot: usize, handover: &Handover) -> Option<Violation> {
        let epoch = handover.next.epoch.get();
        let known = self.begins.get(&epoch);
        (known != Some(&Begin::of(handover))).then(|| {
            broken(format!("node {slot} begins epoch {epoch} with {handover:?}, the blocks say {known:?}"))
        })
    }

    /// A node holds the outgoing committee's signature.
    pub(super) fn signed(
        &mut self,
        slot: usize,
        signed: &SignedHandover,
        founded: Option<&GroupKey>,
    ) -> Option<Violation> {
        let SignedHandover { handover, signature } = signed;
        let epoch = handover.next.epoch.get();
        if let Some(wrong) = self.begins_as_agreed(slot, handover) {
            return Some(wrong);
        }
        let Some(outgoing) = epoch.checked_sub(1).and_then(|before| self.key(before, founded)) else {
            return Some(broken(format!(
                "node {slot} holds a handover to epoch {epoch} that nobody could sign"
            )));
        };
        if outgoing.verify(hashes::handover(&self.domain, handover), signature).is_err() {
            return Some(broken(format!("node {slot}: the handover to epoch {epoch} does not verify")));
        }
        self.handed_over.insert(epoch);
        None
    }
}
