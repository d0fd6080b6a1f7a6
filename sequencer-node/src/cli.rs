//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
use crate::exit::EXIT_CODES;

const EXAMPLES: &str = "Examples:
  sequencer-node init --dir node1 --node 1 --chain-spec genesis.toml --password-file password
  sequencer-node config check --config node1/node.toml
  sequencer-node run --config node1/node.toml
  sequencer-node key show --config node1/node.toml
  sequencer-node evidence verify --chain-spec genesis.toml node1/data/evidence/validator-3-share-1.json";

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
