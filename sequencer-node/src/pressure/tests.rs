//! The rates as a table, and thousands of seeded lives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss, clippy::float_cmp)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ordering_types::chain_spec::{DataPolicy, Rollup, RollupKind};
use ordering_types::transaction::MAX_TRANSACTION_BYTES;
use ordering_types::{ChainSpec, RollupId, Time, Transaction, TxId};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::blind::{Blindness, GRACE};
use super::controller::{Controller, HOLD, Level, RECOVERY};
use super::gate::Gate;
use super::readings::{Asked, Cause, Rates, Readings, SLOWEST, UNSIGNED_BATCHES, UNSIGNED_BYTES, Unposted};
use super::valve::Valve;
use crate::admission::AdmissionError;
use crate::config::AdmissionConfig;

const MIB: u64 = 1 << 20;

fn unposted(batches: u64, bytes: u64, seconds: u64) -> Readings {
    let oldest = Duration::from_secs(seconds);
    Readings { unposted: Some(Unposted { batches, bytes, oldest }), ..calm() }
}

fn calm() -> Readings {
    Readings { free_disk: Some(u64::MAX), ..Readings::default() }
}

#[test]
fn rates_as_a_table() {
    let config = AdmissionConfig::default();
    let disk = |free| Readings { free_disk: Some(free), ..calm() };
    let unsigned = |unsigned_batches, unsigned_bytes| Readings { unsigned_batches, unsigned_bytes, ..calm() };
    let middle = |(from, to): (u64, u64)| from.midpoint(to);
    for (readings, posted, kept, cause) in [
        (calm(), 1.0, 1.0, None),
        (Readings::default(), 1.0, 1.0, None),
        (unposted(0, 0, 0), 1.0, 1.0, None),
        (unposted(900, 256 * MIB, 3_600), 1.0, 1.0, None),
        (unposted(1, 640 * MIB, 0), 0.5, 1.0, Some(Cause::UnpostedBytes)),
        (unposted(1, 1_024 * MIB, 0), 0.0, 1.0, Some(Cause::UnpostedBytes)),
        (unposted(1, u64::MAX, 0), 0.0, 1.0, Some(Cause::UnpostedBytes)),
        // What grows without transactions slows, and never stops.
        (unposted(2_250, 0, 0), 0.55, 1.0, Some(Cause::UnpostedBatches)),
        (unposted(u64::MAX, 0, 0), SLOWEST, 1.0, Some(Cause::UnpostedBatches)),
        (unposted(1, 0, 9_000), 0.55, 1.0, Some(Cause::OldBatches)),
        (unposted(1, 0, u64::MAX / 2), SLOWEST, 1.0, Some(Cause::OldBatches)),
        // The worst counts.
        (unposted(u64::MAX, 1_024 * MIB, 9_000), 0.0, 1.0, Some(Cause::UnpostedBytes)),
        (disk(4_096 * MIB), 1.0, 1.0, None),
        (disk(2_560 * MIB), 0.5, 0.5, Some(Cause::FreeDisk)),
        (disk(1_024 * MIB), 0.0, 0.0, Some(Cause::FreeDisk)),
        (disk(0), 0.0, 0.0, Some(Cause::FreeDisk)),
        (unsigned(middle(UNSIGNED_BATCHES), 0), 0.5, 0.5, Some(Cause::UnsignedBatches)),
        (unsigned(UNSIGNED_BATCHES.1, 0), 0.0, 0.0, Some(Cause::UnsignedBatches)),
        (unsigned(0, middle(UNSIGNED_BYTES)), 0.5, 0.5, Some(Cause::UnsignedBytes)),
        (unsigned(0, UNSIGNED_BYTES.1), 0.0, 0.0, Some(Cause::UnsignedBytes)),
    ] {
        let rates = readings.rates(&config);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(rates.posted.rate, posted) && near(rates.kept.rate, kept), "{readings:?}: {rates:?}");
        assert_eq!(rates.posted.cause, cause, "{readings:?}");
    }
}

