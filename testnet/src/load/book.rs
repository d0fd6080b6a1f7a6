//! The client's books: what was offered, what came of it, and how long that took. Pure; time is an argument.
//!
//! Latency runs from the moment a transaction was *scheduled*, not from when it could be sent: a stall of the client
//! or of the network is felt by everything that was due meanwhile (open loop).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use ordering_types::transaction::tx_id;
use ordering_types::{Digest, RollupId, TxId};

use super::keyed::{Keyed, keyed};
use super::outage::Sample;

/// Most transactions that may wait for an answer; beyond it nothing more is sent, and that counts as not ordered.
const MAX_PENDING: usize = 500_000;
/// Most heights whose soft confirmation is waited for.
const MAX_UNCERTIFIED: usize = 100_000;
/// Most heights whose header hash is remembered, to be compared with what other nodes tell.
const MAX_HEADERS: usize = 100_000;
/// Most heights whose number of transactions is remembered.
const MAX_HEIGHTS: usize = 1_000_000;
/// Most receipts remembered for the measurement of pauses.
const MAX_RECEIPTS: usize = 4_000_000;
/// Most transactions whose own latency is remembered.
const MAX_SAMPLES: usize = 4_000_000;
/// What a node cannot take now is sent elsewhere after this time.
const TRY_AGAIN: Duration = Duration::from_millis(300);
/// Longest latency that is told apart from longer ones, in microseconds: ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// Receipts of the last so long make up the rate that is shown.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// A transaction on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The client's own number of it.
    pub tag: u64,
    /// For which rollup.
    pub rollup: RollupId,
    /// Its bytes.
    pub data: Bytes,
}

/// A transaction that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// What.
    pub offer: Offer,
    /// Its id: hashed by who offers it, not under the lock of the books.
    pub id: TxId,
    /// Index of the node that it goes to.
    pub via: usize,
    /// When it was due.
    pub scheduled: Instant,
}

impl Due {
    /// Hashes it.
    pub fn new(offer: Offer, via: usize, scheduled: Instant) -> Self {
        Self { id: tx_id(&offer.data), offer, via, scheduled }
    }
}

/// A transaction without an answer yet.
#[derive(Clone, Debug)]
struct Pending {
    scheduled: Instant,
    sent: Instant,
    tries: u8,
    /// Index of the node that it was sent to last.
    via: usize,
    offer: Offer,
}

/// What one block told about one rollup.
pub type Section = (RollupId, Vec<TxId>);

/// Everything that clients were told, for the judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Header hash of every height, in order from the first followed.
    pub headers: BTreeMap<u64, Digest>,
    /// Every rollup's transactions with their heights, in order.
    pub ordered: BTreeMap<RollupId, Vec<(u64, TxId)>>,
}

impl Ledger {
    fn note(&mut self, height: u64, header: Digest, sections: &[Section]) {
        self.headers.insert(height, header);
        for (rollup, ids) in sections {
            self.ordered.entry(*rollup).or_default().extend(ids.iter().map(|id| (height, *id)));
        }
    }
}

/// The books of one client.
pub struct Book {
    pending: Keyed<TxId, Pending>,
    tags: Keyed<u64, TxId>,
    uncertified: BTreeMap<u64, Vec<Instant>>,
    receipts: Vec<(Instant, u32)>,
    /// Header hashes of the newest heights.
    headers: BTreeMap<u64, Digest>,
    /// Transactions of every block that has any, of all rollups.
    blocks: BTreeMap<u64, u32>,
    counts: Counts,
    ordered_us: Histogram<u64>,
    certified_us: Histogram<u64>,
    ledger: Option<Ledger>,
    /// Of each ordered transaction, if they are wanted.
    samples: Option<Vec<Sample>>,
    height: u64,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Due by the schedule.
    pub offered: u64,
    /// Of them, told *ordered* with proof.
    pub ordered: u64,
    /// Of them, softly confirmed.
    pub certified: u64,
    /// Refused by a node, with a reason.
    pub refused: u64,
    /// Sent a second time because no answer came.
    pub resent: u64,
    /// Not sent because too many wait.
    pub unsent: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants that fit")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST_US)
}

