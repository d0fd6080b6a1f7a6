//! All links and what waits on them. Pure: the time is an argument, no sockets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::command::{Change, LinkCommand};
use super::link::{Conditions, ConditionsError, Link, LinkId, Verdict};
use super::stats::{LinkCounts, LinkStats};

/// Most bytes that wait on one link; what comes then is dropped and counted.
const MAX_LINK_BYTES: usize = 32 << 20;
/// Most datagrams that wait on one link.
const MAX_LINK_DATAGRAMS: usize = 65_536;
/// Most bytes that wait on all links together.
const MAX_QUEUED_BYTES: usize = 512 << 20;
/// Longest payload of UDP over IPv4.
const MAX_DATAGRAM: usize = 65_507;
/// What is due within this time is due: we are woken every half a millisecond, and half of that early is as wrong as half of
/// that late.
const SLACK: Duration = Duration::from_micros(250);

/// A datagram under way. The order of the fields is the order of arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Datagram {
    due: Duration,
    number: u64,
    /// Explicit congestion notification bits of its IP header.
    ecn: u8,
    data: Box<[u8]>,
}

#[derive(Debug)]
struct Queue {
    link: Link,
    waiting: BinaryHeap<Reverse<Datagram>>,
    bytes: usize,
    counts: LinkCounts,
}

/// Datagrams that leave together on one link: all as long as the first, but the last, which may be shorter.
#[derive(Debug, Default)]
pub struct Train {
    /// The link.
    pub id: Option<LinkId>,
    /// One after the other.
    pub contents: Vec<u8>,
    /// Length of the first.
    pub segment: usize,
    /// How many.
    pub count: usize,
    /// Explicit congestion notification bits of all of them.
    pub ecn: u8,
}

impl Train {
    fn takes(&self, datagram: &Datagram, longest: usize) -> bool {
        // The kernel cuts a train by length, so there is no way to say that an empty one is part of it.
        let whole = self.segment > 0 && self.contents.len() == self.segment * self.count;
        whole
            && !datagram.data.is_empty()
            && self.count < longest
            && datagram.ecn == self.ecn
            && datagram.data.len() <= self.segment
            && self.contents.len() + datagram.data.len() <= MAX_DATAGRAM
    }

    fn begin(&mut self, id: LinkId, first: &Datagram) {
        self.contents.clear();
        (self.id, self.segment, self.count, self.ecn) = (Some(id), first.data.len(), 0, first.ecn);
    }
}

/// All links.
#[derive(Debug)]
pub struct Wire {
    links: BTreeMap<LinkId, Queue>,
    /// The first arrival of every link that has any, and perhaps outdated ones.
    heads: BinaryHeap<Reverse<(Duration, LinkId)>>,
    queued: usize,
    number: u64,
}

impl Wire {
    /// These links, all alike.
    pub fn new(links: impl IntoIterator<Item = LinkId>, conditions: Conditions, seed: u64) -> Self {
        let queue = |id| Queue {
            link: Link::new(id, conditions, seed),
            waiting: BinaryHeap::new(),
            bytes: 0,
            counts: LinkCounts::default(),
        };
        Self {
            links: links.into_iter().map(|id| (id, queue(id))).collect(),
            heads: BinaryHeap::new(),
            queued: 0,
            number: 0,
        }
    }

