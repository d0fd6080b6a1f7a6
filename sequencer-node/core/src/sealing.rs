//! Sealing: from a boundary in a decided block to a batch that the committee signed.
//!
//! # Rules
//! 1. A block with `seals_batch` closes the batch that began after the last such block. The batch's id covers content
//!    only, so the next batch can name its parent at once, signed or not.
//! 2. Attempt `a` at batch `b` belongs to one *encoder*: member `(b + a) mod n` of the committee of the batch's epoch. It compresses, cuts blobs, commits,
//!    proves, and sends its encoding to all. The others decode it, compare it with their own blocks and check the
//!    proofs ([`Job::Check`]); only then do they ask for a signature over it.
//! 3. Without a signature by the deadline the next attempt begins, and its deadline is longer. A member that let its last
//!    turn lapse is given a short deadline only, until an encoding of it comes. Members may differ in which attempt they
//!    wait for: an encoding is accepted in whatever attempt its sender is in turn. Two encodings of one batch say the
//!    same, so a signature over either is as good; L1 takes the first posted. Encoders of the same build make the same bytes, and what is signed
//!    is named by them, not by the attempt: members that got an encoding from different encoders sign together.
//! 4. Who missed the signature asks the others, in turn, for the signed batch.
//! 5. A batch of blocks that were decided long ago, which a node meets while it catches up, is asked for at once; only if nobody has it
//!    signed is it treated like any other.
//!
//! # Restart
//! Open batches are rebuilt from the blocks after the newest signed batch. Nothing else is kept.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use batcher_format::{BatchHeader, EncodedBatch, SealedBatch, signing_digest};
use ordering_types::chain_spec::faulty;
use ordering_types::preimage::Domain;
use ordering_types::{Block, Digest, Epoch, GroupKey, GroupSignature, Height, Time, ValidatorId};

use crate::api::{Job, JobResult};
use crate::wire::PeerMessage;

/// Most batches that wait for their signature before admission stops.
pub const MAX_OPEN_BATCHES: usize = 32;
/// Signed batches kept in memory for peers that missed them; older ones are read from the store.
const MAX_RECENT_SEALED: usize = 8;
/// Different encodings of one batch that are checked of each encoder: another build of it may compress otherwise.
const MAX_ENCODINGS: u8 = 2;
/// Keys and members of so many epochs are kept: those that the log remembers, and the next.
const MAX_KEYS: usize = ordering::epoch::REMEMBERED_EPOCHS + 2;
/// Encodings kept for batches that this node has not reached yet.
const MAX_EARLY: usize = 4;
/// Deadline of a batch's first attempt; each further one waits this much longer, up to ten times. Encoding six blobs and
/// checking them takes about a second on one busy core.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Deadline for an encoder that let its last turn lapse.
const SUSPECT_TIMEOUT: Duration = Duration::from_millis(200);

/// Time that a peer is given to answer with a batch of long ago, and how many times one is asked.
const PAST_TIMEOUT: Duration = Duration::from_millis(500);
const PAST_ATTEMPTS: u8 = 20;

/// What sealing asks for or reports.
#[derive(Debug)]
pub(crate) enum SealingEvent {
    /// Heavy work.
    Job(Job),
    /// To every other member of this epoch's committee.
    Broadcast(Epoch, PeerMessage),
    /// To one member.
    Send(ValidatorId, PeerMessage),
    /// A peer wants a batch that only the store still has.
    Serve { to: ValidatorId, number: u64 },
    /// The committee's signature over this digest is wanted; [`Sealing::signed`] takes the answer.
    Sign { epoch: Epoch, ticket: Ticket, digest: Digest },
    /// The batch is signed.
    Sealed(Arc<SealedBatch>, Vec<Arc<Block>>),
    /// A peer sent an encoding that does not say what our blocks say.
    Fault { peer: ValidatorId, what: String },
}

/// One attempt at one batch: whose turn it is to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    pub(crate) attempt: u8,
}

/// One encoding of one batch: what a signing session is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    /// The first bytes of the digest that is signed.
    pub(crate) encoding: u32,
}

