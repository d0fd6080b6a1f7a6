//! The promises, checked from outside by code of their own: what counts as equal, complete, signed or durable is decided here
//! again, from the documents. Nothing of the cores is called.
//!
//! | module | promises |
//! |---|---|
//! | [`votes`] | no double vote, on disk before voted, locking |
//! | [`chain`] | agreement, validity, order, exactly once, certificates, nothing lost |
//! | [`batches`] | sealed batches |
//! | [`forced`] | the queue of L1 in its order, once, and first |
//! | [`epochs`] | one key an epoch, switched at one height, handed on |
//! | here | soft confirmations, one key, nonces once, no false blame, progress |

mod batches;
mod chain;
mod epochs;
mod forced;
mod hashes;
mod votes;

use std::collections::{BTreeMap, BTreeSet};

use batcher_format::SealedBatch;
use bytes::Bytes;
use node_core::api::{Class, Decided, Evidence, Founding, Record};
use ordering_types::chain_spec::Committee;
use ordering_types::preimage::Domain;
use ordering_types::{
    ChainSpec, Chunk, Cut, Digest, Epoch, ForcedEntry, GroupKey, GroupSignature, Handover, Header, Height,
    PublicKey, RollupId, SecretKey, SharedKey, SignedHandover, SignedVote, Time, ValidatorId, VoteKind,
};

use super::disk::Disk;
use super::genesis::id;
use super::plan::Plan;
use super::wire::{self, ProposedCut};
use batches::Batches;
use chain::Chain;
use epochs::Epochs;
use forced::Forced;
use votes::Votes;

/// Who is no member asks twice a second for blocks that may come thirty times a second.
const FOLLOWERS_LATE: u64 = 64;
/// Broken promises that are kept of one run.
const MAX_VIOLATIONS: usize = 32;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

/// How an honest node stands at the end.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its slot.
    pub slot: usize,
    /// Whether it runs.
    pub runs: bool,
    /// Whether it is no member, and hears of blocks a little later.
    pub follows: bool,
}

/// Everything that was seen so far. Slots are honest; what liars say is only noted.
pub struct Oracle {
    domain: Domain,
    keys: BTreeMap<ValidatorId, PublicKey>,
    byzantine: BTreeSet<ValidatorId>,
    chain: Chain,
    votes: Votes,
    batches: Batches,
    epochs: Epochs,
    forced: Forced,
    /// The active validators in the end, where they change.
    active: Option<BTreeSet<ValidatorId>>,
    /// Whether epochs are short.
    rotates: bool,
    /// Whether all have one key.
    keeps: bool,
    key: Option<GroupKey>,
    certified: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    burns: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Honest slots that stored a share and did not lose their disk since, by epoch and key.
    holders: BTreeMap<(u64, SharedKey), BTreeSet<usize>>,
    /// Chunks that liars made up in the lanes of others and did not propose yet.
    forged: BTreeMap<Digest, Chunk>,
    newest_at_calm: u64,
    epoch_at_calm: u64,
    violations: Vec<Violation>,
}

impl Oracle {
    /// For the network of a plan.
    pub fn new(plan: &Plan, spec: &ChainSpec, keys: &[SecretKey]) -> Self {
        let keys: BTreeMap<ValidatorId, PublicKey> =
            keys.iter().enumerate().map(|(index, key)| (id(index), key.public_key())).collect();
        let byzantine = (0..keys.len()).filter(|index| plan.is_byzantine(*index)).map(id).collect();
        let founders = spec.validators.iter().map(|v| v.id).collect();
        let active = plan.last_committee().map(|last| last.into_iter().map(id).collect());
        Self {
            domain: spec.domain(),
            chain: Chain::new(spec, keys.clone()),
            epochs: Epochs::new(spec.domain(), founders, keys.clone()),
            forced: Forced::default(),
            active,
            keys,
            byzantine,
            votes: Votes::default(),
            batches: Batches::new(spec),
            rotates: plan.rotates,
            keeps: plan.keeps,
            key: None,
            certified: BTreeMap::new(),
            burns: BTreeMap::new(),
            holders: BTreeMap::new(),
            forged: BTreeMap::new(),
            newest_at_calm: 0,
            epoch_at_calm: 0,
            violations: Vec::new(),
        }
    }

    /// Broken promises so far.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Records a broken promise.
    pub fn broken(&mut self, promise: &'static str, seen: String) {
        self.note([Violation { promise, seen }]);
    }

    fn note(&mut self, found: impl IntoIterator<Item = Violation>) {
        let room = MAX_VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(found.into_iter().take(room));
    }

