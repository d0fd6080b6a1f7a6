//! What happens by itself: timers, and the start of heights.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::{LaneId, LaneTip, Time, ValidatorId};

use super::Ordering;
use crate::agreement::{Agreement, Event, HeightRules};
use crate::api::{Class, Recipient};
use crate::settings::Settings;
use crate::sync::{Delays, Lag};
use crate::wire::Message;

/// A height that took so long is followed by the next this many hundredths of it later, if that is not too soon or late.
const UNHURRIED_PERCENT: u32 = 150;

/// A chunk is cut so long before the next height may begin: others have to hold it by then.
const CHUNK_LEAD: Duration = Duration::from_micros(1_200);
/// And a big one earlier: so many bytes of one are hashed, written and sent in a microsecond.
const CHUNK_BYTES_PER_MICRO: usize = 16;

/// Times of the last and next things that happen by themselves.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) last_block: Time,
    pub(super) last_start: Time,
    /// From the start of the newest height to its decision.
    pub(super) last_duration: Duration,
    /// From the start of the one before to the start of the newest height.
    pub(super) last_interval: Duration,
    /// When to cut what has come since the last height, for the next.
    pub(super) cut_at: Option<Time>,
    pub(super) report_due: Option<Time>,
    pub(super) spread_due: Option<Time>,
    pub(super) status_due: Time,
    pub(super) gap: Option<(Time, Vec<(LaneTip, ValidatorId)>)>,
    pub(super) proposal_ask: Time,
    pub(super) proposal_attempts: usize,
    pub(super) round_seen: ordering_types::Round,
    pub(super) told: BTreeMap<ValidatorId, Time>,
    /// Whom the last report for a leader went to, and what it has been told of each lane by now.
    pub(super) told_leader: Option<(ValidatorId, BTreeMap<LaneId, LaneTip>)>,
}

impl Pace {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            last_block: now,
            last_start: now,
            last_duration: Duration::ZERO,
            last_interval: Duration::MAX,
            cut_at: None,
            report_due: None,
            spread_due: None,
            status_due: now,
            gap: None,
            proposal_ask: now,
            proposal_attempts: 0,
            round_seen: ordering_types::Round::new(0),
            told: BTreeMap::new(),
            told_leader: None,
        }
    }

    /// How far apart heights begin, while they follow each other closely.
    pub(super) fn lockstep(&self, settings: &Settings) -> Option<Duration> {
        (self.last_interval <= settings.lockstep_interval).then_some(self.last_interval)
    }
}

impl Ordering {
    /// Does all that is due.
    pub(super) fn advance(&mut self, now: Time) {
        if self.stopped {
            return;
        }
        if self.is_running() && self.agreement.next_deadline().is_some_and(|due| due <= now) {
            let _ = self.tell(now, Event::Wake);
        }
        self.drain_agreement(now);
        self.recall(now);
        self.judge_late(now);
        self.take_early(now);
        self.cut_chunks(now);
        self.close_gaps(now);
        self.apply_proven(now);
        self.catch_up(now);
        if !self.is_running() {
            self.look_for_orderable();
        }
        while !self.stopped && self.next_start(now).is_some_and(|due| due <= now) {
            self.start_height(now);
        }
        self.note_round(now);
        self.ask_for_proposal(now);
        self.send_fetches(now);
        self.report(now);
    }

    pub(super) fn start_height(&mut self, now: Time) {
        self.pace.last_interval = now.since(self.pace.last_start);
        self.pace.last_start = now;
        self.pace.proposal_ask = now + self.settings.retry_delay;
        self.pace.proposal_attempts = 0;
        self.pace.round_seen = ordering_types::Round::new(0);
        self.recover_cuts(now);
        let (epoch, committee) = (self.state.epoch(), Arc::clone(self.committee()));
        let rules = HeightRules { epoch, committee, rotation: self.rotation.clone() };
        self.agreement.start_height(now, self.height(), rules);
        self.drain_agreement(now);
        self.feed_early(now);
    }