impl Ticket {
    fn of(number: u64, digest: Digest) -> Self {
        let [a, b, c, d, ..] = digest.to_bytes();
        Self { number, encoding: u32::from_be_bytes([a, b, c, d]) }
    }

    /// Below those of all encodings of the batch.
    pub(crate) const fn first(number: u64) -> Self {
        Self { number, encoding: 0 }
    }

    /// One number for the signing machine, which knows no batches.
    pub(crate) const fn to_session(self) -> u64 {
        (self.number << 32) | self.encoding as u64
    }

    pub(crate) const fn from_session(session: u64) -> Self {
        Self { number: session >> 32, encoding: (session & 0xffff_ffff) as u32 }
    }
}

/// A batch whose last block is decided and whose signature is missing.
struct OpenBatch {
    header: BatchHeader,
    blocks: Vec<Arc<Block>>,
    /// Of their transactions.
    bytes: u64,
    attempt: u8,
    deadline: Time,
    /// The committee has signed it long ago, so it is only asked for.
    past: bool,
    /// Encodings that we made, or that were checked.
    accepted: BTreeMap<Ticket, Arc<EncodedBatch>>,
    /// How many of each encoder were checked.
    checked: BTreeMap<ValidatorId, u8>,
}

impl OpenBatch {
    /// What is signed for an encoding of it.
    fn digest(&self, domain: &Domain, encoded: &EncodedBatch) -> Digest {
        signing_digest(domain, &self.header, encoded.carrier().hash())
    }

    /// The signatures that are wanted: one over any of the accepted encodings.
    fn wanted(&self, domain: &Domain) -> Vec<SealingEvent> {
        let sign = |(ticket, encoded): (&Ticket, &Arc<EncodedBatch>)| SealingEvent::Sign {
            epoch: self.header.epoch,
            ticket: *ticket,
            digest: self.digest(domain, encoded),
        };
        self.accepted.iter().map(sign).collect()
    }
}

enum Work {
    Encode(Turn),
    Check(u64, ValidatorId, Arc<EncodedBatch>),
    /// A batch that a peer says is signed; its signature is verified, its carrier is being checked.
    Adopt(Box<SealedBatch>, ValidatorId),
}

/// The batches of one node between boundary and signature.
pub(crate) struct Sealing {
    domain: Domain,
    me: ValidatorId,
    /// By epoch; the newest ones. Never empty.
    members: BTreeMap<Epoch, Vec<ValidatorId>>,
    /// By epoch; the newest ones.
    keys: BTreeMap<Epoch, GroupKey>,
    /// Blocks after the newest boundary.
    growing: Vec<Arc<Block>>,
    /// Bytes of their transactions.
    growing_bytes: u64,
    /// Number and parent of the batch that grows.
    number: u64,
    parent: Digest,
    /// The newest boundary.
    closed: Height,
    open: BTreeMap<u64, OpenBatch>,
    /// Encodings of batches ahead of us, one a sender at most.
    early: BTreeMap<ValidatorId, (Turn, EncodedBatch)>,
    recent: BTreeMap<u64, Arc<SealedBatch>>,
    /// Members that let their last turn lapse.
    suspects: BTreeSet<ValidatorId>,
    jobs: BTreeMap<u64, Work>,
    next_job: u64,
}

impl Sealing {
    /// Goes on after the newest signed batch, if any.
    pub(crate) fn new(
        domain: Domain,
        me: ValidatorId,
        members: BTreeMap<Epoch, Vec<ValidatorId>>,
        last: Option<&BatchHeader>,
    ) -> Self {
        Self {
            domain,
            me,
            members,
            keys: BTreeMap::new(),
            growing: Vec::new(),
            growing_bytes: 0,
            number: last.map_or(1, |h| h.number + 1),
            parent: last.map_or(Digest::ZERO, BatchHeader::id),
            closed: last.map_or(Height::ZERO, |h| h.last_height),
            open: BTreeMap::new(),
            early: BTreeMap::new(),
            recent: BTreeMap::new(),
            suspects: BTreeSet::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
        }
    }

