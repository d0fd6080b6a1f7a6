//! The sender: transactions on schedule, over all nodes in turn, and again elsewhere where no answer comes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

use super::book::{Book, Offer};
use super::pace::Pace;
use super::source::Source;
use crate::observe::locked;

/// How often the schedule is looked at.
const TICK: Duration = Duration::from_millis(2);
/// A transaction is sent at most this often.
const MAX_TRIES: u8 = 20;
/// How often transactions without an answer are looked for.
const SWEEP: Duration = Duration::from_millis(150);
/// A node that left a transaction without an answer gets no new ones for so long.
const SUSPECT_FOR: Duration = Duration::from_secs(3);

/// The way to one node.
pub(super) struct Way {
    /// To its session.
    pub(super) queue: mpsc::Sender<Offer>,
    /// Tells the session that the node left a transaction without an answer.
    pub(super) silent: Arc<Notify>,
    /// When it last did.
    pub(super) suspect: Option<Instant>,
}

/// Offers transactions on schedule, over all nodes in turn.
pub(super) struct Sender {
    ways: Vec<Way>,
    book: Arc<Mutex<Book>>,
    patience: Duration,
    tag: u64,
    turn: usize,
}

impl Sender {
    pub(super) const fn new(ways: Vec<Way>, book: Arc<Mutex<Book>>, patience: Duration) -> Self {
        Self { ways, book, patience, tag: 0, turn: 0 }
    }

    pub(super) async fn run(mut self, streams: Vec<(Source, f64)>, mut offering: watch::Receiver<bool>) {
        if offering.wait_for(|begun| *begun).await.is_err() {
            return;
        }
        let start = Instant::now();
        let mut streams: Vec<(Source, Pace)> =
            streams.into_iter().map(|(source, rate)| (source, Pace::new(start, rate))).collect();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut swept = start;
        loop {
            ticks.tick().await;
            if *offering.borrow() {
                for (source, pace) in &mut streams {
                    self.offer_due(source, pace);
                }
            }
            let now = Instant::now();
            if now.duration_since(swept) >= SWEEP {
                swept = now;
                self.send_again(now);
            }
        }
    }

    fn offer_due(&mut self, source: &mut Source, pace: &mut Pace) {
        while let Some(scheduled) = pace.due(Instant::now()) {
            let Some(data) = source.take() else { return };
            self.tag += 1;
            let offer = Offer { tag: self.tag, rollup: source.rollup(), data };
            let now = Instant::now();
            let via = self.next_node(now);
            if locked(&self.book).offer(offer.clone(), via, scheduled, now) {
                self.send(offer, via);
            }
        }
    }

    fn next_node(&mut self, now: Instant) -> usize {
        let count = self.ways.len().max(1);
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let trusted = |index: &usize| {
            let suspect = self.ways.get(*index).and_then(|way| way.suspect);
            suspect.is_none_or(|since| now.duration_since(since) >= SUSPECT_FOR)
        };
        let mut candidates = (0..count).map(|step| (turn + step) % count);
        candidates.find(trusted).unwrap_or(turn % count)
    }

    /// A full queue is a node that does not take anything: what it would have got is sent again elsewhere in time.
    fn send(&self, offer: Offer, via: usize) {
        if let Some(way) = self.ways.get(via) {
            let _ = way.queue.try_send(offer);
        }
    }

    fn send_again(&mut self, now: Instant) {
        let count = self.ways.len().max(1);
        let mut silent = Vec::new();
        let overdue = locked(&self.book).overdue(self.patience, MAX_TRIES, now, |via| {
            silent.push(via);
            (via + 1) % count
        });
        for via in silent {
            let Some(way) = self.ways.get_mut(via) else { continue };
            // Not while it is under suspicion already: opening a session takes its time.
            if way.suspect.is_none_or(|since| now.duration_since(since) >= SUSPECT_FOR) {
                way.suspect = Some(now);
                way.silent.notify_one();
            }
        }
        for (offer, via) in overdue {
            self.send(offer, via);
        }
    }
}