impl Book {
    /// Empty books. With `keep` everything told is remembered for the judge; a network that runs for ever must not.
    pub fn new(keep: bool) -> Self {
        Self {
            pending: keyed(),
            tags: keyed(),
            uncertified: BTreeMap::new(),
            receipts: Vec::new(),
            headers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            counts: Counts::default(),
            ordered_us: histogram(),
            certified_us: histogram(),
            ledger: keep.then(Ledger::default),
            samples: None,
            height: 0,
        }
    }

    /// Remembers the latency of every transaction from now on.
    pub fn keep_samples(&mut self) {
        self.samples.get_or_insert_default();
    }

    /// Every ordered transaction, in the order of receipt; empty unless they are kept.
    pub fn samples(&self) -> &[Sample] {
        self.samples.as_deref().unwrap_or_default()
    }

    /// Transactions fall due; keeps those in `due` that may be sent.
    pub fn offer(&mut self, due: &mut Vec<Due>, now: Instant) {
        let room = MAX_PENDING.saturating_sub(self.pending.len());
        self.counts.offered += due.len() as u64;
        self.counts.unsent += due.len().saturating_sub(room) as u64;
        due.truncate(room);
        for Due { offer, id, via, scheduled } in due.iter() {
            let (scheduled, via, offer) = (*scheduled, *via, offer.clone());
            self.tags.insert(offer.tag, *id);
            self.pending.insert(*id, Pending { scheduled, sent: now, tries: 1, via, offer });
        }
    }

    /// A node refuses a transaction for good.
    pub fn refuse(&mut self, tag: u64) {
        if let Some(id) = self.tags.remove(&tag) {
            self.pending.remove(&id);
            self.counts.refused += 1;
        }
    }

