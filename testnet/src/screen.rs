//! The live status: redrawn in a terminal, a line every few seconds elsewhere.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use console::Term;

use crate::observe::Snapshot;

/// Outside a terminal, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Columns left for a node's own words beside its name.
const WHY_COLUMNS: usize = 66;

/// Shows snapshots on standard error.
pub struct Screen {
    term: Term,
    drawn: usize,
    last_line: Option<Instant>,
    quiet: bool,
}

impl Screen {
    /// For people, unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { term: Term::stderr(), drawn: 0, last_line: None, quiet }
    }

    /// Shows the newest snapshot. A terminal that is gone is no reason to stop.
    pub fn show(&mut self, snapshot: &Snapshot) {
        if self.quiet {
            return;
        }
        if self.term.is_term() {
            let text = render(snapshot);
            let width = usize::from(self.term.size().1).max(20);
            let _ = self.term.clear_last_lines(self.drawn);
            let lines: Vec<String> =
                text.lines().map(|line| line.chars().take(width - 1).collect()).collect();
            self.drawn = lines.len();
            let _ = self.term.write_line(&lines.join("\n"));
        } else if self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            eprintln!("{}", line(snapshot));
        }
    }

    /// Says something above the live status.
    pub fn say(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        let _ = self.term.clear_last_lines(std::mem::take(&mut self.drawn));
        let _ = self.term.write_line(text);
    }
}

/// The whole status, for a terminal.
pub fn render(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut text, snapshot);
    text
}

fn write_all(text: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let load = &snapshot.load;
    let leader = snapshot.leader.map_or_else(|| "-".into(), |leader| leader.to_string());
    writeln!(text, "  running        {:.0} s", snapshot.elapsed_s)?;
    let members = members(snapshot);
    writeln!(text, "  height         {}   softly confirmed {}", snapshot.height, snapshot.certified)?;
    writeln!(text, "  committee      {members}   leader {leader}   epoch {}", snapshot.epoch)?;
    writeln!(
        text,
        "  transactions   {:.1}/s  {} of {} ordered  {} waiting  {} refused",
        load.tps, load.counts.ordered, load.counts.offered, load.pending, load.counts.refused
    )?;
    writeln!(
        text,
        "  latency (p50)  ordered {:.0} ms   soft confirmation {:.0} ms",
        load.ordered_p50_ms, load.certified_p50_ms
    )?;
    write_l1(text, snapshot)?;
    for node in &snapshot.nodes {
        let health = match (node.ready, node.member) {
            (true, true) => "member",
            (true, false) => "follows",
            (false, _) => "NOT READY",
        };
        writeln!(
            text,
            "  {:<10} {health:<9} height {:<8} peers {:<2} cpu {:>3.0} % {:>4.0} MB  {}",
            node.role, node.height, node.peers, node.cpu_percent, node.rss_mb, node.process
        )?;
        if !node.ready {
            writeln!(text, "  {:<10} {}", "", first_line(&node.why))?;
        }
    }
    for batcher in &snapshot.batchers {
        let balance = batcher.balance_eth.map_or_else(|| "?".into(), |eth| format!("{eth:.4} ETH"));
        let part = match (batcher.runs, batcher.active) {
            (false, _) => "NOT RUNNING",
            (true, true) => "posted last",
            (true, false) => "standing by",
        };
        writeln!(
            text,
            "  {:<10} {part:<11}  balance {balance:<15} {:>4.0} MB  {}",
            batcher.role, batcher.rss_mb, batcher.process
        )?;
    }
    for alarm in &snapshot.alarms {
        writeln!(text, "  ! {alarm}")?;
    }
    Ok(())
}

fn write_l1(text: &mut String, snapshot: &Snapshot) -> std::fmt::Result {
    let l1 = &snapshot.l1;
    let block = l1.block.map_or_else(|| "does not answer".into(), |block| format!("block {block}"));
    let Some(batch) = &l1.last_batch else { return writeln!(text, "  L1             {block}, no batch yet") };
    let bytes = l1.bytes_per_tx.map_or_else(|| "-".into(), |bytes| format!("{bytes:.0}"));
    writeln!(text, "  L1             {block}")?;
    writeln!(
        text,
        "  last batch     {}: {} blobs, {} gas, heights {}-{}",
        batch.number, batch.blobs, batch.gas, batch.first_height, batch.last_height
    )?;
    writeln!(text, "                 {bytes} blob bytes per transaction (blobs are paid for whole)")
}