    /// Another epoch begins, with these members.
    pub(crate) fn begin_epoch(&mut self, epoch: Epoch, members: Vec<ValidatorId>) {
        self.members.insert(epoch, members);
        let oldest_open = self.oldest_open(epoch);
        drop_old(&mut self.members, oldest_open);
    }

    /// The oldest epoch that an open batch waits for.
    fn oldest_open(&self, or: Epoch) -> Epoch {
        self.open.values().next().map_or(or, |batch| batch.header.epoch)
    }

    /// From now on batches of this epoch can be signed by this key.
    pub(crate) fn key_ready(&mut self, epoch: Epoch, key: GroupKey, now: Time) -> Vec<SealingEvent> {
        self.keys.insert(epoch, key);
        let oldest_open = self.oldest_open(epoch);
        drop_old(&mut self.keys, oldest_open);
        let of_epoch = |batch: &&OpenBatch| batch.header.epoch == epoch;
        let open: Vec<u64> = self.open.values().filter(of_epoch).map(|batch| batch.header.number).collect();
        open.into_iter().flat_map(|number| self.attempt(number, 0, now)).collect()
    }

    /// The newest batch that is signed and before which all are signed; 0 before the first.
    pub(crate) fn last_sealed(&self) -> u64 {
        self.open.keys().next().copied().unwrap_or(self.number).saturating_sub(1)
    }

    /// The last height of that batch.
    pub(crate) fn sealed_height(&self) -> Height {
        let first = self.open.values().next().map(|batch| batch.header.first_height);
        first.map_or(self.closed, |first| Height::new(first.get().saturating_sub(1)))
    }

    /// Batches that wait for their signature.
    pub(crate) fn open_batches(&self) -> usize {
        self.open.len()
    }

    /// Bytes of the transactions that they and the growing one hold in memory.
    pub(crate) fn open_bytes(&self) -> u64 {
        self.open.values().map(|batch| batch.bytes).sum::<u64>() + self.growing_bytes
    }

    /// Leaves out what was before and goes on after a batch that the committee signed.
    pub(crate) fn go_on_after(&mut self, last: &BatchHeader) {
        self.growing.clear();
        self.growing_bytes = 0;
        self.open.clear();
        self.early.clear();
        self.recent.clear();
        self.jobs.clear();
        self.number = last.number + 1;
        self.parent = last.id();
        self.closed = last.last_height;
    }

