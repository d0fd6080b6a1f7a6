//! How the chain is configured, from code or from the command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::ctl::Ctl;

/// The chain id unless another is chosen: the one that geth's developer mode uses.
pub const DEFAULT_CHAIN_ID: u64 = 1337;
/// The mnemonic of the funded accounts: the one that every development chain uses. Never put
/// anything of value on its accounts.
pub const DEFAULT_MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Mainnet's gas limit.
const DEFAULT_GAS_LIMIT: u64 = 60_000_000;
/// Addresses of one chain.
pub(crate) const MAX_ENDPOINTS: usize = 16;
/// More accounts than this are not derived (a few hundred microseconds each).
const MAX_ACCOUNTS: u32 = 1000;

/// The command line's examples.
pub(crate) const EXAMPLES: &str = "Examples:
  dev-l1
      Mainnet's 12 s slots on http://127.0.0.1:8545, ten accounts with 10,000 ETH each.
  dev-l1 --listen 127.0.0.1:9545 --block-time 1s --json
      One block a second; one JSON line on standard output once it is ready.
  dev-l1 --block-time 200ms --finalized-lag 2 --blob-retention 100
      As fast as tests like it.
  dev-l1 --also-listen 127.0.0.1:8546 --also-listen 127.0.0.1:8547
      Three endpoints of one chain. dev_outage and dev_lie make one of them fail or lie.
  dev-l1 ctl reorg '{\"depth\":2}'
      Replace the newest two blocks of a running one. All dev_* methods are listed in the
      crate's documentation.";

/// Everything that can be chosen.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address of the JSON-RPC and beacon API; port 0 takes any free port.
    #[arg(long, value_name = "ADDR", default_value_t = Self::default().listen)]
    pub listen: SocketAddr,

    /// One more address of the same chain; may be repeated. Each has outages and lies of its own, as
    /// several providers of one L1 have.
    #[arg(long = "also-listen", value_name = "ADDR")]
    pub also_listen: Vec<SocketAddr>,

    /// Time between blocks, such as 12s, 1.5s or 200ms. Timestamps are whole seconds and always
    /// grow, so below one second the chain's clock runs ahead.
    #[arg(long, value_name = "TIME", default_value = "12s", value_parser = parse_block_time)]
    pub block_time: Duration,

    /// EIP-155 chain id.
    #[arg(long, value_name = "ID", default_value_t = DEFAULT_CHAIN_ID)]
    pub chain_id: u64,

    /// BIP-39 phrase of the funded accounts (m/44'/60'/0'/0/i).
    #[arg(long, value_name = "PHRASE", default_value = DEFAULT_MNEMONIC)]
    pub mnemonic: String,

    /// How many accounts are funded.
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ACCOUNTS)))]
    pub accounts: u32,

    /// What each of them has, in ETH.
    #[arg(long, value_name = "ETH", default_value_t = 10_000)]
    pub balance: u64,

    /// Gas limit of a block.
    #[arg(long, value_name = "GAS", default_value_t = DEFAULT_GAS_LIMIT,
          value_parser = clap::value_parser!(u64).range(1_000_000..=1_000_000_000))]
    pub gas_limit: u64,

    /// The `safe` block is this far behind the latest (mainnet: about 32).
    #[arg(long, value_name = "BLOCKS", default_value_t = 2)]
    pub safe_lag: u64,

    /// The `finalized` block is this far behind the latest (mainnet: about 64).
    #[arg(long, value_name = "BLOCKS", default_value_t = 4)]
    pub finalized_lag: u64,

    /// Blobs of older blocks are dropped (mainnet: 131,072, about 18 days).
    #[arg(long, value_name = "BLOCKS", default_value_t = 4096,
          value_parser = clap::value_parser!(u64).range(1..=131_072))]
    pub blob_retention: u64,

    /// Blobs kept in memory at most (128 KiB each); the oldest go first.
    #[arg(long, value_name = "BLOBS", default_value_t = 4096)]
    pub blob_limit: usize,

    /// Older blocks are dropped altogether.
    #[arg(long, value_name = "BLOCKS", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(256..=10_000_000))]
    pub block_history: u64,

    /// Make blocks only when asked to with dev_mine.
    #[arg(long)]
    pub no_mining: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8545)),
            also_listen: Vec::new(),
            block_time: Duration::from_secs(12),
            chain_id: DEFAULT_CHAIN_ID,
            mnemonic: DEFAULT_MNEMONIC.into(),
            accounts: 10,
            balance: 10_000,
            gas_limit: DEFAULT_GAS_LIMIT,
            safe_lag: 2,
            finalized_lag: 4,
            blob_retention: 4096,
            blob_limit: 4096,
            block_history: 100_000,
            no_mining: false,
        }
    }
}

/// The command line of `dev-l1`.
#[derive(Debug, clap::Parser)]
#[command(name = "dev-l1", version, about = "A development Ethereum L1: Osaka rules, geth's pool, blobs.")]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) options: Options,

    /// Print one line of JSON when ready instead of text.
    #[arg(long)]
    pub(crate) json: bool,

    /// Stop when standard input ends: a parent that dies takes this process with it.
    #[arg(long)]
    pub(crate) exit_on_stdin_eof: bool,
}

/// What to do instead of serving a chain.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Calls a dev_* method of a running dev-l1: reorgs, outages, fee spikes, lies.
    Ctl(Ctl),
}

/// Parses `12`, `12s`, `1.5s` or `200ms`.
fn parse_block_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.trim().parse::<f64>().map_err(|_| "expected a time such as 12s or 200ms")? * unit;
    if !(0.01..=3600.0).contains(&seconds) {
        return Err("must be between 10ms and 3600s".into());
    }
    Ok(Duration::from_millis((seconds * 1000.0).round() as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[test]
    fn the_command_lines_defaults_are_the_codes() {
        let parsed = Args::parse_from(["dev-l1"]).options;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn block_times() {
        for (text, expected) in [
            ("12", Some(12_000)),
            ("12s", Some(12_000)),
            ("1.5s", Some(1500)),
            ("200ms", Some(200)),
            ("0", None),
            ("-1s", None),
            ("2h", None),
            ("NaN", None),
        ] {
            let parsed = parse_block_time(text).ok();
            assert_eq!(parsed, expected.map(Duration::from_millis), "{text}");
        }
    }
}