    /// A node accepted a transaction; whether it is honest says whether anything follows from that.
    pub fn submitted(&mut self, now: Time, taker: (usize, bool), rollup: RollupId, data: &[u8]) {
        self.chain.submitted(now, taker, rollup, data);
    }

    /// Somebody put an entry into the forced-inclusion queue.
    pub fn enqueued(&mut self, entry: &ForcedEntry) {
        self.forced.enqueued(entry);
    }

    /// A node says that a block is ordered.
    pub fn ordered(&mut self, now: Time, slot: usize, life: u64, decided: &Decided) {
        let is_new = !self.chain.blocks.contains_key(&decided.block.header.height.get());
        let found = self.chain.ordered(now, (slot, life), decided, &self.epochs.committees);
        self.note(found);
        if is_new {
            let found = self.epochs.block(decided);
            self.note(found);
            let found = self.forced.block(decided);
            self.note(found);
        }
    }

    /// A node says that it goes on after this block, without the blocks before.
    pub fn jumped(&mut self, slot: usize, life: u64, header: &Header) {
        let found = self.chain.jumped(slot, life, header);
        self.note(found);
    }

    /// A message leaves an honest node, whose disk is in this state.
    pub fn left(&mut self, slot: usize, who: ValidatorId, class: Class, bytes: &Bytes, disk: &Disk) {
        match class {
            Class::Consensus => {
                let found = self.votes.left(who, bytes, disk, &self.epochs.committees);
                self.note(found);
            }
            Class::Ceremony => {
                if wire::read_share(bytes).is_some_and(|share| !disk.has_burnt(&share)) {
                    self.broken("nonces once", format!("node {slot}'s share left before it was on disk"));
                }
            }
            Class::Chunks | Class::Sync => {}
        }
    }

    /// A message of a liar: nothing is expected of it, but others may act on it.
    pub fn lied(&mut self, class: Class, bytes: &Bytes) {
        if class == Class::Consensus {
            self.votes.saw(bytes);
            self.proposed_forged(bytes);
        }
        // The owner of a lane may put anything into it.
        if let Some((&(wire::CHUNK | wire::FETCHED_CHUNK), _)) = bytes.split_first()
            && let Ok(chunk) = Chunk::decode(bytes.slice(1..))
            && self.byzantine.contains(&chunk.lane().validator)
        {
            for transaction in chunk.transactions() {
                self.chain.made_up(transaction.rollup, &transaction.data);
            }
        }
    }

    /// A liar made up a chunk of another's lane. Only a cut that it proposes as a leader may bring that into a block.
    pub fn forged(&mut self, chunk: Chunk) {
        self.forged.insert(chunk.digest(), chunk);
    }

    fn proposed_forged(&mut self, bytes: &Bytes) {
        let Some(proposed) = wire::read::<ProposedCut>(wire::PROPOSAL, bytes) else { return };
        let Ok(cut) = Cut::decode(&proposed.cut) else { return };
        if !self.byzantine.contains(&proposed.proposal.proposer) {
            return;
        }
        for tip in cut.tips {
            let mut digest = tip.digest;
            while let Some(chunk) = self.forged.remove(&digest) {
                for transaction in chunk.transactions() {
                    self.chain.made_up(transaction.rollup, &transaction.data);
                }
                digest = chunk.parent();
            }
        }
    }

    /// A node learned the founding.
    pub fn founded(&mut self, slot: usize, founding: &Founding) {
        if *self.key.get_or_insert(founding.key) != founding.key {
            self.broken("one key", format!("node {slot} founded with another key"));
        }
    }

    /// A node says that an epoch ended.
    pub fn switched(&mut self, slot: usize, handover: &Handover, members: &Committee) {
        let found = self.epochs.switched(slot, handover, members);
        self.note(found);
        let is_kept = self.key.is_none_or(|key| key == handover.next.key);
        if self.keeps && !is_kept {
            let seen = format!("node {slot} begins epoch {} with another", handover.next.epoch);
            self.broken("the key is kept", seen);
        }
    }

    /// A node holds the signature of the outgoing committee.
    pub fn handed_over(&mut self, slot: usize, signed: &SignedHandover) {
        let found = self.epochs.signed(slot, signed, self.key.as_ref());
        self.note(found);
    }

