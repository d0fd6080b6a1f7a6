//! What a person sees while the network comes up: one line a stage, with a spinner where there is a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The stages of a start, in order.
pub(crate) const STAGES: [&str; 8] =
    ["preflight", "keys", "L1", "contracts", "nodes", "key ceremony", "first block", "first batch on L1"];

/// Shows stages on standard error; standard output stays free for results.
pub(crate) struct Progress {
    terminal: bool,
    quiet: bool,
    done: usize,
}

/// One stage under way.
pub(crate) struct Stage {
    label: String,
    began: Instant,
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Progress {
    /// For people, unless `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), quiet, done: 0 }
    }

    /// Says something between stages.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// Begins the next stage.
    pub(crate) fn stage(&mut self) -> Stage {
        let name = STAGES.get(self.done).copied().unwrap_or("more");
        self.done += 1;
        let label = format!("[{}/{}] {name:<18}", self.done, STAGES.len());
        let bar = self.terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Stage { label, began: Instant::now(), bar, quiet: self.quiet }
    }

    /// Something that not every start has and that is so much work.
    pub(crate) fn counted(&self, name: &str, of: u64) -> Stage {
        let mut stage = self.aside(name);
        stage.bar = self.terminal().then(|| {
            let bar = ProgressBar::new(of);
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:40} {human_pos} of {human_len}") {
                bar.set_style(style);
            }
            bar.set_prefix(stage.label.clone());
            bar
        });
        stage
    }

    const fn terminal(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// Something that not every start has.
    pub(crate) fn aside(&self, name: &str) -> Stage {
        Stage { label: format!("      {name:<18}"), began: Instant::now(), bar: None, quiet: self.quiet }
    }
}

impl Stage {
    /// Says how far it is; shown only where it can be overwritten.
    pub(crate) fn note(&self, text: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.into());
        }
    }

    /// Says how much of the work is done.
    pub(crate) fn reached(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Ends it with what came out.
    pub(crate) fn done(self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            eprintln!("{} ok  {text} ({:.1} s)", self.label, self.began.elapsed().as_secs_f64());
        }
    }
}