    /// The next height is ordered, proof checked.
    pub fn order(&mut self, height: u64, header: Digest, sections: &[Section], now: Instant) {
        self.height = self.height.max(height);
        self.note_block(height, header, sections);
        let mut ours = Vec::new();
        for id in sections.iter().flat_map(|(_, ids)| ids) {
            if let Some(pending) = self.pending.remove(id) {
                self.tags.remove(&pending.offer.tag);
                let latency = now.duration_since(pending.scheduled);
                self.ordered_us.saturating_record(micros(latency));
                if let Some(samples) = self.samples.as_mut().filter(|samples| samples.len() < MAX_SAMPLES) {
                    samples.push((pending.scheduled, latency));
                }
                ours.push(pending.scheduled);
            }
        }
        if !ours.is_empty() {
            self.counts.ordered += ours.len() as u64;
            if self.receipts.len() < MAX_RECEIPTS {
                self.receipts.push((now, u32::try_from(ours.len()).unwrap_or(u32::MAX)));
            }
            if self.uncertified.len() < MAX_UNCERTIFIED {
                self.uncertified.insert(height, ours);
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.note(height, header, sections);
        } else {
            self.forget(now);
        }
    }

    /// Header hash of a height, as it was told first, while it is remembered.
    pub fn header(&self, height: u64) -> Option<Digest> {
        self.headers.get(&height).copied()
    }

    fn note_block(&mut self, height: u64, header: Digest, sections: &[Section]) {
        self.headers.insert(height, header);
        if self.headers.len() > MAX_HEADERS {
            self.headers.pop_first();
        }
        let count: usize = sections.iter().map(|(_, ids)| ids.len()).sum();
        if count > 0 {
            self.blocks.insert(height, u32::try_from(count).unwrap_or(u32::MAX));
            if self.blocks.len() > MAX_HEIGHTS {
                self.blocks.pop_first();
            }
        }
    }

    /// Transactions of all rollups, ours or not, in these heights.
    pub fn transactions_within(&self, heights: std::ops::RangeInclusive<u64>) -> u64 {
        if heights.is_empty() {
            return 0;
        }
        self.blocks.range(heights).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Without a judge, only the receipts that make up the shown rate are kept.
    fn forget(&mut self, now: Instant) {
        if self.receipts.len() > 4_096 {
            self.receipts.retain(|(at, _)| now.duration_since(*at) < RATE_WINDOW * 2);
        }
    }

    /// A height is softly confirmed, signature checked, and with it all before.
    pub fn certify(&mut self, height: u64, now: Instant) {
        let above = self.uncertified.split_off(&(height + 1));
        for scheduled in std::mem::replace(&mut self.uncertified, above).into_values().flatten() {
            self.counts.certified += 1;
            self.certified_us.saturating_record(micros(now.duration_since(scheduled)));
        }
    }

    /// Transactions without an answer for `patience` and where each was sent last. They count as sent again now, to
    /// the node that `next` names; each is tried at most `tries` times.
    pub fn overdue(
        &mut self,
        patience: Duration,
        tries: u8,
        now: Instant,
        mut next: impl FnMut(usize) -> usize,
    ) -> Vec<(Offer, usize)> {
        let mut overdue = Vec::new();
        for pending in self.pending.values_mut() {
            if pending.tries < tries && now.duration_since(pending.sent) >= patience {
                pending.tries += 1;
                pending.sent = now;
                pending.via = next(pending.via);
                overdue.push((pending.offer.clone(), pending.via));
            }
        }
        overdue.sort_unstable_by_key(|(offer, _)| offer.tag);
        self.counts.resent += overdue.len() as u64;
        overdue
    }

    /// A node cannot take it now: it is due again soon, elsewhere, and this was no try.
    pub fn turned_away(&mut self, tag: u64, patience: Duration, now: Instant) {
        let pending = self.tags.get(&tag).and_then(|id| self.pending.get_mut(id));
        if let Some(pending) = pending {
            pending.sent = now.checked_sub(patience.saturating_sub(TRY_AGAIN)).unwrap_or(now);
            pending.tries = pending.tries.saturating_sub(1);
        }
    }

    /// Whether this transaction still waits for an answer.
    pub fn waits(&self, tag: u64) -> bool {
        self.tags.contains_key(&tag)
    }

    /// Transactions without an answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Newest height told.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// Whether a soft confirmation is still waited for.
    pub fn uncertified(&self) -> usize {
        self.uncertified.len()
    }

    /// How many of what.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// When transactions were told ordered, and how many each time.
    pub fn receipts(&self) -> &[(Instant, u32)] {
        &self.receipts
    }

    /// Transactions told ordered per second, of late.
    pub fn rate(&self, now: Instant) -> f64 {
        let recent = self.receipts.iter().rev().take_while(|(at, _)| now.duration_since(*at) < RATE_WINDOW);
        recent.map(|(_, count)| u64::from(*count)).sum::<u64>() as f64 / RATE_WINDOW.as_secs_f64()
    }

    /// From schedule to *ordered*.
    pub fn ordered_ms(&self) -> Percentiles {
        Percentiles::of(&self.ordered_us)
    }

    /// From schedule to soft confirmation.
    pub fn certified_ms(&self) -> Percentiles {
        Percentiles::of(&self.certified_us)
    }

    /// Everything told so far, which is then forgotten; empty unless it is kept.
    pub fn take_ledger(&mut self) -> Ledger {
        self.ledger.take().unwrap_or_default()
    }

    /// Everything told so far; empty unless it is kept.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone().unwrap_or_default()
    }
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are faster.
    pub p90: f64,
    /// All but one of a hundred are faster.
    pub p99: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| (histogram.value_at_quantile(quantile) as f64 / 10.0).round() / 100.0;
        if histogram.is_empty() {
            return Self::default();
        }
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const ROLLUP: RollupId = RollupId::new(1);

    fn offer(tag: u8) -> Offer {
        Offer { tag: tag.into(), rollup: ROLLUP, data: vec![tag].into() }
    }

    fn offer_one(book: &mut Book, tag: u8, via: usize, at: Instant) {
        book.offer(&mut vec![Due::new(offer(tag), via, at)], at);
    }

    fn id(tag: u8) -> TxId {
        tx_id(&[tag])
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    /// A client that sleeps through a stall and then measures from the late send would report 1 ms here.
    #[test]
    fn latency_counts_from_the_schedule_not_from_the_send() {
        let start = Instant::now();
        let mut book = Book::new(true);
        book.offer(&mut vec![Due::new(offer(1), 0, start)], after(start, 400));
        book.order(1, Digest::ZERO, &[(ROLLUP, vec![id(1)])], after(start, 401));
        assert!((400.0..403.0).contains(&book.ordered_ms().p50), "{:?}", book.ordered_ms());
        book.certify(1, after(start, 500));
        assert!((499.0..502.0).contains(&book.certified_ms().p50));
        assert_eq!(book.counts(), Counts { offered: 1, ordered: 1, certified: 1, ..Counts::default() });
        assert_eq!(book.pending(), 0);
    }

    #[test]
    fn a_transaction_ordered_twice_counts_once_and_stands_twice_in_the_ledger() {
        let start = Instant::now();
        let mut book = Book::new(true);
        offer_one(&mut book, 1, 0, start);
        book.order(1, id(9), &[(ROLLUP, vec![id(1)])], after(start, 1));
        book.order(2, id(8), &[(ROLLUP, vec![id(1), id(2)])], after(start, 2));
        assert_eq!(book.counts().ordered, 1);
        let ledger = book.ledger();
        assert_eq!(ledger.ordered[&ROLLUP], [(1, id(1)), (2, id(1)), (2, id(2))]);
        assert_eq!(ledger.headers[&2], id(8));
    }

    #[test]
    fn silence_is_answered_with_another_try_but_not_for_ever() {
        let start = Instant::now();
        let patience = Duration::from_secs(1);
        let mut book = Book::new(false);
        offer_one(&mut book, 7, 2, start);
        let mut overdue = |millis| book.overdue(patience, 3, after(start, millis), |via| (via + 1) % 4);
        assert!(overdue(999).is_empty());
        assert_eq!(overdue(1_000), [(offer(7), 3)]);
        assert!(overdue(1_500).is_empty());
        assert_eq!(overdue(2_000), [(offer(7), 0)]);
        assert!(overdue(9_000).is_empty());
        assert_eq!(book.counts().resent, 2);
        book.refuse(7);
        book.refuse(7);
        assert_eq!((book.counts().refused, book.pending(), book.waits(7)), (1, 0, false));
    }

    #[test]
    fn one_that_was_turned_away_is_due_soon_and_as_often_as_it_takes() {
        let start = Instant::now();
        let patience = Duration::from_secs(5);
        let mut book = Book::new(false);
        offer_one(&mut book, 1, 0, start);
        book.turned_away(99, patience, start);
        for second in 1..20 {
            book.turned_away(1, patience, after(start, second * 1_000));
            assert!(book.overdue(patience, 2, after(start, second * 1_000 + 299), |_| 1).is_empty());
            let due = book.overdue(patience, 2, after(start, second * 1_000 + 300), |_| 1);
            assert_eq!(due, [(offer(1), 1)]);
        }
    }

    #[test]
    fn beyond_the_bound_nothing_is_sent_and_that_is_counted() {
        let start = Instant::now();
        let mut book = Book::new(false);
        let due = |tag: usize| {
            let data = Bytes::copy_from_slice(&tag.to_be_bytes());
            Due::new(Offer { tag: tag as u64, rollup: ROLLUP, data }, 0, start)
        };
        let mut most: Vec<Due> = (0..MAX_PENDING - 1).map(due).collect();
        book.offer(&mut most, start);
        assert_eq!(most.len(), MAX_PENDING - 1);
        let mut more: Vec<Due> = (MAX_PENDING..MAX_PENDING + 5).map(due).collect();
        book.offer(&mut more, start);
        assert_eq!((more.len(), book.pending(), book.counts().unsent), (1, MAX_PENDING, 4));
        assert_eq!(book.counts().offered, MAX_PENDING as u64 + 4);
    }

    #[test]
    fn the_rate_is_of_late_only() {
        let start = Instant::now();
        let mut book = Book::new(false);
        for tag in 0..10_u8 {
            offer_one(&mut book, tag, 0, start);
        }
        let all = (0..10).map(id).collect();
        book.order(1, Digest::ZERO, &[(ROLLUP, all)], after(start, 100));
        assert!((book.rate(after(start, 200)) - 2.0).abs() < 1e-9);
        assert!(book.rate(after(start, 6_000)).abs() < 1e-9);
    }
}