    /// A node saw a block signed.
    pub fn certified(&mut self, slot: usize, height: Height, signature: &GroupSignature) {
        let height = height.get();
        let Some(block) = self.chain.blocks.get(&height) else {
            return self.broken("no forgery", format!("node {slot}: height {height} is signed, not ordered"));
        };
        // Before the founding is in the log a node may hold its share already: the signature is then checked when another
        // node tells of it.
        let epoch = block.header.epoch.get();
        let Some(key) = self.epochs.key(epoch, self.key.as_ref()) else { return };
        let bytes = signature.as_bytes().to_vec();
        if self.certified.get(&height).is_some_and(|known| known.contains(&bytes)) {
            return;
        }
        let digest = hashes::block(&self.domain, (epoch, height), block.hash);
        if key.verify(digest, signature).is_err() {
            self.broken("no forgery", format!("node {slot}: signature of block {height} does not verify"));
        }
        self.certified.entry(height).or_default().insert(bytes);
    }

    /// A node saw a batch signed.
    pub fn sealed(&mut self, slot: usize, batch: &SealedBatch) {
        let key = self.epochs.key(batch.header.epoch.get(), self.key.as_ref());
        let found = self.batches.sealed(slot, batch, (&self.domain, key), &self.chain);
        self.note(found);
    }

    /// What it stored is gone for good.
    pub fn lost_disk(&mut self, slot: usize) {
        self.holders.values_mut().for_each(|slots| _ = slots.remove(&slot));
    }

    /// The newest epoch that L1 can have followed to.
    pub fn posted_epoch(&self) -> u64 {
        self.epochs.posted(self.batches.count())
    }

    /// A node erases its shares up to an epoch, while the inbox has the key of another for good: of that one and those after, it needs them.
    pub fn erased(&mut self, slot: usize, up_to: Epoch, confirmed: Epoch) {
        if up_to >= confirmed {
            let seen = format!("node {slot} erases shares up to epoch {up_to}, L1 is at {confirmed}");
            self.broken("shares are kept", seen);
        }
    }

    /// A node wrote something.
    pub fn persisted(&mut self, slot: usize, record: &Record) {
        match record {
            Record::Ordering(ordering::api::Record::Wal { entry, .. }) => self.votes.logged(entry),
            Record::KeyMaterial { epoch, key, .. } => {
                self.holders.entry((epoch.get(), *key)).or_default().insert(slot);
            }
            Record::NonceBurn { key, value } => {
                let name = [&(slot as u64).to_be_bytes(), key.as_slice()].concat();
                if let Some(before) = self.burns.insert(name, value.clone())
                    && before != *value
                {
                    self.broken("nonces once", format!("node {slot} used a nonce pair twice"));
                }
            }
            _ => {}
        }
    }

    /// A node finds fault with a message: no honest one sends such.
    pub fn accused(&mut self, slot: usize, peer: ValidatorId, what: &str) {
        if !self.byzantine.contains(&peer) {
            self.broken("no false blame", format!("node {slot} finds fault with {peer}: {what}"));
        }
    }

    /// A node holds up a proof against another.
    pub fn blamed(&mut self, slot: usize, evidence: &Evidence) {
        let culprit = evidence.culprit();
        if !self.byzantine.contains(&culprit) {
            self.broken("no false blame", format!("node {slot} blames {culprit}"));
        }
        let proves = match evidence {
            Evidence::Votes { first, second } => {
                let place = |v: &SignedVote| {
                    (v.vote.kind, v.vote.epoch, v.vote.height, v.vote.round, v.vote.validator)
                };
                place(first) == place(second)
                    && first.vote.validator == culprit
                    && first.vote.value != second.vote.value
                    && [first, second].into_iter().all(|signed| self.is_signed(signed))
            }
            // That the share is wrong follows from who is accused: the honest send right ones.
            Evidence::Share(wrong) => {
                let digest = hashes::share(&self.domain, wrong);
                self.keys.get(&culprit).is_some_and(|key| key.verify(digest, &wrong.voucher))
            }
        };
        if !proves {
            self.broken("no false blame", format!("node {slot}'s evidence against {culprit} proves nothing"));
        }
    }

    fn is_signed(&self, signed: &SignedVote) -> bool {
        let v = &signed.vote;
        let place = (v.epoch.get(), v.height.get(), v.round.get());
        let digest = hashes::vote(&self.domain, v.kind == VoteKind::Precommit, place, v.value);
        self.keys.get(&v.validator).is_some_and(|key| key.verify(digest, &signed.signature))
    }

    /// From here on nothing goes wrong any more.
    pub fn calm(&mut self) {
        self.newest_at_calm = self.chain.newest();
        self.epoch_at_calm = self.epochs.newest();
    }