#[test]
fn only_a_committee_that_goes_on_without_us_makes_blind() {
    let second = Duration::from_secs(1);
    let mut blindness = Blindness::default();
    // What the committee agrees on soon after our last answer may be older than that.
    assert!(!blindness.look(GRACE - second, 96));
    assert!(!blindness.look(GRACE, 128), "L1 may have ended right then");
    assert!(!blindness.look(GRACE * 9, 128), "it is down for all");
    assert!(blindness.look(GRACE * 9, 160));
    assert!(blindness.look(GRACE * 10, 160), "it stays so");
    assert!(!blindness.look(second, 160), "until the endpoint answers");
    assert!(!blindness.look(GRACE, 160));
}

fn rollup(id: u32, data: DataPolicy, quota: u32) -> Rollup {
    Rollup {
        id: RollupId::new(id),
        name: id.to_string(),
        kind: RollupKind::Opaque,
        chain_id: u64::from(id),
        data,
        quota_bytes_per_block: quota,
    }
}

fn spec(rollups: Vec<Rollup>) -> ChainSpec {
    ChainSpec { rollups, ..ChainSpec::default() }
}

fn looked(config: &AdmissionConfig, seconds: u64, readings: &Readings) -> Controller {
    let mut controller = Controller::default();
    controller.look(Time::from_millis(seconds * 1_000), &readings.rates(config));
    controller
}

/// A rollup that floods, one that floods with three times the quota, and one that needs little.
#[test]
fn who_is_slowed_shares_by_quota_and_the_committees_rollups_are_not_slowed_by_l1() {
    let config = AdmissionConfig::default();
    let (blob, committee) = (DataPolicy::Blob, DataPolicy::Committee);
    let quotas = [(1, blob, 100), (2, blob, 300), (3, blob, 400), (4, committee, 100)];
    let spec = spec(quotas.map(|(id, data, quota)| rollup(id, data, quota)).into());
    let mut gate = Gate::new(&spec, &config);
    let start = 1_000;
    gate.set(Time::from_millis(start), &looked(&config, 1, &unposted(1, 640 * MIB, 0)), 4);
    let mut taken = [0_u64; 5];
    let size = 1_000;
    for millisecond in 0..60_000 {
        let now = Time::from_millis(start + millisecond);
        for flooding in [1, 2, 4] {
            taken[flooding as usize] +=
                u64::from(gate.pass(now, RollupId::new(flooding), size).is_ok()) * size;
        }
        // A hundredth of its part.
        if millisecond % 1_000 == 0 {
            assert!(gate.pass(now, RollupId::new(3), 300).is_ok(), "it is within its part");
        }
    }
    assert_eq!(taken[4], 60_000 * size, "L1 is none of its business");
    // Half of the full speed of 768 MiB in 600 s, of four members; in a minute.
    let speed = 768.0 * MIB as f64 / 600.0 / 4.0 / 2.0;
    let (one, three) = (taken[1] as f64, taken[2] as f64);
    assert!((three / one - 3.0).abs() < 0.1, "{taken:?}");
    assert!((one / (60.0 * speed / 8.0) - 1.0).abs() < 0.1, "{taken:?} of {}", 60.0 * speed);
}

