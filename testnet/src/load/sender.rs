//! The sender: transactions on schedule, over all nodes in turn, and again elsewhere where no answer comes.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};

use super::book::{Book, Due, Offer};
use super::pace::Pace;
use super::source::Source;
use crate::observe::locked;

/// How often the schedule is looked at.
const TICK: Duration = Duration::from_millis(2);
/// Transactions offered under one lock.
const BATCH: usize = 512;
/// A transaction is sent at most this often.
const MAX_TRIES: u8 = 20;
/// How often transactions without an answer are looked for.
const SWEEP: Duration = Duration::from_millis(150);
/// A node that left a transaction without an answer gets no new ones for so long.
const SUSPECT_FOR: Duration = Duration::from_secs(3);

/// A node outside the committee gets none for so long; then it may be a member.
const OUTSIDE_FOR: Duration = Duration::from_secs(2);

/// The way to one node.
pub(super) struct Way {
    /// To its session.
    pub(super) queue: mpsc::Sender<Vec<Offer>>,
    /// Tells the session that the node left a transaction without an answer.
    pub(super) silent: Arc<Notify>,
    /// When it last did.
    pub(super) suspect: Option<Instant>,
    /// When the node last said that it is not in the committee.
    pub(super) outside: Arc<Mutex<Option<Instant>>>,
}

impl Way {
    /// Whether new transactions had better go elsewhere.
    fn is_bad(&self, now: Instant) -> bool {
        self.is_suspect(now) || self.is_outside(now)
    }

    fn is_suspect(&self, now: Instant) -> bool {
        self.suspect.is_some_and(|since| now.duration_since(since) < SUSPECT_FOR)
    }

    fn is_outside(&self, now: Instant) -> bool {
        locked(&self.outside).is_some_and(|since| now.duration_since(since) < OUTSIDE_FOR)
    }
}

/// Offers transactions on schedule, over all nodes in turn, or each to all nodes.
pub(super) struct Sender {
    ways: Vec<Way>,
    book: Arc<Mutex<Book>>,
    patience: Duration,
    everywhere: bool,
    tag: u64,
    turn: usize,
}

impl Sender {
    pub(super) const fn new(
        ways: Vec<Way>,
        book: Arc<Mutex<Book>>,
        patience: Duration,
        everywhere: bool,
    ) -> Self {
        Self { ways, book, patience, everywhere, tag: 0, turn: 0 }
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

    /// Takes what is due in batches: one lock of the books and one message to each session for many transactions.
    fn offer_due(&mut self, source: &mut Source, pace: &mut Pace) {
        loop {
            let now = Instant::now();
            let trusted = self.trusted(now);
            let mut due = Vec::new();
            while due.len() < BATCH {
                let Some(scheduled) = pace.due(now) else { break };
                let Some(data) = source.take() else { break };
                self.tag += 1;
                let offer = Offer { tag: self.tag, rollup: source.rollup(), data };
                let via = trusted.get(self.turn % trusted.len().max(1)).copied().unwrap_or_default();
                self.turn = self.turn.wrapping_add(1);
                due.push(Due::new(offer, via, scheduled));
            }
            if due.is_empty() {
                return;
            }
            let more = due.len() == BATCH;
            locked(&self.book).offer(&mut due, now);
            self.send(due.into_iter().map(|due| (due.offer, due.via)));
            if !more {
                return;
            }
        }
    }

    /// Members of the committee that are not under suspicion, as far as is known, or all if there is none.
    fn trusted(&self, now: Instant) -> Vec<usize> {
        let ways = self.ways.iter().enumerate();
        let trusted: Vec<usize> = ways.filter(|(_, way)| !way.is_bad(now)).map(|(index, _)| index).collect();
        if trusted.is_empty() { (0..self.ways.len()).collect() } else { trusted }
    }

    /// One message to each session. A full queue is a node that does not take anything: what it would have got is sent again
    /// elsewhere in time.
    fn send(&self, offers: impl Iterator<Item = (Offer, usize)>) {
        let mut batches: Vec<Vec<Offer>> = vec![Vec::new(); self.ways.len()];
        for (offer, via) in offers {
            if self.everywhere {
                batches.iter_mut().for_each(|batch| batch.push(offer.clone()));
            } else if let Some(batch) = batches.get_mut(via) {
                batch.push(offer);
            }
        }
        for (way, batch) in self.ways.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            let _ = way.queue.try_send(batch);
        }
    }

    fn send_again(&mut self, now: Instant) {
        let trusted = self.trusted(now);
        let mut silent = Vec::new();
        let overdue = locked(&self.book).overdue(self.patience, MAX_TRIES, now, |via| {
            silent.push(via);
            // The next one that is any good.
            let next = trusted.iter().find(|other| **other > via).or(trusted.first());
            next.copied().unwrap_or_default()
        });
        for via in silent {
            let Some(way) = self.ways.get_mut(via) else { continue };
            // Not while it is under suspicion already: opening a session takes its time. Who is outside the committee has answered.
            if !way.is_bad(now) {
                way.suspect = Some(now);
                way.silent.notify_one();
            }
        }
        self.send(overdue.into_iter());
    }
}