    /// A new round gives its proposer the time that the first had.
    fn note_round(&mut self, now: Time) {
        if self.is_running() && self.agreement.round() != self.pace.round_seen {
            self.pace.round_seen = self.agreement.round();
            self.pace.proposal_ask = now + self.settings.retry_delay;
            self.pace.proposal_attempts = 0;
        }
    }

    /// When the next height starts by itself; none while one runs, or while the committee is known to be further.
    fn next_start(&self, now: Time) -> Option<Time> {
        if self.is_running() || self.silence().is_some() {
            return None;
        }
        if self.agreement.has_log(self.height()) {
            return Some(now);
        }
        if self.is_syncing() {
            return None;
        }
        let idle = Duration::from_millis(u64::from(self.rules.limits.idle_block_interval_ms));
        let idle = self.pace.last_block + idle;
        let soonest = self.pace.last_start + self.pause();
        if self.has_orderable() {
            return Some(soonest.min(idle));
        }
        let batch = &self.state.replayed.batch;
        let sealing = (batch.transactions > 0).then(|| {
            let interval = u64::from(self.rules.limits.batch_interval_ms);
            Time::from_millis(batch.first_time_ms.saturating_add(interval)).max(soonest)
        });
        Some(sealing.map_or(idle, |sealing| sealing.min(idle)))
    }

    /// From the start of one height to that of the next. When heights take long because the machine has no time for them, fewer
    /// and larger ones leave it more. Nor is any hurry of use that fills a batch before its time: L1 takes no more for that.
    fn pause(&self) -> Duration {
        let Settings { block_interval, block_bytes, .. } = self.settings;
        if self.store.undecided_bytes() < block_bytes { block_interval } else { self.shortest_pause() }
    }

    /// The same, with much to order.
    fn shortest_pause(&self) -> Duration {
        let Settings { block_interval, shortest_block_interval, .. } = self.settings;
        let limits = &self.rules.limits;
        let batch_interval = Duration::from_millis(limits.batch_interval_ms.into());
        let shortest = shortest_block_interval.max(batch_interval / limits.blocks_per_batch.max(1));
        (self.pace.last_duration * UNHURRIED_PERCENT / 100).max(shortest).min(block_interval)
    }

    /// A height has ended. What is cut just before the next begins holds all that came until then.
    pub(super) fn end_height(&mut self, now: Time) {
        self.pace.last_block = now;
        self.pace.last_duration = now.since(self.pace.last_start);
        let lead = CHUNK_LEAD + Duration::from_micros((self.buffer.bytes() / CHUNK_BYTES_PER_MICRO) as u64);
        let wait = self.shortest_pause().saturating_sub(lead);
        self.pace.cut_at = Some(now.max(self.pace.last_start + wait));
    }

    /// Asks peers for heights that they decided and we did not, or for a checkpoint if these are too many.
    fn catch_up(&mut self, now: Time) {
        let (tip, heard) = (self.state.height, self.heard_height());
        let ahead = self.progress.ahead(self.height());
        if self.wants_checkpoint(now, heard, &ahead) {
            self.sync.rest(now);
            return;
        }
        let lag = Lag { tip, ahead: &ahead, heard, follows: !self.is_member() };
        while let Some((to, request)) = self.sync.ask(now, lag, self.sync_delays()) {
            self.send(Recipient::One(to), Class::Sync, &Message::FetchDecided(request));
        }
    }

    pub(super) fn sync_delays(&self) -> Delays {
        let grace = self.settings.retry_delay;
        Delays { grace, turn: grace * 3 }
    }

    /// When [`Input::Wake`](crate::api::Input::Wake) is due.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.stopped {
            return None;
        }
        let agreement = if self.is_running() { self.agreement.next_deadline() } else { None };
        [
            agreement,
            self.restart.next_deadline(),
            self.candidate_deadline(),
            self.chunk_deadline(),
            self.pace.gap.as_ref().map(|(due, _)| *due),
            self.sync.next_deadline(self.settings.retry_delay),
            self.state_sync.next_deadline(),
            self.next_start(self.pace.last_block),
            self.proposal_deadline(),
            self.fetch.next_deadline(),
            self.pace.report_due,
            self.spread_deadline(),
            Some(self.pace.status_due),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