    /// A datagram comes. Says what becomes of it, `None` if there is no such link.
    pub fn offer(&mut self, now: Duration, id: LinkId, data: &[u8], ecn: u8) -> Option<Verdict> {
        let queue = self.links.get_mut(&id)?;
        queue.counts.datagrams += 1;
        queue.counts.bytes += data.len() as u64;
        let due = match queue.link.decide(now, data.len()) {
            Verdict::Deliver(due) => due,
            other => {
                match other {
                    Verdict::Cut => queue.counts.cut += 1,
                    Verdict::TooLong => queue.counts.too_long += 1,
                    _ => queue.counts.lost += 1,
                }
                return Some(other);
            }
        };
        let full = queue.bytes + data.len() > MAX_LINK_BYTES
            || queue.waiting.len() >= MAX_LINK_DATAGRAMS
            || self.queued + data.len() > MAX_QUEUED_BYTES;
        if full {
            queue.counts.full += 1;
            return Some(Verdict::Full);
        }
        self.number += 1;
        self.queued += data.len();
        queue.bytes += data.len();
        if queue.waiting.peek().is_none_or(|Reverse(head)| due < head.due) {
            self.heads.push(Reverse((due, id)));
        }
        queue.waiting.push(Reverse(Datagram { due, number: self.number, ecn, data: data.into() }));
        queue.counts.queued_max_bytes = queue.counts.queued_max_bytes.max(queue.bytes as u64);
        queue.counts.queued_max_datagrams = queue.counts.queued_max_datagrams.max(queue.waiting.len() as u64);
        Some(Verdict::Deliver(due))
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Duration> {
        self.heads.peek().map(|Reverse((due, _))| due.saturating_sub(SLACK))
    }

    /// Takes out the next train of at most `longest` datagrams that is due at `now`; `false` if nothing is.
    pub fn take(&mut self, now: Duration, longest: usize, train: &mut Train) -> bool {
        let now = now + SLACK;
        while let Some(Reverse((due, id))) = self.heads.peek().copied() {
            if due > now {
                return false;
            }
            self.heads.pop();
            let Some(queue) = self.links.get_mut(&id) else { continue };
            let taken = queue.take(id, now, longest, train);
            self.queued -= taken;
            if let Some(Reverse(head)) = queue.waiting.peek() {
                self.heads.push(Reverse((head.due, id)));
            }
            // Nothing: the entry was outdated.
            if train.count > 0 {
                return true;
            }
        }
        false
    }

    /// Carries out a command; says how many directed links it changed.
    pub fn command(&mut self, command: &LinkCommand) -> Result<usize, ConditionsError> {
        let meant = |id: &LinkId| command.links.contains(id.from, id.to);
        if let Change::Set(settings) = &command.change {
            // All or none.
            for (_, queue) in self.links.iter().filter(|(id, _)| meant(id)) {
                settings.apply(queue.link.conditions()).check()?;
            }
        }
        let mut changed = 0;
        for (_, queue) in self.links.iter_mut().filter(|(id, _)| meant(id)) {
            match &command.change {
                Change::Cut => queue.link.set_cut(true),
                Change::Heal => queue.link.set_cut(false),
                Change::Set(settings) => queue.link.set(settings.apply(queue.link.conditions())),
            }
            changed += 1;
        }
        Ok(changed)
    }

    /// Every link that carried anything or is cut.
    pub fn stats(&self) -> Vec<LinkStats> {
        let used = |queue: &Queue| queue.counts.datagrams > 0 || queue.link.is_cut();
        let stats = |(id, queue): (&LinkId, &Queue)| LinkStats {
            class: id.class,
            from: id.from,
            to: id.to,
            is_cut: queue.link.is_cut(),
            conditions: queue.link.conditions(),
            counts: queue.counts,
        };
        self.links.iter().filter(|(_, queue)| used(queue)).map(stats).collect()
    }
}

impl Queue {
    /// Fills a train with what is due; returns how many bytes left the queue.
    fn take(&mut self, id: LinkId, now: Duration, longest: usize, train: &mut Train) -> usize {
        train.count = 0;
        while let Some(Reverse(head)) = self.waiting.peek() {
            if head.due > now || (train.count > 0 && !train.takes(head, longest)) {
                break;
            }
            if train.count == 0 {
                train.begin(id, head);
            }
            train.contents.extend_from_slice(&head.data);
            train.count += 1;
            self.waiting.pop();
        }
        let taken = if train.count == 0 { 0 } else { train.contents.len() };
        self.bytes -= taken;
        self.counts.delivered += train.count as u64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Selection, Settings};
    use super::super::link::Class;
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const AB: LinkId = LinkId { class: Class::Mesh, from: 1, to: 2 };
    const BA: LinkId = LinkId { class: Class::Mesh, from: 2, to: 1 };

    fn wire(delay: Duration) -> Wire {
        Wire::new([AB, BA], Conditions { delay, ..Conditions::default() }, 7)
    }

    fn all(wire: &mut Wire, now: Duration, longest: usize) -> Vec<(LinkId, usize, Vec<u8>)> {
        let mut train = Train::default();
        let mut all = Vec::new();
        while wire.take(now, longest, &mut train) {
            all.extend(train.id.map(|id| (id, train.count, train.contents.clone())));
        }
        all
    }

