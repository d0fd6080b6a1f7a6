//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};

use crate::chaos::Plan;
use crate::layout::{BENCH_PORT_BASE, DEFAULT_DATA_FOLDER, DEFAULT_PORT_BASE, MAX_NODES};
use crate::role::Role;

const EXAMPLES: &str = "\
Examples:
  testnet                              four nodes, two batchers, a development L1; Ctrl-C stops all
  testnet --for 60s                    the same for a minute, then judged from L1 alone
  testnet --nodes 7 --port-base 15000  a bigger one, elsewhere
  testnet kill 2                       (another terminal) kill -9 of node 2
  testnet restart 2                    (another terminal) start it again
  testnet --for 60s --chaos 'kill node 2 at 10s, restart node 2 at 20s, kill active batcher at 30s'
  testnet bench --rate 2000 --tx-bytes 512 --seconds 20 --json

Ports on 127.0.0.1 for a port base B (9000): node i uses UDP B+100+i (validators) and B+200+i (QUIC ingress),
TCP B+300+i (JSON-RPC) and B+400+i (metrics); batcher i TCP B+500+i (metrics); the L1 TCP B+545.

Everything is kept in the data folder (./testnet-data): logs/, state.json, genesis.toml, one folder per process.
The development L1 lives in memory, so `up` always founds a new network and empties the folder of the last one.

Exit codes:
  0  done; with --for: every promise held
  1  could not be done (the message says why and what to do)
  2  wrong command line
  3  a promise of the design was broken (the list is printed)
  4  nothing runs with that data folder";

/// Brings up a whole sequencer network on this machine: L1, nodes, batchers, load.
#[derive(Debug, Parser)]
#[command(name = "testnet", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) up: UpArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up a network and show what it does (the default)
    Up(UpArgs),
    /// Stop the network that runs, in order
    Down(FolderArgs),
    /// Delete the data folder of a network that no longer runs
    Reset(FolderArgs),
    /// Say how the running network is
    Status(StatusArgs),
    /// kill -9 one process of the running network
    Kill(TargetArgs),
    /// Start one process again, stopping it first if it runs
    Restart(TargetArgs),
    /// Measure a network in a folder of its own below the current one
    Bench(BenchArgs),
}

/// Which network.
#[derive(Clone, Debug, Args)]
pub(crate) struct FolderArgs {
    /// Data folder of the network
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA_FOLDER)]
    pub(crate) data: PathBuf,
}

/// `status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `kill` and `restart`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// 2 or node-2, batcher-1, dev-l1
    #[arg(value_name = "NODE")]
    pub(crate) who: Role,
}

/// `up`.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// Validators
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(4..=i64::from(MAX_NODES)))]
    pub(crate) nodes: u16,
    /// First of the block of ports
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT_BASE)]
    pub(crate) port_base: u16,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// Slot time of the development L1
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) block_time: Duration,
    /// Load for so long, drain to L1, judge, end
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// Transactions per second for each of the two EVM rollups; 0 sends none
    #[arg(long, value_name = "RATE", default_value_t = 10, value_parser = value_parser!(u32).range(0..=10_000))]
    pub(crate) tps: u32,
    /// Break things on a timetable (seconds since the load began): 'kill node 2 at 10s, restart node 2 at 20s'
    #[arg(long, value_name = "PLAN", requires = "duration")]
    pub(crate) chaos: Option<Plan>,
    /// Print the summary as one JSON object on standard output
    #[arg(long, requires = "duration")]
    pub(crate) json: bool,
}

/// `bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// Validators
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(4..=i64::from(MAX_NODES)))]
    pub(crate) nodes: u16,
    /// First of the block of ports
    #[arg(long, value_name = "PORT", default_value_t = BENCH_PORT_BASE)]
    pub(crate) port_base: u16,
    /// Size of an opaque transaction (with --real they are as big as signed transfers are)
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = value_parser!(u32).range(16..=131_072))]
    pub(crate) tx_bytes: u32,
    /// Transactions per second offered, open loop
    #[arg(long, value_name = "RATE", default_value_t = 2_000, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// How long to offer them
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Signed EVM transactions of the first rollup, carried in blobs
    #[arg(long, conflicts_with = "idle")]
    pub(crate) real: bool,
    /// Offer nothing, and measure what an idle network costs
    #[arg(long)]
    pub(crate) idle: bool,
    /// Slot time of the development L1
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) block_time: Duration,
    /// Keep the network's folder and name it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses `60`, `60s`, `1.5s`, `200ms`, `2m` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const LONGEST: f64 = 86_400.0 * 30.0;
    let text = text.trim();
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1.0));
    let error = || "expected a time such as 60s, 1.5s, 200ms or 2m".to_owned();
    let seconds = number.trim().parse::<f64>().map_err(|_| error())? * factor;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(error());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_up() {
        let cli = Cli::try_parse_from(["testnet", "--for", "60s", "--nodes", "7"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!((cli.up.nodes, cli.up.duration), (7, Some(Duration::from_secs(60))));
        let cli = Cli::try_parse_from(["testnet", "kill", "2", "--data", "x"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Kill(args)) if args.who == Role::Node(2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "testnet --nodes 3",
            "testnet --json",
            "testnet --chaos 'kill node 1 at 1s'",
            "testnet --for never",
            "testnet kill nobody",
            "testnet bench --idle --real",
            "testnet bench --tx-bytes 1000000",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn times() {
        for (text, millis) in [
            ("60", 60_000),
            ("60s", 60_000),
            ("1.5s", 1500),
            ("200ms", 200),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "NaN", "inf", "1d", "1e30s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