    /// Takes the next decided block; `past` if it was decided long ago.
    pub(crate) fn on_block(&mut self, block: Arc<Block>, past: bool, now: Time) -> Vec<SealingEvent> {
        let seals = block.header.seals_batch;
        self.growing_bytes += transaction_bytes(&block);
        self.growing.push(block);
        if !seals {
            return Vec::new();
        }
        let blocks = std::mem::take(&mut self.growing);
        let bytes = std::mem::take(&mut self.growing_bytes);
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Vec::new() };
        let header = BatchHeader {
            number: self.number,
            parent: self.parent,
            epoch: last.header.epoch,
            first_height: first.header.height,
            last_height: last.header.height,
            last_header: last.header.hash(),
            last_time_ms: last.header.time_ms,
            forced_cursor: last.header.forced_cursor,
            l1_reference: last.header.l1_reference.number,
        };
        self.parent = header.id();
        self.closed = header.last_height;
        self.number += 1;
        let number = header.number;
        let batch = OpenBatch {
            header,
            blocks,
            bytes,
            attempt: 0,
            deadline: now,
            past,
            accepted: BTreeMap::new(),
            checked: BTreeMap::new(),
        };
        self.open.insert(number, batch);
        let mut events = if past { self.ask_again(number, 0, now) } else { self.attempt(number, 0, now) };
        events.extend(self.take_early(number));
        events
    }

    /// The earliest attempt deadline.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.open.values().filter(|batch| self.has_key(batch)).map(|batch| batch.deadline).min()
    }

    /// Begins the next attempt of every batch whose deadline has passed.
    pub(crate) fn on_time(&mut self, now: Time) -> Vec<SealingEvent> {
        let late: Vec<(u64, u8, bool)> = self
            .open
            .values()
            .filter(|b| b.deadline <= now && self.has_key(b))
            .map(|b| (b.header.number, b.attempt, b.past))
            .collect();
        let mut events = Vec::new();
        for (number, attempt, past) in late {
            if past {
                events.extend(self.past_lapsed(number, attempt, now));
                continue;
            }
            // Ourselves too: whoever encodes too slowly for its own deadline is too slow for the others'.
            self.suspects.extend(self.encoder(Turn { number, attempt }));
            events.extend(self.ask_for_signed(number, attempt));
            events.extend(self.attempt(number, attempt.wrapping_add(1), now));
        }
        events
    }

    fn has_key(&self, batch: &OpenBatch) -> bool {
        self.keys.contains_key(&batch.header.epoch)
    }

    /// Of a batch that is open.
    fn encoder(&self, turn: Turn) -> Option<ValidatorId> {
        let members = self.members.get(&self.open.get(&turn.number)?.header.epoch)?;
        let place = turn.number.wrapping_add(u64::from(turn.attempt));
        let index = place.checked_rem(u64::try_from(members.len()).ok()?)?;
        members.get(usize::try_from(index).ok()?).copied()
    }

    fn newest_members(&self) -> &[ValidatorId] {
        self.members.values().next_back().map_or(&[], Vec::as_slice)
    }

    /// Rule 3: the next attempt, with its encoder at work if that is us.
    fn attempt(&mut self, number: u64, attempt: u8, now: Time) -> Vec<SealingEvent> {
        let turn = Turn { number, attempt };
        let encoder = self.encoder(turn);
        let mine = encoder == Some(self.me);
        // When more lapse than can be faulty, it is not their fault: everybody gets the time there is.
        let believable = self.suspects.len() <= faulty(self.newest_members().len());
        let suspect = believable && encoder.is_some_and(|id| self.suspects.contains(&id));
        let Some(batch) = self.open.get_mut(&number) else { return Vec::new() };
        batch.attempt = attempt;
        let patience = ATTEMPT_TIMEOUT * u32::from(attempt.saturating_add(1).min(10));
        batch.deadline = now + if suspect { SUSPECT_TIMEOUT } else { patience };
        if !self.keys.contains_key(&batch.header.epoch) {
            return Vec::new();
        }
        // Also what was accepted before there was a key, or while too much else was being signed.
        let mut events = batch.wanted(&self.domain);
        if mine {
            let (header, blocks) = (batch.header.clone(), batch.blocks.clone());
            let id = self.begin(Work::Encode(turn));
            events.push(SealingEvent::Job(Job::Encode { id, header, blocks }));
        }
        events
    }

    fn past_lapsed(&mut self, number: u64, attempt: u8, now: Time) -> Vec<SealingEvent> {
        if attempt < PAST_ATTEMPTS {
            return self.ask_again(number, attempt + 1, now);
        }
        if let Some(batch) = self.open.get_mut(&number) {
            batch.past = false;
        }
        self.attempt(number, 0, now)
    }

    /// Rule 5.
    fn ask_again(&mut self, number: u64, attempt: u8, now: Time) -> Vec<SealingEvent> {
        if let Some(batch) = self.open.get_mut(&number) {
            batch.attempt = attempt;
            batch.deadline = now + PAST_TIMEOUT;
        }
        // Each batch begins with another peer.
        self.ask_for_signed(number, attempt.wrapping_add((number % 251) as u8))
    }

    /// Rule 4.
    fn ask_for_signed(&self, number: u64, attempt: u8) -> Vec<SealingEvent> {
        // Those who signed it have it; those who are members now may have been given it.
        let epoch = self.open.get(&number).map(|batch| batch.header.epoch);
        let signers = epoch.and_then(|epoch| self.members.get(&epoch)).into_iter().flatten();
        let mut others: Vec<ValidatorId> = signers.copied().filter(|id| *id != self.me).collect();
        let newer = self.newest_members().iter().filter(|id| **id != self.me && !others.contains(id));
        others.extend(newer.copied().collect::<Vec<_>>());
        let Some(peer) = others.get(usize::from(attempt) % others.len().max(1)) else { return Vec::new() };
        vec![SealingEvent::Send(*peer, PeerMessage::WantSealed { number })]
    }

    fn begin(&mut self, work: Work) -> u64 {
        self.next_job += 1;
        self.jobs.insert(self.next_job, work);
        self.next_job
    }

    /// A peer's encoding of a batch.
    pub(crate) fn on_encoding(
        &mut self,
        from: ValidatorId,
        turn: Turn,
        encoded: EncodedBatch,
    ) -> Vec<SealingEvent> {
        if turn.number <= self.last_sealed() {
            return Vec::new();
        }
        if !self.open.contains_key(&turn.number) {
            // Whose turn it is shows when its epoch is known.
            let has_room = self.early.len() < MAX_EARLY || self.early.contains_key(&from);
            if has_room && self.members.values().any(|members| members.contains(&from)) {
                self.early.insert(from, (turn, encoded));
            }
            return Vec::new();
        }
        if self.encoder(turn) != Some(from) {
            return Vec::new();
        }
        self.check(from, turn.number, encoded)
    }

    fn take_early(&mut self, number: u64) -> Vec<SealingEvent> {
        let ready: Vec<ValidatorId> =
            self.early.iter().filter(|(_, (t, _))| t.number <= number).map(|(from, _)| *from).collect();
        let mut events = Vec::new();
        for from in ready {
            if let Some((turn, encoded)) = self.early.remove(&from) {
                events.extend(self.on_encoding(from, turn, encoded));
            }
        }
        events
    }

    fn check(&mut self, from: ValidatorId, number: u64, encoded: EncodedBatch) -> Vec<SealingEvent> {
        let Some(batch) = self.open.get_mut(&number) else { return Vec::new() };
        let digest = batch.digest(&self.domain, &encoded);
        if batch.accepted.contains_key(&Ticket::of(number, digest)) {
            self.suspects.remove(&from);
            return Vec::new();
        }
        // The sender is busy with one already, or another sent the same.
        let busy = self.jobs.values().any(
            |w| matches!(w, Work::Check(n, id, other) if *n == number && (*id == from || **other == encoded)),
        );
        let checked = batch.checked.entry(from).or_default();
        if busy || *checked >= MAX_ENCODINGS {
            return Vec::new();
        }
        *checked += 1;
        let (header, blocks) = (batch.header.clone(), batch.blocks.clone());
        let encoded = Arc::new(encoded);
        let id = self.begin(Work::Check(number, from, Arc::clone(&encoded)));
        vec![SealingEvent::Job(Job::Check { id, header, blocks, encoded })]
    }

    /// A job is done.
    pub(crate) fn on_job(&mut self, result: JobResult) -> Vec<SealingEvent> {
        let id = match &result {
            JobResult::Encoded { id, .. } | JobResult::Checked { id, .. } => *id,
        };
        match (self.jobs.remove(&id), result) {
            (
                Some(Work::Encode(Turn { number, attempt })),
                JobResult::Encoded { result: Ok(encoded), .. },
            ) => {
                let message = PeerMessage::Encoding { number, attempt, encoded: (*encoded).clone() };
                self.suspects.remove(&self.me);
                let Some(epoch) = self.open.get(&number).map(|batch| batch.header.epoch) else {
                    return Vec::new();
                };
                let mut events = vec![SealingEvent::Broadcast(epoch, message)];
                events.extend(self.accept(number, encoded));
                events
            }
            // A fault of our own machine, not of a peer; the next attempt is another member's.
            (Some(Work::Encode(_)), JobResult::Encoded { result: Err(what), .. }) => {
                vec![SealingEvent::Fault { peer: self.me, what }]
            }
            (Some(Work::Check(number, from, encoded)), JobResult::Checked { result, .. }) => match result {
                Ok(()) => {
                    self.suspects.remove(&from);
                    self.accept(number, encoded)
                }
                Err(what) => vec![SealingEvent::Fault { peer: from, what }],
            },
            (Some(Work::Adopt(batch, from)), JobResult::Checked { result, .. }) => match result {
                Ok(()) => self.finish(Arc::new(*batch)),
                Err(what) => vec![SealingEvent::Fault { peer: from, what }],
            },
            _ => Vec::new(),
        }
    }

    fn accept(&mut self, number: u64, encoded: Arc<EncodedBatch>) -> Vec<SealingEvent> {
        let Some(batch) = self.open.get_mut(&number) else { return Vec::new() };
        let digest = batch.digest(&self.domain, &encoded);
        let ticket = Ticket::of(number, digest);
        // What is asked for is not asked for again, nor anything else by its name.
        match batch.accepted.entry(ticket) {
            Entry::Occupied(_) => Vec::new(),
            Entry::Vacant(place) => {
                place.insert(encoded);
                vec![SealingEvent::Sign { epoch: batch.header.epoch, ticket, digest }]
            }
        }
    }

    /// The committee signed an encoding's digest.
    pub(crate) fn signed(&mut self, ticket: Ticket, signature: GroupSignature) -> Vec<SealingEvent> {
        let Some(batch) = self.open.get(&ticket.number) else { return Vec::new() };
        // Without the carrier the signature is of no use; the deadline asks a peer for both.
        let Some(encoded) = batch.accepted.get(&ticket) else { return Vec::new() };
        let sealed = SealedBatch { header: batch.header.clone(), encoded: Arc::clone(encoded), signature };
        self.finish(Arc::new(sealed))
    }

    fn finish(&mut self, sealed: Arc<SealedBatch>) -> Vec<SealingEvent> {
        let number = sealed.header.number;
        let Some(open) = self.open.remove(&number) else { return Vec::new() };
        self.recent.insert(number, Arc::clone(&sealed));
        while self.recent.len() > MAX_RECENT_SEALED {
            self.recent.pop_first();
        }
        vec![SealingEvent::Sealed(sealed, open.blocks)]
    }

    /// A peer missed a signature.
    pub(crate) fn on_want(&self, from: ValidatorId, number: u64) -> Vec<SealingEvent> {
        match self.recent.get(&number) {
            Some(batch) => vec![SealingEvent::Send(from, PeerMessage::Sealed((**batch).clone()))],
            None if number < self.number && !self.open.contains_key(&number) => {
                vec![SealingEvent::Serve { to: from, number }]
            }
            None => Vec::new(),
        }
    }

    /// A peer's answer: a batch that is signed already.
    pub(crate) fn on_sealed(&mut self, from: ValidatorId, batch: SealedBatch) -> Vec<SealingEvent> {
        let Some(open) = self.open.get(&batch.header.number) else { return Vec::new() };
        let Some(key) = self.keys.get(&open.header.epoch) else { return Vec::new() };
        let number = batch.header.number;
        if self.jobs.values().any(|w| matches!(w, Work::Adopt(b, _) if b.header.number == number)) {
            return Vec::new();
        }
        let digest = batch.digest(&self.domain);
        if open.header != batch.header || key.verify(digest, &batch.signature).is_err() {
            let what = format!("batch {number} with a signature that does not verify");
            return vec![SealingEvent::Fault { peer: from, what }];
        }
        let (header, blocks, encoded) =
            (open.header.clone(), open.blocks.clone(), Arc::clone(&batch.encoded));
        let id = self.begin(Work::Adopt(Box::new(batch), from));
        vec![SealingEvent::Job(Job::Check { id, header, blocks, encoded })]
    }
}

fn transaction_bytes(block: &Block) -> u64 {
    block.sections.iter().flat_map(|section| &section.transactions).map(|data| data.len() as u64).sum()
}

/// Keeps the newest, and those that open batches wait for.
fn drop_old<T>(by_epoch: &mut BTreeMap<Epoch, T>, oldest_open: Epoch) {
    while by_epoch.len() > MAX_KEYS && by_epoch.keys().next().is_some_and(|oldest| *oldest < oldest_open) {
        by_epoch.pop_first();
    }
}

#[cfg(test)]
mod tests;