    /// What a node's disk holds at the end must be the chain, from the first block after its checkpoint on.
    pub fn kept<'a>(&mut self, slot: usize, base: Height, headers: impl Iterator<Item = &'a Header>) {
        let mut next = base.get() + 1;
        let mut wrong = None;
        for header in headers {
            let known = self.chain.blocks.get(&next).map(|b| b.hash);
            if wrong.is_none() && known != Some(hashes::header(header)) {
                wrong = Some(next);
            }
            next += 1;
        }
        if let Some(height) = wrong {
            self.broken("nothing lost", format!("node {slot} keeps another block at height {height}"));
        }
        if next <= self.chain.height_of(slot) && self.is_served(slot) {
            let seen = format!("node {slot} ordered up to {} and keeps less", self.chain.height_of(slot));
            self.broken("nothing lost", seen);
        }
    }

    /// Whether what is owed needs the signature of an epoch whose key too few honest members hold to sign without liars: who is away while a key is
    /// made, and who lost what it held of it, counts as faulty as long as it lives (the first assumption of docs/threat-model.md), so these are
    /// more than f.
    pub fn is_beyond_holders(&self, owed: &Violation) -> bool {
        let needs_key = matches!(owed.promise, "soft confirmation" | "sealing" | "rotation" | "membership");
        let is_short = |epoch: &u64| {
            let Some(key) = self.epochs.shared_key(*epoch, self.key.as_ref()) else { return false };
            let holders = self.holders.get(&(*epoch, key)).map_or(0, BTreeSet::len);
            holders < self.epochs.committees.threshold(*epoch)
        };
        needs_key && (0..=self.epochs.newest()).any(|epoch| is_short(&epoch))
    }

    /// Whether others let it catch up in the end: nobody owes blocks to who is not registered any more.
    fn is_served(&self, slot: usize) -> bool {
        self.active.as_ref().is_none_or(|active| active.contains(&id(slot)))
    }

    /// What the network still owes, if anything: asked while it recovers, and at the end.
    pub fn owed(
        &self,
        honest: &[Standing],
        lost_before: impl Fn(usize) -> Time,
        all_take_part: bool,
    ) -> Option<Violation> {
        let owed = |promise, seen| Some(Violation { promise, seen });
        let newest = self.chain.newest();
        if newest <= self.newest_at_calm {
            return owed("progress", format!("no block after the faults, height {newest}"));
        }
        for Standing { slot, runs, follows } in honest {
            let height = self.chain.height_of(*slot);
            if *follows && !self.is_served(*slot) {
                continue;
            }
            let late = if *follows { FOLLOWERS_LATE } else { 2 };
            if !runs || height + late < newest {
                return owed("progress", format!("node {slot} stands at {height}, others at {newest}"));
            }
        }
        let missing = self.chain.missing(lost_before);
        if !missing.is_empty() {
            return owed("progress", format!("never ordered: {}", missing.join(", ")));
        }
        if let Some(owed) = self.forced.owed() {
            return Some(owed);
        }
        if self.key.is_none() {
            // The first key is everybody's: it waits for the last validator, and without it nothing is signed.
            return all_take_part.then(|| Violation { promise: "founding", seen: "no key".to_owned() });
        }
        if self.certified.range(self.newest_at_calm.max(newest.saturating_sub(5))..).next().is_none() {
            return owed("soft confirmation", format!("none of the last blocks up to {newest} is signed"));
        }
        let (sealed, filled) = (self.batches.sealed_height(), self.chain.newest_filled());
        if sealed < filled {
            return owed("sealing", format!("sealed up to {sealed}, transactions up to {filled}"));
        }
        let (epoch, handed_over) = (self.epochs.newest(), self.epochs.handed_over());
        if self.rotates && (epoch <= self.epoch_at_calm || handed_over <= self.epoch_at_calm) {
            let seen = format!(
                "epoch {}, after the faults {epoch}, {handed_over} handovers signed",
                self.epoch_at_calm
            );
            return owed("rotation", seen);
        }
        let members = self.epochs.committees.newest();
        if let Some(active) = self.active.as_ref().filter(|active| !self.is_committee_of(active)) {
            return owed("membership", format!("the committee is {members:?}, active are {active:?}"));
        }
        None
    }

    /// Whether the newest committee is that of the active validators: all that are honest, and no others. One that lies need not be ready.
    fn is_committee_of(&self, active: &BTreeSet<ValidatorId>) -> bool {
        let is_fair = |members: &BTreeSet<ValidatorId>| {
            members.is_subset(active) && active.difference(members).all(|id| self.byzantine.contains(id))
        };
        self.epochs.committees.newest().is_some_and(is_fair)
    }

    /// Figures for the report: blocks, ordered transactions, signed batches, epochs that ended.
    pub fn figures(&self) -> (u64, u64, u64, u64) {
        (self.chain.newest(), self.chain.ordered.len() as u64, self.batches.count(), self.epochs.newest())
    }
}
