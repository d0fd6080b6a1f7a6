//! Spreading chunks: cutting own ones, storing peers', reporting, fetching what is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordering_types::cut::MAX_CUT_LANES;
use ordering_types::{Chunk, LaneId, LaneSequence, LaneTip, SystemMessage, Time, ValidatorId};

use super::Ordering;
use super::orderable::Orderable;
use crate::agreement::Agreement;
use crate::api::{Class, Output, Recipient, Record, StoreRequest};
use crate::lane::store::{Claim, Held, MAX_UNDECIDED_BYTES, MAX_UNDECIDED_CHUNKS, Refused};
use crate::planted::PlantedBug;
use crate::wire::{FetchChunk, Message, Report, Stamp};

/// Most ancestors that one request brings.
const MAX_ANCESTORS: u64 = 64;
/// A named chunk that may be on its way is waited for no longer than so many retries take.
const MAX_PATIENCE: u32 = 3;
/// Who follows asks so many times as often how far the others are: nobody tells it otherwise.
const FOLLOWS_FASTER: u32 = 4;
/// Reports to the next leader while one height runs.
const REPORTS_A_HEIGHT: u32 = 32;
/// An answer ends after so many bytes of chunks.
const MAX_SERVED_BYTES: usize = 2 << 20;

impl Ordering {
    pub(super) fn send(&mut self, to: Recipient, class: Class, message: &Message) {
        self.outputs.push_back(Output::Send { to, class, bytes: message.encode(), after_sync: false });
    }