#[test]
fn a_large_transaction_passes_at_any_speed_and_is_paid_back() {
    let config = AdmissionConfig {
        slow_unposted_bytes: 0,
        stop_unposted_bytes: 600_000,
        ..AdmissionConfig::default()
    };
    let spec = spec(vec![rollup(1, DataPolicy::Blob, 9)]);
    let (mut gate, id) = (Gate::new(&spec, &config), RollupId::new(1));
    // A tenth of a thousand bytes a second.
    gate.set(Time::from_millis(1_000), &looked(&config, 1, &unposted(1, 540_000, 0)), 1);
    assert_eq!(gate.pass(Time::from_millis(2_000), id, 100_100), Ok(()));
    let wait = gate.pass(Time::from_millis(2_000), id, 1).unwrap_err();
    assert_eq!(wait, Duration::from_secs(60), "the longest that anybody is told");
    let wait = gate.pass(Time::from_millis(1_000_000), id, 1).unwrap_err();
    assert!(wait > Duration::from_secs(1) && wait < Duration::from_secs(3), "{wait:?}");
    assert_eq!(gate.pass(Time::from_millis(1_000_000) + wait + Duration::from_millis(1), id, 1), Ok(()));
    // What the core did not take costs nothing.
    let now = Time::from_millis(2_000_000);
    assert_eq!(gate.pass(now, id, 50_000), Ok(()));
    assert!(gate.pass(now, id, 1).is_err());
    gate.give_back(id, 50_000);
    assert_eq!(gate.pass(now, id, 1), Ok(()));
    // At a standstill nothing passes.
    gate.set(now, &looked(&config, 1, &unposted(1, 600_000, 0)), 1);
    assert_eq!(gate.pass(now + HOLD * 99, id, 1), Err(Duration::from_secs(30)));
}

/// Refusals stand where their transactions stood.
#[test]
fn the_valve_refuses_in_place_and_says_why() {
    let transaction =
        |rollup, data: &'static [u8]| Transaction { rollup: RollupId::new(rollup), data: data.into() };
    let (blob, committee) = (rollup(1, DataPolicy::Blob, 9), rollup(2, DataPolicy::Committee, 9));
    let valve = |rollups| Valve::new(&Arc::new(spec(rollups)), AdmissionConfig::default());
    let mixed = valve(vec![blob.clone(), committee]);
    let offered = || vec![transaction(1, b"a"), transaction(2, b"b"), transaction(1, b"c")];
    let answers = || vec![Ok(TxId::ZERO), Err(AdmissionError::Size(0)), Ok(TxId::ZERO), Ok(TxId::ZERO)];
    let (mut open, mut stopped) = (answers(), answers());
    assert_eq!(mixed.admit(offered(), &mut open).0.len(), 3);
    assert_eq!(open, answers());
    mixed.look(unposted(1, u64::MAX, 0), 4);
    let (left, _) = mixed.admit(offered(), &mut stopped);
    assert_eq!(left, [transaction(2, b"b")]);
    let refused = |answer: &Result<_, AdmissionError>| matches!(answer, Err(AdmissionError::Slowed { why, .. }) if why.contains("not on L1"));
    assert!(refused(&stopped[0]) && refused(&stopped[3]), "{stopped:?}");
    assert_eq!(stopped[1..3], answers()[1..3]);
    assert_eq!((mixed.status().refused, mixed.status().state), (2, Level::Stopped));
    assert_eq!(mixed.stopped(), None, "one rollup is still served");
    let alone = valve(vec![blob]);
    assert_eq!(alone.stopped(), None);
    alone.look(unposted(1, u64::MAX, 0), 4);
    assert_eq!(alone.stopped(), Some(Cause::UnpostedBytes));
}

fn below(rng: &mut ChaCha8Rng, limit: u64) -> u64 {
    rng.next_u64() % limit.max(1)
}

/// Any readings: harmless, at an edge, or absurd.
fn asked(rng: &mut ChaCha8Rng) -> f64 {
    match below(rng, 4) {
        0 => 0.0,
        1 => 1.0,
        _ => below(rng, 1_000) as f64 / 1_000.0,
    }
}

