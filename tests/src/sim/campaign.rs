//! Many seeds on several threads, in a way that can be stopped and gone on with.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::oracle::Violation;
use super::{Plan, Report, run};

/// Failures that are kept of one campaign.
const MAX_FAILURES: usize = 200;

/// What the seeds so far add up to. Seeds count in order, so a campaign that goes on from here gives the same in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The first seed.
    pub first: u64,
    /// Seeds run, from the first one on without a gap.
    pub seeds: u64,
    /// Of them with the real signature scheme.
    pub real_signatures: u64,
    /// Events handled.
    pub events: u64,
    /// Blocks ordered.
    pub blocks: u64,
    /// Transactions ordered.
    pub transactions: u64,
    /// Batches signed.
    pub batches: u64,
    /// Epochs that ended.
    #[serde(default)]
    pub epochs: u64,
    /// Faults injected, by kind.
    pub faults: Faults,
    /// Seeds with more than f Byzantine validators.
    pub beyond: u64,
    /// Of those, forks where more than f voted twice: recorded, not judged.
    pub forked_beyond: u64,
    /// Longest time from the last fault until nothing was owed any more, in simulated milliseconds.
    pub slowest_recovery_ms: u64,
    /// Broken promises.
    pub violations: u64,
    /// What broke: seed, promise, what was seen.
    pub failures: Vec<(u64, String, String)>,
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
}

impl Totals {
    fn add(&mut self, plan: &Plan, report: &Report) {
        self.seeds += 1;
        self.real_signatures += u64::from(plan.real_signatures);
        self.events += report.events;
        self.blocks += report.blocks;
        self.transactions += report.transactions;
        self.batches += report.batches;
        self.epochs += report.epochs;
        self.faults.merge(&report.faults);
        self.beyond += u64::from(plan.is_beyond());
        self.forked_beyond += u64::from(report.forked_beyond);
        let recovery = report.recovered_after_ms.unwrap_or(0);
        self.slowest_recovery_ms = self.slowest_recovery_ms.max(recovery);
        self.violations += report.violations.len() as u64;
        for violation in &report.violations {
            if self.failures.len() < MAX_FAILURES {
                self.failures.push((report.seed, violation.promise.to_owned(), violation.seen.clone()));
            }
        }
    }

    /// Seeds in which something broke.
    pub fn failed_seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.failures.iter().map(|(seed, ..)| *seed).collect();
        seeds.dedup();
        seeds
    }

    /// Reads what an earlier campaign left; nothing if there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or is none of these.
    pub fn load(path: &Path) -> Result<Option<Self>, String> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| e.to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Writes it, all or nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let aside = path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(aside, path)
    }
}

/// Runs the seeds up to `end` that `totals` lacks, each through `plan`, on `jobs` threads. `each` is told of every seed in order and
/// says whether to go on.
pub fn campaign(
    totals: &mut Totals,
    end: u64,
    jobs: usize,
    plan: impl Fn(u64) -> Plan + Sync,
    mut each: impl FnMut(&Totals, &Report) -> bool,
) {
    let next = AtomicU64::new(totals.first + totals.seeds);
    let stop = AtomicBool::new(false);
    let (sender, results) = mpsc::sync_channel(jobs * 2);
    let (cpu_before, cpu_start) = (totals.cpu_ms, cpu_ms());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, stop, plan) = (sender.clone(), &next, &stop, &plan);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let plan = plan(seed);
                    let report = caught(seed, || run(&plan, None));
                    if sender.send((plan, report)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        for (plan, report) in results {
            early.insert(report.seed, (plan, report));
            while let Some((plan, report)) = early.remove(&(totals.first + totals.seeds)) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                totals.add(&plan, &report);
                totals.cpu_ms = cpu_before + cpu_ms().saturating_sub(cpu_start);
                if !each(totals, &report) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}

/// Runs one seed. A panic is a broken promise like any other; the campaign goes on, which waited for its seed for ever once.
fn caught(seed: u64, run: impl FnOnce() -> Report) -> Report {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let seen = text.unwrap_or("a panic without a text").to_owned();
        Report { seed, violations: vec![Violation { promise: "no panic", seen }], ..Report::default() }
    })
}

/// CPU time of this process so far, where the system tells: `utime` and `stime` of `/proc/self/stat`, in hundredths of a second.
fn cpu_ms() -> u64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return 0 };
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |place: usize| after_name.split_whitespace().nth(place).and_then(|t| t.parse::<u64>().ok());
    (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_panics_has_broken_a_promise() {
        let report = caught(7, || Vec::<Report>::new().remove(0));
        let seen = "removal index (is 0) should be < len (is 0)".to_owned();
        assert_eq!((report.seed, report.violations), (7, vec![Violation { promise: "no panic", seen }]));
        let seen = "text".to_owned();
        assert_eq!(caught(8, || panic!("text")).violations, vec![Violation { promise: "no panic", seen }]);
        assert_eq!(caught(9, Report::default).violations, []);
    }
}
