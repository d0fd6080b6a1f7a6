//! Which blocks the committee signs. A header names its parent, so the signature of one block confirms all before it: where
//! blocks come fast, the newest of several is enough.

use std::collections::BTreeMap;
use std::time::Duration;

use ordering_types::{Digest, Header, Height, Time};

/// A block is signed if it is the first of an interval of so long, by the blocks' own time: all nodes agree on that.
const SIGNED_EVERY_MS: u64 = 40;
/// The newest block is signed in any case if an older one has waited for so long: the network may have fallen idle behind it.
/// Longer than an interval and a height, so that where blocks come fast nobody asks for what others do not.
const LONGEST_WAIT: Duration = Duration::from_millis(60);
/// Blocks that no signature confirms yet; beyond it the oldest is given up.
/// Below [`mpc::signing::MAX_RUNNING`], so that there is always room for batches.
const MAX_OPEN: usize = 768;

/// The blocks whose confirmation is awaited.
pub(crate) struct Confirmations {
    /// Header hashes of the blocks that no signature confirms yet.
    open: BTreeMap<Height, Digest>,
    /// Newest block that is signed.
    signed: Height,
    /// Time of the newest block.
    newest_ms: u64,
    /// Whose signature is asked for next: what was ordered is told first, and votes that came meanwhile are heard.
    next: Option<Height>,
    /// When the newest block is asked for, whichever it is then.
    at_last: Option<Time>,
}

impl Confirmations {
    /// Starts with the blocks that no signature confirms yet; `tip` is the newest block that is known.
    pub(crate) fn new(open: impl IntoIterator<Item = (Height, Digest)>, tip: Option<&Header>) -> Self {
        Self {
            open: open.into_iter().collect(),
            signed: Height::ZERO,
            newest_ms: tip.map_or(0, |header| header.time_ms),
            next: None,
            at_last: None,
        }
    }

    /// A block follows those before it. `past`: it was confirmed long ago, and nobody signs it any more. The answer: a block that
    /// is given up.
    pub(crate) fn on_block(
        &mut self,
        header: &Header,
        hash: Digest,
        past: bool,
        now: Time,
    ) -> Option<Height> {
        let begins = header.time_ms / SIGNED_EVERY_MS != self.newest_ms / SIGNED_EVERY_MS;
        self.newest_ms = header.time_ms;
        if past {
            return None;
        }
        if begins {
            (self.next, self.at_last) = (Some(header.height), None);
        } else if self.next.is_none() && self.at_last.is_none() {
            self.at_last = Some(now + LONGEST_WAIT);
        }
        self.open.insert(header.height, hash);
        let excess = self.open.len() > MAX_OPEN;
        if excess { self.open.pop_first().map(|(height, _)| height) } else { None }
    }

    /// Goes on after a block that is proven otherwise.
    pub(crate) fn jump(&mut self, header: &Header) {
        *self = Self { signed: self.signed, ..Self::new([], Some(header)) };
    }

    /// The oldest block that no signature confirms yet.
    pub(crate) fn oldest(&self) -> Option<Height> {
        self.open.keys().next().copied()
    }

