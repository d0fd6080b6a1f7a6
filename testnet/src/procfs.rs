//! What Linux says about processes: who a pid is, what it uses.
//!
//! A pid alone is not an identity, since numbers are used again; a pid with its start time is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Ticks of `/proc` times per second: `USER_HZ`, 100 on every Linux architecture that Rust supports.
const TICKS_PER_SECOND: u64 = 100;

/// One process, and no later one that happens to get its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// Start time in ticks since boot.
    pub started: u64,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time, user and system, of all threads.
    pub cpu: Duration,
    /// Resident memory now, bytes.
    pub rss: u64,
    /// Most resident memory so far, bytes.
    pub rss_peak: u64,
}

struct Stat {
    state: char,
    cpu_ticks: u64,
    started: u64,
}

/// Parses `/proc/<pid>/stat`. The name in parentheses may itself hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        cpu_ticks: number(11)?.checked_add(number(12)?)?,
        started: number(19)?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

impl ProcessId {
    /// The process that has this number now, unless it is dead already.
    pub fn of(pid: u32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started })
    }

    /// Whether this very process still runs. One that ended but was not yet collected by its parent does not.
    pub fn alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && !matches!(stat.state, 'Z' | 'X'))
    }

    /// What it has used, while it lives.
    pub fn usage(self) -> Option<Usage> {
        let stat = stat(self.pid).filter(|stat| stat.started == self.started)?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Usage {
            cpu: Duration::from_millis(stat.cpu_ticks.saturating_mul(1000 / TICKS_PER_SECOND)),
            rss: kilobytes("VmRSS:")?.saturating_mul(1024),
            rss_peak: kilobytes("VmHWM:")?.saturating_mul(1024),
        })
    }
}

/// Its command line, shortened to what fits a sentence.
pub fn command_line(pid: u32) -> Option<String> {
    const SHOWN: usize = 120;
    let raw = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = raw.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let line = words.join(" ").trim().to_owned();
    if line.is_empty() {
        return std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned());
    }
    if line.chars().count() <= SHOWN {
        return Some(line);
    }
    Some(line.chars().take(SHOWN).chain(['…']).collect())
}

/// The machine's load over the last minute: runnable processes.
pub fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Bytes sent over the loopback interface since boot. Loopback delivers what it sends, so this is also what arrived.
pub fn loopback_bytes() -> Option<u64> {
    parse_loopback(&std::fs::read_to_string("/proc/net/dev").ok()?)
}

fn parse_loopback(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let text = "42 (a) b (S) 7) R 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 98765 1 2";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.state, stat.cpu_ticks, stat.started), ('R', 200, 98_765));
        assert!(parse_stat("42 (short) R 1").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn loopback_is_found_among_interfaces() {
        let text =
            "Inter-|   Receive\n face |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10\n    lo: 11 2 3 4 5 6 7 8 19 10\n";
        assert_eq!(parse_loopback(text), Some(19));
        assert_eq!(parse_loopback("no interfaces"), None);
    }
}
