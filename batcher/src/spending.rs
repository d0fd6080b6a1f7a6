//! How long an account's money lasts at the pace of late. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use alloy::primitives::U256;
use ordering_types::Time;

/// What was spent before is no measure any more.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// A shorter past than this is no measure yet: it counts as this long.
const SHORTEST: Duration = Duration::from_secs(600);
/// Most payments that are remembered.
const MAX_PAYMENTS: usize = 16_384;
const DAY: f64 = 24.0 * 3_600.0;

/// What one account paid of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spending {
    since: Option<Time>,
    payments: VecDeque<(Time, U256)>,
}

impl Spending {
    /// A mined transaction was paid for, wei.
    pub(crate) fn note(&mut self, now: Time, cost: U256) {
        self.since.get_or_insert(now);
        if self.payments.len() >= MAX_PAYMENTS {
            self.payments.pop_front();
            self.since = self.payments.front().map(|(at, _)| *at);
        }
        self.payments.push_back((now, cost));
    }

    /// Days until this much money is spent; `None` if nothing was spent of late.
    pub(crate) fn days_left(&self, now: Time, balance: U256) -> Option<f64> {
        let late = self.payments.iter().filter(|(at, _)| now.since(*at) <= WINDOW);
        let spent: f64 = late.map(|(_, cost)| ether(*cost)).sum();
        let past = now.since(self.since?).clamp(SHORTEST, WINDOW).as_secs_f64();
        (spent > 0.0).then(|| ether(balance) * past / spent / DAY)
    }
}

/// Wei in ether.
pub(crate) fn ether(wei: U256) -> f64 {
    wei.to_string().parse::<f64>().unwrap_or(f64::MAX) / 1e18
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Time {
        Time::from_millis(hours * 3_600_000)
    }

    fn milli(ether: u64) -> U256 {
        U256::from(ether) * U256::from(10_u64.pow(15))
    }

    #[test]
    fn money_lasts_as_long_as_the_pace_says() {
        let mut spending = Spending::default();
        assert_eq!(spending.days_left(at(0), milli(1_000)), None, "no pace is known");
        for hour in 100..112 {
            spending.note(at(hour), milli(10));
        }
        // 120 thousandths in twelve hours: 240 a day.
        let days = spending.days_left(at(112), milli(480)).unwrap();
        assert!((days - 2.0).abs() < 0.01, "{days}");
        let later = spending.days_left(at(130), milli(480)).unwrap();
        assert!(later > days, "the past counts for a day only: {later}");
        assert_eq!(spending.days_left(at(200), milli(480)), None);
        assert_eq!(spending.days_left(at(112), U256::ZERO), Some(0.0));
    }

    #[test]
    fn one_payment_is_no_pace_of_a_minute() {
        let mut spending = Spending::default();
        spending.note(at(1), milli(1));
        let days = spending.days_left(at(1), milli(144)).unwrap();
        assert!((days - 1.0).abs() < 0.01, "one in ten minutes, at most: {days}");
        for _ in 0..2 * MAX_PAYMENTS {
            spending.note(at(2), milli(1));
        }
        assert_eq!(spending.payments.len(), MAX_PAYMENTS);
    }
}