/// The status in one line.
pub fn line(snapshot: &Snapshot) -> String {
    let ready = snapshot.nodes.iter().filter(|node| node.ready).count();
    let batch = snapshot.l1.last_batch.as_ref().map_or(0, |batch| batch.number);
    let alarm = if snapshot.alarms.is_empty() {
        String::new()
    } else {
        format!("  ALARMS {}", snapshot.alarms.len())
    };
    format!(
        "{:>5.0} s  height {}  {:.1} tx/s  ordered {:.0} ms  certified {:.0} ms  batch {batch}  committee {}  epoch {}  ready {ready}/{}{alarm}",
        snapshot.elapsed_s,
        snapshot.height,
        snapshot.load.tps,
        snapshot.load.ordered_p50_ms,
        snapshot.load.certified_p50_ms,
        members(snapshot),
        snapshot.epoch,
        snapshot.nodes.len(),
    )
}

fn members(snapshot: &Snapshot) -> String {
    let all: Vec<String> = snapshot.committee.iter().map(ToString::to_string).collect();
    if all.is_empty() { "-".into() } else { all.join(",") }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(WHY_COLUMNS).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::contract::Batch;
    use crate::observe::{BatcherView, L1View, NodeView};
    use crate::role::Role;

    fn snapshot() -> Snapshot {
        let batch = Batch {
            number: 12_345,
            id: String::new(),
            parent: String::new(),
            first_height: 1_234_000,
            last_height: 1_234_567,
            last_time_ms: 0,
            l1_block: 50_000,
            poster: Address::ZERO,
            blobs: 6,
            gas: 98_765,
        };
        let node = |number, ready| NodeView {
            role: Role::Node(number),
            process: "pid 4194304".into(),
            member: true,
            ready,
            why: "peers: 0 connected, 2 needed for a quorum; key share: dealing 1 of 4\nmore".into(),
            height: 1_234_567,
            peers: 9,
            cpu_percent: 100.0,
            rss_mb: 1_024.0,
        };
        let batcher = |number, runs| BatcherView {
            role: Role::Batcher(number),
            process: "pid 4194304".into(),
            runs,
            active: true,
            balance_eth: Some(10_000.0),
            rss_mb: 120.0,
        };
        let l1 =
            L1View { block: Some(50_001), last_batch: Some(batch), batches: 1, bytes_per_tx: Some(143.2) };
        let counts = crate::load::Counts { offered: 1_728_000, ordered: 1_728_000, ..Default::default() };
        let load = crate::observe::LoadView { counts, tps: 1_999.8, pending: 1_000, ..Default::default() };
        Snapshot {
            load,
            elapsed_s: 36_000.0,
            height: 1_234_567,
            certified: 1_234_566,
            committee: (1..=4).collect(),
            leader: Some(3),
            l1,
            nodes: vec![node(1, true), node(2, false), NodeView { member: false, ..node(40, true) }],
            batchers: vec![batcher(1, true), batcher(2, false)],
            ..Snapshot::default()
        }
    }

    /// Longer lines are cut, and what was cut once was the health of every node.
    #[test]
    fn a_days_old_network_fits_an_ordinary_terminal() {
        let text = render(&snapshot());
        for line in text.lines() {
            assert!(line.chars().count() < 80, "{} columns: {line}", line.chars().count());
        }
        for expected in [
            "node-1     member ",
            "node-2     NOT READY",
            "node-40    follows ",
            "leader 3",
            "6 blobs",
            "10000.0000 ETH",
            "batcher-1  posted last",
            "batcher-2  NOT RUNNING",
            "143 blob bytes",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(line(&snapshot()).contains("committee 1,2,3,4  epoch 0  ready 2/3"));
    }
}
