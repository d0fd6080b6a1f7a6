//! When a peer without a connection is dialled. Pure.

use std::time::Duration;

/// Of two peers the one with the smaller id dials at once, the other after so many ticks without a connection.
const PATIENCE_TICKS: u32 = 2;
/// A connection that ends so soon was refused: the peer does not know this node, not yet or not any more.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// Ticks between two dials of a peer that goes on refusing. Both ends pay for a handshake each time.
const MAX_PAUSE_TICKS: u32 = 64;

/// The pace of dialling one peer.
#[derive(Debug)]
pub(super) struct Pace {
    /// Ticks to wait whatever happened.
    patience: u32,
    /// Ticks to wait besides, because it refused.
    pause: u32,
    /// Ticks waited.
    waited: u32,
}

impl Pace {
    /// Of a peer that is `first` to dial, or is not.
    pub(super) const fn new(first: bool) -> Self {
        Self { patience: if first { 0 } else { PATIENCE_TICKS }, pause: 0, waited: 0 }
    }

    /// A tick without a connection. True: dial, if no dial is under way.
    pub(super) const fn tick(&mut self) -> bool {
        let due = self.waited >= self.patience + self.pause;
        if !due {
            self.waited += 1;
        }
        due
    }

    /// The last connection ended, so long after it was made.
    pub(super) fn ended(&mut self, lasted: Duration) {
        self.waited = 0;
        self.pause = if lasted < REFUSED_WITHIN { (self.pause * 2).clamp(1, MAX_PAUSE_TICKS) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(pace: &mut Pace) -> u32 {
        (0..).find(|_| pace.tick()).unwrap_or_default()
    }

    #[test]
    fn one_of_two_dials_first_and_both_go_on() {
        for (first, patience) in [(true, 0), (false, PATIENCE_TICKS)] {
            let mut pace = Pace::new(first);
            assert_eq!(ticks(&mut pace), patience);
            assert!(pace.tick(), "a dial that failed is tried again");
            pace.ended(REFUSED_WITHIN);
            assert_eq!(ticks(&mut pace), patience);
        }
    }

    #[test]
    fn who_refuses_is_dialled_less_and_less_until_it_does_not() {
        let mut pace = Pace::new(true);
        for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
            pace.ended(Duration::ZERO);
            assert_eq!(ticks(&mut pace), pause);
        }
        pace.ended(REFUSED_WITHIN);
        assert_eq!(ticks(&mut pace), 0);
    }
}