/// Whatever is asked for: a rate is what its level says, no higher than what is asked for, no state comes back sooner than [`HOLD`],
/// more pressure never gives a higher rate, and without any it all ends.
#[test]
fn rates_are_steady_and_monotone() {
    for seed in 0..4_000 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (mut light, mut heavy) = (Controller::default(), Controller::default());
        let mut now = Time::from_millis(below(rng, 1 << 40));
        let (mut slowed_at, mut stopped_at) = (None, None);
        let keeps = 1 + below(rng, 40);
        let mut ask = 1.0;
        for look in 0..200 {
            now = now + Duration::from_millis(100 + below(rng, 1_900));
            if look % keeps == 0 {
                ask = asked(rng);
            }
            let more = ask * below(rng, 1_001) as f64 / 1_000.0;
            let before = light.posted.level();
            let one = |rate| Asked { rate, cause: (rate < 1.0).then_some(Cause::FreeDisk) };
            let both = |rate| Rates { posted: one(rate), kept: one(rate) };
            light.look(now, &both(ask));
            heavy.look(now, &both(more));
            let (rate, level) = (light.posted.rate(), light.posted.level());
            assert!(heavy.posted.rate() <= rate && heavy.posted.level() >= level, "seed {seed}, look {look}");
            assert!(rate <= ask, "seed {seed}, look {look}: {rate} of {ask}");
            match level {
                Level::Open => assert!(rate == 1.0 && light.posted.cause().is_none()),
                Level::Slowed => assert!(rate > 0.0 && rate < 1.0, "seed {seed}, look {look}: {rate}"),
                Level::Stopped => assert_eq!(rate, 0.0),
            }
            assert!(level == Level::Open || light.posted.cause().is_some());
            for (at, which) in [(&mut slowed_at, Level::Slowed), (&mut stopped_at, Level::Stopped)] {
                if before < which && level >= which {
                    let last: Option<Time> = at.replace(now);
                    assert!(
                        last.is_none_or(|last| now.since(last) >= HOLD),
                        "seed {seed}, look {look}: it flaps"
                    );
                }
            }
        }
        for _ in 0..(HOLD * 2 + RECOVERY).as_secs() + 2 {
            now = now + Duration::from_secs(1);
            heavy.look(now, &calm().rates(&AdmissionConfig::default()));
        }
        assert_eq!((heavy.posted.level(), heavy.posted.rate()), (Level::Open, 1.0), "seed {seed}");
    }
}

/// A network whose members admit by themselves, in front of an L1 that takes as much as it likes.
struct Life {
    config: AdmissionConfig,
    spec: ChainSpec,
    nodes: Vec<(Controller, Gate)>,
    /// Seconds after which a node sees what it does.
    lags: Vec<usize>,
    /// Bytes that L1 lacks; the newest last, one a second.
    history: VecDeque<u64>,
    unposted: u64,
    now: Time,
}

impl Life {
    /// Members look with lags of up to half a minute, and the room is at least what can come within a minute.
    fn new(rng: &mut ChaCha8Rng, arrival: u64) -> Self {
        let slow = below(rng, arrival * 100);
        let stop = slow + arrival * (60 + below(rng, 200));
        let config = AdmissionConfig {
            slow_unposted_bytes: slow,
            stop_unposted_bytes: stop,
            ..AdmissionConfig::default()
        };
        let rollups = 1 + u32::try_from(below(rng, 3)).unwrap();
        let quota = |rng: &mut ChaCha8Rng| u32::try_from(1_000 + below(rng, 1_000_000)).unwrap();
        let spec = spec((1..=rollups).map(|id| rollup(id, DataPolicy::Blob, quota(rng))).collect());
        let members = 4 + below(rng, 4);
        let nodes = (0..members).map(|_| (Controller::default(), Gate::new(&spec, &config))).collect();
        let lags = (0..members).map(|_| usize::try_from(below(rng, 30)).unwrap()).collect();
        Self { config, spec, nodes, lags, history: [0].into(), unposted: 0, now: Time::from_millis(1_000) }
    }