    /// The block to ask the signature of, if it is time.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<(Height, Digest)> {
        if self.at_last.is_some_and(|at| at <= now) {
            return self.newest();
        }
        let height = self.next.take()?;
        self.open.get(&height).map(|hash| (height, *hash))
    }

    /// The newest block, if no signature confirms it. Nothing is due after that.
    pub(crate) fn newest(&mut self) -> Option<(Height, Digest)> {
        (self.next, self.at_last) = (None, None);
        self.open.last_key_value().map(|(height, hash)| (*height, *hash))
    }

    /// A block is signed. If that confirms anything new, the answer is the block that was the newest signed one before: what was
    /// asked for below that helps nobody any more.
    pub(crate) fn on_signed(&mut self, height: Height) -> Option<Height> {
        if height <= self.signed {
            return None;
        }
        self.open = self.open.split_off(&height.next());
        if self.open.is_empty() {
            (self.next, self.at_last) = (None, None);
        }
        Some(std::mem::replace(&mut self.signed, height))
    }

    /// When something is due at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.next.map(|_| Time::default()).or(self.at_last)
    }

    /// Newest block that is signed.
    pub(crate) const fn signed(&self) -> Height {
        self.signed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ordering_types::{Epoch, L1Reference};

    use super::*;

    const START: u64 = 1_000_000;

    fn header(height: u64, time_ms: u64) -> Header {
        Header {
            version: 1,
            chain_spec: Digest::ZERO,
            epoch: Epoch::new(0),
            height: Height::new(height),
            parent: Digest::ZERO,
            time_ms,
            l1_reference: L1Reference::default(),
            forced_cursor: 0,
            cut: Digest::ZERO,
            tx_root: Digest::ZERO,
            tx_count: 0,
            state_root: Digest::ZERO,
            seals_batch: false,
        }
    }

    /// Hands in blocks `every_ms` apart, heard at their own time, with a wake each millisecond: the heights asked for and when.
    fn run(confirmations: &mut Confirmations, blocks: u64, every_ms: u64, idle_ms: u64) -> Vec<(u64, u64)> {
        let mut asked = Vec::new();
        let end = blocks * every_ms + idle_ms;
        for ms in 0..end {
            let now = Time::from_millis(START + ms);
            if ms % every_ms == 0 && ms / every_ms < blocks {
                let header = header(ms / every_ms + 1, START + ms);
                confirmations.on_block(&header, header.hash(), false, now);
            }
            if confirmations.next_deadline().is_some_and(|at| at <= now) {
                asked.extend(confirmations.take_due(now).map(|(height, _)| (height.get(), ms)));
            }
        }
        asked
    }

    fn fresh() -> Confirmations {
        Confirmations::new([], Some(&header(0, START - 1)))
    }

    #[test]
    fn slow_blocks_are_all_signed_at_once() {
        let asked = run(&mut fresh(), 10, 50, 500);
        assert_eq!(asked, (0..10).map(|n| (n + 1, n * 50)).collect::<Vec<_>>());
    }

    #[test]
    fn of_fast_blocks_one_an_interval_is_signed_and_at_last_the_newest() {
        let asked = run(&mut fresh(), 12, 10, 500);
        // Blocks 10 to 12 begin no interval: the newest of them is asked for 60 ms after the first.
        assert_eq!(asked, [(1, 0), (5, 40), (9, 80), (12, 90 + 60)]);
    }

    #[test]
    fn all_nodes_ask_for_the_same_blocks_whenever_they_hear_of_them() {
        let mut late = fresh();
        let mut asked = Vec::new();
        for n in 0..12 {
            let header = header(n + 1, START + n * 10);
            let now = Time::from_millis(START + n * 10 + (n * 7) % 9);
            late.on_block(&header, header.hash(), false, now);
            asked.extend(late.take_due(now).map(|(height, _)| height.get()));
        }
        assert_eq!(asked, [1, 5, 9]);
    }

    #[test]
    fn a_signature_confirms_all_blocks_before_it() {
        let mut confirmations = fresh();
        for n in 0..8 {
            let header = header(n + 1, START + n * 10);
            confirmations.on_block(&header, header.hash(), false, Time::from_millis(START));
        }
        assert_eq!(confirmations.on_signed(Height::new(5)), Some(Height::ZERO));
        assert_eq!(confirmations.on_signed(Height::new(1)), None, "confirmed already");
        assert_eq!(confirmations.signed(), Height::new(5));
        assert_eq!(confirmations.on_signed(Height::new(8)), Some(Height::new(5)));
        assert_eq!(confirmations.next_deadline(), None, "nothing waits any more");
    }

    #[test]
    fn blocks_long_past_are_not_asked_for_and_still_count_the_time() {
        let mut confirmations = fresh();
        let past = header(1, START + 40);
        assert_eq!(confirmations.on_block(&past, past.hash(), true, Time::from_millis(START)), None);
        assert_eq!(confirmations.next_deadline(), None);
        let same_interval = header(2, START + 50);
        confirmations.on_block(&same_interval, same_interval.hash(), false, Time::from_millis(START));
        assert_eq!(confirmations.next_deadline(), Some(Time::from_millis(START) + LONGEST_WAIT));
    }

    #[test]
    fn what_is_never_signed_is_bounded() {
        let mut confirmations = fresh();
        for n in 1..=2 * MAX_OPEN as u64 {
            let header = header(n, START + n * 10);
            let given_up = confirmations.on_block(&header, header.hash(), false, Time::default());
            assert_eq!(given_up, n.checked_sub(MAX_OPEN as u64).filter(|h| *h > 0).map(Height::new));
        }
        assert_eq!(confirmations.open.len(), MAX_OPEN);
    }

    #[test]
    fn after_a_checkpoint_nothing_before_it_is_waited_for() {
        let mut confirmations = fresh();
        let before = header(1, START);
        confirmations.on_block(&before, before.hash(), false, Time::default());
        confirmations.jump(&header(50, START + 1_000));
        assert_eq!((confirmations.next_deadline(), confirmations.newest()), (None, None));
    }
}
