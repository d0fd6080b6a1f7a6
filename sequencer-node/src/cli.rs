//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use alloy::primitives::U256;
use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::exit::EXIT_CODES;
use crate::membership::{OwnerKey, parse_stake};

const EXAMPLES: &str = "Examples:
  sequencer-node init --dir node1 --node 1 --chain-spec genesis.toml --password-file password
  sequencer-node config check --config node1/node.toml
  sequencer-node run --config node1/node.toml
  sequencer-node key show --config node1/node.toml
  sequencer-node join --config node1/node.toml --owner-key-file owner.json
  sequencer-node status --config node1/node.toml --json
  sequencer-node leave --config node1/node.toml --owner-key-file owner.json
  sequencer-node evidence verify --chain-spec genesis.toml node1/data/evidence/validator-3-share-1.json";

const JOIN_EXAMPLES: &str = "Examples:
  sequencer-node join --config node.toml --owner-key-file owner.json
      With the registry's least stake, at the address where the node listens.
  sequencer-node join --config node.toml --owner-key-file owner.json --owner-password-file owner.password \\
      --stake 32ETH --endpoint /ip4/192.0.2.7/udp/9101/quic-v1 --json
      Behind a NAT, without a terminal. Run again with another --endpoint, it moves the validator there.

It may be run again at any time: what has happened is found out first. It asks for two passwords unless files have them.";

const LEAVE_EXAMPLES: &str = "Examples:
  sequencer-node leave --config node.toml --owner-key-file owner.json
      No committee will have the validator any more. Keep the node running while the present one does.
  sequencer-node leave --config node.toml --owner-key-file owner.json --withdraw
      Once it is in no committee: relieves it. Run again after the unbonding time, it pays the stake out.";

const STATUS_EXAMPLES: &str = "Examples:
  sequencer-node status --config node.toml
  sequencer-node status --config node.toml --json | jq .validator.status";

const SUBMIT_EXAMPLES: &str = "Examples:
  sequencer-node evidence submit data/evidence/validator-3-votes-1.json --config node.toml --key-file payer.json
      The account of payer.json pays for the transaction and gets nothing for it.

Wrong shares are no matter of L1: `evidence verify` shows them to the other operators.";

/// One validator of the sequencer network.
#[derive(Debug, Parser)]
#[command(name = "sequencer-node", version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a folder with a key, a commented config file and an empty data folder
    Init(InitArgs),
    /// Run the node until SIGTERM or SIGINT
    Run(RunArgs),
    /// Register the node key as a validator at the registry on L1, or move it to another endpoint
    #[command(after_help = JOIN_EXAMPLES)]
    Join(JoinArgs),
    /// Take this node's validator off the registry on L1, and its stake out in the end
    #[command(after_help = LEAVE_EXAMPLES)]
    Leave(LeaveArgs),
    /// Say where this node's validator stands on L1, and how the node is if it runs
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the node key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make a data folder
    #[command(subcommand)]
    Data(DataCommand),
    /// Look at what proves a validator's misdeed
    #[command(subcommand)]
    Evidence(EvidenceCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check that a file proves what it says: with the genesis file alone, without a node or a network
    Verify(VerifyArgs),
    /// Take two conflicting votes to the registry on L1, which burns the stake of whoever signed both; anybody may
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(Box<SubmitArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The file, as a node keeps it in its data folder under `evidence`
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) payer: OwnerKey,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The file, as a node keeps it in its data folder under `evidence`
    pub(crate) file: PathBuf,
    /// The network's genesis file
    #[arg(long, value_name = "FILE", default_value = "genesis.toml")]
    pub(crate) chain_spec: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Make an empty data folder for a key that has run before, in place of one that is lost. The node then asks the others which votes
    /// of it they know, catches up and votes again; its share of the committee's key is gone, so it signs nothing. Never do this
    /// while a process with this key runs or could come back, nor at more than f validators of a network
    New(ConfigArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check everything that a start needs and say what was found: files, ports, genesis file, key, L1
    Check(ConfigArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Print the key's public data as JSON: public key, address, peer id
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The config file
    #[arg(long, value_name = "FILE", default_value = "node.toml", env = "SEQUENCER_CONFIG")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Stop when stdin closes: a child then never outlives its parent
    #[arg(long)]
    pub(crate) exit_on_stdin_eof: bool,
    /// Print one JSON line on stdout once all ports are open
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerKey,
    /// What the validator has at stake, with its unit: 32ETH, 500gwei, 7wei; else the registry's minimum
    #[arg(long, value_name = "AMOUNT", value_parser = parse_stake)]
    pub(crate) stake: Option<U256>,
    /// Where the others reach the node, such as /ip4/192.0.2.7/udp/9101/quic-v1; else where it listens
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) endpoint: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) owner: OwnerKey,
    /// Finish: relieve the validator, and pay its stake out when it is free
    #[arg(long)]
    pub(crate) withdraw: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder to make
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Which node on this machine: its ports are the base plus this number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..100))]
    pub(crate) node: u16,
    /// Ports start here: validators +0, rollups +100, JSON-RPC +200, metrics +300
    #[arg(long, value_name = "PORT", default_value_t = 9_100, value_parser = clap::value_parser!(u16).range(1..=65_000))]
    pub(crate) port_base: u16,
    /// Address to listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// The genesis file, as the config will name it
    #[arg(long, value_name = "FILE", default_value = "genesis.toml")]
    pub(crate) chain_spec: PathBuf,
    /// HTTP or HTTPS endpoint of the L1
    #[arg(long, value_name = "URL")]
    pub(crate) l1_endpoint: Option<String>,
    /// File with a password for the key (mode 0600); else the terminal is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}