    /// One second: so many bytes are offered, to random members in transactions of any size, and L1 takes so many.
    fn second(&mut self, rng: &mut ChaCha8Rng, mut offered: u64, drain: u64) {
        let members = self.nodes.len();
        for ((controller, gate), lag) in self.nodes.iter_mut().zip(&self.lags) {
            let seen = self.history[self.history.len().saturating_sub(lag + 1)];
            controller.look(self.now, &unposted(1, seen, 0).rates(&self.config));
            gate.set(self.now, controller, members);
        }
        while offered > 0 {
            let size = (1 + below(rng, MAX_TRANSACTION_BYTES as u64)).min(offered);
            offered -= size;
            let (_, gate) = &mut self.nodes[usize::try_from(below(rng, members as u64)).unwrap()];
            let rollup =
                RollupId::new(1 + u32::try_from(below(rng, self.spec.rollups.len() as u64)).unwrap());
            let at = self.now + Duration::from_millis(below(rng, 1_000));
            if gate.pass(at, rollup, size).is_ok() {
                self.unposted += size;
            }
        }
        self.unposted = self.unposted.saturating_sub(drain);
        self.history.push_back(self.unposted);
        if self.history.len() > 64 {
            self.history.pop_front();
        }
        self.now = self.now + Duration::from_secs(1);
    }

    /// The limit, and one overdraft of each rollup at each node.
    fn bound(&self) -> u64 {
        let overdrafts = self.nodes.len() * self.spec.rollups.len() * MAX_TRANSACTION_BYTES;
        self.config.stop_unposted_bytes + overdrafts as u64
    }

    fn rates(&self) -> Vec<f64> {
        self.nodes.iter().map(|(controller, _)| controller.posted.rate()).collect()
    }
}

/// With L1 away for any time, or slow, and more offered than it ever takes: the limit holds, and once L1 is back everybody is at 1.
#[test]
fn the_limit_holds_in_any_life_and_all_recover() {
    let (mut full, mut slowed) = (0, 0);
    for seed in 0..2_000 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let arrival = 100_000 + below(rng, 400_000);
        let life = &mut Life::new(rng, arrival);
        for _ in 0..1 + below(rng, 2) {
            let longest = if below(rng, 10) == 0 { 3_000 } else { 400 };
            let (length, drain) = (below(rng, longest), below(rng, 3) * below(rng, arrival) / 2);
            for _ in 0..length {
                let offered = below(rng, arrival);
                life.second(rng, offered, drain);
                assert!(life.unposted <= life.bound(), "seed {seed}: {} of {}", life.unposted, life.bound());
            }
            slowed += u32::from(life.rates().iter().any(|rate| *rate < 1.0));
            full += u32::from(life.rates().iter().any(|rate| *rate < 0.1));
        }
        // It drains while everybody goes on sending.
        let drain = life.unposted / 60 + 2 * arrival;
        for _ in 0..60 + 30 + (HOLD * 2 + RECOVERY).as_secs() + 2 {
            let offered = below(rng, arrival);
            life.second(rng, offered, drain);
        }
        assert!(life.rates().iter().all(|rate| *rate == 1.0), "seed {seed}: {:?}", life.rates());
    }
    assert!(slowed > 500 && full > 50, "these lives are too easy: slowed {slowed}, nearly full {full}");
}

/// Twice as much is offered as L1 takes: the rate finds its place and stays there.
#[test]
fn with_an_l1_that_is_only_slow_the_rate_comes_to_rest() {
    for seed in 0..20 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let arrival = 2 * MIB;
        let life = &mut Life::new(rng, arrival);
        let room = life.config.stop_unposted_bytes - life.config.slow_unposted_bytes;
        // Half of what the full speed would bring, and less than is offered.
        let drain = (room / 1_200).min(arrival / 2);
        let mut highest: f64 = 0.0;
        let mut lowest: f64 = 1.0;
        for second in 0..6_000 {
            life.second(rng, arrival, drain);
            if second >= 4_500 {
                highest = life.rates().into_iter().fold(highest, f64::max);
                lowest = life.rates().into_iter().fold(lowest, f64::min);
            }
        }
        assert!(
            lowest > 0.2 && highest < 0.8 && highest - lowest < 0.1,
            "seed {seed}: {lowest} to {highest}"
        );
    }
}
