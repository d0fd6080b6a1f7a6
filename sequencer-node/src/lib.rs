//! The node: network, disk, keys and telemetry around the pure core of [`node_core`]. No protocol rule lives here.
//!
//! ```text
//!   rollups ──QUIC──▶ ingress ─┐             ┌─▶ network ──libp2p QUIC──▶ other validators
//!   wallets ──HTTP──▶ rpc ─────┼─▶ front ─▶ pump ◀┘
//!   operators ─HTTP─▶ telemetry┘             └─▶ store (wal.redb, segments, store.redb)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `cli`, `exit` | the command line and its exit codes |
//! | `config`, `keys`, `setup` | what a start reads: config, genesis file, node key |
//! | `init`, `check`, `run` | the commands |
//! | `membership` | the validator's place in the registry on L1: `join`, `leave`, `status` |
//! | `evidence` | what proves a validator's misdeed: kept, and judged |
//! | `store` | the data folder: what is durable, what a restart finds |
//! | `pump` | the threads around the core, and the order of sync and send |
//! | `network` | towards the other validators |
//! | `committee` | who is a member in which epoch |
//! | `admission`, `front`, `ingress`, `rpc` | towards clients |
//! | `pressure` | how fast clients' transactions are admitted while L1 takes nothing or the disk fills |
//! | `quic`, `connections` | what the node's own QUIC and TCP ports share |
//! | `priority` | background threads give way |
//! | `l1` | the L1: its endpoint, the registry as it is final there, transactions |
//! | `ports`, `telemetry` | what an operator is told |

mod admission;
mod check;
mod cli;
mod config;
mod connections;
mod core_api;
mod evidence;
mod exit;
mod front;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ingress;
mod init;
mod keys;
mod l1;
mod membership;
mod network;
mod ports;
mod pressure;
mod priority;
mod pump;
mod quic;
mod rpc;
mod run;
mod setup;
mod store;
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigArgs, ConfigCommand, DataCommand, EvidenceCommand, KeyCommand};
use exit::{Exit, Failure};

/// Runs the `sequencer-node` command with these arguments, the program's name first. Errors go to stderr; the exit
/// codes are listed in `--help`.
pub fn main_from_args(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Two libraries bring a provider each; without a choice, TLS panics. An error means that one was chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // With stdout or stderr closed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { 0 });
        }
    };
    let outcome = match &cli.command {
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(args),
        Command::Config(ConfigCommand::Check(args)) => check::run(args),
        Command::Key(KeyCommand::Show(args)) => show_key(args),
        Command::Data(DataCommand::New(args)) => init::new_data(args),
        Command::Evidence(EvidenceCommand::Verify(args)) => evidence::run(args),
        Command::Evidence(EvidenceCommand::Submit(args)) => evidence::submit(args),
        Command::Join(args) => membership::join(args),
        Command::Leave(args) => membership::leave(args),
        Command::Status(args) => membership::status(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn show_key(args: &ConfigArgs) -> Result<(), Failure> {
    let config = config::load(&args.config, &args.overrides).map_err(|e| Failure::new(Exit::Config, e))?;
    let public = keys::public(&config.key.file).map_err(|e| Failure::new(Exit::Key, e))?;
    println!("{}", serde_json::to_string_pretty(&public).map_err(|e| Failure::new(Exit::Failure, e))?);
    Ok(())
}
