//! Runs seeded simulations of whole networks and reports what broke.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tests::sim::campaign::{Totals, campaign};
use tests::sim::scale::{Figures, Setup, measure};
use tests::sim::{Plan, Planted, planted, run};

/// Longest delay of a link: longer ones are waited for like dead leaders.
const MAX_LINK_MS: u64 = 300;
/// How often a campaign's state is written.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// Simulates whole networks of node cores under seeded faults and liars.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  sim --seeds 300                      the first 300 seeds\n  sim --seed 42 --trace                replay one seed, a line an event\n  sim --seeds 100 --nodes 7            seven validators in every run\n  sim --seeds 200 --rotate             a new key every few seconds; 4 members become 7, 10 and 4 again\n  sim --seeds 20000 --state sim.json   a long campaign; the same command goes on where it was stopped\n  sim --planted all                    does the simulator find bugs on purpose?\n  sim scale                            latency and cost of honest networks of 4 to 100\n\nExit codes: 0 all promises held, 1 a promise broke, 2 usage"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run only this seed.
    #[arg(long, conflicts_with_all = ["seeds", "first", "state"])]
    seed: Option<u64>,
    /// Print a line an event.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Number of validators, instead of the seed's choice of 4 to 10.
    #[arg(long, value_parser = clap::value_parser!(u8).range(4..=40))]
    nodes: Option<u8>,
    /// Short epochs in every run, instead of in one of four; in every second of them validators join and leave.
    #[arg(long)]
    rotate: bool,
    /// Threads; as many as there are processors if not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Keep what was done in this file, and go on from it.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Plant this bug in every node and run seeds until it is found; `all` makes a table of all bugs.
    #[arg(long, value_name = "BUG", conflicts_with_all = ["seeds", "first", "state", "json"])]
    planted: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measures honest networks over slow links under steady load: latency in hops, traffic and CPU time a node.
    Scale(ScaleArguments),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  sim scale                                  4, 7, 10, 22, 40, 70 and 100 nodes\n  sim scale --nodes 4,100 --json             two sizes, one JSON object a line\n  sim scale --nodes 10 --rate 50 --seconds 30\n  sim scale --links 80-80                    all links alike"
)]
struct ScaleArguments {
    /// Sizes, comma separated.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 7, 10, 22, 40, 70, 100], value_parser = clap::value_parser!(u8).range(4..=100))]
    nodes: Vec<u8>,
    /// Transactions a second that each node takes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Simulated seconds that are measured; fewer the larger the network if not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// One-way delays of the fastest and the slowest link, in milliseconds; equal ones show the protocol's own message delays.
    #[arg(long, default_value = "25-150", value_parser = link_delays)]
    links: (Duration, Duration),
    /// Picks the links' delays.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object a size.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Scale(arguments)) = &arguments.command {
        scale(arguments);
        return ExitCode::SUCCESS;
    }
    let outcome = match (arguments.seed, &arguments.planted) {
        (Some(seed), planted) => {
            choose(planted.as_deref()).map(|bugs| replay(seed, bugs.first().map(|(_, bug)| *bug), &arguments))
        }
        (None, Some(name)) => choose(Some(name)).map(|bugs| hunt(&bugs, &arguments)),
        (None, None) => run_campaign(&arguments),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// `25-150`, in milliseconds.
fn link_delays(text: &str) -> Result<(Duration, Duration), String> {
    let wrong =
        || format!("not two delays in milliseconds, 1 to {MAX_LINK_MS}, the lesser first: like 25-150");
    let (least, most) = text.split_once('-').ok_or_else(wrong)?;
    let parse = |ms: &str| ms.trim().parse::<u64>().ok().filter(|ms| (1..=MAX_LINK_MS).contains(ms));
    let (least, most) = parse(least).zip(parse(most)).ok_or_else(wrong)?;
    if least > most {
        return Err(wrong());
    }
    Ok((Duration::from_millis(least), Duration::from_millis(most)))
}

fn scale(arguments: &ScaleArguments) {
    for (index, nodes) in arguments.nodes.iter().enumerate() {
        let usual = Setup::new(usize::from(*nodes));
        let seconds = arguments.seconds.unwrap_or(usual.seconds);
        let setup =
            Setup { rate: arguments.rate, seconds, links: arguments.links, seed: arguments.seed, ..usual };
        let bar = ProgressBar::new(100);
        bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {percent} %, {elapsed}").expect("valid"));
        bar.set_message(format!("{nodes} nodes"));
        let figures = measure(setup, |done| bar.set_position((done * 100.0) as u64));
        bar.finish_and_clear();
        if arguments.json {
            println!("{}", serde_json::to_string(&figures).expect("numbers and names"));
        } else {
            print_figures(&figures, index == 0);
        }
    }
}

fn print_figures(figures: &Figures, first: bool) {
    if first {
        println!("sent, by a node a block: messages / KB; CPU time of a core a block");
        println!(
            "{:>5} {:>8} {:>6} {:>8} {:>8} {:>8} {:>16} {:>9}",
            "nodes", "link ms", "hops", "p50 ms", "p99 ms", "blocks/s", "sent in all", "CPU ms"
        );
    }
    let sent = |t: &tests::sim::scale::Traffic| format!("{:.1} / {:.2}", t.messages, t.bytes / 1e3);
    println!(
        "{:>5} {:>8.1} {:>6.2} {:>8.0} {:>8.0} {:>8.2} {:>16} {:>9.2}",
        figures.nodes,
        figures.mean_link_ms,
        figures.hops,
        figures.p50_ms,
        figures.p99_ms,
        figures.blocks_per_second,
        sent(&figures.total),
        figures.cpu_ms
    );
    let kinds: Vec<String> =
        figures.sent.iter().map(|(kind, traffic)| format!("{kind} {}", sent(traffic))).collect();
    println!("      {}", kinds.join(" · "));
}

fn jobs(arguments: &Arguments) -> usize {
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.jobs.map_or_else(processors, usize::from)
}

fn choose(name: Option<&str>) -> Result<Vec<(&'static str, Planted)>, String> {
    let all = Planted::all();
    match name {
        None => Ok(Vec::new()),
        Some("all") => Ok(all.into_iter().collect()),
        Some(name) => match all.get_key_value(name) {
            Some((name, bug)) => Ok(vec![(*name, *bug)]),
            None => {
                let names: Vec<&str> = all.into_keys().collect();
                Err(format!("no such bug; there are all, {}", names.join(", ")))
            }
        },
    }
}

/// A table of bugs; how many were not found.
fn hunt(bugs: &[(&'static str, Planted)], arguments: &Arguments) -> u64 {
    println!("{:<24}{:>6}  {:<22}first seen", "bug", "seeds", "found by");
    let mut missed = 0;
    for (name, bug) in bugs {
        match bug.hunt(arguments.nodes.map(usize::from), jobs(arguments)) {
            Some(found) => println!("{name:<24}{:>6}  {:<22}{}", found.seeds, found.promise, found.seen),
            None => {
                missed += 1;
                println!("{name:<24}{:>6}  NOT FOUND", planted::MOST_SEEDS);
            }
        }
    }
    missed
}

fn plan(seed: u64, arguments: &Arguments) -> Plan {
    let nodes = arguments.nodes.map(usize::from);
    if arguments.rotate { Plan::rotating(seed, nodes) } else { Plan::from_seed(seed, nodes) }
}

/// One seed; how many promises broke.
fn replay(seed: u64, planted: Option<Planted>, arguments: &Arguments) -> u64 {
    let plan = Plan { planted, ..plan(seed, arguments) };
    let mut out = std::io::stdout().lock();
    // Whoever reads may have seen enough and closed the pipe.
    let mut print = |line: String| drop(writeln!(out, "{line}"));
    if arguments.trace {
        print(format!("{plan:#?}"));
    }
    let report = run(&plan, arguments.trace.then_some(&mut print as &mut dyn FnMut(String)));
    let violations = report.violations.len() as u64;
    if arguments.json {
        print(serde_json::to_string(&report).expect("counts and names"));
        return violations;
    }
    for violation in &report.violations {
        print(format!("seed {seed}: {} broke: {}", violation.promise, violation.seen));
    }
    for (kind, count) in report.faults.iter() {
        print(format!("{count:>9} {kind}"));
    }
    print(format!(
        "seed {seed}: {violations} violations, {} blocks, {} transactions, {} batches, {} epochs ended, event hash {}",
        report.blocks, report.transactions, report.batches, report.epochs, report.event_hash
    ));
    violations
}

fn run_campaign(arguments: &Arguments) -> Result<u64, String> {
    let fresh = Totals { first: arguments.first, ..Totals::default() };
    let mut totals = match &arguments.state {
        None => fresh,
        Some(path) => Totals::load(path).map_err(|e| format!("{}: {e}", path.display()))?.unwrap_or(fresh),
    };
    if totals.first != arguments.first {
        return Err(format!("that campaign begins at seed {}: give --first {0}", totals.first));
    }
    let bar = ProgressBar::new(arguments.seeds);
    bar.set_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {elapsed}, {eta} left, {msg}")
            .expect("valid"),
    );
    let (mut saved, mut failed_to_save) = (Instant::now(), None);
    let end = arguments.first + arguments.seeds;
    campaign(
        &mut totals,
        end,
        jobs(arguments),
        |seed| plan(seed, arguments),
        |totals, report| {
            for violation in &report.violations {
                let line = format!("seed {}: {} broke: {}", report.seed, violation.promise, violation.seen);
                bar.suspend(|| eprintln!("{line}"));
            }
            bar.set_position(totals.seeds);
            bar.set_message(format!("{} violations", totals.violations));
            let last = totals.first + totals.seeds == end;
            if let Some(path) = arguments.state.as_deref().filter(|_| last || saved.elapsed() >= SAVE_EVERY) {
                saved = Instant::now();
                failed_to_save = totals.save(path).err();
            }
            failed_to_save.is_none()
        },
    );
    bar.finish_and_clear();
    print(&totals, arguments.json);
    match failed_to_save {
        Some(error) => Err(format!("the campaign's state cannot be kept: {error}")),
        None => Ok(totals.violations),
    }
}

fn print(totals: &Totals, json: bool) {
    if json {
        println!("{}", serde_json::to_string(totals).expect("counts and names"));
        return;
    }
    let cpu = totals.cpu_ms as f64 / 1_000.0;
    println!(
        "{} seeds from {} on, {} of them with real signatures; {cpu:.1} CPU seconds, {:.2} a seed",
        totals.seeds,
        totals.first,
        totals.real_signatures,
        cpu / totals.seeds.max(1) as f64
    );
    println!(
        "{} events, {} blocks, {} transactions, {} batches, {} epochs ended; slowest recovery {:.1} simulated seconds",
        totals.events,
        totals.blocks,
        totals.transactions,
        totals.batches,
        totals.epochs,
        totals.slowest_recovery_ms as f64 / 1_000.0
    );
    println!(
        "{} seeds with more than f liars; forks where more than f voted twice, recorded only: {}",
        totals.beyond, totals.forked_beyond
    );
    println!("injected:");
    for (kind, count) in totals.faults.iter() {
        println!("{count:>11} {kind}");
    }
    println!("{} violations", totals.violations);
    for seed in totals.failed_seeds() {
        println!(
            "  seed {seed}    (replay: cargo run --release -p tests --bin sim -- --seed {seed} --trace)"
        );
    }
}
