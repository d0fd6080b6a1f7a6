//! The live status: redrawn in a terminal, a line every few seconds elsewhere.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use console::Term;

use crate::observe::Snapshot;

/// Outside a terminal, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

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
    let committee: Vec<String> = snapshot.committee.iter().map(ToString::to_string).collect();
    let leader = snapshot.leader.map_or_else(|| "-".into(), |leader| leader.to_string());
    writeln!(text, "  running        {:.0} s", snapshot.elapsed_s)?;
    writeln!(
        text,
        "  height         {}   certified {}   epoch {}   committee {}   leader {leader}",
        snapshot.height,
        snapshot.certified,
        snapshot.epoch,
        if committee.is_empty() { "-".into() } else { committee.join(",") },
    )?;
    writeln!(
        text,
        "  transactions   {:.1}/s   {} offered   {} ordered   {} waiting   {} refused",
        load.tps, load.counts.offered, load.counts.ordered, load.pending, load.counts.refused
    )?;
    writeln!(
        text,
        "  latency (p50)  ordered {:.0} ms   soft confirmation {:.0} ms",
        load.ordered_p50_ms, load.certified_p50_ms
    )?;
    writeln!(text, "  L1             {}", l1_line(snapshot))?;
    for node in &snapshot.nodes {
        let health =
            if node.ready { "ready".to_owned() } else { format!("NOT READY: {}", first_line(&node.why)) };
        writeln!(
            text,
            "  {:<10} {:<12} height {:<8} cpu {:>5.1} %  rss {:>5.0} MB  peers {:<3} {health}",
            node.role, node.process, node.height, node.cpu_percent, node.rss_mb, node.peers
        )?;
    }
    for batcher in &snapshot.batchers {
        let balance = batcher.balance_eth.map_or_else(|| "?".into(), |eth| format!("{eth:.4} ETH"));
        let active = if batcher.active { "posted last" } else { "standing by" };
        writeln!(
            text,
            "  {:<10} {:<12} {active:<12} balance {balance}  rss {:>5.0} MB",
            batcher.role, batcher.process, batcher.rss_mb
        )?;
    }
    for alarm in &snapshot.alarms {
        writeln!(text, "  ! {alarm}")?;
    }
    Ok(())
}

fn l1_line(snapshot: &Snapshot) -> String {
    let l1 = &snapshot.l1;
    let block = l1.block.map_or_else(|| "does not answer".into(), |block| format!("block {block}"));
    let Some(batch) = &l1.last_batch else { return format!("{block}   no batch yet") };
    let bytes = l1.bytes_per_tx.map_or_else(|| "-".into(), |bytes| format!("{bytes:.0}"));
    format!(
        "{block}   last batch {} ({} blobs, {} gas, heights {}-{})   {bytes} blob bytes per transaction",
        batch.number, batch.blobs, batch.gas, batch.first_height, batch.last_height
    )
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
        "{:>5.0} s  height {}  {:.1} tx/s  ordered {:.0} ms  certified {:.0} ms  batch {batch}  ready {ready}/{}{alarm}",
        snapshot.elapsed_s,
        snapshot.height,
        snapshot.load.tps,
        snapshot.load.ordered_p50_ms,
        snapshot.load.certified_p50_ms,
        snapshot.nodes.len(),
    )
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(80).collect()
}
