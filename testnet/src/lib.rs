//! Brings up, loads, breaks and judges a whole local network.
//!
//! ```text
//!   cli ─▶ run ─▶ session ─▶ network ─▶ process   node-1..n, batcher-1..2, dev-l1, relay: ourselves under other names
//!           │        └─ control ◀── remote           (another terminal: status, kill, restart, down)
//!           ├─ stages   bring-up: keys, L1, contracts, nodes, key ceremony, first block, first batch
//!           ├─ membership   validators that join and leave, by the node's own commands
//!           ├─ load     open-loop clients over QUIC, and the books of what they were told
//!           ├─ forcer   transactions that go through L1's queue
//!           ├─ relay    delay, jitter, loss and cuts between the nodes
//!           ├─ chaos    a timetable of kills and restarts, and what they cost
//!           ├─ observe ─▶ screen
//!           └─ judge    L1 alone against the books, node against node ─▶ report
//!   bench ─▶ client (a process of its own)
//! ```
//!
//! **One program.** `testnet` links the node, the batcher and the development L1 and starts itself under their names, so
//! that one build is a whole network. It calls only their `main` functions and speaks to them as any operator or
//! rollup does: it never reaches into their memory.
//!
//! **Nothing outlives it.** Every child's standard input is a pipe that only we hold, and every child stops when it
//! ends. At the end, each process ever started is looked for by pid *and* start time.

mod bench;
pub mod chaos;
mod cli;
mod client;
pub mod contract;
pub mod control;
mod exit;
mod forcer;
pub mod genesis;
pub mod holder;
pub mod judge;
mod launch;
pub mod layout;
pub mod load;
mod membership;
pub mod network;
pub mod node_api;
pub mod observe;
pub mod preflight;
pub mod process;
pub mod procfs;
mod progress;
pub mod relay;
mod remote;
pub mod report;
pub mod role;
mod run;
pub mod screen;
mod session;
mod stages;
pub mod state;
mod told;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::cli::{ChaosVerb, Cli, Command};
use crate::control::Request;
use crate::exit::Exit;

/// The program: `args` as the operating system gives them, the program's own name first.
pub fn main_from_args(args: Vec<OsString>) -> ExitCode {
    // Two crates of the graph bring a provider each; without a choice rustls would refuse to choose.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Some(code) = launch::become_other(&args) {
        return code;
    }
    let cli = Cli::parse_from(args);
    if let Err(error) = cli.check() {
        Cli::command().error(ErrorKind::ValueValidation, error).exit();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(Box::pin(command(cli))) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    Exit::Failure.into()
}

async fn command(cli: Cli) -> Result<Exit, Box<dyn std::error::Error>> {
    Ok(match cli.command {
        None => run::up(cli.up).await?,
        Some(Command::Up(args)) => run::up(args).await?,
        Some(Command::Down(args)) => remote::request(&args.data, Request::Down, false).await?,
        Some(Command::Reset(args)) => remote::reset(&args.data)?,
        Some(Command::Status(args)) => remote::request(&args.folder.data, Request::Status, args.json).await?,
        Some(Command::Kill(args)) => {
            remote::request(&args.folder.data, Request::Kill { who: args.who }, false).await?
        }
        Some(Command::Restart(args)) => {
            remote::request(&args.folder.data, Request::Restart { who: args.who }, false).await?
        }
        Some(Command::Join(args)) => remote::request(&args.data, Request::Join, false).await?,
        Some(Command::Leave(args)) => {
            remote::request(&args.folder.data, Request::Leave { node: args.node }, false).await?
        }
        Some(Command::Link(args)) => {
            let (data, request, json) = args.verb.request();
            remote::request(&data, request, json).await?
        }
        Some(Command::Chaos(ChaosVerb::L1(args))) => run::up(args.up()).await?,
        Some(Command::Bench(args)) => bench::bench(args).await?,
    })
}