    pub(super) fn recover_chunks(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            if self.admits_lane(chunk.lane()) {
                let decided = self.state.tip(chunk.lane());
                // A logged cut may name any of them. What does not fit any more was never needed.
                let _ = self.store.insert(chunk, Claim::OWN, decided, &self.rules);
            }
        }
        self.store.drop_dead();
    }

    pub(super) fn admits_lane(&self, lane: LaneId) -> bool {
        self.state.has_lane(lane.validator, &self.rules) && self.state.is_open(lane)
    }

    /// Cuts and sends chunks while they are due and the lane has room.
    pub(super) fn cut_chunks(&mut self, now: Time) {
        while self.chunk_deadline().is_some_and(|due| due <= now) {
            let transactions = self.buffer.take(now, &self.rules, &self.settings);
            let (sequence, parent) = self.own.next();
            let chunk = Chunk::new(self.own.id, sequence, parent, &transactions)
                .expect("the buffer takes only what fits into a chunk");
            let message = Message::Chunk(chunk.clone());
            let decided = self.state.tip(self.own.id);
            let stored = self.store.insert(chunk.clone(), Claim::OWN, decided, &self.rules);
            debug_assert!(stored.is_ok(), "an own chunk is always stored: {stored:?}");
            self.own.push(stored.unwrap_or_else(|_| Arc::new(Held::new(chunk.clone(), &self.rules))));
            self.outputs.push_back(Output::Persist(Record::Chunk(chunk)));
            self.send(Recipient::All, Class::Chunks, &message);
            self.lane_grew(now, self.own.id);
        }
        self.pace.cut_at.take_if(|at| *at <= now);
    }

    /// When the next own chunk is due; none while the lane's backlog is full.
    ///
    /// While heights follow each other closely, a chunk is cut just before the next one begins, so that the others hold it by then. Cut
    /// sooner, it would wait there instead of growing here.
    pub(super) fn chunk_deadline(&self) -> Option<Time> {
        let (chunks, bytes) = self.store.backlog(self.own.id);
        // Peers count from their own decided tip, which may be behind: stay well below their limits.
        let full = chunks as u64 >= MAX_UNDECIDED_CHUNKS / 2 || bytes >= MAX_UNDECIDED_BYTES / 2;
        if full || !self.state.has_lane(self.me, &self.rules) {
            return None;
        }
        self.buffer.deadline(&self.rules, &self.settings, |since| {
            let soon = since + self.settings.chunk_delay;
            match (self.pace.lockstep(&self.settings), self.pace.cut_at) {
                (Some(_), Some(at)) => since.max(at),
                (Some(interval), None) => soon.max(self.pace.last_start + interval * 2),
                (None, _) => soon,
            }
        })
    }

    /// A chunk from its owner.
    pub(super) fn take_chunk(&mut self, now: Time, from: ValidatorId, chunk: Chunk) {
        if chunk.lane().validator != from || !self.admits_lane(chunk.lane()) {
            return self.fault(from);
        }
        self.store_chunk(now, from, chunk, true);
    }

    /// A chunk that was asked for: by its digest, or as an ancestor of one that is held, or of its owner. From anybody else its place alone
    /// proves nothing: found by the simulator, a peer that was asked for an ancestor put transactions of its own into an honest
    /// validator's lane.
    pub(super) fn take_fetched(&mut self, now: Time, from: ValidatorId, chunk: Chunk) {
        let mut next = Some((from, chunk));
        while let Some((from, chunk)) = next.take() {
            if !self.fetch.expects(from, &chunk) || !self.admits_lane(chunk.lane()) {
                return;
            }
            let owned = chunk.lane().validator == from;
            if owned || self.fetch.wants(chunk.digest()) || self.store.is_parent(&chunk) {
                let (parent, vouched) = (chunk.parent(), owned || self.fetch.reported(chunk.digest()));
                self.store_chunk(now, from, chunk, vouched);
                next = self.fetch.take_early(parent);
            } else {
                self.fetch.keep_early(from, chunk);
            }
        }
    }

    fn store_chunk(&mut self, now: Time, from: ValidatorId, chunk: Chunk, vouched: bool) {
        let (lane, digest) = (chunk.lane(), chunk.digest());
        let named = self.fetch.named(digest);
        if vouched && self.store.vouch(digest) {
            // It was held for a cut only, and counts from now on.
            self.lane_grew(now, lane);
        }
        let decided = self.state.tip(lane);
        self.fetch.arrived(digest);
        match self.store.insert(chunk.clone(), Claim { named, vouched }, decided, &self.rules) {
            Ok(_) => {
                if !self.settings.lacks(PlantedBug::ChunkNotStored) {
                    self.outputs.push_back(Output::Persist(Record::Chunk(chunk)));
                }
                self.lane_grew(now, lane);
            }
            Err(Refused::Known) => return,
            Err(refused) => {
                if refused.is_fault() {
                    self.fault(from);
                }
                if !named {
                    return;
                }
                self.unusable.insert(digest);
            }
        }
        if named {
            self.judge_all(now);
        }
    }

    /// A peer's progress.
    pub(super) fn take_report(&mut self, now: Time, from: ValidatorId, report: &Report) {
        // Who follows asks in this way how far the others are.
        if self.committee().key(from).is_none() && report.decided < self.state.height {
            self.tell_decided(now, from);
        }
        // Of those who have just left, lanes are still ordered.
        if !self.state.has_lane(from, &self.rules) {
            return;
        }
        self.progress.report(from, report);
        report.lanes.iter().for_each(|tip| self.orderable.heard_of(tip.lane));
        if self.pace.gap.is_none() {
            let beyond = self.progress.beyond(&self.store);
            if !beyond.is_empty() {
                self.pace.gap = Some((now + self.settings.retry_delay, beyond));
            }
        }
    }

    /// Fetches what was reported a while ago and has not come by itself.
    pub(super) fn close_gaps(&mut self, now: Time) {
        if crate::sync::is_far(self.state.height, self.heard_height()) {
            // Lanes are beyond what may be stored; value sync brings what is decided of them.
            self.pace.gap = None;
            return;
        }
        let Some((due, gaps)) = &self.pace.gap else { return };
        if *due > now {
            return;
        }
        for (tip, holder) in gaps.clone() {
            let held = self.store.held_sequence(tip.lane).max(self.state.tip(tip.lane).0);
            if tip.sequence <= held || !self.admits_lane(tip.lane) {
                continue;
            }
            let missing = self.store.gap(&tip);
            // What is held beyond the gap may be of a branch that was overruled and that nobody has any more.
            let in_vain = self.fetch.wants(missing.digest);
            let wanted = [Some(missing), (in_vain && missing != tip).then_some(tip)];
            for missing in wanted.into_iter().flatten() {
                if missing.sequence > held && self.store.get(missing.digest).is_none() {
                    let ancestors = (missing.sequence.get() - held.get() - 1).min(MAX_ANCESTORS);
                    let ancestors = u8::try_from(ancestors).unwrap_or(0);
                    self.fetch.want(missing, ancestors, false, now, vec![holder]);
                }
            }
        }
        let beyond = self.progress.beyond(&self.store);
        self.pace.gap = (!beyond.is_empty()).then(|| (now + self.settings.retry_delay, beyond));
    }

    pub(super) fn send_fetches(&mut self, now: Time) {
        if !self.is_syncing() {
            for owner in self.fetch.late(now) {
                self.punctual.was_late(owner, self.height());
            }
        }
        for request in self.fetch.due(now, self.settings.retry_delay, &self.peers) {
            let message =
                Message::FetchChunk(FetchChunk { digest: request.digest, ancestors: request.ancestors });
            self.send(Recipient::One(request.to), Class::Chunks, &message);
        }
    }

    /// Wants a chunk that a cut names; `below` is where the lane stands.
    pub(super) fn want_named(
        &mut self,
        now: Time,
        tip: &LaneTip,
        (sequence, digest): (LaneSequence, ordering_types::Digest),
        from: Option<ValidatorId>,
    ) {
        let below = self.store.held_sequence(tip.lane).max(self.state.tip(tip.lane).0);
        let missing = sequence.get().saturating_sub(below.get()).saturating_sub(1);
        let mut hints: Vec<ValidatorId> = from.into_iter().collect();
        hints.extend(self.progress.holders(tip.lane, sequence));
        hints.retain(|id| *id != self.me);
        hints.truncate(4);
        let ancestors = u8::try_from(missing.min(MAX_ANCESTORS)).unwrap_or(0);
        // A chunk on its way needs no fetch, and on long ways it is longer on it.
        // A height that took several rounds says nothing of the way.
        let longest = self.settings.retry_delay * MAX_PATIENCE;
        let patience = (self.pace.last_duration / 4).clamp(self.settings.retry_delay / 4, longest);
        let due = if self.is_syncing() { now } else { now + patience };
        let missing = LaneTip { lane: tip.lane, sequence, digest };
        self.fetch.want(missing, ancestors, true, due, hints);
    }

    pub(super) fn serve_chunk(&mut self, to: ValidatorId, request: FetchChunk) {
        self.note_late(request.digest);
        let (mut digest, mut bytes) = (request.digest, 0);
        for place in 0..=u64::from(request.ancestors).min(MAX_ANCESTORS) {
            let Some(held) = self.store.get(digest) else {
                if place == 0 {
                    let request = StoreRequest::Chunk(digest);
                    self.outputs.push_back(Output::Serve { to, request });
                }
                return;
            };
            bytes += held.chunk.bytes().len();
            if place > 0 && bytes > MAX_SERVED_BYTES {
                return;
            }
            digest = held.chunk.parent();
            let message = Message::FetchedChunk(held.chunk.clone());
            self.send(Recipient::One(to), Class::Chunks, &message);
        }
    }

    /// Somebody asks for a chunk. If another member cut it and no block holds it yet, a cut of ours may have named it too early.
    fn note_late(&mut self, digest: ordering_types::Digest) {
        let Some(held) = self.store.get(digest) else { return };
        let (lane, sequence) = (held.chunk.lane(), held.chunk.sequence());
        if lane.validator != self.me && sequence > self.state.tip(lane).0 {
            self.punctual.was_late(lane.validator, self.height());
        }
    }

    /// Own system message.
    pub(super) fn say(&mut self, payload: Vec<u8>) {
        let decided = self.state.replayed.system.get(&self.me).copied().unwrap_or_default();
        self.orderable = Orderable::Unknown;
        match self.system.say(payload, decided, &self.key) {
            Some(message) => self.spread_system(message),
            None => self.refused_system += 1,
        }
    }

    /// Waits for the disk: whoever has something said may have persisted the secret behind it just before.
    pub(super) fn spread_system(&mut self, message: SystemMessage) {
        let bytes = Message::System(message).encode();
        let (to, class) = (Recipient::All, Class::Consensus);
        self.outputs.push_back(Output::Send { to, class, bytes, after_sync: true });
    }

    /// More of a lane counts as held than before.
    fn lane_grew(&mut self, now: Time, lane: LaneId) {
        self.orderable.heard_of(lane);
        self.report_soon(now);
    }

    /// There is news: of own chunks, of peers', or a block.
    pub(super) fn report_soon(&mut self, now: Time) {
        // Nobody proposes while a height runs, and when it ends there is more news.
        if !self.is_running() || self.pace.lockstep(&self.settings).is_none() {
            // Where heights take long, some milliseconds more are little, and save many messages.
            let delay = self.settings.progress_delay.max(self.pace.last_duration / REPORTS_A_HEIGHT);
            self.pace.report_due.get_or_insert(now + delay.min(self.settings.spread_delay));
        }
        self.pace.spread_due.get_or_insert(now + self.settings.spread_delay);
    }

    /// Reports progress when there is news, and as a heartbeat; a heartbeat also repeats what may have been lost.
    ///
    /// Only the leader of the next height needs to know what others hold, and it hears soon: all once, and then what is new. The others begin
    /// that height when its proposal comes. They are told when it did not begin as soon as it should have, and when nothing was
    /// decided for a while; otherwise their heartbeat only says where the sender's own lanes end. So a node's reports come to
    /// O(n) bytes a height; all lanes to all peers would be O(n²).
    pub(super) fn report(&mut self, now: Time) {
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        let heartbeat = self.pace.status_due <= now;
        if heartbeat {
            let interval = self.settings.status_interval;
            self.pace.status_due = now + if self.is_member() { interval } else { interval / FOLLOWS_FASTER };
            let again: Vec<SystemMessage> = self.system.to_send().cloned().collect();
            for message in again {
                self.spread_system(message);
            }
        }
        let patience = self.settings.status_interval.max(self.pace.last_duration * 2);
        let stands_still = now.since(self.pace.last_block) >= patience;
        if is_due(self.spread_deadline()) || (heartbeat && stands_still) {
            (self.pace.report_due, self.pace.spread_due) = (None, None);
            let report = self.own_report(now);
            return self.send(Recipient::All, Class::Chunks, &report);
        }
        if heartbeat {
            let lanes = self.store.heads().filter(|tip| tip.lane.validator == self.me).collect();
            let report = self.report_of(now, false, lanes);
            self.send(Recipient::All, Class::Chunks, &report);
        }
        if is_due(self.pace.report_due) {
            self.pace.report_due = None;
            self.report_to_leader(now);
        }
    }

    /// When everybody is told what is new: not before the next height can be expected to have begun, nor while one runs, unless it waits for
    /// its proposal for longer than that takes. Others may not know yet that there is something to order, and each that begins late
    /// waits for a dead leader as long again.
    pub(super) fn spread_deadline(&self) -> Option<Time> {
        let due = self.pace.spread_due?;
        if self.is_running() {
            let patience = self.settings.spread_delay.max(self.pace.last_duration);
            return self.proposal_deadline().map(|_| due.max(self.pace.last_start + patience));
        }
        // Twice, because a node that began the last height late, by its proposal, saw little of it.
        let expected = (self.pace.last_duration * 2).min(self.settings.status_interval);
        Some(due.max(self.pace.last_block + expected))
    }

    fn report_to_leader(&mut self, now: Time) {
        // The leader of a running height has proposed, or soon will, what it knows now.
        let next = if self.is_running() { self.height().next() } else { self.height() };
        let leader = self.rotation.leader(next, ordering_types::Round::new(0));
        if leader == self.me || !self.is_member() {
            return;
        }
        let heads: BTreeMap<LaneId, LaneTip> =
            self.store.heads().take(MAX_CUT_LANES).map(|tip| (tip.lane, tip)).collect();
        let told = self.pace.told_leader.replace((leader, heads.clone()));
        let told = told.filter(|(to, _)| *to == leader).map(|(_, told)| told);
        let is_news = |tip: &&LaneTip| told.as_ref().is_none_or(|told| told.get(&tip.lane) != Some(*tip));
        let lanes: Vec<LaneTip> = heads.values().filter(is_news).copied().collect();
        let report = self.report_of(now, told.is_none(), lanes);
        self.send(Recipient::One(leader), Class::Chunks, &report);
    }

    fn own_report(&self, now: Time) -> Message {
        self.report_of(now, true, self.store.heads().take(MAX_CUT_LANES).collect())
    }

    fn report_of(&self, now: Time, whole: bool, lanes: Vec<LaneTip>) -> Message {
        let stamp = Stamp { incarnation: self.own.id.incarnation, time: now };
        Message::Report(Report { stamp, decided: self.state.height, sealed: self.sealed, whole, lanes })
    }

    /// A peer speaks of a height that is decided here: tell it so, but not at every word.
    pub(super) fn tell_decided(&mut self, now: Time, to: ValidatorId) {
        let last = self.pace.told.get(&to).copied().unwrap_or_default();
        if now.since(last) >= self.settings.retry_delay {
            self.pace.told.insert(to, now);
            let report = self.report_of(now, false, Vec::new());
            self.send(Recipient::One(to), Class::Chunks, &report);
        }
    }

    /// Whether agreement may be told things of this height.
    pub(super) fn is_open_height(&self, height: ordering_types::Height) -> bool {
        height == self.height() && height == self.agreement.height()
    }
}