    #[test]
    fn datagrams_arrive_after_the_delay_in_order_and_of_one_length_together() {
        let mut wire = wire(MS * 10);
        for (at, byte, length) in [(0, 1, 4), (1, 2, 4), (2, 3, 3), (2, 4, 4), (2, 5, 9)] {
            let fate = wire.offer(MS * at, AB, &vec![byte; length], 0);
            assert_eq!(fate, Some(Verdict::Deliver(MS * (at + 10))));
        }
        wire.offer(MS, BA, &[9], 0);
        assert_eq!(wire.next_due(), Some(MS * 10 - SLACK));
        assert_eq!(all(&mut wire, MS * 9, 64), []);
        let expected = vec![
            (AB, 3, vec![1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3]),
            (BA, 1, vec![9]),
            (AB, 1, vec![4; 4]),
            (AB, 1, vec![5; 9]),
        ];
        assert_eq!(all(&mut wire, MS * 12, 64), expected);
        assert_eq!((wire.next_due(), wire.queued), (None, 0));
    }

    #[test]
    fn a_train_has_one_congestion_mark_and_ends_where_the_socket_says() {
        let mut wire = wire(Duration::ZERO);
        for ecn in [2, 2, 2, 3] {
            wire.offer(MS, AB, &[ecn; 5], ecn);
        }
        let lengths: Vec<usize> = all(&mut wire, MS, 2).into_iter().map(|(_, count, _)| count).collect();
        assert_eq!(lengths, [2, 1, 1]);
    }

    #[test]
    fn empty_datagrams_are_datagrams() {
        let mut wire = wire(Duration::ZERO);
        wire.offer(MS, AB, &[], 0);
        wire.offer(MS, AB, &[], 0);
        let count: usize = all(&mut wire, MS, 64).into_iter().map(|(_, count, _)| count).sum();
        assert_eq!(count, 2);
    }

    #[test]
    fn what_waits_is_bounded_in_datagrams_and_in_bytes() {
        let mut wire = wire(MS * 1_000);
        for _ in 0..MAX_LINK_DATAGRAMS + 5 {
            wire.offer(MS, AB, &[0], 0);
        }
        let big = vec![0; MAX_DATAGRAM];
        for _ in 0..MAX_LINK_BYTES / MAX_DATAGRAM + 5 {
            wire.offer(MS, BA, &big, 0);
        }
        let stats = wire.stats();
        assert_eq!(stats.iter().map(|link| link.counts.full).collect::<Vec<_>>(), [5, 5]);
        assert!(stats.iter().all(|link| link.counts.queued_max_bytes <= MAX_LINK_BYTES as u64));
        all(&mut wire, MS * 2_000, 64);
        let delivered: Vec<u64> = wire.stats().iter().map(|link| link.counts.delivered).collect();
        let fit = [MAX_LINK_DATAGRAMS as u64, (MAX_LINK_BYTES / MAX_DATAGRAM) as u64];
        assert_eq!((delivered.as_slice(), wire.queued), (fit.as_slice(), 0));
    }

    #[test]
    fn commands_change_the_links_they_name_and_no_others() {
        let mut wire = wire(MS);
        let one_way = Selection { from: Some(1), to: Some(2), one_way: true };
        let cut = |links| LinkCommand { change: Change::Cut, links };
        assert_eq!(wire.command(&cut(one_way)), Ok(1));
        wire.offer(MS, AB, &[1], 0);
        wire.offer(MS, BA, &[1], 0);
        let counts: Vec<(u64, bool)> =
            wire.stats().iter().map(|link| (link.counts.cut, link.is_cut)).collect();
        assert_eq!(counts, [(1, true), (0, false)]);
        let everything = Selection::default();
        assert_eq!(wire.command(&LinkCommand { change: Change::Heal, links: everything }), Ok(2));
        let jitter = Settings { jitter: Some(MS * 2), ..Settings::default() };
        let set = LinkCommand { change: Change::Set(jitter), links: everything };
        assert_eq!(wire.command(&set), Err(ConditionsError::Jitter));
        let set = Settings { delay: Some(MS * 3), ..jitter };
        assert_eq!(wire.command(&LinkCommand { change: Change::Set(set), links: everything }), Ok(2));
        assert!(wire.stats().iter().all(|link| link.conditions.jitter == MS * 2 && !link.is_cut));
        assert_eq!(wire.command(&cut(Selection { from: Some(9), ..everything })), Ok(0));
        assert_eq!(wire.offer(MS, LinkId { from: 9, ..AB }, &[], 0), None);
    }
}
