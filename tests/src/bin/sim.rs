//! Runs seeded simulations of whole networks and reports what broke.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tests::sim::{Faults, Plan, Report, run};

/// Simulates whole networks of node cores under seeded faults.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  sim --seeds 300            the first 300 seeds\n  sim --seed 42 --trace      replay one seed, a line an event\n  sim --seeds 100 --nodes 7  seven nodes in every run\n\nExit codes: 0 all promises held, 1 a promise broke, 2 usage"
)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run only this seed.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Print a line an event.
    #[arg(long)]
    trace: bool,
    /// Number of nodes, instead of the seed's choice of 4 to 7.
    #[arg(long, value_parser = clap::value_parser!(u8).range(4..=40))]
    nodes: Option<u8>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = match arguments.seed {
        Some(seed) => seed..=seed,
        None => arguments.first..=(arguments.first + arguments.seeds.max(1) - 1),
    };
    let bar = ProgressBar::new(seeds.end() - seeds.start() + 1);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {elapsed}, {msg}").expect("valid"),
    );
    let started = Instant::now();
    let mut totals = Totals::default();
    for seed in seeds {
        let plan = Plan::from_seed(seed, arguments.nodes.map(usize::from));
        let mut print = |line: String| println!("{line}");
        let report = run(&plan, arguments.trace.then_some(&mut print as &mut dyn FnMut(String)));
        for violation in &report.violations {
            bar.suspend(|| println!("seed {seed}: {} broke: {}", violation.promise, violation.seen));
        }
        if arguments.trace {
            println!("seed {seed}: event hash {}", report.event_hash);
        }
        totals.add(&report);
        bar.set_message(format!("{} violations", totals.violations));
        bar.inc(1);
    }
    bar.finish_and_clear();
    totals.print(started.elapsed().as_secs_f64(), arguments.json);
    if totals.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    events: u64,
    blocks: u64,
    transactions: u64,
    batches: u64,
    faults: Faults,
    violations: u64,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.blocks += report.blocks;
        self.transactions += report.transactions;
        self.batches += report.batches;
        self.faults.merge(&report.faults);
        self.violations += report.violations.len() as u64;
        if !report.violations.is_empty() {
            self.failed.push(report.seed);
        }
    }

    fn print(&self, seconds: f64, json: bool) {
        if json {
            let object = serde_json::json!({
                "seeds": self.seeds, "seconds": seconds, "events": self.events, "blocks": self.blocks,
                "transactions": self.transactions, "batches": self.batches,
                "violations": self.violations, "failed_seeds": self.failed,
            });
            println!("{object}");
            return;
        }
        println!("{} seeds in {seconds:.1} s, {:.2} s a seed", self.seeds, seconds / self.seeds as f64);
        println!(
            "{} events, {} blocks, {} transactions, {} batches",
            self.events, self.blocks, self.transactions, self.batches
        );
        for (kind, count) in self.faults.iter() {
            println!("  {count:>9} {kind}");
        }
        println!("{} violations{}", self.violations, if self.failed.is_empty() { "" } else { ", in seeds:" });
        for seed in &self.failed {
            println!("  {seed}    (replay: cargo run --release -p tests --bin sim -- --seed {seed} --trace)");
        }
    }
}
